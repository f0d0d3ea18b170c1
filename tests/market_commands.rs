//! `market`, and what other commands say of markets, with the real program.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::time::Duration;

use event_worker::market::Market;
use event_worker::simulate::Config;
use serde_json::{Value, json};
use support::database::{Backend, TestDatabase};
use support::node::TestNode;
use support::process::{Ended, Setup};

const LIMIT: Duration = Duration::from_mins(1);
const CONTRACT: &str = "0x73545daede11168cbe4f5503f19929c7eebb888cffef27983ed374515f7e82a1";

async fn market(setup: &Setup, arguments: &[&str], status: i32) -> Ended {
    setup.again().command("market").start_with(arguments).ended(LIMIT).await.expect(status)
}

fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}

/// Module events of one listing, out of order, one that does not fit and one that is of nobody.
fn events() -> String {
    let code = "0xa11ce::events::";
    let token = json!({ "creator_address": "0xc1", "collection_name": "Cats", "collection": { "vec": [] },
        "token_name": "Cat #1", "token": { "vec": [] }, "property_version": { "vec": ["0"] } });
    let event = |version: u32, kind: &str, data: &Value| {
        let mut all = json!({ "listing": "0x7", "seller": "0xb", "price": "1000", "token_metadata": token });
        all.as_object_mut().unwrap().extend(data.as_object().unwrap().clone());
        json!({ "version": version.to_string(), "guid": { "creation_number": "0", "account_address": "0x0" },
            "sequence_number": "0", "type": format!("{code}{kind}"), "data": all, "event_index": 3,
            "timestamp": "1739967219744142", "sender": "0xb", "entry_function": "0xa11ce::m::f" })
    };
    let all = [
        event(
            12,
            "ListingFilled",
            &json!({ "purchaser": "0xd", "price": "900", "commission": "18", "royalties": "45" }),
        ),
        event(10, "ListingPlaced", &json!({ "type": "fixed price" })),
        event(11, "ListingPlaced", &json!({ "type": "fixed price", "price": "900" })),
        event(13, "ListingPlaced", &json!({ "price": "cheap" })),
        event(14, "Unheard", &json!({})),
        event(15, "Unheard", &json!({})),
    ];
    all.map(|event| event.to_string()).join("\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_tried_without_a_database() {
    let setup = Setup::new();
    std::fs::write(setup.folder().join("events.jsonl"), events()).unwrap();
    let arguments = ["test", "marketplace@0xa11ce", "--events", "events.jsonl"];
    let tried = market(&setup, &arguments, 1).await;
    says(
        &tried.stdout,
        &[
            "activities:",
            "marketplace:list",
            "place_listing",
            "Cat #1",
            "orders:",
            "sold",
            "offers: none",
            "2025-02-19 12:13:39",
        ],
    );
    says(
        &tried.stderr,
        &[
            "line 4: marketplace:list 2: data.price: expected a whole number, found \"cheap\"",
            "line 5 and 1 more: 0x00000000000000000000000000000000000000000000000000000000000a11ce::events::Unheard: of no stream",
            "error: 1 of 6 lines could not be decoded",
        ],
    );
    let json = market(&setup, &[&arguments[..], &["--json"]].concat(), 1).await;
    let rows: Vec<Value> = json.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    // In the order of the file, numbered in that of the ledger.
    let told: Vec<_> =
        rows.iter().map(|row| (row["kind"].as_str().unwrap(), row["seq_no"].clone(), row["royalty"].clone())).collect();
    assert_eq!(
        told,
        [
            ("fill_listing", json!(0), json!("45")),
            ("place_listing", json!(0), Value::Null),
            ("place_listing", json!(1), Value::Null)
        ]
    );
    let columns: Vec<_> = rows[0].as_object().unwrap().keys().cloned().collect();
    for column in [
        "observer",
        "version",
        "event_index",
        "market",
        "order_id",
        "offer_id",
        "from_address",
        "to_address",
        "fee",
        "occurred_at",
    ] {
        assert!(columns.iter().any(|other| other == column), "{column} is not among {columns:?}");
    }
    // What nobody knows alone is no failure; a file that is not there is a wrong setting.
    let strange = events().lines().skip(4).collect::<Vec<_>>().join("\n");
    std::fs::write(setup.folder().join("events.jsonl"), strange).unwrap();
    says(&market(&setup, &arguments, 0).await.stdout, &["activities: none"]);
    std::fs::write(setup.folder().join("events.jsonl"), "[]\n\n{\"type\": 1}").unwrap();
    let broken = market(&setup, &arguments, 1).await;
    says(&broken.stderr, &["line 1: is no event", "line 3: is no event", "2 of 2 lines could not be decoded"]);
    let none = market(&setup, &["test", "imart", "--events", "none.jsonl"], 2).await;
    says(&none.stderr, &["--events none.jsonl: cannot be read"]);
    let unknown = market(&setup, &["test", "wapol", "--events", "none.jsonl"], 2).await;
    says(&unknown.stderr, &["MARKET=wapol", "did you mean `wapal`?"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_file_is_drafted_from_the_modules_of_a_contract() {
    let node = TestNode::start(Config { events: 300, ..Config::default() }).await;
    let setup = Setup::new();
    let arguments = ["init", CONTRACT, "--node", &node.url, "--name", "draft", "--output", "draft.toml"];
    market(&setup, &arguments, 0).await;
    let text = std::fs::read_to_string(setup.folder().join("draft.toml")).unwrap();
    let draft = Market::parse("draft.toml", &text, None).unwrap_or_else(|error| panic!("{error}\n{text}"));
    says(&text, &["# a guess", "# not used: locked_until_secs (u64)"]);
    // By names alone, it is what the built-in file says.
    let own = Market::built_in("imart", None).unwrap();
    for stream in &own.streams {
        let drafted = draft.streams.iter().find(|other| other.source == stream.source).unwrap();
        assert_eq!((drafted.kind, &drafted.events), (stream.kind, &stream.events), "{}", stream.observer);
    }
    let again = market(&setup, &arguments, 2).await;
    says(&again.stderr, &["--output draft.toml: cannot be written"]);
    // It is used as it is.
    let database = TestDatabase::create(Backend::Sqlite).await;
    std::fs::copy(setup.folder().join("draft.toml"), setup.folder().join("used.toml")).unwrap();
    let run = setup.again().set("DATABASE_URL", &database.url).set("NODE_URL", &node.url).set("MARKETS", "used.toml");
    run.until_caught_up().await.expect(0);
    assert_eq!(database.number("SELECT COUNT(*) FROM activities").await, Some(300));
    let nobody = market(&setup, &["init", "0x5", "--node", &node.url], 1).await;
    says(&nobody.stderr, &["has no modules on chain 4"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_only_their_handles_tell_apart_are_remarked() {
    let setup = Setup::new();
    let file = include_str!("../markets/imart.toml").replace("DelistTokenEvent", "ListTokenEvent");
    std::fs::write(setup.folder().join("one.toml"), file).unwrap();
    std::fs::write(setup.folder().join("events.jsonl"), "").unwrap();
    let tried = market(&setup, &["test", "one.toml", "--events", "events.jsonl"], 0).await;
    says(
        &tried.stderr,
        &["list and delist have events of one type", "::ListTokenEvent", "taken for list", "`creation_number`"],
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handles_are_read_by_their_numbers() {
    let node = TestNode::start(Config { events: 300, ..Config::default() }).await;
    let database = TestDatabase::create(Backend::Sqlite).await;
    let setup = Setup::of(&database.url, &node.url).set("MARKETS", "numbers.toml");
    let file = include_str!("../markets/imart.toml");
    let mut number = 3;
    let numbered = |line: &str| {
        if !line.starts_with("handle = ") {
            return line.to_owned();
        }
        number += 1;
        format!("creation_number = {number}")
    };
    let lines: Vec<_> = file.lines().filter(|line| !line.starts_with("field = ")).map(numbered).collect();
    let numbers = lines.join("\n");
    std::fs::write(setup.folder().join("numbers.toml"), &numbers).unwrap();
    setup.until_caught_up().await.expect(0);
    assert_eq!(database.number("SELECT COUNT(*) FROM activities").await, Some(300));
    let checked = setup.again().command("check").start_with(&[]).ended(LIMIT).await.expect(0);
    says(&checked.stdout, &["ok    handle imart:list: ", "ok    fields imart:list: all 7 are in ListTokenEvent"]);
    let verified = setup.again().command("verify").start_with(&[]).ended(LIMIT).await.expect(0);
    says(&verified.stdout, &["verified"]);
    // A number that no resource has.
    std::fs::write(
        setup.folder().join("numbers.toml"),
        numbers.replace("creation_number = 4\n", "creation_number = 99\n"),
    )
    .unwrap();
    let checked = setup.again().command("check").start_with(&[]).ended(LIMIT).await.expect(1);
    says(&checked.stdout, &["fail  handle imart:list: no resource of", "creation number 99", "MARKETS"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_known_is_said() {
    let node = TestNode::start(Config { events: 10, ..Config::default() }).await;
    let database = TestDatabase::create(Backend::Sqlite).await;
    let setup = Setup::of(&database.url, &node.url);
    let untold =
        include_str!("../markets/imart.toml").replacen("event = \"::fixed_price_market::ListTokenEvent\"\n", "", 1);
    std::fs::write(setup.folder().join("untold.toml"), untold).unwrap();
    let refused = setup.again().set("MARKETS", "untold.toml").set("SUBJECT", "transactions").until_caught_up().await;
    says(&refused.expect(2).stderr, &["SUBJECT: imart:list cannot be found in transactions", "`event`"]);
    let checked = setup.again().set("MARKETS", "topaz").command("check").start_with(&[]).ended(LIMIT).await;
    says(
        &checked.stdout,
        &[
            "warn  market topaz: not verified; not known: where the event handles are",
            "warn  market topaz: 9 of its streams are looked for in transactions, from the first one on",
        ],
    );
    // A local network may hold a copy of a contract, but here it does not.
    let unverified = setup.again().set("MARKETS", "tradeport_v1").until_caught_up().await.expect(1);
    says(
        &unverified.stdout,
        &["WARN", "market tradeport_v1 is not verified; not known: the resource biddings::BidStore"],
    );
    says(&unverified.stderr, &["listings::ListingStore", "MARKETS"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_chain_is_for_markets_of_its_own() {
    let node = TestNode::start(Config { events: 10, ..Config::default() }).await;
    let database = TestDatabase::create(Backend::Sqlite).await;
    let setup = Setup::of(&database.url, &node.url);
    let of_chain = |chain: u8| {
        let text = include_str!("../markets/imart.toml");
        text.replace("name = \"imart\"", &format!("name = \"m{chain}\"\nchain = {chain}"))
    };
    for chain in [1, 2] {
        std::fs::write(setup.folder().join(format!("m{chain}.toml")), of_chain(chain)).unwrap();
    }
    let two = setup.again().set("MARKETS", "m1.toml,m2.toml").until_caught_up().await.expect(2);
    says(&two.stderr, &["m1 is on chain 1, m2 on chain 2", "a database of its own"]);
    // The simulated node is a local network.
    setup.again().set("MARKETS", "m1.toml").until_caught_up().await.expect(0);
    database.execute("UPDATE checkpoints SET chain_id = 2").await;
    let other = setup.again().set("MARKETS", "m1.toml").until_caught_up().await.expect(2);
    says(&other.stderr, &["m1 is on chain 1, the database's rows are of chain 2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_typing_mistake_is_told_with_what_was_meant() {
    let node = TestNode::start(Config { events: 10, ..Config::default() }).await;
    let database = TestDatabase::create(Backend::Sqlite).await;
    let setup = Setup::of(&database.url, &node.url).set("MARKETS", "wrong.toml");
    let wrong = include_str!("../markets/imart.toml")
        .replacen("price = \"price\"", "price = \"prise\"", 1)
        .replacen("seller = \"seller\", quantity", "seller = \"offer_id\", quantity", 1)
        .replacen("event = \"::offer::OfferTokenEvent\"", "event = \"::offer::OfferToken\"", 1);
    std::fs::write(setup.folder().join("wrong.toml"), wrong).unwrap();
    let checked = setup.command("check").start_with(&[]).ended(LIMIT).await.expect(1);
    says(
        &checked.stdout,
        &[
            "price = \"prise\": ListTokenEvent has no field prise; did you mean `price`?",
            "seller = \"offer_id\": a u64 does not fit",
            "::offer::OfferTokenEvent, not 0x",
        ],
    );
}
