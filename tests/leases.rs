//! Several workers on one database: they share the observers out, take over from one another, and never double an event.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use event_worker::market::{Market, Markets};
use event_worker::observer::{self, Board};
use event_worker::simulate::Config;
use event_worker::state::{Executed, Slice, Store, StoreError, Trouble, Wants};
use event_worker::subject::{self, EventHandle, Nodes, Subject};
use sea_orm::{ConnectionTrait, TransactionTrait};
use support::database::{Backend, TestDatabase};
use support::front::front;
use support::node::TestNode;
use support::plain_fold::plain_fold;
use support::process::Setup;
use support::proxy::Proxy;
use support::tables;
use tokio_util::sync::CancellationToken;

/// Longer than anything here takes, unless it never happens.
const PATIENCE: Duration = Duration::from_mins(1);
const LEASE: Duration = Duration::from_millis(500);

on_every_database!(
    two_workers_share_the_observers_and_one_takes_over_when_the_other_dies,
    a_holder_that_slept_past_its_lease_writes_nothing,
    until_caught_up_waits_for_what_a_killed_worker_holds,
    two_workers_without_leases_never_double,
    leases_are_the_databases_word,
    a_worker_whose_node_is_away_leaves_its_observers_to_others,
    who_has_caught_up_leaves_its_observers_to_others,
    with_the_default_lease_others_take_over_in_5_s,
);

on_every_server!(a_worker_whose_database_falls_silent_gives_way_and_comes_back);

fn imart() -> Markets {
    Markets::new(vec![Market::built_in("imart", None).unwrap()]).unwrap()
}

async fn market(events: u64) -> TestNode {
    TestNode::start(Config { events, collections: 0, latency: Duration::from_millis(5), ..Config::default() }).await
}

/// Who holds leases, once for each.
async fn holders(database: &TestDatabase) -> Vec<String> {
    let holders = "SELECT lease_holder FROM checkpoints WHERE lease_holder IS NOT NULL AND lease_expires_at >";
    database.texts(&format!("{holders} {}", database.clock())).await
}

/// How many observers each worker holds, fewest first.
async fn shares(database: &TestDatabase) -> Vec<i64> {
    let holders = holders(database).await;
    let names: BTreeSet<_> = holders.iter().collect();
    let mut shares: Vec<_> =
        names.iter().map(|name| i64::try_from(holders.iter().filter(|one| one == name).count()).unwrap()).collect();
    shares.sort_unstable();
    shares
}

async fn until_shared(database: &TestDatabase, expected: &[i64]) {
    let reached = async {
        while shares(database).await != expected {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, reached).await.is_ok();
    assert!(in_time, "{:?} instead of {expected:?}", shares(database).await);
}

async fn assert_folded(node: &TestNode, database: &TestDatabase, what: &str) {
    let what = format!("{:?}, {what}", database.backend);
    tables::assert_equal(&plain_fold(&node.node.history()), &tables::read(&database.db).await, &what);
}

async fn two_workers_share_the_observers_and_one_takes_over_when_the_other_dies(backend: Backend) {
    let node = market(3_000).await;
    let database = TestDatabase::create(backend).await;
    let setup = Setup::of(&database.url, &node.url);
    let (first, second) = (setup.start(), setup.start());
    database.until_executed(3_000, PATIENCE).await;
    until_shared(&database, &[4, 4]).await;
    node.node.emit(200);
    database.until_executed(node.node.history().len() as u64, PATIENCE).await;
    let died = Instant::now();
    first.kill().await;
    until_shared(&database, &[8]).await;
    println!("{backend:?}: taken over after {:?}, with leases of {LEASE:?}", died.elapsed());
    node.node.emit(200);
    database.until_executed(node.node.history().len() as u64, PATIENCE).await;
    // What is given up at the end is free at once.
    second.terminate().await;
    second.ended(PATIENCE).await.expect(0);
    assert_eq!(shares(&database).await, [0; 0]);
    assert_folded(&node, &database, "shared").await;
}

/// The fencing case: stopped in the middle of its work, and woken when another has taken over.
async fn a_holder_that_slept_past_its_lease_writes_nothing(backend: Backend) {
    let node = market(6_000).await;
    let database = TestDatabase::create(backend).await;
    let setup = Setup::of(&database.url, &node.url);
    let sleeper = setup.start();
    database.until_executed(1, PATIENCE).await;
    sleeper.signal("STOP").await;
    let before = database.executed().await;
    // SQLite: whoever is stopped within a commit holds the lock until it is woken.
    let can_write = backend != Backend::Sqlite || database.try_execute("UPDATE commits SET number = number + 1").await;
    let other = setup.start();
    if can_write {
        until_shared(&database, &[8]).await;
        database.until_executed(6_000, PATIENCE).await;
    }
    sleeper.signal("CONT").await;
    node.node.emit(300);
    database.until_executed(node.node.history().len() as u64, PATIENCE).await;
    until_shared(&database, &[4, 4]).await;
    println!("{backend:?}: slept at {before} of 6000 events");
    for worker in [sleeper, other] {
        worker.terminate().await;
        worker.ended(PATIENCE).await.expect(0);
    }
    assert_folded(&node, &database, "slept").await;
}

/// Nothing that is sent arrives any more, and no connection ends.
async fn a_worker_whose_database_falls_silent_gives_way_and_comes_back(backend: Backend) {
    let node = market(500).await;
    let database = TestDatabase::create(backend).await;
    let proxy = Proxy::start(&database.url).await;
    let mut silent = Setup::of(&proxy.url, &node.url).start();
    let other = Setup::of(&database.url, &node.url).start();
    database.until_executed(500, PATIENCE).await;
    until_shared(&database, &[4, 4]).await;
    let emit = async |events| {
        node.node.emit(events);
        database.until_executed(node.node.history().len() as u64, PATIENCE).await;
    };
    emit(100).await;
    silent.times("is caught up", 4).await;
    proxy.swallow(true);
    let ((), ()) = tokio::join!(silent.line("leases have run out"), until_shared(&database, &[8]));
    emit(100).await;
    proxy.swallow(false);
    until_shared(&database, &[4, 4]).await;
    emit(300).await;
    for worker in [silent, other] {
        worker.terminate().await;
        worker.ended(PATIENCE).await.expect(0);
    }
    assert_folded(&node, &database, "silent").await;
}

async fn a_worker_whose_node_is_away_leaves_its_observers_to_others(backend: Backend) {
    let node = market(300).await;
    let broken = Config { events: 1, faults: "503-html:1".parse().unwrap(), ..Config::default() };
    let broken = TestNode::start(broken).await;
    let is_away = Arc::new(AtomicBool::new(false));
    let url = {
        let (is_away, there, away) = (Arc::clone(&is_away), node.url.clone(), broken.url.clone());
        front(move |_| Some(if is_away.load(Ordering::SeqCst) { away.clone() } else { there.clone() })).await
    };
    let database = TestDatabase::create(backend).await;
    let cut_off = Setup::of(&database.url, &url).start();
    let other = Setup::of(&database.url, &node.url).start();
    database.until_executed(300, PATIENCE).await;
    until_shared(&database, &[4, 4]).await;
    is_away.store(true, Ordering::SeqCst);
    until_shared(&database, &[8]).await;
    node.node.emit(200);
    database.until_executed(node.node.history().len() as u64, PATIENCE).await;
    is_away.store(false, Ordering::SeqCst);
    until_shared(&database, &[4, 4]).await;
    for worker in [cut_off, other] {
        worker.terminate().await;
        worker.ended(PATIENCE).await.expect(0);
    }
    assert_folded(&node, &database, "a node away").await;
}

/// It waits for one stream only, whose node does not answer it, and keeps no other.
async fn who_has_caught_up_leaves_its_observers_to_others(backend: Backend) {
    let node = market(300).await;
    let there = node.url.clone();
    let url = front(move |path| (!path.contains("/list_token_events")).then(|| there.clone())).await;
    let database = TestDatabase::create(backend).await;
    let waiting = Setup::of(&database.url, &url).start_with(&["--until-caught-up"]);
    database.until_executed(1, PATIENCE).await;
    let other = Setup::of(&database.url, &node.url).start();
    until_shared(&database, &[1, 7]).await;
    waiting.kill().await;
    node.node.emit(100);
    database.until_executed(node.node.history().len() as u64, PATIENCE).await;
    other.terminate().await;
    other.ended(PATIENCE).await.expect(0);
    assert_folded(&node, &database, "caught up").await;
}

/// Measured by the database's clock, and only told, as a busy machine is no error; `TAKEOVERS` sets how many there are, and
/// that each must be in time.
async fn with_the_default_lease_others_take_over_in_5_s(backend: Backend) {
    const MOST: i64 = 5_000;
    let given = std::env::var("TAKEOVERS").ok();
    let takeovers = given.as_ref().map_or(2, |number| number.parse().expect("TAKEOVERS is a whole number"));
    let node = market(300).await;
    let database = TestDatabase::create(backend).await;
    let setup = Setup::of(&database.url, &node.url).unset("LEASE");
    let mut worst = 0;
    let mut holder = setup.start();
    database.until_executed(300, PATIENCE).await;
    for takeover in 0..takeovers {
        let next = setup.start();
        until_shared(&database, &[4, 4]).await;
        let begin = database.milliseconds().await;
        let signal = if takeover % 2 == 0 { "KILL" } else { "STOP" };
        holder.signal(signal).await;
        until_shared(&database, &[8]).await;
        let took = database.milliseconds().await - begin;
        println!("{backend:?}: taken over {took} ms after SIG{signal}");
        worst = worst.max(took);
        holder.kill().await;
        holder = next;
    }
    println!("{backend:?}: {takeovers} takeovers, the slowest after {worst} ms");
    assert!(given.is_none() || worst <= MOST, "{backend:?}: a takeover took {worst} ms");
    holder.terminate().await;
    holder.ended(PATIENCE).await.expect(0);
}

/// The server says so before it closes the connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_the_server_has_ended_is_tried_again() {
    let database = TestDatabase::create(Backend::Postgres).await;
    let watching = TestDatabase::create(Backend::Postgres).await;
    let transaction = database.db.begin().await.unwrap();
    transaction.execute_unprepared("SET LOCAL idle_in_transaction_session_timeout = '10ms'").await.unwrap();
    let lives = format!("SELECT COUNT(*) FROM pg_stat_activity WHERE datname = '{}'", database.name());
    let ended = async {
        while watching.number(&lives).await != Some(0) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.expect("the server does not end it");
    let error = StoreError::from(transaction.execute_unprepared("SELECT 1").await.unwrap_err());
    assert_eq!(error.trouble(), Trouble::Away, "{error}");
    assert!(error.to_string().contains("idle-in-transaction"), "{error}");
}

async fn until_caught_up_waits_for_what_a_killed_worker_holds(backend: Backend) {
    let node = market(5_000).await;
    let database = TestDatabase::create(backend).await;
    let setup = Setup::of(&database.url, &node.url);
    let worker = setup.start();
    database.until_executed(1, PATIENCE).await;
    worker.kill().await;
    setup.until_caught_up().await.expect(0);
    assert_folded(&node, &database, "killed").await;
    // And for those that a live one holds.
    let worker = setup.start();
    until_shared(&database, &[8]).await;
    node.node.emit(500);
    setup.until_caught_up().await.expect(0);
    assert_folded(&node, &database, "beside a live one").await;
    worker.terminate().await;
    worker.ended(PATIENCE).await.expect(0);
}

async fn two_workers_without_leases_never_double(backend: Backend) {
    let node = market(4_000).await;
    let database = TestDatabase::create(backend).await;
    let markets = Arc::new(imart());
    let work = async |name: &str| {
        let store = Store::connect(&database.url.parse().unwrap()).await.unwrap();
        store.migrate_up().await.unwrap();
        store.prepare(&markets).await.unwrap();
        let nodes = nodes(&node);
        let config = observer::Config {
            poll_interval: Duration::from_millis(20),
            max_parked: 100,
            until_caught_up: true,
            scanned_interval: observer::SCANNED_INTERVAL,
            lease: None,
            worker: name.to_owned(),
        };
        let subject = |stream: &event_worker::market::Stream| EventHandle::at(&nodes, &stream.source);
        let board = Arc::new(Board::new(&markets));
        observer::run(config, store, Arc::clone(&markets), subject, board, CancellationToken::new()).await.unwrap()
    };
    let (one, two) = tokio::time::timeout(PATIENCE, async { tokio::join!(work("one"), work("two")) }).await.unwrap();
    assert!(one.is_empty() && two.is_empty(), "{one:?} {two:?}");
    assert_folded(&node, &database, "without leases").await;
}

fn nodes(node: &TestNode) -> Arc<Nodes> {
    let config = subject::Config { nodes: vec![(node.url.parse().unwrap(), None)], archive: None };
    Arc::new(Nodes::new(config).unwrap())
}

/// Of two stores with one clock each: who has what, and what a commit may still do.
async fn leases_are_the_databases_word(backend: Backend) {
    let node = market(50).await;
    let database = TestDatabase::create(backend).await;
    let store = Store::connect(&database.url.parse().unwrap()).await.unwrap();
    store.migrate_up().await.unwrap();
    let markets = imart();
    store.prepare(&markets).await.unwrap();
    let all = markets.streams().map(|stream| stream.observer.to_string()).collect();
    let wants = Wants { all, ..Wants::default() };
    let long = Duration::from_hours(1);

    let first = store.lease("first", &wants, long).await.unwrap();
    assert_eq!((first.mine.len(), first.others.len()), (8, 0));
    assert!(first.mine.values().all(|epoch| *epoch == 1), "{first:?}");
    // The second one is told to wait; the first gives half of it up, which the second then takes.
    let second = store.lease("second", &wants, long).await.unwrap();
    assert_eq!((second.mine.len(), second.others.len()), (0, 8));
    assert_eq!(store.lease("first", &wants, long).await.unwrap().mine.len(), 4);
    let second = store.lease("second", &wants, long).await.unwrap();
    assert_eq!((second.mine.len(), second.others.len()), (4, 4));
    assert!(second.mine.values().all(|epoch| *epoch == 2), "{second:?}");

    // What was read under the first one's leases is no longer written.
    let taken = second.mine.keys().next().unwrap();
    let stream = markets.stream(taken).unwrap();
    let subject = EventHandle::at(&nodes(&node), &stream.source);
    let mut page = subject.page(event_worker::chain::SeqNo::ZERO).await.unwrap();
    page.events.truncate(1);
    let executed = |raw| Executed { meaning: stream.entry(&raw), raw };
    let events: Vec<_> = page.events.into_iter().map(executed).collect();
    assert!(!events.is_empty(), "{taken} has no event");
    let slice = |epoch| Slice { stream: Arc::clone(stream), chain_id: None, epoch, events: events.clone() };
    let refused = store.commit(&markets, &[slice(Some(1))]).await;
    assert!(matches!(&refused, Err(StoreError::Moved(observer)) if observer == taken), "{refused:?}");
    assert_eq!(store.checkpoint(taken).await.unwrap().next, event_worker::chain::SeqNo::ZERO);
    store.commit(&markets, &[slice(Some(2))]).await.unwrap();

    // Who stops is gone at once, and its row in `workers` is taken by the next.
    store.release("first").await.unwrap();
    assert_eq!(store.lease("second", &wants, long).await.unwrap().mine.len(), 8);
    store.lease("third", &wants, long).await.unwrap();
    assert_eq!(database.number("SELECT COUNT(*) FROM workers").await, Some(2));
    // One that is dead is not waited for once its time is over, by the clock of the database.
    let now = database.clock();
    database.execute(&format!("UPDATE checkpoints SET lease_expires_at = {now}")).await;
    database.execute(&format!("UPDATE workers SET expires_at = {now} WHERE worker = 'second'")).await;
    let third = store.lease("third", &wants, long).await.unwrap();
    assert_eq!((third.mine.len(), third.others.len()), (8, 0));
    store.close().await.unwrap();
}
