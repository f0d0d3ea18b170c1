//! Account and object addresses. The node trims leading zeros; everything of ours is padded.

use std::fmt;
use std::str::FromStr;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::ParseError;

/// What each byte is worth as a hex digit; 16 and more: it is none.
const VALUES: [u8; 256] = {
    let mut values = [u8::MAX; 256];
    let mut value = 0;
    while value < 16 {
        values[b"0123456789abcdef"[value as usize] as usize] = value;
        values[b"0123456789ABCDEF"[value as usize] as usize] = value;
        value += 1;
    }
    values
};

/// A 32-byte address, shown as `0x` and 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address([u8; 32]);

impl Address {
    /// The address with these bytes, most significant first.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes, most significant first.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The form in which types are written (AIP-40): `0x1` for the sixteen special addresses, padded otherwise.
    #[must_use]
    pub fn in_type(&self) -> String {
        let special = self.0[..31].iter().all(|byte| *byte == 0) && self.0[31] < 16;
        if special { format!("{:#x}", self.0[31]) } else { self.to_string() }
    }

    /// What it is shown as.
    pub(super) fn hex(&self) -> [u8; 66] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [b'0'; 66];
        text[1] = b'x';
        for (byte, digits) in self.0.iter().zip(text[2..].chunks_exact_mut(2)) {
            digits[0] = DIGITS[usize::from(byte >> 4)];
            digits[1] = DIGITS[usize::from(byte & 15)];
        }
        text
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(str::from_utf8(&self.hex()).unwrap_or_default())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// As text where people read it.
impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { self.0.serialize(serializer) }
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            return String::deserialize(deserializer)?.parse().map_err(D::Error::custom);
        }
        Deserialize::deserialize(deserializer).map(Self)
    }
}

impl FromStr for Address {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let wrong = || ParseError(format!("expected an address (0x and 1 to 64 hex digits), found {text:?}"));
        let digits = text.strip_prefix("0x").ok_or_else(wrong)?;
        if digits.is_empty() || digits.len() > 64 {
            return Err(wrong());
        }
        let (mut bytes, mut seen) = ([0; 32], 0);
        // From the right, as zeros on the left may be left out.
        for (byte, pair) in bytes.iter_mut().rev().zip(digits.as_bytes().rchunks(2)) {
            for digit in pair {
                let value = VALUES[usize::from(*digit)];
                seen |= value;
                *byte = *byte << 4 | value;
            }
        }
        if seen < 16 { Ok(Self(bytes)) } else { Err(wrong()) }
    }
}

/// A Move type with every address in its one standard form, so that equal types are equal texts.
///
/// `0x92D::m::S<0x01::a::B>` becomes `0x00..092d::m::S<0x1::a::B>`; a text without addresses comes back as it is.
#[must_use]
pub fn canonical_type(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for part in text.split_inclusive(['<', '>', ',', ' ']) {
        let head = part.find(':').filter(|end| part[*end..].starts_with("::")).map_or("", |end| &part[..end]);
        match head.parse::<Address>() {
            Ok(address) => out.extend([&address.in_type(), &part[head.len()..]]),
            Err(_) => out.push_str(part),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trimmed_and_padded_are_one_address() {
        let padded = format!("0x{:0>64}", "92d2");
        assert_eq!("0x92D2".parse::<Address>().unwrap().to_string(), padded);
        assert_eq!(padded.parse::<Address>().unwrap(), "0x92d2".parse().unwrap());
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in ["", "0x", "92d2", "0xg", "0x-1", &format!("0x{}", "1".repeat(65)), "0x1 "] {
            assert!(text.parse::<Address>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn types_take_one_form() {
        let long = format!("0x{:0>64}", "92d");
        assert_eq!(canonical_type("0x0000001::aptos_coin::AptosCoin"), "0x1::aptos_coin::AptosCoin");
        assert_eq!(canonical_type("0x92d::m::S<0x01::a::B, u64>"), format!("{long}::m::S<0x1::a::B, u64>"));
        assert_eq!(canonical_type("u64"), "u64");
    }
}
