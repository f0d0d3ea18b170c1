//! Keeps the order book and history of NFT marketplaces on Aptos in a SQL database: each event once.
//!
//! The modules stand in the order in which data flows: a [`subject`] gives raw events, a [`market`] tells what they mean,
//! [`state`] makes it true, [`observer`] loops over the three. See `ARCHITECTURE.md`.

// The future of a whole command is nested deeply.
#![recursion_limit = "256"]

/// Threads hand events to one another, of which the system's allocator keeps a part in each.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

pub mod chain;
pub mod backoff;
pub mod subject;
pub mod market;
pub mod state;
pub mod observer;
pub mod check;
pub mod import;
pub mod verify;
pub mod api;
pub mod simulate;
pub mod selftest;
pub mod telemetry;
pub mod config;
pub mod cli;
