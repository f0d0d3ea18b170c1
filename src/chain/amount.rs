//! Amounts of money and counts of things: exact, whole, never negative.

use std::fmt;
use std::str::FromStr;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::ParseError;

/// A whole number in the smallest unit of its coin (octas for APT), or a count of copies. Fits the chain's u128.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Amount(pub u128);

impl Amount {
    /// The largest count the chain has: a u64.
    pub const MAX_COUNT: Self = Self(u64::MAX as u128);

    /// `self + other`. Stays at the largest u128, which is more than any coin's whole supply.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// `self - other`, never below zero.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// `self * other`, or nothing where that is beyond u128.
    #[must_use]
    pub fn times(self, other: Self) -> Option<Self> {
        self.0.checked_mul(other.0).map(Self)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// As text where people read it: JSON's numbers lose digits in many readers.
impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { self.0.serialize(serializer) }
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            return String::deserialize(deserializer)?.parse().map_err(D::Error::custom);
        }
        u128::deserialize(deserializer).map(Self)
    }
}

impl FromStr for Amount {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        // `parse` alone would take a leading plus sign.
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(ParseError(format!("expected a whole number, found {text:?}")));
        }
        text.parse()
            .map(Self)
            .map_err(|_| ParseError(format!("{text} is out of range: a u128 is at most {}", u128::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_u128_and_nothing_else() {
        assert_eq!("0".parse(), Ok(Amount(0)));
        assert_eq!(u128::MAX.to_string().parse(), Ok(Amount(u128::MAX)));
        for text in ["", "+1", "-1", "1.0", "1e3", " 1", "340282366920938463463374607431768211456"] {
            assert!(text.parse::<Amount>().is_err(), "{text:?}");
        }
    }
}
