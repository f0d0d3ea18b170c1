//! Folding without a database: commits into rows that are kept in memory.

use std::collections::BTreeMap;

use event_worker::chain::Version;
use event_worker::market::fold::{self, Entry, Rows};

/// What a database keeps: rows, stored events, unexpected transitions.
#[derive(Default)]
pub struct Tables {
    rows: Rows,
    events: Vec<Entry>,
    unexpected: i64,
}

impl Tables {
    /// As `Store::commit` does: load what the batch is about, and the history of what is late; fold; write.
    pub fn commit(&mut self, batch: &[Entry]) {
        let batch_refs: Vec<_> = batch.iter().collect();
        let keys = fold::keys(&batch_refs);
        let mut rows = self.rows.clone();
        rows.orders.retain(|id, _| keys.orders.contains(id));
        rows.offers.retain(|id, _| keys.offers.contains(id));
        rows.tokens.retain(|key, _| keys.tokens.contains(key));
        rows.collections.retain(|id, _| keys.collections.contains(id));
        let late = fold::late(&batch_refs, &rows);
        let is_late = |entry: &&Entry| {
            entry.order_id().is_some_and(|id| late.orders.contains(id))
                || entry.offer_id().is_some_and(|id| late.offers.contains(id))
        };
        let history: Vec<_> = self.events.iter().filter(is_late).cloned().collect();
        let changes = fold::fold(&batch_refs, &rows, &history);
        self.rows.orders.extend(changes.rows.orders);
        self.rows.offers.extend(changes.rows.offers);
        self.rows.tokens.extend(changes.rows.tokens);
        self.rows.collections.extend(changes.rows.collections);
        self.unexpected += changes.unexpected.values().sum::<i64>();
        self.events.extend_from_slice(batch);
    }
}

/// All events in ledger order, one commit a version.
pub fn in_ledger_order(streams: &[Vec<Entry>]) -> Tables {
    let mut versions: BTreeMap<Version, Vec<Entry>> = BTreeMap::new();
    for entry in streams.iter().flatten() {
        versions.entry(entry.version).or_default().push(entry.clone());
    }
    let mut tables = Tables::default();
    for events in versions.values() {
        tables.commit(events);
    }
    tables
}

pub fn assert_same(found: &Tables, expected: &Tables) {
    assert_eq!(found.rows.orders, expected.rows.orders);
    assert_eq!(found.rows.offers, expected.rows.offers);
    assert_eq!(found.rows.tokens, expected.rows.tokens);
    assert_eq!(found.rows.collections, expected.rows.collections);
    assert_eq!(found.unexpected, expected.unexpected, "unexpected transitions");
}
