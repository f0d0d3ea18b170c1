//! `selftest`: a simulation, repeatable by its seed, of workers, nodes and a database to which things happen.
//!
//! A case is a sequence of steps, taken one at a time by one task, so that a seed decides everything: which of up to four
//! workers goes on ([`worker`]), with what answer of a node ([`chain`]) and what fault of the database ([`faults`]), who is killed or
//! sleeps past its lease, when a rebuild goes on ([`rebuild`]), what is imported ([`imports`]), what an operator does about
//! dead letters ([`letters`]), of which there are more as long as the market file is wrong, and what happens on the chain
//! meanwhile ([`case`]). The workers
//! are simulated; the store, the plans, the fold, the leases and the database are the real ones. At the end of a case nothing
//! goes wrong any more, everything is executed, and the tables must be what the chain tells ([`check`]).

mod case;
mod chain;
mod check;
mod faults;
mod feed;
mod ground;
mod imports;
mod letters;
mod rebuild;
mod tally;
mod worker;

pub use case::{Failed, Finished, run};
pub use ground::Ground;
pub use tally::Tally;
