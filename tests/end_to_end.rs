//! The program against a simulated node, on every database: in the end the tables hold what the chain emitted.
//!
//! Every market comes from a seed that failures name; `E2E_SEED` sets another for all.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod support;

use std::time::Duration;

use event_worker::simulate::{Config, Node};
use support::database::{Backend, TestDatabase};
use support::node::TestNode;
use support::plain_fold::{self, broken_field, plain_fold};
use support::process::Setup;
use support::tables;

on_every_database!(
    catching_up_ends_with_the_tables_of_a_plain_fold,
    following_resumes_where_it_was_stopped,
    a_catch_up_resumes_where_it_was_stopped,
    an_unkind_node_changes_nothing,
    two_workers_at_once_store_everything_once,
    broken_events_are_parked_and_nothing_else_changes,
);

fn seed(usual: u64) -> u64 {
    let given = std::env::var("E2E_SEED").ok();
    given.map_or(usual, |seed| seed.parse().expect("E2E_SEED is a whole number"))
}

/// The tables hold what the node's events make of them, and nothing else.
async fn assert_is_plain_fold(database: &TestDatabase, node: &TestNode, what: &str) {
    let expected = plain_fold(&node.node.history());
    tables::assert_equal(&expected, &tables::read(&database.db).await, what);
    let unexpected = database.number("SELECT unexpected FROM markets").await;
    assert_eq!(unexpected, Some(0), "{what}: the simulated market keeps its own rules");
}

async fn catching_up_ends_with_the_tables_of_a_plain_fold(backend: Backend) {
    let database = TestDatabase::create(backend).await;
    let config = Config { seed: seed(11), events: 3_000, ..Config::default() };
    let node = TestNode::start(config).await;
    let worker = Setup::of(&database.url, &node.url).patient();
    let ended = worker.until_caught_up().await.expect(0);
    assert_eq!(ended.stderr, "");
    assert_eq!(ended.error_log, "", "nothing was wrong");
    assert_is_plain_fold(&database, &node, &format!("seed {}", seed(11))).await;
    assert_eq!(database.executed().await, 3_000);
    assert_amounts_are_numbers_to_plain_sql(&database).await;
    // Once more: nothing to do, nothing done twice.
    worker.until_caught_up().await.expect(0);
    assert_is_plain_fold(&database, &node, &format!("seed {}, second run", seed(11))).await;
}

/// Prices beyond 64 bits included: they sort, and compare with other columns, as numbers.
async fn assert_amounts_are_numbers_to_plain_sql(database: &TestDatabase) {
    let text = if database.backend == Backend::MySql { "CHAR" } else { "TEXT" };
    let sorted =
        format!("SELECT CAST(price AS {text}) FROM activities WHERE price IS NOT NULL ORDER BY activities.price");
    let prices = database.texts(&sorted).await;
    let prices: Vec<u128> = prices.iter().map(|price| price.parse().unwrap()).collect();
    assert!(prices.is_sorted());
    assert!(prices.last() > Some(&u128::from(u64::MAX)), "some are beyond 64 bits");
    let paid_less = "SELECT COUNT(*) FROM activities WHERE total < price";
    assert_eq!(database.number(paid_less).await, Some(0));
    let highest = format!("SELECT CAST(MAX(price) AS {text}) FROM activities");
    assert_eq!(database.texts(&highest).await[0].parse(), Ok(*prices.last().unwrap()));
}

async fn following_resumes_where_it_was_stopped(backend: Backend) {
    let database = TestDatabase::create(backend).await;
    let config = Config { seed: seed(12), events: 700, ..Config::default() };
    let node = TestNode::start(config).await;
    let setup = Setup::of(&database.url, &node.url);
    let limit = Duration::from_secs(20);

    let worker = setup.start();
    database.until_executed(700, limit).await;
    for _ in 0..5 {
        node.node.emit(40);
        database.until_executed(node.node.history().len() as u64, limit).await;
        assert_is_plain_fold(&database, &node, &format!("seed {}, following", seed(12))).await;
    }
    worker.terminate().await;
    worker.ended(Duration::from_secs(5)).await.expect(0);

    node.node.emit(300);
    let worker = setup.start();
    database.until_executed(node.node.history().len() as u64, limit).await;
    worker.terminate().await;
    worker.ended(Duration::from_secs(5)).await.expect(0);
    assert_is_plain_fold(&database, &node, &format!("seed {}, resumed", seed(12))).await;
}

/// SIGTERM in the middle of it, twice.
async fn a_catch_up_resumes_where_it_was_stopped(backend: Backend) {
    let database = TestDatabase::create(backend).await;
    let latency = Duration::from_millis(10);
    let node = TestNode::start(Config { seed: seed(17), events: 4_000, latency, ..Config::default() }).await;
    let setup = Setup::of(&database.url, &node.url);
    let mut before = 0;
    for _ in 0..2 {
        let worker = setup.start_with(&["--until-caught-up"]);
        database.until_executed(before + 1, Duration::from_secs(20)).await;
        worker.terminate().await;
        worker.ended(Duration::from_secs(5)).await.expect(0);
        before = database.executed().await;
        assert!(before < 4_000, "{backend:?}: it was faster");
    }
    setup.until_caught_up().await.expect(0);
    assert_is_plain_fold(&database, &node, &format!("seed {}, stopped", seed(17))).await;
}

async fn an_unkind_node_changes_nothing(backend: Backend) {
    let database = TestDatabase::create(backend).await;
    let faults = "429:0.01,429-retry-after:0.01,500:0.05,503-html:0.05,truncate:0.05,reset:0.05,stale:0.05";
    let config = Config { seed: seed(13), events: 3_000, faults: faults.parse().unwrap(), ..Config::default() };
    let node = TestNode::start(config).await;
    let worker = Setup::of(&database.url, &node.url);
    let ended = worker.until_caught_up().await.expect(0);
    assert!(ended.error_log.contains("WARN"), "waiting shows in error.log");
    assert_is_plain_fold(&database, &node, &format!("seed {}", seed(13))).await;
}

async fn two_workers_at_once_store_everything_once(backend: Backend) {
    let database = TestDatabase::create(backend).await;
    let config = Config { seed: seed(14), events: 3_000, latency: Duration::from_millis(3), ..Config::default() };
    let node = TestNode::start(config).await;
    let (one, other) = (Setup::of(&database.url, &node.url), Setup::of(&database.url, &node.url));
    let (one, other) = tokio::join!(one.until_caught_up(), other.until_caught_up());
    one.expect(0);
    other.expect(0);
    assert_is_plain_fold(&database, &node, &format!("seed {}", seed(14))).await;
}

async fn broken_events_are_parked_and_nothing_else_changes(backend: Backend) {
    let database = TestDatabase::create(backend).await;
    let config =
        Config { seed: seed(15), events: 3_000, faults: "mistyped:0.05".parse().unwrap(), ..Config::default() };
    let node = TestNode::start(config).await;
    Setup::of(&database.url, &node.url).until_caught_up().await.expect(0);
    let history = node.node.history();
    tables::assert_equal(&plain_fold(&history), &tables::read(&database.db).await, &format!("seed {}", seed(15)));

    let letter = "observer, ' ', seq_no, ' ', version, ' ', state, ' ', attempts, ' ', error";
    let letter = match backend {
        Backend::Sqlite => letter.replace(", ' ', ", " || ' ' || "),
        Backend::MySql | Backend::Postgres => format!("CONCAT({letter})"),
    };
    let mut parked = database.texts(&format!("SELECT {letter} FROM dead_letters")).await;
    parked.sort();
    let broken = history.iter().filter_map(|event| {
        let field = broken_field(event)?;
        let observer = plain_fold::observer(event.stream);
        Some(format!("{observer} {} {} parked 1 {field}: ", event.seq_no, event.version))
    });
    let mut broken: Vec<String> = broken.collect();
    broken.sort();
    assert!(broken.len() > 100, "the node broke only {}", broken.len());
    assert_eq!(parked.len(), broken.len());
    for (parked, broken) in parked.iter().zip(&broken) {
        assert!(parked.starts_with(broken), "{parked} should begin with {broken}");
    }
}

#[tokio::test]
async fn a_password_shows_nowhere_on_mysql() {
    a_password_shows_nowhere(Backend::MySql).await;
}

#[tokio::test]
async fn a_password_shows_nowhere_on_postgres() {
    a_password_shows_nowhere(Backend::Postgres).await;
}

async fn a_password_shows_nowhere(backend: Backend) {
    let database = TestDatabase::create(backend).await;
    let config = Config {
        events: 50,
        // So that there are warnings, too.
        faults: "500:0.2".parse().unwrap(),
        ..Config::default()
    };
    let node = TestNode::start(config).await;
    let worker = Setup::of(&database.url, &node.url).set("RUST_LOG", "trace").until_caught_up().await.expect(0);
    let password = database.password();
    assert!(!password.is_empty());
    assert!(worker.error_log.contains("WARN"));
    for said in [worker.stdout, worker.stderr, worker.error_log] {
        assert!(!said.contains(&password), "{said}");
    }

    // Percent-encoded in the URL, as its special characters demand.
    let wrong = database.url_for("worker", "Wr0ng/pass@word");
    let ended = Setup::of(&wrong, &node.url).set("RUST_LOG", "trace").until_caught_up().await.expect(2);
    ended.says(&["DATABASE_URL", "worker:***@", "check user, password and grants"]);
    for said in [ended.stdout, ended.stderr, ended.error_log] {
        assert!(!said.contains("Wr0ng"), "{said}");
    }
}

/// The plain fold is only worth something if a difference shows, and if the market makes one of everything.
#[tokio::test]
async fn one_changed_cell_is_a_difference() {
    let node = Node::new(Config { seed: seed(11), events: 3_000, ..Config::default() });
    let fold = plain_fold(&node.history());
    let having = |table: &str, column: &str, text: &str| {
        let rows = fold[table].values().filter(|row| row[column].as_deref() == Some(text));
        assert!(rows.count() > 3, "{table} with {column} {text}");
    };
    for status in ["listing", "sold", "canceled"] {
        having("orders", "status", status);
    }
    for status in ["created", "accepted", "canceled"] {
        having("offers", "status", status);
    }
    for (table, column) in [("orders", "price"), ("tokens", "owner"), ("events", "occurred_at")] {
        let mut other = fold.clone();
        let row = other.get_mut(table).unwrap().values_mut().next_back().unwrap();
        row.insert(column, Some("1".to_owned()));
        let compared = std::panic::catch_unwind(|| tables::assert_equal(&fold, &other, "as it must"));
        let message = *compared.unwrap_err().downcast::<String>().unwrap();
        assert!(message.contains("1 differences") && message.contains(&format!("{column}: expected")), "{message}");
    }
}
