//! What a rebuild takes over from the live tables before it replaces them: all that folding does not own.
//!
//! Only the rebuild's tables are changed, and doing it twice comes to the same: a swap that fails is tried again.

use sea_orm::{ConnectionTrait, DbBackend, IdenStatic, Iterable, Statement};

use super::entities::{collections, dead_letters, tokens};
use super::{Store, StoreError};

/// Takes over everything.
pub(super) async fn all(store: &Store, db: &impl ConnectionTrait) -> Result<(), StoreError> {
    imported(store, db).await?;
    letters(store, db).await?;
    times(store, db).await?;
    markets(store, db).await
}

/// Takes over the columns that importing owns, what only it knows, and rows that no event tells of: those that `verify` takes for
/// an import's.
async fn imported(store: &Store, db: &impl ConnectionTrait) -> Result<(), StoreError> {
    let columns: Vec<_> = collections::Column::iter().map(|column| column.as_str()).collect();
    let owned = [
        "maximum = CASE WHEN live.imported >= 4 THEN live.maximum ELSE new.maximum END",
        "creator = COALESCE(new.creator, live.creator)",
        "name = COALESCE(new.name, live.name)",
    ];
    let same = "new.collection_id = live.collection_id";
    // A list in a file may tell nothing but its name.
    let own = "live.creator IS NOT NULL AND live.name IS NOT NULL";
    Take { table: "collections", columns: &columns, same, owned: &owned, touched: "1 = 1", own }
        .carry_out(store, db)
        .await?;

    let columns: Vec<_> = tokens::Column::iter().map(|column| column.as_str()).collect();
    let owned = [
        "maximum = live.maximum",
        "collection_id = COALESCE(new.collection_id, live.collection_id)",
        "creator = COALESCE(new.creator, live.creator)",
        "collection_name = COALESCE(new.collection_name, live.collection_name)",
        "name = COALESCE(new.name, live.name)",
    ];
    let same = "new.token_id = live.token_id AND new.property_version = live.property_version";
    // Every token that is imported has a description and a uri.
    let touched = "live.imported <> 0";
    let own = "live.imported <> 0 AND live.owner IS NULL AND live.owner_version IS NULL";
    Take { table: "tokens", columns: &columns, same, owned: &owned, touched, own }.carry_out(store, db).await
}

/// What is taken over into one table.
struct Take<'a> {
    table: &'a str,
    columns: &'a [&'a str],
    /// When a rebuilt row and a live one are the same.
    same: &'a str,
    /// Of the columns that not both tables have, what importing owns or alone knows.
    owned: &'a [&'a str],
    /// The live rows that an import may have been at.
    touched: &'a str,
    /// The live rows that an import may have made.
    own: &'a str,
}

impl Take<'_> {
    async fn carry_out(self, store: &Store, db: &impl ConnectionTrait) -> Result<(), StoreError> {
        let Self { table, columns, same, owned, touched, own } = self;
        let both = [
            "supply = live.supply",
            "metadata = live.metadata",
            "imported = live.imported",
            "updated_at = live.updated_at",
            "description = CASE WHEN live.imported IN (1, 3, 5, 7) THEN live.description ELSE new.description END",
            "uri = CASE WHEN live.imported IN (2, 3, 6, 7) THEN live.uri ELSE new.uri END",
            "created_version = CASE WHEN live.created_version IS NULL OR live.imported = 0 OR new.created_version > live.created_version
                THEN new.created_version ELSE live.created_version END",
        ];
        let assignments: Vec<_> = both.iter().chain(owned).copied().collect();
        store.run(db, &update(store.backend, table, same, &assignments, touched)).await?;
        let from = columns.iter().map(|column| format!("live.{column}")).collect::<Vec<_>>().join(", ");
        let insert = format!(
            "INSERT INTO rebuild_{table} ({}) SELECT {from} FROM {table} AS live
             WHERE {own} AND {} AND {} AND NOT EXISTS (SELECT 1 FROM rebuild_{table} AS new WHERE {same})",
            columns.join(", "),
            flagged("description", "1, 3, 5, 7"),
            flagged("uri", "2, 3, 6, 7"),
        );
        store.run(db, &insert).await
    }
}

/// Rewrites the rebuilt rows whose live ones are `touched`.
fn update(backend: DbBackend, table: &str, same: &str, assignments: &[&str], touched: &str) -> String {
    if backend == DbBackend::MySql {
        let set = assignments.iter().map(|one| format!("new.{one}")).collect::<Vec<_>>().join(", ");
        format!("UPDATE rebuild_{table} AS new JOIN {table} AS live ON {same} SET {set} WHERE {touched}")
    } else {
        let set = assignments.join(", ");
        format!("UPDATE rebuild_{table} AS new SET {set} FROM {table} AS live WHERE {same} AND {touched}")
    }
}

/// That a live row has `column` just if an import has told it.
fn flagged(column: &str, bits: &str) -> String {
    format!(
        "(live.{column} IS NOT NULL AND live.imported IN ({bits}) OR live.{column} IS NULL AND live.imported NOT IN ({bits}))"
    )
}

/// Makes the rebuilt dead letters whole: those that do not decode keep their past, those that now do are retried, and what was
/// retried or discarded before stays so.
async fn letters(store: &Store, db: &impl ConnectionTrait) -> Result<(), StoreError> {
    let same = "new.observer = live.observer AND new.seq_no = live.seq_no";
    let assignments = [
        "attempts = CASE live.state WHEN 'retried' THEN live.attempts + 1 ELSE live.attempts END",
        "error = CASE live.state WHEN 'retried' THEN new.error ELSE live.error END",
        "first_seen_at = live.first_seen_at",
        "last_seen_at = live.last_seen_at",
    ];
    store.run(db, &update(store.backend, "dead_letters", same, &assignments, "new.state = 'parked'")).await?;
    let decodes = "live.state = 'parked' AND EXISTS (SELECT 1 FROM rebuild_activities AS told
         WHERE told.observer = live.observer AND told.seq_no = live.seq_no)";
    let columns: Vec<_> = dead_letters::Column::iter().map(|column| column.as_str()).collect();
    let from = columns.iter().map(|column| match *column {
        "state" => format!("CASE WHEN {decodes} THEN 'retried' ELSE live.state END"),
        "attempts" => format!("CASE WHEN {decodes} THEN live.attempts + 1 ELSE live.attempts END"),
        column => format!("live.{column}"),
    });
    let insert = format!(
        "INSERT INTO rebuild_dead_letters ({}) SELECT {} FROM dead_letters AS live
         WHERE NOT EXISTS (SELECT 1 FROM rebuild_dead_letters AS new WHERE {same})",
        columns.join(", "),
        from.collect::<Vec<_>>().join(", ")
    );
    store.run(db, &insert).await
}

/// Of events that were parked, only their own data tell when they happened.
async fn times(store: &Store, db: &impl ConnectionTrait) -> Result<(), StoreError> {
    const DECODED: &str = "SELECT live.observer, live.seq_no FROM dead_letters AS live JOIN rebuild_activities AS told
         ON told.observer = live.observer AND told.seq_no = live.seq_no WHERE live.state = 'parked'";
    for row in db.query_all_raw(Statement::from_string(store.backend, DECODED)).await? {
        let (observer, seq_no): (String, i64) = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
        let time = format!(
            "UPDATE events SET occurred_at = (SELECT told.occurred_at FROM rebuild_activities AS told
                 WHERE told.observer = events.observer AND told.seq_no = events.seq_no)
             WHERE seq_no = {seq_no} AND observer = {}",
            if store.backend == DbBackend::Postgres { "$1" } else { "?" }
        );
        db.execute_raw(Statement::from_sql_and_values(store.backend, time, [observer.into()])).await?;
    }
    Ok(())
}

/// A rebuild counts unexpected transitions anew; where a market is, and which others there are, it does not know.
async fn markets(store: &Store, db: &impl ConnectionTrait) -> Result<(), StoreError> {
    let same = "new.market = live.market";
    store.run(db, &update(store.backend, "markets", same, &["address = live.address"], "1 = 1")).await?;
    let insert = format!(
        "INSERT INTO rebuild_markets (market, address, unexpected, mapping) SELECT live.market, live.address, live.unexpected, live.mapping
         FROM markets AS live WHERE NOT EXISTS (SELECT 1 FROM rebuild_markets AS new WHERE {same})"
    );
    store.run(db, &insert).await
}
