//! The schema goes up and down with the rows in it, and from wherever a killed process has left it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use support::database::{Backend, TestDatabase};
use support::process::Setup;

on_every_database!(an_older_schema_is_brought_up_to_date_with_its_rows, a_migration_begun_is_finished);

/// How many of `token_id`'s columns are compared as bytes; `None` where all text is.
async fn ascii(database: &TestDatabase, backend: Backend) -> Option<i64> {
    const COLUMNS: &str = "SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = DATABASE() AND column_name = 'token_id' AND collation_name = 'ascii_bin'";
    if backend == Backend::MySql { database.number(COLUMNS).await } else { None }
}

/// One that only the first migration has run on.
async fn older(backend: Backend) -> (TestDatabase, Setup) {
    let database = TestDatabase::create(backend).await;
    let migrate = Setup::of(&database.url, "http://127.0.0.1:9/v1").command("migrate");
    migrate.start_with(&["up"]).ended(std::time::Duration::from_mins(1)).await.expect(0);
    let down = async || {
        migrate.start_with(&["down", "--yes"]).ended(std::time::Duration::from_mins(1)).await.expect(0);
    };
    down().await;
    let newest = "SELECT COUNT(*) FROM transactions";
    assert_eq!(database.number(newest).await, None, "the newest one is taken back");
    // Of an index.
    down().await;
    for newest in [
        "SELECT COUNT(*) FROM reordered",
        "SELECT COUNT(mapping) FROM markets",
        "SELECT COUNT(scanned_for) FROM checkpoints",
    ] {
        down().await;
        assert_eq!(database.number(newest).await, None, "the newest one is taken back");
    }
    down().await;
    assert_eq!(ascii(&database, backend).await.unwrap_or(0), 0);
    for newest in [
        "SELECT COUNT(discard_reason) FROM dead_letters",
        "SELECT COUNT(lease_epoch) FROM checkpoints",
        "SELECT number FROM commits",
        "SELECT COUNT(imported) FROM tokens",
    ] {
        down().await;
        assert_eq!(database.number(newest).await, None, "the newest one is taken back");
    }
    assert_eq!(database.number("SELECT COUNT(*) FROM event_worker_migrations").await, Some(1));
    let row = "INSERT INTO collections (collection_id, standard, name, updated_at) VALUES ('0x1', 'v1', 'old', '2026-01-02 03:04:05')";
    database.execute(row).await;
    (database, migrate.with("up"))
}

async fn assert_is_up_to_date(database: &TestDatabase, backend: Backend) {
    // orders, offers, activities, tokens.
    assert_eq!(ascii(database, backend).await.unwrap_or(4), 4);
    assert_eq!(database.texts("SELECT name FROM collections WHERE imported = 0").await, ["old"]);
    assert_eq!(database.number("SELECT COUNT(*) FROM tokens WHERE supply IS NULL AND imported > 0").await, Some(0));
    assert_eq!(database.number("SELECT COUNT(number) FROM commits").await, Some(1));
}

async fn an_older_schema_is_brought_up_to_date_with_its_rows(backend: Backend) {
    let (database, up) = older(backend).await;
    // Commands that only read name the remedy.
    let list = Setup::of(&database.url, "http://127.0.0.1:9/v1").command("list").with("collections");
    list.to_end().await.expect(1).says(&["import", "event-worker migrate up"]);
    up.to_end().await.expect(0);
    assert_is_up_to_date(&database, backend).await;
    up.to_end().await.expect(0);
}

async fn a_migration_begun_is_finished(backend: Backend) {
    let (database, up) = older(backend).await;
    // MySQL keeps each statement at once: a killed process leaves some of them done.
    database.execute("ALTER TABLE tokens ADD COLUMN metadata TEXT").await;
    up.to_end().await.expect(0);
    assert_is_up_to_date(&database, backend).await;
}
