//! An event's data, parsed one level at a time: what nobody asks for is checked and skipped, but never copied.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// What is wrong with a value; the caller adds where it stood.
pub type Parsed<T> = Result<T, String>;

/// One JSON value.
pub enum Json<'a> {
    Null,
    Bool(bool),
    /// As it stands there: no number loses a digit.
    Number(&'a str),
    Text(Cow<'a, str>),
    Array,
    Object(Object<'a>),
}

impl<'a> Json<'a> {
    /// What `value` is. Being JSON it is told by its first byte; fails only on escapes that are no text.
    pub fn of(value: &'a RawValue) -> Parsed<Self> {
        let text = value.get();
        Ok(match text.as_bytes() {
            [b'n', ..] => Self::Null,
            [b't', ..] => Self::Bool(true),
            [b'f', ..] => Self::Bool(false),
            [b'[', ..] => Self::Array,
            [b'{', ..] => Self::Object(parsed(text)?),
            [b'"', inner @ .., b'"'] if !inner.contains(&b'\\') => Self::Text(Cow::Borrowed(&text[1..text.len() - 1])),
            [b'"', ..] => Self::Text(Cow::Owned(parsed(text)?)),
            _ => Self::Number(text),
        })
    }
}

/// A JSON object: its names, and its values as text.
#[derive(Default)]
pub struct Object<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Object<'a> {
    /// The object that `json` spells; of any other value, one without fields.
    pub fn parse(json: &'a str) -> Parsed<Self> {
        if json.trim_start().starts_with('{') {
            return parsed(json);
        }
        parsed(json).map(|IgnoredAny| Self::default())
    }

    /// The value of `name`. Of equal names the last one counts.
    pub fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().rev().find(|(other, _)| other == name).map(|(_, value)| *value)
    }

    /// The value at the end of a path of names, if one is told there: neither null nor an empty `Option`.
    pub fn at(&self, names: &[String]) -> Parsed<Option<&'a RawValue>> {
        let Some((name, rest)) = names.split_first() else { return Ok(None) };
        let Some(value) = self.get(name).map(told).transpose()?.flatten() else { return Ok(None) };
        if rest.is_empty() { Ok(Some(value)) } else { Self::parse(value.get())?.at(rest) }
    }
}

/// What is in an `Option`, whose JSON is `{"vec": []}` or `{"vec": [value]}`; any other value but null as it is.
fn told(value: &RawValue) -> Parsed<Option<&RawValue>> {
    let text = value.get();
    if !text.strip_prefix('{').is_some_and(|inside| inside.trim_start().starts_with("\"vec\"")) {
        return Ok(Some(value).filter(|_| text != "null"));
    }
    // A struct may have such a field, too.
    let Object(fields) = parsed(text)?;
    match &fields[..] {
        [(_, values)] if values.get().starts_with('[') => match parsed::<Vec<&RawValue>>(values.get())?[..] {
            [] => Ok(None),
            [value] => Ok(Some(value)),
            _ => Err("expected an Option, found a list of more than one".to_owned()),
        },
        _ => Ok(Some(value)),
    }
}

fn parsed<'a, T: Deserialize<'a>>(json: &'a str) -> Parsed<T> {
    serde_json::from_str(json).map_err(|error| format!("is not JSON: {error}"))
}

/// A text that is copied only where it has escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                /// As many as most events have.
                const FIELDS: usize = 12;
                let mut fields = Vec::with_capacity(FIELDS);
                while let Some((Text(name), value)) = map.next_entry()? {
                    fields.push((name, value));
                }
                Ok(Object(fields))
            }
        }

        deserializer.deserialize_map(Fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(path: &str) -> Vec<String> {
        path.split('.').map(str::to_owned).collect()
    }

    fn at<'a>(json: &'a str, path: &str) -> Option<&'a str> {
        Object::parse(json).unwrap().at(&names(path)).unwrap().map(RawValue::get)
    }

    #[test]
    fn values_stand_as_they_were_written() {
        let json =
            r#" {"a": {"b": {"c": 340282366920938463463374607431768211456}}, "a.b": 1, "n": -1.50e3 , "t": "x"} "#;
        assert_eq!(at(json, "a.b.c"), Some("340282366920938463463374607431768211456"));
        assert_eq!(at(json, "n"), Some("-1.50e3"));
        assert_eq!(at(json, "t"), Some("\"x\""));
        for missing in ["b", "a.c", "a.b.c.d", "t.x", ""] {
            assert_eq!(at(json, missing), None, "{missing}");
        }
    }

    #[test]
    fn of_equal_names_the_last_one_counts() {
        assert_eq!(at(r#"{"a": 1, "b": 2, "a": {"b": 3}, "\u0061": {"b": 4, "b": 5}}"#, "a.b"), Some("5"));
        assert_eq!(at(r#"{"a": {"b": 1}, "a": null}"#, "a.b"), None);
        assert_eq!(at(r#"{"a": null}"#, "a"), None);
    }

    #[test]
    fn options_are_looked_into() {
        let json = r#"{"some": {"vec": ["7"]}, "none": {"vec":[]}, "far": { "vec": [{"inner": {"vec": ["0x1"]}}]},
            "struct": {"vec": [1], "n": 2}, "word": {"vec": "x"}}"#;
        assert_eq!(at(json, "some"), Some("\"7\""));
        assert_eq!((at(json, "none"), at(json, "none.inner")), (None, None));
        assert_eq!(at(json, "far.inner"), Some("\"0x1\""));
        assert_eq!((at(json, "struct.n"), at(json, "word.vec")), (Some("2"), Some("\"x\"")));
        let two = Object::parse(r#"{"a": {"vec": [1, 2]}}"#).unwrap();
        assert_eq!(two.at(&names("a")).unwrap_err(), "expected an Option, found a list of more than one");
    }

    #[test]
    fn texts_are_unescaped() {
        for (json, text) in [
            (r#""plain""#, "plain"),
            (r#""""#, ""),
            (r#""\"""#, "\""),
            (r#""a\\""#, "a\\"),
            (r#""\u0000\ud83d\ude00é""#, "\0😀é"),
        ] {
            let raw: &RawValue = serde_json::from_str(json).unwrap();
            assert!(matches!(Json::of(raw), Ok(Json::Text(found)) if found == text), "{json}");
        }
    }

    #[test]
    fn what_is_no_object_has_no_fields() {
        for json in ["null", "true", "12", "\"a\"", "[{\"a\": 1}]", " [] "] {
            assert_eq!(at(json, "a"), None, "{json}");
        }
    }

    #[test]
    fn what_is_not_json_is_refused_wherever_it_stands() {
        for json in [
            "",
            " ",
            "{",
            "nul",
            "{\"a\": 1",
            "{\"a\": 1} x",
            "{\"a\": 1, \"b\": tru}",
            "{\"a\": 1, \"b\": [1, 2}",
            "{\"a\": 1, \"b\": \"line\nbreak\"}",
            "{\"a\": 1, \"b\": \"\\x\"}",
            "{\"a\": 1, \"b\": 01}",
            "{\"a\": 1,}",
            "\u{a0}{\"a\": 1}",
        ] {
            let refused = Object::parse(json).err().unwrap_or_default();
            assert!(refused.starts_with("is not JSON: "), "{json}: {refused}");
        }
        let half: &RawValue = serde_json::from_str(r#""\ud83d""#).unwrap();
        assert!(Json::of(half).is_err_and(|reason| reason.starts_with("is not JSON: ")));
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = format!("{{\"a\": 1, \"b\": {}{}}}", "[".repeat(1_000_000), "]".repeat(1_000_000));
        assert_eq!(at(&deep, "a"), Some("1"));
        assert_eq!(at(&deep, "b.c"), None);
    }
}
