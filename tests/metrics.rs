//! What a worker tells of itself while it runs: metrics, and the cause of each standing still.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod support;

use std::net::TcpListener;
use std::time::Duration;

use event_worker::simulate::Config;
use serde_json::Value;
use support::database::{Backend, TestDatabase};
use support::node::TestNode;
use support::process::{Setup, Worker};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

const LIMIT: Duration = Duration::from_secs(40);

/// A worker that answers over HTTP.
struct Told {
    worker: Worker,
    url: String,
    setup: Setup,
}

impl Told {
    fn start(setup: Setup) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let setup = setup.set("API_LISTEN", &free.to_string());
        Self { worker: setup.start(), url: format!("http://{free}/metrics"), setup }
    }

    async fn metrics(&self) -> Option<String> {
        // As the program does: the crate has no provider of its own.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        client.get(&self.url).send().await.ok()?.text().await.ok()
    }

    /// Waits for metrics of which each of these is a line.
    async fn until(&self, lines: &[&str]) -> String {
        let has_all = |text: &str| lines.iter().all(|line| text.lines().any(|other| other == *line));
        let waiting = async {
            loop {
                match self.metrics().await {
                    Some(text) if has_all(&text) => return text,
                    _ => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        };
        if let Ok(text) = tokio::time::timeout(LIMIT, waiting).await {
            return text;
        }
        panic!("not all of {lines:#?} within {LIMIT:?}:\n{}", self.metrics().await.unwrap_or_default());
    }

    async fn end(self) -> support::process::Ended {
        self.worker.terminate().await;
        self.worker.ended(LIMIT).await.expect(0)
    }
}

fn value(text: &str, series: &str) -> f64 {
    let found = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    found.unwrap_or_else(|| panic!("no {series} in\n{text}")).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_follows_tells_counts_and_states() {
    let database = TestDatabase::create(Backend::Sqlite).await;
    let faults = "mistyped:0.05".parse().unwrap();
    let node = TestNode::start(Config { seed: 41, events: 1_000, faults, ..Config::default() }).await;
    let told = Told::start(Setup::of(&database.url, &node.url));
    database.until_executed(1_000, LIMIT).await;
    let parked = "SELECT COUNT(*) FROM dead_letters WHERE observer = 'imart:list'";
    let parked = database.number(parked).await.unwrap();
    assert!(parked > 0);
    let listed = node.node.counters().iter().find(|(stream, _)| stream == "list_token_events").unwrap().1;
    let text = told
        .until(&[
            &format!("event_worker_executed_events{{observer=\"imart:list\"}} {listed}"),
            &format!("event_worker_emitted_events{{observer=\"imart:list\"}} {listed}"),
            "event_worker_behind_events{observer=\"imart:list\"} 0",
            "event_worker_lag_seconds{observer=\"imart:list\"} 0",
            "event_worker_observer_state{cause=\"caught up\",observer=\"imart:list\",state=\"following\"} 1",
            &format!("event_worker_parked_events{{observer=\"imart:list\"}} {parked}"),
            "event_worker_committed_events_total 1000",
            "event_worker_database_waits_total 0",
        ])
        .await;
    assert!(value(&text, "event_worker_commits_total") >= 1.0);
    assert!(value(&text, "event_worker_oldest_parked_age_seconds{observer=\"imart:list\"}") > 0.0);
    assert!(value(&text, "event_worker_observer_state_since_seconds{observer=\"imart:list\"}") > 1e9);
    assert!(value(&text, &format!("event_worker_node_requests_total{{node=\"{}\"}}", node.url)) > 10.0);
    assert!(value(&text, &format!("event_worker_node_throttled_total{{node=\"{}\"}}", node.url)) == 0.0);
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        assert!(line.starts_with("event_worker_"), "{line}");
    }
    assert_eq!(text.matches("event_worker_observer_state{").count(), 8, "one state for each observer");
    told.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_hangs_is_named_before_its_time_is_up() {
    let database = TestDatabase::create(Backend::Sqlite).await;
    // Takes connections, and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", silent.local_addr().unwrap());
    let told = Told::start(Setup::of(&database.url, &url));
    let state = "event_worker_observer_state{cause=\"node unreachable\",observer=\"imart:buy\",state=\"waiting\"} 1";
    told.until(&[state]).await;
    let status = Setup::of(&database.url, &url).command("status").with("--json");
    let told_there = async {
        loop {
            let answer: Value = serde_json::from_str(&status.to_end().await.expect(0).stdout).unwrap();
            let observers = answer["observers"].as_array().unwrap();
            let buy = observers.iter().find(|one| one["observer"] == "imart:buy").unwrap();
            if buy["state"] == "waiting" {
                return buy.clone();
            }
        }
    };
    let buy = tokio::time::timeout(LIMIT, told_there).await.expect("status tells it, too");
    assert_eq!(buy["cause"], "node unreachable");
    assert!(buy["since"].is_string());
    let ended = told.end().await;
    assert!(
        ended.error_log.contains("waits, node unreachable: the node has given no answer for"),
        "{}",
        ended.error_log
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_throttles_is_named() {
    let database = TestDatabase::create(Backend::Sqlite).await;
    let faults = "429:1".parse().unwrap();
    let node = TestNode::start(Config { seed: 44, events: 300, faults, ..Config::default() }).await;
    let told = Told::start(Setup::of(&database.url, &node.url));
    told.until(&["event_worker_observer_state{cause=\"throttled\",observer=\"imart:buy\",state=\"waiting\"} 1"]).await;
    node.node.set_faults("".parse().unwrap());
    told.until(&["event_worker_observer_state{cause=\"caught up\",observer=\"imart:buy\",state=\"following\"} 1"])
        .await;
    told.end().await;
}

/// A chain that was reset is at first one that has come less far; nothing is written of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_that_was_reset_is_named_as_a_node_behind_with_the_remedy() {
    let database = TestDatabase::create(Backend::Sqlite).await;
    let node = TestNode::start(Config { seed: 45, events: 400, ..Config::default() }).await;
    Setup::of(&database.url, &node.url).until_caught_up().await.expect(0);
    let stored = database.texts("SELECT CONCAT_WS('|', observer, seq_no, version) FROM events ORDER BY 1").await;
    let reset = TestNode::start(Config { seed: 46, events: 100, ..Config::default() }).await;
    let told = Told::start(Setup::of(&database.url, &reset.url));
    told.until(&["event_worker_observer_state{cause=\"node behind\",observer=\"imart:buy\",state=\"waiting\"} 1"])
        .await;
    let ended = told.end().await;
    for part in ["waits, node behind", "the chain was reset", "DATABASE_URL"] {
        assert!(ended.error_log.contains(part), "{part:?} is not in {}", ended.error_log);
    }
    assert_eq!(database.texts("SELECT CONCAT_WS('|', observer, seq_no, version) FROM events ORDER BY 1").await, stored);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_waits_for_a_lease_names_its_holder() {
    let database = TestDatabase::create(Backend::Sqlite).await;
    let node = TestNode::start(Config { seed: 47, events: 300, ..Config::default() }).await;
    let first = Told::start(Setup::of(&database.url, &node.url).patient());
    first
        .until(&["event_worker_observer_state{cause=\"caught up\",observer=\"imart:buy\",state=\"following\"} 1"])
        .await;
    let second = Told::start(Setup::of(&database.url, &node.url).patient());
    let holder = "SELECT DISTINCT lease_holder FROM checkpoints WHERE lease_holder IS NOT NULL ORDER BY 1";
    let both = async {
        loop {
            let (holders, metrics) = (database.texts(holder).await, second.metrics().await.unwrap_or_default());
            let named = |holder: &&String| metrics.contains(&format!("{{cause=\"lease held by {holder}\",observer="));
            if holders.len() == 2 && holders.iter().filter(named).count() == 1 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(LIMIT, both).await.expect("the second names the first");
    second.end().await;
    first.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_not_there_yet_is_named_from_the_start() {
    let node = TestNode::start(Config { seed: 48, events: 300, ..Config::default() }).await;
    let told = Told::start(Setup::of("mysql://worker:secret@127.0.0.1:9/market", &node.url));
    told.until(&[
        "event_worker_observer_state{cause=\"database unreachable\",observer=\"imart:buy\",state=\"waiting\"} 1",
        "event_worker_database_waits_total 1",
    ])
    .await;
    told.end().await;
}

/// Whether a worker lives is the database's word: its clock, or that of whoever asks, may be minutes off.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_goes_by_the_databases_clock() {
    let database = TestDatabase::create(Backend::Sqlite).await;
    let node = TestNode::start(Config { seed: 49, events: 300, ..Config::default() }).await;
    let setup = Setup::of(&database.url, &node.url).patient();
    let status = async || {
        let ended = setup.again().command("status").with("--json").to_end().await.expect(0);
        let answer: Value = serde_json::from_str(&ended.stdout).unwrap();
        answer["observers"].as_array().unwrap().iter().find(|one| one["observer"] == "imart:buy").unwrap().clone()
    };
    let reported = async |at: &str| {
        database
            .execute(&format!(
                "UPDATE observer_status SET updated_at = strftime('%Y-%m-%d %H:%M:%f', 'now', '{at}') || '000'"
            ))
            .await;
    };
    let told = Told::start(setup.again());
    told.until(&["event_worker_observer_state{cause=\"caught up\",observer=\"imart:buy\",state=\"following\"} 1"])
        .await;
    database
        .until_some("SELECT COUNT(*) FROM observer_status WHERE observer = 'imart:buy' AND state = 'following'", LIMIT)
        .await;
    told.worker.signal("STOP").await;
    reported("-5 minutes").await;
    let buy = status().await;
    assert_eq!(
        (&buy["state"], &buy["cause"], &buy["last_error"]),
        (&"following".into(), &"caught up".into(), &Value::Null)
    );
    told.worker.kill().await;
    // Its lease is over, and its clock was ahead.
    database.execute("UPDATE workers SET expires_at = '2020-01-01 00:00:00.000000'").await;
    database.execute("UPDATE checkpoints SET lease_expires_at = '2020-01-01 00:00:00.000000'").await;
    reported("+5 minutes").await;
    assert_eq!(status().await["state"], "no worker");
    setup.again().command("status").with("--healthy").to_end().await.expect(1);
}

/// Carries bytes both ways while `open`, and keeps connections whatever happens.
async fn carry(listener: tokio::net::TcpListener, server: String, open: watch::Receiver<bool>) {
    async fn one_way(
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
        mut open: watch::Receiver<bool>,
    ) {
        let mut buffer = [0; 4096];
        while let Ok(read @ 1..) = from.read(&mut buffer).await {
            let is_open = open.wait_for(|open| *open).await.is_ok();
            if !is_open || to.write_all(&buffer[..read]).await.is_err() {
                return;
            }
        }
    }
    while let Ok((client, _)) = listener.accept().await {
        let server = TcpStream::connect(&server).await.unwrap();
        let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
        tokio::spawn(one_way(from_client, to_server, open.clone()));
        tokio::spawn(one_way(from_server, to_client, open.clone()));
    }
}

/// A worker that has nothing to commit tells it all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_hangs_without_an_error_is_named_and_gone_on_with() {
    let database = TestDatabase::create(Backend::MySql).await;
    let node = TestNode::start(Config { seed: 43, events: 300, ..Config::default() }).await;
    let mut url = url::Url::parse(&database.url).unwrap();
    let server = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    url.set_port(Some(listener.local_addr().unwrap().port())).unwrap();
    let (gate, open) = watch::channel(true);
    tokio::spawn(carry(listener, server, open));
    let told = Told::start(Setup::of(url.as_str(), &node.url));
    let follows = "event_worker_observer_state{cause=\"caught up\",observer=\"imart:buy\",state=\"following\"} 1";
    told.until(&[follows]).await;
    gate.send_replace(false);
    told.until(&[
        "event_worker_observer_state{cause=\"database unreachable\",observer=\"imart:buy\",state=\"waiting\"} 1",
    ])
    .await;
    gate.send_replace(true);
    told.until(&[follows]).await;
    node.node.emit(50);
    database.until_executed(node.node.history().len() as u64, LIMIT).await;
    let ended = told.end().await;
    assert!(ended.error_log.contains("all observers wait, database unreachable: "), "{}", ended.error_log);
}

/// It is named long before PostgreSQL tells of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_hangs_behind_a_lock_is_named_and_goes_on_after_it() {
    let database = TestDatabase::create(Backend::Postgres).await;
    let node = TestNode::start(Config { seed: 42, events: 300, ..Config::default() }).await;
    let told = Told::start(Setup::of(&database.url, &node.url));
    database.until_executed(300, LIMIT).await;
    database.execute("BEGIN").await;
    database.execute("UPDATE commits SET number = number WHERE id = 1").await;
    node.node.emit(50);
    let all = node.node.history().len() as u64;
    told.until(&[
        "event_worker_observer_state{cause=\"database locked\",observer=\"imart:buy\",state=\"waiting\"} 1",
        "event_worker_database_waits_total 1",
    ])
    .await;
    database.execute("ROLLBACK").await;
    database.until_executed(all, LIMIT).await;
    told.until(&["event_worker_observer_state{cause=\"caught up\",observer=\"imart:buy\",state=\"following\"} 1"])
        .await;
    assert!(told.setup.folder().join("error.log").exists());
    let ended = told.end().await;
    assert_eq!(
        ended.error_log.matches("all observers wait, database locked: a write has had no answer for ").count(),
        1,
        "{}",
        ended.error_log
    );
    assert!(ended.stdout.contains("the database works again after"), "{}", ended.stdout);
}
