//! Pieces of state, as resources and as what transactions write.

use serde_json::{Value, json};
use sha3::{Digest, Sha3_256};

use super::address::{self, Address};

/// The resource that every account has.
pub const ACCOUNT: &str = "0x1::account::Account";
/// A resource that most accounts have, and nobody here asks for.
const COINS: &str = "0x1::coin::CoinStore<0x1::aptos_coin::AptosCoin>";

/// A resource of an account or an object.
pub struct Resource {
    /// Its full type.
    pub tag: String,
    /// Its fields.
    pub data: Value,
}

/// An item of a table.
pub struct Item {
    /// Type of the key.
    pub key_type: &'static str,
    /// Type of the value.
    pub value_type: &'static str,
    /// The key in JSON.
    pub key: Value,
    /// The value in JSON.
    pub value: Value,
    /// The key as it is stored, in hexadecimal.
    pub raw_key: String,
    /// The value as it is stored, in hexadecimal.
    pub raw_value: String,
}

impl Resource {
    /// A resource of that type.
    pub fn new(tag: &str, data: Value) -> Self {
        Self { tag: tag.to_owned(), data }
    }

    /// As the REST API shows it.
    pub fn json(&self) -> Value {
        json!({"type": self.tag, "data": self.data})
    }

    /// Its change in a transaction.
    pub fn written(&self, holder: &Address) -> Value {
        json!({
            "address": address::trimmed(holder),
            "state_key_hash": state_key(holder, &self.tag),
            "data": self.json(),
            "type": "write_resource",
        })
    }
}

impl Item {
    /// Its change in a transaction; a node that keeps no index of tables shows no `data`.
    pub fn written(self, handle: &Address, is_indexed: bool) -> Value {
        let Self { key_type, value_type, key, value, raw_key, raw_value } = self;
        let data = json!({"key": key, "key_type": key_type, "value": value, "value_type": value_type});
        json!({
            "state_key_hash": state_key(handle, &raw_key),
            "handle": address::trimmed(handle),
            "key": raw_key,
            "value": raw_value,
            "data": if is_indexed { data } else { Value::Null },
            "type": "write_table_item",
        })
    }
}

/// An event handle within a resource.
pub fn handle(holder: &Address, counter: u64, number: u64) -> Value {
    let id = json!({"addr": address::trimmed(holder), "creation_num": number.to_string()});
    json!({"counter": counter.to_string(), "guid": {"id": id}})
}

/// `0x1::account::Account`.
pub fn account(holder: &Address, sent: u64, numbers: u64) -> Resource {
    let data = json!({
        "authentication_key": address::padded(holder),
        "coin_register_events": handle(holder, 0, 0),
        "guid_creation_num": numbers.to_string(),
        "key_rotation_events": handle(holder, 0, 1),
        "rotation_capability_offer": {"for": {"vec": []}},
        "sequence_number": sent.to_string(),
        "signer_capability_offer": {"for": {"vec": []}},
    });
    Resource::new(ACCOUNT, data)
}

/// What is left of somebody's coins.
pub fn coins(holder: &Address, sent: u64) -> Resource {
    let left = 100_000_000_000_u64.saturating_sub(sent * 1_000);
    let data = json!({
        "coin": {"value": left.to_string()},
        "deposit_events": handle(holder, 1, 2),
        "frozen": false,
        "withdraw_events": handle(holder, 0, 3),
    });
    Resource::new(COINS, data)
}

/// An event as a transaction shows it: without a version.
pub fn event(holder: &Address, number: u64, seq_no: u64, kind: &str, data: &Value) -> Value {
    json!({
        "guid": {"creation_number": number.to_string(), "account_address": address::trimmed(holder)},
        "sequence_number": seq_no.to_string(),
        "type": kind,
        "data": data,
    })
}

/// An event that belongs to no handle.
pub fn module_event(kind: &str, data: &Value) -> Value {
    event(&[0; 32], 0, 0, kind, data)
}

/// Names a place in storage.
fn state_key(holder: &Address, what: &str) -> String {
    format!("0x{}", hex::encode(Sha3_256::new().chain_update(holder).chain_update(what).finalize()))
}
