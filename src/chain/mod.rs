//! The ledger's words, as plain values: addresses, positions, amounts, times, events and token ids.

mod address;
mod amount;
mod digest;
mod event;
mod order;
mod position;
mod source;
mod timestamp;
pub mod token;

pub use address::{Address, canonical_type};
pub use amount::Amount;
pub use digest::{Digest, canonical_data};
pub use event::{Caller, ChainId, LOCAL_CHAIN, RawEvent};
pub use order::EventOrder;
pub use position::{SeqNo, Version};
pub use source::{Handle, Source};
pub use timestamp::Timestamp;

/// A text that does not spell the value asked for. Its message says what was found and what is expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParseError(pub String);
