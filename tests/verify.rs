//! `verify` with the real program, on every database: it passes what the worker has made, whatever went on meanwhile, and
//! finds whatever somebody has changed.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod support;

use std::time::Duration;

use event_worker::chain::Address;
use event_worker::simulate::{CREATOR, Config};
use event_worker::state::Store;
use sea_orm::{ConnectionTrait, TransactionTrait};
use serde_json::Value;
use support::database::{Backend, TestDatabase};
use support::node::TestNode;
use support::process::{Ended, Setup};

on_every_database!(
    what_a_worker_has_made_is_verified,
    it_is_verified_beside_a_live_worker,
    what_importing_owns_is_not_compared,
    each_change_of_a_row_is_found,
    what_nobody_decodes_is_in_digest_and_sample,
    digests_are_the_same_whatever_was_read_when,
);

on_every_server!(a_snapshot_may_rest_for_longer_than_a_transaction_that_hangs);

const LIMIT: Duration = Duration::from_mins(1);

fn verify(database: &TestDatabase, node: &TestNode) -> Setup {
    Setup::of(&database.url, &node.url).command("verify").with("--json")
}

/// A database that holds all that such a node has.
async fn filled(backend: Backend, config: Config) -> (TestDatabase, TestNode) {
    let database = TestDatabase::create(backend).await;
    let node = TestNode::start(config).await;
    Setup::of(&database.url, &node.url).until_caught_up().await.expect(0);
    (database, node)
}

fn certificate(ended: &Ended) -> Value {
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {}\n{}", ended.stdout, ended.stderr))
}

async fn run(setup: &Setup, flags: &[&str], status: i32) -> Value {
    let ended = setup.start_with(flags).ended(LIMIT).await.expect(status);
    let certificate = certificate(&ended);
    assert_eq!(certificate["verified"], status == 0, "{certificate:#}");
    certificate
}

/// The last line of stderr, behind what tells how far it is, has all these parts.
#[track_caller]
fn ends_with(ended: &Ended, parts: &[&str]) {
    let line = ended.stderr.lines().last().unwrap_or_default();
    assert!(line.starts_with("error: ") && parts.iter().all(|part| line.contains(part)), "{parts:?} not in: {line}");
}

fn sum(certificate: &Value, column: &str) -> u64 {
    certificate["streams"].as_array().unwrap().iter().map(|stream| stream[column].as_u64().unwrap()).sum()
}

fn rows(certificate: &Value, table: &str) -> u64 {
    let tables = certificate["tables"].as_array().unwrap();
    tables.iter().find(|row| row["table"] == table).map_or(0, |row| row["rows"].as_u64().unwrap())
}

fn digests(certificate: &Value) -> Vec<(String, String)> {
    let streams = certificate["streams"].as_array().unwrap().iter();
    streams.map(|stream| (stream["observer"].to_string(), stream["digest"].to_string())).collect()
}

async fn what_a_worker_has_made_is_verified(backend: Backend) {
    let faults = "mistyped:0.01".parse().unwrap();
    let (database, node) = filled(backend, Config { seed: 21, events: 2_000, faults, ..Config::default() }).await;
    let setup = verify(&database, &node);
    let all = run(&setup, &[], 0).await;
    assert_eq!((sum(&all, "events"), sum(&all, "counter"), sum(&all, "missing")), (2_000, 2_000, 0));
    let parked = database.number("SELECT COUNT(*) FROM dead_letters").await.unwrap().unsigned_abs();
    assert!(parked > 5, "only {parked} are parked");
    assert_eq!(all["dead_letters"].as_array().unwrap().len() as u64, parked);
    assert_eq!((sum(&all, "parked"), rows(&all, "events"), rows(&all, "activities")), (parked, 2_000, 2_000 - parked));
    for table in ["orders", "offers", "tokens", "collections", "markets", "checkpoints"] {
        let stored = database.number(&format!("SELECT COUNT(*) FROM {table}")).await.unwrap();
        assert_eq!(rows(&all, table), stored.unsigned_abs(), "{table}");
        assert!(stored > 0, "{table}");
    }
    // Hardly any memory, so many parts in a file: the same in every word.
    let mut little = run(&setup, &["--memory-mb", "1"], 0).await;
    little["snapshot_at"] = all["snapshot_at"].clone();
    assert_eq!(little, all);

    let sampled = run(&setup, &["--sample", "7", "--seed", "3"], 0).await;
    assert_eq!((&sampled["sample"]["pages"], &sampled["sample"]["seed"]), (&7.into(), &3.into()));
    assert!(sampled["sample"]["events"].as_u64().unwrap() > 7, "{sampled:#}");

    // For people.
    let said = Setup::of(&database.url, &node.url).command("verify").to_end().await.expect(0).stdout;
    let last = said.lines().last().unwrap();
    assert!(last.starts_with("verified: 2000 events, all that the handles have emitted"), "{said}");

    // What is not there yet is missing, and only that.
    node.node.emit(50);
    let more = node.node.history().len() as u64 - 2_000;
    let behind = run(&setup, &[], 1).await;
    assert_eq!((sum(&behind, "missing"), &behind["difference_count"]), (more, &0.into()));
    let ended = setup.to_end().await.expect(1);
    ends_with(&ended, &["NOT verified", &format!("{more} events are not stored yet: run the worker")]);
    let offline = run(&setup, &["--offline"], 0).await;
    assert_eq!((sum(&offline, "events"), &offline["streams"][0]["counter"]), (2_000, &Value::Null));
}

async fn it_is_verified_beside_a_live_worker(backend: Backend) {
    let database = TestDatabase::create(backend).await;
    let node = TestNode::start(Config { seed: 22, events: 1_000, rate: 60.0, ..Config::default() }).await;
    let worker = Setup::of(&database.url, &node.url).start();
    database.until_executed(1_000, LIMIT).await;
    let setup = verify(&database, &node);
    let mut last = 0;
    for _ in 0..4 {
        let all = run(&setup, &[], 0).await;
        let events = sum(&all, "events");
        assert!(events > last && events >= sum(&all, "counter"), "{events} after {last}");
        last = events;
    }
    worker.terminate().await;
    worker.ended(LIMIT).await.expect(0);
}

/// As it does while a node is asked.
async fn a_snapshot_may_rest_for_longer_than_a_transaction_that_hangs(backend: Backend) {
    let (database, _) = filled(backend, Config { seed: 30, events: 300, ..Config::default() }).await;
    let store = Store::connect(&database.url.parse().unwrap()).await.unwrap();
    let snapshot = store.snapshot().await.unwrap();
    let hangs = store.connection().begin().await.unwrap();
    hangs.execute_unprepared("UPDATE commits SET number = number").await.unwrap();
    // Until the server has ended that one.
    database.execute("UPDATE commits SET number = number").await;
    let events = snapshot.events("imart:list", -1, 10).await.unwrap();
    assert_eq!(events.len(), 10);
}

async fn what_importing_owns_is_not_compared(backend: Backend) {
    let config = Config { seed: 23, events: 600, collections: 30, tokens: 200, ..Config::default() };
    let database = TestDatabase::create(backend).await;
    let node = TestNode::start(config).await;
    let import = |account: &str| {
        Setup::of(&database.url, &node.url).command("collection-import").with("--account").with(account)
    };
    let accounts = format!("{CREATOR},{}", node.creators().join(","));
    // Some before the worker, all behind it.
    import(&node.creators()[0]).to_end().await.expect(0);
    Setup::of(&database.url, &node.url).until_caught_up().await.expect(0);
    import(&accounts).to_end().await.expect(0);
    let list = Setup::of(&database.url, &node.url).command("collection-import").with("--from-json").with("list.json");
    let text = r#"[{"collection": "By hand", "creator": "0xbeef"}, {"collection": "And more", "creator": "0xbeef", "supply": 7, "volume": 5}]"#;
    std::fs::write(list.folder().join("list.json"), text).unwrap();
    list.to_end().await.expect(0);

    let setup = verify(&database, &node);
    let all = run(&setup, &[], 0).await;
    assert!(rows(&all, "tokens") > 200 && rows(&all, "collections") > 32, "{all:#}");
    for (change, table, column) in [
        (
            "UPDATE tokens SET owner = creator, owner_version = 1, owner_place = 1, owner_seq_no = 1 WHERE owner IS NULL",
            "tokens",
            Value::Null,
        ),
        ("UPDATE collections SET description = 'mine' WHERE imported = 0", "collections", Value::Null),
        ("UPDATE tokens SET imported = 9 WHERE owner IS NOT NULL AND imported <> 0", "tokens", "imported".into()),
    ] {
        database.execute(&format!("CREATE TABLE saved AS SELECT * FROM {table}")).await;
        database.execute(change).await;
        found(&run(&setup, &["--offline"], 1).await, table, &column, change);
        database.execute(&format!("DELETE FROM {table}")).await;
        database.execute(&format!("INSERT INTO {table} SELECT * FROM saved")).await;
        database.execute("DROP TABLE saved").await;
    }
    run(&setup, &["--offline"], 0).await;
}

/// There is a difference in that column, or with none of a whole row.
#[track_caller]
fn found(certificate: &Value, table: &str, column: &Value, change: &str) {
    let differences = certificate["differences"].as_array().unwrap();
    let is_it = |one: &Value| one["table"] == table && one["column"] == *column && one["expected"] != one["actual"];
    assert!(differences.iter().any(is_it), "{change}: no difference in {table} {column}: {certificate:#}");
}

async fn each_change_of_a_row_is_found(backend: Backend) {
    let faults = "mistyped:0.03".parse().unwrap();
    let (database, node) = filled(backend, Config { seed: 24, events: 500, faults, ..Config::default() }).await;
    let setup = verify(&database, &node);
    run(&setup, &["--offline"], 0).await;
    for (change, table, column) in &changes(&database).await {
        let touched = change.split(' ').nth(if change.starts_with("DELETE") { 2 } else { 1 }).unwrap();
        database.execute(&format!("CREATE TABLE saved AS SELECT * FROM {touched}")).await;
        database.execute(change).await;
        found(&run(&setup, &["--offline", "--differences", "1000"], 1).await, table, column, change);
        database.execute(&format!("DELETE FROM {touched}")).await;
        database.execute(&format!("INSERT INTO {touched} SELECT * FROM saved")).await;
        database.execute("DROP TABLE saved").await;
    }
    run(&setup, &[], 0).await;
    run(&setup, &["--sample", "3"], 0).await;
}

/// What somebody may do to the tables, and where that shows: in a column, or as a row too many or too few.
async fn changes(database: &TestDatabase) -> Vec<(String, &'static str, Value)> {
    let one = async |table: &str, column: &str, which: &str| {
        database.texts(&format!("SELECT MIN({column}) FROM {table} WHERE {which}")).await.remove(0)
    };
    let order = one("orders", "order_id", "status = 'listing' AND price < 1000000000000").await;
    let offer = one("offers", "offer_id", "status <> 'created'").await;
    let token = one("tokens", "token_id", "owner IS NOT NULL").await;
    let parked = "SELECT MIN(seq_no) FROM dead_letters WHERE observer = 'imart:list'";
    let parked = database.number(parked).await.unwrap();
    let last = database.number("SELECT MAX(seq_no) FROM events WHERE observer = 'imart:list'").await.unwrap();
    let good = "SELECT MIN(seq_no) FROM activities WHERE observer = 'imart:list' AND seq_no > 0";
    let good = database.number(good).await.unwrap();
    let data =
        one("events", "data", &format!("observer = 'imart:list' AND seq_no = {}", good + 1)).await.replace('\'', "''");
    let of = |seq_no: i64| format!("WHERE observer = 'imart:list' AND seq_no = {seq_no}");
    let row = Value::Null;
    let column = Value::from;
    vec![
        (format!("DELETE FROM events {}", of(good)), "events", row.clone()),
        (format!("DELETE FROM events {}", of(0)), "events", row.clone()),
        (format!("DELETE FROM events {}", of(last)), "checkpoints", column("executed_seq_no")),
        (format!("UPDATE events SET data = '{data}' {}", of(good)), "activities", column("order_id")),
        (format!("UPDATE events SET version = version + 1000000000 {}", of(good)), "events", column("version")),
        (format!("UPDATE events SET occurred_at = NULL {}", of(good)), "events", column("occurred_at")),
        (format!("UPDATE events SET creation_number = 77 {}", of(good)), "events", column("creation_number")),
        (format!("UPDATE events SET account_address = '0x1' {}", of(good)), "events", column("account_address")),
        (format!("UPDATE orders SET price = price + 1 WHERE order_id = '{order}'"), "orders", column("price")),
        (format!("DELETE FROM orders WHERE order_id = '{order}'"), "orders", row.clone()),
        (format!("UPDATE orders SET order_id = 'imart:x' WHERE order_id = '{order}'"), "orders", row.clone()),
        (format!("UPDATE orders SET market = 'other' WHERE order_id = '{order}'"), "orders", column("market")),
        (format!("UPDATE offers SET status = 'created' WHERE offer_id = '{offer}'"), "offers", column("status")),
        (format!("UPDATE tokens SET owner = '0x1' WHERE token_id = '{token}'"), "tokens", column("owner")),
        (format!("UPDATE tokens SET property_version = 9 WHERE token_id = '{token}'"), "tokens", row.clone()),
        ("UPDATE collections SET name = 'x'".to_owned(), "collections", column("name")),
        ("UPDATE collections SET maximum = 77".to_owned(), "collections", column("maximum")),
        (format!("UPDATE activities SET total = 1 {}", of(good)), "activities", column("total")),
        (format!("DELETE FROM activities {}", of(good)), "activities", row.clone()),
        (format!("UPDATE activities SET seq_no = 100000 {}", of(good)), "activities", row.clone()),
        (format!("UPDATE activities SET seq_no = {parked} {}", of(good)), "activities", row.clone()),
        (
            "UPDATE checkpoints SET executed_seq_no = executed_seq_no - 1".to_owned(),
            "checkpoints",
            column("executed_seq_no"),
        ),
        ("UPDATE checkpoints SET executed_version = 1".to_owned(), "checkpoints", column("executed_version")),
        ("DELETE FROM checkpoints".to_owned(), "checkpoints", row.clone()),
        ("UPDATE markets SET unexpected = 1".to_owned(), "markets", column("unexpected")),
        ("UPDATE markets SET address = '0x1'".to_owned(), "markets", column("address")),
        (format!("DELETE FROM dead_letters {}", of(parked)), "dead_letters", row.clone()),
        (format!("UPDATE dead_letters SET seq_no = 100000 {}", of(parked)), "dead_letters", row.clone()),
        (format!("UPDATE dead_letters SET seq_no = {good} {}", of(parked)), "activities", row),
        (format!("UPDATE dead_letters SET state = 'retried' {}", of(parked)), "dead_letters", column("state")),
        (format!("UPDATE dead_letters SET data = '{{}}' {}", of(parked)), "dead_letters", column("data")),
    ]
}

async fn what_nobody_decodes_is_in_digest_and_sample(backend: Backend) {
    let (database, node) = filled(backend, Config { seed: 28, events: 300, ..Config::default() }).await;
    let setup = verify(&database, &node);
    let before = digests(&run(&setup, &["--offline"], 0).await);
    let data = "SELECT MIN(data) FROM events WHERE observer = 'imart:buy'";
    let data = database.texts(data).await.remove(0).replace('\'', "''");
    let more = format!("{}, \"more\": 1}}", data.strip_suffix('}').unwrap());
    database.execute(&format!("UPDATE events SET data = '{more}' WHERE data = '{data}'")).await;
    let after = digests(&run(&setup, &["--offline"], 0).await);
    let changed: Vec<_> = before.iter().zip(&after).filter(|(before, after)| before != after).collect();
    assert!(matches!(changed[..], [((observer, _), _)] if observer.contains("imart:buy")), "{changed:?}");
    found(&run(&setup, &["--sample", "100", "--seed", "1"], 1).await, "sample", &"data".into(), "a field more");
}

/// Addresses written in full, names in another order, and spaces.
fn written_otherwise(value: &Value) -> String {
    match value {
        Value::String(text) => match text.parse::<Address>() {
            // What is shorter may be bytes.
            Ok(address) if text.len() > 50 || text == "0x1" => format!(" \"{address}\""),
            _ => value.to_string(),
        },
        Value::Array(values) => format!("[{}]", values.iter().map(written_otherwise).collect::<Vec<_>>().join(" ,")),
        Value::Object(fields) => {
            let field =
                |(name, value): (&String, &Value)| format!("{}: {}", Value::from(&**name), written_otherwise(value));
            format!("{{{}}}", fields.iter().rev().map(field).collect::<Vec<_>>().join(",\n"))
        }
        other => other.to_string(),
    }
}

async fn digests_are_the_same_whatever_was_read_when(backend: Backend) {
    let config = Config { seed: 25, events: 500, ..Config::default() };
    let (database, node) = filled(backend, config.clone()).await;
    let ours = run(&verify(&database, &node), &[], 0).await;

    let faults = "500:0.1,truncate:0.1,stale:0.1".parse().unwrap();
    let (other, unkind) = filled(Backend::Sqlite, Config { faults, latency: Duration::from_millis(3), ..config }).await;
    let all = other.texts("SELECT DISTINCT data FROM events").await;
    for data in all {
        let otherwise = written_otherwise(&serde_json::from_str(&data).unwrap());
        let quoted = |text: &str| text.replace('\'', "''");
        other
            .execute(&format!("UPDATE events SET data = '{}' WHERE data = '{}'", quoted(&otherwise), quoted(&data)))
            .await;
    }
    unkind.node.set_faults(event_worker::simulate::Faults::default());
    let theirs = run(&verify(&other, &unkind), &["--sample", "3"], 0).await;
    assert_eq!(digests(&ours), digests(&theirs));
    let different: std::collections::BTreeSet<_> = digests(&ours).into_iter().map(|(_, digest)| digest).collect();
    assert_eq!(different.len(), 8);
}

#[tokio::test]
async fn what_cannot_be_verified_says_why() {
    let (database, node) = filled(Backend::Sqlite, Config { seed: 26, events: 300, ..Config::default() }).await;
    let nowhere = Setup::of(&database.url, "http://127.0.0.1:9/v1").command("verify");
    ends_with(&nowhere.to_end().await.expect(1), &["127.0.0.1:9", "check NODE_URL", "--offline"]);
    nowhere.start_with(&["--offline"]).ended(LIMIT).await.expect(0);

    let setup = Setup::of(&database.url, &node.url).command("verify");
    setup.start_with(&["--memory-mb", "0"]).ended(LIMIT).await.expect(2).says(&["--memory-mb 0", "from 1 to"]);
    database.execute("UPDATE checkpoints SET chain_id = 2").await;
    ends_with(&setup.to_end().await.expect(1), &["the node is of chain 4", "of chain 2", "NODE_URL"]);

    let missing = Setup::of("sqlite://nothing-here.db", &node.url).command("verify");
    missing.to_end().await.expect(2).says(&["DATABASE_URL"]);
}

/// In whatever words a node says that it no longer has them.
#[tokio::test]
async fn pages_that_are_pruned_are_no_differences() {
    let (database, node) = filled(Backend::Sqlite, Config { seed: 29, events: 300, ..Config::default() }).await;
    let setup = verify(&database, &node);
    for form in ["pruned", "pruned-500", "pruned-empty"] {
        node.node.set_faults(format!("{form}:{}", node.node.ledger_version()).parse().unwrap());
        let all = run(&setup, &["--sample", "4"], 0).await;
        assert_eq!((&all["sample"]["pruned"], &all["sample"]["events"]), (&4.into(), &0.into()), "{form}");
    }
}

#[tokio::test]
async fn markets_that_are_not_named_are_left_out_and_said_so() {
    let (database, node) = filled(Backend::Sqlite, Config { seed: 27, events: 300, ..Config::default() }).await;
    let setup = verify(&database, &node).set("MARKETS", "toy.toml");
    let market = r#"
name = "toy"
address = "0x1"
listing_key = ["id"]
streams = [{ name = "list", kind = "place_listing", handle = "::m::S", field = "a", fields = { id = "id", seller = "by", price = "price" } }]
"#;
    std::fs::write(setup.folder().join("toy.toml"), market).unwrap();
    let toy = run(&setup, &["--offline"], 0).await;
    assert_eq!((&toy["verified"], &toy["complete"]), (&true.into(), &false.into()));
    let file = setup.folder().join("toy.toml");
    let told = Setup::of(&database.url, &node.url).set("MARKETS", file.to_str().unwrap()).command("verify");
    let told = told.with("--offline").to_end().await.expect(0);
    assert!(told.stdout.contains("NOT compared: tokens, collections"), "{}", told.stdout);
    let notes = toy["notes"].to_string();
    assert!(notes.contains("not verified: imart:accept_offer, imart:buy"), "{notes}");
    assert!(notes.contains("toy:list has no checkpoint"), "{notes}");
    assert_eq!((rows(&toy, "events"), rows(&toy, "orders"), rows(&toy, "tokens")), (0, 0, 0));
}
