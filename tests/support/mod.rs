//! What the end-to-end tests share: databases, the program as a process, a simulated node, and what the tables must hold.

#![allow(dead_code, reason = "each test file needs another part")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

pub mod answers;
pub mod canned;
pub mod database;
pub mod front;
pub mod node;
pub mod plain_fold;
pub mod process;
pub mod proxy;
pub mod scanned;
pub mod tables;

/// One test per database of each scenario, an `async fn(Backend)`.
#[macro_export]
macro_rules! on_every_database {
    ($($scenario:ident),+ $(,)?) => {
        $crate::on_databases!([on_sqlite Sqlite, on_mysql MySql, on_postgres Postgres] $($scenario),+);
    };
}

/// The same for those that are behind a wire.
#[macro_export]
macro_rules! on_every_server {
    ($($scenario:ident),+ $(,)?) => {
        $crate::on_databases!([on_mysql MySql, on_postgres Postgres] $($scenario),+);
    };
}

/// One test of each scenario on each of these.
#[macro_export]
macro_rules! on_databases {
    ($databases:tt $($scenario:ident),+) => {$(
        mod $scenario {
            $crate::on_databases!(@ $scenario $databases);
        }
    )+};
    (@ $scenario:ident [$($test:ident $backend:ident),+]) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $test() {
            super::$scenario($crate::support::database::Backend::$backend).await;
        }
    )+};
}
