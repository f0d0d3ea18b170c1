//! Telling people: logs, and tables for the terminal. Takes plain values, knows nobody.

pub mod log;
pub mod table;
