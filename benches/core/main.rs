//! What meaning costs: `cargo bench --bench core`.
//!
//! Pages of a simulated market, fetched once, are made into rows on one core, step by step: parsed into raw events, decoded,
//! folded. Beside it the same pages are only parsed into plain structs, which is what any program has to do. Prints events per
//! second of each step, and their ratio to the plain parsing of the same run.

mod plain;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use criterion::{Criterion, Throughput};
use event_worker::chain::Version;
use event_worker::market::fold::{self, Entry, Rows};
use event_worker::market::{Market, Stream};
use event_worker::simulate::{Config, Node};
use event_worker::subject::events_of_page;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Enough that every kind of event and several thousand orders are among them.
const EVENTS: u64 = 20_000;
/// Pages that are folded at once: as many events as the worker commits.
const BATCH: usize = 10;
/// The steps, each with all before it.
const STEPS: [&str; 4] = ["plain", "events", "decode", "fold"];

/// A page as a node answers it.
struct Page {
    stream: Arc<Stream>,
    /// Of its first event.
    version: Version,
    body: Vec<u8>,
}

fn main() -> Result<()> {
    // The client wants one, although nothing here is encrypted.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let pages = tokio::runtime::Runtime::new()?.block_on(pages())?;
    let mut criterion =
        Criterion::default().measurement_time(Duration::from_secs(8)).sample_size(20).configure_from_args();
    let mut group = criterion.benchmark_group("core");
    group.throughput(Throughput::Elements(EVENTS));
    group.bench_function("plain", |bencher| bencher.iter(|| pages.iter().map(plain_events).sum::<usize>()));
    group.bench_function("events", |bencher| bencher.iter(|| pages.iter().map(raw_events).sum::<usize>()));
    group.bench_function("decode", |bencher| {
        bencher.iter(|| pages.chunks(BATCH).map(|pages| entries(pages).len()).sum::<usize>());
    });
    let stored = stored(&pages);
    group.bench_function("fold", |bencher| bencher.iter(|| folded(&pages, &stored)));
    group.finish();
    criterion.final_summary();
    report()
}

/// Every page of every stream, by its first event's version.
async fn pages() -> Result<Vec<Page>> {
    let node = Node::new(Config { events: EVENTS, collections: 0, ..Config::default() });
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/v1", listener.local_addr()?);
    tokio::spawn(Arc::clone(&node).serve(listener, CancellationToken::new()));
    let mut pages = vec![];
    for stream in &Market::built_in("imart", None)?.streams {
        let handle = stream.source.handle().context("imart is read by handles")?;
        for start in (0..).step_by(100) {
            let path =
                format!("{}/events/{}/{}?start={start}&limit=100", handle.account, handle.resource, handle.field);
            let body =
                reqwest::get(format!("{url}/accounts/{path}")).await?.error_for_status()?.bytes().await?.to_vec();
            if body == b"[]" {
                break;
            }
            let events = events_of_page(&body).map_err(anyhow::Error::msg)?;
            let version = events.first().map(|event| event.version).unwrap_or_default();
            pages.push(Page { stream: Arc::clone(stream), version, body });
        }
    }
    pages.sort_by_key(|page| page.version);
    Ok(pages)
}

fn plain_events(page: &Page) -> usize {
    plain::parse(page.stream.source.field().unwrap_or_default(), &page.body).unwrap_or_else(|error| panic!("{error}"))
}

fn raw_events(page: &Page) -> usize {
    events_of_page(&page.body).map_or(0, |events| events.len())
}

fn entries(pages: &[Page]) -> Vec<Entry> {
    let events = |page: &Page| {
        let events = events_of_page(&page.body).unwrap_or_else(|error| panic!("{error}"));
        let entry = |raw| page.stream.entry(&raw).unwrap_or_else(|error| panic!("{error}"));
        events.into_iter().map(entry).collect::<Vec<_>>()
    };
    pages.iter().flat_map(events).collect()
}

/// The rows that each batch finds: what the database would tell. Worked out once, as reading them is no part of folding.
fn stored(pages: &[Page]) -> Vec<Rows> {
    let (mut all, mut stored) = (Rows::default(), vec![]);
    for batch in batches(pages) {
        let batch: Vec<_> = batch.iter().collect();
        let keys = fold::keys(&batch);
        let found = Rows {
            orders: known(keys.orders, &all.orders),
            offers: known(keys.offers, &all.offers),
            tokens: known(keys.tokens, &all.tokens),
            collections: known(keys.collections, &all.collections),
        };
        let Rows { orders, offers, tokens, collections } = fold::fold(&batch, &found, &[]).rows;
        all.orders.extend(orders);
        all.offers.extend(offers);
        all.tokens.extend(tokens);
        all.collections.extend(collections);
        stored.push(found);
    }
    stored
}

fn known<K: Ord, R: Clone>(keys: BTreeSet<K>, rows: &BTreeMap<K, R>) -> BTreeMap<K, R> {
    keys.into_iter().filter_map(|key| rows.get(&key).cloned().map(|row| (key, row))).collect()
}

/// As a backfill goes: the events of some pages in ledger order, up to the version where the next page begins.
fn batches(pages: &[Page]) -> impl Iterator<Item = Vec<Entry>> {
    let mut chunks = pages.chunks(BATCH).peekable();
    let mut waiting = vec![];
    std::iter::from_fn(move || {
        waiting.extend(entries(chunks.next()?));
        waiting.sort_by_key(|entry| (entry.version, entry.stream, entry.seq_no));
        let horizon = chunks.peek().map_or_else(Version::max, |next| next[0].version);
        let rest = waiting.split_off(waiting.partition_point(|entry| entry.version < horizon));
        Some(std::mem::replace(&mut waiting, rest))
    })
}

fn folded(pages: &[Page], stored: &[Rows]) -> usize {
    let fold = |(batch, rows): (Vec<Entry>, &Rows)| {
        let batch: Vec<_> = batch.iter().collect();
        std::hint::black_box(fold::keys(&batch));
        assert_eq!(fold::late(&batch, rows), fold::Keys::default(), "in ledger order nothing is late");
        let then = fold::fold(&batch, rows, &[]).rows;
        then.orders.len() + then.offers.len() + then.tokens.len() + then.collections.len()
    };
    batches(pages).zip(stored).map(fold).sum()
}

/// Ratios of one run; nothing where not all steps were run.
fn report() -> Result<()> {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("criterion").join("core");
    let mut seconds = vec![];
    for step in STEPS {
        let Ok(text) = std::fs::read_to_string(folder.join(step).join("new/estimates.json")) else { return Ok(()) };
        let estimates: serde_json::Value = serde_json::from_str(&text)?;
        let nanoseconds = estimates["median"]["point_estimate"].as_f64().context("criterion wrote no median")?;
        seconds.push(nanoseconds / 1e9);
    }
    for (step, took) in STEPS.into_iter().zip(&seconds) {
        #[expect(clippy::cast_precision_loss, reason = "shown without decimals")]
        let per_second = EVENTS as f64 / took;
        println!("{step:8} {per_second:9.0} events/s, {:.2} of plain parsing", seconds[0] / took);
    }
    Ok(())
}
