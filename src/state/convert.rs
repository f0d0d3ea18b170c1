//! Between the rows of the fold and the rows of the tables.

use std::sync::Arc;

use super::entities::{activities, collections, dead_letters, events, offers, orders, tokens, transactions};
use super::{LetterState, StoreError};
use crate::chain::{Address, RawEvent, SeqNo, Timestamp, Version};
use crate::market::fold::token::{ImportedColumns, Owner};
use crate::market::fold::{Collection, Entry, Last, Moment, Offer, OfferStatus, Order, OrderStatus, Scope, Token};
use crate::market::{Item, Kind, Refusal, Standard};

type Result<T> = std::result::Result<T, StoreError>;

#[must_use]
pub fn event(observer: &str, raw: &RawEvent, occurred_at: Option<Timestamp>, now: Timestamp) -> events::Model {
    events::Model {
        observer: observer.to_owned(),
        seq_no: raw.seq_no.column(),
        version: raw.version.column(),
        event_index: index_column(raw.event_index),
        event_type: raw.event_type.to_string(),
        account_address: raw.account_address.to_string(),
        creation_number: raw.creation_number.cast_signed(),
        data: raw.data.clone(),
        occurred_at,
        recorded_at: now,
    }
}

/// Who called what, of an event whose source has told.
pub(super) fn transaction(raw: &RawEvent) -> Option<transactions::Model> {
    let caller = raw.caller.as_ref()?;
    Some(transactions::Model {
        version: raw.version.column(),
        sender: caller.sender.to_string(),
        entry_function: text(caller.entry_function.as_ref()),
    })
}

pub(super) fn raw_event(row: events::Model) -> Result<(String, RawEvent)> {
    let raw = RawEvent {
        version: Version::from_column(row.version),
        event_index: index(row.event_index),
        seq_no: SeqNo::from_column(row.seq_no),
        event_type: row.event_type.into(),
        account_address: address("events.account_address", &row.account_address)?,
        creation_number: row.creation_number.cast_unsigned(),
        data: row.data,
        block_time: row.occurred_at,
        caller: None,
    };
    Ok((row.observer, raw))
}

pub(super) fn dead_letter(observer: &str, raw: &RawEvent, why: &Refusal, now: Timestamp) -> dead_letters::Model {
    dead_letters::Model {
        observer: observer.to_owned(),
        seq_no: raw.seq_no.column(),
        version: raw.version.column(),
        event_type: raw.event_type.to_string(),
        data: raw.data.clone(),
        error: why.to_string(),
        attempts: 1,
        first_seen_at: now,
        last_seen_at: now,
        state: LetterState::Parked.name().to_owned(),
        discard_reason: None,
    }
}

#[must_use]
pub fn activity(entry: &Entry) -> activities::Model {
    let event = &entry.event;
    let (order_id, offer_id) = (entry.order_id().or_else(|| entry.auction_id()), entry.offer_id());
    let (from, to) = parties(entry);
    let item = &event.item;
    activities::Model {
        observer: entry.observer.to_string(),
        seq_no: entry.seq_no.column(),
        version: entry.version.column(),
        event_index: index_column(entry.event_index),
        market: entry.market.to_string(),
        kind: event.kind.name().to_owned(),
        order_id: text(order_id),
        offer_id: text(offer_id),
        collection_id: shown(item.collection_id),
        collection_name: text(item.collection_name.as_ref()),
        creator: shown(item.creator),
        token_id: shown(item.token_id),
        token_name: text(item.token_name.as_ref()),
        property_version: item.property_version,
        from_address: shown(from),
        to_address: shown(to),
        price: event.price,
        quantity: event.quantity,
        total: event.total,
        royalty: event.royalty,
        fee: event.fee,
        currency: text(event.currency.as_ref()),
        occurred_at: event.time,
    }
}

/// Seller, offerer or creator, and buyer or the offerer of a filled offer.
fn parties(entry: &Entry) -> (Option<Address>, Option<Address>) {
    let event = &entry.event;
    match event.kind {
        Kind::PlaceListing | Kind::CancelListing => (event.seller, None),
        Kind::FillListing => (event.seller, event.buyer),
        Kind::PlaceTokenOffer
        | Kind::CancelTokenOffer
        | Kind::PlaceCollectionOffer
        | Kind::CancelCollectionOffer
        | Kind::PlaceBid => (event.offerer, None),
        Kind::FillTokenOffer | Kind::FillCollectionOffer => (event.seller, event.offerer),
        Kind::CreateCollection | Kind::CreateToken => (event.item.creator, None),
    }
}

#[must_use]
pub fn order_row(order: &Order) -> orders::Model {
    let Order { item, last, .. } = order;
    orders::Model {
        order_id: order.order_id.to_string(),
        market: order.market.to_string(),
        order_key: order.order_key.to_string(),
        collection_id: shown(item.collection_id),
        collection_name: text(item.collection_name.as_ref()),
        creator: shown(item.creator),
        token_id: shown(item.token_id),
        token_name: text(item.token_name.as_ref()),
        property_version: item.property_version,
        seller: shown(order.seller),
        buyer: shown(order.buyer),
        price: order.price,
        quantity: order.quantity,
        remaining_quantity: order.remaining_quantity,
        currency: text(order.currency.as_ref()),
        status: order.status.name().to_owned(),
        sale_price: order.sale_price,
        listed_at: order.listed_at,
        closed_at: order.closed_at,
        listed_version: order.listed_version.map(Version::column),
        closed_version: order.closed_version.map(Version::column),
        last_seq_no: last.seq_no.column(),
        last_observer: last.observer.to_string(),
        last_version: last.version.column(),
        last_event_index: index_column(last.event_index),
        unexpected: order.unexpected.cast_signed(),
    }
}

pub(super) fn order(row: orders::Model) -> Result<Order> {
    Ok(Order {
        market: row.market.into(),
        order_key: row.order_key.into(),
        item: Item {
            collection_id: maybe("orders.collection_id", row.collection_id.as_deref())?,
            collection_name: row.collection_name.map(Arc::from),
            creator: maybe("orders.creator", row.creator.as_deref())?,
            token_id: maybe("orders.token_id", row.token_id.as_deref())?,
            token_name: row.token_name.map(Arc::from),
            property_version: row.property_version,
        },
        seller: maybe("orders.seller", row.seller.as_deref())?,
        buyer: maybe("orders.buyer", row.buyer.as_deref())?,
        price: row.price,
        quantity: row.quantity,
        remaining_quantity: row.remaining_quantity,
        currency: row.currency.map(Arc::from),
        status: OrderStatus::from_name(&row.status).ok_or_else(|| unreadable("orders.status", &row.status))?,
        sale_price: row.sale_price,
        listed_at: row.listed_at,
        closed_at: row.closed_at,
        listed_version: row.listed_version.map(Version::from_column),
        closed_version: row.closed_version.map(Version::from_column),
        last: last(row.last_version, row.last_event_index, row.last_observer, row.last_seq_no),
        unexpected: row.unexpected.cast_unsigned(),
        order_id: row.order_id.into(),
    })
}

#[must_use]
pub fn offer_row(offer: &Offer) -> offers::Model {
    let Offer { item, last, .. } = offer;
    offers::Model {
        offer_id: offer.offer_id.to_string(),
        market: offer.market.to_string(),
        offer_key: offer.offer_key.to_string(),
        scope: offer.scope.name().to_owned(),
        collection_id: shown(item.collection_id),
        collection_name: text(item.collection_name.as_ref()),
        creator: shown(item.creator),
        token_id: shown(item.token_id),
        token_name: text(item.token_name.as_ref()),
        property_version: item.property_version,
        offerer: shown(offer.offerer),
        acceptor: shown(offer.acceptor),
        price: offer.price,
        quantity: offer.quantity,
        remaining_quantity: offer.remaining_quantity,
        currency: text(offer.currency.as_ref()),
        status: offer.status.name().to_owned(),
        expires_at: offer.expires_at,
        opened_at: offer.opened_at,
        closed_at: offer.closed_at,
        opened_version: offer.opened_version.map(Version::column),
        closed_version: offer.closed_version.map(Version::column),
        last_seq_no: last.seq_no.column(),
        last_observer: last.observer.to_string(),
        last_version: last.version.column(),
        last_event_index: index_column(last.event_index),
        unexpected: offer.unexpected.cast_signed(),
    }
}

pub(super) fn offer(row: offers::Model) -> Result<Offer> {
    Ok(Offer {
        market: row.market.into(),
        offer_key: row.offer_key.into(),
        scope: Scope::from_name(&row.scope).ok_or_else(|| unreadable("offers.scope", &row.scope))?,
        item: Item {
            collection_id: maybe("offers.collection_id", row.collection_id.as_deref())?,
            collection_name: row.collection_name.map(Arc::from),
            creator: maybe("offers.creator", row.creator.as_deref())?,
            token_id: maybe("offers.token_id", row.token_id.as_deref())?,
            token_name: row.token_name.map(Arc::from),
            property_version: row.property_version,
        },
        offerer: maybe("offers.offerer", row.offerer.as_deref())?,
        acceptor: maybe("offers.acceptor", row.acceptor.as_deref())?,
        price: row.price,
        quantity: row.quantity,
        remaining_quantity: row.remaining_quantity,
        currency: row.currency.map(Arc::from),
        status: OfferStatus::from_name(&row.status).ok_or_else(|| unreadable("offers.status", &row.status))?,
        expires_at: row.expires_at,
        opened_at: row.opened_at,
        closed_at: row.closed_at,
        opened_version: row.opened_version.map(Version::from_column),
        closed_version: row.closed_version.map(Version::from_column),
        last: last(row.last_version, row.last_event_index, row.last_observer, row.last_seq_no),
        unexpected: row.unexpected.cast_unsigned(),
        offer_id: row.offer_id.into(),
    })
}

/// Columns that importing owns are null here; an update leaves them out.
#[must_use]
pub fn token_row(token: &Token, now: Timestamp) -> tokens::Model {
    let (token_id, property_version) = token.key;
    let since = token.owner.as_ref().map(|owner| owner.since);
    tokens::Model {
        token_id: token_id.to_string(),
        property_version,
        collection_id: shown(token.collection_id),
        creator: shown(token.creator),
        collection_name: text(token.collection_name.as_ref()),
        name: text(token.name.as_ref()),
        description: text(token.description.as_ref()),
        uri: text(token.uri.as_ref()),
        created_version: token.created_version.map(Version::column),
        owner: token.owner.as_ref().map(|owner| owner.address.to_string()),
        owner_version: since.map(|since| since.version.column()),
        owner_place: since.map(|since| since.place),
        owner_seq_no: since.map(|since| since.seq_no.column()),
        supply: None,
        maximum: None,
        metadata: None,
        imported: imported_column(token.imported),
        updated_at: now,
    }
}

pub(super) fn token(row: tokens::Model) -> Result<Token> {
    let token_id = address("tokens.token_id", &row.token_id)?;
    let owner = maybe("tokens.owner", row.owner.as_deref())?;
    let since = row.owner_version.zip(row.owner_place).zip(row.owner_seq_no).map(|((version, place), seq_no)| Moment {
        version: Version::from_column(version),
        place,
        seq_no: SeqNo::from_column(seq_no),
    });
    Ok(Token {
        key: (token_id, row.property_version),
        collection_id: maybe("tokens.collection_id", row.collection_id.as_deref())?,
        creator: maybe("tokens.creator", row.creator.as_deref())?,
        collection_name: row.collection_name.map(Arc::from),
        name: row.name.map(Arc::from),
        description: row.description.map(Arc::from),
        uri: row.uri.map(Arc::from),
        created_version: row.created_version.map(Version::from_column),
        owner: since.zip(owner).map(|(since, address)| Owner { since, address }),
        imported: imported(row.imported),
    })
}

/// Columns that importing owns are null here; an update leaves them out.
#[must_use]
pub fn collection_row(collection: &Collection, now: Timestamp) -> collections::Model {
    collections::Model {
        collection_id: collection.collection_id.to_string(),
        creator: shown(collection.creator),
        name: text(collection.name.as_ref()),
        description: text(collection.description.as_ref()),
        uri: text(collection.uri.as_ref()),
        standard: collection.standard.name().to_owned(),
        supply: None,
        maximum: collection.maximum,
        metadata: None,
        created_version: collection.created_version.map(Version::column),
        imported: imported_column(collection.imported),
        updated_at: now,
    }
}

pub(super) fn collection(row: collections::Model) -> Result<Collection> {
    Ok(Collection {
        creator: maybe("collections.creator", row.creator.as_deref())?,
        name: row.name.map(Arc::from),
        description: row.description.map(Arc::from),
        uri: row.uri.map(Arc::from),
        standard: if row.standard == Standard::V2.name() { Standard::V2 } else { Standard::V1 },
        maximum: row.maximum,
        created_version: row.created_version.map(Version::from_column),
        imported: imported(row.imported),
        collection_id: address("collections.collection_id", &row.collection_id)?,
    })
}

/// The columns that are as imported, as the sum of 1 (description), 2 (uri) and 4 (maximum).
pub(super) fn imported_column(imported: ImportedColumns) -> i32 {
    i32::from(imported.description) + 2 * i32::from(imported.uri) + 4 * i32::from(imported.maximum)
}

pub(super) fn imported(column: i32) -> ImportedColumns {
    ImportedColumns { description: column & 1 != 0, uri: column & 2 != 0, maximum: column & 4 != 0 }
}

fn last(version: i64, event_index: Option<i32>, observer: String, seq_no: i64) -> Last {
    Last {
        version: Version::from_column(version),
        event_index: index(event_index),
        observer: Arc::from(observer),
        seq_no: SeqNo::from_column(seq_no),
    }
}

fn text(text: Option<&Arc<str>>) -> Option<String> {
    text.map(ToString::to_string)
}

fn shown(address: Option<Address>) -> Option<String> {
    address.map(|address| address.to_string())
}

fn maybe(column: &str, text: Option<&str>) -> Result<Option<Address>> {
    text.map(|text| address(column, text)).transpose()
}

fn address(column: &str, text: &str) -> Result<Address> {
    text.parse().map_err(|_| unreadable(column, text))
}

fn unreadable(column: &str, text: &str) -> StoreError {
    StoreError::Refused(format!("{column} holds {text:?}, which event-worker never writes: restore the database"))
}

fn index_column(index: Option<u32>) -> Option<i32> {
    index.and_then(|index| i32::try_from(index).ok())
}

fn index(column: Option<i32>) -> Option<u32> {
    column.and_then(|index| u32::try_from(index).ok())
}
