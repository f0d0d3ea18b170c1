//! The built-in markets: cases as data, one file a market, and the real events of one of them against what another indexer
//! stores for them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use event_worker::chain::{Address, Source, canonical_type};
use event_worker::market::fold::{self, Entry, Rows};
use event_worker::market::{Market, names};
use event_worker::state::convert;
use event_worker::subject::event_of_line;
use serde_json::{Map, Value, json};

const REAL: &str = "../shared/data/tradeport_v2";

fn built_in(name: &str) -> Market {
    let deployment = (name == "marketplace").then(|| "0xa11ce".parse().unwrap());
    Market::built_in(name, deployment).unwrap()
}

/// What an event becomes, as the columns of `activities` that are not null.
fn activity(entry: &Entry) -> Map<String, Value> {
    let Value::Object(row) = serde_json::to_value(convert::activity(entry)).unwrap() else {
        panic!("a row is an object")
    };
    row.into_iter().filter(|(_, value)| !value.is_null()).collect()
}

fn entry(market: &Market, event: &str) -> Entry {
    let raw = event_of_line(event).unwrap();
    let stream =
        market.stream_of(&raw).unwrap_or_else(|| panic!("{}: of no stream of {}", raw.event_type, market.name));
    stream.entry(&raw).unwrap_or_else(|why| panic!("{}: {why}\n{event}", stream.observer))
}

#[test]
fn every_built_in_market_decodes_its_cases() {
    for name in names() {
        let market = built_in(name);
        let cases = std::fs::read_to_string(format!("tests/market_cases/{name}.jsonl")).unwrap();
        let mut seen = BTreeSet::new();
        for case in cases.lines() {
            let case: Value = serde_json::from_str(case).unwrap();
            let entry = entry(&market, &case["event"].to_string());
            let (mut found, mut expected) = (activity(&entry), case["activity"].as_object().unwrap().clone());
            let stream = &market.streams[usize::from(entry.stream)];
            if stream.source == Source::ModuleEvent {
                // Counted by whoever reads them.
                found.remove("seq_no");
                expected.remove("seq_no");
            }
            assert_eq!(found, expected, "{}", case["event"]);
            seen.insert(entry.observer.to_string());
        }
        let all: BTreeSet<_> = market.streams.iter().map(|stream| stream.observer.to_string()).collect();
        assert!(seen == all, "{name}: no case of {:?}", &all - &seen);
    }
}

/// The real events, each with its line; `None` with a message where the data are not there.
fn real_events() -> Option<Vec<(Value, Entry)>> {
    let path = Path::new(REAL).join("events.jsonl");
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!("skipped: there is no {}", path.display());
        return None;
    };
    let market = built_in("tradeport_v2");
    Some(text.lines().map(|line| (serde_json::from_str(line).unwrap(), entry(&market, line))).collect())
}

/// The other indexer's rows of one table, in all of its test cases.
fn peer(table: &str) -> Vec<Value> {
    let cases = std::fs::read_dir(Path::new(REAL).join("peer_expected")).unwrap();
    let mut rows = vec![];
    for case in cases {
        let text = std::fs::read_to_string(case.unwrap().path().join(format!("{table}.json"))).unwrap();
        rows.extend(serde_json::from_str::<Vec<Value>>(&text).unwrap());
    }
    assert!(!rows.is_empty(), "the other indexer has no rows in {table}");
    rows
}

/// An address of either side in one form.
fn padded(value: &Value) -> Option<String> {
    value.as_str().map(|text| text.parse::<Address>().unwrap().to_string())
}

/// The id behind the market's name.
fn id(value: Option<&Value>) -> Option<String> {
    value.and_then(Value::as_str).map(|id| id.split_once(':').unwrap().1.to_owned())
}

/// Field by field, each of the other indexer's activities. It stores no buyer of a sale, though the event tells one; and it
/// knows what no event tells, from the resources that the transaction wrote: names, and the collection of a token.
#[test]
fn real_events_become_what_another_indexer_makes_of_them() {
    let Some(events) = real_events() else { return };
    let key = |row: &Value| (row["version"].to_string(), row["event_index"].to_string());
    let ours: BTreeMap<_, _> =
        events.iter().map(|(_, entry)| activity(entry)).map(|row| (key(&Value::Object(row.clone())), row)).collect();
    assert_eq!(ours.len(), 20);
    let raw: BTreeMap<_, _> = events.iter().map(|(line, entry)| (key(&Value::Object(activity(entry))), line)).collect();
    let (peers, mut unsold) = (peer("nft_marketplace_activities"), 0);
    for row in &peers {
        let at = (row["txn_version"].to_string(), row["index"].to_string());
        let own = ours.get(&at).unwrap_or_else(|| panic!("{at:?} is not among the events"));
        let told = |name: &str| own.get(name).and_then(Value::as_str).map(str::to_owned);
        let text = |value: &Value| canonical_type(value.as_str().unwrap());
        assert_eq!(text(&row["raw_event_type"]), text(&raw[&at]["type"]), "{at:?}");
        assert_eq!(row["json_data"]["data"], raw[&at]["data"], "{at:?}");
        assert_eq!(row["json_data"]["sequence_number"].to_string(), own["seq_no"].to_string(), "{at:?}");
        assert_eq!(row["marketplace"], own["market"], "{at:?}");
        assert_eq!(padded(&row["contract_address"]), Some(built_in("tradeport_v2").address.to_string()), "{at:?}");
        // Each is of one copy, and none says when it ends.
        assert!(row["token_amount"].is_null() && told("quantity").is_none_or(|quantity| quantity == "1"), "{at:?}");
        assert!(row["expiration_time"].is_null(), "{at:?}");
        assert_eq!(Some(&row["standard_event_type"]), own.get("kind"), "{at:?}");
        assert_eq!(Some(row["price"].to_string()), told("price"), "{at:?}");
        assert_eq!(padded(&row["token_data_id"]), told("token_id"), "{at:?}");
        assert_eq!(padded(&row["listing_id"]), id(own.get("order_id")), "{at:?}");
        assert_eq!(padded(&row["offer_id"]), id(own.get("offer_id")), "{at:?}");
        assert_eq!(format!("{}Z", row["block_timestamp"].as_str().unwrap()), told("occurred_at").unwrap(), "{at:?}");
        let kind = row["standard_event_type"].as_str().unwrap();
        let (seller, buyer) = match kind {
            "place_listing" | "cancel_listing" => (told("from_address"), None),
            "fill_listing" | "fill_token_offer" | "fill_collection_offer" => (told("from_address"), told("to_address")),
            _ => (None, told("from_address")),
        };
        assert_eq!(padded(&row["seller"]), seller, "{at:?}");
        if kind == "fill_listing" {
            assert!(row["buyer"].is_null() && buyer.is_some(), "{at:?}: the other indexer has learned of buyers");
            unsold += 1;
        } else {
            assert_eq!(padded(&row["buyer"]), buyer, "{at:?}");
        }
        // What an event tells agrees; what only the other one knows, no event tells.
        if let Some(collection) = told("collection_id") {
            assert_eq!(padded(&row["collection_id"]), Some(collection), "{at:?}");
        }
        assert!(row["collection_name"].is_null() && row["creator_address"].is_null(), "{at:?}");
    }
    assert_eq!((peers.len(), unsold), (16, 4));
}

#[test]
fn the_rows_of_real_events_are_those_of_another_indexer() {
    let Some(events) = real_events() else { return };
    let mut orders = BTreeMap::new();
    let mut offers = BTreeMap::new();
    // Each of its cases begins with an empty database, as each transaction does here.
    let mut by_version: BTreeMap<u64, Vec<&Entry>> = BTreeMap::new();
    for (_, entry) in &events {
        by_version.entry(entry.version.get()).or_default().push(entry);
    }
    for (version, entries) in by_version {
        let rows = fold::fold(&entries, &Rows::default(), &[]).rows;
        orders.extend(rows.orders.into_values().map(|row| ((version, row.order_key.to_string()), row)));
        offers.extend(rows.offers.into_values().map(|row| ((version, row.offer_key.to_string()), row)));
    }
    let version = |row: &Value| row["last_transaction_version"].as_u64().unwrap();
    let times: BTreeMap<_, _> =
        events.iter().map(|(_, entry)| (entry.version.get(), entry.event.time.unwrap())).collect();
    let last = |row: &Value| {
        assert_eq!(
            format!("{}Z", row["last_transaction_timestamp"].as_str().unwrap()),
            json!(times[&version(row)]),
            "{row}"
        );
        assert_eq!(row["marketplace"], "tradeport_v2");
        assert_eq!(padded(&row["contract_address"]), Some(built_in("tradeport_v2").address.to_string()), "{row}");
    };
    let address = |address: Option<Address>| address.map(|address| address.to_string());
    for row in peer("current_nft_marketplace_listings") {
        let own = &orders[&(version(&row), padded(&row["listing_id"]).unwrap())];
        last(&row);
        assert_eq!(Some(times[&version(&row)]), own.closed_at.or(own.listed_at), "{row}");
        assert_eq!(row["is_deleted"], own.status.name() != "listing", "{row}");
        assert_eq!(row["price"].to_string(), own.price.unwrap().to_string(), "{row}");
        assert_eq!(padded(&row["seller"]), address(own.seller), "{row}");
        assert_eq!(padded(&row["token_data_id"]), address(own.item.token_id), "{row}");
    }
    for (table, id, scope) in [
        ("current_nft_marketplace_token_offers", "offer_id", "token"),
        ("current_nft_marketplace_collection_offers", "collection_offer_id", "collection"),
    ] {
        for row in peer(table) {
            let own = &offers[&(version(&row), padded(&row[id]).unwrap())];
            last(&row);
            assert!(row["expiration_time"].is_null() && own.expires_at.is_none(), "{row}");
            assert_eq!((row["is_deleted"].as_bool(), scope), (Some(own.status.name() != "created"), own.scope.name()));
            assert_eq!(row["price"].to_string(), own.price.unwrap().to_string(), "{row}");
            assert_eq!(padded(&row["buyer"]), address(own.offerer), "{row}");
            if let Some(collection) = own.item.collection_id {
                assert_eq!(padded(&row["collection_id"]), Some(collection.to_string()), "{row}");
            }
        }
    }
}

#[test]
fn every_market_file_of_the_document_is_one() {
    let text = std::fs::read_to_string("docs/markets.md").unwrap();
    let blocks: Vec<_> = text.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(blocks.len(), 3);
    for block in blocks {
        Market::parse("docs/markets.md", block, None).unwrap_or_else(|error| panic!("{error}\n{block}"));
    }
}
