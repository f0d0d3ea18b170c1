//! An empty database for each test, gone at its end.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection, Statement};
use tempfile::TempDir;
use url::Url;

/// The databases that the program must work with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    Sqlite,
    MySql,
    Postgres,
}

/// A database of one test.
pub struct TestDatabase {
    pub backend: Backend,
    /// What `DATABASE_URL` has to be.
    pub url: String,
    /// A connection of the test's own.
    pub db: DatabaseConnection,
    name: String,
    server: Option<String>,
    _folder: TempDir,
}

impl TestDatabase {
    /// Makes an empty one.
    pub async fn create(backend: Backend) -> Self {
        let folder = TempDir::new().unwrap();
        let name = unique_name();
        let server = server(backend);
        let url = match &server {
            None => format!("sqlite://{}/test.db?mode=rwc", folder.path().display()),
            Some(server) => {
                execute(&connect(server).await, &format!("CREATE DATABASE {name}")).await;
                let mut url = Url::parse(server).unwrap();
                url.set_path(&name);
                url.to_string()
            }
        };
        let db = connect(&url).await;
        Self { backend, url, db, name, server, _folder: folder }
    }

    /// Runs a statement.
    pub async fn execute(&self, sql: &str) {
        execute(&self.db, sql).await;
    }

    /// Whether a statement could be run.
    pub async fn try_execute(&self, sql: &str) -> bool {
        let statement = Statement::from_string(self.db.get_database_backend(), sql);
        self.db.execute_raw(statement).await.is_ok()
    }

    /// The one number that a query gives; `None` if it cannot be asked, or gives none.
    pub async fn number(&self, sql: &str) -> Option<i64> {
        let statement = Statement::from_string(self.db.get_database_backend(), sql);
        let row = self.db.query_one_raw(statement).await.ok()??;
        row.try_get_by_index(0).ok()
    }

    /// Waits until a query gives another number than 0.
    pub async fn until_some(&self, sql: &str, limit: Duration) {
        let some = async {
            while self.number(sql).await.unwrap() == 0 {
                // InnoDB makes its tables of transactions anew only if nobody has read them for 100 ms.
                tokio::time::sleep(Duration::from_millis(150)).await;
            }
        };
        assert!(tokio::time::timeout(limit, some).await.is_ok(), "after {limit:?} still nothing: {sql}");
    }

    /// The texts of a query's first column.
    pub async fn texts(&self, sql: &str) -> Vec<String> {
        let statement = Statement::from_string(self.db.get_database_backend(), sql);
        let rows = self.db.query_all_raw(statement).await.unwrap();
        rows.iter().map(|row| row.try_get_by_index(0).unwrap()).collect()
    }

    /// What its clock says, in milliseconds.
    pub async fn milliseconds(&self) -> i64 {
        let now = match self.backend {
            Backend::MySql => "SELECT CAST(UNIX_TIMESTAMP(NOW(6)) * 1000 AS SIGNED)",
            Backend::Postgres => "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)",
            Backend::Sqlite => "SELECT CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)",
        };
        self.number(now).await.unwrap()
    }

    /// Its own clock, for SQL.
    pub fn clock(&self) -> &'static str {
        match self.backend {
            Backend::MySql => "UTC_TIMESTAMP(6)",
            Backend::Postgres => "clock_timestamp()",
            Backend::Sqlite => "strftime('%Y-%m-%d %H:%M:%f', 'now')",
        }
    }

    /// How many events the checkpoints have behind them; 0 while there are no tables.
    pub async fn executed(&self) -> u64 {
        let sum = match self.backend {
            Backend::MySql => "SELECT CAST(SUM(executed_seq_no + 1) AS SIGNED) FROM checkpoints",
            Backend::Postgres | Backend::Sqlite => "SELECT CAST(SUM(executed_seq_no + 1) AS BIGINT) FROM checkpoints",
        };
        self.number(sum).await.map_or(0, |sum| u64::try_from(sum).unwrap())
    }

    /// Waits until `count` events have been executed, for no longer than `limit`.
    pub async fn until_executed(&self, count: u64, limit: Duration) {
        let reached = async {
            while self.executed().await < count {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let in_time = tokio::time::timeout(limit, reached).await.is_ok();
        assert!(in_time, "after {limit:?} {} of {count} events are executed", self.executed().await);
    }

    /// The URL of this database for another login.
    pub fn url_for(&self, user: &str, password: &str) -> String {
        let mut url = Url::parse(&self.url).unwrap();
        url.set_username(user).unwrap();
        url.set_password(Some(password)).unwrap();
        url.to_string()
    }

    /// The password in its URL.
    pub fn password(&self) -> String {
        Url::parse(&self.url).unwrap().password().unwrap_or_default().to_owned()
    }

    /// The name of the database on its server.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let Some(server) = self.server.take() else { return };
        // PostgreSQL drops nothing that somebody, such as a worker that has just been killed, is connected to.
        let force = if self.backend == Backend::Postgres { " WITH (FORCE)" } else { "" };
        let sql = format!("DROP DATABASE {}{force}", self.name);
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async { execute(&connect(&server).await, &sql).await });
        });
        if dropping.join().is_err() {
            eprintln!("the database {} is left behind", self.name);
        }
    }
}

/// The server of that kind, which must be there: a test that is skipped proves nothing.
fn server(backend: Backend) -> Option<String> {
    let variable = match backend {
        Backend::Sqlite => return None,
        Backend::MySql => "TEST_MYSQL_URL",
        Backend::Postgres => "TEST_POSTGRES_URL",
    };
    let remedy = "run ./scripts/test, or `scripts/databases cargo test`";
    Some(std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set: {remedy}")))
}

async fn connect(url: &str) -> DatabaseConnection {
    let mut options = ConnectOptions::new(url);
    options.max_connections(1).sqlx_logging(false);
    Database::connect(options).await.unwrap_or_else(|error| panic!("cannot connect: {error}"))
}

async fn execute(db: &DatabaseConnection, sql: &str) {
    let statement = Statement::from_string(db.get_database_backend(), sql);
    db.execute_raw(statement).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

/// Told apart from those of other tests, other processes, and earlier runs; short enough to make a user's name of it.
fn unique_name() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    format!("e2e_{}_{now:x}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed))
}
