//! Dead letters, by the program itself: listed, shown, retried in their place, or discarded.
//!
//! A wrong market file parks all sales, all accepted offers, and the listings whose price does not fit 64 bits; of the rest
//! it makes the same rows as the right one.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use event_worker::market::{Market, Markets};
use event_worker::simulate::{Config, Emitted};
use event_worker::state::{Executed, Handled, Slice, Store, StoreError};
use event_worker::subject::{self, EventHandle, Nodes, Subject};
use serde_json::Value;
use support::database::{Backend, TestDatabase};
use support::node::TestNode;
use support::plain_fold::{broken_field, observer, plain_fold};
use support::process::{Ended, Setup};
use support::tables::{self, Tables};

on_every_database!(
    retried_events_end_in_the_rows_that_they_would_have_given_at_once,
    retrying_beside_a_worker_and_another_retry_is_exact,
    a_retry_overtakes_the_plan_of_a_worker,
    discarded_events_stay_out_of_the_tables_until_somebody_wants_them,
);

const RIGHT: &str = include_str!("../markets/imart.toml");
const LIMIT: Duration = Duration::from_mins(1);

/// The market file that asks for what most events do not have.
fn wrong() -> String {
    let wrong = RIGHT
        .replace(r#"buyer = "buyer","#, r#"buyer = "bought_by","#)
        .replace(r#"ends = "is_offer_end","#, r#"ends = "is_end","#)
        .replace(
            r#"seller = "seller", price = "price", quantity"#,
            r#"seller = "seller", expires_in = "price", price = "price", quantity"#,
        );
    assert_eq!(wrong.len(), RIGHT.len() + 4 - 6 + 22, "each is replaced once");
    wrong
}

/// A database in which the wrong file has parked what it does not understand.
struct Parked {
    database: TestDatabase,
    node: TestNode,
    setup: Setup,
}

impl Parked {
    async fn by_the_wrong_file(backend: Backend, config: Config) -> Self {
        let database = TestDatabase::create(backend).await;
        let node = TestNode::start(config).await;
        let setup = Setup::of(&database.url, &node.url).set("MAX_PARKED", "100000").set("MARKETS", "wrong.toml");
        std::fs::write(setup.folder().join("wrong.toml"), wrong()).unwrap();
        setup.until_caught_up().await.expect(0);
        let parked = Self { database, node, setup: setup.set("MARKETS", "imart").with("--accept-mapping") };
        assert!(parked.count("parked").await > 50, "the file is not wrong enough");
        parked
    }

    async fn dead_letters(&self, arguments: &str) -> Ended {
        let setup = Setup::of(&self.database.url, &self.node.url).command("dead-letters");
        let arguments: Vec<_> = arguments.split_whitespace().collect();
        setup.start_with(&arguments).ended(LIMIT).await
    }

    /// What the node has beyond the checkpoints.
    async fn to_execute(&self, store: &Store, markets: &Markets) -> Vec<Slice> {
        let config = subject::Config { nodes: vec![(self.node.url.parse().unwrap(), None)], archive: None };
        let nodes = Arc::new(Nodes::new(config).unwrap());
        let mut slices = vec![];
        for stream in markets.streams() {
            let subject = EventHandle::at(&nodes, &stream.source);
            let page = subject.page(store.checkpoint(&stream.observer).await.unwrap().next).await.unwrap();
            assert!(!page.full, "one page is all of it");
            let executed = |raw| Executed { meaning: stream.entry(&raw), raw };
            let events: Vec<_> = page.events.into_iter().map(executed).collect();
            if !events.is_empty() {
                slices.push(Slice { stream: Arc::clone(stream), chain_id: page.ledger.chain_id, epoch: None, events });
            }
        }
        slices
    }

    async fn count(&self, state: &str) -> i64 {
        let query = format!("SELECT COUNT(*) FROM dead_letters WHERE state = '{state}'");
        self.database.number(&query).await.unwrap()
    }

    async fn assert_holds(&self, expected: &Tables, what: &str) {
        tables::assert_equal(expected, &tables::read(&self.database.db).await, what);
        // As if the right file had read them all at once; a sale of a listing that is broken for good is unexpected.
        let at_once = TestDatabase::create(Backend::Sqlite).await;
        Setup::of(&at_once.url, &self.node.url).until_caught_up().await.expect(0);
        let unexpected = "SELECT unexpected FROM markets";
        assert_eq!(self.database.number(unexpected).await, at_once.number(unexpected).await, "{what}: unexpected");
    }
}

async fn retried_events_end_in_the_rows_that_they_would_have_given_at_once(backend: Backend) {
    let faults = "mistyped:0.02".parse().unwrap();
    let parked =
        Parked::by_the_wrong_file(backend, Config { seed: 31, events: 2_000, faults, ..Config::default() }).await;
    let history = parked.node.node.history();
    let broken: Vec<&Emitted> = history.iter().filter(|event| broken_field(event).is_some()).collect();
    let sound_sale = |at: usize| {
        let sales = history.iter().filter(|event| event.stream == "buy_token_events" && broken_field(event).is_none());
        sales.map(|event| event.seq_no).nth(at).unwrap()
    };
    let big = "SELECT COUNT(*) FROM dead_letters WHERE observer = 'imart:list' AND error LIKE '%price%'";
    assert!(parked.database.number(big).await.unwrap() > 0, "listings are parked, too");

    // A few, out of order and one of them twice; then the rest.
    let few = format!("retry imart:buy {} {} {} {}", sound_sale(40), sound_sale(3), sound_sale(17), sound_sale(3));
    assert_eq!(parked.dead_letters(&few).await.expect(0).stdout, "3 retried");
    let again = parked.dead_letters(&few).await.expect(0);
    assert!(again.stdout.contains("was retried before") && again.stdout.ends_with("3 unchanged"), "{}", again.stdout);
    parked.dead_letters("retry --observer imart:list").await;
    let rest = parked.dead_letters("retry --all").await.expect(1);
    for event in &broken {
        let line = format!(
            "{} {}: still does not decode: {}: ",
            observer(event.stream),
            event.seq_no,
            broken_field(event).unwrap()
        );
        assert!(rest.stdout.contains(&line), "{line:?} is not in {}", rest.stdout);
    }
    rest.says(&[&format!("{} dead letters", broken.len()), "market file", "discard"]);
    parked.assert_holds(&plain_fold(&history), "seed 31, retried").await;
    assert_eq!(parked.count("parked").await, i64::try_from(broken.len()).unwrap());
    let tried_otherwise = "SELECT COUNT(*) FROM dead_letters WHERE attempts <> 2 AND state = 'retried'";
    assert_eq!(parked.database.number(tried_otherwise).await, Some(0), "what was retried before is not tried again");
}

async fn retrying_beside_a_worker_and_another_retry_is_exact(backend: Backend) {
    let parked = Parked::by_the_wrong_file(backend, Config { seed: 32, events: 1_500, ..Config::default() }).await;
    let worker = parked.setup.start();
    let follow = async {
        for _ in 0..10 {
            parked.node.node.emit(30);
            parked.database.until_executed(parked.node.node.history().len() as u64, LIMIT).await;
        }
    };
    let (one, other, ()) = tokio::join!(parked.dead_letters("retry --all"), parked.dead_letters("retry --all"), follow);
    one.expect(0);
    other.expect(0);
    worker.terminate().await;
    worker.ended(LIMIT).await.expect(0);
    parked.assert_holds(&plain_fold(&parked.node.node.history()), "seed 32, beside a worker").await;
    assert_eq!(parked.count("parked").await, 0);
    let tried_otherwise = "SELECT COUNT(*) FROM dead_letters WHERE attempts <> 2";
    assert_eq!(parked.database.number(tried_otherwise).await, Some(0), "each was retried by one of them");
}

/// A worker reads rows ahead; what a retry writes in between must not be overwritten.
async fn a_retry_overtakes_the_plan_of_a_worker(backend: Backend) {
    let parked = Parked::by_the_wrong_file(backend, Config { seed: 36, events: 900, ..Config::default() }).await;
    parked.node.node.emit(120);
    let store = Store::connect(&parked.database.url.parse().unwrap()).await.unwrap();
    let other = Store::connect(&parked.database.url.parse().unwrap()).await.unwrap();
    let markets = Markets::new(vec![Market::built_in("imart", None).unwrap()]).unwrap();
    let slices: Arc<[Slice]> = parked.to_execute(&store, &markets).await.into();
    let plan = store.plan(&markets, Arc::clone(&slices), None).await.unwrap().expect("nothing is under way");

    let mut last = None;
    loop {
        let keys = other.letters_to_retry(None, false, last.as_ref()).await.unwrap();
        let Some(key) = keys.last().cloned() else { break };
        let handled = other.retry(&markets, &keys, false).await.unwrap();
        assert!(handled.iter().all(|(_, done)| *done == Handled::Retried));
        let again = other.retry(&markets, &keys, false).await.unwrap();
        assert!(again.iter().all(|(_, done)| *done == Handled::RetriedBefore));
        last = Some(key);
    }
    assert!(matches!(store.execute(plan).await, Err(StoreError::Overtaken)));
    store.commit(&markets, &slices).await.unwrap();
    parked.assert_holds(&plain_fold(&parked.node.node.history()), "seed 36, overtaken").await;
}

async fn discarded_events_stay_out_of_the_tables_until_somebody_wants_them(backend: Backend) {
    let parked = Parked::by_the_wrong_file(backend, Config { seed: 33, events: 800, ..Config::default() }).await;
    let history = parked.node.node.history();
    assert!(parked.dead_letters("discard imart:buy 1 4").await.expect(2).stderr.contains("--reason"));
    assert_eq!(parked.dead_letters("discard imart:buy 1 4 --reason spam").await.expect(0).stdout, "2 discarded");
    let again = parked.dead_letters("discard imart:buy 4 --reason other").await.expect(0);
    assert!(again.stdout.contains("imart:buy 4: was discarded before (spam)"), "{}", again.stdout);

    parked.dead_letters("retry --all").await.expect(0);
    let tables = tables::read(&parked.database.db).await;
    tables::assert_equal(&without_sales(&history, &[1, 4]), &tables, "seed 33, two discarded");
    let refused = parked.dead_letters("retry imart:buy 1").await.expect(1);
    assert!(refused.stdout.contains("imart:buy 1: is discarded (spam): say --discarded"), "{}", refused.stdout);
    let retried = parked.dead_letters("discard imart:buy 0 --reason spam").await.expect(1);
    assert!(retried.stdout.contains("imart:buy 0: was retried"), "{}", retried.stdout);
    let missing = parked.dead_letters("retry imart:delist 0").await.expect(1);
    assert!(missing.stdout.contains("imart:delist 0: there is no such dead letter"), "{}", missing.stdout);

    let listed = parked.dead_letters("list --state discarded --json").await.expect(0);
    let listed: Vec<Value> = listed.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(listed.iter().map(|row| row["seq_no"].as_i64().unwrap()).collect::<Vec<_>>(), [4, 1]);
    assert!(listed.iter().all(|row| row["discard_reason"] == "spam"));

    parked.dead_letters("retry --all --discarded").await.expect(0);
    parked.assert_holds(&plain_fold(&history), "seed 33, none discarded any more").await;
    assert_eq!(parked.dead_letters("retry --all --discarded").await.expect(0).stdout, "nothing is parked");
}

/// What the tables hold if these sales were broken; but they are stored as they are.
fn without_sales(history: &[Emitted], seq_nos: &[u64]) -> Tables {
    let is_out = |event: &&mut Emitted| event.stream == "buy_token_events" && seq_nos.contains(&event.seq_no);
    let mut broken = history.to_vec();
    for event in broken.iter_mut().filter(is_out) {
        event.data = event.data.replace("\"price\"", "\"prize\"");
    }
    let mut tables = plain_fold(&broken);
    for (key, row) in tables.get_mut("events").unwrap() {
        if key[0] == "imart:buy" && seq_nos.iter().any(|seq_no| seq_no.to_string() == key[1]) {
            row.insert("data", row["data"].as_ref().map(|data| data.replace("\"prize\"", "\"price\"")));
        }
    }
    tables
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_letter_is_shown_with_what_the_market_file_makes_of_it_now() {
    let parked =
        Parked::by_the_wrong_file(Backend::Sqlite, Config { seed: 34, events: 500, ..Config::default() }).await;
    let show = || {
        Setup::of(&parked.database.url, &parked.node.url)
            .command("dead-letters")
            .with("show")
            .with("imart:buy")
            .with("2")
    };
    let shown = show().to_end().await.expect(0).stdout;
    for part in ["data.buyer_by", "\"token_amount\":", "decodes now", "\"kind\": \"fill_listing\""] {
        assert!(shown.contains(&part.replace("buyer_by", "bought_by")), "{part:?} is not in {shown}");
    }
    let setup = show().with("--json").set("MARKETS", "wrong.toml");
    std::fs::write(setup.folder().join("wrong.toml"), wrong()).unwrap();
    let shown: Value = serde_json::from_str(&setup.to_end().await.expect(0).stdout).unwrap();
    assert_eq!((&shown["activity"], &shown["refusal"]), (&Value::Null, &Value::from("data.bought_by: is missing")));
    assert_eq!((shown["state"].as_str(), shown["attempts"].as_i64()), (Some("parked"), Some(1)));
    let wrong_usage = parked.dead_letters("retry").await.expect(2);
    wrong_usage.says(&["--all", "--observer"]);
    let elsewhere = Setup::of(&parked.database.url, &parked.node.url).command("dead-letters").with("list");
    assert!(elsewhere.to_end().await.expect(0).stdout.contains("data.bought_by: is missing"));
}

/// Nothing but a mended market file is needed: what was parked in a row no longer counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_observer_goes_on_once_its_events_are_retried() {
    let database = TestDatabase::create(Backend::Sqlite).await;
    let node = TestNode::start(Config { seed: 35, events: 600, ..Config::default() }).await;
    let setup = Setup::of(&database.url, &node.url).set("MAX_PARKED", "5").set("MARKETS", "wrong.toml");
    std::fs::write(setup.folder().join("wrong.toml"), wrong()).unwrap();
    let ended = setup.until_caught_up().await.expect(1);
    assert!(ended.stderr.contains("dead-letters retry"), "{}", ended.stderr);
    let setup = setup.set("MARKETS", "imart").with("--accept-mapping");
    setup.until_caught_up().await.expect(1);
    let retry = Setup::of(&database.url, &node.url).command("dead-letters").with("retry").with("--all");
    retry.to_end().await.expect(0);
    setup.until_caught_up().await.expect(0);
    tables::assert_equal(&plain_fold(&node.node.history()), &tables::read(&database.db).await, "seed 35");
}
