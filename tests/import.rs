//! `collection-import` against a simulated node, on every database: in the end the tables hold what the account has on
//! chain now, whatever happened on the way.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use event_worker::simulate::{CREATOR, Config, Created};
use serde_json::Value;
use sha2::{Digest, Sha256};
use support::database::{Backend, TestDatabase};
use support::node::TestNode;
use support::plain_fold::plain_fold;
use support::process::{Ended, Setup};
use support::tables::{self, Row, Tables};

on_every_database!(
    an_account_is_imported_whole_and_again_without_a_change,
    a_killed_import_run_again_ends_in_the_same_rows,
    an_import_beside_a_worker_disturbs_neither,
    an_unkind_node_changes_nothing,
    a_list_in_a_file_is_imported_but_for_its_bad_entries,
);

/// The node of these tests, with the gallery of one creator.
fn gallery() -> Config {
    Config { seed: 5, events: 300, collections: 40, tokens: 400, ..Config::default() }
}

fn setup(database: &TestDatabase, node: &TestNode) -> Setup {
    Setup::of(&database.url, &node.url).command("collection-import")
}

/// With the gallery's address.
fn of_gallery(database: &TestDatabase, node: &TestNode) -> Setup {
    setup(database, node).with("--account").with(CREATOR)
}

fn summary(ended: &Ended) -> Value {
    let all: Value = serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {}", ended.stdout));
    all["imports"][0].clone()
}

/// found, new, changed, unchanged, gone, failed
fn tally(summary: &Value, kind: &str) -> [u64; 6] {
    ["found", "new", "changed", "unchanged", "gone", "failed"].map(|name| summary[kind][name].as_u64().unwrap())
}

async fn items(database: &TestDatabase) -> Tables {
    let mut tables = tables::read(&database.db).await;
    tables.retain(|table, _| ["collections", "tokens"].contains(table));
    tables
}

fn sha(parts: &[&str]) -> String {
    format!("0x{}", hex::encode(Sha256::digest(parts.join("::"))))
}

/// What of a row the chain decides: name, description, uri, supply, maximum.
type State = [Option<String>; 5];

/// What the tables must hold of `created`, by id.
fn expected(created: &[Created], creator: &str) -> BTreeMap<String, State> {
    let alive = created.iter().filter(|one| !one.burned);
    let state = |one: &Created| {
        let name = one.token.as_ref().unwrap_or(&one.collection);
        let count = |number: Option<u64>| number.map(|number| number.to_string());
        let texts = [name, &one.description, &one.uri].map(|text| Some(text.clone()));
        let [name, description, uri] = texts;
        [name, description, uri, count(one.supply), count(one.maximum)]
    };
    let id = |one: &Created| match (&one.object, &one.token) {
        (Some(object), _) => object.clone(),
        (None, None) => sha(&[creator, &one.collection]),
        (None, Some(token)) => sha(&[creator, &one.collection, token]),
    };
    alive.map(|one| (id(one), state(one))).collect()
}

fn found(tables: &Tables) -> BTreeMap<String, State> {
    let state = |row: &Row| ["name", "description", "uri", "supply", "maximum"].map(|column| row[column].clone());
    tables.values().flatten().map(|(key, row)| (key[0].clone(), state(row))).collect()
}

/// The tables hold the gallery as it is now, and nothing else.
async fn assert_is_gallery(database: &TestDatabase, node: &TestNode, what: &str) {
    let expected = expected(&node.node.created_by(CREATOR), &padded(CREATOR));
    let found = found(&items(database).await);
    assert!(expected.len() > 100, "{what}: there is a gallery");
    for (id, state) in &expected {
        assert_eq!(found.get(id), Some(state), "{what}: {id}");
    }
    assert_eq!(found.len(), expected.len(), "{what}");
}

fn padded(address: &str) -> String {
    format!("0x{:0>64}", address.trim_start_matches("0x"))
}

async fn an_account_is_imported_whole_and_again_without_a_change(backend: Backend) {
    let database = TestDatabase::create(backend).await;
    let node = TestNode::start(gallery()).await;
    let created = node.node.created_by(CREATOR);
    let count = |tokens: bool, burned: bool| {
        created.iter().filter(|one| one.token.is_some() == tokens && one.burned == burned).count() as u64
    };
    // A dry run writes nothing, not even a table.
    let setup = of_gallery(&database, &node).with("--json");
    let ended = setup.start_with(&["--dry-run"]).ended(Duration::from_mins(1)).await.expect(0);
    let (collections, tokens) = (count(false, false), count(true, false));
    let (gone, burned) = (count(false, true), count(true, true));
    assert_eq!(tally(&summary(&ended), "tokens"), [tokens + burned, tokens, 0, 0, burned, 0]);
    assert_eq!(database.number("SELECT COUNT(*) FROM collections").await, None);

    let ended = setup.to_end().await.expect(0);
    assert_eq!(tally(&summary(&ended), "collections"), [collections + gone, collections, 0, 0, gone, 0]);
    assert_eq!(tally(&summary(&ended), "tokens"), [tokens + burned, tokens, 0, 0, burned, 0]);
    assert!(burned > 0 && collections > 20, "the gallery has some of each: {burned}, {collections}");
    assert!(!summary(&ended)["not_visible"].as_array().unwrap().is_empty());
    assert_is_gallery(&database, &node, "first").await;

    let before = items(&database).await;
    let touched = database.texts(&newest(backend)).await;
    let ended = setup.to_end().await.expect(0);
    assert_eq!(tally(&summary(&ended), "tokens"), [tokens + burned, 0, 0, tokens, burned, 0]);
    tables::assert_equal(&before, &items(&database).await, "second");
    assert_eq!(database.texts(&newest(backend)).await, touched, "no row was touched");

    // What differs is found and mended.
    database.execute("UPDATE tokens SET supply = 77, uri = 'changed' WHERE collection_name IS NOT NULL").await;
    let ended = setup.to_end().await.expect(0);
    assert_eq!(tally(&summary(&ended), "tokens"), [tokens + burned, 0, tokens, 0, burned, 0]);
    assert_is_gallery_but_for_supplies_nobody_tells(&database, &before).await;
    assert_eq!(tally(&summary(&ended), "collections")[3], collections);

    let list = Setup::of(&database.url, &node.url).command("list");
    let list = list.with("tokens").with("--creator").with(CREATOR).with("--json").with("--limit").with("100000");
    let listed = list.to_end().await.expect(0);
    assert_eq!(listed.stdout.lines().count() as u64, tokens);
}

/// The supply of a token object is nobody's: what somebody wrote there stays.
async fn assert_is_gallery_but_for_supplies_nobody_tells(database: &TestDatabase, before: &Tables) {
    let without = |tables: &Tables| {
        let mut tables = tables.clone();
        for row in tables.get_mut("tokens").unwrap().values_mut() {
            row.remove("supply");
        }
        tables
    };
    tables::assert_equal(&without(before), &without(&items(database).await), "mended");
}

fn newest(backend: Backend) -> String {
    let text = if backend == Backend::MySql { "CHAR" } else { "TEXT" };
    format!(
        "SELECT CAST(MAX(updated_at) AS {text}) FROM tokens UNION ALL SELECT CAST(MAX(updated_at) AS {text}) FROM collections"
    )
}

async fn a_killed_import_run_again_ends_in_the_same_rows(backend: Backend) {
    let whole = TestDatabase::create(backend).await;
    let database = TestDatabase::create(backend).await;
    let node = TestNode::start(gallery()).await;
    of_gallery(&whole, &node).to_end().await.expect(0);
    let slow = TestNode::start(Config { latency: Duration::from_millis(15), ..gallery() }).await;
    let rows = "SELECT COUNT(*) FROM tokens";
    let mut kills = 0;
    for goal in [1, 60, 150, 250] {
        let worker = of_gallery(&database, &slow).start();
        let reached = async {
            while database.number(rows).await.unwrap_or_default() < goal {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), reached).await.expect("rows come");
        kills += u32::from(worker.kill().await.code().is_none());
    }
    assert!(kills >= 2, "{kills} kills hit it at work");
    of_gallery(&database, &slow).to_end().await.expect(0);
    tables::assert_equal(&items(&whole).await, &items(&database).await, "after kills");
    assert_is_gallery(&database, &node, "after kills").await;
}

async fn an_import_beside_a_worker_disturbs_neither(backend: Backend) {
    let node = TestNode::start(Config {
        events: 4_000,
        latency: Duration::from_millis(1),
        collections: 0,
        ..Config::default()
    })
    .await;
    let creators = node.creators();
    assert!(creators.len() > 5, "{creators:?}");
    let accounts = creators.join(",");
    let fold = plain_fold(&node.node.history());
    let mut results = vec![];
    for order in ["import first", "worker first", "both at once"] {
        let database = TestDatabase::create(backend).await;
        let worker = Setup::of(&database.url, &node.url).patient();
        let import = setup(&database, &node).with("--account").with(&accounts);
        match order {
            "import first" => {
                import.to_end().await.expect(0);
                worker.until_caught_up().await.expect(0);
            }
            "worker first" => {
                worker.until_caught_up().await.expect(0);
                import.to_end().await.expect(0);
            }
            _ => {
                let (worker, import) = tokio::join!(worker.until_caught_up(), import.to_end());
                let (worker, import) = (worker.expect(0), import.expect(0));
                assert_eq!(worker.error_log, "", "{backend:?} {order}");
                let said = import.stderr.to_lowercase();
                assert!(!said.contains("lock") && !said.contains("error"), "{backend:?} {order}: {said}");
            }
        }
        let tables = tables::read(&database.db).await;
        tables::assert_equal(
            &tables::folded_alone(&fold),
            &tables::folded_alone(&tables),
            &format!("{backend:?}, {order}"),
        );
        results.push((order, tables));
    }
    let (_, first) = &results[0];
    assert!(first["collections"].values().any(|row| row["supply"].is_some()), "something was imported");
    for (order, tables) in &results[1..] {
        tables::assert_equal(first, tables, &format!("{backend:?}: import first, and {order}"));
    }
}

async fn an_unkind_node_changes_nothing(backend: Backend) {
    let database = TestDatabase::create(backend).await;
    let faults = "429:0.02,429-retry-after:0.005,500:0.05,503-html:0.05,truncate:0.05,reset:0.05,stale:0.1";
    let node = TestNode::start(Config { faults: faults.parse().unwrap(), ..gallery() }).await;
    let ended = of_gallery(&database, &node).with("--json").to_end().await.expect(0);
    assert_eq!(summary(&ended)["failed"], 0, "{}", ended.stdout);
    assert_is_gallery(&database, &node, faults).await;
}

const LIST: &str = r#"[
  {"collection": "Cats", "creator": "0x1", "description": "d", "cover_uri": "https://x/1.png", "supply": "10",
   "floor_price": "1.5", "volume": 12345678901234567890123, "category": "art"},
  {"name": "🦊 Foxes ", "creator": "0x01", "uri": "", "supply": 18446744073709551615},
  {"name": "🦊 Foxes", "creator": "0x01"},
  {"name": "no creator"}, 7, {"name": "Bad", "creator": "0xzz"}, {"name": "Cats", "creator": "0x1"},
  {"name": "cats", "creator": "0x1", "supply": -1}
]"#;

async fn a_list_in_a_file_is_imported_but_for_its_bad_entries(backend: Backend) {
    let database = TestDatabase::create(backend).await;
    let setup = Setup::of(&database.url, "http://127.0.0.1:9/v1").command("collection-import").with("--from-json");
    let setup = setup.with("list.json").with("--json");
    std::fs::write(setup.folder().join("list.json"), LIST).unwrap();
    let ended = setup.to_end().await.expect(1);
    assert_eq!(tally(&summary(&ended), "collections"), [8, 3, 0, 0, 0, 5]);
    let failures = summary(&ended)["failures"].as_array().unwrap().clone();
    let bad: Vec<_> = failures.iter().map(|failure| failure["what"].as_str().unwrap()).collect();
    assert_eq!(bad, ["entry 4", "entry 5", "entry 6", "entry 7", "entry 8"]);
    let one = padded("0x1");
    let rows = items(&database).await;
    let cats = &rows["collections"][&vec![sha(&[&one, "Cats"])]];
    let metadata: Value = serde_json::from_str(cats["metadata"].as_ref().unwrap()).unwrap();
    assert_eq!(metadata.to_string(), r#"{"category":"art","floor_price":"1.5","volume":12345678901234567890123}"#);
    assert_eq!((cats["supply"].as_deref(), cats["uri"].as_deref()), (Some("10"), Some("https://x/1.png")));
    let foxes = &rows["collections"][&vec![sha(&[&one, "🦊 Foxes "])]];
    assert_eq!((foxes["supply"].as_deref(), foxes["uri"].as_deref()), (Some("18446744073709551615"), Some("")));
    assert_eq!(rows["collections"].len(), 3, "a space makes another collection");
    // Again: nothing changes. A list that tells less takes nothing away.
    let ended = setup.to_end().await.expect(1);
    assert_eq!(tally(&summary(&ended), "collections"), [8, 0, 0, 3, 0, 5]);
    std::fs::write(setup.folder().join("list.json"), r#"[{"name": "Cats", "creator": "0x1", "volume": 1}]"#).unwrap();
    let ended = setup.to_end().await.expect(0);
    assert_eq!(tally(&summary(&ended), "collections"), [1, 0, 1, 0, 0, 0]);
    let rows = items(&database).await;
    let cats = &rows["collections"][&vec![sha(&[&one, "Cats"])]];
    assert_eq!(cats["metadata"].as_deref(), Some(r#"{"category":"art","floor_price":"1.5","volume":1}"#));
    assert_eq!((cats["supply"].as_deref(), cats["description"].as_deref()), (Some("10"), Some("d")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_collection_needs_no_history_and_brings_its_own_tokens_only() {
    let database = TestDatabase::create(Backend::Sqlite).await;
    let node = TestNode::start(gallery()).await;
    let created = node.node.created_by(CREATOR);
    for standard in ["v1", "v2"] {
        let mut collections =
            created.iter().filter(|one| one.standard == standard && one.token.is_none() && !one.burned);
        let collection = &collections.nth(1).unwrap().collection;
        let of_it: Vec<_> = created.iter().filter(|one| one.collection == *collection).cloned().collect();
        let alive =
            |tokens: bool| of_it.iter().filter(|one| !one.burned && one.token.is_some() == tokens).count() as u64;
        let setup = of_gallery(&database, &node).with("--json").with("--collection").with(collection);
        let ended = setup.start_with(&["--no-tokens"]).ended(Duration::from_mins(1)).await.expect(0);
        // There may be one of each standard.
        let count = alive(false);
        assert_eq!(tally(&summary(&ended), "collections"), [count, count, 0, 0, 0, 0], "{standard} {collection:?}");
        assert_eq!(tally(&summary(&ended), "tokens")[0], 0);
        let ended = setup.to_end().await.expect(0);
        assert_eq!(tally(&summary(&ended), "tokens")[1], alive(true), "{standard} {collection:?}");
        let held = found(&items(&database).await);
        for (id, state) in expected(&of_it, &padded(CREATOR)) {
            assert_eq!(held.get(&id), Some(&state), "{standard} {collection:?}");
        }
    }
    // The same address without its history: the collection is there, its tokens are said not to be.
    let forgetful = TestNode::start(Config { faults: "pruned:5999999".parse().unwrap(), ..gallery() }).await;
    let v2 = created.iter().find(|one| one.standard == "v2" && one.token.is_none() && !one.burned).unwrap();
    let database = TestDatabase::create(Backend::Sqlite).await;
    let setup = of_gallery(&database, &forgetful).with("--json").with("--collection").with(&v2.collection);
    let ended = setup.start_with(&["--no-tokens"]).ended(Duration::from_mins(1)).await.expect(0);
    let id = vec![v2.object.clone().unwrap()];
    assert!(items(&database).await["collections"].contains_key(&id), "{}", ended.stdout);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pruned_history_comes_from_the_archive_or_is_said_to_be_missing() {
    let archive = TestNode::start(gallery()).await;
    for form in ["pruned", "pruned-500", "pruned-empty"] {
        let database = TestDatabase::create(Backend::Sqlite).await;
        let faults = format!("{form}:{}", middle(&archive)).parse().unwrap();
        let node = TestNode::start(Config { faults, ..gallery() }).await;
        let ended = of_gallery(&database, &node).with("--json").to_end().await.expect(1);
        let reasons = summary(&ended)["failures"].to_string();
        for part in ["history is pruned", "are not imported", "NODE_ARCHIVE_URL", "v1 tokens", "transactions"] {
            assert!(reasons.contains(part), "{form}: {part:?} is not in {reasons}");
        }
        let setup = of_gallery(&database, &node).set("NODE_ARCHIVE_URL", &archive.url);
        setup.to_end().await.expect(0);
        assert_is_gallery(&database, &archive, form).await;
    }
}

/// A version in the middle of the gallery's history.
fn middle(node: &TestNode) -> u64 {
    let mut versions: Vec<_> = node.node.created_by(CREATOR).iter().map(|one| one.version).collect();
    versions.sort_unstable();
    versions[versions.len() / 2]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_indexer_finds_the_collections_instead_of_the_transactions() {
    let database = TestDatabase::create(Backend::Sqlite).await;
    let node = TestNode::start(gallery()).await;
    let indexer = format!("{}/graphql", node.url);
    let setup = of_gallery(&database, &node).with("--json").with("--indexer").with(&indexer);
    let ended = setup.start_with(&["--no-tokens"]).ended(Duration::from_mins(1)).await.expect(0);
    let created = node.node.created_by(CREATOR);
    let collections: Vec<_> = created.into_iter().filter(|one| one.token.is_none()).collect();
    assert_eq!(tally(&summary(&ended), "collections")[0], collections.len() as u64);
    let mut held = items(&database).await;
    assert!(held.remove("tokens").unwrap().is_empty());
    assert_eq!(found(&held), expected(&collections, &padded(CREATOR)));
    // With their tokens, the rows are those that the transactions lead to.
    setup.to_end().await.expect(0);
    assert_is_gallery(&database, &node, "by the indexer").await;
    // Something else at that address is no indexer.
    let setup = of_gallery(&database, &node).with("--json").with("--indexer").with(&node.url);
    let ended = setup.to_end().await.expect(1);
    assert!(summary(&ended)["failures"].to_string().contains("--indexer"), "{}", ended.stdout);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_is_refused_with_the_remedy() {
    let database = TestDatabase::create(Backend::Sqlite).await;
    let node = TestNode::start(gallery()).await;
    // Wrong usage.
    for (arguments, parts) in [
        (vec![], vec!["--account"]),
        (vec!["--account", "0xzz"], vec!["--account", "0xzz", "expected an address"]),
        (vec!["--account", "0x1", "--parallel", "0"], vec!["--parallel 0", "1 to 256"]),
        (vec!["--account", "0x1", "--indexer", "x"], vec!["--indexer=x", "GraphQL"]),
        (
            vec!["--account", "0x1", "--indexer", "http://u:secret@h/graphql?key=abc"],
            vec!["--indexer=http://u:***@h/graphql:", "a query", "GraphQL"],
        ),
        (vec!["--from-json", "missing.json"], vec!["missing.json", "cannot be read"]),
        (vec!["--from-json", "object.json"], vec!["object.json", "expected a list", "an object"]),
        (vec!["--from-json", "broken.json"], vec!["broken.json", "not JSON", "line 1"]),
    ] {
        let setup = setup(&database, &node);
        std::fs::write(setup.folder().join("object.json"), r#"{"collections": []}"#).unwrap();
        std::fs::write(setup.folder().join("broken.json"), "[{").unwrap();
        setup.start_with(&arguments).ended(Duration::from_mins(1)).await.expect(2).says(&parts);
    }
    // Nothing there, or not this.
    let nobody = format!("0x{}", "ab".repeat(32));
    for (arguments, parts) in [
        (vec!["--account", &nobody], vec!["there is nothing at", "NODE_URL"]),
        (vec!["--account", CREATOR, "--collection", "no such"], vec!["no such", "none of this name", "letter case"]),
    ] {
        let ended = setup(&database, &node).start_with(&arguments).ended(Duration::from_mins(1)).await.expect(1);
        for part in parts {
            assert!(ended.stdout.contains(part), "{part:?} is not in: {}", ended.stdout);
        }
    }
    // An account without collections is no failure.
    let trader = market_traders(&node);
    let ended = setup(&database, &node).with("--account").with(&trader).to_end().await.expect(0);
    assert!(ended.stdout.contains("has created no collections"), "{}", ended.stdout);
    // Not a node; a node of another chain than the events.
    let elsewhere = Setup::of(&database.url, &node.url.replace("/v1", "/nothing")).command("collection-import");
    let ended = elsewhere.with("--account").with("0x1").to_end().await.expect(1);
    ended.says(&["NODE_URL", "/v1"]);
    let parts = ["chain 4", "chain 2", "NODE_URL", "DATABASE_URL"];
    database.execute("UPDATE imports SET chain_id = 2").await;
    of_gallery(&database, &node).to_end().await.expect(1).says(&parts);
    let worker = Setup::of(&database.url, &node.url);
    let ended = worker.until_caught_up().await.expect(1);
    assert!(parts.iter().all(|part| ended.stderr.contains(part)), "{}", ended.stderr);
    database.execute("UPDATE imports SET chain_id = 4").await;
    worker.until_caught_up().await.expect(0);
    database.execute("UPDATE checkpoints SET chain_id = 2").await;
    of_gallery(&database, &node).to_end().await.expect(1).says(&parts);
}

/// Somebody who has sent transactions and created nothing.
fn market_traders(node: &TestNode) -> String {
    let creators = node.creators();
    let field = |data: &str, name: &str| Some(serde_json::from_str::<Value>(data).ok()?[name].as_str()?.to_owned());
    let buyers = node.node.history().into_iter().filter_map(|event| field(&event.data, "buyer"));
    buyers.into_iter().find(|buyer| !creators.contains(buyer)).expect("somebody only buys")
}
