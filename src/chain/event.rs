//! An event as a source gives it, before anybody asks what it means.

use std::sync::Arc;

use super::{Address, ParseError, SeqNo, Timestamp, Version, canonical_type};

/// A chain's number: mainnet 1, testnet 2, local networks 4.
pub type ChainId = u8;

/// The chain id of local networks, which may hold a copy of any contract.
pub const LOCAL_CHAIN: ChainId = 4;

/// One emitted event. `data` is the JSON text as received; nothing of it is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawEvent {
    /// The transaction that emitted it.
    pub version: Version,
    /// Its place among the events of that transaction, where the source tells.
    pub event_index: Option<u32>,
    /// Its number in its stream.
    pub seq_no: SeqNo,
    /// The Move type, addresses in their standard form ([`super::canonical_type`]).
    pub event_type: Arc<str>,
    /// The account that owns the event handle.
    pub account_address: Address,
    /// The handle's number at that account.
    pub creation_number: u64,
    /// The event's fields, JSON text.
    pub data: String,
    /// The block's time, where the source tells.
    pub block_time: Option<Timestamp>,
    /// Who called what, where the source tells: the same for all events of a transaction.
    pub caller: Option<Arc<Caller>>,
}

/// The call that a transaction is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Who sent it; of a multisig account the owner who executed it.
    pub sender: Address,
    /// `0xa::module::function`, the address in its standard form; a script has none.
    pub entry_function: Option<Arc<str>>,
}

impl Caller {
    /// Reads what a source spells; the error says what is wrong with the sender.
    pub fn read(sender: &str, entry_function: Option<&str>) -> Result<Arc<Self>, ParseError> {
        let entry_function = entry_function.filter(|name| !name.is_empty());
        Ok(Arc::new(Self {
            sender: sender.parse()?,
            entry_function: entry_function.map(|name| canonical_type(name).into()),
        }))
    }
}
