//! A page of events, and what of it can be trusted.

use std::sync::atomic::{AtomicU16, Ordering};

use super::Ledger;
use crate::chain::{RawEvent, SeqNo, Version};

/// A page of events, and the ledger that it was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The events, in the order in which the source gave them.
    pub events: Vec<RawEvent>,
    /// Whether the source gave as many as it gives at once, or has looked for as long as it does: there may be more at hand.
    pub full: bool,
    /// Up to which version nothing of the stream is missing after this page, where the source looks for its events.
    pub scanned: Option<Version>,
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

/// How many events are asked for at once: fewer while pages are longer than any that is read.
#[derive(Debug)]
pub(super) struct PageLimit(AtomicU16);

impl PageLimit {
    /// As many as a node gives at once; more is clamped in silence.
    const MOST: u16 = 100;

    pub fn get(&self) -> u16 {
        self.0.load(Ordering::Relaxed)
    }

    /// A page of `limit` was too long. Whether a shorter one can be asked for.
    pub fn is_too_long(&self, limit: u16) -> bool {
        self.0.fetch_min((limit / 2).max(1), Ordering::Relaxed);
        limit > 1
    }

    /// A page of `limit` was read: perhaps longer ones can be again.
    pub fn fits(&self, limit: u16) {
        if limit < Self::MOST {
            let doubled = (limit * 2).min(Self::MOST);
            // Unless somebody else has found out otherwise meanwhile.
            let _ = self.0.compare_exchange(limit, doubled, Ordering::Relaxed, Ordering::Relaxed);
        }
    }
}

impl Default for PageLimit {
    fn default() -> Self {
        Self(AtomicU16::new(Self::MOST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_become_shorter_until_they_fit_and_longer_again() {
        let limit = PageLimit::default();
        let shorter: Vec<_> = std::iter::from_fn(|| limit.is_too_long(limit.get()).then(|| limit.get())).collect();
        assert_eq!(shorter, [50, 25, 12, 6, 3, 1]);
        let mut longer = vec![];
        while limit.get() < PageLimit::MOST {
            limit.fits(limit.get());
            longer.push(limit.get());
        }
        assert_eq!(longer, [2, 4, 8, 16, 32, 64, 100]);
    }

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
            caller: None,
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
            let page = Page { events, full: false, scanned: None, ledger: Ledger::default() };
            assert_eq!(page.continuing(SeqNo::new(5).unwrap(), Version::new(49)), expected, "{page:?}");
        }
        let older = Page { events: vec![event(5, 48)], full: false, scanned: None, ledger: Ledger::default() };
        assert_eq!(older.continuing(SeqNo::new(5).unwrap(), Version::new(49)), 0);
    }
}
