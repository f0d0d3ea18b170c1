//! Whether two ways have led to the same rows.

use anyhow::{Context, Result};
use event_worker::state::Store;
use sea_orm::{ConnectionTrait, DbBackend, QueryResult, Statement};

/// Those that events fill. Others hold the worker's own times.
const TABLES: [&str; 7] = ["events", "activities", "orders", "offers", "tokens", "collections", "dead_letters"];

/// What stands for the contents of each table: equal if they are.
pub async fn contents(store: &Store) -> Result<Vec<String>> {
    let mut contents = vec![];
    for table in TABLES {
        contents.push(match store.connection().get_database_backend() {
            DbBackend::MySql => {
                ask(store, format!("CHECKSUM TABLE {table}")).await?.try_get::<i64>("", "Checksum")?.to_string()
            }
            DbBackend::Postgres => {
                let sum = "count(*) || ' ' || coalesce(sum(hashtext(row::text)::bigint), 0)";
                ask(store, format!("SELECT {sum} AS sum FROM {table} row")).await?.try_get("", "sum")?
            }
            _ => {
                let columns =
                    ask(store, format!("SELECT group_concat(name) AS names FROM pragma_table_info('{table}')"));
                let columns: String = columns.await?.try_get("", "names")?;
                let rows = format!("SELECT json_array({columns}) AS line FROM {table} ORDER BY 1");
                let all = ask(store, format!("SELECT coalesce(group_concat(line), '') AS lines FROM ({rows})"));
                all.await?.try_get("", "lines")?
            }
        });
    }
    Ok(contents)
}

async fn ask(store: &Store, question: String) -> Result<QueryResult> {
    let db = store.connection();
    db.query_one_raw(Statement::from_string(db.get_database_backend(), question)).await?.context("no answer")
}
