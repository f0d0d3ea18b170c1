//! Executing what a way has prepared.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use event_worker::state::Store;
use sea_orm::sqlx::postgres::{PgArguments, PgConnection};
use sea_orm::sqlx::{self, Arguments, AssertSqlSafe, Executor};
use sea_orm::{ConnectionTrait, DbBackend, Statement, TransactionTrait, Value};

use crate::tape::to_write;

/// One exchange with the database.
pub enum Step {
    /// A statement that the driver prepares, and keeps.
    Prepared(Statement),
    /// Statements that hold their values.
    Text(String),
    /// A statement with an array per column.
    Arrays(String, Vec<Vec<Value>>),
    /// `COPY ... FROM STDIN`, and its data.
    Copy(String, Vec<u8>),
}

/// Executes transactions, one after the other; returns how long that took.
pub async fn play(store: &Store, transactions: Vec<Vec<Step>>) -> Result<Duration> {
    let db = store.connection();
    if db.get_database_backend() == DbBackend::Postgres {
        return play_on_postgres(store, transactions).await;
    }
    let options = to_write(db.get_database_backend());
    let start = Instant::now();
    for steps in transactions {
        let transaction = db.begin_with_options(options).await?;
        for step in steps {
            match step {
                Step::Prepared(statement) => transaction.execute_raw(statement).await?,
                Step::Text(text) => transaction.execute_unprepared(&text).await?,
                Step::Arrays(..) | Step::Copy(..) => bail!("only PostgreSQL has that"),
            };
        }
        transaction.commit().await?;
    }
    Ok(start.elapsed())
}

/// The driver itself, as sea-orm has neither COPY nor arrays with nulls.
async fn play_on_postgres(store: &Store, transactions: Vec<Vec<Step>>) -> Result<Duration> {
    let pool = store.connection().get_postgres_connection_pool();
    let start = Instant::now();
    for steps in transactions {
        let mut transaction = pool.begin().await?;
        for step in steps {
            execute(&mut transaction, step).await?;
        }
        transaction.commit().await?;
    }
    Ok(start.elapsed())
}

async fn execute(connection: &mut PgConnection, step: Step) -> Result<()> {
    match step {
        Step::Prepared(Statement { sql, values, .. }) => {
            let mut arguments = PgArguments::default();
            for value in values.into_iter().flat_map(|values| values.0) {
                add(&mut arguments, value)?;
            }
            sqlx::query_with(AssertSqlSafe(sql), arguments).execute(connection).await?;
        }
        Step::Text(text) => {
            connection.execute(AssertSqlSafe(text)).await?;
        }
        Step::Arrays(sql, columns) => {
            let mut arguments = PgArguments::default();
            for column in columns {
                add_array(&mut arguments, column)?;
            }
            sqlx::query_with(AssertSqlSafe(sql), arguments).execute(connection).await?;
        }
        Step::Copy(sql, data) => {
            let mut copy = connection.copy_in_raw(&sql).await?;
            copy.send(data).await?;
            copy.finish().await?;
        }
    }
    Ok(())
}

fn add(arguments: &mut PgArguments, value: Value) -> Result<()> {
    let added = match value {
        Value::Int(number) => arguments.add(number),
        Value::BigInt(number) => arguments.add(number),
        Value::String(text) => arguments.add(text),
        Value::BigDecimal(number) => arguments.add(number.map(|number| *number)),
        Value::ChronoDateTimeUtc(time) => arguments.add(time),
        other => bail!("no table has {other:?}"),
    };
    added.map_err(anyhow::Error::from_boxed)
}

fn add_array(arguments: &mut PgArguments, column: Vec<Value>) -> Result<()> {
    macro_rules! array {
        ($variant:ident, $convert:expr) => {{
            let values = column.into_iter().map(|value| match value {
                Value::$variant(value) => Ok(value.map($convert)),
                other => Err(anyhow::anyhow!("{other:?} among others")),
            });
            arguments.add(values.collect::<Result<Vec<_>>>()?)
        }};
    }
    let added = match column.first() {
        Some(Value::Int(_)) => array!(Int, |number| number),
        Some(Value::BigInt(_)) => array!(BigInt, |number| number),
        Some(Value::String(_)) => array!(String, |text| text),
        Some(Value::BigDecimal(_)) => array!(BigDecimal, |number| *number),
        Some(Value::ChronoDateTimeUtc(_)) => array!(ChronoDateTimeUtc, |time| time),
        other => bail!("no table has {other:?}"),
    };
    added.map_err(anyhow::Error::from_boxed)
}
