//! Reading requests as the node's web framework does, with its words where one cannot be read.

use axum::http::StatusCode;

use super::answer::Refusal;

/// `?start=..&limit=..&ledger_version=..`, by name.
pub struct Query<'a>(pub &'a str);

impl Query<'_> {
    /// A parameter of type `U64`.
    pub fn u64(&self, name: &str) -> Result<Option<u64>, Refusal> {
        let Some(text) = self.find(name) else { return Ok(None) };
        let number = text.parse().map_err(|error| {
            let kind = "(occurred while parsing \"optional<string(U64)>\")";
            unreadable(&format!("parameter `{name}`: {} {kind}", not_u64(&text, &error)))
        })?;
        Ok(Some(number))
    }

    /// A parameter of type `u16`.
    pub fn u16(&self, name: &str) -> Result<Option<u16>, Refusal> {
        let Some(text) = self.find(name) else { return Ok(None) };
        let number = text.parse().map_err(|error| {
            let kind = "(occurred while parsing \"optional<integer(uint16)>\")";
            unreadable(&format!("parameter `{name}`: failed to parse \"integer(uint16)\": {error} {kind}"))
        })?;
        Ok(Some(number))
    }

    /// A parameter of any text.
    pub fn text(&self, name: &str) -> Option<String> {
        self.find(name)
    }

    /// How many items of a page are wanted: the usual number if the request does not say, and never more than `most`.
    pub fn limit(&self, usual: u16, most: u16) -> Result<usize, Refusal> {
        let limit = self.u16("limit")?.unwrap_or(usual);
        if limit == 0 {
            return Err(Refusal::invalid("Given limit value (0) must not be zero"));
        }
        Ok(usize::from(limit.min(most)))
    }

    /// The limit of pages of events and of transactions.
    pub fn page_limit(&self) -> Result<usize, Refusal> {
        self.limit(25, 100)
    }

    fn find(&self, name: &str) -> Option<String> {
        let pairs = self.0.split('&').filter_map(|pair| pair.split_once('='));
        pairs.filter(|(known, _)| *known == name).map(|(_, value)| decoded(value)).next()
    }
}

/// A `U64` in a path.
pub fn path_u64(name: &str, text: &str) -> Result<u64, Refusal> {
    text.parse().map_err(|error| unreadable(&format!("path `{name}`: {}", not_u64(text, &error))))
}

/// The account in a path.
pub fn address(text: &str) -> Result<String, Refusal> {
    named_address("address", text)
}

/// An address in a path, padded or not, in any case; as the node writes it: in lower case, without leading zeros.
pub fn named_address(name: &str, text: &str) -> Result<String, Refusal> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let wrong = match digits.char_indices().find(|(_, digit)| !digit.is_ascii_hexdigit()) {
        Some((at, digit)) => format!("Hex characters are invalid: Invalid character '{digit}' at position {at}"),
        None if digits.is_empty() => {
            "Hex string is too short, must be 1 to 64 chars long, excluding the leading 0x".into()
        }
        None if digits.len() > 64 => {
            "Hex string is too long, must be 1 to 64 chars long, excluding the leading 0x".into()
        }
        None => {
            let significant = digits.trim_start_matches('0').to_ascii_lowercase();
            return Ok(format!("0x{}", if significant.is_empty() { "0" } else { &significant }));
        }
    };
    let kind = "failed to parse \"string(Address)\": Invalid account address";
    Err(unreadable(&format!("path `{name}`: {kind}: {wrong}")))
}

/// `0xADDRESS::module::Struct` in a path, with its address as the node writes it.
pub fn struct_tag(name: &str, text: &str) -> Result<String, Refusal> {
    let mut parts = text.splitn(3, "::");
    if let (Some(holder), Some(module), Some(item)) = (parts.next(), parts.next(), parts.next())
        && let Ok(holder) = address(holder)
        && !module.is_empty()
        && !item.is_empty()
    {
        return Ok(format!("{holder}::{module}::{item}"));
    }
    let wrong = format!("invalid struct tag: {text}, expected token ColonColon, got EOF");
    Err(unreadable(&format!("path `{name}`: failed to parse \"string(MoveStructTag)\": {wrong}")))
}

/// Percent-encoded text, decoded; what is no encoding stays as it is.
pub fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let code = tail.get(..2).filter(|_| *first == b'%').and_then(|code| std::str::from_utf8(code).ok());
        if let Some(byte) = code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            bytes.push(byte);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn unreadable(what: &str) -> Refusal {
    Refusal::framework(StatusCode::BAD_REQUEST, &format!("failed to parse {what}"))
}

fn not_u64(text: &str, error: &std::num::ParseIntError) -> String {
    format!("failed to parse \"string(U64)\": Parsing u64 string \"{text}\" failed, caused by error: {error}")
}
