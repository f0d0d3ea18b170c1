//! What a database's error means for us: try again, wait, or give up.

use std::time::Duration;

use sea_orm::sqlx;
use sea_orm::{DbErr, RuntimeErr};
use tokio::time::timeout;

/// Longer than any server takes that will ever answer: lock waits end after 10 s, or twice that (`connect`).
pub(super) const ANSWER: Duration = Duration::from_secs(30);

/// A failure of the database, with what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database said no. [`StoreError::trouble`] tells whether it is worth trying again.
    #[error("{}", explained(.0))]
    Db(#[source] DbErr),
    /// The checkpoint is not where it was: another worker executes this stream too.
    #[error("the checkpoint of {0} was moved by another worker")]
    Moved(String),
    /// Somebody else has written rows since a plan read them.
    #[error("another process has written meanwhile")]
    Overtaken,
    /// Rows depend on the order of events within these versions, which nobody has asked for.
    #[error("the order of events within {0} is not known")]
    Unordered(super::Unordered),
    /// There is no server where the URL says.
    #[error("{0}")]
    Unreachable(String),
    /// Something that trying again cannot mend; the message names the remedy.
    #[error("{0}")]
    Refused(String),
}

/// How a failure is to be met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Somebody else holds a lock: the whole transaction again.
    Contended,
    /// The server is away, full or starting: wait.
    Away,
    /// It will fail again.
    Lasting,
}

impl StoreError {
    /// How to meet this failure.
    #[must_use]
    pub fn trouble(&self) -> Trouble {
        match self {
            Self::Db(error) => trouble(error),
            Self::Unreachable(_) => Trouble::Away,
            Self::Overtaken | Self::Unordered(_) => Trouble::Contended,
            Self::Moved(_) | Self::Refused(_) => Trouble::Lasting,
        }
    }
}

impl StoreError {
    pub(super) fn no_number() -> Self {
        Self::Refused(
            "the table commits is empty: was it emptied by hand? INSERT INTO commits (id, number) VALUES (1, 0), and start the worker again"
                .to_owned(),
        )
    }
}

/// What comes of `asked`, unless nobody answers: a network may swallow a question or its answer without a word. Whether the
/// server has done what it was asked is as open as after a lost connection.
pub(super) async fn answered<T, E: Into<StoreError>>(
    asked: impl Future<Output = Result<T, E>>,
) -> Result<T, StoreError> {
    match timeout(ANSWER, asked).await {
        Ok(answer) => answer.map_err(Into::into),
        Err(_) => Err(StoreError::Unreachable(format!(
            "no answer for {} s: check the database server and the network",
            ANSWER.as_secs()
        ))),
    }
}

impl From<DbErr> for StoreError {
    fn from(error: DbErr) -> Self {
        Self::Db(error)
    }
}

fn sqlx_error(error: &DbErr) -> Option<&sqlx::Error> {
    match error {
        DbErr::Conn(RuntimeErr::SqlxError(error))
        | DbErr::Exec(RuntimeErr::SqlxError(error))
        | DbErr::Query(RuntimeErr::SqlxError(error)) => Some(error),
        _ => None,
    }
}

/// The server's own code: MySQL's number, PostgreSQL's SQLSTATE, SQLite's extended code.
fn code(error: &sqlx::Error) -> Option<String> {
    let error = error.as_database_error()?;
    match error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>() {
        Some(mysql) => Some(mysql.number().to_string()),
        None => error.code().map(std::borrow::Cow::into_owned),
    }
}

fn trouble(error: &DbErr) -> Trouble {
    if matches!(error, DbErr::ConnectionAcquire(_)) {
        return Trouble::Away;
    }
    let Some(error) = sqlx_error(error) else {
        return Trouble::Lasting;
    };
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => return Trouble::Away,
        _ => {}
    }
    match code(error).as_deref() {
        // Deadlock, lock wait, serialization failure, busy, stale snapshot.
        Some("1213" | "1205" | "40P01" | "40001" | "55P03" | "5" | "6" | "261" | "517") => Trouble::Contended,
        // MySQL: too many connections, shutting down, disk full, read-only, connection killed.
        Some(
            "1040" | "1053" | "1021" | "1114" | "1290" | "1836" | "1927" | "1317" | "1203" | "1030" | "1226" | "1969"
            | "3024" | "1047" | "4031",
        ) => Trouble::Away,
        // SQLite: I/O error, full.
        Some("10" | "13" | "266" | "778" | "1034") => Trouble::Away,
        // PostgreSQL: a transaction that rested for too long, as its worker was stopped.
        Some("25P03" | "25P04") => Trouble::Away,
        // PostgreSQL: connection, resources, operator intervention, read-only.
        Some(code)
            if code.len() == 5
                && (["08", "53", "57", "58"].iter().any(|class| code.starts_with(class)) || code == "25006") =>
        {
            Trouble::Away
        }
        Some(_) | None => Trouble::Lasting,
    }
}

/// The error with its remedy, where the code tells one. Never shows a URL or the statement's parameters.
fn explained(error: &DbErr) -> String {
    if matches!(error, DbErr::ConnectionAcquire(_)) {
        return "no connection in time: check host and port of DATABASE_URL, that the server runs, and how busy it is"
            .to_owned();
    }
    let Some(sqlx) = sqlx_error(error) else {
        return error.to_string();
    };
    let message = sqlx.as_database_error().map_or_else(|| sqlx.to_string(), |error| error.message().to_owned());
    let remedy = match code(sqlx).as_deref() {
        Some("1044" | "1045" | "28P01" | "28000") => "check user, password and grants of DATABASE_URL",
        Some("1049" | "3D000") => "create the database first, or correct its name in DATABASE_URL",
        Some("1142" | "42501") => {
            "grant the user of DATABASE_URL the rights on this database (CREATE, ALTER, INDEX, DROP, SELECT, INSERT, UPDATE, DELETE), or run `event-worker migrate up` once as a user who has them"
        }
        Some("1146" | "42P01") => "run `event-worker migrate up`",
        Some("14") => {
            "the file cannot be opened: check its folder, its rights, and `?mode=rwc` at the end of DATABASE_URL to create it"
        }
        Some("13" | "1021" | "1114" | "53100") => "make room on the disk of the database",
        Some("1290" | "1836" | "25006") => "the server is read-only: make it writable, or correct DATABASE_URL",
        Some("26") => "the file of DATABASE_URL is not an SQLite database",
        Some("8" | "1544") => "the database file cannot be written: check its rights",
        Some("1062" | "23505" | "1555" | "2067") => {
            "a row is there that should be new: was a checkpoint set back, or a table restored alone?"
        }
        Some("1205" | "55P03" | "5") => {
            "another process holds a lock for longer than we wait: look for it (SHOW FULL PROCESSLIST, pg_stat_activity, or who has the file open), and end it"
        }
        Some("2BP01") => "drop the views and foreign keys on these tables before, and make them again afterwards",
        Some("1153") => "raise max_allowed_packet of the server",
        Some(_) | None => match sqlx {
            sqlx::Error::Io(_) => "check host and port of DATABASE_URL, and that the server runs",
            sqlx::Error::PoolTimedOut => {
                "the server did not answer in time: check host and port of DATABASE_URL, and how busy it is"
            }
            _ if message.contains("no such table") => "run `event-worker migrate up`",
            _ => "",
        },
    };
    if remedy.is_empty() { message } else { format!("{message}: {remedy}") }
}
