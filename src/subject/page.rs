//! A page of events, and what of it can be trusted.

use super::Ledger;
use crate::chain::{RawEvent, SeqNo, Version};

/// A page of events, and the ledger that it was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The events, in the order in which the source gave them.
    pub events: Vec<RawEvent>,
    /// Whether the source gave as many as it ever gives at once: there may be more at hand.
    pub full: bool,
    /// Where the node stood.
    pub ledger: Ledger,
}

impl Page {
    /// How many of the first events continue the stream at `next`, after an event of `version`: the numbers must go on
    /// without a hole, in ascending versions.
    #[must_use]
    pub fn continuing(&self, next: SeqNo, version: Option<Version>) -> usize {
        let mut next = next;
        let mut version = version;
        let continues = |event: &&RawEvent| {
            let fits = event.seq_no == next && version.is_none_or(|version| version <= event.version);
            next = event.seq_no.next();
            version = Some(event.version);
            fits
        };
        self.events.iter().take_while(continues).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(seq_no: u64, version: u64) -> RawEvent {
        RawEvent {
            version: Version::new(version).unwrap(),
            event_index: None,
            seq_no: SeqNo::new(seq_no).unwrap(),
            event_type: std::sync::Arc::default(),
            account_address: "0x1".parse().unwrap(),
            creation_number: 0,
            data: "{}".to_owned(),
            block_time: None,
        }
    }

    #[test]
    fn nothing_behind_a_hole_a_repeat_or_a_step_back_continues() {
        let cases: [(&[(u64, u64)], usize); 7] = [
            (&[], 0),
            (&[(5, 50), (6, 50), (7, 60)], 3),
            (&[(6, 50)], 0),
            (&[(4, 50), (5, 51)], 0),
            (&[(5, 50), (7, 60)], 1),
            (&[(5, 50), (5, 50)], 1),
            (&[(5, 50), (6, 49)], 1),
        ];
        for (page, expected) in cases {
            let events = page.iter().map(|(seq_no, version)| event(*seq_no, *version)).collect();
            let page = Page { events, full: false, ledger: Ledger::default() };
            assert_eq!(page.continuing(SeqNo::new(5).unwrap(), Version::new(49)), expected, "{page:?}");
        }
        let older = Page { events: vec![event(5, 48)], full: false, ledger: Ledger::default() };
        assert_eq!(older.continuing(SeqNo::new(5).unwrap(), Version::new(49)), 0);
    }
}
