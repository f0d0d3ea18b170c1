//! An empty database for every run, on the servers at hand.

use std::env;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, ensure};
use event_worker::state::{DatabaseUrl, Store};
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use url::Url;

/// A kind of database.
#[derive(Clone, Copy)]
pub enum Server {
    Sqlite,
    MariaDb,
    Postgres,
}

impl Server {
    /// The variable that holds the server's URL; none for what needs no server.
    pub fn variable(self) -> Option<&'static str> {
        match self {
            Self::Sqlite => None,
            Self::MariaDb => Some("TEST_MYSQL_URL"),
            Self::Postgres => Some("TEST_POSTGRES_URL"),
        }
    }

    /// Its dialect.
    pub fn backend(self) -> DbBackend {
        match self {
            Self::Sqlite => DbBackend::Sqlite,
            Self::MariaDb => DbBackend::MySql,
            Self::Postgres => DbBackend::Postgres,
        }
    }

    /// Whether there is nothing to start.
    pub fn is_at_hand(self) -> bool {
        self.variable().is_none_or(|variable| env::var_os(variable).is_some())
    }

    /// The server's version. Refuses a server that says "committed" before it has written to disk.
    pub async fn version(self, store: &Store) -> Result<String> {
        let (version, durability, expected) = match self {
            // Connecting sets how `SQLite` syncs.
            Self::Sqlite => ("'SQLite ' || sqlite_version()", "'full'", "full"),
            Self::MariaDb => (
                "CONCAT(version(), ', buffer pool of ', @@innodb_buffer_pool_size DIV 1048576, ' MiB')",
                "CONCAT(@@innodb_flush_log_at_trx_commit)",
                "1",
            ),
            Self::Postgres => (
                "'PostgreSQL ' || current_setting('server_version')",
                "current_setting('fsync') || '/' || current_setting('synchronous_commit')",
                "on/on",
            ),
        };
        let found = ask(store, durability).await?;
        ensure!(found == expected, "commits are not durable: {durability} is {found}, not {expected}");
        ask(store, version).await
    }

    /// How large the database is, in MB (10^6 bytes); on MariaDB by its own estimate.
    pub async fn megabytes(self, store: &Store) -> Result<f64> {
        let bytes = match self {
            Self::Sqlite => "(SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()) || ''",
            Self::MariaDb => {
                "(SELECT CONCAT(SUM(data_length + index_length)) FROM information_schema.tables WHERE table_schema = DATABASE())"
            }
            Self::Postgres => "pg_database_size(current_database())::text",
        };
        let bytes: f64 = ask(store, bytes).await?.parse()?;
        Ok((bytes / 1e6).round())
    }

    /// Calls `task` with a new, empty database, in `folder` if it is a file, and removes it.
    pub async fn with_database<T>(self, folder: &Path, task: impl AsyncFnOnce(DatabaseUrl) -> Result<T>) -> Result<T> {
        let Some(variable) = self.variable() else {
            let folder = tempfile::tempdir_in(folder)?;
            let url = format!("sqlite://{}?mode=rwc", folder.path().join("bench.db").display());
            return task(parsed(&url)?).await;
        };
        let mut url = Url::parse(&env::var(variable)?).with_context(|| format!("{variable} is no URL"))?;
        let server = Store::connect(&parsed(url.as_str())?).await?;
        let name = unused_name();
        let db = server.connection();
        db.execute_unprepared(&format!("CREATE DATABASE {name}"))
            .await
            .with_context(|| format!("the user of {variable} cannot create a database"))?;
        url.set_path(&name);
        let done = match parsed(url.as_str()) {
            Ok(url) => task(url).await,
            Err(error) => Err(error),
        };
        db.execute_unprepared(&format!("DROP DATABASE {name}")).await?;
        server.close().await?;
        done
    }
}

fn unused_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("event_worker_bench_{}_{count}", std::process::id())
}

fn parsed(url: &str) -> Result<DatabaseUrl> {
    url.parse().map_err(anyhow::Error::msg)
}

async fn ask(store: &Store, expression: &str) -> Result<String> {
    let db = store.connection();
    let question = Statement::from_string(db.get_database_backend(), format!("SELECT {expression} AS answer"));
    let answer = db.query_one_raw(question).await?.context("no answer")?;
    Ok(answer.try_get("", "answer")?)
}
