//! The transaction stream, with the real program: the same rows as from handles and from transactions, whatever the stream does.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::time::Duration;

use event_worker::simulate::Config;
use support::database::{Backend, TestDatabase};
use support::node::TestNode;
use support::process::Setup;
use support::scanned::{assert_modules, assert_same, assert_same_and_placed, modules, with_market, worker};

on_every_database!(
    all_three_subjects_lead_to_the_same_rows,
    a_stream_that_breaks_loses_nothing_and_doubles_nothing,
    an_observer_moves_between_all_subjects,
    module_events_are_counted_once_whatever_is_killed,
);

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
    let reached = database.number("SELECT MIN(scanned_version) FROM checkpoints").await;
    assert_eq!(reached, Some(i64::try_from(node.node.ledger_version()).unwrap()));
    streaming.again().command("verify").to_end().await.expect(0);
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
    let database = TestDatabase::create(backend).await;
    let config = Config { seed: 74, events: 600, spacing: 20, module_events: true, ..Config::default() };
    let node = TestNode::start(config).await;
    let setup = Setup::of(&database.url, &node.url).set("SUBJECT", "stream").set("STREAM_URL", &node.stream());
    let setup = with_market(setup, &modules());
    for executed in [1, 100, 250] {
        let worker = setup.start();
        database.until_executed(executed, Duration::from_mins(1)).await;
        worker.kill().await;
    }
    node.node.emit(100);
    setup.until_caught_up().await.expect(0);
    assert_modules(&database, &node).await;
    let verified = setup.again().command("verify").to_end().await.expect(0);
    assert!(verified.stdout.contains("without a hole"), "{}", verified.stdout);
}
