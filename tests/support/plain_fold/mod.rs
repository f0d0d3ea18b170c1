//! What the tables must hold: a plain fold of the chain's events, written from the contract alone.
//!
//! It shares no code with the program, does one thing after the other, and knows nothing of batches, late events or
//! databases. Where it and the program differ, one of them is wrong.

mod broken;
mod deals;
mod items;
mod read;

use std::collections::BTreeMap;

use event_worker::simulate::Emitted;
use serde_json::Value;

use super::tables::{Row, Tables, row};
pub use broken::broken_field;
use read::Item;

/// The streams in the order of the market file: field of the handle, observer, what its events do.
const STREAMS: [(&str, &str, Kind); 8] = [
    ("list_token_events", "imart:list", Kind::PlaceListing),
    ("delist_token_events", "imart:delist", Kind::CancelListing),
    ("buy_token_events", "imart:buy", Kind::FillListing),
    ("offer_token_events", "imart:offer", Kind::PlaceOffer),
    ("accept_offer_events", "imart:accept_offer", Kind::FillOffer),
    ("cancel_offer_events", "imart:cancel_offer", Kind::CancelOffer),
    ("collection_created_events", "imart:create_collection", Kind::CreateCollection),
    ("token_created_events", "imart:create_token", Kind::CreateToken),
];

/// The creation number of the first stream's handle; the others follow.
const FIRST_HANDLE: u64 = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    // In the order in which they count for a token's owner within one version.
    CreateCollection,
    CreateToken,
    PlaceListing,
    PlaceOffer,
    CancelListing,
    CancelOffer,
    FillListing,
    FillOffer,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::CreateCollection => "create_collection",
            Self::CreateToken => "create_token",
            Self::PlaceListing => "place_listing",
            Self::PlaceOffer => "place_token_offer",
            Self::CancelListing => "cancel_listing",
            Self::CancelOffer => "cancel_token_offer",
            Self::FillListing => "fill_listing",
            Self::FillOffer => "fill_token_offer",
        }
    }

    /// Create, place, cancel, fill of a listing, fill of an offer.
    const fn rank(self) -> u8 {
        match self {
            Self::CreateCollection | Self::CreateToken => 0,
            Self::PlaceListing | Self::PlaceOffer => 1,
            Self::CancelListing | Self::CancelOffer => 2,
            Self::FillListing => 3,
            Self::FillOffer => 4,
        }
    }

    const fn is_place(self) -> bool {
        matches!(self, Self::PlaceListing | Self::PlaceOffer)
    }
}

/// An event that can be understood.
struct Event {
    observer: &'static str,
    /// Its stream's place in the market file.
    place: usize,
    seq_no: u64,
    version: u64,
    /// `None` of all events, if nobody tells it.
    event_index: Option<u32>,
    kind: Kind,
    data: Value,
    item: Item,
}

impl Event {
    /// The event's own time; those of creations carry none.
    fn micros(&self) -> Option<u128> {
        self.data.get("timestamp").map(|_| read::number(&self.data, "timestamp"))
    }

    fn time(&self) -> Option<String> {
        self.micros().and_then(read::time)
    }

    fn number(&self, name: &str) -> u128 {
        read::number(&self.data, name)
    }

    fn address(&self, name: &str) -> String {
        read::address(&self.data, name)
    }
}

/// The tables after these events. Broken ones are stored, and have no other effect.
pub fn plain_fold(history: &[Emitted]) -> Tables {
    folded(history, true)
}

/// The same where nobody is asked for the order of events within a transaction: their kinds decide.
pub fn plain_fold_by_kinds(history: &[Emitted]) -> Tables {
    folded(history, false)
}

fn folded(history: &[Emitted], is_ordered: bool) -> Tables {
    let is_broken = |event: &Emitted| broken_field(event).is_some();
    let mut events: Vec<Event> = history.iter().filter(|event| !is_broken(event)).map(understood).collect();
    if !is_ordered {
        for event in &mut events {
            event.event_index = None;
        }
    }
    let mut tables = Tables::new();
    let stored = history.iter().map(|event| stored_row(event, is_broken(event)));
    tables.insert("events", stored.map(|row| (key(&row, &["observer", "seq_no"]), row)).collect());
    let activities = events.iter().map(activity);
    tables.insert("activities", activities.map(|row| (key(&row, &["observer", "seq_no"]), row)).collect());
    tables.insert("orders", deals::orders(&events));
    tables.insert("offers", deals::offers(&events));
    tables.insert("tokens", items::tokens(&events));
    tables.insert("collections", items::collections(&events));
    tables.insert("checkpoints", checkpoints(history));
    tables
}

/// The observer that reads a stream.
pub fn observer(stream: &str) -> &'static str {
    STREAMS[place(stream)].1
}

fn place(stream: &str) -> usize {
    STREAMS.iter().position(|(field, ..)| *field == stream).expect("a known stream")
}

fn understood(event: &Emitted) -> Event {
    let place = place(event.stream);
    let (_, observer, kind) = STREAMS[place];
    let data: Value = serde_json::from_str(&event.data).expect("the node writes JSON");
    let item = match kind {
        Kind::CreateCollection => read::collection(read::text(&data, "creator"), read::text(&data, "name")),
        _ => read::token(&data),
    };
    Event {
        observer,
        place,
        seq_no: event.seq_no,
        version: event.version,
        event_index: Some(event.event_index),
        kind,
        data,
        item,
    }
}

fn key(row: &Row, columns: &[&str]) -> Vec<String> {
    columns.iter().map(|column| row[column].clone().unwrap_or_default()).collect()
}

/// The event as received.
fn stored_row(event: &Emitted, broken: bool) -> Row {
    let place = place(event.stream);
    let data: Value = serde_json::from_str(&event.data).expect("the node writes JSON");
    let micros = data.get("timestamp").filter(|_| !broken).map(|_| read::number(&data, "timestamp"));
    row([
        ("observer", Some(STREAMS[place].1.to_owned())),
        ("seq_no", Some(event.seq_no.to_string())),
        ("version", Some(event.version.to_string())),
        ("event_index", None),
        ("event_type", Some(event.event_type.clone())),
        ("account_address", Some(read::padded(event_worker::simulate::CONTRACT))),
        ("creation_number", Some((FIRST_HANDLE + place as u64).to_string())),
        ("data", Some(event.data.clone())),
        ("occurred_at", micros.and_then(read::time)),
    ])
}

/// What happened, for people: one row per event.
fn activity(event: &Event) -> Row {
    let number = |name: &str| Some(event.number(name));
    let address = |name: &str| Some(event.address(name));
    // From, to, price of one, quantity, total.
    let (from, to, price, quantity, total) = match event.kind {
        Kind::CreateCollection | Kind::CreateToken => (address("creator"), None, None, None, None),
        Kind::PlaceListing => (address("seller"), None, number("price"), number("token_amount"), None),
        Kind::CancelListing => (address("seller"), None, None, number("token_amount"), None),
        Kind::FillListing => {
            (address("seller"), address("buyer"), number("price"), number("token_amount"), number("coin_amount"))
        }
        Kind::PlaceOffer => {
            (address("coin_owner"), None, number("coin_amount_per_token"), number("token_amount"), None)
        }
        Kind::CancelOffer => (address("coin_owner"), None, None, None, number("coin_amount")),
        Kind::FillOffer => (
            address("token_owner"),
            address("coin_owner"),
            number("coin_amount_per_token"),
            number("token_amount"),
            None,
        ),
    };
    let total = total.or_else(|| Some(price? * quantity?));
    let has_coin = event.data.get("coin_type_info").is_some();
    let plain = |number: Option<u128>| number.map(|number| number.to_string());
    let mut row = row([
        ("observer", Some(event.observer.to_owned())),
        ("seq_no", Some(event.seq_no.to_string())),
        ("version", Some(event.version.to_string())),
        ("event_index", None),
        ("market", Some("imart".to_owned())),
        ("kind", Some(event.kind.name().to_owned())),
        ("order_id", deals::order_key(event).map(|key| deals::id(&key))),
        ("offer_id", deals::offer_key(event).map(|key| deals::id(&key))),
        ("from_address", from),
        ("to_address", to),
        ("price", plain(price)),
        ("quantity", plain(quantity)),
        ("total", plain(total)),
        ("royalty", None),
        ("fee", None),
        ("currency", has_coin.then(|| read::coin(&event.data))),
        ("occurred_at", event.time()),
    ]);
    row.extend(item_columns(&event.item));
    row
}

/// The columns that say which collection and token a row is about.
fn item_columns(item: &Item) -> Row {
    row([
        ("collection_id", Some(item.collection_id.clone())),
        ("collection_name", Some(item.collection_name.clone())),
        ("creator", Some(item.creator.clone())),
        ("token_id", item.token_id.clone()),
        ("token_name", item.token_name.clone()),
        ("property_version", Some(item.property_version.to_string())),
    ])
}

/// Every stream executed to its end.
fn checkpoints(history: &[Emitted]) -> BTreeMap<Vec<String>, Row> {
    let mut rows = BTreeMap::new();
    for (field, observer, _) in STREAMS {
        let events = || history.iter().filter(|event| event.stream == field);
        let count = events().count();
        let row = row([
            ("observer", Some(observer.to_owned())),
            ("executed_seq_no", Some((i128::try_from(count).unwrap() - 1).to_string())),
            ("executed_version", events().next_back().map(|event| event.version.to_string())),
            ("events_total", Some(count.to_string())),
        ]);
        rows.insert(key(&row, &["observer"]), row);
    }
    rows
}
