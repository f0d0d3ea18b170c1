//! Whatever the order in which observers run, and however their events fall into batches, the tables come out the same.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "support/folding.rs"]
mod folding;

use std::collections::HashMap;
use std::sync::Arc;

use event_worker::chain::{RawEvent, SeqNo, Version};
use event_worker::market::fold::Entry;
use event_worker::market::{Market, Stream};
use event_worker::simulate;
use folding::{Tables, assert_same, in_ledger_order};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// Each step commits some more events of one stream, or of several at once.
fn interleaved(streams: &[Vec<Entry>], steps: &[(usize, usize, bool)]) -> Tables {
    let mut rests: Vec<&[Entry]> = streams.iter().map(Vec::as_slice).collect();
    let mut tables = Tables::default();
    let mut batch = vec![];
    for (stream, size, together) in steps.iter().copied().cycle() {
        let open: Vec<_> = (0..rests.len()).filter(|index| !rests[*index].is_empty()).collect();
        let Some(index) = open.get(stream % open.len().max(1)).copied() else {
            break;
        };
        let (taken, rest) = rests[index].split_at(size.min(rests[index].len()));
        rests[index] = rest;
        batch.extend_from_slice(taken);
        if !together {
            tables.commit(&std::mem::take(&mut batch));
        }
    }
    tables.commit(&batch);
    tables
}

fn steps() -> impl Strategy<Value = Vec<(usize, usize, bool)>> {
    proptest::collection::vec((0..8_usize, 1..40_usize, prop::bool::weighted(0.3)), 1..60)
}

fn entry(stream: &Stream, seq_no: u64, version: u64, data: String) -> Entry {
    let raw = RawEvent {
        version: Version::new(version).unwrap(),
        seq_no: SeqNo::new(seq_no).unwrap(),
        data,
        ..raw_of(stream)
    };
    stream.entry(&raw).unwrap_or_else(|why| panic!("{}: {why}", raw.data))
}

/// A failure prints the case, shrunk; proptest's own seed is random, so every run tries other cases.
fn check<S: Strategy>(cases: u32, strategy: &S, test: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    if let Err(failure) = runner.run(strategy, test) {
        panic!("{failure}");
    }
}

#[test]
fn on_generated_markets() {
    let market = Market::built_in("imart", None).unwrap();
    check(24, &(0..1_000_000_u64, 200..900_u64, steps()), |(seed, events, steps)| {
        let node = simulate::Node::new(simulate::Config { seed, events, ..simulate::Config::default() });
        let mut streams: HashMap<String, Vec<Entry>> = HashMap::new();
        for event in node.history() {
            let stream = market.streams.iter().find(|stream| stream.source.field() == Some(event.stream)).unwrap();
            let entry = entry(stream, event.seq_no, event.version, event.data);
            streams.entry(event.stream.to_owned()).or_default().push(entry);
        }
        let streams: Vec<_> =
            market.streams.iter().filter_map(|stream| streams.remove(stream.source.field()?)).collect();
        assert_same(&interleaved(&streams, &steps), &in_ledger_order(&streams));
        Ok(())
    });
}

/// Few keys, few versions, anything after anything: what no contract does, and what one does in a single transaction.
#[test]
fn on_streams_that_follow_no_rule() {
    let market = Market::built_in("imart", None).unwrap();
    let event = (0..8_usize, 0..3_u64, 0..2_u64, 0..3_u64, 0..4_u64, any::<bool>());
    check(400, &(proptest::collection::vec(event, 1..60), steps()), |(events, steps)| {
        let mut streams: Vec<Vec<Entry>> = vec![vec![]; 8];
        let mut version = 0;
        for (kind, id, token, step, number, yes) in events {
            version += step;
            let (stream, account) = (&market.streams[kind], format!("0x{}", number % 3 + 1));
            let seq_no = streams[kind].len() as u64;
            streams[kind].push(entry(stream, seq_no, version, data(id, token, &account, number, yes)));
        }
        assert_same(&interleaved(&streams, &steps), &in_ledger_order(&streams));
        Ok(())
    });
}

/// Every field that any of the eight streams reads.
fn data(id: u64, token: u64, account: &str, number: u64, yes: bool) -> String {
    let coin =
        r#"{"account_address": "0x1", "module_name": "0x6170746f735f636f696e", "struct_name": "0x4170746f73436f696e"}"#;
    let token = format!(
        r#"{{"token_data_id": {{"creator": "0x5", "collection": "C", "name": "{token}"}}, "property_version": "0"}}"#
    );
    format!(
        r#"{{"offer_id": "{id}", "token_id": {token}, "coin_type_info": {coin}, "price": "{number}", "seller": "{account}",
            "buyer": "{account}", "token_amount": "{number}", "coin_amount": "{number}", "timestamp": "{number}",
            "coin_owner": "0x{id}1", "token_owner": "{account}", "coin_amount_per_token": "{number}", "expiration_time": "9",
            "is_offer_end": {yes}, "creator": "0x5", "name": "C", "description": "{number}", "uri": "", "maximum": "{number}"}}"#
    )
}

/// JSON that resembles an event's data.
fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(|number| number.to_string().into()),
        any::<u128>().prop_map(|number| number.to_string().into()),
        any::<f64>().prop_map(Into::into),
        "\\PC*".prop_map(Into::into),
        "0x[0-9a-f]{0,66}".prop_map(Into::into),
    ];
    let names = prop::sample::select(vec![
        "offer_id",
        "price",
        "seller",
        "buyer",
        "token_id",
        "token_data_id",
        "creator",
        "collection",
        "name",
        "property_version",
        "timestamp",
        "coin_type_info",
        "account_address",
        "module_name",
        "struct_name",
        "token_amount",
        "coin_amount",
        "inner",
        "coin_owner",
        "token_owner",
        "coin_amount_per_token",
        "expiration_time",
        "is_offer_end",
        "maximum",
        "description",
        "uri",
    ]);
    leaf.prop_recursive(4, 64, 12, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            proptest::collection::vec((names.clone(), inner), 0..14).prop_map(|fields| serde_json::Value::Object(
                fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
            )),
        ]
    })
}

#[test]
fn decode_never_panics() {
    let market = Market::built_in("imart", None).unwrap();
    let text = prop_oneof![json().prop_map(|json| json.to_string()), "\\PC*"];
    check(2_000, &(text, 0..8_usize), |(data, stream)| {
        let stream: &Arc<Stream> = &market.streams[stream];
        let raw = RawEvent { data, ..raw_of(stream) };
        // Parked or decoded: either is an answer.
        let _ = stream.decode(&raw);
        Ok(())
    });
}

/// The decoder must also get somewhere with what it accepts: a real event with any one field replaced.
#[test]
fn one_wrong_field_is_parked_with_its_path_or_read_right() {
    let market = Market::built_in("imart", None).unwrap();
    let good: serde_json::Value = serde_json::from_str(&data(1, 1, "0x1", 2, true)).unwrap();
    let names: Vec<String> = good.as_object().unwrap().keys().cloned().collect();
    check(2_000, &(prop::sample::select(names), json(), 0..8_usize), |(name, value, stream)| {
        let mut data = good.clone();
        data[&name] = value;
        let raw = RawEvent { data: data.to_string(), ..raw_of(&market.streams[stream]) };
        if let Err(why) = market.streams[stream].decode(&raw) {
            let why = why.to_string();
            prop_assert!(why.starts_with(&format!("data.{name}")) || why.starts_with("data: price"), "{name}: {why}");
        }
        Ok(())
    });
}

fn raw_of(stream: &Stream) -> RawEvent {
    RawEvent {
        version: Version::default(),
        event_index: None,
        seq_no: SeqNo::ZERO,
        event_type: Arc::default(),
        account_address: stream.source.account(),
        creation_number: 1,
        data: String::new(),
        block_time: None,
        caller: None,
    }
}
