//! What a rebuild takes over from the live tables before it replaces them: all that folding does not own.

use sea_orm::{ConnectionTrait, DbBackend, IdenStatic, Iterable, Statement};

use super::StoreError;
use super::entities::{collections, tokens};

/// Takes over the columns that importing owns, what only it knows, and rows that no event tells of: those that `verify` takes for
/// an import's.
pub(super) async fn imported(db: &impl ConnectionTrait) -> Result<(), StoreError> {
    let columns: Vec<_> = collections::Column::iter().map(|column| column.as_str()).collect();
    let owned = [
        "maximum = CASE WHEN live.imported >= 4 THEN live.maximum ELSE new.maximum END",
        "creator = COALESCE(new.creator, live.creator)",
        "name = COALESCE(new.name, live.name)",
    ];
    let same = "new.collection_id = live.collection_id";
    // A list in a file may tell nothing but its name.
    let own = "live.creator IS NOT NULL AND live.name IS NOT NULL";
    Take { table: "collections", columns: &columns, same, owned: &owned, touched: "1 = 1", own }.carry_out(db).await?;

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
    Take { table: "tokens", columns: &columns, same, owned: &owned, touched, own }.carry_out(db).await
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
    async fn carry_out(self, db: &impl ConnectionTrait) -> Result<(), StoreError> {
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
        let update = if db.get_database_backend() == DbBackend::MySql {
            let set = assignments.iter().map(|one| format!("new.{one}")).collect::<Vec<_>>().join(", ");
            format!("UPDATE rebuild_{table} AS new JOIN {table} AS live ON {same} SET {set} WHERE {touched}")
        } else {
            let set = assignments.join(", ");
            format!("UPDATE rebuild_{table} AS new SET {set} FROM {table} AS live WHERE {same} AND {touched}")
        };
        db.execute_unprepared(&update).await?;
        let from = columns.iter().map(|column| format!("live.{column}")).collect::<Vec<_>>().join(", ");
        let insert = format!(
            "INSERT INTO rebuild_{table} ({}) SELECT {from} FROM {table} AS live
             WHERE {own} AND {} AND {} AND NOT EXISTS (SELECT 1 FROM rebuild_{table} AS new WHERE {same})",
            columns.join(", "),
            flagged("description", "1, 3, 5, 7"),
            flagged("uri", "2, 3, 6, 7"),
        );
        db.execute_unprepared(&insert).await?;
        Ok(())
    }
}

/// That a live row has `column` just if an import has told it.
fn flagged(column: &str, bits: &str) -> String {
    format!(
        "(live.{column} IS NOT NULL AND live.imported IN ({bits}) OR live.{column} IS NULL AND live.imported NOT IN ({bits}))"
    )
}

/// Brings up to date what else tells of the fold: unexpected transitions, the events that could not be decoded, and when those
/// happened that now can. `activities`: the rebuilt ones.
pub(super) async fn told(db: &impl ConnectionTrait, activities: &str) -> Result<(), StoreError> {
    const LETTER: &str =
        "observer, seq_no, version, event_type, data, error, attempts, first_seen_at, last_seen_at, state";
    let decoded = format!(
        "SELECT old.observer, old.seq_no FROM dead_letters AS old JOIN {activities} AS new
         ON new.observer = old.observer AND new.seq_no = old.seq_no WHERE old.state = 'parked'"
    );
    let backend = db.get_database_backend();
    for row in db.query_all_raw(Statement::from_string(backend, decoded)).await? {
        let (observer, seq_no): (String, i64) = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
        // Only its own data tell when an event happened.
        let time = format!(
            "UPDATE events SET occurred_at = (SELECT new.occurred_at FROM {activities} AS new
                 WHERE new.observer = events.observer AND new.seq_no = events.seq_no)
             WHERE seq_no = {seq_no} AND observer = {}",
            if backend == DbBackend::Postgres { "$1" } else { "?" }
        );
        db.execute_raw(Statement::from_sql_and_values(backend, time, [observer.into()])).await?;
    }
    let same = |table: &str| {
        format!("FROM {table} AS new WHERE new.observer = dead_letters.observer AND new.seq_no = dead_letters.seq_no")
    };
    for sql in [
        "UPDATE markets SET unexpected = (SELECT new.unexpected FROM rebuild_markets AS new WHERE new.market = markets.market)
         WHERE EXISTS (SELECT 1 FROM rebuild_markets AS new WHERE new.market = markets.market)"
            .to_owned(),
        format!(
            "UPDATE dead_letters SET state = 'retried', attempts = attempts + 1
             WHERE state = 'parked' AND EXISTS (SELECT 1 {})",
            same(activities)
        ),
        format!(
            "UPDATE dead_letters SET state = 'parked', attempts = attempts + 1, error = (SELECT new.error {0})
             WHERE state = 'retried' AND EXISTS (SELECT 1 {0})",
            same("rebuild_dead_letters")
        ),
        format!(
            "INSERT INTO dead_letters ({LETTER}) SELECT {LETTER} FROM rebuild_dead_letters AS new
             WHERE NOT EXISTS (SELECT 1 FROM dead_letters AS live WHERE live.observer = new.observer AND live.seq_no = new.seq_no)"
        ),
    ] {
        db.execute_unprepared(&sql).await?;
    }
    Ok(())
}
