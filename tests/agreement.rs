//! The three subjects agree: event for event, from wherever they are begun, whatever the stream does; and workers end in the
//! same rows.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::sync::Arc;

use event_worker::chain::{RawEvent, SeqNo, Version};
use event_worker::market::{Market, Markets, Stream};
use event_worker::simulate::Config;
use event_worker::subject::{
    self, EventHandle, Nodes, Numbers, Place, ScannedStream, StreamConfig, StreamService, Subject, Transactions,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use support::database::{Backend, TestDatabase};
use support::node::TestNode;
use support::scanned::{self, modules};

/// As many random chains.
const CHAINS: u64 = 10;
/// And as many read by workers.
const ROWS: u64 = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subjects_agree_on_random_chains() {
    for seed in 0..CHAINS {
        println!("seed {seed}");
        let mut rng = StdRng::seed_from_u64(seed);
        let module_events = seed % 3 == 2;
        let faults = format!(
            "stream-drop:{:.2},stream-reset:{:.2},stream-repeat:{:.2},stream-split:{:.2},stream-hole:{:.2}",
            rng.random_range(0.0..0.2),
            rng.random_range(0.0..0.05),
            rng.random_range(0.0..0.3),
            rng.random_range(0.0..0.5),
            rng.random_range(0.0..0.1),
        );
        println!("{faults}");
        let config = Config {
            seed,
            events: rng.random_range(50..300),
            spacing: rng.random_range(1..60),
            module_events,
            faults: faults.parse().unwrap(),
            ..Config::default()
        };
        let node = TestNode::start(config).await;
        let market = if module_events {
            Market::parse("modules.toml", &modules(), None)
        } else {
            Market::built_in("imart", None)
        };
        let market = market.unwrap();
        agree(&node, &Markets::new(vec![market]).unwrap(), module_events, &mut rng).await;
    }
}

/// Chains whose transactions nobody could put in order by the kinds of their events.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_end_in_the_same_rows_on_random_chains() {
    for seed in 100..100 + ROWS {
        println!("seed {seed}");
        let mut rng = StdRng::seed_from_u64(seed);
        let (events, spacing) = (rng.random_range(100..800), rng.random_range(1..60));
        let node = TestNode::start(Config { seed, events, spacing, contrary: true, ..Config::default() }).await;
        let mut databases = vec![];
        for subject in ["transactions", "stream", "handles"] {
            let database = TestDatabase::create(Backend::Sqlite).await;
            scanned::worker(&database, &node, subject).until_caught_up().await.expect(0);
            databases.push(database);
        }
        let [transactions, others @ ..] = &databases[..] else { unreachable!() };
        for other in others {
            scanned::assert_same(other, transactions).await;
        }
    }
}

async fn agree(node: &TestNode, markets: &Markets, module_events: bool, rng: &mut StdRng) {
    let config = subject::Config { nodes: vec![(node.url.parse().unwrap(), None)], archive: None };
    let nodes = Arc::new(Nodes::new(config).unwrap());
    let types: Vec<_> = markets.streams().flat_map(|stream| stream.events.iter().cloned()).collect();
    let service = StreamService::new(StreamConfig { url: node.stream().parse().unwrap(), key: None }).unwrap();
    let scanned = Arc::new(Transactions::of_nodes(Arc::clone(&nodes), types.clone()));
    let streamed = Arc::new(Transactions::of_stream(service, Arc::clone(&nodes), types));
    let numbers = if module_events { Numbers::Ours } else { Numbers::Chain };
    for stream in markets.streams() {
        let by_transactions = all(stream, &scanned, numbers, rng).await;
        let by_stream = all(stream, &streamed, numbers, rng).await;
        assert_same(&by_stream, &by_transactions);
        assert!(by_stream.iter().all(|event| event.event_index.is_some() && event.block_time.is_some()));
        assert!(by_stream.iter().all(|event| event.caller.is_some()));
        if !module_events {
            let handle = EventHandle::at(&nodes, &stream.source);
            // What only transactions tell, and in which order a node happens to write fields.
            let plain = |event: &RawEvent| {
                let data = serde_json::from_str::<serde_json::Value>(&event.data).unwrap().to_string();
                RawEvent { event_index: None, block_time: None, caller: None, data, ..event.clone() }
            };
            let by_handle: Vec<_> = pages(&handle, SeqNo::ZERO, usize::MAX).await.iter().map(plain).collect();
            assert_same(&by_stream.iter().map(plain).collect::<Vec<_>>(), &by_handle);
        }
    }
}

fn assert_same(found: &[RawEvent], expected: &[RawEvent]) {
    let different = found.iter().zip(expected).find(|(found, expected)| found != expected);
    assert_eq!(different, None);
    assert_eq!(found.len(), expected.len());
}

/// All events of a stream, by readers that each begin where the one before was stopped.
async fn all(
    stream: &Arc<Stream>,
    transactions: &Arc<Transactions>,
    numbers: Numbers,
    rng: &mut StdRng,
) -> Vec<RawEvent> {
    let mut all: Vec<RawEvent> = vec![];
    loop {
        let next = all.last().map_or(SeqNo::ZERO, |event| event.seq_no.next());
        let last = all.last().map(|event| (event.version, event.event_index));
        let place = Place { next, last, scanned: None };
        let own = Arc::clone(stream);
        let reader = ScannedStream::new(
            Arc::clone(transactions),
            Box::new(move |event| own.has(event)),
            numbers,
            Version::new(6_000_000).unwrap(),
            Box::new(move || Box::pin(async move { Ok(place) })),
        );
        let mut more = pages(&reader, next, rng.random_range(1..4)).await;
        if more.is_empty() {
            return all;
        }
        // What was read last need not have been committed.
        more.truncate(rng.random_range(1..=more.len()));
        all.extend(more);
    }
}

/// What some pages hold, and none if there is no more; whoever fails is asked again.
async fn pages(subject: &impl Subject, from: SeqNo, most: usize) -> Vec<RawEvent> {
    let (mut events, mut next) = (vec![], from);
    for _ in 0..most {
        let page = loop {
            match subject.page(next).await {
                Ok(page) => break page,
                Err(error) if error.may_pass() => {}
                Err(error) => panic!("{error}"),
            }
        };
        assert_eq!(page.continuing(next, None), page.events.len(), "a hole, or something twice");
        next = page.events.last().map_or(next, |event| event.seq_no.next());
        let is_end = page.events.is_empty() && !page.full;
        events.extend(page.events);
        if is_end {
            break;
        }
    }
    events
}
