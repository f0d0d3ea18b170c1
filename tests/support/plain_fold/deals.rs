//! Orders and offers: the events of one key, one after the other.

use std::collections::BTreeMap;

use super::{Event, Kind, item_columns, read};
use crate::support::tables::{Row, row};

/// Keys up to this length are part of the id as they are.
const LONGEST_PLAIN_KEY: usize = 66;

/// The listing that an event speaks of.
pub fn order_key(event: &Event) -> Option<String> {
    let about_listing = matches!(event.kind, Kind::PlaceListing | Kind::CancelListing | Kind::FillListing);
    about_listing.then(|| event.number("offer_id").to_string())
}

/// The offer that an event speaks of: token, property version, offerer.
pub fn offer_key(event: &Event) -> Option<String> {
    let about_offer = matches!(event.kind, Kind::PlaceOffer | Kind::CancelOffer | Kind::FillOffer);
    about_offer.then(|| {
        let token = event.item.token_id.as_deref().expect("an offer is for a token");
        format!("{token}/{}/{}", event.item.property_version, event.address("coin_owner"))
    })
}

/// The id of an order or offer: market and key, the key hashed where it is long.
pub fn id(key: &str) -> String {
    if key.len() <= LONGEST_PLAIN_KEY { format!("imart:{key}") } else { format!("imart:#{}", read::sha256(key)) }
}

pub fn orders(events: &[Event]) -> BTreeMap<Vec<String>, Row> {
    fold(events, order_key, "listing", new_order, apply_to_order)
}

pub fn offers(events: &[Event]) -> BTreeMap<Vec<String>, Row> {
    fold(events, offer_key, "created", new_offer, apply_to_offer)
}

/// Folds the events of each key in ledger order. `open` is the status of an open row.
fn fold(
    events: &[Event],
    key: fn(&Event) -> Option<String>,
    open: &str,
    new: fn(&str, &Event) -> Row,
    apply: fn(&mut Row, &Event),
) -> BTreeMap<Vec<String>, Row> {
    let mut by_key: BTreeMap<String, BTreeMap<u64, Vec<&Event>>> = BTreeMap::new();
    for event in events {
        if let Some(key) = key(event) {
            by_key.entry(key).or_default().entry(event.version).or_default().push(event);
        }
    }
    let mut rows = BTreeMap::new();
    for (key, versions) in by_key {
        let mut row: Option<Row> = None;
        for mut together in versions.into_values() {
            let was_open = row.as_ref().is_some_and(|row| row["status"].as_deref() == Some(open));
            together.sort_by_key(|event| (event.event_index, turn(event.kind, was_open), event.place, event.seq_no));
            for event in together {
                let row = row.get_or_insert_with(|| new(&key, event));
                apply(row, event);
                row.insert("last_seq_no", Some(event.seq_no.to_string()));
                row.insert("last_observer", Some(event.observer.to_owned()));
                row.insert("last_version", Some(event.version.to_string()));
            }
        }
        rows.insert(vec![id(&key)], row.expect("a key has an event"));
    }
    rows
}

/// Where nobody tells event indexes. If the key was open before the version: cancels, fills, places; if not: places, cancels,
/// fills.
const fn turn(kind: Kind, was_open: bool) -> u8 {
    match kind.rank() {
        _ if kind.is_place() => {
            if was_open {
                9
            } else {
                0
            }
        }
        rank => rank,
    }
}

fn new_order(key: &str, event: &Event) -> Row {
    let mut row = row([
        ("order_id", Some(id(key))),
        ("market", Some("imart".to_owned())),
        ("order_key", Some(key.to_owned())),
        ("seller", Some(event.address("seller"))),
        ("buyer", None),
        ("price", None),
        ("quantity", None),
        ("remaining_quantity", None),
        ("currency", None),
        ("status", None),
        ("sale_price", None),
        ("listed_at", None),
        ("closed_at", None),
        ("listed_version", None),
        ("closed_version", None),
        ("last_event_index", None),
    ]);
    row.extend(item_columns(&event.item));
    if event.kind == Kind::FillListing {
        row.insert("price", Some(event.number("price").to_string()));
        row.insert("currency", Some(read::coin(&event.data)));
    }
    row
}

fn apply_to_order(row: &mut Row, event: &Event) {
    match event.kind {
        Kind::PlaceListing => {
            let quantity = event.number("token_amount").to_string();
            row.insert("status", Some("listing".to_owned()));
            row.insert("seller", Some(event.address("seller")));
            row.insert("price", Some(event.number("price").to_string()));
            row.insert("quantity", Some(quantity.clone()));
            row.insert("remaining_quantity", Some(quantity));
            row.insert("currency", Some(read::coin(&event.data)));
            row.insert("listed_at", event.time());
            row.insert("listed_version", Some(event.version.to_string()));
            for column in ["buyer", "sale_price", "closed_at", "closed_version"] {
                row.insert(column, None);
            }
        }
        Kind::CancelListing => close(row, "canceled", event),
        Kind::FillListing => {
            let paid = amount(row, "sale_price").unwrap_or(0) + event.number("coin_amount");
            row.insert("buyer", Some(event.address("buyer")));
            row.insert("sale_price", Some(paid.to_string()));
            let left = take(row, event);
            if left.is_none_or(|left| left == 0) {
                close(row, "sold", event);
            }
        }
        other => unreachable!("{other:?} is not about a listing"),
    }
}

fn new_offer(key: &str, event: &Event) -> Row {
    let mut row = row([
        ("offer_id", Some(id(key))),
        ("market", Some("imart".to_owned())),
        ("offer_key", Some(key.to_owned())),
        ("scope", Some("token".to_owned())),
        ("offerer", Some(event.address("coin_owner"))),
        ("acceptor", None),
        ("price", None),
        ("quantity", None),
        ("remaining_quantity", None),
        ("currency", Some(read::coin(&event.data))),
        ("status", None),
        ("expires_at", None),
        ("opened_at", None),
        ("closed_at", None),
        ("opened_version", None),
        ("closed_version", None),
        ("last_event_index", None),
    ]);
    row.extend(item_columns(&event.item));
    if event.kind == Kind::FillOffer {
        row.insert("price", Some(event.number("coin_amount_per_token").to_string()));
    }
    row
}

fn apply_to_offer(row: &mut Row, event: &Event) {
    match event.kind {
        Kind::PlaceOffer => {
            let quantity = event.number("token_amount").to_string();
            let expires = event.number("timestamp") + event.number("expiration_time") * 1_000_000;
            row.insert("status", Some("created".to_owned()));
            row.insert("offerer", Some(event.address("coin_owner")));
            row.insert("price", Some(event.number("coin_amount_per_token").to_string()));
            row.insert("quantity", Some(quantity.clone()));
            row.insert("remaining_quantity", Some(quantity));
            row.insert("currency", Some(read::coin(&event.data)));
            row.insert("expires_at", read::time(expires));
            row.insert("opened_at", event.time());
            row.insert("opened_version", Some(event.version.to_string()));
            for column in ["acceptor", "closed_at", "closed_version"] {
                row.insert(column, None);
            }
        }
        Kind::CancelOffer => close(row, "canceled", event),
        Kind::FillOffer => {
            row.insert("acceptor", Some(event.address("token_owner")));
            take(row, event);
            if read::field(&event.data, "is_offer_end") == &serde_json::Value::Bool(true) {
                close(row, "accepted", event);
            } else {
                // Whatever came before: what is open has not been closed.
                row.insert("status", Some("created".to_owned()));
                row.insert("closed_at", None);
                row.insert("closed_version", None);
            }
        }
        other => unreachable!("{other:?} is not about an offer"),
    }
}

fn close(row: &mut Row, status: &str, event: &Event) {
    row.insert("status", Some(status.to_owned()));
    row.insert("closed_at", event.time());
    row.insert("closed_version", Some(event.version.to_string()));
}

/// What remains after the event's copies; `None` where nobody knows how many there were.
fn take(row: &mut Row, event: &Event) -> Option<u128> {
    let left = amount(row, "remaining_quantity")?.saturating_sub(event.number("token_amount"));
    row.insert("remaining_quantity", Some(left.to_string()));
    Some(left)
}

fn amount(row: &Row, column: &str) -> Option<u128> {
    row[column].as_ref().map(|text| text.parse().expect("an amount"))
}
