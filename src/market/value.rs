//! Reading single values: what the node's JSON may look like for each type, and what is refused.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::value::RawValue;

use super::json::{Json, Object, Parsed};
use crate::chain::token::{v1_collection_id, v1_ids};
use crate::chain::{Address, Amount, ParseError, canonical_type};
use crate::market::{Item, Standard};

/// A whole number: `"12"` or `12`.
pub fn amount(value: &RawValue) -> Parsed<Amount> {
    match Json::of(value)? {
        Json::Text(text) => text.parse().map_err(|error: ParseError| error.to_string()),
        Json::Number(digits) => digits.parse().map_err(|error: ParseError| error.to_string()),
        _ => Err(format!("expected a whole number, found {}", shown(value))),
    }
}

/// A whole number within u64.
pub fn count(value: &RawValue) -> Parsed<Amount> {
    let number = amount(value)?;
    if number > Amount::MAX_COUNT {
        return Err(format!("{number} is out of range: a u64 is at most {}", u64::MAX));
    }
    Ok(number)
}

/// A token's property version: a whole number that a signed 64-bit column can hold.
pub fn property_version(value: &RawValue) -> Parsed<i64> {
    let number = amount(value)?;
    i64::try_from(number.0).map_err(|_| format!("{number} is out of range: at most {} can be stored", i64::MAX))
}

/// An address, alone or as an object (`{"inner": "0x.."}`).
pub fn address(value: &RawValue) -> Parsed<Address> {
    let inner = match Json::of(value)? {
        Json::Object(fields) => fields.get("inner").map(Json::of).transpose()?,
        other => Some(other),
    };
    match inner {
        Some(Json::Text(text)) => text.parse().map_err(|error: ParseError| error.to_string()),
        _ => Err(format!("expected an address, found {}", shown(value))),
    }
}

/// Any text. PostgreSQL cannot store NUL, so it becomes the replacement character; ids are made before that.
pub fn text(value: &RawValue) -> Parsed<Arc<str>> {
    raw_text(value).map(|text| storable(&text).into())
}

/// `true` or `"true"`.
pub fn boolean(value: &RawValue) -> Parsed<bool> {
    match Json::of(value)? {
        Json::Bool(yes) => Ok(yes),
        Json::Text(text) if text == "true" => Ok(true),
        Json::Text(text) if text == "false" => Ok(false),
        _ => Err(format!("expected true or false, found {}", shown(value))),
    }
}

/// A coin's type: `0x1::type_info::TypeInfo` with its two names in hex, or the type as text. Of a fungible asset, the padded
/// address of its object.
pub fn coin_type(value: &RawValue) -> Parsed<Arc<str>> {
    let fields = match Json::of(value)? {
        Json::Text(text) if text.contains("::") => return Ok(canonical_type(&storable(&text)).into()),
        Json::Text(text) if text.starts_with("0x") => return address(value).map(|asset| asset.to_string().into()),
        Json::Object(fields) if fields.get("inner").is_some() => {
            return address(value).map(|asset| asset.to_string().into());
        }
        Json::Object(fields) => fields,
        _ => return Err(format!("expected a TypeInfo, a coin's type or an asset's address, found {}", shown(value))),
    };
    let part = |name: &str| fields.get(name).ok_or_else(|| format!("expected a TypeInfo, {name} is missing"));
    let account = address(part("account_address")?).map_err(|error| format!("account_address: {error}"))?;
    let module = hex_text(part("module_name")?).map_err(|error| format!("module_name: {error}"))?;
    let name = hex_text(part("struct_name")?).map_err(|error| format!("struct_name: {error}"))?;
    let coin = [&account.in_type(), "::", &module, "::", &name].concat();
    // Only type arguments name more addresses.
    let coin = if coin.contains('<') { canonical_type(&coin) } else { coin };
    Ok(storable(&coin).into())
}

/// What a contract tells its listings or offers apart by: a number in decimal, an address padded, the two parts of a
/// `0x1::guid::ID` joined by `/`.
pub fn id(value: &RawValue) -> Parsed<String> {
    match Json::of(value)? {
        Json::Text(text) if text.starts_with("0x") => address(value).map(|address| address.to_string()),
        Json::Object(fields) => match (fields.get("addr"), fields.get("creation_num")) {
            (Some(account), Some(number)) => {
                let account = address(account).map_err(|error| format!("addr: {error}"))?;
                let number = count(number).map_err(|error| format!("creation_num: {error}"))?;
                Ok(format!("{account}/{number}"))
            }
            _ => address(value).map(|address| address.to_string()),
        },
        _ => count(value).map(|number| number.to_string()),
    }
}

/// An id that is any text. As a part of a key it has no `/` of its own.
pub fn text_id(value: &RawValue) -> Parsed<String> {
    raw_text(value).map(|text| storable(&text).replace('%', "%25").replace('/', "%2F"))
}

/// A token: `0x3::token::TokenId` or `TokenDataId`, or the address of a token object.
pub fn token(value: &RawValue) -> Parsed<(Item, Standard)> {
    let fields = Object::parse(value.get())?;
    let Some(data) = fields.get("token_data_id") else {
        if fields.get("creator").is_some() {
            return Ok((data_id(&fields)?, Standard::V1));
        }
        let address = address(value).map_err(|_| format!("expected a TokenId or an object, found {}", shown(value)))?;
        return Ok((Item { token_id: Some(address), ..Item::default() }, Standard::V2));
    };
    let item = data_id(&Object::parse(data.get())?).map_err(|error| format!("token_data_id.{error}"))?;
    let version = fields.get("property_version").ok_or("property_version is missing")?;
    let property_version = property_version(version).map_err(|error| format!("property_version: {error}"))?;
    Ok((Item { property_version, ..item }, Standard::V1))
}

fn data_id(fields: &Object) -> Parsed<Item> {
    let part = |name: &str| fields.get(name).ok_or_else(|| format!("{name} is missing"));
    let at = |name: &'static str| move |error: String| format!("{name}: {error}");
    let creator = address(part("creator")?).map_err(at("creator"))?;
    let collection = raw_text(part("collection")?).map_err(at("collection"))?;
    let name = raw_text(part("name")?).map_err(at("name"))?;
    Ok(v1_item(creator, &collection, Some(&name)))
}

/// The v1 collection of that creator and name, or the token of it.
pub fn v1_item(creator: Address, collection: &str, token: Option<&str>) -> Item {
    let (collection_id, token_id) = match token {
        Some(token) => {
            let (collection_id, token_id) = v1_ids(&creator, collection, token);
            (collection_id, Some(token_id))
        }
        None => (v1_collection_id(&creator, collection), None),
    };
    Item {
        collection_id: Some(collection_id),
        collection_name: Some(storable(collection).into()),
        creator: Some(creator),
        token_id,
        token_name: token.map(|name| storable(name).into()),
        property_version: 0,
    }
}

/// Text as the chain has it, for ids.
pub fn raw_text(value: &RawValue) -> Parsed<Cow<'_, str>> {
    match Json::of(value)? {
        Json::Text(text) => Ok(text),
        _ => Err(format!("expected a text, found {}", shown(value))),
    }
}

/// Text as every database can store it.
#[must_use]
pub fn storable(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "\u{fffd}").into() } else { text.into() }
}

/// A text given as hex bytes.
pub fn hex_text(value: &RawValue) -> Parsed<String> {
    let text = raw_text(value)?;
    let bytes = hex::decode(text.strip_prefix("0x").unwrap_or(&text));
    bytes
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| format!("expected hex text, found {text:?}"))
}

/// A value for a message: its JSON without spaces, shortened.
fn shown(value: &RawValue) -> String {
    const LONGEST: usize = 80;
    let compact = serde_json::from_str(value.get()).map(|value: serde_json::Value| value.to_string());
    let text = compact.unwrap_or_else(|_| value.get().to_owned());
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
