//! The transaction stream, with the real program: the same rows as from handles and from transactions, whatever the stream does.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::time::{Duration, Instant};

use event_worker::simulate::Config;
use serde_json::Value;
use support::database::{Backend, TestDatabase};
use support::node::TestNode;
use support::process::Setup;
use support::scanned::{self, assert_same, assert_same_and_placed, with_market, worker};

on_every_database!(
    all_three_subjects_lead_to_the_same_rows,
    a_stream_that_breaks_loses_nothing_and_doubles_nothing,
    an_observer_moves_between_all_subjects,
    module_events_are_counted_once_whatever_is_killed,
);

/// And to the same digests.
async fn all_three_subjects_lead_to_the_same_rows(backend: Backend) {
    let node = TestNode::start(Config { seed: 71, events: 600, spacing: 20, ..Config::default() }).await;
    let (by_handles, scanned) = (TestDatabase::create(backend).await, TestDatabase::create(backend).await);
    let database = TestDatabase::create(backend).await;
    worker(&by_handles, &node, "handles").until_caught_up().await.expect(0);
    worker(&scanned, &node, "transactions").until_caught_up().await.expect(0);
    let streaming = worker(&database, &node, "stream").patient();
    let before = node.node.requests();
    let ended = streaming.until_caught_up().await.expect(0);
    let asked = node.node.requests() - before;
    assert!(asked < 60, "{asked} requests");
    assert_eq!(ended.error_log, "", "nothing was wrong");
    assert_eq!(database.executed().await, 600);
    assert_same_and_placed(&database, &scanned).await;
    assert_same(&database, &by_handles).await;
    // Only transactions tell who called what.
    scanned::assert_callers(&database, &node).await;
    assert_eq!(scanned::callers(&scanned).await, scanned::callers(&database).await);
    assert_eq!(scanned::callers(&by_handles).await, [""; 0]);
    let reached = database.number("SELECT MIN(scanned_version) FROM checkpoints").await;
    assert_eq!(reached, Some(i64::try_from(node.node.ledger_version()).unwrap()));
    let mut digests = vec![];
    for (database, subject) in [(&by_handles, "handles"), (&scanned, "transactions"), (&database, "stream")] {
        let verify = worker(database, &node, subject).command("verify").with("--json");
        let certificate: Value = serde_json::from_str(&verify.to_end().await.expect(0).stdout).unwrap();
        let streams = certificate["streams"].as_array().unwrap().iter();
        digests.push(streams.map(|stream| (stream["observer"].clone(), stream["digest"].clone())).collect::<Vec<_>>());
    }
    assert_eq!(digests[0].len(), 8);
    assert!(digests.iter().all(|same| *same == digests[0]), "{digests:#?}");
}

async fn a_stream_that_breaks_loses_nothing_and_doubles_nothing(backend: Backend) {
    let faults = "stream-drop:0.15,stream-reset:0.03,stream-repeat:0.2,stream-split:0.3,stream-hole:0.1";
    let config = Config { seed: 72, events: 400, spacing: 200, faults: faults.parse().unwrap(), ..Config::default() };
    let node = TestNode::start(config).await;
    let (by_handles, database) = (TestDatabase::create(backend).await, TestDatabase::create(backend).await);
    worker(&database, &node, "stream").until_caught_up().await.expect(0);
    worker(&by_handles, &node, "handles").until_caught_up().await.expect(0);
    assert_eq!(database.executed().await, 400);
    assert_same(&database, &by_handles).await;
}

async fn an_observer_moves_between_all_subjects(backend: Backend) {
    let (by_handles, database) = (TestDatabase::create(backend).await, TestDatabase::create(backend).await);
    let node = TestNode::start(Config { seed: 73, events: 200, spacing: 20, ..Config::default() }).await;
    for subject in ["handles", "stream", "transactions", "handles", "stream"] {
        let setup = worker(&database, &node, subject);
        let killed = setup.start();
        database.until_executed(database.executed().await + 20, Duration::from_mins(1)).await;
        killed.kill().await;
        setup.until_caught_up().await.expect(0);
        node.node.emit(60);
    }
    worker(&database, &node, "stream").until_caught_up().await.expect(0);
    worker(&by_handles, &node, "handles").until_caught_up().await.expect(0);
    assert_same(&database, &by_handles).await;
}

async fn module_events_are_counted_once_whatever_is_killed(backend: Backend) {
    scanned::module_events_are_counted_once(backend, "stream").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_types_than_a_filter_holds_are_read_all_the_same() {
    let node =
        TestNode::start(Config { seed: 82, events: 200, spacing: 20, module_events: true, ..Config::default() }).await;
    let types: Vec<_> = (0..150).map(|at| format!(r#""::other_market_{}::Event{at}""#, at % 5)).collect();
    let listed = r#""::fixed_price_market::ListTokenEvent""#;
    let market = scanned::modules().replace(listed, &format!("[{listed}, {}]", types.join(", ")));
    let database = TestDatabase::create(Backend::Sqlite).await;
    let setup = with_market(worker(&database, &node, "stream"), &market);
    let ended = setup.until_caught_up().await.expect(0);
    assert_eq!(ended.error_log, "", "nothing was wrong");
    scanned::assert_modules(&database, &node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_right_key_it_is_refused_and_the_key_is_never_told() {
    let config = Config { seed: 75, events: 50, stream_key: Some("right-key".to_owned()), ..Config::default() };
    let node = TestNode::start(config).await;
    let database = TestDatabase::create(Backend::Sqlite).await;
    let setup = worker(&database, &node, "stream");
    for setup in [setup.again(), setup.again().set("STREAM_KEY", "wrong-key").set("RUST_LOG", "trace")] {
        let refused = setup.until_caught_up().await.expect(1);
        assert!(
            refused.stderr.contains("UNAUTHENTICATED") && refused.stderr.contains("check STREAM_KEY"),
            "{refused:?}"
        );
        let all = [refused.stderr, refused.stdout, refused.error_log].concat();
        assert!(!all.contains("wrong-key"), "{all}");
    }
    setup.set("STREAM_KEY", "right-key").until_caught_up().await.expect(0);
    assert_eq!(database.executed().await, 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_chain_is_refused() {
    let faults = "stream-chain:7".parse().unwrap();
    let node = TestNode::start(Config { seed: 76, events: 50, faults, ..Config::default() }).await;
    let database = TestDatabase::create(Backend::Sqlite).await;
    let refused = worker(&database, &node, "stream").until_caught_up().await.expect(1);
    assert!(refused.stderr.contains("chain 7") && refused.stderr.contains("correct STREAM_URL"), "{}", refused.stderr);
    assert_eq!(database.executed().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_that_is_pruned_is_told() {
    let node = TestNode::start(Config { seed: 77, events: 50, ..Config::default() }).await;
    node.node.set_faults(format!("pruned:{}", node.node.history()[20].version).parse().unwrap());
    let database = TestDatabase::create(Backend::Sqlite).await;
    let refused = worker(&database, &node, "stream").until_caught_up().await.expect(1);
    assert!(refused.stderr.contains("history is pruned") && refused.stderr.contains("SUBJECT="), "{}", refused.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hole_that_stays_is_named_and_never_crossed() {
    // What is sent now and then begins behind a hole.
    let faults = "stream-hole:0.995".parse().unwrap();
    let node = TestNode::start(Config { seed: 78, events: 200, faults, ..Config::default() }).await;
    let database = TestDatabase::create(Backend::Sqlite).await;
    let setup = worker(&database, &node, "stream");
    let waiting = setup.start();
    until_told(&setup, "left out transactions").await;
    assert!(database.executed().await < 200);
    node.node.set_faults("".parse().unwrap());
    database.until_executed(200, Duration::from_mins(1)).await;
    waiting.kill().await;
    setup.command("verify").to_end().await.expect(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_wants_fewer_calls_is_given_time() {
    let faults = "stream-throttled:1".parse().unwrap();
    let node = TestNode::start(Config { seed: 81, events: 200, faults, ..Config::default() }).await;
    let database = TestDatabase::create(Backend::Sqlite).await;
    let setup = worker(&database, &node, "stream");
    let waiting = setup.start();
    until_told(&setup, "RESOURCE_EXHAUSTED").await;
    node.node.set_faults("".parse().unwrap());
    database.until_executed(200, Duration::from_mins(1)).await;
    waiting.kill().await;
    setup.command("verify").to_end().await.expect(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_stalls_is_named_and_left() {
    let faults = "stream-stall:1".parse().unwrap();
    let node = TestNode::start(Config { seed: 79, events: 200, faults, ..Config::default() }).await;
    let database = TestDatabase::create(Backend::Sqlite).await;
    let setup = worker(&database, &node, "stream");
    let waiting = setup.start();
    until_told(&setup, "no word of transaction").await;
    node.node.set_faults("".parse().unwrap());
    database.until_executed(200, Duration::from_mins(1)).await;
    waiting.kill().await;
    setup.command("verify").to_end().await.expect(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_the_end_the_stream_tells_before_it_is_time_to_ask() {
    let node = TestNode::start(Config { seed: 80, events: 100, ..Config::default() }).await;
    let database = TestDatabase::create(Backend::Sqlite).await;
    let setup = worker(&database, &node, "stream").set("POLL_INTERVAL", "1h");
    let mut waiting = setup.start();
    // Each of the eight streams.
    waiting.times("is caught up", 8).await;
    database.until_executed(100, Duration::from_mins(1)).await;
    node.node.emit(50);
    let all = u64::try_from(node.node.history().len()).unwrap();
    database.until_executed(all, Duration::from_secs(20)).await;
    waiting.kill().await;
}

/// Waits until `status` names this cause.
async fn until_told(setup: &Setup, cause: &str) {
    let status = setup.again().command("status");
    let until = Instant::now() + Duration::from_mins(1);
    loop {
        let told = status.to_end().await.stdout;
        if told.contains(cause) {
            return;
        }
        assert!(Instant::now() < until, "{cause:?} is not told: {told}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
