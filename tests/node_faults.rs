//! Nodes that fail, lie, lag or are not the right ones: what they do not mend stops the observer or waits, and once they are well
//! the tables are those of a plain fold.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use event_worker::market::{Market, Markets};
use event_worker::observer::{self, Board, State};
use event_worker::simulate::{Config, Faults};
use event_worker::state::Store;
use event_worker::subject::{self, EventHandles, Nodes};
use support::canned::answering;
use support::database::{Backend, TestDatabase};
use support::front::front;
use support::node::TestNode;
use support::plain_fold::{observer, plain_fold};
use support::process::Setup;
use support::tables;
use tokio_util::sync::CancellationToken;

const LIMIT: Duration = Duration::from_secs(40);

async fn node(config: Config) -> TestNode {
    TestNode::start(Config { collections: 0, ..config }).await
}

async fn assert_is_plain_fold(database: &TestDatabase, node: &TestNode, what: &str) {
    let expected = plain_fold(&node.node.history());
    tables::assert_equal(&expected, &tables::read(&database.db).await, what);
}

/// Waits until `what` holds.
async fn until(what: &str, holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(LIMIT, waiting).await.is_ok(), "not within {LIMIT:?}: {what}");
}

/// One worker, and one fault after another: each while events come, and then all of them are there.
async fn faults_that_heal_change_nothing(seed: u64, faults: &[&str]) {
    let database = TestDatabase::create(Backend::Sqlite).await;
    let node = node(Config { seed, events: 700, ..Config::default() }).await;
    let setup = Setup::of(&database.url, &node.url);
    let worker = setup.start();
    database.until_executed(700, LIMIT).await;
    for fault in faults {
        node.node.set_faults(fault.parse().unwrap());
        let asked = node.node.requests();
        node.node.emit(120);
        until(fault, || node.node.requests() >= asked + 24).await;
        node.node.set_faults(Faults::default());
        database.until_executed(node.node.history().len() as u64, LIMIT).await;
        assert_is_plain_fold(&database, &node, fault).await;
    }
    worker.terminate().await;
    let ended = worker.ended(Duration::from_secs(5)).await.expect(0);
    assert!(ended.error_log.contains(" WARN "), "waiting shows in error.log");
    assert!(!ended.error_log.contains(" ERROR "), "nobody stops for what passes: {}", ended.error_log);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_away_changes_nothing() {
    let faults = ["500:1", "404-html:1", "502-html:1", "503-html:1", "redirect:1", "truncate:1", "reset:1"];
    faults_that_heal_change_nothing(31, &faults).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_answers_wrongly_changes_nothing() {
    let faults = [
        "stale:0.5",
        "shuffle:0.3",
        "repeat:0.5",
        "skip:0.3",
        "foreign:0.5",
        "duplicate-keys:0.5",
        "counter-low:0.3",
        "content-type:1",
        "oversized:0.2",
        "429:0.3",
        "429-retry-after:0.3",
    ];
    faults_that_heal_change_nothing(32, &faults).await;
}

/// All of them while it is behind, and reads many pages at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn catching_up_through_everything_at_once_changes_nothing() {
    let database = TestDatabase::create(Backend::Sqlite).await;
    let faults = "404-html:0.02,502-html:0.02,redirect:0.02,content-type:0.02,truncate:0.02,reset:0.02,stale:0.1,shuffle:0.03,repeat:0.03,skip:0.03,foreign:0.03,duplicate-keys:0.03,counter-low:0.03,429:0.01";
    let node = node(Config { seed: 33, events: 6_000, ..Config::default() }).await;
    // Its address is right, which a first answer must have shown.
    let setup = Setup::of(&database.url, &node.url);
    let worker = setup.start();
    database.until_executed(1, LIMIT).await;
    node.node.set_faults(faults.parse().unwrap());
    node.node.emit(6_000);
    database.until_executed(node.node.history().len() as u64, LIMIT).await;
    worker.terminate().await;
    worker.ended(Duration::from_secs(5)).await.expect(0);
    assert_is_plain_fold(&database, &node, faults).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_line_tells_that_a_node_is_away_and_one_that_all_go_on() {
    let database = TestDatabase::create(Backend::Sqlite).await;
    let node = node(Config { seed: 34, events: 300, ..Config::default() }).await;
    let setup = Setup::of(&database.url, &node.url);
    let mut worker = setup.start();
    database.until_executed(300, LIMIT).await;
    worker.line("imart:create_token is caught up").await;
    node.node.set_faults("502-html:1".parse().unwrap());
    let waiting = "SELECT COUNT(*) FROM observer_status WHERE cause = 'node unreachable' AND last_error LIKE '%502%'";
    let all_wait = async {
        while database.number(waiting).await != Some(8) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LIMIT, all_wait).await.expect("status shows the cause for each observer");
    node.node.set_faults(Faults::default());
    worker.line("8 observers that waited, node unreachable, go on after").await;
    worker.terminate().await;
    let ended = worker.ended(Duration::from_secs(5)).await.expect(0);
    let told: Vec<_> = ended.error_log.lines().filter(|line| line.contains("node unreachable")).collect();
    assert!(matches!(told[..], [one] if one.contains(&node.url) && one.contains("502")), "{told:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_market_is_asked_once_a_resource_and_interval() {
    const INTERVAL: Duration = Duration::from_millis(100);
    let database = TestDatabase::create(Backend::Sqlite).await;
    let node = node(Config { seed: 35, events: 500, ..Config::default() }).await;
    let store = Store::connect(&database.url.parse().unwrap()).await.unwrap();
    store.migrate_up().await.unwrap();
    let markets = Arc::new(Markets::new(vec![Market::built_in("imart", None).unwrap()]).unwrap());
    store.prepare(&markets).await.unwrap();
    let config = subject::Config { nodes: vec![(node.url.parse().unwrap(), None)], archive: None };
    let handles = EventHandles::new(Arc::new(Nodes::new(config).unwrap()));
    let subject = move |stream: &event_worker::market::Stream| handles.at(&stream.source);
    let board = Arc::new(Board::new(&markets));
    let config = observer::Config {
        lease: None,
        poll_interval: INTERVAL,
        max_parked: 100,
        until_caught_up: false,
        scanned_interval: observer::SCANNED_INTERVAL,
        worker: "test".to_owned(),
    };
    let cancel = CancellationToken::new();
    let worker = observer::run(config, store.clone(), markets, subject, Arc::clone(&board), cancel.clone());
    let worker = tokio::spawn(worker);
    let follow = || board.snapshots().iter().all(|observer| observer.state == State::Following);
    until("all follow", follow).await;
    let (start, asked) = (Instant::now(), node.node.requests());
    until("polls", || node.node.requests() >= asked + 61).await;
    // 61 requests: 20 intervals of 3, and one that may have been due at once.
    let took = start.elapsed();
    assert!(took >= INTERVAL * 19, "61 requests within {took:?}");
    assert!(took < INTERVAL * 60, "61 requests only within {took:?}");
    node.node.emit(50);
    database.until_executed(node.node.history().len() as u64, LIMIT).await;
    cancel.cancel();
    assert_eq!(worker.await.unwrap().unwrap(), []);
    store.close().await.unwrap();
    assert_is_plain_fold(&database, &node, "seed 35").await;
}

/// Two nodes behind one address, one of them thousands of versions behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_pair_the_one_that_lags_is_not_believed_about_the_end() {
    let config = Config { seed: 36, events: 1_500, ..Config::default() };
    let (leads, lags) = (node(config.clone()).await, node(config).await);
    lags.node.set_faults("stale:1".parse().unwrap());
    let (turn, urls) = (AtomicU64::new(0), [leads.url.clone(), lags.url.clone()]);
    let url =
        front(move |_| urls.get(usize::try_from(turn.fetch_add(1, Ordering::Relaxed) % 2).unwrap()).cloned()).await;
    let database = TestDatabase::create(Backend::Sqlite).await;
    let setup = Setup::of(&database.url, &url);
    for round in 0..3 {
        let ended = setup.until_caught_up().await.expect(0);
        assert!(!ended.error_log.contains(" ERROR "), "{}", ended.error_log);
        assert_is_plain_fold(&database, &leads, &format!("caught up, round {round}")).await;
        leads.node.emit(200);
        lags.node.emit(200);
    }
    let worker = setup.start();
    for _ in 0..3 {
        database.until_executed(leads.node.history().len() as u64, LIMIT).await;
        leads.node.emit(100);
        lags.node.emit(100);
    }
    database.until_executed(leads.node.history().len() as u64, LIMIT).await;
    worker.terminate().await;
    worker.ended(Duration::from_secs(5)).await.expect(0);
    assert_is_plain_fold(&database, &leads, "followed").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_hangs_does_not_hold_back_the_others() {
    let node = node(Config { seed: 37, events: 900, ..Config::default() }).await;
    let hangs = Arc::new(AtomicBool::new(true));
    let (is_hanging, url) = (Arc::clone(&hangs), node.url.clone());
    let hanging = move |path: &str| path.contains("/list_token_events") && is_hanging.load(Ordering::Relaxed);
    let url = front(move |path| (!hanging(path)).then(|| url.clone())).await;
    let database = TestDatabase::create(Backend::Sqlite).await;
    let setup = Setup::of(&database.url, &url);
    let worker = setup.start();
    let listed = node.node.counters().iter().find(|(stream, _)| stream == "list_token_events").unwrap().1;
    // Sooner than the request is given up.
    database.until_executed(900 - listed, Duration::from_secs(8)).await;
    assert_eq!(
        database.number("SELECT executed_seq_no FROM checkpoints WHERE observer = 'imart:list'").await,
        Some(-1)
    );
    hangs.store(false, Ordering::Relaxed);
    database.until_executed(900, LIMIT).await;
    worker.terminate().await;
    worker.ended(Duration::from_secs(5)).await.expect(0);
    assert_is_plain_fold(&database, &node, "seed 37").await;
}

const UNTIMED: [&str; 2] = ["imart:create_collection", "imart:create_token"];

/// How many events of the node tell no time.
fn untimed(node: &TestNode) -> u64 {
    let counters = node.node.counters();
    let is_untimed = |stream: &str| UNTIMED.contains(&observer(stream));
    counters.iter().filter(|(stream, _)| is_untimed(stream)).map(|(_, count)| count).sum()
}

/// A front of `node` whose questions for blocks fail, at another node, while the switch is on; its URL, the switch, that node.
async fn without_blocks(node: &TestNode, fails: bool) -> (String, Arc<AtomicBool>, TestNode) {
    let failing = TestNode::start(Config { faults: "500:1".parse().unwrap(), ..Config::default() }).await;
    let fails = Arc::new(AtomicBool::new(fails));
    let (is_failing, here, there) = (Arc::clone(&fails), node.url.clone(), failing.url.clone());
    let fails_there = move |path: &str| path.contains("/blocks/") && is_failing.load(Ordering::Relaxed);
    (front(move |path| Some(if fails_there(path) { there.clone() } else { here.clone() })).await, fails, failing)
}

/// How many of them are executed.
async fn untimed_executed(database: &TestDatabase) -> Option<i64> {
    let names = UNTIMED.map(|name| format!("'{name}'")).join(", ");
    database.number(&format!("SELECT COUNT(*) FROM events WHERE observer IN ({names})")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_whose_times_are_not_to_be_had_hold_back_no_others() {
    let node = node(Config { seed: 44, events: 900, ..Config::default() }).await;
    let (url, fails, _failing) = without_blocks(&node, true).await;
    let database = TestDatabase::create(Backend::Sqlite).await;
    let setup = Setup::of(&database.url, &url).patient();
    let mut worker = setup.start();
    let untimed = untimed(&node);
    assert!(untimed > 50);
    database.until_executed(900 - untimed, LIMIT).await;
    worker.line("waits, node unreachable").await;
    assert_eq!(untimed_executed(&database).await, Some(0));
    fails.store(false, Ordering::Relaxed);
    database.until_executed(900, LIMIT).await;
    worker.terminate().await;
    worker.ended(Duration::from_secs(5)).await.expect(0);
    assert_is_plain_fold(&database, &node, "seed 44").await;
    assert_eq!(database.number("SELECT COUNT(*) FROM events WHERE occurred_at IS NULL").await, Some(0));
}

/// Nobody says that a stream has caught up whose last events still wait for their times.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_follows_waits_for_times_too() {
    let node = node(Config { seed: 46, events: 300, ..Config::default() }).await;
    let (url, fails, failing) = without_blocks(&node, false).await;
    let database = TestDatabase::create(Backend::Sqlite).await;
    let mut worker = Setup::of(&database.url, &url).set("POLL_INTERVAL", "100ms").start();
    let caught_up = "imart:create_token is caught up";
    worker.line(caught_up).await;
    fails.store(true, Ordering::Relaxed);
    let before = untimed(&node);
    node.node.emit(200);
    let (emitted, untimed) = (node.node.history().len() as u64, untimed(&node));
    assert!(untimed > before);
    database.until_executed(emitted - (untimed - before), LIMIT).await;
    worker.line("waits, node unreachable").await;
    // Several polls later.
    let (asked, polled) = (failing.node.requests(), node.node.requests());
    until("asked again", || failing.node.requests() > asked && node.node.requests() > polled + 20).await;
    assert_eq!(worker.count(caught_up), 1);
    fails.store(false, Ordering::Relaxed);
    database.until_executed(emitted, LIMIT).await;
    worker.terminate().await;
    worker.ended(Duration::from_secs(5)).await.expect(0);
    assert_is_plain_fold(&database, &node, "seed 46").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_whose_times_are_refused_stop_alone() {
    let node = node(Config { seed: 45, events: 900, ..Config::default() }).await;
    let (refusing, _) = answering(403, &[], "no blocks for you").await;
    let here = node.url.clone();
    let url = front(move |path| Some(if path.contains("/blocks/") { refusing.clone() } else { here.clone() })).await;
    let database = TestDatabase::create(Backend::Sqlite).await;
    let ended = Setup::of(&database.url, &url).until_caught_up().await.expect(1);
    for part in UNTIMED.into_iter().chain(["no blocks for you", "check NODE_API_KEY"]) {
        assert!(ended.stderr.contains(part), "{part:?} is not in: {}", ended.stderr);
    }
    assert_eq!(untimed_executed(&database).await, Some(0));
    assert_eq!(database.executed().await, 900 - untimed(&node));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_chains_in_node_url_only_one_is_read() {
    let ours = node(Config { seed: 38, events: 400, ..Config::default() }).await;
    let theirs = node(Config { seed: 39, events: 900, faults: "chain:5".parse().unwrap(), ..Config::default() }).await;
    let database = TestDatabase::create(Backend::Sqlite).await;
    let both = format!("{},{}", ours.url, theirs.url);
    let setup = Setup::of(&database.url, &both);
    let worker = setup.start();
    database.until_executed(400, LIMIT).await;
    // Ours is away: nobody takes theirs for it.
    ours.node.set_faults("503-html:1".parse().unwrap());
    ours.node.emit(100);
    let asked = theirs.node.requests();
    until("the other node is asked", || theirs.node.requests() >= asked + 20).await;
    assert_eq!(database.executed().await, 400);
    ours.node.set_faults(Faults::default());
    database.until_executed(ours.node.history().len() as u64, LIMIT).await;
    worker.terminate().await;
    let ended = worker.ended(Duration::from_secs(5)).await.expect(0);
    let named: Vec<_> = ended.error_log.lines().filter(|line| line.contains("is of chain 5")).collect();
    assert_eq!(named.len(), 1, "{}", ended.error_log);
    assert!(named[0].contains(&theirs.url) && named[0].contains("NODE_URL"), "{}", named[0]);

    // The wrong one first: the database knows better.
    ours.node.emit(100);
    let both = format!("{},{}", theirs.url, ours.url);
    let ended = Setup::of(&database.url, &both).until_caught_up().await.expect(0);
    assert!(ended.error_log.contains("the database's rows are of chain 4"), "{}", ended.error_log);
    // It alone: refused, and nothing of it is written.
    let ended = Setup::of(&database.url, &theirs.url).until_caught_up().await.expect(1);
    for part in ["imart:list", "imart:create_token", &theirs.url, "chain 5", "chain 4", "NODE_URL", "DATABASE_URL"] {
        assert!(ended.stderr.contains(part), "{part:?} is not in: {}", ended.stderr);
    }
    assert_is_plain_fold(&database, &ours, "ours alone").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_reads_no_node_of_another_chain() {
    let config = Config { seed: 40, events: 300, ..Config::default() };
    let ours = TestNode::start(config.clone()).await;
    let theirs = TestNode::start(Config { faults: "chain:5".parse().unwrap(), ..config }).await;
    let database = TestDatabase::create(Backend::Sqlite).await;
    Setup::of(&database.url, &ours.url).until_caught_up().await.expect(0);
    let import = |nodes: &str| {
        let setup = Setup::of(&database.url, nodes).command("collection-import");
        setup.with("--account").with(event_worker::simulate::CREATOR)
    };
    let ended = import(&theirs.url).to_end().await.expect(1);
    ended.says(&[&theirs.url, "chain 5", "chain 4", "NODE_URL", "DATABASE_URL"]);
    assert_eq!(database.number("SELECT COUNT(*) FROM imports").await, Some(0));
    let ended = import(&format!("{},{}", theirs.url, ours.url)).to_end().await.expect(0);
    assert!(ended.stderr.contains(&format!("{} is of chain 5", theirs.url)), "{}", ended.stderr);
    assert_eq!(database.number("SELECT COUNT(*) FROM imports WHERE chain_id = 4").await, Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_of_another_chain_is_refused() {
    for fault in ["pruned", "pruned-empty"] {
        let config = Config { seed: 41, events: 600, ..Config::default() };
        let (node, archive) = (node(config.clone()).await, node(config).await);
        node.node.set_faults(format!("{fault}:{}", node.node.history()[300].version).parse().unwrap());
        archive.node.set_faults("chain:5".parse().unwrap());
        let database = TestDatabase::create(Backend::Sqlite).await;
        let setup = Setup::of(&database.url, &node.url).set("NODE_ARCHIVE_URL", &archive.url);
        let ended = setup.until_caught_up().await.expect(1);
        for part in [&archive.url, "is of chain 5", "chain 4", "set NODE_ARCHIVE_URL"] {
            assert!(ended.stderr.contains(part), "{fault}: {part:?} is not in: {}", ended.stderr);
        }
        assert_eq!(database.executed().await, 0, "{fault}");
    }
}

/// A node that has fewer events than are stored, and says so again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_counter_that_stays_lower_stops_its_observers() {
    let database = TestDatabase::create(Backend::Sqlite).await;
    let node = node(Config { seed: 42, events: 300, ..Config::default() }).await;
    let setup = Setup::of(&database.url, &node.url);
    let mut worker = setup.start();
    database.until_executed(300, LIMIT).await;
    worker.line("imart:list is caught up").await;
    let before = tables::read(&database.db).await;
    node.node.set_faults("counter-low:1".parse().unwrap());
    let ended = worker.ended(LIMIT).await.expect(1);
    for part in ["imart:list", "has emitted 0 events", "the chain was reset", "DATABASE_URL"] {
        assert!(ended.stderr.contains(part), "{part:?} is not in: {}", ended.stderr);
    }
    tables::assert_equal(&before, &tables::read(&database.db).await, "after the stop");
}
