//! From typed events to rows.
//!
//! At rest, every row equals a fold of its market's events in ledger order, whatever the order in which they arrived.
//! Listings and offers get there by folding anew where an event is late ([`late`]); tokens and collections because each
//! of their columns follows the newest event that says something about it ([`token`]).

mod contest;
mod history;
mod listing;
mod moment;
mod offer;
pub mod token;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use contest::{contested, contested_owners};
pub use history::Last;
pub use listing::{Order, OrderStatus};
pub use moment::Moment;
pub use offer::{Offer, OfferStatus, Scope};
pub use token::{Collection, Token, TokenKey};

use super::kind::Subject;
use super::{Kind, MarketEvent};
use crate::chain::{Address, SeqNo, Version};

/// A decoded event and its full position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The observer that executed it.
    pub observer: Arc<str>,
    /// Its market.
    pub market: Arc<str>,
    /// Its stream's place in the market file.
    pub stream: u8,
    /// Its number in its stream.
    pub seq_no: SeqNo,
    /// Its transaction.
    pub version: Version,
    /// Its place in the transaction, where known.
    pub event_index: Option<u32>,
    /// What it means. Boxed, as entries are sorted and handed on while it stays as it is.
    pub event: Box<MarketEvent>,
}

impl Entry {
    /// Where it stands among all events, whatever their keys.
    #[must_use]
    pub fn moment(&self) -> Moment {
        Moment::new(self.version, self.event_index, self.event.kind.rank(), self.stream, self.seq_no)
    }

    /// The same, as long as its index is not known.
    #[must_use]
    pub fn moment_unplaced(&self) -> Moment {
        Moment::new(self.version, None, self.event.kind.rank(), self.stream, self.seq_no)
    }

    /// The order it speaks of, if it is about a listing.
    #[must_use]
    pub fn order_id(&self) -> Option<&Arc<str>> {
        self.id_where(|kind| matches!(kind.subject(), Subject::Listing(_)))
    }

    /// The offer it speaks of, if it is about one.
    #[must_use]
    pub fn offer_id(&self) -> Option<&Arc<str>> {
        self.id_where(|kind| matches!(kind.subject(), Subject::TokenOffer(_) | Subject::CollectionOffer(_)))
    }

    /// The order whose auction it bids in, if it does.
    #[must_use]
    pub fn auction_id(&self) -> Option<&Arc<str>> {
        self.id_where(|kind| kind.subject() == Subject::Bid)
    }

    fn id_where(&self, about: fn(Kind) -> bool) -> Option<&Arc<str>> {
        self.event.key.as_ref().filter(|_| about(self.event.kind)).map(|key| &key.id)
    }
}

/// Rows by primary key: those that a batch is about as stored, or as folding changes them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rows {
    pub orders: BTreeMap<Arc<str>, Order>,
    pub offers: BTreeMap<Arc<str>, Offer>,
    pub tokens: BTreeMap<TokenKey, Token>,
    pub collections: BTreeMap<Address, Collection>,
}

/// Primary keys of [`Rows`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keys {
    pub orders: BTreeSet<Arc<str>>,
    pub offers: BTreeSet<Arc<str>>,
    pub tokens: BTreeSet<TokenKey>,
    pub collections: BTreeSet<Address>,
}

/// What a batch does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// The rows that are new or different.
    pub rows: Rows,
    /// Per market, how many more (or fewer) transitions there are that no rule book allows.
    pub unexpected: BTreeMap<Arc<str>, i64>,
}

/// The rows that must be known to fold these events.
#[must_use]
pub fn keys(batch: &[&Entry]) -> Keys {
    let entries = || batch.iter().copied();
    Keys {
        orders: entries().filter_map(Entry::order_id).cloned().collect(),
        offers: entries().filter_map(Entry::offer_id).cloned().collect(),
        tokens: entries().filter_map(|entry| token::key(&entry.event.item)).collect(),
        collections: entries().filter_map(|entry| entry.event.item.collection_id).collect(),
    }
}

/// The orders and offers of which this batch brings an event too late to fold it on top: their stored events are needed.
#[must_use]
pub fn late(batch: &[&Entry], rows: &Rows) -> Keys {
    let of = |entry: &Entry| (entry.version, entry.event_index);
    let mut late = Keys::default();
    for entry in batch {
        if let Some(order) = entry.order_id().and_then(|id| rows.orders.get(id)) {
            late.orders.extend(order.last.is_reached_by(of(entry)).then(|| order.order_id.clone()));
        }
        if let Some(offer) = entry.offer_id().and_then(|id| rows.offers.get(id)) {
            late.offers.extend(offer.last.is_reached_by(of(entry)).then(|| offer.offer_id.clone()));
        }
    }
    late
}

/// Folds a batch, in any order, into the rows that [`keys`] asks for. `history` holds the stored events of what
/// [`late`] names; those rows are folded anew.
#[must_use]
pub fn fold(batch: &[&Entry], rows: &Rows, history: &[Entry]) -> Changes {
    fold_again(batch, &[], rows, history)
}

/// The same, where the index of stored events has become known: `again` has all stored ones of their versions, with what is
/// known now, and so has `history`, in which all events of their orders and offers are. `rows` has theirs, too.
#[must_use]
pub fn fold_again(batch: &[&Entry], again: &[Entry], rows: &Rows, history: &[Entry]) -> Changes {
    let mut changes = Changes::default();
    history::fold_all(batch, history, Entry::order_id, &rows.orders, &mut changes.rows.orders, &mut changes.unexpected);
    history::fold_all(batch, history, Entry::offer_id, &rows.offers, &mut changes.rows.offers, &mut changes.unexpected);
    // In the order of the rows' keys: what is added to the end of a map moves no other row.
    let mut by_token: Vec<_> = batch.iter().copied().chain(again).collect();
    by_token.sort_by_cached_key(|entry| token::key(&entry.event.item));
    for entry in again {
        token::forget_owner(entry, &rows.tokens, &mut changes.rows.tokens);
    }
    for entry in by_token {
        token::fold_token(entry, &rows.tokens, &mut changes.rows.tokens);
    }
    for entry in batch {
        token::fold_collection(entry, &rows.collections, &mut changes.rows.collections);
    }
    changes.rows.tokens.retain(|key, token| rows.tokens.get(key) != Some(token));
    changes.rows.collections.retain(|key, collection| rows.collections.get(key) != Some(collection));
    changes.unexpected.retain(|_, more| *more != 0);
    changes
}
