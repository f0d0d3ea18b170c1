//! A listing's life: `orders`.

use std::sync::Arc;

use super::Entry;
use super::history::{Folded, Last};
use crate::chain::{Address, Amount, Timestamp, Version};
use crate::market::kind::{Step, Subject};
use crate::market::{Item, Key, MarketEvent};

/// A row of `orders`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    pub order_id: Arc<str>,
    pub market: Arc<str>,
    pub order_key: Arc<str>,
    pub item: Item,
    pub seller: Option<Address>,
    pub buyer: Option<Address>,
    pub price: Option<Amount>,
    pub quantity: Option<Amount>,
    pub remaining_quantity: Option<Amount>,
    pub currency: Option<Arc<str>>,
    pub status: OrderStatus,
    pub sale_price: Option<Amount>,
    pub listed_at: Option<Timestamp>,
    pub closed_at: Option<Timestamp>,
    pub listed_version: Option<Version>,
    pub closed_version: Option<Version>,
    pub last: Last,
    /// Transitions so far that no rule book allows.
    pub unexpected: u32,
}

/// `orders.status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderStatus {
    Listing,
    Sold,
    Canceled,
}

impl OrderStatus {
    const ALL: [(Self, &str); 3] = [(Self::Listing, "listing"), (Self::Sold, "sold"), (Self::Canceled, "canceled")];

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

impl Folded for Order {
    fn apply(before: Option<Self>, entry: &Entry) -> Self {
        let event = &entry.event;
        let was_open = before.as_ref().is_some_and(Self::is_open);
        let mut row = before.unwrap_or_else(|| Self::unseen(entry));
        row.last = Last::of(entry);
        match event.kind.subject() {
            Subject::Listing(Step::Place) => row.place(entry),
            Subject::Listing(Step::Cancel) => {
                row.unexpected += u32::from(!was_open);
                row.close(entry, OrderStatus::Canceled);
            }
            Subject::Listing(Step::Fill) => {
                row.unexpected += u32::from(!(was_open && row.covers(event.quantity)));
                row.fill(entry);
            }
            // Not about listings: never grouped under an order.
            Subject::TokenOffer(_)
            | Subject::CollectionOffer(_)
            | Subject::Collection
            | Subject::Token
            | Subject::Bid => {}
        }
        row
    }

    fn is_open(&self) -> bool {
        self.status == OrderStatus::Listing
    }

    fn unexpected(&self) -> u32 {
        self.unexpected
    }
}

impl Order {
    /// The row of a key whose first event is not a place: what the event says, and nothing of a listing nobody saw.
    fn unseen(entry: &Entry) -> Self {
        let MarketEvent { key, item, seller, price, currency, .. } = &*entry.event;
        let Key { id, text } = key.clone().unwrap_or_else(|| Key::new(&entry.market, String::new()));
        Self {
            order_id: id,
            market: Arc::clone(&entry.market),
            order_key: text,
            item: item.clone(),
            seller: *seller,
            buyer: None,
            price: *price,
            quantity: None,
            remaining_quantity: None,
            currency: currency.clone(),
            status: OrderStatus::Listing,
            sale_price: None,
            listed_at: None,
            closed_at: None,
            listed_version: None,
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
        self.status = OrderStatus::Listing;
        self.seller = event.seller;
        self.price = event.price;
        self.quantity = quantity;
        self.remaining_quantity = quantity;
        self.currency.clone_from(&event.currency);
        self.listed_at = event.time;
        self.listed_version = Some(entry.version);
        self.buyer = None;
        self.sale_price = None;
        self.closed_at = None;
        self.closed_version = None;
    }

    fn fill(&mut self, entry: &Entry) {
        let event = &entry.event;
        self.buyer = event.buyer;
        self.sale_price = match (self.sale_price, event.total) {
            (Some(so_far), Some(more)) => Some(so_far.plus(more)),
            (so_far, more) => so_far.or(more),
        };
        // A fill that names no quantity takes all that is left.
        let left = |remaining: Amount| event.quantity.map_or(Amount(0), |filled| remaining.minus(filled));
        self.remaining_quantity = self.remaining_quantity.map(left);
        if self.remaining_quantity.is_none_or(|left| left == Amount(0)) {
            self.close(entry, OrderStatus::Sold);
        }
    }

    fn close(&mut self, entry: &Entry, status: OrderStatus) {
        self.status = status;
        self.closed_at = entry.event.time;
        self.closed_version = Some(entry.version);
    }

    fn covers(&self, filled: Option<Amount>) -> bool {
        self.remaining_quantity.zip(filled).is_none_or(|(remaining, filled)| filled <= remaining)
    }
}
