//! The disk of a database is full: what does not fit waits until there is room. The disks are of memory, which only root may make.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod support;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use event_worker::simulate::Config;
use sea_orm::{ConnectOptions, ConnectionTrait, Database};
use support::database::{Backend, TestDatabase};
use support::node::TestNode;
use support::plain_fold::plain_fold;
use support::process::Setup;
use support::tables;

const PATIENCE: Duration = Duration::from_mins(1);

/// A disk that is unmounted when dropped.
struct Disk(PathBuf);

impl Disk {
    /// Over that folder, owned by whoever owns `like`; none for who may not.
    fn mount(folder: &Path, megabytes: u32, like: &Path) -> Option<Self> {
        let owner = std::fs::metadata(like).ok()?;
        let options = format!("size={megabytes}m,uid={},gid={},mode=700", owner.uid(), owner.gid());
        if !run("mount", &["-t", "tmpfs", "-o", &options, "tmpfs", &folder.display().to_string()]) {
            eprintln!("skipped: only root may mount a small disk");
            return None;
        }
        Some(Self(folder.to_owned()))
    }

    fn grow(&self) {
        assert!(run("mount", &["-o", "remount,size=300m", &self.0.display().to_string()]));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        run("umount", &["-l", &self.0.display().to_string()]);
    }
}

fn run(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).status().is_ok_and(|status| status.success())
}

async fn market() -> TestNode {
    TestNode::start(Config { events: 3_000, collections: 0, ..Config::default() }).await
}

/// A worker that fills the disk, waits, and goes on.
async fn waits_for_room(setup: &Setup, disk: &Disk) {
    let mut worker = setup.start();
    worker.line("all observers wait, database unreachable").await;
    disk.grow();
    worker.line("the database works again").await;
    setup.until_caught_up().await.expect(0);
    worker.terminate().await;
    worker.ended(PATIENCE).await.expect(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sqlite() {
    let node = market().await;
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::mount(folder.path(), 3, folder.path()) else { return };
    let url = format!("sqlite://{}/full.db?mode=rwc", folder.path().display());
    waits_for_room(&Setup::of(&url, &node.url), &disk).await;
    let database = Database::connect(&url).await.unwrap();
    tables::assert_equal(&plain_fold(&node.node.history()), &tables::read(&database).await, "a full disk");
    database.close().await.unwrap();
}

/// The disk is put over the folder of the database.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_mysql() {
    let node = market().await;
    let database = TestDatabase::create(Backend::MySql).await;
    let data = PathBuf::from(database.texts("SELECT @@datadir").await.remove(0));
    let folder = data.join(database.name());
    if !folder.exists() {
        eprintln!("skipped: the server's files are not here");
        return;
    }
    let Some(disk) = Disk::mount(&folder, 6, &data) else { return };
    waits_for_room(&Setup::of(&database.url, &node.url), &disk).await;
    tables::assert_equal(&plain_fold(&node.node.history()), &tables::read(&database.db).await, "a full disk");
    for table in
        database.texts("SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()").await
    {
        database.execute(&format!("DROP TABLE {table}")).await;
    }
}

/// The disk is a tablespace.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgres() {
    let node = market().await;
    let database = TestDatabase::create(Backend::Postgres).await;
    let data = PathBuf::from(database.texts("SHOW data_directory").await.remove(0));
    let folder = tempfile::tempdir().unwrap();
    if !data.exists() {
        eprintln!("skipped: the server's files are not here");
        return;
    }
    let Some(disk) = Disk::mount(folder.path(), 3, &data) else { return };
    let name = database.name().to_owned();
    database.execute(&format!("CREATE TABLESPACE {name} LOCATION '{}'", folder.path().display())).await;
    database.execute(&format!("ALTER DATABASE {name} SET default_tablespace = {name}")).await;
    waits_for_room(&Setup::of(&database.url, &node.url), &disk).await;
    tables::assert_equal(&plain_fold(&node.node.history()), &tables::read(&database.db).await, "a full disk");
    let server = std::env::var("TEST_POSTGRES_URL").unwrap();
    drop(database);
    let server = Database::connect(ConnectOptions::new(server).sqlx_logging(false).to_owned()).await.unwrap();
    server.execute_unprepared(&format!("DROP TABLESPACE {name}")).await.unwrap();
    server.close().await.unwrap();
}
