//! A list of collections in a JSON file.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::chain::token::{v1_collection_id, v2_collection};
use crate::chain::{Address, Amount};
use crate::market::Standard;
use crate::state::ImportedCollection;

/// The entries of a list.
#[derive(Debug, Default)]
pub struct Listed {
    /// The good ones, in order.
    pub collections: Vec<ImportedCollection>,
    /// The others: position in the list (from 1), and what is wrong.
    pub bad: Vec<(usize, String)>,
}

impl Listed {
    /// Reads a list of objects with `collection` (or `name`), `creator`, and optionally `standard` (`v1`, else `v2`),
    /// `description`, `cover_uri` (or `uri`), `supply` and `maximum`; whatever else there is goes into `metadata`.
    /// `creator` is whose the entries are that name nobody. Fails if it is no list.
    pub fn parse(file: &[u8], creator: Option<Address>) -> Result<Self, String> {
        const EXPECTED: &str = r#"expected a list like [{"collection": "Name", "creator": "0x..."}]"#;
        let text = String::from_utf8_lossy(file);
        let is_text = matches!(text, Cow::Borrowed(_));
        let text = text.trim_start_matches('\u{feff}');
        let not_json = |error| format!("it is not JSON ({error}): {EXPECTED}");
        let json: &RawValue = serde_json::from_str(text).map_err(not_json)?;
        // Entries one by one: what is wrong with one says nothing about the others.
        let entries: Vec<&RawValue> =
            serde_json::from_str(json.get()).map_err(|_| format!("found {}: {EXPECTED}", kind_of(json.get())))?;
        let mut listed = Self::default();
        let mut positions: HashMap<String, usize> = HashMap::new();
        for (position, entry) in (1..).zip(entries) {
            let entry = entry.get();
            let read = if !is_text && entry.contains(char::REPLACEMENT_CHARACTER) {
                Err("holds bytes that are not UTF-8".to_owned())
            } else {
                serde_json::from_str(entry)
                    .map_err(|error| error.to_string())
                    .and_then(|entry| collection(entry, creator))
            };
            match read {
                Ok(collection) => {
                    if let Some(first) = positions.get(&collection.collection_id) {
                        listed.bad.push((position, format!("is the same collection as entry {first}")));
                    } else {
                        positions.insert(collection.collection_id.clone(), position);
                        listed.collections.push(collection);
                    }
                }
                Err(reason) => listed.bad.push((position, reason)),
            }
        }
        Ok(listed)
    }
}

fn kind_of(json: &str) -> &'static str {
    serde_json::from_str(json).map_or("something else", |value| kind(&value))
}

fn collection(entry: Value, creator: Option<Address>) -> Result<ImportedCollection, String> {
    let mut fields = match entry {
        Value::Object(fields) => fields,
        other => return Err(format!("expected an object, found {}", kind(&other))),
    };
    let name = text(&mut fields, &["collection", "name"])?.ok_or("collection (or name) is missing")?;
    if name.is_empty() {
        return Err("collection (or name) is empty".to_owned());
    }
    let creator = match text(&mut fields, &["creator"])? {
        Some(text) => text.trim().parse().map_err(|error| format!("creator: {error}"))?,
        None => creator.ok_or("creator is missing (name it in the entry, or for all entries with --account)")?,
    };
    let (standard, collection_id) = match text(&mut fields, &["standard", "token_standard"])?.as_deref() {
        None | Some("v1") => (Standard::V1, v1_collection_id(&creator, &name).to_string()),
        Some("v2") => (Standard::V2, v2_collection(&creator, &name).to_string()),
        Some(other) => return Err(format!("standard: expected v1 or v2, found {other:?}")),
    };
    Ok(ImportedCollection {
        collection_id,
        creator,
        name,
        standard,
        description: text(&mut fields, &["description"])?,
        uri: text(&mut fields, &["cover_uri", "uri"])?,
        supply: count(&mut fields, "supply")?,
        maximum: count(&mut fields, "maximum")?,
        metadata: fields,
        created_version: None,
    })
}

/// The first of these fields that is there and not null.
fn text(fields: &mut Map<String, Value>, names: &[&str]) -> Result<Option<String>, String> {
    for name in names {
        match fields.get(*name) {
            None => {}
            Some(Value::Null) => {
                fields.remove(*name);
            }
            Some(Value::String(text)) => {
                let text = text.clone();
                fields.remove(*name);
                return Ok(Some(text));
            }
            Some(other) => return Err(format!("{name}: expected a text, found {}", kind(other))),
        }
    }
    Ok(None)
}

fn count(fields: &mut Map<String, Value>, name: &str) -> Result<Option<Amount>, String> {
    let text = match fields.remove(name) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => text,
        Some(Value::Number(number)) => number.to_string(),
        Some(other) => return Err(format!("{name}: expected a whole number, found {}", kind(&other))),
    };
    let number: Amount = text.parse().map_err(|error| format!("{name}: {error}"))?;
    if number > Amount::MAX_COUNT {
        return Err(format!("{name}: {number} is out of range: at most {}", u64::MAX));
    }
    Ok(Some(number))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bad_entry_says_nothing_about_the_others() {
        let file = b"\xef\xbb\xbf[{\"name\": \"A\", \"creator\": \"0x1\"}, {\"name\": \"\xff\", \"creator\": \"0x1\"},\
            {\"name\": \"\\ud800\", \"creator\": \"0x1\"}, null, {\"name\": \"B\", \"creator\": \"0x1\", \"supply\": 1.5}]";
        let listed = Listed::parse(file, None).unwrap();
        assert_eq!(listed.collections.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["A"]);
        let bad: Vec<_> = listed.bad.iter().map(|(position, reason)| format!("{position}: {reason}")).collect();
        for (found, expected) in
            bad.iter().zip(["2: holds bytes", "3: ", "4: expected an object, found null", "5: supply"])
        {
            assert!(found.starts_with(expected), "{found:?} does not begin with {expected:?}");
        }
        assert_eq!(bad.len(), 4);
    }

    #[test]
    fn what_is_no_list_is_refused_with_what_would_be() {
        for (file, part) in
            [("", "not JSON"), ("[{", "not JSON"), ("{}", "an object"), ("7", "a number"), ("null", "null")]
        {
            let error = Listed::parse(file.as_bytes(), None).unwrap_err();
            assert!(error.contains(part) && error.contains("expected a list like"), "{file}: {error}");
        }
    }
}
