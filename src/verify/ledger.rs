//! Events of several streams in ledger order, of which each is read a stretch at a time.

use std::collections::VecDeque;

use crate::chain::Version;
use crate::market::fold::Entry;

/// Gives out whole versions only: once every stream has been read beyond them.
pub struct Ledger {
    streams: Vec<Stream>,
}

#[derive(Default)]
struct Stream {
    waiting: VecDeque<Entry>,
    /// The version of the last event read; beyond all once it has ended.
    read: Option<Version>,
}

impl Ledger {
    pub fn new(streams: usize) -> Self {
        Self { streams: (0..streams).map(|_| Stream::default()).collect() }
    }

    /// More of a stream, which has been read up to that version, or to its end.
    pub fn push(&mut self, stream: usize, entries: Vec<Entry>, read: Option<Version>, ended: bool) {
        let stream = &mut self.streams[stream];
        stream.waiting.extend(entries);
        stream.read = if ended { Some(Version::max()) } else { stream.read.max(read) };
    }

    /// What nothing can come before any more, by ascending version, each with its stream.
    pub fn next(&mut self) -> Vec<(usize, Entry)> {
        let read = self.streams.iter().map(|stream| stream.read).min().flatten();
        let all_ended = read == Some(Version::max());
        let mut next = vec![];
        for (number, stream) in self.streams.iter_mut().enumerate() {
            while let Some(entry) = stream.waiting.pop_front_if(|entry| all_ended || Some(entry.version) < read) {
                next.push((number, entry));
            }
        }
        // Within a version the fold knows the order.
        next.sort_by_key(|(_, entry)| entry.version);
        next
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::chain::{RawEvent, SeqNo};
    use crate::market::Market;

    fn version(number: u64) -> Version {
        Version::new(number).unwrap()
    }

    /// Events of these versions.
    fn entries(versions: &[u64]) -> Vec<Entry> {
        let market = Market::built_in("imart", None).unwrap();
        let stream = market.streams.iter().find(|stream| &*stream.observer == "imart:create_collection").unwrap();
        let entry = |number: &u64| {
            let raw = RawEvent {
                version: version(*number),
                event_index: None,
                seq_no: SeqNo::ZERO,
                event_type: Arc::default(),
                account_address: market.address,
                creation_number: 0,
                data: r#"{"creator": "0x1", "name": "a"}"#.to_owned(),
                block_time: None,
                caller: None,
            };
            stream.entry(&raw).unwrap()
        };
        versions.iter().map(entry).collect()
    }

    fn versions(entries: &[(usize, Entry)]) -> Vec<(usize, u64)> {
        entries.iter().map(|(stream, entry)| (*stream, entry.version.get())).collect()
    }

    #[test]
    fn a_version_is_given_out_once_nothing_of_it_can_come() {
        let mut ledger = Ledger::new(2);
        ledger.push(0, entries(&[1, 4, 4]), Some(version(4)), false);
        assert_eq!(versions(&ledger.next()), []);
        // Its last event may have no meaning, and is known to be read all the same.
        ledger.push(1, entries(&[2, 4]), Some(version(6)), false);
        assert_eq!(versions(&ledger.next()), [(0, 1), (1, 2)]);
        ledger.push(0, entries(&[4, 9]), Some(version(9)), true);
        assert_eq!(versions(&ledger.next()), [(0, 4), (0, 4), (0, 4), (1, 4)]);
        ledger.push(1, vec![], None, true);
        assert_eq!(versions(&ledger.next()), [(0, 9)]);
    }
}
