//! Streams found in the ledger's transactions, with the real program: the same events as from their handles, each once, whatever
//! is killed in between; and module events, which are nowhere else.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::time::Duration;

use event_worker::simulate::{CONTRACT, Config};
use support::database::{Backend, TestDatabase};
use support::node::TestNode;
use support::process::Setup;

on_every_database!(
    handles_and_transactions_lead_to_the_same_rows,
    an_observer_moves_from_one_subject_to_the_other,
    module_events_are_counted_once_whatever_is_killed,
    what_was_scanned_for_something_else_does_not_count,
    handles_that_were_looked_for_wrongly_are_found_once_that_is_corrected,
    module_events_can_begin_later_than_their_market,
);

/// The first version of the simulated market.
const FIRST: &str = "first_version = 6000000";

/// What a market is, whichever way it has been read: everything but what only transactions tell, the place of an event in its
/// transaction and the block's time.
const ROWS: [&str; 5] = [
    "SELECT CONCAT_WS('|', observer, seq_no, version, event_type, account_address, creation_number) FROM events ORDER BY observer, seq_no",
    "SELECT CONCAT_WS('|', observer, seq_no, version, kind, order_id, offer_id, token_id, from_address, to_address, price, quantity, total, currency) FROM activities ORDER BY observer, seq_no",
    "SELECT CONCAT_WS('|', order_id, status, token_id, seller, COALESCE(buyer, '-'), price, quantity, remaining_quantity, sale_price, listed_version, closed_version, last_observer, last_seq_no) FROM orders ORDER BY order_id",
    "SELECT CONCAT_WS('|', offer_id, status, token_id, offerer, COALESCE(acceptor, '-'), price, quantity, remaining_quantity, opened_version, closed_version, last_observer, last_seq_no) FROM offers ORDER BY offer_id",
    "SELECT CONCAT_WS('|', token_id, property_version, name, owner, owner_version) FROM tokens ORDER BY token_id, property_version",
];

async fn rows(database: &TestDatabase) -> Vec<Vec<String>> {
    let mut all = vec![];
    for sql in ROWS {
        all.push(database.texts(sql).await);
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

/// A worker of `imart`, which knows where its transactions begin.
fn worker(database: &TestDatabase, node: &TestNode, subject: &str) -> Setup {
    let setup = Setup::of(&database.url, &node.url);
    with_market(
        setup.set("SUBJECT", subject),
        &format!("name = \"imart\"\nlike = \"imart\"\naddress = \"{CONTRACT}\"\n{FIRST}\n"),
    )
}

fn with_market(setup: Setup, text: &str) -> Setup {
    let file = setup.folder().join("market.toml");
    std::fs::write(&file, text).unwrap();
    setup.set("MARKETS", file.to_str().unwrap())
}

async fn handles_and_transactions_lead_to_the_same_rows(backend: Backend) {
    let (by_handles, database) = (TestDatabase::create(backend).await, TestDatabase::create(backend).await);
    let node = TestNode::start(Config { seed: 61, events: 600, spacing: 20, ..Config::default() }).await;
    worker(&by_handles, &node, "handles").until_caught_up().await.expect(0);
    let scanning = worker(&database, &node, "transactions").patient();
    let ended = scanning.until_caught_up().await.expect(0);
    assert_eq!(ended.error_log, "", "nothing was wrong");
    assert_same(&database, &by_handles).await;
    assert_eq!(database.executed().await, 600);
    let untold = "SELECT COUNT(*) FROM activities WHERE event_index IS NULL";
    assert_eq!(database.number(untold).await, Some(0), "a transaction tells the places of its events");
    // The next one need not look again.
    let scanned = database.number("SELECT MIN(scanned_version) FROM checkpoints").await;
    assert_eq!(scanned, Some(i64::try_from(node.node.ledger_version()).unwrap()));
    let before = node.node.requests();
    scanning.until_caught_up().await.expect(0);
    let asked = node.node.requests() - before;
    assert!(asked < 30, "{asked} requests to find nothing new");
    assert_same(&database, &by_handles).await;
    scanning.again().command("verify").to_end().await.expect(0);
}

async fn an_observer_moves_from_one_subject_to_the_other(backend: Backend) {
    let (by_handles, database) = (TestDatabase::create(backend).await, TestDatabase::create(backend).await);
    let node = TestNode::start(Config { seed: 62, events: 200, spacing: 20, ..Config::default() }).await;
    for subject in ["handles", "transactions", "handles", "transactions"] {
        worker(&database, &node, subject).until_caught_up().await.expect(0);
        node.node.emit(60);
    }
    worker(&database, &node, "transactions").until_caught_up().await.expect(0);
    worker(&by_handles, &node, "handles").until_caught_up().await.expect(0);
    assert_same(&database, &by_handles).await;
}

async fn what_was_scanned_for_something_else_does_not_count(backend: Backend) {
    let database = TestDatabase::create(backend).await;
    let config = Config { seed: 64, events: 200, spacing: 20, module_events: true, ..Config::default() };
    let node = TestNode::start(config).await;
    let market = MARKET.replacen("listing_key", &format!("{FIRST}\nlisting_key"), 1);
    let setup = |text: &str| with_market(Setup::of(&database.url, &node.url), text);
    // A typing mistake, and a beginning that is too late: nothing is found, which is right for them.
    setup(&market.replace("ListTokenEvent", "ListTokenEvnt")).until_caught_up().await.expect(0);
    assert_eq!(database.number("SELECT COUNT(*) FROM events WHERE observer = 'modules:list'").await, Some(0));
    setup(&market).until_caught_up().await.expect(0);
    let listed = node.node.history().iter().filter(|event| event.stream == "list_token_events").count();
    let stored = database.number("SELECT COUNT(*) FROM events WHERE observer = 'modules:list'").await;
    assert_eq!(stored, Some(i64::try_from(listed).unwrap()));
    // What has its numbers keeps them.
    let refused = setup(&market.replace(FIRST, "first_version = 6000100")).until_caught_up().await.expect(1);
    assert!(refused.stderr.contains("would be numbered otherwise"), "{}", refused.stderr);
    assert_eq!(database.number("SELECT COUNT(*) FROM events WHERE observer = 'modules:list'").await, stored);
}

async fn handles_that_were_looked_for_wrongly_are_found_once_that_is_corrected(backend: Backend) {
    let (by_handles, database) = (TestDatabase::create(backend).await, TestDatabase::create(backend).await);
    let node = TestNode::start(Config { seed: 65, events: 200, spacing: 20, ..Config::default() }).await;
    worker(&by_handles, &node, "handles").until_caught_up().await.expect(0);
    let late = node.node.ledger_version() + 1;
    let setup = worker(&database, &node, "transactions");
    let right = std::fs::read_to_string(setup.folder().join("market.toml")).unwrap();
    let setup = with_market(setup, &right.replace(FIRST, &format!("first_version = {late}")));
    setup.until_caught_up().await.expect(0);
    assert_eq!(database.executed().await, 0);
    let setup = with_market(setup, &right);
    setup.until_caught_up().await.expect(0);
    assert_same(&database, &by_handles).await;
    // The chain's numbers stay as they are, wherever it is looked from.
    node.node.emit(60);
    worker(&by_handles, &node, "handles").until_caught_up().await.expect(0);
    with_market(setup, &right.replace(FIRST, "first_version = 5999999")).until_caught_up().await.expect(0);
    assert_same(&database, &by_handles).await;
}

async fn module_events_can_begin_later_than_their_market(backend: Backend) {
    let database = TestDatabase::create(backend).await;
    let config = Config { seed: 66, events: 300, spacing: 20, module_events: true, ..Config::default() };
    let node = TestNode::start(config).await;
    let begin = node.node.history()[150].version;
    let setup = with_market(Setup::of(&database.url, &node.url), MARKET);
    setup.again().with(&format!("--from-version={begin}")).until_caught_up().await.expect(0);
    // From then on it is known.
    node.node.emit(60);
    setup.until_caught_up().await.expect(0);
    let stored = "SELECT CONCAT_WS('|', seq_no, version, event_index) FROM events WHERE observer = 'modules:list' ORDER BY seq_no";
    let history = node.node.history().into_iter();
    let later = history.filter(|event| event.stream == "list_token_events" && event.version >= begin);
    let later: Vec<_> =
        (0..).zip(later).map(|(number, event)| format!("{number}|{}|{}", event.version, event.event_index)).collect();
    assert_eq!(database.texts(stored).await, later);
    let verified = setup.again().command("verify").to_end().await.expect(0);
    assert!(verified.stdout.contains(&format!("modules:list begins at version {begin}")), "{}", verified.stdout);
    // What has events has its beginning, and handles begin with their first event.
    let refused = setup.again().with("--from-version=6000000").until_caught_up().await.expect(2);
    refused.says(&["--from-version 6000000", "nothing begins there"]);
    assert_eq!(database.texts(stored).await, later);
    let database = TestDatabase::create(backend).await;
    let refused = worker(&database, &node, "transactions").with("--from-version=6000000").until_caught_up().await;
    refused.expect(2).says(&["handles are read from their first event on"]);
}

const MARKET: &str = r#"
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

async fn module_events_are_counted_once_whatever_is_killed(backend: Backend) {
    let database = TestDatabase::create(backend).await;
    let config = Config { seed: 63, events: 600, spacing: 20, module_events: true, ..Config::default() };
    let node = TestNode::start(config).await;
    let setup = with_market(
        Setup::of(&database.url, &node.url),
        &MARKET.replacen("listing_key", &format!("{FIRST}\nlisting_key"), 1),
    );
    for executed in [1, 100, 250] {
        let worker = setup.start();
        database.until_executed(executed, Duration::from_mins(1)).await;
        worker.kill().await;
    }
    node.node.emit(100);
    setup.until_caught_up().await.expect(0);
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
    let verified = setup.again().command("verify").to_end().await.expect(0);
    assert!(verified.stdout.contains("without a hole"), "{}", verified.stdout);
    assert_eq!(
        database.texts("SELECT CONCAT_WS(' ', observer, seq_no, error) FROM dead_letters LIMIT 3").await,
        [""; 0]
    );
}
