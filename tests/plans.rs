//! Transactions that are planned ahead, on every database: a plan holds, or is found to be overtaken. And what happens to a
//! worker whose writer breaks down.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use event_worker::chain::SeqNo;
use event_worker::market::{Market, Markets};
use event_worker::observer::{self, Board};
use event_worker::simulate::Config;
use event_worker::state::{Executed, Import, Plan, Recorder, Slice, Store, StoreError};
use event_worker::subject::{self, EventHandle, Nodes, Subject};
use support::database::{Backend, TestDatabase};
use support::node::TestNode;
use support::plain_fold::{plain_fold, plain_fold_by_kinds};
use support::process::Setup;
use support::tables;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

on_every_database!(
    plans_made_ahead_hold_or_are_overtaken,
    a_worker_that_is_overtaken_again_and_again_ends_in_the_same_rows
);

/// Plans are made while the one before is not executed yet, as a worker does, and sometimes somebody writes in between.
async fn plans_made_ahead_hold_or_are_overtaken(backend: Backend) {
    let node = TestNode::start(Config { events: 1_500, collections: 0, ..Config::default() }).await;
    let creators = node.creators().join(",");
    let database = TestDatabase::create(backend).await;
    Setup::of(&database.url, &node.url)
        .command("collection-import")
        .with("--account")
        .with(&creators)
        .to_end()
        .await
        .expect(0);
    let store = Store::connect(&database.url.parse().unwrap()).await.unwrap();
    let other = Store::connect(&database.url.parse().unwrap()).await.unwrap();
    let markets = Markets::new(vec![Market::built_in("imart", None).unwrap()]).unwrap();
    store.prepare(&markets).await.unwrap();
    let config = subject::Config { nodes: vec![(node.url.parse().unwrap(), None)], archive: None };
    let nodes = Arc::new(Nodes::new(config).unwrap());
    let mut slices: Vec<Arc<[Slice]>> = vec![];
    for stream in markets.streams() {
        let subject = EventHandle::at(&nodes, &stream.source);
        let mut next = SeqNo::ZERO;
        loop {
            let page = subject.page(next).await.unwrap();
            let Some(last) = page.events.last() else { break };
            next = last.seq_no.next();
            let executed = |raw| Executed { meaning: stream.entry(&raw), raw };
            let events = page.events.into_iter().map(executed).collect();
            slices.push(
                [Slice { stream: Arc::clone(stream), chain_id: page.ledger.chain_id, epoch: None, events }].into(),
            );
        }
    }
    // Stream after stream: many events come late.
    let (mut planned, mut overtaken, mut late) = (0, 0, 0);
    let mut waiting: Option<(Plan, Arc<[Slice]>)> = None;
    for (at, slices) in slices.into_iter().enumerate() {
        let before = waiting.as_ref().map(|(plan, _)| plan.after());
        let plan = store.plan(&markets, Arc::clone(&slices), before).await.unwrap();
        let mut as_planned = true;
        if let Some((plan, slices)) = waiting.take() {
            if at % 5 == 0 {
                other.import(&Import::default()).await.unwrap();
            }
            match store.execute(plan).await {
                Ok(_) => planned += 1,
                Err(StoreError::Overtaken) => {
                    overtaken += 1;
                    as_planned = false;
                    store.commit(&markets, &slices).await.unwrap();
                }
                Err(error) => panic!("{error}"),
            }
        }
        match plan {
            Some(plan) if as_planned => waiting = Some((plan, slices)),
            _ => {
                late += 1;
                store.commit(&markets, &slices).await.unwrap();
            }
        }
    }
    if let Some((plan, _)) = waiting {
        store.execute(plan).await.unwrap();
    }
    assert!(planned > 2 && overtaken > 0 && late > 0, "{planned} {overtaken} {late}");
    let tables = tables::folded_alone(&tables::read(&database.db).await);
    tables::assert_equal(
        &tables::folded_alone(&plain_fold_by_kinds(&node.node.history())),
        &tables,
        &format!("{backend:?}, planned ahead"),
    );
    assert!(database.number("SELECT COUNT(*) FROM collections WHERE imported > 0").await > Some(3));
    store.close().await.unwrap();
    other.close().await.unwrap();
}

/// Breaks down wherever something is written.
struct Bug;

impl Recorder for Bug {
    fn writes(&self, _: &sea_orm::Statement) {
        panic!("a bug, as this test wants it");
    }

    fn committed(&self) {}
}

/// Lets somebody else write whenever a transaction has been committed, and counts those that had to be made again.
struct Disturbed {
    committed: Notify,
    abandoned: AtomicU32,
}

impl Recorder for Disturbed {
    fn writes(&self, _: &sea_orm::Statement) {}

    fn committed(&self) {
        self.committed.notify_one();
    }

    fn abandoned(&self) {
        self.abandoned.fetch_add(1, Ordering::Relaxed);
    }
}

/// The next plan waits behind the one that is overtaken, and whoever overtook may have counted up to its number.
async fn a_worker_that_is_overtaken_again_and_again_ends_in_the_same_rows(backend: Backend) {
    let node = TestNode::start(Config { events: 6_000, collections: 0, ..Config::default() }).await;
    let database = TestDatabase::create(backend).await;
    let store = Store::connect(&database.url.parse().unwrap()).await.unwrap();
    let other = Store::connect(&database.url.parse().unwrap()).await.unwrap();
    store.migrate_up().await.unwrap();
    let disturbed = Arc::new(Disturbed { committed: Notify::new(), abandoned: AtomicU32::new(0) });
    let writes = async {
        loop {
            disturbed.committed.notified().await;
            other.import(&Import::default()).await.unwrap();
        }
    };
    let stopped = tokio::select! {
        stopped = work(&node, store, disturbed.clone(), true) => stopped,
        () = writes => unreachable!("it has no end"),
    };
    assert!(stopped.is_empty(), "{stopped:?}");
    assert!(disturbed.abandoned.load(Ordering::Relaxed) > 0, "nothing was overtaken");
    let tables = tables::folded_alone(&tables::read(&database.db).await);
    let expected = tables::folded_alone(&plain_fold(&node.node.history()));
    tables::assert_equal(&expected, &tables, &format!("{backend:?}, overtaken again and again"));
    other.close().await.unwrap();
}

/// Few events, so that some streams are empty: their feeds would never find out by themselves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_writer_a_worker_ends_and_says_so() {
    let node = TestNode::start(Config { events: 5, collections: 0, ..Config::default() }).await;
    let database = TestDatabase::create(Backend::Sqlite).await;
    let store = Store::connect(&database.url.parse().unwrap()).await.unwrap();
    store.migrate_up().await.unwrap();
    let stopped = work(&node, store, Arc::new(Bug), false).await;
    assert!(stopped.iter().any(|one| one.reason.contains("the writer broke down")), "{stopped:?}");
    assert_eq!(database.number("SELECT COUNT(*) FROM events").await, Some(0));
}

/// Runs a worker, for a minute at most.
async fn work(
    node: &TestNode,
    store: Store,
    recorder: Arc<dyn Recorder>,
    until_caught_up: bool,
) -> Vec<observer::Stopped> {
    let markets = Arc::new(Markets::new(vec![Market::built_in("imart", None).unwrap()]).unwrap());
    store.prepare(&markets).await.unwrap();
    let store = store.recorded(recorder);
    let config = subject::Config { nodes: vec![(node.url.parse().unwrap(), None)], archive: None };
    let nodes = Arc::new(Nodes::new(config).unwrap());
    let handle = |stream: &event_worker::market::Stream| EventHandle::at(&nodes, &stream.source);
    let config = observer::Config {
        poll_interval: Duration::from_millis(20),
        max_parked: 100,
        until_caught_up,
        scanned_interval: observer::SCANNED_INTERVAL,
        lease: None,
        worker: "test".to_owned(),
    };
    let board = Arc::new(Board::new(&markets));
    let running = observer::run(config, store, Arc::clone(&markets), handle, board, CancellationToken::new());
    tokio::time::timeout(Duration::from_mins(1), running).await.expect("it goes on for ever").unwrap()
}
