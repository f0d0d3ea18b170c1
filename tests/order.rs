//! Events of one transaction that handles tell apart, with the real program: the same order and times as in the transaction,
//! in whatever commits they come; and the rule of kinds where nobody has the transaction any more.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use event_worker::simulate::{CONTRACT, Config, Faults};
use support::database::{Backend, TestDatabase};
use support::front::front;
use support::node::TestNode;
use support::plain_fold::{observer, plain_fold, plain_fold_by_kinds};
use support::process::Setup;
use support::tables;

on_every_database!(
    handles_lead_to_the_rows_that_transactions_give,
    what_was_stored_before_the_rest_of_its_transaction_is_put_in_order,
    what_comes_while_following_is_put_in_order,
    kinds_decide_where_the_transactions_are_pruned,
    nothing_is_committed_before_the_order_is_known,
);

/// Everything but the index of events on whose order nothing depends.
const ROWS: [&str; 5] = [
    "SELECT CONCAT_WS('|', observer, seq_no, version, COALESCE(occurred_at, '-')) FROM events ORDER BY observer, seq_no",
    "SELECT CONCAT_WS('|', observer, seq_no, kind, order_id, offer_id, token_id, from_address, to_address, price, total, COALESCE(occurred_at, '-')) FROM activities ORDER BY observer, seq_no",
    "SELECT CONCAT_WS('|', order_id, status, seller, COALESCE(buyer, '-'), price, quantity, remaining_quantity, sale_price, listed_version, closed_version, unexpected, last_observer, last_seq_no) FROM orders ORDER BY order_id",
    "SELECT CONCAT_WS('|', offer_id, status, offerer, COALESCE(acceptor, '-'), price, quantity, remaining_quantity, opened_version, closed_version, unexpected, last_observer, last_seq_no) FROM offers ORDER BY offer_id",
    "SELECT CONCAT_WS('|', token_id, property_version, name, owner, owner_version) FROM tokens ORDER BY token_id, property_version",
];

/// What a database has, as text.
async fn rows(database: &TestDatabase) -> Vec<Vec<String>> {
    let mut all = vec![];
    for sql in ROWS {
        let sql = match database.backend {
            Backend::Postgres => sql.replace("COALESCE(occurred_at, '-')", "COALESCE(CAST(occurred_at AS TEXT), '-')"),
            Backend::MySql | Backend::Sqlite => sql.to_owned(),
        };
        all.push(database.texts(&sql).await);
    }
    all
}

async fn assert_same(found: &TestDatabase, expected: &TestDatabase) {
    for (found, expected) in rows(found).await.iter().zip(rows(expected).await) {
        let different = found.iter().zip(&expected).find(|(found, expected)| found != expected);
        assert_eq!(different, None);
        assert_eq!(found.len(), expected.len());
    }
}

fn config(seed: u64) -> Config {
    Config { seed, events: 1_500, spacing: 20, contrary: true, collections: 0, ..Config::default() }
}

fn setup(database: &TestDatabase, node: &str) -> Setup {
    let setup = Setup::of(&database.url, node).patient();
    with_market(
        setup,
        &format!("name = \"imart\"\nlike = \"imart\"\naddress = \"{CONTRACT}\"\nfirst_version = 6000000\n"),
    )
}

fn with_market(setup: Setup, text: &str) -> Setup {
    let file = setup.folder().join("market.toml");
    std::fs::write(&file, text).unwrap();
    setup.set("MARKETS", file.to_str().unwrap())
}

/// `verify` passes, and a rebuild from the stored events changes nothing.
async fn assert_holds(setup: &Setup, database: &TestDatabase) {
    setup.again().command("verify").to_end().await.expect(0);
    let before = (tables::read(&database.db).await, indexes(database, "activities").await);
    setup.again().command("rebuild").to_end().await.expect(0);
    let after = (tables::read(&database.db).await, indexes(database, "activities").await);
    tables::assert_equal(&before.0, &after.0, "rebuilt");
    assert_eq!(before.1, after.1);
}

/// The indexes that are known, by observer and seq no.
async fn indexes(database: &TestDatabase, table: &str) -> BTreeMap<String, String> {
    let known =
        format!("SELECT CONCAT_WS('|', observer, seq_no, event_index) FROM {table} WHERE event_index IS NOT NULL");
    let known = database.texts(&known).await;
    known
        .iter()
        .filter_map(|text| text.rsplit_once('|'))
        .map(|(key, index)| (key.to_owned(), index.to_owned()))
        .collect()
}

/// What is known is as the chain has it; returns how much that is.
async fn assert_right(database: &TestDatabase, node: &TestNode) -> usize {
    let stored = indexes(database, "events").await;
    assert_eq!(stored, indexes(database, "activities").await);
    let history = node.node.history().into_iter();
    let emitted: BTreeMap<_, _> = history
        .map(|event| (format!("{}|{}", observer(event.stream), event.seq_no), event.event_index.to_string()))
        .collect();
    let wrong = stored.iter().find(|(key, index)| emitted[*key] != **index);
    assert_eq!(wrong, None);
    stored.len()
}

async fn handles_lead_to_the_rows_that_transactions_give(backend: Backend) {
    let (database, scanned) = (TestDatabase::create(backend).await, TestDatabase::create(backend).await);
    let node = TestNode::start(config(71)).await;
    let worker = setup(&database, &node.url);
    let ended = worker.until_caught_up().await.expect(0);
    assert_eq!(ended.error_log, "");
    setup(&scanned, &node.url).set("SUBJECT", "transactions").until_caught_up().await.expect(0);
    assert_same(&database, &scanned).await;
    let (known, history) = (assert_right(&database, &node).await, node.node.history());
    assert!(known > 300 && known < history.len(), "{known} are asked for where it matters, and only there");
    tables::assert_equal(&plain_fold(&history), &tables::read(&database.db).await, "by handles");
    let by_kinds = &plain_fold_by_kinds(&history);
    assert!(["orders", "tokens"].iter().all(|table| by_kinds[table] != plain_fold(&history)[table]), "no trap");
    let untimed = "SELECT COUNT(*) FROM events WHERE occurred_at IS NULL";
    assert_eq!(database.number(untimed).await, Some(0), "what tells no time has its block's");
    assert_holds(&worker, &database).await;
}

const FIELDS: &str = r#"
    name = "parts"
    address = "0x73545daede11168cbe4f5503f19929c7eebb888cffef27983ed374515f7e82a1"
    first_version = 6000000
    listing_key = ["id"]

    [fields]
    id = "offer_id"
    token = "token_id"
    seller = "seller"
    price = "price?"
    quantity = "token_amount"
"#;

fn stream(name: &str, kind: &str, event: &str) -> String {
    format!(
        "\n[[streams]]\nname = \"{name}\"\nkind = \"{kind}\"\nhandle = \"::fixed_price_market::FixedMarketEvents\"\n\
         field = \"{}_token_events\"\nevent = \"::fixed_price_market::{event}\"\n",
        event.trim_end_matches("TokenEvent").to_lowercase()
    )
}

/// A stream is added to a market whose other ones have been executed.
async fn what_was_stored_before_the_rest_of_its_transaction_is_put_in_order(backend: Backend) {
    let (database, scanned) = (TestDatabase::create(backend).await, TestDatabase::create(backend).await);
    let node = TestNode::start(config(72)).await;
    let first = FIELDS.to_owned() + &stream("list", "place_listing", "ListTokenEvent");
    let second = first.clone() + &stream("delist", "cancel_listing", "DelistTokenEvent");
    let all = second.clone() + &stream("buy", "fill_listing", "BuyTokenEvent") + "fields.buyer = \"buyer\"\n";
    let worker = |database: &TestDatabase, text: &str| with_market(Setup::of(&database.url, &node.url).patient(), text);
    for text in [&first, &second, &all] {
        worker(&database, text).until_caught_up().await.expect(0);
    }
    worker(&scanned, &all).set("SUBJECT", "transactions").until_caught_up().await.expect(0);
    assert_same(&database, &scanned).await;
    let known = indexes(&database, "events").await;
    assert!(
        ["parts:list|", "parts:delist|", "parts:buy|"]
            .iter()
            .all(|stream| { known.keys().filter(|key| key.starts_with(stream)).count() > 10 })
    );
    assert_eq!(known, indexes(&database, "activities").await);
    assert_holds(&worker(&database, &all), &database).await;
}

async fn what_comes_while_following_is_put_in_order(backend: Backend) {
    let database = TestDatabase::create(backend).await;
    let node = TestNode::start(Config { events: 300, ..config(73) }).await;
    let setup = setup(&database, &node.url).set("POLL_INTERVAL", "20ms");
    let worker = setup.start();
    database.until_executed(300, Duration::from_mins(1)).await;
    for _ in 0..100 {
        // Polls fall between the streams.
        node.node.emit(8);
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
    let history = node.node.history();
    database.until_executed(history.len() as u64, Duration::from_mins(1)).await;
    worker.terminate().await;
    worker.ended(Duration::from_secs(5)).await.expect(0);
    tables::assert_equal(&plain_fold(&history), &tables::read(&database.db).await, "followed");
    assert!(assert_right(&database, &node).await > 200);
    assert_holds(&setup, &database).await;
}

async fn kinds_decide_where_the_transactions_are_pruned(backend: Backend) {
    let database = TestDatabase::create(backend).await;
    let node = TestNode::start(config(74)).await;
    let faults = format!("pruned:{}", node.node.ledger_version()).parse().unwrap();
    let pruned = TestNode::start(Config { faults, ..config(74) }).await;
    let (here, there) = (node.url.clone(), pruned.url.clone());
    let both = front(move |path| Some(if path.contains("/by_version/") { there.clone() } else { here.clone() })).await;
    let worker = setup(&database, &both);
    worker.until_caught_up().await.expect(0);
    tables::assert_equal(&plain_fold_by_kinds(&node.node.history()), &tables::read(&database.db).await, "pruned");
    assert!(indexes(&database, "events").await.len() < 10, "but those of the last version, which is still there");
    let untimed = "SELECT COUNT(*) FROM events WHERE occurred_at IS NULL AND observer NOT LIKE 'imart:create%'";
    assert_eq!(database.number(untimed).await, Some(0));
    let untimed = "SELECT COUNT(*) FROM events WHERE occurred_at IS NULL";
    assert!(database.number(untimed).await > Some(10), "never the worker's clock");
    assert_holds(&worker, &database).await;

    // An archive has them.
    let database = TestDatabase::create(backend).await;
    let worker = setup(&database, &both).set("NODE_ARCHIVE_URL", &node.url);
    worker.until_caught_up().await.expect(0);
    tables::assert_equal(&plain_fold(&node.node.history()), &tables::read(&database.db).await, "archived");
    assert_eq!(database.number("SELECT COUNT(*) FROM events WHERE occurred_at IS NULL").await, Some(0));
}

async fn nothing_is_committed_before_the_order_is_known(backend: Backend) {
    let database = TestDatabase::create(backend).await;
    let node = TestNode::start(config(75)).await;
    let failing = TestNode::start(Config { faults: "500:1".parse::<Faults>().unwrap(), ..config(75) }).await;
    let is_well = Arc::new(AtomicBool::new(false));
    let (here, there, well) = (node.url.clone(), failing.url.clone(), Arc::clone(&is_well));
    let both = front(move |path| {
        let is_away = path.contains("/transactions/by_version/") && !well.load(Ordering::Relaxed);
        Some(if is_away { there.clone() } else { here.clone() })
    });
    let setup = setup(&database, &both.await);
    let mut worker = setup.start();
    worker.line("node unreachable").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let stored = database.executed().await;
    assert!(stored < 1_500);
    assert_eq!(database.number("SELECT COUNT(*) FROM events WHERE event_index IS NOT NULL").await, Some(0));
    worker.terminate().await;
    worker.ended(Duration::from_secs(5)).await.expect(0);
    let worker = setup.start();
    tokio::time::sleep(Duration::from_millis(500)).await;
    is_well.store(true, Ordering::Relaxed);
    database.until_executed(1_500, Duration::from_mins(1)).await;
    worker.terminate().await;
    worker.ended(Duration::from_secs(5)).await.expect(0);
    tables::assert_equal(&plain_fold(&node.node.history()), &tables::read(&database.db).await, "it came back");
}
