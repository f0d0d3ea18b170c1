//! A real server that is killed while a worker is catching up, twice, and started again on what it has left.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod support;

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use event_worker::simulate::Config;
use sea_orm::{ConnectionTrait, Database, DatabaseConnection, Statement};
use support::database::Backend;
use support::node::TestNode;
use support::plain_fold::plain_fold;
use support::process::Setup;
use support::tables;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

const PATIENCE: Duration = Duration::from_mins(2);
const LOOK: Duration = Duration::from_millis(20);

/// A server for this test alone.
struct Server {
    url: String,
    process: u32,
    program: PathBuf,
    arguments: Vec<String>,
    folder: PathBuf,
    user: (u32, u32),
    /// As long as its input is open the server's data are kept.
    _keeper: Child,
    again: Option<Child>,
}

impl Server {
    async fn start(backend: Backend) -> Self {
        let (ours, other) = match backend {
            Backend::MySql => ("TEST_MYSQL_URL", "TEST_POSTGRES_URL"),
            _ => ("TEST_POSTGRES_URL", "TEST_MYSQL_URL"),
        };
        let mut keeper = Command::new("scripts/databases");
        keeper.args(["bash", "-c", &format!("echo ${ours}; exec cat")]);
        keeper.env_remove(ours).env(other, "not started").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut keeper = keeper.spawn().unwrap();
        let mut lines = BufReader::new(keeper.stdout.take().unwrap()).lines();
        let url = lines.next_line().await.unwrap().expect("scripts/databases starts a server");
        let port = url::Url::parse(&url).unwrap().port().unwrap().to_string();
        let process = process_of(&port).expect("it runs");
        let of = |what: &str| std::fs::read_link(format!("/proc/{process}/{what}")).unwrap();
        let meta = std::fs::metadata(format!("/proc/{process}")).unwrap();
        Self {
            process,
            program: of("exe"),
            arguments: arguments(process)[1..].to_vec(),
            folder: of("cwd"),
            user: (meta.uid(), meta.gid()),
            url,
            _keeper: keeper,
            again: None,
        }
    }

    /// Ends it without a chance to write anything.
    async fn kill(&mut self, backend: Backend) {
        // PostgreSQL's other processes would outlive the first one: this is what ends them all, as a crash would.
        let signal = if backend == Backend::Postgres { "-QUIT" } else { "-KILL" };
        let process = self.again.as_ref().and_then(Child::id).unwrap_or(self.process);
        assert!(Command::new("kill").args([signal, &process.to_string()]).status().await.unwrap().success());
        match &mut self.again {
            Some(child) => drop(child.wait().await.unwrap()),
            None => {
                while arguments(process).len() > 1 {
                    tokio::time::sleep(LOOK).await;
                }
            }
        }
    }

    fn start_again(&mut self) {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).current_dir(&self.folder).uid(self.user.0).gid(self.user.1);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        self.again = Some(command.spawn().unwrap());
    }

    async fn connect(&self) -> DatabaseConnection {
        let connecting = async {
            loop {
                match Database::connect(&self.url).await {
                    Ok(db) => return db,
                    Err(_) => tokio::time::sleep(LOOK).await,
                }
            }
        };
        tokio::time::timeout(PATIENCE, connecting).await.expect("the server answers again")
    }
}

/// What a process was started with; nothing of one that has ended.
fn arguments(process: u32) -> Vec<String> {
    let line = std::fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).split('\0').filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

fn process_of(port: &str) -> Option<u32> {
    let processes =
        std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    processes.into_iter().find(|process| {
        let arguments = arguments(*process);
        let is_of = |pair: &[String]| pair[0] == "-p" && pair[1] == port;
        arguments.iter().any(|one| *one == format!("--port={port}")) || arguments.windows(2).any(is_of)
    })
}

async fn executed(db: &DatabaseConnection) -> i64 {
    let backend = db.get_database_backend();
    let kind = if backend == sea_orm::DbBackend::MySql { "SIGNED" } else { "BIGINT" };
    let sql = format!("SELECT CAST(COALESCE(SUM(events_total), 0) AS {kind}) FROM checkpoints");
    match db.query_one_raw(Statement::from_string(backend, sql)).await {
        Ok(Some(row)) => row.try_get_by_index(0).unwrap(),
        // Before the worker has made the table.
        _ => 0,
    }
}

async fn a_server_is_killed_while_a_worker_catches_up(backend: Backend) {
    const EVENTS: u64 = 12_000;
    let node = TestNode::start(Config { seed: 51, events: EVENTS, ..Config::default() }).await;
    let mut server = Server::start(backend).await;
    let mut worker = Setup::of(&server.url, &node.url).start_with(&["--until-caught-up"]);
    let mut db = server.connect().await;
    for (least, crashes) in [(2_000, 1), (6_000, 2)] {
        let reached = async {
            while executed(&db).await < least {
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(PATIENCE, reached).await.expect("the worker gets on");
        server.kill(backend).await;
        worker.times("all observers wait, database unreachable", crashes).await;
        server.start_again();
        db = server.connect().await;
        let before = executed(&db).await;
        assert!((least..12_000).contains(&before), "{before} events are left of the crash");
    }
    worker.ended(PATIENCE).await.expect(0);
    let expected = plain_fold(&node.node.history());
    tables::assert_equal(&expected, &tables::read(&db).await, &format!("{backend:?}, seed 51"));
    let verify = Setup::of(&server.url, &node.url).command("verify").to_end().await.expect(0);
    assert!(verify.stdout.contains("verified: 12000 events"), "{}", verify.stdout);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mariadb_is_killed_while_a_worker_catches_up() {
    a_server_is_killed_while_a_worker_catches_up(Backend::MySql).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_is_killed_while_a_worker_catches_up() {
    a_server_is_killed_while_a_worker_catches_up(Backend::Postgres).await;
}
