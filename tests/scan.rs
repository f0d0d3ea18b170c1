//! Streams found in the ledger's transactions, with the real program: the same events as from their handles, each once, whatever
//! is killed in between; and module events, which are nowhere else.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use event_worker::chain::Version;
use event_worker::market::{Market, Markets, Stream};
use event_worker::observer::{self, Board};
use event_worker::simulate::{CONTRACT, Config};
use event_worker::state::Store;
use event_worker::subject::{self, Located, Nodes, Numbers, ScannedStream, Transactions};
use support::database::{Backend, TestDatabase};
use support::front::front;
use support::node::TestNode;
use support::process::Setup;
use support::scanned::{self, FIRST, assert_same, modules, with_market, worker};
use tokio_util::sync::CancellationToken;

on_every_database!(
    handles_and_transactions_lead_to_the_same_rows,
    module_events_are_counted_once_whatever_is_killed,
    what_was_scanned_for_something_else_does_not_count,
    handles_that_were_looked_for_wrongly_are_found_once_that_is_corrected,
    module_events_can_begin_later_than_their_market,
    two_markets_in_one_worker_have_orders_of_their_own,
    a_quiet_stretch_is_not_begun_anew_whatever_is_killed,
);

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
    let status = scanning.again().command("status").to_end().await;
    let told = format!("everything is found up to version {}", node.node.ledger_version());
    assert!(status.stdout.contains(&told), "{}", status.stdout);
    let before = node.node.requests();
    scanning.until_caught_up().await.expect(0);
    let asked = node.node.requests() - before;
    assert!(asked < 30, "{asked} requests to find nothing new");
    assert_same(&database, &by_handles).await;
    scanning.again().command("verify").to_end().await.expect(0);
}

async fn what_was_scanned_for_something_else_does_not_count(backend: Backend) {
    let database = TestDatabase::create(backend).await;
    let config = Config { seed: 64, events: 200, spacing: 20, module_events: true, ..Config::default() };
    let node = TestNode::start(config).await;
    let market = modules();
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
    let setup = with_market(Setup::of(&database.url, &node.url), &modules());
    setup.again().with(&format!("--from-version={begin}")).until_caught_up().await.expect(0);
    // From then on it is known, and may be said again.
    node.node.emit(60);
    setup.until_caught_up().await.expect(0);
    setup.again().with(&format!("--from-version={begin}")).until_caught_up().await.expect(0);
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

async fn module_events_are_counted_once_whatever_is_killed(backend: Backend) {
    // They are in transactions only, whatever the setting.
    scanned::module_events_are_counted_once(backend, "handles").await;
}

/// The same tokens are traded on both.
async fn two_markets_in_one_worker_have_orders_of_their_own(backend: Backend) {
    let (both, alone) = (TestDatabase::create(backend).await, TestDatabase::create(backend).await);
    let config = Config { seed: 67, events: 600, spacing: 20, contrary: true, ..Config::default() };
    let node = TestNode::start(config).await;
    let one = Setup::of(&alone.url, &node.url).patient();
    one.until_caught_up().await.expect(0);
    let setup = Setup::of(&both.url, &node.url).patient();
    let other = format!("name = \"other\"\nlike = \"imart\"\naddress = \"{CONTRACT}\"\n");
    std::fs::write(setup.folder().join("other.toml"), other).unwrap();
    let setup = setup.set("MARKETS", "imart,other.toml");
    setup.until_caught_up().await.expect(0);
    let orders = |market: &str| {
        format!(
            "SELECT CONCAT_WS('|', order_key, status, token_id, seller, COALESCE(buyer, '-'), price, quantity, remaining_quantity, listed_version, closed_version, unexpected) FROM orders WHERE market = '{market}' ORDER BY order_key"
        )
    };
    let listed = both.texts(&orders("imart")).await;
    assert!(listed.len() > 100);
    assert_eq!(listed, both.texts(&orders("other")).await);
    assert_eq!(listed, alone.texts(&orders("imart")).await);
    // Whoever the markets say to own a token, it is one.
    let tokens = "SELECT CONCAT_WS('|', token_id, property_version, name, owner, owner_version) FROM tokens ORDER BY token_id, property_version";
    assert_eq!(both.texts(tokens).await, alone.texts(tokens).await);
    let twice = "SELECT COUNT(*) FROM (SELECT token_id FROM orders WHERE token_id IS NOT NULL GROUP BY token_id HAVING COUNT(DISTINCT market) = 2) AS both_markets";
    assert!(both.number(twice).await > Some(20));
    setup.again().command("verify").to_end().await.expect(0);
}

/// Nothing is found, and the end is far: what is stored of the stretch is all that there is to go on from.
async fn a_quiet_stretch_is_not_begun_anew_whatever_is_killed(backend: Backend) {
    const REACHED: &str = "SELECT MIN(COALESCE(scanned_version, 0)) FROM checkpoints";
    let database = TestDatabase::create(backend).await;
    let latency = Duration::from_millis(30);
    let node = TestNode::start(Config { seed: 67, events: 1_000, latency, ..Config::default() }).await;
    let (url, asked) = (node.url.clone(), Arc::new(Mutex::new(vec![])));
    let seen = Arc::clone(&asked);
    let front = front(move |path| {
        let start = path.split_once("/transactions?start=").and_then(|(_, rest)| rest.split('&').next());
        seen.lock().unwrap().extend(start.map(|start| start.parse::<i64>().unwrap()));
        Some(url.clone())
    })
    .await;
    let mut reached = 6_000_000;
    for _ in 0..3 {
        asked.lock().unwrap().clear();
        let process = tokio::runtime::Runtime::new().unwrap();
        let worker = process.spawn(scan_for_nothing(database.url.clone(), front.clone()));
        let mut stored = reached;
        // With the first page, and then again.
        for _ in 0..2 {
            let grown = async {
                loop {
                    assert!(!worker.is_finished(), "the worker has ended");
                    match database.number(REACHED).await {
                        Some(now) if now > stored => return now,
                        _ => tokio::time::sleep(Duration::from_millis(20)).await,
                    }
                }
            };
            stored = tokio::time::timeout(Duration::from_secs(20), grown).await.expect("progress is stored");
        }
        process.shutdown_background();
        let first = asked.lock().unwrap().iter().min().copied().unwrap();
        // Pages begin at multiples of 100.
        assert!(first > reached - 100, "it began at {first} instead of {reached}");
        reached = database.number(REACHED).await.unwrap();
    }
    assert!(reached < i64::try_from(node.node.ledger_version()).unwrap(), "the stretch was too short");
    assert_eq!(database.executed().await, 0);
}

/// A worker of module events that nobody emits, which stores its progress with every page.
async fn scan_for_nothing(database: String, node: String) {
    let text = modules().replace("::fixed_price_market::", "::other_market::");
    let markets = Arc::new(Markets::new(vec![Market::parse("modules.toml", &text, None).unwrap()]).unwrap());
    let store = Store::connect(&database.parse().unwrap()).await.unwrap();
    store.migrate_up().await.unwrap();
    store.prepare(&markets).await.unwrap();
    let config = subject::Config { nodes: vec![(node.parse().unwrap(), None)], archive: None };
    let types: Vec<_> = markets.streams().flat_map(|stream| stream.events.iter().cloned()).collect();
    let transactions = Arc::new(Transactions::of_nodes(Arc::new(Nodes::new(config).unwrap()), types));
    let places = store.clone();
    let subject = move |stream: &Stream| {
        let (store, observer) = (places.clone(), Arc::clone(&stream.observer));
        let locate = move || -> Located {
            let (store, observer) = (store.clone(), Arc::clone(&observer));
            Box::pin(async move { Ok(store.place(&observer, "nothing", Numbers::Ours).await.unwrap()) })
        };
        let first = Version::new(6_000_000).unwrap();
        ScannedStream::new(Arc::clone(&transactions), Box::new(|_| true), Numbers::Ours, first, Box::new(locate))
    };
    let config = observer::Config {
        poll_interval: Duration::from_millis(20),
        max_parked: 100,
        until_caught_up: false,
        scanned_interval: Duration::ZERO,
        lease: None,
        worker: "test".to_owned(),
    };
    let board = Arc::new(Board::new(&markets));
    observer::run(config, store, Arc::clone(&markets), subject, board, CancellationToken::new()).await.unwrap();
}
