//! Streams that are found in transactions: workers that look for them, and what must come of it.

use std::time::Duration;

use event_worker::simulate::{CONTRACT, Config};
use serde_json::Value;

use super::database::{Backend, TestDatabase};
use super::node::TestNode;
use super::process::Setup;

/// The first version of the simulated market.
pub const FIRST: &str = "first_version = 6000000";

/// What only transactions tell.
const PLACES: &str =
    "SELECT CONCAT_WS('|', observer, seq_no, event_index, occurred_at, data) FROM events ORDER BY observer, seq_no";

/// What a market is, whichever way it has been read: everything but the places of those events on whose order nothing depends.
const ROWS: [&str; 5] = [
    "SELECT CONCAT_WS('|', observer, seq_no, version, event_type, account_address, creation_number, COALESCE(occurred_at, '-')) FROM events ORDER BY observer, seq_no",
    "SELECT CONCAT_WS('|', observer, seq_no, version, kind, order_id, offer_id, token_id, from_address, to_address, price, quantity, total, currency, COALESCE(occurred_at, '-')) FROM activities ORDER BY observer, seq_no",
    "SELECT CONCAT_WS('|', order_id, status, token_id, seller, COALESCE(buyer, '-'), price, quantity, remaining_quantity, sale_price, listed_version, closed_version, unexpected, last_observer, last_seq_no) FROM orders ORDER BY order_id",
    "SELECT CONCAT_WS('|', offer_id, status, token_id, offerer, COALESCE(acceptor, '-'), price, quantity, remaining_quantity, opened_version, closed_version, unexpected, last_observer, last_seq_no) FROM offers ORDER BY offer_id",
    "SELECT CONCAT_WS('|', token_id, property_version, name, owner, owner_version) FROM tokens ORDER BY token_id, property_version",
];

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

pub async fn assert_same(found: &TestDatabase, expected: &TestDatabase) {
    for (found, expected) in rows(found).await.iter().zip(rows(expected).await) {
        let different = found.iter().zip(&expected).find(|(found, expected)| found != expected);
        assert_eq!(different, None);
        assert_eq!(found.len(), expected.len());
    }
}

/// The same, and the places of events in their transactions, with the time of these.
pub async fn assert_same_and_placed(found: &TestDatabase, expected: &TestDatabase) {
    assert_same(found, expected).await;
    assert_eq!(found.texts(PLACES).await, expected.texts(PLACES).await);
}

/// Of each transaction of an event it is told who called what, as the node says.
pub async fn assert_callers(database: &TestDatabase, node: &TestNode) {
    // As the program does: the crate has no provider of its own.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut expected = vec![];
    let versions = "SELECT CONCAT_WS('', version) FROM events GROUP BY version ORDER BY version";
    for version in database.texts(versions).await {
        let asked = client.get(format!("{}/transactions/by_version/{version}", node.url)).send();
        let answer = asked.await.unwrap();
        let told: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        let (sender, payload) = (told["sender"].as_str().unwrap(), &told["payload"]);
        let call = if payload["type"] == "multisig_payload" { &payload["transaction_payload"] } else { payload };
        let (contract, function) = call["function"].as_str().unwrap().split_once("::").unwrap();
        let padded = |address: &str| format!("0x{:0>64}", address.trim_start_matches("0x"));
        expected.push(format!("{version}|{}|{}::{function}", padded(sender), padded(contract)));
    }
    assert_eq!(callers(database).await, expected);
}

/// What is told of that.
pub async fn callers(database: &TestDatabase) -> Vec<String> {
    database.texts("SELECT CONCAT_WS('|', version, sender, entry_function) FROM transactions ORDER BY version").await
}

/// A worker of [`imart`].
pub fn worker(database: &TestDatabase, node: &TestNode, subject: &str) -> Setup {
    let setup = Setup::of(&database.url, &node.url).set("STREAM_URL", &node.stream());
    with_market(setup.set("SUBJECT", subject), &imart())
}

/// `imart`, which knows where its transactions begin.
pub fn imart() -> String {
    format!("name = \"imart\"\nlike = \"imart\"\naddress = \"{CONTRACT}\"\n{FIRST}\n")
}

pub fn with_market(setup: Setup, text: &str) -> Setup {
    let file = setup.folder().join("market.toml");
    std::fs::write(&file, text).unwrap();
    setup.set("MARKETS", file.to_str().unwrap())
}

/// A market of module events, which knows where its transactions begin.
pub fn modules() -> String {
    MODULES.replacen("listing_key", &format!("{FIRST}\nlisting_key"), 1)
}

/// They are found and numbered by `subject`, by workers of which some are killed.
pub async fn module_events_are_counted_once(backend: Backend, subject: &str) {
    let database = TestDatabase::create(backend).await;
    let config = Config { seed: 63, events: 600, spacing: 20, module_events: true, ..Config::default() };
    let node = TestNode::start(config).await;
    let setup = Setup::of(&database.url, &node.url).set("SUBJECT", subject).set("STREAM_URL", &node.stream());
    let setup = with_market(setup, &modules());
    for executed in [1, 100, 250] {
        let worker = setup.start();
        database.until_executed(executed, Duration::from_mins(1)).await;
        worker.kill().await;
    }
    node.node.emit(100);
    setup.until_caught_up().await.expect(0);
    assert_modules(&database, &node).await;
    assert_callers(&database, &node).await;
    let verified = setup.again().command("verify").to_end().await.expect(0);
    assert!(verified.stdout.contains("without a hole"), "{}", verified.stdout);
    let parked = "SELECT CONCAT_WS(' ', observer, seq_no, error) FROM dead_letters LIMIT 3";
    assert_eq!(database.texts(parked).await, [""; 0]);
}

/// Each of its events is there, once.
pub async fn assert_modules(database: &TestDatabase, node: &TestNode) {
    for (observer, field) in
        [("list", "list_token_events"), ("delist", "delist_token_events"), ("buy", "buy_token_events")]
    {
        let stored = database
            .texts(&format!(
                "SELECT CONCAT_WS('|', seq_no, version, event_index) FROM events WHERE observer = 'modules:{observer}' ORDER BY seq_no"
            ))
            .await;
        let history = node.node.history().into_iter().filter(|event| event.stream == field);
        let emitted: Vec<_> =
            history.map(|event| format!("{}|{}|{}", event.seq_no, event.version, event.event_index)).collect();
        assert_eq!(stored, emitted, "{observer}");
    }
}

const MODULES: &str = r#"
        name = "modules"
        address = "0x73545daede11168cbe4f5503f19929c7eebb888cffef27983ed374515f7e82a1"
        listing_key = ["id"]

        [fields]
        id = "offer_id"
        token = "token_id"
        seller = "seller"
        buyer = "buyer"
        price = "price?"
        quantity = "token_amount"
        time = "timestamp"

        [[streams]]
        name = "list"
        kind = "place_listing"
        event = "::fixed_price_market::ListTokenEvent"

        [[streams]]
        name = "delist"
        kind = "cancel_listing"
        event = "::fixed_price_market::DelistTokenEvent"

        [[streams]]
        name = "buy"
        kind = "fill_listing"
        event = "::fixed_price_market::BuyTokenEvent"
    "#;
