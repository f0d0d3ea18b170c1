//! A page of events as a node might answer it, to raw events, to typed ones, to rows.
#![no_main]

#[path = "../../tests/support/folding.rs"]
mod folding;

use std::sync::{Arc, LazyLock};

use event_worker::chain::{RawEvent, SeqNo, Version, canonical_data};
use event_worker::market::fold::Entry;
use event_worker::market::{Market, MarketEvent, Stream};
use event_worker::subject::events_of_page;
use folding::{Tables, assert_same, in_ledger_order};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

static MARKET: LazyLock<Market> = LazyLock::new(|| Market::built_in("imart", None).expect("it is built in"));

fuzz_target!(|body: &[u8]| {
    match events_of_page(body) {
        Ok(events) => {
            is_accounted_for(body, &events);
            any_order_gives_the_same_rows(&streams(events));
        }
        Err(reason) => assert!(reason.starts_with("answered "), "{reason}"),
    }
});

/// As many events as the page has, each with what is written there.
fn is_accounted_for(body: &[u8], events: &[RawEvent]) {
    // What is nested deeper than a `Value` may be is read as well, and not compared.
    let Ok(page) = serde_json::from_slice::<Vec<Value>>(body) else { return };
    assert_eq!(page.len(), events.len());
    for (told, event) in page.iter().zip(events).filter(|(told, _)| told.is_object()) {
        let number = |name: &str| told[name].as_str().and_then(|text| text.parse().ok());
        assert_eq!(number("version"), Some(event.version.get()));
        assert_eq!(number("sequence_number"), Some(event.seq_no.get()));
        assert_eq!(serde_json::from_str::<Value>(&event.data).expect("it is JSON"), told["data"]);
    }
}

/// The events that can be decoded, each of the stream that its creation number picks, with positions as a chain gives them:
/// numbers without a hole, versions that never go back. The page decides how far they go on.
fn streams(events: Vec<RawEvent>) -> Vec<Vec<Entry>> {
    let mut streams = vec![vec![]; MARKET.streams.len()];
    let mut version = 0;
    for mut raw in events {
        let index = (raw.creation_number % 8) as usize;
        version += raw.version.get() % 3;
        raw.version = Version::new(version).expect("small");
        raw.seq_no = SeqNo::new(streams[index].len() as u64).expect("small");
        streams[index].extend(decoded(&MARKET.streams[index], &raw));
    }
    streams
}

fn decoded(stream: &Arc<Stream>, raw: &RawEvent) -> Option<Entry> {
    let entry = stream.entry(raw);
    // The same data written otherwise means the same. (The name is how serde_json hands numbers on.)
    let value = serde_json::from_str::<Value>(&raw.data).ok().filter(|_| !raw.data.contains("$serde_json"));
    if let Some(value) = value {
        let again = RawEvent { data: value.to_string(), ..raw.clone() };
        assert_eq!(stream.entry(&again).ok(), entry.as_ref().ok().cloned(), "{} and {}", raw.data, again.data);
        let canonical = canonical_data(&raw.data);
        assert_eq!(canonical_data(&canonical), canonical, "a standard form is its own");
        assert_eq!(canonical_data(&again.data), canonical);
    }
    match entry {
        Ok(entry) => {
            let bytes = postcard::to_stdvec(&*entry.event).expect("every event can be kept");
            assert_eq!(postcard::from_bytes::<MarketEvent>(&bytes).as_ref(), Ok(&*entry.event));
            Some(entry)
        }
        Err(refusal) => {
            let said = refusal.to_string();
            let names = |path: &[String]| said.starts_with(&format!("data.{}: ", path.join(".")));
            let is_named = said.starts_with("data: ") || stream.mapped().iter().flat_map(|field| &field.paths).any(|path| names(path));
            assert!(is_named, "names no field: {said}");
            None
        }
    }
}

/// One stream after another, from the first and from the last, in commits of several sizes: late events all over.
fn any_order_gives_the_same_rows(streams: &[Vec<Entry>]) {
    let expected = in_ledger_order(streams);
    for size in [1, 3] {
        let (mut forwards, mut backwards) = (Tables::default(), Tables::default());
        streams.iter().flat_map(|stream| stream.chunks(size)).for_each(|batch| forwards.commit(batch));
        streams.iter().rev().flat_map(|stream| stream.chunks(size)).for_each(|batch| backwards.commit(batch));
        assert_same(&forwards, &expected);
        assert_same(&backwards, &expected);
    }
}
