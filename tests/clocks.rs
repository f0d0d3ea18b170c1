//! The clock of a worker's machine jumps, and the clocks of two machines differ: nothing is lost or doubled, and no lease changes
//! hands. Clocks are faked by libfaketime (Debian's package `faketime`), within the worker's process.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod support;

use std::path::{Path, PathBuf};
use std::time::Duration;

use event_worker::simulate::Config;
use support::database::{Backend, TestDatabase};
use support::node::TestNode;
use support::plain_fold::plain_fold;
use support::process::{Setup, Worker};
use support::tables;

on_every_database!(jumps_and_differences_of_clocks_change_nothing);

const PATIENCE: Duration = Duration::from_mins(1);

/// A machine's clock, as far as its processes can tell.
struct Clock {
    file: tempfile::TempPath,
}

impl Clock {
    /// So many seconds from the true time.
    fn at(seconds: i64) -> Self {
        let clock = Self { file: tempfile::NamedTempFile::new().unwrap().into_temp_path() };
        clock.jump_to(seconds);
        clock
    }

    fn jump_to(&self, seconds: i64) {
        let new = self.file.with_extension("new");
        std::fs::write(&new, format!("{seconds:+}")).unwrap();
        std::fs::rename(new, &self.file).unwrap();
    }

    /// A worker on that machine. What measures how long something takes is left alone, as the kernel does when a clock is set.
    fn start(&self, setup: &Setup, library: &Path) -> Worker {
        let setup = setup.again().set("LD_PRELOAD", &library.display().to_string());
        let setup = setup.set("FAKETIME_TIMESTAMP_FILE", &self.file.display().to_string());
        setup.set("FAKETIME_NO_CACHE", "1").set("FAKETIME_DONT_FAKE_MONOTONIC", "1").start()
    }
}

fn library() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let mut libraries = folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1"));
    libraries.find(|library| library.exists())
}

/// How often leases have changed hands, once two workers have four each.
async fn epochs(database: &TestDatabase) -> i64 {
    let shared = async {
        loop {
            let holders = database.texts("SELECT COALESCE(lease_holder, '') FROM checkpoints").await;
            let others = holders.iter().filter(|holder| **holder != holders[0]);
            if !holders.iter().any(String::is_empty) && others.count() == 4 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, shared).await.expect("the observers are shared out");
    let sum = if database.backend == Backend::MySql { "SIGNED" } else { "BIGINT" };
    database.number(&format!("SELECT CAST(SUM(lease_epoch) AS {sum}) FROM checkpoints")).await.unwrap()
}

/// How many checkpoints were last written by a worker whose clock is ahead of the true time, and behind it.
async fn written(database: &TestDatabase) -> (i64, i64) {
    let [past, future] = match database.backend {
        Backend::MySql => ["UTC_TIMESTAMP(6) - INTERVAL 1 MINUTE", "UTC_TIMESTAMP(6) + INTERVAL 1 MINUTE"],
        Backend::Postgres => ["now() - interval '1 minute'", "now() + interval '1 minute'"],
        Backend::Sqlite => {
            ["strftime('%Y-%m-%d %H:%M:%f', 'now', '-1 minute')", "strftime('%Y-%m-%d %H:%M:%f', 'now', '+1 minute')"]
        }
    };
    let count = async |than: String| {
        database.number(&format!("SELECT COUNT(*) FROM checkpoints WHERE updated_at {than}")).await.unwrap()
    };
    (count(format!("> {future}")).await, count(format!("< {past}")).await)
}

async fn jumps_and_differences_of_clocks_change_nothing(backend: Backend) {
    let Some(library) = library() else {
        eprintln!("skipped: libfaketime is not there (apt-get install faketime)");
        return;
    };
    let node = TestNode::start(Config { events: 2_000, collections: 0, ..Config::default() }).await;
    let database = TestDatabase::create(backend).await;
    // Long enough for a busy machine: whoever is late loses them, whatever the clocks.
    let setup = Setup::of(&database.url, &node.url).set("LEASE", "5s");
    let (one, other) = (Clock::at(420), Clock::at(-420));
    // A file is on one machine.
    let other = if backend == Backend::Sqlite { &one } else { &other };
    let workers = [one.start(&setup, &library), other.start(&setup, &library)];
    database.until_executed(2_000, PATIENCE).await;
    let before = epochs(&database).await;
    for seconds in [420, 3_600, -900, -200, 86_400, 0, 420] {
        one.jump_to(seconds);
        other.jump_to(if backend == Backend::Sqlite { seconds } else { -seconds });
        node.node.emit(200);
        database.until_executed(node.node.history().len() as u64, PATIENCE).await;
    }
    let written = written(&database).await;
    assert!(written.0 > 0, "{backend:?}: nobody's clock was ahead");
    assert!(written.1 > 0 || backend == Backend::Sqlite, "{backend:?}: nobody's clock was behind");
    // On SQLite the database's clock is that of its machine: leases end when it jumps ahead.
    if backend != Backend::Sqlite {
        assert_eq!(epochs(&database).await, before, "{backend:?}: leases have changed hands");
    }
    for worker in workers {
        worker.terminate().await;
        worker.ended(PATIENCE).await.expect(0);
    }
    let what = format!("{backend:?}, clocks");
    tables::assert_equal(&plain_fold(&node.node.history()), &tables::read(&database.db).await, &what);
}
