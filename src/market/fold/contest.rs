//! Where rows depend on the order of events within a version, and that order is not known.

use std::collections::BTreeMap;

use super::token::Owner;
use super::{Entry, Rows, TokenKey, token};
use crate::chain::{Address, Version};

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
    /// Whom it says to own the token.
    owner: Option<Address>,
    /// Of the batch, not of history.
    is_new: bool,
    is_placed: bool,
}

/// The versions of which `batch` has an event about an order, an offer, or the owner of a token, of which another event of
/// the same version speaks as well, in it or in `history`, without both their indexes being known; and whether `history` has
/// any of those. Who say the same of an owner may do so in any order.
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
            if is_open(claims) && claims.iter().any(|claim| claim.is_new) {
                *contested.entry(events[0].0.version).or_default() |= claims.iter().any(|claim| !claim.is_new);
            }
        }
    }
    contested
}

/// Whether it depends on an order that is not known what becomes of the row of which all these speak.
fn is_open(claims: &[Claim]) -> bool {
    let [first, others @ ..] = claims else { return false };
    let differ = match first.row {
        Row::Order(_) | Row::Offer(_) => !others.is_empty(),
        Row::Token(_) => others.iter().any(|other| other.owner != first.owner),
    };
    differ && claims.iter().any(|claim| !claim.is_placed)
}

/// The tokens of which a stored event has told the owner in a version of which `batch` has an event that tells another one,
/// without both their indexes being known; and that version.
#[must_use]
pub fn contested_owners(batch: &[&Entry], rows: &Rows) -> BTreeMap<TokenKey, Version> {
    let contested = |entry: &&Entry| {
        let (key, told) = owned(entry)?;
        let Owner { since, address } = rows.tokens.get(&key)?.owner.as_ref()?;
        let differ = since.version == entry.version && *address != told;
        (differ && !(since.is_placed() && entry.event_index.is_some())).then_some((key, since.version))
    };
    batch.iter().filter_map(contested).collect()
}

fn claims(entry: &Entry, is_new: bool) -> impl Iterator<Item = Claim<'_>> {
    let order = entry.order_id().map(|id| (Row::Order(id), None));
    let offer = entry.offer_id().map(|id| (Row::Offer(id), None));
    // History is of orders and offers: of a token's owner its row tells.
    let token = owned(entry).filter(|_| is_new).map(|(key, owner)| (Row::Token(key), Some(owner)));
    let is_placed = entry.event_index.is_some();
    [order, offer, token].into_iter().flatten().map(move |(row, owner)| Claim { row, owner, is_new, is_placed })
}

/// The token whose owner the event tells, and whom.
fn owned(entry: &Entry) -> Option<(TokenKey, Address)> {
    token::key(&entry.event.item).zip(token::owner(entry))
}
