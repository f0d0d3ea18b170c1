//! A market file; behind a line `===` events of its first stream, one a line.
#![no_main]

use std::collections::BTreeSet;
use std::sync::Arc;

use event_worker::chain::{RawEvent, SeqNo, Version};
use event_worker::market::{Market, Markets, Stream};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (file, events) = text.split_once("\n===\n").unwrap_or((text, "{}"));
    let market = match Market::parse("my.toml", file, None) {
        Ok(market) => market,
        Err(error) => {
            let said = error.to_string();
            assert!(said.starts_with("market file my.toml: ") && said.len() > 21, "{said}");
            return;
        }
    };
    let observers: BTreeSet<_> = market.streams.iter().map(|stream| &stream.observer).collect();
    assert_eq!(observers.len(), market.streams.len(), "each stream has an observer of its own");
    is_at_any_address(file, &market);
    for stream in &market.streams {
        assert!(stream.observer.starts_with(&format!("{}:", market.name)));
        events.lines().for_each(|data| is_decoded_or_refused(&market, stream, data));
    }
    let markets = Markets::new(vec![market]).expect("it is alone");
    assert!(markets.streams().all(|stream| markets.stream(&stream.observer).is_some()));
});

/// Another deployment is the same market, but for the account of its handles; unless that is one of their own.
fn is_at_any_address(file: &str, market: &Market) {
    let there = "0xabc".parse().expect("an address");
    let other = match Market::parse("my.toml", file, Some(there)) {
        Ok(other) => other,
        Err(error) => return assert!(error.to_string().contains("account of their own"), "{error}"),
    };
    assert_eq!(other.streams.len(), market.streams.len());
    for (stream, moved) in market.streams.iter().zip(&other.streams) {
        assert_eq!((&stream.observer, stream.kind, stream.mapped()), (&moved.observer, moved.kind, moved.mapped()));
    }
}

fn is_decoded_or_refused(market: &Market, stream: &Stream, data: &str) {
    let raw = RawEvent {
        version: Version::default(),
        event_index: None,
        seq_no: SeqNo::ZERO,
        event_type: Arc::default(),
        account_address: market.address,
        creation_number: 0,
        data: data.to_owned(),
        block_time: None,
        caller: None,
    };
    match stream.entry(&raw) {
        Ok(entry) => {
            let ids: Vec<_> = [entry.order_id(), entry.offer_id(), entry.auction_id()].into_iter().flatten().collect();
            assert_eq!(ids.len(), usize::from(entry.event.key.is_some()));
            for id in ids {
                assert!(id.len() <= 100 && id.starts_with(&format!("{}:", market.name)), "{id}");
            }
        }
        Err(refusal) => assert!(refusal.to_string().starts_with("data"), "{refusal}"),
    }
}
