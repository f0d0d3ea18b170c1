//! Events of one transaction that handles tell apart, with the real program: the same order and times as in the transaction,
//! in whatever commits they come; and the rule of kinds where nobody has the transaction any more.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use event_worker::chain::{EventOrder, RawEvent, SeqNo, Version};
use event_worker::market::{Market, Markets};
use event_worker::simulate::{Config, Faults};
use event_worker::state::{Executed, Orders, Slice, Store, StoreError};
use support::database::{Backend, TestDatabase};
use support::front::front;
use support::node::TestNode;
use support::plain_fold::{observer, plain_fold, plain_fold_by_kinds};
use support::process::Setup;
use support::scanned::{assert_same, imart, with_market};
use support::tables;

on_every_database!(
    handles_lead_to_the_rows_that_transactions_give,
    what_was_stored_before_the_rest_of_its_transaction_is_put_in_order,
    what_was_parked_is_put_in_order_without_a_node,
    what_comes_while_following_is_put_in_order,
    kinds_decide_where_the_transactions_are_pruned,
    nothing_is_committed_before_the_order_is_known,
    a_parked_event_whose_transaction_cannot_be_had_blocks_nobody,
    an_owner_who_is_told_twice_is_put_in_order_twice,
);

fn config(seed: u64) -> Config {
    Config { seed, events: 1_500, spacing: 20, contrary: true, collections: 0, ..Config::default() }
}

fn setup(database: &TestDatabase, node: &str) -> Setup {
    with_market(Setup::of(&database.url, node).patient(), &imart())
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

/// A stream that nobody understands comes before the other one, or after it: its events keep their places, and those of the
/// other one learn theirs, though nothing depends on them yet.
async fn what_was_parked_is_put_in_order_without_a_node(backend: Backend) {
    let node = TestNode::start(config(76)).await;
    let list = stream("list", "place_listing", "ListTokenEvent");
    let buy = stream("buy", "fill_listing", "BuyTokenEvent") + "fields.buyer = \"buyer\"\n";
    let wrong = buy.clone() + "fields.currency = \"coins\"\n";
    let worker = |database: &TestDatabase, streams: &[&String]| {
        let text = streams.iter().fold(FIELDS.to_owned(), |text, stream| text + stream);
        with_market(Setup::of(&database.url, &node.url).patient(), &text).set("MAX_PARKED", "10000")
    };
    let scanned = TestDatabase::create(backend).await;
    let all = worker(&scanned, &[&list, &buy]);
    all.again().set("SUBJECT", "transactions").until_caught_up().await.expect(0);
    let retry = &["dead-letters", "retry", "--all"][..];
    for (first, then, mended, command) in [
        (&list, &wrong, [&list, &buy], retry),
        (&wrong, &list, [&buy, &list], retry),
        (&list, &wrong, [&list, &buy], &["rebuild"]),
        (&wrong, &list, [&buy, &list], &["rebuild"]),
    ] {
        let database = TestDatabase::create(backend).await;
        for streams in [&[first][..], &[first, then]] {
            worker(&database, streams).until_caught_up().await.expect(0);
        }
        assert!(database.number("SELECT COUNT(*) FROM dead_letters").await > Some(100));
        let operator = worker(&database, &mended).set("NODE_URL", "http://127.0.0.1:1/v1");
        operator.command(command[0]).start_with(&command[1..]).ended(Duration::from_mins(1)).await.expect(0);
        assert_same(&database, &scanned).await;
        assert_holds(&worker(&database, &mended), &database).await;
    }
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
    let node = TestNode::start(config(75)).await;
    let failing = TestNode::start(Config { faults: "500:1".parse::<Faults>().unwrap(), ..config(75) }).await;
    let lagging = TestNode::start(Config { events: 1, ..config(75) }).await;
    for (other, cause) in [(failing, "node unreachable"), (lagging, "node behind")] {
        let database = TestDatabase::create(backend).await;
        let is_well = Arc::new(AtomicBool::new(false));
        let (here, there, well) = (node.url.clone(), other.url.clone(), Arc::clone(&is_well));
        let both = front(move |path| {
            let is_away = path.contains("/transactions/by_version/") && !well.load(Ordering::Relaxed);
            Some(if is_away { there.clone() } else { here.clone() })
        });
        let setup = setup(&database, &both.await);
        let mut worker = setup.start();
        worker.line(cause).await;
        let stored = database.executed().await;
        assert!(stored < 1_500);
        assert_eq!(database.number("SELECT COUNT(*) FROM events WHERE event_index IS NOT NULL").await, Some(0));
        worker.terminate().await;
        worker.ended(Duration::from_secs(5)).await.expect(0);
        let mut worker = setup.start();
        worker.line(cause).await;
        is_well.store(true, Ordering::Relaxed);
        database.until_executed(1_500, Duration::from_mins(1)).await;
        worker.terminate().await;
        worker.ended(Duration::from_secs(5)).await.expect(0);
        tables::assert_equal(&plain_fold(&node.node.history()), &tables::read(&database.db).await, "it came back");
    }
}

async fn a_parked_event_whose_transaction_cannot_be_had_blocks_nobody(backend: Backend) {
    let node = TestNode::start(Config { events: 200, ..config(77) }).await;
    let failing = TestNode::start(Config { faults: "500:1".parse::<Faults>().unwrap(), ..config(77) }).await;
    tokio::join!(
        is_given_up(backend, &node, Some(failing.url.clone()), "500"),
        is_given_up(backend, &node, None, "no answer in time"),
    );
}

/// Who is asked for transactions by `node`'s events never answers that.
async fn is_given_up(backend: Backend, node: &TestNode, asked: Option<String>, why: &str) {
    let database = TestDatabase::create(backend).await;
    let here = node.url.clone();
    let is_transaction = |path: &str| path.contains("/transactions/by_version/");
    let both = front(move |path| if is_transaction(path) { asked.clone() } else { Some(here.clone()) }).await;
    let wrong =
        FIELDS.to_owned() + &stream("list", "place_listing", "ListTokenEvent") + "fields.currency = \"coins\"\n";
    let setup = with_market(Setup::of(&database.url, &both).patient(), &wrong).set("MAX_PARKED", "10000");
    let ended = setup.until_caught_up().await.expect(0);
    for part in ["the place of a parked event in transaction 6", why] {
        assert!(ended.error_log.contains(part), "{part:?} is not in: {}", ended.error_log);
    }
    let listed = node.node.history().iter().filter(|event| event.stream == "list_token_events").count();
    let parked = database.number("SELECT COUNT(*) FROM dead_letters WHERE state = 'parked'").await;
    assert_eq!(parked, i64::try_from(listed).ok());
}

/// Of several copies `a` buys one, `b` another, and `a` lists: only all three places tell whose the last word is.
async fn an_owner_who_is_told_twice_is_put_in_order_twice(backend: Backend) {
    const MARKET: &str = r#"
        name = "copies"
        address = "0x1"
        listing_key = ["id"]
        token_offer_key = ["id"]
        streams = [
          { name = "list", kind = "place_listing", handle = "::m::S", field = "a", fields = { id = "id", token = "token", seller = "by", price = "price" } },
          { name = "buy", kind = "fill_listing", handle = "::m::S", field = "b", fields = { id = "id", token = "token", buyer = "by", price = "price" } },
          { name = "accept", kind = "fill_token_offer", handle = "::m::S", field = "c", fields = { id = "id", token = "token", offerer = "by", seller = "from", price = "price" } },
        ]
    "#;
    let database = TestDatabase::create(backend).await;
    let markets = Markets::new(vec![Market::parse("copies.toml", MARKET, None).unwrap()]).unwrap();
    let store = Store::connect(&database.url.parse().unwrap()).await.unwrap();
    store.migrate_up().await.unwrap();
    store.prepare(&markets).await.unwrap();
    let version = Version::new(5).unwrap();
    // The streams' creation numbers, in the order of their events.
    let order = EventOrder::new(None, [2, 1, 0].map(|number| ("0x1".parse().unwrap(), number, SeqNo::ZERO)));
    let slice = |stream: u64, by: &str| {
        let index = usize::try_from(stream).unwrap();
        let stream_of = Arc::clone(markets.streams().nth(index).unwrap());
        let raw = RawEvent {
            version,
            event_index: None,
            seq_no: SeqNo::ZERO,
            event_type: Arc::default(),
            account_address: "0x1".parse().unwrap(),
            creation_number: stream,
            data: format!(r#"{{"by":"{by}","from":"0xf","id":"{stream}","price":"1","token":"0x70"}}"#),
            block_time: None,
            caller: None,
        };
        let events = vec![Executed { meaning: stream_of.entry(&raw), raw }];
        Slice { stream: stream_of, chain_id: None, epoch: None, events }
    };
    let mut orders = Orders::default();
    // Both say the same of the owner: nobody need be asked.
    store.commit_in_order(&markets, &[slice(0, "0xa"), slice(2, "0xa")], &orders).await.unwrap();
    let bought = [slice(1, "0xb")];
    let refused = store.commit_in_order(&markets, &bought, &orders).await;
    assert!(matches!(&refused, Err(StoreError::Unordered(asked)) if asked.needed.iter().eq([&version])), "{refused:?}");
    orders.insert(version, Some(order));
    let mut placed = bought;
    placed[0].events[0].raw.event_index = Some(1);
    placed[0].events[0].meaning = placed[0].stream.entry(&placed[0].events[0].raw);
    store.commit_in_order(&markets, &placed, &orders).await.unwrap();
    let known = indexes(&database, "events").await;
    assert_eq!(known.into_values().collect::<Vec<_>>(), ["0", "1", "2"], "accept, buy, list");
    let owner = database.texts("SELECT CONCAT_WS('|', owner, owner_seq_no) FROM tokens").await;
    assert_eq!(owner, [format!("0x{:0>64}|0", "a")]);
}
