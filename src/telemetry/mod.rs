//! Telling people: logs, progress, and tables for the terminal. Takes plain values, knows nobody.

pub mod bars;
pub mod log;
pub mod metrics;
pub mod progress;
pub mod table;
