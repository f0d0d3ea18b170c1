//! The program against a simulated node, on every database: in the end the tables hold what the chain emitted.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod support;

use std::time::Duration;

use event_worker::simulate::Config;
use support::database::{Backend, TestDatabase};
use support::node::TestNode;
use support::plain_fold::plain_fold;
use support::process::Setup;
use support::tables;

on_every_database!(
    catching_up_ends_with_the_tables_of_a_plain_fold,
    following_resumes_where_it_was_stopped,
    an_unkind_node_changes_nothing,
    two_workers_at_once_store_everything_once,
);

/// The tables hold what the node's events make of them, and nothing else.
async fn assert_is_plain_fold(database: &TestDatabase, node: &TestNode, what: &str) {
    let expected = plain_fold(&node.node.history());
    tables::assert_equal(&expected, &tables::read(&database.db).await, what);
    let unexpected = database.number("SELECT unexpected FROM markets").await;
    assert_eq!(unexpected, Some(0), "{what}: the simulated market keeps its own rules");
}

async fn catching_up_ends_with_the_tables_of_a_plain_fold(backend: Backend) {
    let database = TestDatabase::create(backend).await;
    let config = Config { seed: 11, events: 3_000, ..Config::default() };
    let node = TestNode::start(config).await;
    let worker = Setup::of(&database.url, &node.url);
    let ended = worker.until_caught_up().await.expect(0);
    assert_eq!(ended.stderr, "");
    assert_eq!(ended.error_log, "", "nothing was wrong");
    assert_is_plain_fold(&database, &node, "seed 11").await;
    assert_eq!(database.executed().await, 3_000);
    // Once more: nothing to do, nothing done twice.
    worker.until_caught_up().await.expect(0);
    assert_is_plain_fold(&database, &node, "seed 11, second run").await;
}

async fn following_resumes_where_it_was_stopped(backend: Backend) {
    let database = TestDatabase::create(backend).await;
    let config = Config { seed: 12, events: 700, ..Config::default() };
    let node = TestNode::start(config).await;
    let setup = Setup::of(&database.url, &node.url);
    let limit = Duration::from_secs(20);

    let worker = setup.start();
    database.until_executed(700, limit).await;
    for _ in 0..5 {
        node.node.emit(40);
        database.until_executed(node.node.history().len() as u64, limit).await;
        assert_is_plain_fold(&database, &node, "seed 12, following").await;
    }
    worker.terminate().await;
    worker.ended(Duration::from_secs(5)).await.expect(0);

    node.node.emit(300);
    let worker = setup.start();
    database.until_executed(node.node.history().len() as u64, limit).await;
    worker.terminate().await;
    worker.ended(Duration::from_secs(5)).await.expect(0);
    assert_is_plain_fold(&database, &node, "seed 12, resumed").await;
}

async fn an_unkind_node_changes_nothing(backend: Backend) {
    let database = TestDatabase::create(backend).await;
    let faults = "429:0.01,429-retry-after:0.01,500:0.1,503-html:0.1,truncate:0.1,reset:0.1,stale:0.15";
    let config = Config {
        seed: 13,
        events: 3_000,
        faults: faults.parse().unwrap(),
        ..Config::default()
    };
    let node = TestNode::start(config).await;
    let worker = Setup::of(&database.url, &node.url);
    let ended = worker.until_caught_up().await.expect(0);
    assert!(ended.error_log.contains("WARN"), "waiting shows in error.log");
    assert_is_plain_fold(&database, &node, "seed 13").await;
}

async fn two_workers_at_once_store_everything_once(backend: Backend) {
    let database = TestDatabase::create(backend).await;
    let config = Config {
        seed: 14,
        events: 3_000,
        latency: Duration::from_millis(3),
        ..Config::default()
    };
    let node = TestNode::start(config).await;
    let (one, other) = (Setup::of(&database.url, &node.url), Setup::of(&database.url, &node.url));
    let (one, other) = tokio::join!(one.until_caught_up(), other.until_caught_up());
    one.expect(0);
    other.expect(0);
    assert_is_plain_fold(&database, &node, "seed 14").await;
}
