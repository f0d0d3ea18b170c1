//! The messages of `aptos.indexer.v1.RawData/GetTransactions`, as far as events need them. What else is sent is skipped.

use std::collections::BTreeSet;

use prost::Message;

use crate::chain::Address;

/// Services refuse longer filters: aptos-core's default is 10,000 bytes.
const LONGEST_FILTER: usize = 9_000;

/// Where the stream begins, and what is wanted of it. Without a number of transactions it never ends.
#[derive(Clone, PartialEq, Message)]
pub struct Request {
    #[prost(uint64, optional, tag = "1")]
    pub starting_version: Option<u64>,
    #[prost(uint64, optional, tag = "3")]
    pub batch_size: Option<u64>,
    #[prost(message, optional, tag = "4")]
    pub transaction_filter: Option<Filter>,
}

/// Which transactions are wanted; one of the two.
#[derive(Clone, PartialEq, Message)]
pub struct Filter {
    #[prost(message, optional, tag = "1")]
    pub api_filter: Option<ApiFilter>,
    #[prost(message, optional, tag = "3")]
    pub logical_or: Option<AnyOf>,
}

#[derive(Clone, PartialEq, Message)]
pub struct AnyOf {
    #[prost(message, repeated, tag = "1")]
    pub filters: Vec<Filter>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ApiFilter {
    #[prost(message, optional, tag = "3")]
    pub event_filter: Option<EventFilter>,
}

#[derive(Clone, PartialEq, Message)]
pub struct EventFilter {
    #[prost(message, optional, tag = "1")]
    pub struct_type: Option<StructTag>,
}

/// A type without its arguments, or all of a module or of an address, which is in its long form.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Message)]
pub struct StructTag {
    #[prost(string, optional, tag = "1")]
    pub address: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub module: Option<String>,
    #[prost(string, optional, tag = "3")]
    pub name: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Response {
    #[prost(message, repeated, tag = "1")]
    pub transactions: Vec<Transaction>,
    #[prost(uint64, optional, tag = "2")]
    pub chain_id: Option<u64>,
    #[prost(message, optional, tag = "3")]
    pub processed_range: Option<ProcessedRange>,
}

/// The versions that were looked through for this response, both included.
#[derive(Clone, PartialEq, Message)]
pub struct ProcessedRange {
    #[prost(uint64, tag = "1")]
    pub first_version: u64,
    #[prost(uint64, tag = "2")]
    pub last_version: u64,
}

#[derive(Clone, PartialEq, Message)]
pub struct Transaction {
    #[prost(message, optional, tag = "1")]
    pub timestamp: Option<Time>,
    #[prost(uint64, tag = "2")]
    pub version: u64,
    /// Of other kinds, as of blocks and of genesis, no contract's events come.
    #[prost(message, optional, tag = "10")]
    pub user: Option<UserTransaction>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Time {
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

#[derive(Clone, PartialEq, Message)]
pub struct UserTransaction {
    #[prost(message, optional, tag = "1")]
    pub request: Option<UserTransactionRequest>,
    /// All of them, whatever the filter: an event's place is its place in the transaction.
    #[prost(message, repeated, tag = "2")]
    pub events: Vec<Event>,
}

/// What was asked for; the numbers of it and what it holds are those of aptos-core's `transaction.proto`.
#[derive(Clone, PartialEq, Message)]
pub struct UserTransactionRequest {
    #[prost(string, tag = "1")]
    pub sender: String,
    #[prost(message, optional, tag = "6")]
    pub payload: Option<TransactionPayload>,
}

/// One of these, or another kind that calls no entry function.
#[derive(Clone, PartialEq, Message)]
pub struct TransactionPayload {
    #[prost(message, optional, tag = "2")]
    pub entry_function_payload: Option<EntryFunctionPayload>,
    #[prost(message, optional, tag = "6")]
    pub multisig_payload: Option<MultisigPayload>,
}

/// Without a payload where the account itself holds it.
#[derive(Clone, PartialEq, Message)]
pub struct MultisigPayload {
    #[prost(message, optional, tag = "2")]
    pub transaction_payload: Option<MultisigTransactionPayload>,
}

#[derive(Clone, PartialEq, Message)]
pub struct MultisigTransactionPayload {
    #[prost(message, optional, tag = "2")]
    pub entry_function_payload: Option<EntryFunctionPayload>,
}

#[derive(Clone, PartialEq, Message)]
pub struct EntryFunctionPayload {
    #[prost(string, tag = "4")]
    pub entry_function_id_str: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct Event {
    #[prost(message, optional, tag = "1")]
    pub key: Option<EventKey>,
    #[prost(uint64, tag = "2")]
    pub sequence_number: u64,
    /// JSON.
    #[prost(string, tag = "4")]
    pub data: String,
    #[prost(string, tag = "5")]
    pub type_str: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct EventKey {
    #[prost(uint64, tag = "1")]
    pub creation_number: u64,
    #[prost(string, tag = "2")]
    pub account_address: String,
}

impl TransactionPayload {
    /// The entry function that is called, also by a multisig account.
    pub fn entry_function(&self) -> Option<&str> {
        let of_multisig =
            || self.multisig_payload.as_ref()?.transaction_payload.as_ref()?.entry_function_payload.as_ref();
        let called = self.entry_function_payload.as_ref().or_else(of_multisig)?;
        Some(&called.entry_function_id_str)
    }
}

impl StructTag {
    /// `0xa::module::Name`, which has no arguments.
    pub fn of(kind: &str) -> Option<Self> {
        let mut parts = kind.splitn(3, "::");
        let (address, module, name) = (parts.next()?, parts.next()?, parts.next()?);
        let address: Address = address.parse().ok()?;
        Some(Self { address: Some(address.to_string()), module: Some(module.to_owned()), name: Some(name.to_owned()) })
    }
}

impl Request {
    /// From `version` on, whatever has an event of one of these types; and more, where these are too many for a filter.
    pub fn of(version: u64, types: impl IntoIterator<Item = StructTag>) -> Self {
        let transaction_filter = Filter::of(&types.into_iter().collect());
        Self { starting_version: Some(version), batch_size: Some(1_000), transaction_filter }
    }
}

impl Filter {
    /// As narrow as a service takes it; `None` where none is short enough.
    fn of(types: &BTreeSet<StructTag>) -> Option<Self> {
        let widths: [fn(StructTag) -> StructTag; 3] =
            [|tag| tag, |tag| StructTag { name: None, ..tag }, |tag| StructTag { name: None, module: None, ..tag }];
        let mut filters = widths.into_iter().map(|width| Self::any_of(types.iter().cloned().map(width).collect()));
        filters.find(|filter| filter.encoded_len() <= LONGEST_FILTER)
    }

    fn any_of(tags: BTreeSet<StructTag>) -> Self {
        let filter = |tag| {
            let event_filter = Some(EventFilter { struct_type: Some(tag) });
            Self { api_filter: Some(ApiFilter { event_filter }), logical_or: None }
        };
        let filters = tags.into_iter().map(filter).collect();
        Self { api_filter: None, logical_or: Some(AnyOf { filters }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many filters come of so many types, and how much of a type the first one names.
    fn asked(types: impl Iterator<Item = String>) -> Option<(usize, usize)> {
        let filter = Request::of(7, types.map(|kind| StructTag::of(&kind).unwrap())).transaction_filter?;
        assert!(filter.encoded_len() <= LONGEST_FILTER, "{}", filter.encoded_len());
        let filters = filter.logical_or.unwrap().filters;
        let first = filters[0].api_filter.clone().unwrap().event_filter.unwrap().struct_type.unwrap();
        Some((filters.len(), [first.address, first.module, first.name].iter().flatten().count()))
    }

    #[test]
    fn a_filter_is_as_narrow_as_a_service_takes_it() {
        assert_eq!(asked((0..50).map(|at| format!("0xa::market::Event{at}"))), Some((50, 3)));
        assert_eq!(asked((0..150).map(|at| format!("0xa::market{}::Event{at}", at % 5))), Some((5, 2)));
        assert_eq!(asked((0..150).map(|at| format!("0x{:x}::market{at}::Event", at % 3 + 10))), Some((3, 1)));
        assert_eq!(asked((0..150).map(|at| format!("0x{at:x}::market::Event"))), None);
    }
}
