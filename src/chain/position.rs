//! Positions: of a transaction in the ledger, of an event in its stream.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A transaction's position in the ledger. At most `i64::MAX`, as every database can store it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Version(u64);

/// An event's number in its stream, from 0. As a stored position, the number of the next event (half-open).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct SeqNo(u64);

impl Version {
    /// The version with this number, if it is in range.
    #[must_use]
    pub fn new(number: u64) -> Option<Self> {
        i64::try_from(number).ok().map(|_| Self(number))
    }

    /// Beyond every version that there will be.
    #[must_use]
    pub fn max() -> Self {
        Self(i64::MAX.cast_unsigned())
    }

    /// The version in a column; a negative number is taken for 0.
    #[must_use]
    pub fn from_column(number: i64) -> Self {
        Self(u64::try_from(number).unwrap_or_default())
    }

    /// The number as columns store it.
    #[must_use]
    pub fn column(self) -> i64 {
        self.0.cast_signed()
    }

    /// The plain number.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }

    /// The version behind this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1).min(Self::max())
    }

    /// The version before this one; the first has none.
    #[must_use]
    pub fn before(self) -> Option<Self> {
        self.0.checked_sub(1).map(Self)
    }
}

impl SeqNo {
    /// The start of every stream.
    pub const ZERO: Self = Self(0);

    /// The seq no with this number, if it is in range.
    #[must_use]
    pub fn new(number: u64) -> Option<Self> {
        i64::try_from(number).ok().map(|_| Self(number))
    }

    /// The seq no in a column; a negative number is taken for 0.
    #[must_use]
    pub fn from_column(number: i64) -> Self {
        Self(u64::try_from(number).unwrap_or_default())
    }

    /// The number as columns store it.
    #[must_use]
    pub fn column(self) -> i64 {
        self.0.cast_signed()
    }

    /// The plain number.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }

    /// The position behind this event: the only place that adds one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The next event to execute, from the column `executed_seq_no` (-1 before the first).
    #[must_use]
    pub fn after_executed(executed: i64) -> Self {
        Self(u64::try_from(executed.saturating_add(1)).unwrap_or_default())
    }

    /// The column `executed_seq_no` of a stream whose next event is this one.
    #[must_use]
    pub fn executed(self) -> i64 {
        self.0.cast_signed() - 1
    }

    /// How many events lie between `self` and `end`; 0 where `end` is not beyond.
    #[must_use]
    pub fn until(self, end: Self) -> u64 {
        end.0.saturating_sub(self.0)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for SeqNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_executed_column_and_the_next_position_agree() {
        assert_eq!(SeqNo::after_executed(-1), SeqNo::ZERO);
        assert_eq!(SeqNo::ZERO.executed(), -1);
        assert_eq!(SeqNo::after_executed(41).executed(), 41);
        assert_eq!(SeqNo::ZERO.until(SeqNo(7)), 7);
        assert_eq!(SeqNo(7).until(SeqNo::ZERO), 0);
        assert_eq!(SeqNo::new(u64::MAX), None);
    }
}
