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
