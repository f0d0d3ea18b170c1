//! Databases and nodes that are not what the settings take them for: refused or stopped with the remedy, nothing harmed.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod support;

use event_worker::simulate::{Config, Faults};
use support::database::{Backend, TestDatabase};
use support::node::TestNode;
use support::plain_fold::plain_fold;
use support::process::Setup;
use support::tables;

on_every_database!(
    a_foreign_table_of_our_name_is_refused_and_left_alone,
    a_newer_schema_is_refused_and_left_alone,
    a_node_of_another_chain_stops_observers,
);

/// Nobody listens there.
const NO_NODE: &str = "http://127.0.0.1:9/v1";

async fn a_foreign_table_of_our_name_is_refused_and_left_alone(backend: Backend) {
    let database = TestDatabase::create(backend).await;
    database.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY)").await;
    database.execute("INSERT INTO orders VALUES (7)").await;
    let ended = Setup::of(&database.url, NO_NODE).until_caught_up().await.expect(1);
    ended.says(&["orders", "a database of its own", "DATABASE_URL"]);
    assert_eq!(database.number("SELECT COUNT(*) FROM orders WHERE id = 7").await, Some(1));
    assert_eq!(tables_of(&database).await, ["orders"]);
}

async fn a_newer_schema_is_refused_and_left_alone(backend: Backend) {
    let database = TestDatabase::create(backend).await;
    let node = small_node().await;
    let setup = Setup::of(&database.url, &node.url);
    setup.until_caught_up().await.expect(0);
    let before = tables::read(&database.db).await;
    database
        .execute("INSERT INTO event_worker_migrations (version, applied_at) VALUES ('m29990101_000001_later', 1)")
        .await;
    node.node.emit(100);
    let ended = setup.until_caught_up().await.expect(1);
    ended.says(&["m29990101_000001_later", "newer"]);
    tables::assert_equal(&before, &tables::read(&database.db).await, "after the refusal");
}

async fn a_node_of_another_chain_stops_observers(backend: Backend) {
    let database = TestDatabase::create(backend).await;
    let node = small_node().await;
    let setup = Setup::of(&database.url, &node.url);
    setup.until_caught_up().await.expect(0);
    let before = tables::read(&database.db).await;
    database.execute("UPDATE checkpoints SET chain_id = 2").await;
    node.node.emit(100);
    let ended = setup.until_caught_up().await.expect(1);
    for part in ["imart:list", "had to stop", "chain 4", "chain 2", "NODE_URL", "DATABASE_URL"] {
        assert!(ended.stderr.contains(part), "{part:?} is not in: {}", ended.stderr);
    }
    assert!(ended.error_log.contains(" ERROR "), "{}", ended.error_log);
    tables::assert_equal(&before, &tables::read(&database.db).await, "after the stop");
}

#[tokio::test]
async fn a_database_that_does_not_exist_is_named_with_the_remedy_on_mysql() {
    a_database_that_does_not_exist_is_named_with_the_remedy(Backend::MySql).await;
}

#[tokio::test]
async fn a_database_that_does_not_exist_is_named_with_the_remedy_on_postgres() {
    a_database_that_does_not_exist_is_named_with_the_remedy(Backend::Postgres).await;
}

async fn a_database_that_does_not_exist_is_named_with_the_remedy(backend: Backend) {
    let database = TestDatabase::create(backend).await;
    let url = database.url.replace(database.name(), "e2e_absent");
    let ended = Setup::of(&url, NO_NODE).until_caught_up().await.expect(2);
    ended.says(&["DATABASE_URL=", "e2e_absent", "create the database first"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_may_only_read_is_told_what_rights_are_missing() {
    let database = TestDatabase::create(Backend::MySql).await;
    let name = database.name();
    let user = format!("{name}_r");
    database.execute(&format!("CREATE USER '{user}'@'%' IDENTIFIED BY 'read-only'")).await;
    database.execute(&format!("GRANT SELECT ON {name}.* TO '{user}'@'%'")).await;
    let url = database.url_for(&user, "read-only");
    let ended = Setup::of(&url, NO_NODE).until_caught_up().await;
    database.execute(&format!("DROP USER '{user}'@'%'")).await;
    let ended = ended.expect(1);
    ended.says(&["denied", "grant the user of DATABASE_URL", "event-worker migrate up"]);
    assert!(tables_of(&database).await.is_empty());
}

/// Rights to change the schema are needed once only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_up_to_date_needs_no_rights_to_change_it() {
    let database = TestDatabase::create(Backend::MySql).await;
    let node = small_node().await;
    Setup::of(&database.url, &node.url).until_caught_up().await.expect(0);
    let name = database.name();
    let user = format!("{name}_w");
    database.execute(&format!("CREATE USER '{user}'@'%' IDENTIFIED BY 'rows-only'")).await;
    database.execute(&format!("GRANT SELECT, INSERT, UPDATE ON {name}.* TO '{user}'@'%'")).await;
    node.node.emit(100);
    let ended = Setup::of(&database.url_for(&user, "rows-only"), &node.url).until_caught_up().await;
    database.execute(&format!("DROP USER '{user}'@'%'")).await;
    ended.expect(0);
    let expected = plain_fold(&node.node.history());
    tables::assert_equal(&expected, &tables::read(&database.db).await, "seed 1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_without_the_handles_stops_observers() {
    let database = TestDatabase::create(Backend::Sqlite).await;
    let node = small_node().await;
    let setup = Setup::of(&database.url, &node.url).set("MARKETS", "imart@0x1");
    let ended = setup.until_caught_up().await.expect(1);
    for part in ["imart:list", "had to stop", "imart:create_token had to stop", "FixedMarketEvents"] {
        assert!(ended.stderr.contains(part), "{part:?} is not in: {}", ended.stderr);
    }
    assert_eq!(database.executed().await, 0);
    // The same database for the right account: its events are another deployment's.
    let ended = Setup::of(&database.url, &node.url).until_caught_up().await.expect(1);
    ended.says(&["MARKETS", "a database of its own"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_parked_events_stop_observers_and_nothing_is_lost() {
    let database = TestDatabase::create(Backend::Sqlite).await;
    let faults = "mistyped:1.0".parse().unwrap();
    let node = TestNode::start(Config { seed: 21, events: 600, faults, ..Config::default() }).await;
    let setup = Setup::of(&database.url, &node.url).set("MAX_PARKED", "5");
    let ended = setup.until_caught_up().await.expect(1);
    for part in ["imart:list", "had to stop", "5 events in a row", "seq no 4", "dead_letters", "MAX_PARKED"] {
        assert!(ended.stderr.contains(part), "{part:?} is not in: {}", ended.stderr);
    }
    assert_eq!(cause(&database).await, ["stopped parked"]);
    let stored = "SELECT COUNT(*) FROM events WHERE observer = 'imart:list'";
    let parked = "SELECT COUNT(*) FROM dead_letters WHERE observer = 'imart:list' AND state = 'parked'";
    assert_eq!((database.number(stored).await, database.number(parked).await), (Some(5), Some(5)));

    // A restart goes on counting: nothing more happens until somebody allows it.
    setup.until_caught_up().await.expect(1);
    assert_eq!(database.number(stored).await, Some(5));
    let setup = setup.set("MAX_PARKED", "10000");
    setup.until_caught_up().await.expect(0);
    let history = node.node.history();
    tables::assert_equal(&plain_fold(&history), &tables::read(&database.db).await, "seed 21");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gap_stops_its_observer_and_the_others_go_on() {
    let database = TestDatabase::create(Backend::Sqlite).await;
    let faults = "gap:70".parse().unwrap();
    let node = TestNode::start(Config { seed: 22, events: 600, faults, ..Config::default() }).await;
    let setup = Setup::of(&database.url, &node.url);
    let ended = setup.until_caught_up().await.expect(1);
    ended.says(&["imart:list", "had to stop", "gap", "NODE_URL"]);
    assert_eq!(cause(&database).await, ["stopped gap"]);
    let executed = "SELECT executed_seq_no FROM checkpoints WHERE observer = 'imart:list'";
    assert_eq!(database.number(executed).await, Some(69));
    let listed = node.node.counters().iter().find(|(stream, _)| stream == "list_token_events").unwrap().1;
    assert_eq!(database.executed().await, 600 - listed + 70);

    node.node.set_faults(Faults::default());
    setup.until_caught_up().await.expect(0);
    let expected = plain_fold(&node.node.history());
    tables::assert_equal(&expected, &tables::read(&database.db).await, "seed 22");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pruned_history_stops_observers_with_the_remedy() {
    for fault in ["pruned", "pruned-500", "pruned-empty"] {
        let (database, node, _) = pruned(fault).await;
        let ended = Setup::of(&database.url, &node.url).until_caught_up().await.expect(1);
        for part in ["imart:list", "had to stop", "pruned", "NODE_ARCHIVE_URL"] {
            assert!(ended.stderr.contains(part), "{fault}: {part:?} is not in: {}", ended.stderr);
        }
        assert_eq!(database.executed().await, 0, "{fault}");
        assert_eq!(cause(&database).await, ["stopped pruned"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_is_asked_for_pruned_history_in_whatever_form_its_loss_shows() {
    for fault in ["pruned", "pruned-500", "pruned-empty"] {
        let (database, node, archive) = pruned(fault).await;
        let setup = Setup::of(&database.url, &node.url).set("NODE_ARCHIVE_URL", &archive.url);
        let ended = setup.until_caught_up().await;
        assert_eq!(ended.code(), Some(0), "{fault}: {}", ended.stderr);
        let expected = plain_fold(&node.node.history());
        tables::assert_equal(&expected, &tables::read(&database.db).await, fault);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_node_that_still_has_it_is_asked_for_pruned_history_in_whatever_form_its_loss_shows() {
    for fault in ["pruned", "pruned-500", "pruned-empty"] {
        let (database, node, all) = pruned(fault).await;
        // It goes back further, and not to the beginning.
        let (_, half, _) = pruned(fault).await;
        half.node.set_faults(format!("{fault}:{}", half.node.history()[150].version).parse().unwrap());
        let without = format!("{},{}", node.url, half.url);
        let ended = Setup::of(&database.url, &without).until_caught_up().await.expect(1);
        assert!(ended.stderr.contains("pruned") && ended.stderr.contains("NODE_ARCHIVE_URL"), "{}", ended.stderr);
        let ended = Setup::of(&database.url, &format!("{without},{}", all.url)).until_caught_up().await;
        assert_eq!(ended.code(), Some(0), "{fault}: {}", ended.stderr);
        let expected = plain_fold(&node.node.history());
        tables::assert_equal(&expected, &tables::read(&database.db).await, fault);
    }
}

/// An empty database, a node that has lost the first half of its history, and one that has not.
async fn pruned(fault: &str) -> (TestDatabase, TestNode, TestNode) {
    let config = Config { seed: 23, events: 600, ..Config::default() };
    let (node, archive) = (TestNode::start(config.clone()).await, TestNode::start(config).await);
    let half = node.node.history()[300].version;
    node.node.set_faults(format!("{fault}:{half}").parse().unwrap());
    (TestDatabase::create(Backend::Sqlite).await, node, archive)
}

/// What `status` shows of the listings.
async fn cause(database: &TestDatabase) -> Vec<String> {
    database.texts("SELECT CONCAT_WS(' ', state, cause) FROM observer_status WHERE observer = 'imart:list'").await
}

async fn small_node() -> TestNode {
    TestNode::start(Config { events: 200, ..Config::default() }).await
}

/// The names of all tables.
async fn tables_of(database: &TestDatabase) -> Vec<String> {
    let names = match database.backend {
        Backend::Sqlite => "SELECT name FROM sqlite_master WHERE type = 'table'",
        Backend::MySql => "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()",
        Backend::Postgres => {
            "SELECT table_name::text FROM information_schema.tables WHERE table_schema = current_schema()"
        }
    };
    database.texts(names).await
}
