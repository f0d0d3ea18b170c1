//! The program is killed at every edge of a commit, one after another; it is started again, and in the end the tables hold what
//! the chain emitted, once.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod support;

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use event_worker::simulate::Config;
use support::database::{Backend, TestDatabase};
use support::node::TestNode;
use support::plain_fold::{broken_field, plain_fold};
use support::process::Setup;
use support::proxy::{Edge, Proxy, Side};
use support::tables;

on_every_server!(at_every_message_of_a_commit);

const SIGKILL: i32 = 9;
const SIGXFSZ: i32 = 25;
const PATIENCE: Duration = Duration::from_mins(1);
/// Enough that most commits write into every table.
const EVENTS: u64 = 40;

struct Market {
    node: TestNode,
    database: TestDatabase,
}

impl Market {
    /// Caught up with. Some events cannot be decoded, and others are unexpected without them.
    async fn create(backend: Backend) -> Self {
        let faults = "mistyped:0.1".parse().unwrap();
        let node = TestNode::start(Config { events: 500, collections: 0, faults, ..Config::default() }).await;
        let database = TestDatabase::create(backend).await;
        Setup::of(&database.url, &node.url).until_caught_up().await.expect(0);
        Self { node, database }
    }

    /// There is something to commit, once more if it has been committed, and whoever was killed holds no lease any more.
    async fn go_on(&self) {
        let Self { node, database } = self;
        if database.executed().await == node.node.history().len() as u64 {
            node.node.emit(EVENTS);
        }
        database.execute("UPDATE checkpoints SET lease_holder = NULL").await;
        database.execute("DELETE FROM workers").await;
    }

    async fn assert_folded(&self) {
        let Self { node, database } = self;
        let (what, history) = (format!("{:?}", database.backend), node.node.history());
        tables::assert_equal(&plain_fold(&history), &tables::read(&database.db).await, &what);
        let broken = history.iter().filter(|event| broken_field(event).is_some()).count();
        let parked = database.number("SELECT COUNT(*) FROM dead_letters WHERE state = 'parked'").await;
        assert_eq!(parked, Some(i64::try_from(broken).unwrap()), "{what}: dead letters");
        // As if nobody had been killed.
        let at_once = TestDatabase::create(Backend::Sqlite).await;
        Setup::of(&at_once.url, &node.url).until_caught_up().await.expect(0);
        let unexpected = "SELECT unexpected FROM markets";
        let expected = at_once.number(unexpected).await;
        assert!(expected > Some(0), "{what}: everything is as expected");
        assert_eq!(database.number(unexpected).await, expected, "{what}: unexpected");
    }
}

/// What a commit does, in its order; with the quotes of `PostgreSQL`.
const STATEMENTS: [&str; 10] = [
    r#"UPDATE "commits" SET"#,
    r#"UPDATE "checkpoints" SET "executed_seq_no""#,
    r#"INSERT INTO "events""#,
    r#"INSERT INTO "activities""#,
    r#"INSERT INTO "orders""#,
    r#"INSERT INTO "offers""#,
    r#"INSERT INTO "tokens""#,
    r#"INSERT INTO "collections""#,
    r#"INSERT INTO "dead_letters""#,
    r#"UPDATE "markets" SET"#,
];

/// SIGKILL at each message of a commit. Of a statement: before the server hears of it, when it knows it, and when it is at it;
/// of COMMIT: before, at, and when the server has said that it is done.
async fn at_every_message_of_a_commit(backend: Backend) {
    let market = Market::create(backend).await;
    let proxy = Proxy::start(&market.database.url).await;
    let setup = Setup::of(&proxy.url, &market.node.url);
    let edge = |statement: &str, message, side| {
        let quote = if backend == Backend::MySql { "`" } else { "\"" };
        Edge { statement: statement.replace('"', quote), message, side }
    };
    let of_statement = |statement| {
        [(0, Side::Before), (1, Side::Before), (1, Side::Behind)].map(|(message, side)| edge(statement, message, side))
    };
    let of_commit = [Side::Before, Side::Behind, Side::Answered].map(|side| edge("COMMIT", 0, side));
    let mut kills = 0;
    for edge in STATEMENTS.into_iter().flat_map(of_statement).chain(of_commit) {
        let mut tries = 0;
        loop {
            market.go_on().await;
            proxy.stop_at(edge.clone());
            let mut worker = setup.start_with(&["--until-caught-up"]);
            let stopped = worker.unless_ended(tokio::time::timeout(PATIENCE, proxy.stopped())).await;
            if stopped.is_some_and(|in_time| in_time.is_ok()) {
                assert_eq!(worker.kill().await.status.signal(), Some(SIGKILL));
                break;
            }
            // Not all events need all statements.
            worker.ended(PATIENCE).await.expect(0);
            tries += 1;
            assert!(tries < 10, "{backend:?}: nothing at {edge:?}");
        }
        kills += 1;
    }
    setup.until_caught_up().await.expect(0);
    println!("{backend:?}: {kills} kills, one at each message of a commit");
    market.assert_folded().await;
}

/// SQLite has nothing but its file: the kernel ends the process (SIGXFSZ, which nobody catches) in the middle of the write that
/// would make the log longer than a limit, for limits that go through the whole log of a worker's start and commit. So each
/// prefix of what it writes is met, torn pages among them; what it has not written, it has lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_every_write_to_the_file() {
    /// Not quite three pages with their headers, so that the place within a page wanders.
    const STEP: u64 = 12_000;
    let market = Market::create(Backend::Sqlite).await;
    let setup = Setup::of(&market.database.url, &market.node.url);
    let (mut kills, mut limit, mut in_commits) = (0, STEP, 0);
    loop {
        market.go_on().await;
        // This connection keeps the log from being emptied by the worker's end, and empties it here.
        market.database.execute("PRAGMA wal_checkpoint(TRUNCATE)").await;
        let before = market.database.executed().await;
        let fsize = format!("--fsize={limit}");
        let limited = setup.again().by(&["prlimit", &fsize]);
        let ended = limited.start_with(&["--until-caught-up"]).ended(PATIENCE).await;
        if ended.status.signal() != Some(SIGXFSZ) {
            ended.expect(0);
            break;
        }
        kills += 1;
        in_commits += u32::from(market.database.executed().await == before);
        limit += STEP;
    }
    println!("Sqlite: {kills} kills, {in_commits} of them before the commit was done, within {limit} bytes");
    assert!(kills > 20, "only {kills} kills");
    market.assert_folded().await;
}
