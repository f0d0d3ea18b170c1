//! An offer's life: `offers`.

use std::sync::Arc;

use super::Entry;
use super::history::{Folded, Last};
use crate::chain::{Address, Amount, Timestamp, Version};
use crate::market::kind::{Step, Subject};
use crate::market::{Item, Key, MarketEvent};

/// A row of `offers`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    pub offer_id: Arc<str>,
    pub market: Arc<str>,
    pub offer_key: Arc<str>,
    pub scope: Scope,
    pub item: Item,
    pub offerer: Option<Address>,
    pub acceptor: Option<Address>,
    pub price: Option<Amount>,
    pub quantity: Option<Amount>,
    pub remaining_quantity: Option<Amount>,
    pub currency: Option<Arc<str>>,
    pub status: OfferStatus,
    pub expires_at: Option<Timestamp>,
    pub opened_at: Option<Timestamp>,
    pub closed_at: Option<Timestamp>,
    pub opened_version: Option<Version>,
    pub closed_version: Option<Version>,
    pub last: Last,
    /// Transitions so far that no rule book allows.
    pub unexpected: u32,
}

/// What an offer is for: one token, or any token of a collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    Token,
    Collection,
}

/// `offers.status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OfferStatus {
    Created,
    Accepted,
    Canceled,
}

impl Scope {
    const ALL: [(Self, &str); 2] = [(Self::Token, "token"), (Self::Collection, "collection")];

    /// Its name in the column.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }

    /// The scope of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, other)| *other == name).map(|(scope, _)| *scope)
    }
}

impl OfferStatus {
    const ALL: [(Self, &str); 3] =
        [(Self::Created, "created"), (Self::Accepted, "accepted"), (Self::Canceled, "canceled")];

    /// Its name in the column.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }

    /// The status of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, other)| *other == name).map(|(status, _)| *status)
    }
}

impl Folded for Offer {
    fn apply(before: Option<Self>, entry: &Entry) -> Self {
        let (scope, step) = match entry.event.kind.subject() {
            Subject::TokenOffer(step) => (Scope::Token, step),
            Subject::CollectionOffer(step) => (Scope::Collection, step),
            // Not about offers: never grouped under one.
            Subject::Listing(step) => (Scope::Token, step),
            Subject::Collection | Subject::Token | Subject::Bid => (Scope::Token, Step::Place),
        };
        let was_open = before.as_ref().is_some_and(Self::is_open);
        let mut row = before.unwrap_or_else(|| Self::unseen(scope, entry));
        row.last = Last::of(entry);
        match step {
            Step::Place => row.place(entry),
            Step::Cancel => {
                row.unexpected += u32::from(!was_open);
                row.close(entry, OfferStatus::Canceled);
            }
            Step::Fill => {
                let filled = row.filled(&entry.event);
                row.unexpected += u32::from(!(was_open && row.covers(filled)));
                row.fill(entry, filled);
            }
        }
        row
    }

    fn is_open(&self) -> bool {
        self.status == OfferStatus::Created
    }

    fn unexpected(&self) -> u32 {
        self.unexpected
    }
}

impl Offer {
    /// The row of a key whose first event is not a place: what the event says, and nothing of an offer nobody saw.
    fn unseen(scope: Scope, entry: &Entry) -> Self {
        let MarketEvent { key, item, offerer, price, currency, expires_at, .. } = &*entry.event;
        let Key { id, text } = key.clone().unwrap_or_else(|| Key::new(&entry.market, String::new()));
        Self {
            offer_id: id,
            market: Arc::clone(&entry.market),
            offer_key: text,
            scope,
            item: item.clone(),
            offerer: *offerer,
            acceptor: None,
            price: *price,
            quantity: None,
            remaining_quantity: None,
            currency: currency.clone(),
            status: OfferStatus::Created,
            expires_at: *expires_at,
            opened_at: None,
            closed_at: None,
            opened_version: None,
            closed_version: None,
            last: Last::of(entry),
            unexpected: 0,
        }
    }

    fn place(&mut self, entry: &Entry) {
        let event = &entry.event;
        // A place that names no quantity is one copy.
        let quantity = event.quantity.or(Some(Amount(1)));
        if self.item != event.item {
            self.item = event.item.clone();
        }
        self.status = OfferStatus::Created;
        self.offerer = event.offerer;
        self.price = event.price;
        self.quantity = quantity;
        self.remaining_quantity = quantity;
        self.currency.clone_from(&event.currency);
        self.expires_at = event.expires_at;
        self.opened_at = event.time;
        self.opened_version = Some(entry.version);
        self.acceptor = None;
        self.closed_at = None;
        self.closed_version = None;
    }

    fn fill(&mut self, entry: &Entry, filled: Option<Amount>) {
        let event = &entry.event;
        self.acceptor = event.seller;
        self.remaining_quantity =
            self.remaining_quantity.map(|left| filled.map_or(Amount(0), |filled| left.minus(filled)));
        let nothing_left = self.remaining_quantity.is_none_or(|left| left == Amount(0));
        if event.ends.unwrap_or(nothing_left) {
            self.close(entry, OfferStatus::Accepted);
        } else if event.ends == Some(false) {
            self.status = OfferStatus::Created;
            self.closed_at = None;
            self.closed_version = None;
        }
    }

    /// How many copies a fill takes; `None` is all that is left.
    fn filled(&self, event: &MarketEvent) -> Option<Amount> {
        match self.scope {
            Scope::Token => event.quantity,
            Scope::Collection => event.quantity.or(Some(Amount(1))),
        }
    }

    fn close(&mut self, entry: &Entry, status: OfferStatus) {
        self.status = status;
        self.closed_at = entry.event.time;
        self.closed_version = Some(entry.version);
    }

    fn covers(&self, filled: Option<Amount>) -> bool {
        self.remaining_quantity.zip(filled).is_none_or(|(remaining, filled)| filled <= remaining)
    }
}
