//! `check`: all is well, or a line says what is not, with the remedy.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod support;

use std::time::{SystemTime, UNIX_EPOCH};

use event_worker::simulate::{CONTRACT, Config};
use serde_json::{Value, json};
use support::answers::Answers;
use support::database::{Backend, TestDatabase};
use support::node::TestNode;
use support::process::Setup;

on_every_database!(all_is_well_before_and_after_the_first_run, rights_that_are_missing_are_told);

/// A node whose newest event has just happened.
async fn node() -> TestNode {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros();
    TestNode::start(Config { events: 300, ends_at: i64::try_from(now).ok(), ..Config::default() }).await
}

fn check(database: &TestDatabase, node: &str) -> Setup {
    Setup::of(&database.url, node).command("check").with("--json")
}

/// The lines, as `verdict check`, to what was found and the remedy.
struct Checked {
    lines: Vec<(String, String)>,
}

impl Checked {
    async fn by(setup: Setup, code: i32) -> Self {
        let ended = setup.to_end().await.expect(code);
        let report: Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!(report["ok"], json!(code == 0));
        let line = |line: &Value| {
            let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
            let well = text("verdict") == "ok";
            assert_eq!(well, text("remedy").is_empty(), "whatever is not well has a remedy, and nothing else: {line}");
            (format!("{} {}", text("verdict"), text("check")), format!("{} -> {}", text("found"), text("remedy")))
        };
        Self { lines: report["checks"].as_array().unwrap().iter().map(line).collect() }
    }

    /// Panics unless the first line that begins so has all these parts.
    #[track_caller]
    fn says(&self, line: &str, parts: &[&str]) -> &Self {
        let found = self.lines.iter().find(|(check, _)| check.starts_with(line));
        let (_, text) = found.unwrap_or_else(|| panic!("no line {line:?} in {:#?}", self.lines));
        for part in parts {
            assert!(text.contains(part), "{part:?} is not in {line}: {text}");
        }
        self
    }

    fn that(&self, verdict: &str) -> Vec<&str> {
        let checks = self.lines.iter().filter_map(|(check, _)| check.strip_prefix(verdict));
        checks.map(str::trim_start).collect()
    }
}

async fn all_is_well_before_and_after_the_first_run(backend: Backend) {
    let (database, node) = (TestDatabase::create(backend).await, node().await);
    let before = Checked::by(check(&database, &node.url), 0).await;
    before.says("warn schema", &["m20261121_000001_tables", "event-worker migrate up"]);
    Setup::of(&database.url, &node.url).until_caught_up().await.expect(0);
    let after = Checked::by(check(&database, &node.url), 0).await;
    // The server of the tests has what is too little for a marketplace.
    let expected: &[&str] = if backend == Backend::MySql { &["server innodb_buffer_pool_size"] } else { &[] };
    assert_eq!(after.that("warn"), expected);
    after
        .says("ok node", &["chain 4", " s old"])
        .says("ok event index", &["on"])
        .says("ok schema", &["up to date"])
        .says("ok rights", &["all tables"])
        .says("ok handle imart:list", &[" events, "])
        .says("ok fields imart:list", &["all 7 are in ListTokenEvent"])
        .says("ok fields imart:create_token", &["all 4 are in TokenCreatedEvent"])
        .says("ok history", &["all 8 handles"])
        .says("ok LOG_DIR", &[]);
    let plain = Setup::of(&database.url, &node.url).command("check").to_end().await.expect(0);
    assert!(plain.stdout.contains("ok    node http://"), "{}", plain.stdout);
    let number = database.number("SELECT number FROM commits").await;
    Checked::by(check(&database, &node.url), 0).await;
    assert_eq!(database.number("SELECT number FROM commits").await, number, "a check leaves nothing behind");
}

async fn rights_that_are_missing_are_told(backend: Backend) {
    let (database, node) = (TestDatabase::create(backend).await, node().await);
    Setup::of(&database.url, &node.url).command("migrate").with("up").to_end().await.expect(0);
    if backend == Backend::Sqlite {
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)").await;
        database.execute("DROP TABLE activities").await;
        let checked = Checked::by(check(&database, &node.url), 1).await;
        checked.says("fail rights", &["activities", "DATABASE_URL"]);
        return;
    }
    let user = format!("{}_r", database.name());
    let grants: &[&str] = match backend {
        Backend::MySql => &["CREATE USER 'USER'@'%' IDENTIFIED BY 'read-only'", "GRANT SELECT ON NAME.* TO 'USER'@'%'"],
        _ => &["CREATE USER USER PASSWORD 'read-only'", "GRANT SELECT ON ALL TABLES IN SCHEMA public TO USER"],
    };
    for grant in grants {
        let grant =
            grant.replace("CREATE USER USER", &format!("CREATE USER {user}")).replace("TO USER", &format!("TO {user}"));
        database.execute(&grant.replace("'USER'", &format!("'{user}'")).replace("NAME", database.name())).await;
    }
    let setup = check(&database, &node.url).set("DATABASE_URL", &database.url_for(&user, "read-only"));
    let checked = Checked::by(setup, 1).await;
    let drop = match backend {
        Backend::MySql => format!("DROP USER '{user}'@'%'"),
        _ => format!("DROP OWNED BY {user}"),
    };
    database.execute(&drop).await;
    if backend == Backend::Postgres {
        database.execute(&format!("DROP USER {user}")).await;
    }
    checked.says("fail rights", &["denied", "grant"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_are_checked_each_for_itself() {
    let (database, node) = (TestDatabase::create(Backend::Sqlite).await, node().await);
    let old = TestNode::start(Config { events: 300, ..Config::default() }).await;
    let other_chain = Answers::default().serve().await;
    let urls = format!("{},{},{other_chain},http://127.0.0.1:9/v1,{}x", node.url, old.url, node.url);
    let setup = check(&database, &urls).set("NODE_ARCHIVE_URL", "http://127.0.0.1:9/v1").set("NODE_API_KEY", "secret");
    let checked = Checked::by(setup, 1).await;
    checked
        .says(&format!("ok node {}", node.url), &["chain 4", "accepts its key"])
        .says(&format!("warn node {}", old.url), &["nothing newer than", "another node"])
        .says(&format!("fail node {other_chain}"), &["chain 1", "chain 4", "NODE_URL", "DATABASE_URL"])
        .says("fail node http://127.0.0.1:9", &["NODE_URL"])
        .says(&format!("fail node {}x", node.url), &["404", "end in /v1"])
        .says("fail archive", &["127.0.0.1:9", "NODE_ARCHIVE_URL"]);

    Setup::of(&database.url, &node.url).until_caught_up().await.expect(0);
    database.execute("UPDATE checkpoints SET chain_id = 2").await;
    let checked = Checked::by(check(&database, &node.url), 1).await;
    checked.says("fail node", &["chain 4", "the database's rows are of chain 2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stream_is_checked_where_it_is_read() {
    let (database, node) = (TestDatabase::create(Backend::Sqlite).await, node().await);
    let with_key = TestNode::start(Config { events: 10, stream_key: Some("right".into()), ..Config::default() }).await;
    let setup = check(&database, &node.url).set("SUBJECT", "stream");
    let at = |url: &str| setup.again().set("STREAM_URL", url);
    let line = format!("ok stream {}", node.stream());
    Checked::by(at(&node.stream()), 0).await.says(&line, &["the nodes' chain"]);
    Checked::by(at("http://127.0.0.1:9"), 1).await.says("fail stream", &["STREAM_URL"]);
    let refused = Checked::by(at(&with_key.stream()).set("STREAM_KEY", "wrong"), 1).await;
    refused.says("fail stream", &["UNAUTHENTICATED", "check STREAM_KEY"]);
    node.node.set_faults("stream-chain:7".parse().unwrap());
    Checked::by(at(&node.stream()), 1).await.says("fail stream", &["chain 7", "chain 4", "correct STREAM_URL"]);
    let missing = setup.to_end().await.expect(2);
    missing.says(&["SUBJECT=stream", "set STREAM_URL"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_market_file_that_does_not_fit_the_contract_is_told_by_field() {
    const FILE: &str = include_str!("../markets/imart.toml");
    let (database, node) = (TestDatabase::create(Backend::Sqlite).await, node().await);
    let wrong = FILE
        .replace(r#"buyer = "buyer""#, r#"buyer = "taker""#)
        .replace(r#"ends = "is_offer_end""#, r#"ends = "token_id.token_data_id.ends?""#)
        .replace(r#""delist_token_events""#, r#""removed_token_events""#)
        .replace(r#""::creation::CreationEvents""#, r#""::creation::Events""#);
    let setup = check(&database, &node.url).set("MARKETS", "wrong.toml");
    std::fs::write(setup.folder().join("wrong.toml"), wrong).unwrap();
    let checked = Checked::by(setup, 1).await;
    checked
        .says("ok fields imart:list", &[])
        .says("fail fields imart:buy", &["buyer = \"taker\"", "BuyTokenEvent has no field taker", "market file"])
        .says("warn fields imart:accept_offer", &["TokenDataId has no field ends", "market file"])
        .says("fail handle imart:delist", &["data.removed_token_events", "-> correct handle and field"])
        .says("fail fields imart:delist", &["FixedMarketEvents has no field removed_token_events", "MARKETS"])
        .says("fail handle imart:create_token", &["MARKETS"])
        .says("fail fields imart:create_token", &["declares no Events"]);
    let elsewhere = Checked::by(check(&database, &node.url).set("MARKETS", "imart@0x1"), 1).await;
    elsewhere.says("fail handle imart:list", &["MARKETS", "right chain"]).says("warn fields imart:list", &["module"]);
}

/// A struct: its name, how many type parameters it has, and its fields with their types.
type Declared<'a> = (&'a str, usize, &'a [(&'a str, &'a str)]);

/// What is said of a market of module events whose contract is the module `m` of `0xa`, with these structs.
async fn checked_against(structs: &[Declared<'_>], streams: &str, code: i32) -> Checked {
    let (database, answers) = (TestDatabase::create(Backend::Sqlite).await, Answers::default());
    let declared = |(name, parameters, fields): &Declared| {
        let fields: Vec<_> = fields.iter().map(|(name, kind)| json!({ "name": name, "type": kind })).collect();
        json!({ "name": name, "generic_type_params": vec![json!({ "constraints": [] }); *parameters], "fields": fields })
    };
    let abi = json!({ "name": "m", "structs": structs.iter().map(declared).collect::<Vec<_>>() });
    answers.get(format!("/accounts/0x{:0>64}/module/m", "a"), json!({ "abi": abi }));
    let setup = check(&database, &answers.serve().await).set("MARKETS", "m.toml");
    let file = format!("name = \"m\"\naddress = \"0xa\"\nlisting_key = [\"seller\"]\n{streams}");
    std::fs::write(setup.folder().join("m.toml"), file).unwrap();
    Checked::by(setup, code).await
}

fn listing(name: &str, event: &str, fields: &str) -> String {
    format!(
        "[[streams]]\nname = \"{name}\"\nkind = \"place_listing\"\nevent = {event}\n{fields}\nfields.seller = \"seller\"\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_type_argument_that_cannot_be_there_is_told() {
    const FIELDS: &[(&str, &str)] = &[("seller", "address"), ("price", "u64")];
    let structs = [("Plain", 0, FIELDS), ("Coin", 1, FIELDS), ("Pair", 2, FIELDS)];
    let stream = |name: &str, event: &str, at: usize| {
        let fields = format!("fields.price = \"price\"\nfields.currency = {{ type_argument = {at} }}");
        listing(name, &format!("\"::m::{event}\""), &fields)
    };
    let streams = [stream("plain", "Plain", 0), stream("coin", "Coin", 0), stream("pair", "Pair", 2)].concat();
    checked_against(&structs, &streams, 1)
        .await
        .says("fail fields m:plain", &["currency = { type_argument = 0 }: Plain has no type parameter", "market file"])
        .says("ok fields m:coin", &["all 2 are in Coin"])
        .says("fail fields m:pair", &["type_argument = 2 }: Pair has only 2 type parameters, counted from 0"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_read_only_if_it_spells_the_right_thing_is_doubted() {
    let fields: &[_] = &[("seller", "address"), ("price", "0x1::string::String"), ("n", "u64"), ("few", "u8")];
    let structs = [("Listed", 0, fields)];
    let named = |name: &str| format!("fields.price = \"n\"\nfields.token_name = \"{name}\"");
    for (fields, line, found) in [
        ("fields.price = \"price\"", "warn", "price = \"price\": a 0x1::string::String is read as whatever it spells"),
        (&*named("n"), "warn", "token_name = \"n\": a u64 is read as"),
        (&named("few"), "fail", "token_name = \"few\": a u8 does not fit"),
    ] {
        let checked =
            checked_against(&structs, &listing("list", "\"::m::Listed\"", fields), i32::from(line == "fail")).await;
        checked.says(&format!("{line} fields m:list"), &[found, "market file"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_event_has_is_told_behind_what_is_there() {
    let listed: &[_] = &[("seller", "address"), ("price", "u64"), ("coin_per_token", "u64")];
    let structs = [("Listed", 0, listed), ("Relisted", 0, &[("seller", "address"), ("bid", "u64")])];
    let own = |name: &str, event: &str, price: &str| listing(name, event, &format!("fields.price = \"{price}\""));
    let streams = own("typo", "\"::m::Listed\"", "price or coin_per_tokn");
    let checked = checked_against(&structs, &streams, 0).await;
    checked.says("warn fields m:typo", &["price = \"coin_per_tokn\"", "did you mean `coin_per_token`?", "market file"]);
    let streams = own("list", "[\"::m::Listed\", \"::m::Relisted\", \"::m::Relistd\"]", "price or bid");
    let checked = checked_against(&structs, &streams, 0).await;
    checked.says("warn fields m:list", &["the module m declares no Relistd; did you mean `Relisted`?", "market file"]);
    let streams = own("list", "[\"::m::Listed\", \"::m::Relisted\"]", "price or bid");
    checked_against(&structs, &streams, 0).await.says("ok fields m:list", &["all 2 are in Listed, Relisted"]);
    // Other streams may have the other one.
    let shared = format!("fields = {{ price = \"price or bid\" }}\n{}", listing("list", "\"::m::Relisted\"", ""));
    checked_against(&structs, &shared, 0).await.says("ok fields m:list", &[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_an_event_index_is_told() {
    let database = TestDatabase::create(Backend::Sqlite).await;
    let answers = Answers::default();
    answers.get("/info".to_owned(), json!({ "internal_indexer_config": { "enable_event": false } }));
    let checked = Checked::by(check(&database, &answers.serve().await), 1).await;
    checked.says("fail event index", &["off", "enable_event"]).says("fail handle imart:list", &[CONTRACT]);
    // Nobody would ask it for events.
    let checked = Checked::by(check(&database, &answers.serve().await).set("SUBJECT", "transactions"), 1).await;
    checked.says("ok event index", &["not needed"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_requests_for_blocks_are_told() {
    let database = TestDatabase::create(Backend::Sqlite).await;
    let checked = async |events: u64| {
        let answers = Answers::default();
        let resource = format!("{CONTRACT}::creation::CreationEvents");
        let guid = json!({ "id": { "addr": CONTRACT, "creation_num": "9" } });
        let handle = json!({ "counter": events.to_string(), "guid": guid });
        let data = json!({ "token_created_events": handle, "collection_created_events": handle });
        answers.get(format!("/accounts/{CONTRACT}/resource/{resource}"), json!({ "type": resource, "data": data }));
        Checked::by(check(&database, &answers.serve().await), 1).await
    };
    checked(10_000).await.says("ok handle imart:create_token", &["10000 events, 0 of them executed"]);
    checked(10_001).await.says("warn handle imart:create_token", &["tell no time", "SUBJECT=stream"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_looked_for_in_transactions_has_other_needs() {
    let (database, node) = (TestDatabase::create(Backend::Sqlite).await, node().await);
    let scanning = || {
        let setup = check(&database, &node.url).set("SUBJECT", "transactions").set("MARKETS", "market.toml");
        let file = format!("name = \"imart\"\nlike = \"imart\"\naddress = \"{CONTRACT}\"\nfirst_version = 6000000\n");
        std::fs::write(setup.folder().join("market.toml"), file).unwrap();
        setup
    };
    let checked = Checked::by(scanning(), 0).await;
    checked.says("ok market imart", &["8 of its streams"]).says("ok transactions imart", &["from version 6000000 on"]);
    assert!(!checked.that("ok").contains(&"history"), "no event's page will be asked for");
    node.node.set_faults(format!("pruned:{}", node.node.history()[150].version).parse().unwrap());
    Checked::by(scanning(), 1).await.says("fail transactions imart", &["NODE_ARCHIVE_URL"]);
    let untold = scanning();
    let file = std::fs::read_to_string("markets/imart.toml")
        .unwrap()
        .replace("event = \"::fixed_price_market::ListTokenEvent\"\n", "");
    std::fs::write(untold.folder().join("market.toml"), file).unwrap();
    untold.to_end().await.expect(2).says(&["SUBJECT", "imart:list"]);
    let one_type = scanning();
    let file = include_str!("../markets/imart.toml").replace("DelistTokenEvent", "ListTokenEvent");
    std::fs::write(one_type.folder().join("market.toml"), file).unwrap();
    one_type.again().to_end().await.expect(2).says(&["SUBJECT", "imart:list and imart:delist", "::ListTokenEvent"]);
    let numbers = std::fs::read_to_string(one_type.folder().join("market.toml")).unwrap().replace(
        "handle = \"::fixed_price_market::FixedMarketEvents\"\nfield = \"delist_token_events\"",
        "creation_number = 5",
    );
    std::fs::write(one_type.folder().join("market.toml"), numbers).unwrap();
    one_type.to_end().await.expect(2).says(&["imart:list and imart:delist"]);
    let wrong = check(&database, &node.url).set("LEASE", "banana").to_end().await.expect(2);
    wrong.says(&["LEASE=banana"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_market_file_that_says_otherwise_than_before_is_told() {
    let (database, node) = (TestDatabase::create(Backend::Sqlite).await, node().await);
    Setup::of(&database.url, &node.url).until_caught_up().await.expect(0);
    let setup = check(&database, &node.url).set("MARKETS", "other.toml");
    let other =
        include_str!("../markets/imart.toml").replace(r#"expires_in = "seconds""#, r#"expires_in = "milliseconds""#);
    std::fs::write(setup.folder().join("other.toml"), other).unwrap();
    Checked::by(setup, 1).await.says("fail mapping imart", &["imart:offer", "rebuild", "--accept-mapping"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_is_pruned_unless_the_archive_has_it() {
    for fault in ["pruned", "pruned-500", "pruned-empty"] {
        let (database, node, archive) = (TestDatabase::create(Backend::Sqlite).await, node().await, node().await);
        let half = node.node.history()[150].version;
        node.node.set_faults(format!("{fault}:{half}").parse().unwrap());
        let alone = Checked::by(check(&database, &node.url), 1).await;
        alone.says("fail history", &["imart:list 0", "NODE_ARCHIVE_URL"]);
        let both = check(&database, &node.url).set("NODE_ARCHIVE_URL", &archive.url);
        Checked::by(both, 0).await.says("ok history", &[]).says("ok archive", &["chain 4"]);
        // What has been executed need not be there.
        let setup = Setup::of(&database.url, &node.url).set("NODE_ARCHIVE_URL", &archive.url);
        setup.until_caught_up().await.expect(0);
        Checked::by(check(&database, &node.url), 0).await.says("ok history", &[]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn databases_and_machines_that_will_not_do_are_told() {
    let (database, node) = (TestDatabase::create(Backend::Sqlite).await, node().await);
    let away = check(&database, &node.url).set("DATABASE_URL", "mysql://worker:secret@127.0.0.1:9/market");
    Checked::by(away, 1).await.says("fail database", &["127.0.0.1:9", "DATABASE_URL"]);
    let new = check(&database, &node.url).set("DATABASE_URL", "sqlite://new.db?mode=rwc");
    let file = new.folder().join("new.db");
    Checked::by(new, 0).await.says("ok database", &["the worker creates it"]).says("ok disk", &[]);
    assert!(!file.exists());
    let nowhere = check(&database, &node.url).set("DATABASE_URL", "sqlite://no/folder/new.db?mode=rwc");
    Checked::by(nowhere, 1).await.says("fail disk", &["no/folder", "writable"]);

    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap().to_string();
    let setup = check(&database, &node.url).set("API_LISTEN", &taken).set("LOG_DIR", "no-folder");
    Checked::by(setup, 0).await.says("warn API_LISTEN", &[&taken, "off"]).says("warn LOG_DIR", &["no-folder"]);

    database.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY)").await;
    let foreign = Checked::by(check(&database, &node.url), 1).await;
    foreign.says("fail schema", &["orders", "a database of its own"]);
    let wrong = check(&database, &node.url).set("MAX_PARKED", "0").to_end().await.expect(2);
    wrong.says(&["MAX_PARKED=0"]);
}
