//! `rebuild` puts right whatever has become of the tables, beside workers and readers, and can be interrupted.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use event_worker::market::{Market, Markets};
use event_worker::simulate::Config;
use event_worker::state::{Rebuild, Store};
use sea_orm::ConnectionTrait;
use support::database::{Backend, TestDatabase};
use support::node::TestNode;
use support::plain_fold::plain_fold;
use support::process::Setup;
use support::tables::{self, Tables};

const PATIENCE: Duration = Duration::from_mins(1);

on_every_database!(
    whatever_was_wrong_is_right_afterwards,
    a_rebuild_beside_a_worker_loses_and_doubles_nothing_and_readers_see_all_the_time,
    what_importing_owns_stays,
    an_interrupted_rebuild_is_gone_on_with,
    what_decodes_now_is_no_longer_parked_and_what_was_discarded_stays_out,
    what_is_discarded_is_not_counted_as_parked,
    there_is_one_at_a_time,
    one_that_was_interrupted_begins_anew_once_other_events_are_discarded,
);

async fn market(events: u64) -> TestNode {
    TestNode::start(Config { events, collections: 0, ..Config::default() }).await
}

fn rebuild(setup: &Setup) -> Setup {
    setup.again().command("rebuild")
}

async fn assert_folded(node: &TestNode, database: &TestDatabase, what: &str) {
    let what = format!("{:?}, {what}", database.backend);
    tables::assert_equal(&plain_fold(&node.node.history()), &tables::read(&database.db).await, &what);
    assert_eq!(database.number("SELECT unexpected FROM markets").await, Some(0), "{what}");
}

/// The tables and their indexes, however these are called.
async fn schema(database: &TestDatabase) -> Vec<String> {
    let mut schema = database
        .texts(match database.backend {
            Backend::Sqlite => {
                "SELECT m.tbl_name || ' ' || group_concat(i.name) FROM sqlite_master m, pragma_index_info(m.name) i
                 WHERE m.type = 'index' GROUP BY m.name"
            }
            Backend::MySql => {
                "SELECT CAST(CONCAT(table_name, ' ', index_name, ' ', GROUP_CONCAT(column_name ORDER BY seq_in_index)) AS CHAR)
                 FROM information_schema.statistics WHERE table_schema = DATABASE() GROUP BY table_name, index_name"
            }
            Backend::Postgres => "SELECT indexdef FROM pg_indexes WHERE schemaname = current_schema()",
        })
        .await;
    schema.sort();
    schema
}

async fn whatever_was_wrong_is_right_afterwards(backend: Backend) {
    let node = market(2_000).await;
    let database = TestDatabase::create(backend).await;
    let setup = Setup::of(&database.url, &node.url);
    setup.until_caught_up().await.expect(0);
    let before = schema(&database).await;
    for round in 0..2 {
        for sql in [
            "UPDATE orders SET price = price + 1, unexpected = 3 WHERE status = 'listing'",
            "DELETE FROM orders WHERE status = 'canceled'",
            "UPDATE offers SET status = 'created', closed_at = NULL",
            "DELETE FROM activities WHERE kind = 'fill_listing'",
            "UPDATE tokens SET owner = creator, owner_version = 9999999999",
            "DELETE FROM collections",
            "UPDATE markets SET unexpected = 77",
        ] {
            database.execute(sql).await;
        }
        rebuild(&setup).to_end().await.expect(0);
        assert_folded(&node, &database, &format!("round {round}")).await;
        assert_eq!(schema(&database).await, before);
        let left = match backend {
            Backend::Sqlite => "SELECT COUNT(*) FROM sqlite_master WHERE name LIKE 'rebuild%'",
            Backend::MySql => {
                "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name LIKE 'rebuild%'"
            }
            Backend::Postgres => "SELECT COUNT(*) FROM pg_class WHERE relname LIKE 'rebuild%'",
        };
        assert_eq!(database.number(left).await, Some(0));
        // And it goes on.
        node.node.emit(100);
        setup.until_caught_up().await.expect(0);
        assert_folded(&node, &database, &format!("after round {round}")).await;
    }
}

async fn a_rebuild_beside_a_worker_loses_and_doubles_nothing_and_readers_see_all_the_time(backend: Backend) {
    let node = market(3_000).await;
    let database = TestDatabase::create(backend).await;
    let setup = Setup::of(&database.url, &node.url);
    let worker = setup.start();
    database.until_executed(3_000, PATIENCE).await;
    let (stop, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(vec![])));
    let command = rebuild(&setup);
    let reading = async {
        while !stop.load(Ordering::Relaxed) {
            let count = database.number("SELECT COUNT(*) FROM activities").await;
            seen.lock().unwrap().push(count);
            node.node.emit(1);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let rebuilt = async {
        let ended = command.to_end().await;
        stop.store(true, Ordering::Relaxed);
        ended
    };
    let (ended, ()) = tokio::join!(rebuilt, reading);
    ended.expect(0);
    let seen = seen.lock().unwrap().clone();
    assert!(seen.iter().all(|count| *count >= Some(3_000)), "{backend:?}: {seen:?}");
    assert!(seen.is_sorted(), "{backend:?}: readers went back in time: {seen:?}");
    node.node.emit(100);
    database.until_executed(node.node.history().len() as u64, PATIENCE).await;
    worker.terminate().await;
    worker.ended(PATIENCE).await.expect(0);
    assert_folded(&node, &database, "beside a worker").await;
}

async fn what_importing_owns_stays(backend: Backend) {
    let node = TestNode::start(Config { events: 1_000, collections: 3, tokens: 20, ..Config::default() }).await;
    let database = TestDatabase::create(backend).await;
    let setup = Setup::of(&database.url, &node.url);
    setup.until_caught_up().await.expect(0);
    let accounts = [node.creators(), vec![event_worker::simulate::CREATOR.to_owned()]].concat().join(",");
    let import = setup.again().command("collection-import").with("--account").with(&accounts);
    import.to_end().await.expect(0);
    // A list may tell nothing but a name, and no event tells of it.
    let list = setup.folder().join("list.json");
    std::fs::write(&list, r#"[{"collection": "Only a name"}]"#).unwrap();
    let from_list = setup.again().command("collection-import").with("--from-json").with(&list.display().to_string());
    from_list.with("--account").with(event_worker::simulate::CREATOR).to_end().await.expect(0);
    let before = tables::read(&database.db).await;
    let told = |row: &tables::Row| row["name"].as_deref() == Some("Only a name");
    assert_eq!(before["collections"].values().filter(|row| told(row)).count(), 1);
    let imported = |tables: &Tables| tables["tokens"].values().filter(|row| row["metadata"].is_some()).count();
    assert!(imported(&before) > 20, "{}", imported(&before));
    rebuild(&setup).to_end().await.expect(0);
    tables::assert_equal(&before, &tables::read(&database.db).await, &format!("{backend:?}, imported"));
    // A second import finds nothing to change.
    let again = import.again().with("--json").to_end().await.expect(0);
    let told: serde_json::Value = serde_json::from_str(&again.stdout).unwrap();
    assert!(!told.to_string().contains("\"changed\":1"), "{told}");
}

async fn an_interrupted_rebuild_is_gone_on_with(backend: Backend) {
    let node = market(6_000).await;
    let database = TestDatabase::create(backend).await;
    let setup = Setup::of(&database.url, &node.url);
    setup.until_caught_up().await.expect(0);
    database.execute("UPDATE orders SET seller = buyer").await;
    let folded = "SELECT COUNT(*) FROM rebuild_activities";
    let mut before = 0;
    for _ in 0..3 {
        let worker = rebuild(&setup).start();
        let more = async {
            while database.number(folded).await.unwrap_or_default() <= before {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if tokio::time::timeout(Duration::from_secs(20), more).await.is_err() {
            break;
        }
        worker.kill().await;
        let Some(folded) = database.number(folded).await else { break };
        assert!(folded >= before, "{backend:?}: {folded} after {before}");
        before = folded;
    }
    assert!(before > 0, "{backend:?}: nothing was folded before it was killed");
    let ended = rebuild(&setup).to_end().await.expect(0);
    println!("{backend:?}: gone on with at {before} of 6000");
    assert!(ended.stdout.contains("going on with the rebuild"), "{}", ended.stdout);
    assert_folded(&node, &database, "interrupted").await;
}

/// A database read with a market file that takes some events for broken, and a setup with that file; how many are parked.
async fn parked(database: &TestDatabase, setup: &Setup) -> (Setup, i64) {
    let file = include_str!("../markets/imart.toml");
    let wrong = file.replacen("price = \"price\"", "price = \"locked_until_secs\"", 1).replacen(
        "seller = \"seller\"",
        "seller = \"token_id.token_data_id.name\"",
        1,
    );
    assert_ne!(file, wrong);
    let path = setup.folder().join("imart.toml");
    std::fs::write(&path, wrong).unwrap();
    let wrongly = setup.again().set("MARKETS", &path.display().to_string()).set("MAX_PARKED", "100000");
    wrongly.until_caught_up().await.expect(0);
    let parked = database.number("SELECT COUNT(*) FROM dead_letters WHERE state = 'parked'").await.unwrap();
    assert!(parked > 100, "{parked}");
    (wrongly, parked)
}

async fn what_decodes_now_is_no_longer_parked_and_what_was_discarded_stays_out(backend: Backend) {
    let node = market(800).await;
    let database = TestDatabase::create(backend).await;
    let setup = Setup::of(&database.url, &node.url);
    let (_, parked) = parked(&database, &setup).await;
    database.execute("UPDATE dead_letters SET state = 'discarded' WHERE seq_no = 5").await;
    rebuild(&setup).to_end().await.expect(0);
    assert_eq!(database.number("SELECT COUNT(*) FROM dead_letters WHERE state = 'retried'").await, Some(parked - 1));
    assert_eq!(database.number("SELECT COUNT(*) FROM dead_letters WHERE state = 'discarded'").await, Some(1));
    assert_eq!(database.number("SELECT COUNT(*) FROM activities").await, Some(799));
    // And that one too, once it is no longer discarded.
    database.execute("UPDATE dead_letters SET state = 'parked' WHERE seq_no = 5").await;
    rebuild(&setup).to_end().await.expect(0);
    assert_folded(&node, &database, "retried").await;
}

async fn what_is_discarded_is_not_counted_as_parked(backend: Backend) {
    let node = market(800).await;
    let database = TestDatabase::create(backend).await;
    let setup = Setup::of(&database.url, &node.url);
    let (wrongly, parked) = parked(&database, &setup).await;
    let command = rebuild(&wrongly.set("MAX_PARKED", "5"));
    let ended = command.to_end().await.expect(1);
    assert!(ended.stderr.contains("could not be decoded"), "{}", ended.stderr);
    database.execute("UPDATE dead_letters SET state = 'discarded', discard_reason = 'spam'").await;
    command.to_end().await.expect(0);
    let activities = database.number("SELECT COUNT(*) FROM activities").await;
    assert_eq!(activities, Some(800 - parked), "{backend:?}");
    let discarded = "SELECT COUNT(*) FROM dead_letters WHERE state = 'discarded' AND discard_reason = 'spam'";
    assert_eq!(database.number(discarded).await, Some(parked), "{backend:?}");
}

async fn there_is_one_at_a_time(backend: Backend) {
    let node = market(300).await;
    let database = TestDatabase::create(backend).await;
    let setup = Setup::of(&database.url, &node.url);
    setup.until_caught_up().await.expect(0);
    let (store, markets) = store(&database).await;
    let long = Duration::from_hours(1);
    assert_eq!(store.claim_rebuild("rebuild one", long).await.unwrap(), None);
    let one = Rebuild::begin(&store, "rebuild one", &markets, false).await.unwrap();
    assert_eq!(store.claim_rebuild("rebuild two", long).await.unwrap().as_deref(), Some("rebuild one"));
    let refused = rebuild(&setup).to_end().await.expect(1);
    refused.says(&["rebuild one is under way", "run `rebuild` again"]);
    // One that is dead is forgotten; should it live after all, it changes nothing.
    store.oversleep("rebuild one").await.unwrap();
    assert_eq!(store.claim_rebuild("rebuild two", long).await.unwrap(), None);
    let refused = one.swap().await.unwrap_err();
    assert!(refused.to_string().contains("rebuild two has taken over"), "{refused}");
    store.oversleep("rebuild two").await.unwrap();
    database.execute("UPDATE orders SET seller = buyer").await;
    rebuild(&setup).to_end().await.expect(0);
    assert_folded(&node, &database, "one at a time").await;
    store.close().await.unwrap();
}

async fn one_that_was_interrupted_begins_anew_once_other_events_are_discarded(backend: Backend) {
    let node = market(300).await;
    let database = TestDatabase::create(backend).await;
    Setup::of(&database.url, &node.url).until_caught_up().await.expect(0);
    let (store, markets) = store(&database).await;
    let begin = async || Rebuild::begin(&store, "rebuild", &markets, false).await.unwrap().is_resumed;
    assert!(!begin().await);
    assert!(begin().await);
    database
        .execute(&format!(
            "INSERT INTO dead_letters (observer, seq_no, version, event_type, data, error, attempts, first_seen_at, last_seen_at, state)
             VALUES ('imart:buy', 3, 1, '', '{{}}', '', 1, {0}, {0}, 'discarded')",
            database.clock()
        ))
        .await;
    assert!(!begin().await, "{backend:?}: what is folded already has that event");
    store.close().await.unwrap();
}

async fn store(database: &TestDatabase) -> (Store, Markets) {
    let markets = Markets::new(vec![Market::built_in("imart", None).unwrap()]).unwrap();
    (Store::connect(&database.url.parse().unwrap()).await.unwrap(), markets)
}

/// There the tables are swapped outside any transaction: whatever fails has to fail before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_mysql_a_swap_that_fails_is_tried_again() {
    let node = market(800).await;
    let database = TestDatabase::create(Backend::MySql).await;
    let setup = Setup::of(&database.url, &node.url);
    parked(&database, &setup).await;
    let deadlock = "CREATE TRIGGER fails BEFORE UPDATE ON events FOR EACH ROW
        SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213, MESSAGE_TEXT = 'as tried out'";
    database.db.execute_unprepared(deadlock).await.unwrap();
    let mut worker = rebuild(&setup).start();
    worker.line("trying again to swap").await;
    database.db.execute_unprepared("DROP TRIGGER fails").await.unwrap();
    worker.ended(PATIENCE).await.expect(0);
    assert_eq!(database.number("SELECT COUNT(*) FROM dead_letters WHERE state <> 'retried'").await, Some(0));
    assert_folded(&node, &database, "a swap that failed").await;
}
