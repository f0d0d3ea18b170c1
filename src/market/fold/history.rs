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
    fn apply(before: Option<Self>, entry: &Entry) -> Self;
    fn is_open(&self) -> bool;
    fn unexpected(&self) -> u32;
}

/// An event of one key.
struct Event<'a> {
    id: &'a Arc<str>,
    /// Of the batch, not of history.
    is_new: bool,
    entry: &'a Entry,
}

/// Folds every key of `batch` and `history`. One that `history` knows starts from nothing.
pub(super) fn fold_all<T: Folded>(
    batch: &[&Entry],
    history: &[Entry],
    id: for<'a> fn(&'a Entry) -> Option<&'a Arc<str>>,
    rows: &BTreeMap<Arc<str>, T>,
    changed: &mut BTreeMap<Arc<str>, T>,
    unexpected: &mut BTreeMap<Arc<str>, i64>,
) {
    let of_key = |entry, is_new| Some(Event { id: id(entry)?, is_new, entry });
    let mut events: Vec<_> = batch.iter().filter_map(|entry| of_key(entry, true)).collect();
    events.extend(history.iter().filter_map(|entry| of_key(entry, false)));
    events.sort_by_key(|event| event.id);
    for events in events.chunk_by_mut(|a, b| a.id == b.id) {
        let id = events[0].id;
        let market = Arc::clone(&events[0].entry.market);
        let stored = rows.get(id);
        let before = if events.iter().all(|event| event.is_new) { stored } else { None };
        let Some(row) = fold_events(before, events) else {
            continue;
        };
        let more = i64::from(row.unexpected()) - stored.map_or(0, |row| i64::from(row.unexpected()));
        *unexpected.entry(market).or_default() += more;
        if stored != Some(&row) {
            changed.insert(Arc::clone(id), row);
        }
    }
}

/// Folds the events of one key, in ledger order, on top of `before`.
fn fold_events<T: Folded>(before: Option<&T>, events: &mut [Event]) -> Option<T> {
    events.sort_by_key(|event| event.entry.version);
    let mut row = before.cloned();
    for group in events.chunk_by_mut(|a, b| a.entry.version == b.entry.version) {
        arrange(group, row.as_ref().is_some_and(Folded::is_open));
        for event in group {
            row = Some(T::apply(row, event.entry));
        }
    }
    row
}

/// The order of one key's events within one version: by index; where one is unknown, cancels and fills before places if
/// the key was open, behind them if not.
fn arrange(group: &mut [Event], open: bool) {
    if group.iter().all(|event| event.entry.event_index.is_some()) {
        group.sort_by_key(|event| event.entry.event_index);
    } else {
        group.sort_by_key(|Event { entry, .. }| {
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
