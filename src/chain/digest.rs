//! A digest of a stream: equal for two installations that hold the same events, whichever node they were read from.
//!
//! A chain of SHA-256 values. It starts as the hash of the handle's name,
//!
//! ```text
//! {account}/{resource}/{field}        account padded, resource as canonical_type writes it
//! {account}/{creation number}         of a handle that is known by its number
//! ```
//!
//! and each event, by ascending seq no, makes the next value of it: the hash of
//!
//! ```text
//! value so far      32 bytes
//! version            8 bytes, most significant first, as all numbers here
//! seq no             8 bytes
//! length of type     8 bytes
//! type                         UTF-8, as canonical_type writes it
//! length of data     8 bytes
//! data                         as canonical_data writes it
//! ```

use std::borrow::Cow;
use std::fmt;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{Address, Handle, RawEvent, Source, canonical_type};

/// The value after some events of one stream. Shown as 64 lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The value before the first event of the handle in `field` of the resource of that type at `account`.
    #[must_use]
    pub fn of_handle(account: Address, resource: &str, field: &str) -> Self {
        Self(Sha256::digest(format!("{account}/{}/{field}", canonical_type(resource))).into())
    }

    /// The value before the first event of a stream.
    #[must_use]
    pub fn of(source: &Source) -> Self {
        match source {
            Source::Handle(Handle { account, resource, field }) => Self::of_handle(*account, resource, field),
            Source::CreationNumber { account, number } => Self(Sha256::digest(format!("{account}/{number}")).into()),
            Source::ModuleEvent => Self(Sha256::digest("module events").into()),
        }
    }

    /// Goes on by one event.
    pub fn add(&mut self, event: &RawEvent) {
        let data = canonical_data(&event.data);
        let mut hash = Sha256::new_with_prefix(self.0);
        hash.update(event.version.get().to_be_bytes());
        hash.update(event.seq_no.get().to_be_bytes());
        for text in [&*event.event_type, &*data] {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text);
        }
        self.0 = hash.finalize().into();
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// An event's data in its one standard form: JSON without spaces, the names of an object ascending byte by byte (of equal
/// ones the last counts), numbers as received, texts with no escapes but `\"`, `\\`, `\b`, `\f`, `\n`, `\r`, `\t` and
/// `\u00xx` for other control characters, and texts of `0x` and 1 to 64 hex digits in lower case, padded to 64.
///
/// What is no JSON, or nested deeper than 127 levels, stays as it is.
#[must_use]
pub fn canonical_data(data: &str) -> Cow<'_, str> {
    let Ok(mut value) = serde_json::from_str::<Value>(data) else { return data.into() };
    pad_addresses(&mut value);
    value.to_string().into()
}

fn pad_addresses(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Ok(address) = text.parse::<Address>() {
                *text = address.to_string();
            }
        }
        Value::Array(values) => values.iter_mut().for_each(pad_addresses),
        Value::Object(fields) => fields.values_mut().for_each(pad_addresses),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::{SeqNo, Version};

    fn digest(version: u64, seq_no: u64, event_type: &str, data: &str) -> String {
        let mut digest = Digest::of_handle("0x1".parse().unwrap(), "0x1::m::S", "events");
        digest.add(&RawEvent {
            version: Version::new(version).unwrap(),
            event_index: None,
            seq_no: SeqNo::new(seq_no).unwrap(),
            event_type: event_type.into(),
            account_address: "0x1".parse().unwrap(),
            creation_number: 0,
            data: data.to_owned(),
            block_time: None,
            caller: None,
        });
        digest.to_string()
    }

    const DATA: &str = r#"{"by": "0x0A1", "price": "12", "n": {"b": [1, 1.50, "é\n"], "a": null}}"#;

    #[test]
    fn the_same_data_written_otherwise_has_the_same_digest() {
        let padded = format!("0x{:0>64}", "a1");
        for same in [
            r#"{"by":"0xa1","price":"12","n":{"b":[1,1.50,"é\n"],"a":null}}"#.to_owned(),
            format!(r#"{{ "n": {{"a":null, "b":[1,1.50,"\u00e9\u000a"]}}, "price":"\u0031\u0032", "by":"{padded}" }}"#),
            r#"{"by":"0xff","by":"0xA1","price":"12","n":{"b":[1,1.50,"é\n"],"a":null}}"#.to_owned(),
        ] {
            assert_eq!(digest(1, 2, "t", &same), digest(1, 2, "t", DATA), "{same}");
        }
        let canonical = format!(r#"{{"by":"{padded}","n":{{"a":null,"b":[1,1.50,"é\n"]}},"price":"12"}}"#);
        assert_eq!(canonical_data(DATA), canonical);
    }

    #[test]
    fn any_other_change_gives_another() {
        let changed = [
            digest(2, 2, "t", DATA),
            digest(1, 3, "t", DATA),
            digest(1, 2, "u", DATA),
            digest(1, 2, "t", &DATA.replace("0x0A1", "0x0A2")),
            digest(1, 2, "t", &DATA.replace("\"12\"", "12")),
            digest(1, 2, "t", &DATA.replace("1.50", "1.5")),
            digest(1, 2, "t", &DATA.replace("[1, 1.50", "[1.50, 1")),
            digest(1, 2, "t", &DATA.replace("null", "false")),
            digest(1, 2, "t", &DATA.replace("\"price\"", "\"Price\"")),
            digest(1, 2, "t", &DATA.replace('}', "")),
        ];
        for (at, one) in changed.iter().enumerate() {
            assert_ne!(*one, digest(1, 2, "t", DATA), "{at}");
            assert!(!changed[..at].contains(one), "{at}");
        }
    }

    #[test]
    fn what_is_no_json_is_taken_as_it_is() {
        for data in ["", "0xA", "{\"a\": 1", "nul", &"[".repeat(200)] {
            assert_eq!(canonical_data(data), data);
        }
        assert_ne!(digest(1, 2, "t", "{"), digest(1, 2, "t", "{ "));
    }

    /// The figure is Python's `hashlib`'s, from the layout above.
    #[test]
    fn the_layout_is_as_documented() {
        let digest = digest(1, 2, "0x1::m::E", r#"{"a": "0xA"}"#);
        assert_eq!(digest, "d999686b6a45e1669c6b346c9cbe4c100dde1af63a25a42ab80c5257e80635c8");
    }
}
