//! What goes wrong between the program and its database, and that in the end nothing is lost or doubled.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod support;

use std::sync::atomic::Ordering;
use std::time::Duration;

use event_worker::simulate::Config;
use sea_orm::{ConnectionTrait, DatabaseTransaction, TransactionTrait};
use support::database::{Backend, TestDatabase};
use support::node::TestNode;
use support::plain_fold::plain_fold;
use support::process::Setup;
use support::proxy::Proxy;
use support::tables;

const PATIENCE: Duration = Duration::from_mins(1);

on_every_server!(
    connections_that_end_at_every_message,
    lost_answers_to_commit,
    a_server_that_goes_away_and_comes_back,
    a_slow_server,
    connections_taken_by_somebody_else,
    a_deadlock,
);

on_every_database!(
    a_lock_that_somebody_holds,
    a_lock_that_is_held_longer_than_anybody_waits_for_it,
    a_table_that_is_gone,
    a_worker_stopped_in_front_of_a_hanging_database,
);

async fn market(events: u64) -> TestNode {
    TestNode::start(Config { events, collections: 0, ..Config::default() }).await
}

async fn assert_folded(node: &TestNode, database: &TestDatabase, what: &str) {
    let what = format!("{:?}, {what}", database.backend);
    tables::assert_equal(&plain_fold(&node.node.history()), &tables::read(&database.db).await, &what);
}

/// Each connection lives for one message more than the one before it, so that each message of a commit is the last one once.
async fn connections_that_end_at_every_message(backend: Backend) {
    let node = market(4_000).await;
    let database = TestDatabase::create(backend).await;
    let proxy = Proxy::start(&database.url).await;
    let setup = Setup::of(&proxy.url, &node.url);
    // Small commits: many of them.
    let worker = setup.start();
    database.until_executed(1, PATIENCE).await;
    // Connecting alone takes about ten.
    proxy.cut_after(8);
    for _ in 0..24 {
        proxy.kick();
        node.node.emit(25);
        let cuts = proxy.faults.cuts.load(Ordering::SeqCst);
        let before = database.executed().await;
        let more = async {
            while database.executed().await == before && proxy.faults.cuts.load(Ordering::SeqCst) < cuts + 8 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let _ = tokio::time::timeout(PATIENCE, more).await;
    }
    proxy.cut_after(0);
    database.until_executed(node.node.history().len() as u64, PATIENCE).await;
    worker.terminate().await;
    worker.ended(PATIENCE).await.expect(0);
    let cuts = proxy.faults.cuts.load(Ordering::SeqCst);
    println!("{backend:?}: {cuts} connections cut");
    assert!(cuts > 30, "{backend:?}: only {cuts} connections were cut");
    assert_folded(&node, &database, "cut").await;
}

/// The server has committed, and nobody hears of it.
async fn lost_answers_to_commit(backend: Backend) {
    let node = market(3_000).await;
    let database = TestDatabase::create(backend).await;
    let proxy = Proxy::start(&database.url).await;
    let setup = Setup::of(&proxy.url, &node.url);
    let worker = setup.start();
    database.until_executed(1, PATIENCE).await;
    proxy.lose_one_of(2);
    let mut rounds = 0;
    while proxy.faults.lost.load(Ordering::SeqCst) < 12 {
        rounds += 1;
        assert!(rounds < 200, "{backend:?}: only {} answers lost", proxy.faults.lost.load(Ordering::SeqCst));
        node.node.emit(20);
        database.until_executed(node.node.history().len() as u64, PATIENCE).await;
    }
    proxy.lose_one_of(0);
    worker.terminate().await;
    worker.ended(PATIENCE).await.expect(0);
    assert_folded(&node, &database, "lost answers").await;
}

async fn a_server_that_goes_away_and_comes_back(backend: Backend) {
    let node = market(6_000).await;
    let database = TestDatabase::create(backend).await;
    let proxy = Proxy::start(&database.url).await;
    let setup = Setup::of(&proxy.url, &node.url);
    let mut worker = setup.start();
    for round in 1..=3 {
        let total = node.node.history().len() as u64;
        database.until_executed(total * round / 4, PATIENCE).await;
        let before = worker.count("all observers wait");
        proxy.down();
        node.node.emit(500);
        worker.times("all observers wait", before + 1).await;
        let executed = database.executed().await;
        proxy.up();
        database.until_executed(executed + 1, PATIENCE).await;
    }
    database.until_executed(node.node.history().len() as u64, PATIENCE).await;
    worker.terminate().await;
    let ended = worker.ended(PATIENCE).await.expect(0);
    // Once per change of cause, not once per try.
    let told = ended.stdout.matches("all observers wait").count();
    assert!((3..=12).contains(&told), "{told} times: {}", ended.stdout);
    assert_folded(&node, &database, "away").await;
}

async fn a_slow_server(backend: Backend) {
    let node = market(1_500).await;
    let database = TestDatabase::create(backend).await;
    let proxy = Proxy::start(&database.url).await;
    proxy.delay(Duration::from_millis(20));
    Setup::of(&proxy.url, &node.url).until_caught_up().await.expect(0);
    assert_folded(&node, &database, "slow").await;
}

/// The user may have only so many connections, and somebody else has them.
async fn connections_taken_by_somebody_else(backend: Backend) {
    let node = market(1_000).await;
    let database = TestDatabase::create(backend).await;
    let (name, user) = (database.name(), format!("u{}", &database.name()[3..]));
    let limit = async |connections: u32| match backend {
        Backend::MySql => {
            let sql = format!("ALTER USER '{user}'@'%' WITH MAX_USER_CONNECTIONS {connections}");
            database.execute(&sql).await;
        }
        Backend::Postgres => database.execute(&format!("ALTER ROLE {user} CONNECTION LIMIT {connections}")).await,
        Backend::Sqlite => unreachable!("it has no server"),
    };
    if backend == Backend::MySql {
        database.execute(&format!("CREATE USER '{user}'@'%' IDENTIFIED BY 'secret'")).await;
        database.execute(&format!("GRANT ALL ON {name}.* TO '{user}'@'%'")).await;
    } else {
        database.execute(&format!("CREATE ROLE {user} LOGIN PASSWORD 'secret' CONNECTION LIMIT 1")).await;
        database.execute(&format!("GRANT ALL ON SCHEMA public TO {user}")).await;
    }
    limit(1).await;
    let url = database.url_for(&user, "secret");
    let mut other = sea_orm::ConnectOptions::new(&url);
    let other = sea_orm::Database::connect(other.max_connections(1).sqlx_logging(false).to_owned()).await.unwrap();
    let mut worker = Setup::of(&url, &node.url).start();
    worker.line("database unreachable").await;
    limit(20).await;
    database.until_executed(1_000, PATIENCE).await;
    worker.terminate().await;
    worker.ended(PATIENCE).await.expect(0);
    other.close().await.unwrap();
    assert_folded(&node, &database, "taken").await;
    if backend == Backend::MySql {
        database.execute(&format!("DROP USER '{user}'@'%'")).await;
    } else {
        database.execute(&format!("DROP OWNED BY {user} CASCADE")).await;
        database.execute(&format!("DROP ROLE {user}")).await;
    }
}

/// Somebody else takes the same locks the other way round, and the server ends the worker's transaction: it is the lighter one
/// (`MariaDB`), and has waited longer (`PostgreSQL`).
async fn a_deadlock(backend: Backend) {
    let node = market(1_000).await;
    let database = TestDatabase::create(backend).await;
    let setup = Setup::of(&database.url, &node.url);
    setup.until_caught_up().await.expect(0);
    let connection = sea_orm::Database::connect(&database.url).await.unwrap();
    let other = connection.begin().await.unwrap();
    if backend == Backend::Postgres {
        // Whoever looks for a deadlock finds it, once, so long after it began to wait: the worker, and no sooner than there is one.
        database.execute(&format!("ALTER DATABASE {} SET deadlock_timeout = '3s'", database.name())).await;
        other.execute_unprepared("SET LOCAL deadlock_timeout = '1min'").await.unwrap();
    }
    other.execute_unprepared("UPDATE orders SET quantity = 1").await.unwrap();
    other.execute_unprepared("UPDATE activities SET fee = 1").await.unwrap();
    node.node.emit(100);
    let worker = setup.start();
    let waits = match backend {
        Backend::MySql => {
            "SELECT COUNT(*) FROM information_schema.innodb_trx JOIN information_schema.processlist ON id = trx_mysql_thread_id
             WHERE trx_state = 'LOCK WAIT' AND db = DATABASE()"
        }
        _ => "SELECT COUNT(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()",
    };
    database.until_some(waits, PATIENCE).await;
    // It holds this lock, and lets go of it only because it has to.
    let taken = other.execute_unprepared("UPDATE commits SET number = number");
    tokio::time::timeout(PATIENCE, taken).await.expect("the server sees a deadlock").unwrap();
    other.rollback().await.unwrap();
    connection.close().await.unwrap();
    database.until_executed(node.node.history().len() as u64, PATIENCE).await;
    worker.terminate().await;
    worker.ended(PATIENCE).await.expect(0);
    assert_folded(&node, &database, "a deadlock").await;
}

/// A lock that every commit needs.
async fn hold(database: &TestDatabase) -> DatabaseTransaction {
    let transaction = database.db.begin().await.unwrap();
    transaction.execute_unprepared("UPDATE commits SET number = number").await.unwrap();
    transaction
}

/// For longer than a worker waits without a word.
async fn a_lock_that_somebody_holds(backend: Backend) {
    let node = market(1_000).await;
    let database = TestDatabase::create(backend).await;
    let mut worker = Setup::of(&database.url, &node.url).patient().start();
    database.until_executed(1_000, PATIENCE).await;
    let transaction = hold(&database).await;
    node.node.emit(300);
    worker.line("all observers wait, database locked: ").await;
    transaction.rollback().await.unwrap();
    database.until_executed(node.node.history().len() as u64, PATIENCE).await;
    worker.terminate().await;
    worker.ended(PATIENCE).await.expect(0);
    assert_folded(&node, &database, "locked").await;
}

/// Until the database itself says that it was waited for in vain.
async fn a_lock_that_is_held_longer_than_anybody_waits_for_it(backend: Backend) {
    let node = market(1_000).await;
    let database = TestDatabase::create(backend).await;
    // Leases that hold: what is emitted is read, and its commit waits.
    let setup = Setup::of(&database.url, &node.url).patient().set("RUST_LOG", "info,event_worker=debug");
    let mut worker = setup.start();
    database.until_executed(1_000, PATIENCE).await;
    let connection = sea_orm::Database::connect(&database.url).await.unwrap();
    let transaction = connection.begin().await.unwrap();
    transaction.execute_unprepared("UPDATE commits SET number = number").await.unwrap();
    node.node.emit(300);
    worker.line("all observers wait, database locked: ").await;
    let in_vain = match backend {
        Backend::Sqlite => "database is locked",
        Backend::MySql => "Lock wait timeout exceeded",
        Backend::Postgres => "canceling statement due to lock timeout",
    };
    worker.line(&format!("a commit is tried again: {in_vain}")).await;
    if backend != Backend::Sqlite {
        // There nobody could write it.
        let told = format!(
            "SELECT COUNT(*) FROM observer_status WHERE cause = 'database locked' AND last_error LIKE '%{in_vain}%another process holds a lock%'"
        );
        database.until_some(&told, PATIENCE).await;
    }
    transaction.rollback().await.unwrap();
    connection.close().await.unwrap();
    database.until_executed(node.node.history().len() as u64, PATIENCE).await;
    worker.terminate().await;
    let ended = worker.ended(PATIENCE).await.expect(0);
    assert!(ended.stdout.contains("the database works again after"), "{}", ended.stdout);
    assert!(!ended.stdout.contains("database unreachable"), "{}", ended.stdout);
    assert_folded(&node, &database, "locked for long").await;
}

/// The observers that need it stop, and say what to do.
async fn a_table_that_is_gone(backend: Backend) {
    let node = market(500).await;
    let database = TestDatabase::create(backend).await;
    let setup = Setup::of(&database.url, &node.url);
    setup.until_caught_up().await.expect(0);
    database.execute("ALTER TABLE orders RENAME TO elsewhere").await;
    node.node.emit(300);
    let ended = setup.until_caught_up().await.expect(1);
    assert!(ended.stderr.contains("event-worker migrate up"), "{}", ended.stderr);
    assert!(ended.stderr.contains("imart:list"), "{}", ended.stderr);
    database.execute("ALTER TABLE elsewhere RENAME TO orders").await;
    setup.until_caught_up().await.expect(0);
    assert_folded(&node, &database, "a table gone").await;
}

/// It ends in time all the same.
async fn a_worker_stopped_in_front_of_a_hanging_database(backend: Backend) {
    let node = market(500).await;
    let database = TestDatabase::create(backend).await;
    let setup = Setup::of(&database.url, &node.url).patient();
    let mut worker = setup.start();
    database.until_executed(500, PATIENCE).await;
    let transaction = hold(&database).await;
    node.node.emit(100);
    worker.line("all observers wait, database locked: ").await;
    worker.terminate().await;
    worker.ended(Duration::from_secs(10)).await.expect(0);
    transaction.rollback().await.unwrap();
    setup.until_caught_up().await.expect(0);
    assert_folded(&node, &database, "hanging").await;
}
