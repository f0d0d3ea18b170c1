//! The database can be read and not written: the worker waits where that may pass by itself, and says what is wrong where it cannot.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod support;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use event_worker::simulate::Config;
use support::database::{Backend, TestDatabase};
use support::node::TestNode;
use support::plain_fold::plain_fold;
use support::process::Setup;
use support::tables;

const PATIENCE: Duration = Duration::from_mins(1);

async fn market() -> TestNode {
    TestNode::start(Config { events: 1_000, collections: 0, ..Config::default() }).await
}

/// A worker that is at work while the server becomes read-only, and one that is started then.
async fn waits_until_it_can_be_written(
    node: &TestNode,
    database: &TestDatabase,
    url: &str,
    set: impl AsyncFn(bool),
    said: &str,
) {
    let setup = Setup::of(url, &node.url);
    let mut worker = setup.start();
    database.until_executed(1_000, PATIENCE).await;
    set(true).await;
    node.node.emit(300);
    worker.line("all observers wait, database unreachable").await;
    worker.line(said).await;
    let mut later = setup.start();
    later.line("all observers wait, database unreachable").await;
    later.line(said).await;
    set(false).await;
    database.until_executed(node.node.history().len() as u64, PATIENCE).await;
    worker.line("the database works again").await;
    for worker in [worker, later] {
        worker.terminate().await;
        worker.ended(PATIENCE).await.expect(0);
    }
    let what = format!("{:?}, read-only", database.backend);
    tables::assert_equal(&plain_fold(&node.node.history()), &tables::read(&database.db).await, &what);
}

/// `read_only` is the whole server's, and binds those who have no rights on all of it; so no other test.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_on_mysql() {
    let node = market().await;
    let database = TestDatabase::create(Backend::MySql).await;
    let (name, user) = (database.name(), format!("r{}", &database.name()[3..]));
    database.execute(&format!("CREATE USER '{user}'@'%' IDENTIFIED BY 'secret'")).await;
    database.execute(&format!("GRANT ALL ON {name}.* TO '{user}'@'%'")).await;
    let set = async |on: bool| database.execute(&format!("SET GLOBAL read_only = {}", u8::from(on))).await;
    let url = database.url_for(&user, "secret");
    waits_until_it_can_be_written(&node, &database, &url, set, "read-only option").await;
    database.execute(&format!("DROP USER '{user}'@'%'")).await;
}

/// As after a failover that a worker's connections have survived: their sessions stay read-only, new ones are not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_on_postgres() {
    let node = market().await;
    let database = TestDatabase::create(Backend::Postgres).await;
    let name = database.name();
    let set = async |on: bool| {
        database.execute(&format!("ALTER DATABASE {name} SET default_transaction_read_only = {on}")).await;
        if on {
            let others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
            database.execute(&format!("SELECT pg_terminate_backend(pid) {others}")).await;
        }
    };
    waits_until_it_can_be_written(&node, &database, &database.url, set, "read-only transaction").await;
}

/// Nothing that passes by itself: refused, with the remedy. Root may write whatever the rights say, but not on such a disk.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file() {
    let node = market().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display().to_string();
    let mount = |arguments: &[&str]| {
        Command::new("mount").args(arguments).arg(&path).status().is_ok_and(|ended| ended.success())
    };
    let is_disk = mount(&["-t", "tmpfs", "tmpfs"]);
    let set = |on: bool| {
        if is_disk {
            assert!(mount(&["-o", if on { "remount,ro" } else { "remount,rw" }]));
        } else {
            let [file, mode] = if on { [0o444, 0o555] } else { [0o644, 0o755] };
            std::fs::set_permissions(folder.path().join("test.db"), Permissions::from_mode(file)).unwrap();
            std::fs::set_permissions(folder.path(), Permissions::from_mode(mode)).unwrap();
        }
    };
    let setup = Setup::of(&format!("sqlite://{path}/test.db?mode=rwc"), &node.url);
    setup.until_caught_up().await.expect(0);
    set(true);
    node.node.emit(100);
    let refused = setup.until_caught_up().await.expect(2);
    set(false);
    setup.until_caught_up().await.expect(0);
    let database = sea_orm::Database::connect(format!("sqlite://{path}/test.db")).await.unwrap();
    let found = tables::read(&database).await;
    database.close().await.unwrap();
    if is_disk {
        Command::new("umount").args(["-l", &path]).status().unwrap();
    }
    assert!(refused.stderr.contains("its rights"), "{}", refused.stderr);
    tables::assert_equal(&plain_fold(&node.node.history()), &found, "a file that could not be written");
}
