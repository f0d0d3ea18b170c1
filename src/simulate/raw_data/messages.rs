//! The messages of the stream, from the side of the service; of a transaction what tells events.

use prost::{Message, Oneof};

#[derive(Clone, PartialEq, Message)]
pub struct GetTransactionsRequest {
    #[prost(uint64, optional, tag = "1")]
    pub starting_version: Option<u64>,
    #[prost(uint64, optional, tag = "2")]
    pub transactions_count: Option<u64>,
    #[prost(uint64, optional, tag = "3")]
    pub batch_size: Option<u64>,
    #[prost(message, optional, tag = "4")]
    pub transaction_filter: Option<BooleanTransactionFilter>,
}

#[derive(Clone, PartialEq, Message)]
pub struct BooleanTransactionFilter {
    #[prost(oneof = "Filter", tags = "1, 2, 3, 4")]
    pub filter: Option<Filter>,
}

#[derive(Clone, PartialEq, Oneof)]
pub enum Filter {
    #[prost(message, tag = "1")]
    Api(ApiFilter),
    #[prost(message, tag = "2")]
    And(LogicalFilters),
    #[prost(message, tag = "3")]
    Or(LogicalFilters),
    #[prost(message, tag = "4")]
    Not(Box<BooleanTransactionFilter>),
}

#[derive(Clone, PartialEq, Message)]
pub struct LogicalFilters {
    #[prost(message, repeated, tag = "1")]
    pub filters: Vec<BooleanTransactionFilter>,
}

/// Those about roots and senders are not known here.
#[derive(Clone, PartialEq, Message)]
pub struct ApiFilter {
    #[prost(message, optional, tag = "3")]
    pub event: Option<EventFilter>,
}

#[derive(Clone, PartialEq, Message)]
pub struct EventFilter {
    #[prost(message, optional, tag = "1")]
    pub struct_type: Option<MoveStructTagFilter>,
    #[prost(string, optional, tag = "2")]
    pub data_substring_filter: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub struct MoveStructTagFilter {
    #[prost(string, optional, tag = "1")]
    pub address: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub module: Option<String>,
    #[prost(string, optional, tag = "3")]
    pub name: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub struct TransactionsResponse {
    #[prost(message, repeated, tag = "1")]
    pub transactions: Vec<Transaction>,
    #[prost(uint64, optional, tag = "2")]
    pub chain_id: Option<u64>,
    #[prost(message, optional, tag = "3")]
    pub processed_range: Option<ProcessedRange>,
}

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
    pub timestamp: Option<Timestamp>,
    #[prost(uint64, tag = "2")]
    pub version: u64,
    #[prost(uint64, tag = "5")]
    pub block_height: u64,
    /// 3: a state checkpoint, 4: somebody's.
    #[prost(int32, tag = "6")]
    pub kind: i32,
    #[prost(message, optional, tag = "10")]
    pub user: Option<UserTransaction>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Timestamp {
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

#[derive(Clone, PartialEq, Message)]
pub struct UserTransaction {
    #[prost(message, optional, tag = "1")]
    pub request: Option<UserTransactionRequest>,
    #[prost(message, repeated, tag = "2")]
    pub events: Vec<Event>,
}

/// Its numbers, and those of what it holds, are those of aptos-core's `transaction.proto`.
#[derive(Clone, PartialEq, Message)]
pub struct UserTransactionRequest {
    #[prost(string, tag = "1")]
    pub sender: String,
    #[prost(uint64, tag = "2")]
    pub sequence_number: u64,
    #[prost(message, optional, tag = "6")]
    pub payload: Option<TransactionPayload>,
}

#[derive(Clone, PartialEq, Message)]
pub struct TransactionPayload {
    /// 1: an entry function, 6: a multisig account's.
    #[prost(int32, tag = "1")]
    pub kind: i32,
    #[prost(oneof = "Payload", tags = "2, 6")]
    pub payload: Option<Payload>,
}

#[derive(Clone, PartialEq, Oneof)]
pub enum Payload {
    #[prost(message, tag = "2")]
    EntryFunction(EntryFunctionPayload),
    #[prost(message, tag = "6")]
    Multisig(MultisigPayload),
}

#[derive(Clone, PartialEq, Message)]
pub struct EntryFunctionPayload {
    #[prost(string, tag = "4")]
    pub entry_function_id_str: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct MultisigPayload {
    #[prost(string, tag = "1")]
    pub multisig_address: String,
    #[prost(message, optional, tag = "2")]
    pub transaction_payload: Option<MultisigTransactionPayload>,
}

#[derive(Clone, PartialEq, Message)]
pub struct MultisigTransactionPayload {
    /// 1: an entry function.
    #[prost(int32, tag = "1")]
    pub kind: i32,
    #[prost(message, optional, tag = "2")]
    pub entry_function: Option<EntryFunctionPayload>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Event {
    #[prost(message, optional, tag = "1")]
    pub key: Option<EventKey>,
    #[prost(uint64, tag = "2")]
    pub sequence_number: u64,
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
