//! Tokens and collections: what exists, and who owns it.

use std::collections::BTreeMap;

use super::{Event, Kind, read};
use crate::support::tables::{Row, row};

/// A row for every token that an event names.
pub fn tokens(events: &[Event]) -> BTreeMap<Vec<String>, Row> {
    let mut by_token: BTreeMap<Vec<String>, Vec<&Event>> = BTreeMap::new();
    for event in events {
        if let Some(token) = &event.item.token_id {
            let key = vec![token.clone(), event.item.property_version.to_string()];
            by_token.entry(key).or_default().push(event);
        }
    }
    by_token.into_iter().map(|(key, events)| (key, token(&events))).collect()
}

fn token(events: &[&Event]) -> Row {
    let item = &events[0].item;
    let created = newest(events, |event| event.kind == Kind::CreateToken);
    let owned = newest(events, |event| owner(event).is_some());
    row([
        ("token_id", item.token_id.clone()),
        ("property_version", Some(item.property_version.to_string())),
        ("collection_id", Some(item.collection_id.clone())),
        ("creator", Some(item.creator.clone())),
        ("collection_name", Some(item.collection_name.clone())),
        ("name", item.token_name.clone()),
        ("description", created.map(|event| read::text(&event.data, "description").to_owned())),
        ("uri", created.map(|event| read::text(&event.data, "uri").to_owned())),
        ("created_version", created.map(|event| event.version.to_string())),
        ("owner", owned.and_then(owner)),
        ("owner_version", owned.map(|event| event.version.to_string())),
        ("supply", None),
        ("maximum", None),
        ("metadata", None),
    ])
}

/// Whom an event says to own its token from then on.
fn owner(event: &Event) -> Option<String> {
    match event.kind {
        Kind::CreateToken => Some(event.address("creator")),
        Kind::PlaceListing | Kind::CancelListing => Some(event.address("seller")),
        Kind::FillListing => Some(event.address("buyer")),
        Kind::FillOffer => Some(event.address("coin_owner")),
        Kind::CreateCollection | Kind::PlaceOffer | Kind::CancelOffer => None,
    }
}

/// A row for every collection that an event names.
pub fn collections(events: &[Event]) -> BTreeMap<Vec<String>, Row> {
    let mut by_collection: BTreeMap<Vec<String>, Vec<&Event>> = BTreeMap::new();
    for event in events {
        let key = vec![event.item.collection_id.clone()];
        by_collection.entry(key).or_default().push(event);
    }
    by_collection.into_iter().map(|(key, events)| (key, collection(&events))).collect()
}

fn collection(events: &[&Event]) -> Row {
    let item = &events[0].item;
    let created = newest(events, |event| event.kind == Kind::CreateCollection);
    row([
        ("collection_id", Some(item.collection_id.clone())),
        ("creator", Some(item.creator.clone())),
        ("name", Some(item.collection_name.clone())),
        ("description", created.map(|event| read::text(&event.data, "description").to_owned())),
        ("uri", created.map(|event| read::text(&event.data, "uri").to_owned())),
        ("standard", Some("v1".to_owned())),
        ("supply", None),
        ("maximum", created.map(|event| event.number("maximum").to_string())),
        ("metadata", None),
        ("created_version", created.map(|event| event.version.to_string())),
    ])
}

/// The last one in ledger order that suits.
fn newest<'a>(events: &[&'a Event], suits: impl Fn(&Event) -> bool) -> Option<&'a Event> {
    let suiting = events.iter().copied().filter(|event| suits(event));
    suiting.max_by_key(|event| (event.version, event.event_index, event.kind.rank(), event.place, event.seq_no))
}
