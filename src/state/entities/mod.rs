//! The tables as sea-orm entities. The crate `migration` creates them.

pub mod checkpoints;
pub mod observer_status;
pub mod markets;
pub mod events;
pub mod dead_letters;
pub mod orders;
pub mod offers;
pub mod activities;
pub mod collections;
pub mod tokens;
