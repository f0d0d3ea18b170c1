//! The indexes that only readers need, on every database: a new one is filled without them, and has them in the end, whatever
//! happens in between.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod support;

use std::time::Duration;

use event_worker::simulate::Config;
use event_worker::state::Store;
use support::database::{Backend, TestDatabase};
use support::node::TestNode;
use support::plain_fold::plain_fold;
use support::process::Setup;
use support::tables;

const PATIENCE: Duration = Duration::from_mins(1);

on_every_database!(
    a_new_database_is_filled_without_the_indexes_of_readers_and_has_them_in_the_end,
    a_worker_that_goes_on_makes_them_once_it_has_caught_up,
    none_are_made_before_anything_is_filled,
    a_database_that_has_them_keeps_them,
);

async fn market() -> TestNode {
    TestNode::start(Config { seed: 41, events: 600, collections: 0, ..Config::default() }).await
}

async fn connect(database: &TestDatabase) -> Store {
    Store::connect(&database.url.parse().unwrap()).await.unwrap()
}

/// How many are missing, as the program sees it.
async fn missing(database: &TestDatabase) -> usize {
    let store = connect(database).await;
    let missing = store.missing_indexes().await.unwrap().len();
    store.close().await.unwrap();
    missing
}

/// How many indexes the tables of the fold have, as the database sees it; those that belong to a key are left out.
async fn there(database: &TestDatabase) -> i64 {
    let tables = "('orders', 'offers', 'activities', 'tokens', 'collections')";
    let count = match database.backend {
        Backend::Sqlite => {
            format!(
                "SELECT COUNT(*) FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL AND tbl_name IN {tables}"
            )
        }
        Backend::MySql => format!(
            "SELECT COUNT(DISTINCT table_name, index_name) FROM information_schema.statistics
             WHERE table_schema = DATABASE() AND index_name <> 'PRIMARY' AND table_name IN {tables}"
        ),
        Backend::Postgres => format!(
            "SELECT COUNT(*) FROM pg_indexes
             WHERE schemaname = current_schema() AND indexname NOT LIKE '%pkey' AND tablename IN {tables}"
        ),
    };
    database.number(&count).await.unwrap()
}

async fn a_new_database_is_filled_without_the_indexes_of_readers_and_has_them_in_the_end(backend: Backend) {
    let node = market().await;
    let database = TestDatabase::create(backend).await;
    let store = connect(&database).await;
    store.migrate_up_to_fill().await.unwrap();
    assert_eq!((missing(&database).await, there(&database).await), (7, 2));
    // Whoever finds a database with tables, filled or not, leaves them as they are.
    store.migrate_up_to_fill().await.unwrap();
    store.close().await.unwrap();
    let setup = Setup::of(&database.url, &node.url);
    let ended = setup.until_caught_up().await.expect(0);
    assert!(ended.stdout.contains("making 7 indexes"), "{}", ended.stdout);
    assert_eq!((missing(&database).await, there(&database).await), (0, 9));
    // They are made once.
    node.node.emit(50);
    let ended = setup.until_caught_up().await.expect(0);
    assert!(!ended.stdout.contains("indexes for readers"), "{}", ended.stdout);
    assert_eq!(there(&database).await, 9);
    tables::assert_equal(&plain_fold(&node.node.history()), &tables::read(&database.db).await, "seed 41");
}

/// Killed before it had made them all, too.
async fn a_worker_that_goes_on_makes_them_once_it_has_caught_up(backend: Backend) {
    let node = market().await;
    let database = TestDatabase::create(backend).await;
    let setup = Setup::of(&database.url, &node.url).set("POLL_INTERVAL", "50ms");
    let mut worker = setup.start();
    worker.line("indexes for readers").await;
    worker.kill().await;
    let mut worker = setup.start();
    let made = async {
        while missing(&database).await > 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    worker.unless_ended(tokio::time::timeout(PATIENCE, made)).await.expect("the worker has ended").expect("in time");
    node.node.emit(50);
    database.until_executed(650, PATIENCE).await;
    worker.terminate().await;
    worker.ended(PATIENCE).await.expect(0);
    assert_eq!(there(&database).await, 9);
    tables::assert_equal(&plain_fold(&node.node.history()), &tables::read(&database.db).await, "seed 41");
}

async fn none_are_made_before_anything_is_filled(backend: Backend) {
    let node = market().await;
    let database = TestDatabase::create(backend).await;
    // The wrong account: all observers stop.
    let setup = Setup::of(&database.url, &node.url).set("MARKETS", "imart@0x1");
    setup.until_caught_up().await.expect(1);
    assert_eq!(missing(&database).await, 7);
    let up = setup.again().command("migrate").with("up").to_end().await.expect(0);
    assert!(up.stdout.contains("making the index tokens_owner"), "{}", up.stdout);
    assert_eq!((missing(&database).await, there(&database).await), (0, 9));
}

async fn a_database_that_has_them_keeps_them(backend: Backend) {
    let node = market().await;
    let database = TestDatabase::create(backend).await;
    let setup = Setup::of(&database.url, &node.url);
    setup.again().command("migrate").with("up").to_end().await.expect(0);
    assert_eq!(there(&database).await, 9);
    let ended = setup.until_caught_up().await.expect(0);
    assert!(!ended.stdout.contains("indexes for readers"), "{}", ended.stdout);
    assert_eq!(there(&database).await, 9);
}

/// A user of its own, with no more than `grants`, runs a worker on a database without indexes.
async fn worker_with_rights(backend: Backend, grants: &[&str]) {
    let node = market().await;
    let database = TestDatabase::create(backend).await;
    let store = connect(&database).await;
    store.migrate_up_to_fill().await.unwrap();
    store.close().await.unwrap();
    let (name, user) = (database.name(), format!("{}_w", database.name()));
    for grant in grants {
        database.execute(&grant.replace("USER_NAME", &user).replace("DATABASE_NAME", name)).await;
    }
    let ended = Setup::of(&database.url_for(&user, "rows-only"), &node.url).until_caught_up().await;
    match backend {
        Backend::Postgres => database.execute(&format!("DROP OWNED BY {user}")).await,
        _ => database.execute(&format!("DROP USER '{user}'@'%'")).await,
    }
    let ended = ended.expect(0);
    for part in ["indexes cannot be made", "CREATE INDEX tokens_owner ON tokens (owner)"] {
        assert!(ended.stdout.contains(part), "{part:?} is not in: {}", ended.stdout);
    }
    assert_eq!(missing(&database).await, 7);
    tables::assert_equal(&plain_fold(&node.node.history()), &tables::read(&database.db).await, "seed 41");
    // As the warning says.
    Setup::of(&database.url, &node.url).until_caught_up().await.expect(0);
    assert_eq!(missing(&database).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_without_the_right_to_make_them_says_so_and_goes_on() {
    let grants = [
        "CREATE USER 'USER_NAME'@'%' IDENTIFIED BY 'rows-only'",
        "GRANT SELECT, INSERT, UPDATE ON DATABASE_NAME.* TO 'USER_NAME'@'%'",
    ];
    worker_with_rights(Backend::MySql, &grants).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_without_the_right_to_make_them_says_so_and_goes_on_postgres() {
    let grants = [
        "CREATE USER USER_NAME PASSWORD 'rows-only'",
        "GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO USER_NAME",
    ];
    worker_with_rights(Backend::Postgres, &grants).await;
}
