//! The chain's time.

use std::fmt;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Microseconds since 1970 (UTC), at most the end of the year 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// 9999-12-31T23:59:59.999999Z, the last time that every database can store.
    pub const MAX: Self = Self(253_402_300_799_999_999);

    /// The time so many microseconds after 1970, or nothing beyond the year 9999.
    #[must_use]
    pub fn from_micros(micros: u128) -> Option<Self> {
        i64::try_from(micros).ok().filter(|micros| *micros <= Self::MAX.0).map(Self)
    }

    /// Microseconds since 1970; never negative.
    #[must_use]
    pub fn micros(self) -> i64 {
        self.0
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = chrono::DateTime::from_timestamp_micros(self.0).unwrap_or_default();
        f.write_str(&time.to_rfc3339_opts(chrono::SecondsFormat::Micros, true))
    }
}

/// RFC 3339 with microseconds where people read it.
impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { self.0.serialize(serializer) }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let micros = if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            chrono::DateTime::parse_from_rfc3339(&text).map_err(D::Error::custom)?.timestamp_micros()
        } else {
            i64::deserialize(deserializer)?
        };
        let time = u128::try_from(micros).ok().and_then(Self::from_micros);
        time.ok_or_else(|| D::Error::custom("a time before 1970 or beyond the year 9999"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_the_year_9999_there_is_no_time() {
        assert_eq!(Timestamp::from_micros(253_402_300_799_999_999), Some(Timestamp::MAX));
        assert_eq!(Timestamp::from_micros(253_402_300_800_000_000), None);
        assert_eq!(Timestamp::from_micros(u128::MAX), None);
    }
}
