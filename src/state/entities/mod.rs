//! The tables as sea-orm entities. The crate `migration` creates them.

pub mod activities;
pub mod checkpoints;
pub mod collections;
pub mod commits;
pub mod dead_letters;
pub mod events;
pub mod imports;
pub mod markets;
pub mod observer_status;
pub mod offers;
pub mod orders;
pub mod reordered;
pub mod tokens;
pub mod transactions;
pub mod workers;
