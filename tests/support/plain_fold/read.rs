//! Reading an event's JSON: numbers, addresses, ids, coins and times as the tables must show them.

use chrono::DateTime;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// The last microsecond of the year 9999: there is no time beyond.
const LAST_MICROSECOND: u128 = 253_402_300_799_999_999;

/// What an event says about its token or collection.
#[derive(Clone, Debug)]
pub struct Item {
    pub collection_id: String,
    pub collection_name: String,
    pub creator: String,
    pub token_id: Option<String>,
    pub token_name: Option<String>,
    pub property_version: u64,
}

/// A field that must be there.
pub fn field<'a>(data: &'a Value, name: &str) -> &'a Value {
    data.get(name).unwrap_or_else(|| panic!("no field {name} in {data}"))
}

pub fn text<'a>(data: &'a Value, name: &str) -> &'a str {
    let value = field(data, name);
    value.as_str().unwrap_or_else(|| panic!("{name} is no text: {value}"))
}

/// A number: the node writes those of 64 bits and more as text.
pub fn number(data: &Value, name: &str) -> u128 {
    let text = text(data, name);
    text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}"))
}

pub fn address(data: &Value, name: &str) -> String {
    padded(text(data, name))
}

/// `0x` and 64 lower-case digits; the node leaves leading zeros out.
pub fn padded(address: &str) -> String {
    let digits = address.strip_prefix("0x").expect("an address begins with 0x");
    format!("0x{:0>64}", digits.to_lowercase())
}

pub fn sha256(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}

/// The collection of that creator and name.
pub fn collection(creator: &str, name: &str) -> Item {
    let creator = padded(creator);
    Item {
        collection_id: format!("0x{}", sha256(&format!("{creator}::{name}"))),
        collection_name: name.to_owned(),
        creator,
        token_id: None,
        token_name: None,
        property_version: 0,
    }
}

/// The token that `token_id` names.
pub fn token(data: &Value) -> Item {
    let id = field(data, "token_id");
    let parts = field(id, "token_data_id");
    let (creator, name) = (text(parts, "creator"), text(parts, "name"));
    let collection = collection(creator, text(parts, "collection"));
    let whole = format!("{}::{}::{name}", collection.creator, collection.collection_name);
    Item {
        token_id: Some(format!("0x{}", sha256(&whole))),
        token_name: Some(name.to_owned()),
        property_version: u64::try_from(number(id, "property_version")).unwrap(),
        ..collection
    }
}

/// `address::module::Struct`, from a `TypeInfo` whose names are hexadecimal; the special address 0x1 stays short.
pub fn coin(data: &Value) -> String {
    let info = field(data, "coin_type_info");
    let name = |part: &str| {
        let bytes = hex::decode(text(info, part).trim_start_matches("0x")).unwrap();
        String::from_utf8(bytes).unwrap()
    };
    let account = text(info, "account_address");
    let account = if account.len() == 3 { account.to_owned() } else { padded(account) };
    format!("{account}::{}::{}", name("module_name"), name("struct_name"))
}

/// UTC with microseconds; nothing beyond the year 9999.
pub fn time(micros: u128) -> Option<String> {
    let micros = i64::try_from(micros).ok().filter(|_| micros <= LAST_MICROSECOND)?;
    let time = DateTime::from_timestamp_micros(micros)?;
    Some(time.format("%Y-%m-%d %H:%M:%S%.6f").to_string())
}
