//! Single values of a market file: names, addresses, units, the parts of keys.

use std::sync::Arc;

use super::text::{Read, Value};
use super::types::is_identifier;
use crate::chain::{Address, ChainId, ParseError, Version};
use crate::market::rule::{Unit, Units};

/// The standard names that a key can be made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyPart {
    Id,
    Token,
    PropertyVersion,
    Collection,
    Creator,
    Seller,
    Offerer,
    Price,
    Currency,
}

impl KeyPart {
    const ALL: [Self; 9] = [
        Self::Id,
        Self::Token,
        Self::PropertyVersion,
        Self::Collection,
        Self::Creator,
        Self::Seller,
        Self::Offerer,
        Self::Price,
        Self::Currency,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Token => "token",
            Self::PropertyVersion => "property_version",
            Self::Collection => "collection",
            Self::Creator => "creator",
            Self::Seller => "seller",
            Self::Offerer => "offerer",
            Self::Price => "price",
            Self::Currency => "currency",
        }
    }
}

pub fn key_parts(value: &Value) -> Read<Vec<KeyPart>> {
    let known = KeyPart::ALL.map(|part| (part.name(), part));
    let mut parts = vec![];
    for item in value.list()? {
        let part = item.one_of("part of a key", &known)?;
        if parts.contains(&part) {
            return Err(item.wrong(format!("{} is there twice", part.name())));
        }
        parts.push(part);
    }
    if parts.is_empty() {
        return Err(value.wrong("a key needs at least one part"));
    }
    Ok(parts)
}

pub const UNITS: [&str; 3] = ["time", "expires_in", "expires_at"];

pub fn units(value: &Value) -> Read<Units> {
    let table = value.table("units", &UNITS)?;
    let unit = |name: &str| table.get(name).map(|value| value.one_of("unit", &Unit::ALL)).transpose();
    Ok(Units {
        time: unit("time")?.unwrap_or_default(),
        expires_in: unit("expires_in")?.unwrap_or_default(),
        expires_at: unit("expires_at")?.unwrap_or_default(),
    })
}

pub fn address(value: &Value) -> Read<Address> {
    value.text()?.parse().map_err(|error: ParseError| value.wrong(error.to_string()))
}

pub fn chain(value: &Value) -> Read<ChainId> {
    let number = value.number()?;
    ChainId::try_from(number)
        .ok()
        .filter(|chain| *chain > 0)
        .ok_or_else(|| value.wrong(format!("expected a chain id (mainnet 1, testnet 2), found {number}")))
}

pub fn version(value: &Value) -> Read<Version> {
    let number = value.number()?;
    Version::new(number).ok_or_else(|| value.wrong(format!("{number} is out of range")))
}

pub fn unverified(value: &Value) -> Read<Arc<str>> {
    match value.text()?.trim() {
        "" => Err(value.wrong("says nothing: tell what is not known, or take it out")),
        text => Ok(text.into()),
    }
}

/// The field of a resource that is an event handle.
pub fn field_name(value: &Value) -> Read<String> {
    match value.text()? {
        name if is_identifier(name) => Ok(name.to_owned()),
        other => Err(value.wrong(format!("expected the name of a field, such as \"sale_events\", found {other:?}"))),
    }
}

/// Names become parts of observers' names, which are keys and labels.
pub fn check_name(value: &Value) -> Read<()> {
    let name = value.text()?;
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if name.is_empty() || name.len() > 30 || !name.bytes().all(plain) {
        return Err(value.wrong(format!("{name:?}: expected 1 to 30 of a-z, 0-9 and _")));
    }
    Ok(())
}
