//! Keeps the order book and history of NFT marketplaces on Aptos in a SQL database: each event once.
//!
//! The modules stand in the order in which data flows: a [`subject`] gives raw events, a [`market`] tells what they mean,
//! [`state`] makes it true, [`observer`] loops over the three. See `ARCHITECTURE.md`.

pub mod api;
pub mod chain;
pub mod cli;
pub mod config;
pub mod market;
pub mod observer;
pub mod simulate;
pub mod state;
pub mod subject;
pub mod telemetry;
