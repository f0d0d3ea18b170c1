//! Reading single values: what the node's JSON may look like for each type, and what is refused.

use serde_json::Value;

use crate::chain::token::{v1_collection_id, v1_token_id};
use crate::chain::{Address, Amount, canonical_type};
use crate::market::{Item, Standard};

/// What is wrong with a value; the caller adds where it stood.
pub type Parsed<T> = Result<T, String>;

/// A whole number: `"12"` or `12`.
pub fn amount(value: &Value) -> Parsed<Amount> {
    match value {
        Value::String(text) => text.parse().map_err(|error: crate::chain::ParseError| error.to_string()),
        Value::Number(number) => {
            number.to_string().parse().map_err(|error: crate::chain::ParseError| error.to_string())
        }
        other => Err(format!("expected a whole number, found {}", shown(other))),
    }
}

/// A whole number within u64.
pub fn count(value: &Value) -> Parsed<Amount> {
    let number = amount(value)?;
    if number > Amount::MAX_COUNT {
        return Err(format!("{number} is out of range: a u64 is at most {}", u64::MAX));
    }
    Ok(number)
}

/// A token's property version: a whole number that a signed 64-bit column can hold.
pub fn property_version(value: &Value) -> Parsed<i64> {
    let number = amount(value)?;
    i64::try_from(number.0).map_err(|_| format!("{number} is out of range: at most {} can be stored", i64::MAX))
}

/// An address, alone or as an object (`{"inner": "0x.."}`).
pub fn address(value: &Value) -> Parsed<Address> {
    match value {
        Value::String(text) => text.parse().map_err(|error: crate::chain::ParseError| error.to_string()),
        Value::Object(fields) => match fields.get("inner") {
            Some(Value::String(text)) => text.parse().map_err(|error: crate::chain::ParseError| error.to_string()),
            _ => Err(format!("expected an address, found {}", shown(value))),
        },
        other => Err(format!("expected an address, found {}", shown(other))),
    }
}

/// Any text. PostgreSQL cannot store NUL, so it becomes the replacement character; ids are made before that.
pub fn text(value: &Value) -> Parsed<String> {
    raw_text(value).map(storable)
}

/// `true` or `"true"`.
pub fn boolean(value: &Value) -> Parsed<bool> {
    match value {
        Value::Bool(yes) => Ok(*yes),
        Value::String(text) if text == "true" => Ok(true),
        Value::String(text) if text == "false" => Ok(false),
        other => Err(format!("expected true or false, found {}", shown(other))),
    }
}

/// A coin's type: `0x1::type_info::TypeInfo` with its two names in hex, or the type as text.
pub fn coin_type(value: &Value) -> Parsed<String> {
    let fields = match value {
        Value::String(text) if text.contains("::") => return Ok(canonical_type(&storable(text.clone()))),
        Value::Object(fields) => fields,
        other => return Err(format!("expected a TypeInfo, found {}", shown(other))),
    };
    let part = |name: &str| fields.get(name).ok_or_else(|| format!("expected a TypeInfo, {name} is missing"));
    let account = address(part("account_address")?).map_err(|error| format!("account_address: {error}"))?;
    let module = hex_text(part("module_name")?).map_err(|error| format!("module_name: {error}"))?;
    let name = hex_text(part("struct_name")?).map_err(|error| format!("struct_name: {error}"))?;
    Ok(storable(canonical_type(&format!("{}::{module}::{name}", account.in_type()))))
}

/// A number that a contract gives its listings or offers, in decimal.
pub fn id(value: &Value) -> Parsed<String> {
    count(value).map(|number| number.to_string())
}

/// A token: `0x3::token::TokenId`, or the address of a token object.
pub fn token(value: &Value) -> Parsed<(Item, Standard)> {
    let Some(data) = value.get("token_data_id") else {
        let address = address(value).map_err(|_| format!("expected a TokenId or an object, found {}", shown(value)))?;
        return Ok((Item { token_id: Some(address.to_string()), ..Item::default() }, Standard::V2));
    };
    let part = |name: &str| data.get(name).ok_or_else(|| format!("token_data_id.{name} is missing"));
    let at = |name: &'static str| move |error: String| format!("token_data_id.{name}: {error}");
    let creator = address(part("creator")?).map_err(at("creator"))?;
    let collection = raw_text(part("collection")?).map_err(at("collection"))?;
    let name = raw_text(part("name")?).map_err(at("name"))?;
    let version = value.get("property_version").ok_or("property_version is missing")?;
    let item = Item {
        token_id: Some(v1_token_id(&creator, &collection, &name)),
        token_name: Some(storable(name)),
        property_version: property_version(version).map_err(|error| format!("property_version: {error}"))?,
        ..v1_collection(creator, collection)
    };
    Ok((item, Standard::V1))
}

/// The v1 collection of that creator and name.
pub fn v1_collection(creator: Address, name: String) -> Item {
    Item {
        collection_id: Some(v1_collection_id(&creator, &name)),
        collection_name: Some(storable(name)),
        creator: Some(creator),
        ..Item::default()
    }
}

/// Text as the chain has it, for ids.
pub fn raw_text(value: &Value) -> Parsed<String> {
    value.as_str().map(str::to_owned).ok_or_else(|| format!("expected a text, found {}", shown(value)))
}

/// Text as every database can store it.
#[must_use]
pub fn storable(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}

fn hex_text(value: &Value) -> Parsed<String> {
    let text = raw_text(value)?;
    let bytes = hex::decode(text.strip_prefix("0x").unwrap_or(&text));
    bytes
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| format!("expected hex text, found {text:?}"))
}

/// A value for a message: its JSON, shortened.
fn shown(value: &Value) -> String {
    const LONGEST: usize = 80;
    let text = value.to_string();
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
