//! Where rows depend on the order of events within a version, and that order is not known.

use std::collections::BTreeMap;

use super::{Entry, Moment, Rows, TokenKey, token};
use crate::chain::Version;

/// What depends on the order of the events that speak of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Row<'a> {
    Order(&'a str),
    Offer(&'a str),
    /// Its owner.
    Token(TokenKey),
}

/// An event that speaks of a row.
struct Claim<'a> {
    row: Row<'a>,
    /// Of the batch, not of history.
    is_new: bool,
    is_placed: bool,
}

/// The versions of which `batch` has an event about an order, an offer, or the owner of a token, of which another event of
/// the same version speaks as well, in it or in `history`, without both their indexes being known; and whether `history` has
/// any of those.
#[must_use]
pub fn contested(batch: &[&Entry], history: &[Entry]) -> BTreeMap<Version, bool> {
    let mut contested = BTreeMap::new();
    let mut events: Vec<_> = batch.iter().map(|entry| (*entry, true)).collect();
    events.extend(history.iter().map(|entry| (entry, false)));
    if events.iter().all(|(entry, _)| entry.event_index.is_some()) {
        return contested;
    }
    events.sort_unstable_by_key(|(entry, _)| entry.version);
    for events in events.chunk_by(|(one, _), (other, _)| one.version == other.version) {
        if events.len() == 1 {
            continue;
        }
        let mut claims: Vec<_> = events.iter().flat_map(|(entry, is_new)| claims(entry, *is_new)).collect();
        claims.sort_unstable_by_key(|claim| claim.row);
        for claims in claims.chunk_by(|one, other| one.row == other.row) {
            let is_open = claims.len() > 1 && claims.iter().any(|claim| !claim.is_placed);
            if is_open && claims.iter().any(|claim| claim.is_new) {
                *contested.entry(events[0].0.version).or_default() |= claims.iter().any(|claim| !claim.is_new);
            }
        }
    }
    contested
}

/// The tokens whose owner a stored event has told in a version of which `batch` has another one that tells it, without both
/// their indexes being known; and the place of the stored one.
#[must_use]
pub fn contested_owners(batch: &[&Entry], rows: &Rows) -> BTreeMap<TokenKey, Moment> {
    let contested = |entry: &&Entry| {
        let key = owned(entry)?;
        let since = rows.tokens.get(&key)?.owner.as_ref()?.since;
        let is_open = since.version == entry.version && !(since.is_placed() && entry.event_index.is_some());
        is_open.then_some((key, since))
    };
    batch.iter().filter_map(contested).collect()
}

fn claims(entry: &Entry, is_new: bool) -> impl Iterator<Item = Claim<'_>> {
    let order = entry.order_id().map(|id| Row::Order(id));
    let offer = entry.offer_id().map(|id| Row::Offer(id));
    // History is of orders and offers: of a token's owner its row tells.
    let token = owned(entry).filter(|_| is_new).map(Row::Token);
    let is_placed = entry.event_index.is_some();
    [order, offer, token].into_iter().flatten().map(move |row| Claim { row, is_new, is_placed })
}

/// The token whose owner the event tells.
fn owned(entry: &Entry) -> Option<TokenKey> {
    token::key(&entry.event.item).filter(|_| token::owner(entry).is_some())
}
