//! A market file that is changed on a running system, with the real program: rows of two mappings never mix in silence.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::time::Duration;

use event_worker::simulate::Config;
use support::database::{Backend, TestDatabase};
use support::node::TestNode;
use support::process::Setup;

on_every_database!(
    a_changed_mapping_is_refused_until_a_rebuild,
    a_changed_mapping_can_be_accepted,
    a_worker_with_another_file_than_a_rebuild_stops,
    whoever_executes_by_another_file_than_is_accepted_stops,
    a_stream_that_is_gone_or_read_from_elsewhere_is_refused,
);

const MARKET: &str = r#"
name = "toy"
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
handle = "::fixed_price_market::FixedMarketEvents"
field = "list_token_events"

[[streams]]
name = "buy"
kind = "fill_listing"
handle = "::fixed_price_market::FixedMarketEvents"
field = "buy_token_events"
"#;

/// The price is no longer said.
const CHANGED: (&str, &str) = ("price = \"price?\"", "price = { value = 7 }");

async fn market(backend: Backend) -> (TestNode, TestDatabase, Setup) {
    let node = TestNode::start(Config { seed: 71, events: 300, collections: 0, ..Config::default() }).await;
    let database = TestDatabase::create(backend).await;
    let setup = Setup::of(&database.url, &node.url);
    let file = setup.folder().join("toy.toml");
    let setup = setup.set("MARKETS", file.to_str().unwrap());
    write(&setup, MARKET);
    setup.until_caught_up().await.expect(0);
    (node, database, setup)
}

fn write(setup: &Setup, text: &str) {
    std::fs::write(setup.folder().join("toy.toml"), text).unwrap();
}

/// How many listings cost what only the changed file says.
async fn changed(database: &TestDatabase) -> i64 {
    database.number("SELECT COUNT(*) FROM activities WHERE kind = 'place_listing' AND price = 7").await.unwrap()
}

async fn listed(database: &TestDatabase) -> i64 {
    database.number("SELECT COUNT(*) FROM activities WHERE kind = 'place_listing'").await.unwrap()
}

async fn a_changed_mapping_is_refused_until_a_rebuild(backend: Backend) {
    let (node, database, setup) = market(backend).await;
    // Another way to write the same, and a stream more, change nothing of what is there.
    let same = MARKET.replace("price = \"price?\"", "price   =   'price?' # as the contract has it");
    let more = "[[streams]]\nname = \"delist\"\nkind = \"cancel_listing\"\nhandle = \"::fixed_price_market::FixedMarketEvents\"\nfield = \"delist_token_events\"\n";
    write(&setup, &format!("{same}\n{more}"));
    node.node.emit(50);
    setup.until_caught_up().await.expect(0);
    let before = listed(&database).await;
    write(&setup, &format!("{}\n{more}", MARKET.replace(CHANGED.0, CHANGED.1)));
    node.node.emit(50);
    let refused = setup.until_caught_up().await.expect(1);
    for part in ["market toy", "toy:list", "event-worker rebuild", "--accept-mapping"] {
        assert!(refused.stderr.contains(part), "{part:?} is not in: {}", refused.stderr);
    }
    assert_eq!((listed(&database).await, changed(&database).await), (before, 0), "nothing was executed");
    setup.again().command("rebuild").to_end().await.expect(0);
    assert_eq!(changed(&database).await, before);
    setup.until_caught_up().await.expect(0);
    assert!(listed(&database).await > before, "it goes on");
    assert_eq!(changed(&database).await, listed(&database).await);
    // And now it is the old one that does not fit.
    write(&setup, &format!("{same}\n{more}"));
    setup.until_caught_up().await.expect(1);
    write(&setup, &format!("{}\n{more}", MARKET.replace(CHANGED.0, CHANGED.1)));
    setup.again().command("verify").to_end().await.expect(0);
}

async fn a_changed_mapping_can_be_accepted(backend: Backend) {
    let (node, database, setup) = market(backend).await;
    let before = listed(&database).await;
    write(&setup, &MARKET.replace(CHANGED.0, CHANGED.1));
    node.node.emit(50);
    setup.again().with("--accept-mapping").until_caught_up().await.expect(0);
    assert_eq!(changed(&database).await, listed(&database).await - before);
    // It was asked once.
    setup.until_caught_up().await.expect(0);
}

/// A rebuild takes the leases, and whoever wants them back needs its file.
async fn a_worker_with_another_file_than_a_rebuild_stops(backend: Backend) {
    let (node, database, setup) = market(backend).await;
    let worker = setup.start();
    let listings = listed(&database).await;
    let mended = setup.again().set("MARKETS", setup.folder().join("new.toml").to_str().unwrap());
    std::fs::write(setup.folder().join("new.toml"), MARKET.replace(CHANGED.0, CHANGED.1)).unwrap();
    mended.again().command("rebuild").to_end().await.expect(0);
    node.node.emit(200);
    let ended = worker.ended(Duration::from_mins(1)).await.expect(1);
    for part in ["toy:list", "market toy", "than this worker's: start this one again with that file"] {
        assert!(ended.stderr.contains(part), "{part:?} is not in: {}", ended.stderr);
    }
    // Only prices differ, and only listings have them: what the old file says of sales is the same.
    assert!(changed(&database).await >= listings);
    assert_eq!(changed(&database).await, listed(&database).await, "nothing was executed by the old file");
    mended.until_caught_up().await.expect(0);
    assert!(listed(&database).await > listings);
    assert_eq!(changed(&database).await, listed(&database).await);
}

/// The old worker looks only after a while whether it has the right file: until then the epochs keep it from executing.
async fn whoever_executes_by_another_file_than_is_accepted_stops(backend: Backend) {
    let (node, database, setup) = market(backend).await;
    let elsewhere = MARKET.replace("\"list_token_events\"", "\"delist_token_events\"");
    for text in [&MARKET.replace(CHANGED.0, CHANGED.1), &elsewhere] {
        let mut worker = setup.again().set("LEASE", "10s").start();
        worker.line("executes all 2 observers").await;
        let (listings, accepted) = (listed(&database).await, database.texts("SELECT mapping FROM markets").await);
        let theirs = setup.folder().join("theirs.toml");
        std::fs::write(&theirs, text).unwrap();
        let theirs = setup.again().set("MARKETS", theirs.to_str().unwrap());
        let other = theirs.again().with("--accept-mapping").start();
        let is_accepted = format!("SELECT COUNT(*) FROM markets WHERE mapping <> '{}'", accepted[0]);
        database.until_some(&is_accepted, Duration::from_mins(1)).await;
        node.node.emit(100);
        worker.line("toy:list has stopped").await;
        worker.terminate().await;
        let ended = worker.ended(Duration::from_secs(5)).await;
        other.kill().await;
        let why = "says otherwise of it than this worker's: start this one again with that file";
        assert!(ended.stdout.contains(why), "{}", ended.stdout);
        if *text == elsewhere {
            assert_eq!(listed(&database).await, listings, "nothing of the old handle");
        } else {
            theirs.until_caught_up().await.expect(0);
            assert!(listed(&database).await > listings);
            assert_eq!(changed(&database).await, listed(&database).await - listings, "nothing by the old file");
            // As it was.
            setup.again().with("--accept-mapping").until_caught_up().await.expect(0);
        }
    }
}

async fn a_stream_that_is_gone_or_read_from_elsewhere_is_refused(backend: Backend) {
    let (node, database, setup) = market(backend).await;
    let before = database.executed().await;
    node.node.emit(50);
    let renamed = MARKET.replace("name = \"list\"", "name = \"listing\"");
    let moved = MARKET
        .replace("\"buy_token_events\"", "\"delist_token_events\"")
        .replace("\"fill_listing\"", "\"cancel_listing\"")
        .replace("buyer = \"buyer\"\n", "");
    for (file, parts) in [
        (&renamed, &["toy:list (which is gone)", "put back what is gone", "--accept-mapping"][..]),
        (&moved, &["toy:buy has events of", "buy_token_events", "says", "delist_token_events", "another name"]),
    ] {
        write(&setup, file);
        setup.until_caught_up().await.expect(1).says(parts);
        let checked = setup.again().command("check").to_end().await.expect(1);
        assert!(checked.stdout.contains(parts[0]), "{}", checked.stdout);
    }
    setup.again().command("rebuild").to_end().await.expect(1).says(&["toy:buy has events of"]);
    assert_eq!(database.executed().await, before);
    // What is refused is not accepted, either.
    write(&setup, &renamed.replace("0x7354", "0x1234"));
    let elsewhere = setup.again().with("--accept-mapping").until_caught_up().await.expect(1);
    elsewhere.says(&["a database of its own for each deployment"]);
    write(&setup, MARKET);
    setup.until_caught_up().await.expect(0);
    assert!(database.executed().await > before);
    // Said once.
    write(&setup, &MARKET[..MARKET.rfind("[[streams]]").unwrap()].replace("buyer = \"buyer\"\n", ""));
    setup.until_caught_up().await.expect(1).says(&["toy:buy (which is gone)"]);
    setup.again().with("--accept-mapping").until_caught_up().await.expect(0);
    setup.until_caught_up().await.expect(0);
    // Should it come back, its rows are still there.
    write(&setup, &format!("{MARKET}fields.price = {{ value = 7 }}\n"));
    setup.until_caught_up().await.expect(1).says(&["otherwise of toy:buy"]);
    write(&setup, MARKET);
    setup.until_caught_up().await.expect(0);
}
