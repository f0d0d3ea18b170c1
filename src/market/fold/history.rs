//! Folding the events of one listing or offer, in ledger order, on top of its row or anew.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Entry;
use crate::chain::{SeqNo, Version};
use crate::market::kind::Step;

/// The last event that a row has folded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Last {
    pub version: Version,
    pub event_index: Option<u32>,
    pub observer: Arc<str>,
    pub seq_no: SeqNo,
}

impl Last {
    pub(super) fn of(entry: &Entry) -> Self {
        Self {
            version: entry.version,
            event_index: entry.event_index,
            observer: Arc::clone(&entry.observer),
            seq_no: entry.seq_no,
        }
    }

    /// Whether an event at that position cannot simply be folded on top: it is older, or of the same version without
    /// both indexes known and ascending.
    pub(super) fn is_reached_by(&self, (version, index): (Version, Option<u32>)) -> bool {
        match version.cmp(&self.version) {
            std::cmp::Ordering::Greater => false,
            std::cmp::Ordering::Less => true,
            std::cmp::Ordering::Equal => index.is_none() || self.event_index.is_none() || index <= self.event_index,
        }
    }
}

/// A row that is a fold of the events of its key.
pub(super) trait Folded: Clone + PartialEq {
    /// The row after `entry`; `before` is the row so far.
    fn apply(before: Option<&Self>, entry: &Entry) -> Self;
    fn is_open(&self) -> bool;
    fn unexpected(&self) -> u32;
}

/// Folds every key of `batch`. A key that `history` knows, or whose row is reached, starts from nothing.
pub(super) fn fold_all<T: Folded>(
    batch: &[&Entry],
    history: &[Entry],
    id: for<'a> fn(&'a Entry) -> Option<&'a str>,
    rows: &BTreeMap<String, T>,
    changed: &mut BTreeMap<String, T>,
    unexpected: &mut BTreeMap<Arc<str>, i64>,
) {
    let mut events: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
    for &entry in batch {
        if let Some(id) = id(entry) {
            events.entry(id).or_default().push(entry);
        }
    }
    let mut late: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
    for entry in history {
        if let Some(id) = id(entry).filter(|id| events.contains_key(id)) {
            late.entry(id).or_default().push(entry);
        }
    }
    for (id, mut events) in events {
        let stored = rows.get(id);
        let anew = late.remove(id);
        let before = if anew.is_some() { None } else { stored };
        events.extend(anew.unwrap_or_default());
        let market = Arc::clone(&events[0].market);
        let Some(row) = fold_events(before, &mut events) else {
            continue;
        };
        let more = i64::from(row.unexpected()) - stored.map_or(0, |row| i64::from(row.unexpected()));
        *unexpected.entry(market).or_default() += more;
        if stored != Some(&row) {
            changed.insert(id.to_owned(), row);
        }
    }
}

/// Folds the events of one key, in ledger order, on top of `before`.
fn fold_events<T: Folded>(before: Option<&T>, events: &mut [&Entry]) -> Option<T> {
    events.sort_by_key(|entry| entry.version);
    let mut row = before.cloned();
    for group in events.chunk_by_mut(|a, b| a.version == b.version) {
        arrange(group, row.as_ref().is_some_and(Folded::is_open));
        for entry in group {
            row = Some(T::apply(row.as_ref(), entry));
        }
    }
    row
}

/// The order of one key's events within one version: by index; where one is unknown, cancels and fills before places if
/// the key was open, behind them if not.
fn arrange(group: &mut [&Entry], open: bool) {
    if group.iter().all(|entry| entry.event_index.is_some()) {
        group.sort_by_key(|entry| entry.event_index);
    } else {
        group.sort_by_key(|entry| {
            let kind = entry.event.kind;
            let places = kind.step() == Some(Step::Place);
            (places == open, kind.rank(), entry.stream, entry.seq_no)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_surely_newer_folds_on_top() {
        let version = |number| Version::new(number).unwrap();
        let last = |index| Last { version: version(5), event_index: index, observer: "o".into(), seq_no: SeqNo::ZERO };
        assert!(!last(None).is_reached_by((version(6), None)));
        assert!(last(None).is_reached_by((version(4), None)));
        assert!(last(None).is_reached_by((version(5), Some(1))));
        assert!(last(Some(0)).is_reached_by((version(5), None)));
        assert!(last(Some(3)).is_reached_by((version(5), Some(2))));
        assert!(!last(Some(1)).is_reached_by((version(5), Some(2))));
    }
}
