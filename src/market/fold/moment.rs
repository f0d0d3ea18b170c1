//! A total order of events that can be stored.

use crate::chain::{SeqNo, Version};

/// An event's place among all events, for columns that follow the newest one. Three numbers decide, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// The transaction.
    pub version: Version,
    /// The place within it: event index, else rank of the kind, then the stream's place in its market file.
    pub place: i64,
    /// The number in its stream.
    pub seq_no: SeqNo,
}

impl Moment {
    /// Stands for an unknown event index: behind all known ones.
    const UNKNOWN: u32 = i32::MAX.cast_unsigned();

    pub(super) fn new(version: Version, index: Option<u32>, rank: u8, stream: u8, seq_no: SeqNo) -> Self {
        let index = index.unwrap_or(Self::UNKNOWN).min(Self::UNKNOWN);
        Self { version, place: i64::from(index) << 16 | i64::from(rank) << 8 | i64::from(stream), seq_no }
    }

    /// Whether the event's index is known.
    pub(super) fn is_placed(self) -> bool {
        self.place >> 16 != i64::from(Self::UNKNOWN)
    }

    /// The place of the event's stream in its market file.
    #[must_use]
    pub fn stream(self) -> u8 {
        self.place.to_le_bytes()[0]
    }
}
