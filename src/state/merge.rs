//! What a rebuild takes over from the live tables before it replaces them: all that folding does not own.

use sea_orm::{ConnectionTrait, DbBackend, IdenStatic, Iterable, Statement};

use super::StoreError;
use super::entities::{collections, tokens};

/// A row that an import has been at, as far as it shows.
const IMPORTED: &str = "(live.imported <> 0 OR live.metadata IS NOT NULL OR live.supply IS NOT NULL)";

/// Takes over the columns that importing owns, and rows that no event tells of.
pub(super) async fn imported(db: &impl ConnectionTrait) -> Result<(), StoreError> {
    let columns: Vec<_> = collections::Column::iter().map(|column| column.as_str()).collect();
    let same = "new.collection_id = live.collection_id";
    let owned =
        ["supply = live.supply", "maximum = CASE WHEN live.imported >= 4 THEN live.maximum ELSE new.maximum END"];
    take(db, "collections", &columns, same, &owned, &[]).await?;

    let columns: Vec<_> = tokens::Column::iter().map(|column| column.as_str()).collect();
    let same = "new.token_id = live.token_id AND new.property_version = live.property_version";
    let owned = ["supply = live.supply", "maximum = live.maximum"];
    take(db, "tokens", &columns, same, &owned, &["owner", "owner_version", "owner_place", "owner_seq_no"]).await
}

/// `folded`: columns that only folding fills.
async fn take(
    db: &impl ConnectionTrait,
    table: &str,
    columns: &[&str],
    same: &str,
    owned: &[&str],
    folded: &[&str],
) -> Result<(), StoreError> {
    let both = [
        "metadata = live.metadata",
        "imported = live.imported",
        "updated_at = live.updated_at",
        "description = CASE WHEN live.imported IN (1, 3, 5, 7) THEN live.description ELSE new.description END",
        "uri = CASE WHEN live.imported IN (2, 3, 6, 7) THEN live.uri ELSE new.uri END",
        "created_version = CASE WHEN live.created_version IS NULL OR new.created_version > live.created_version THEN new.created_version ELSE live.created_version END",
    ];
    let assignments: Vec<_> = both.iter().chain(owned).copied().collect();
    let update = if db.get_database_backend() == DbBackend::MySql {
        let set = assignments.iter().map(|one| format!("new.{one}")).collect::<Vec<_>>().join(", ");
        format!("UPDATE rebuild_{table} AS new JOIN {table} AS live ON {same} SET {set} WHERE {IMPORTED}")
    } else {
        let set = assignments.join(", ");
        format!("UPDATE rebuild_{table} AS new SET {set} FROM {table} AS live WHERE {same} AND {IMPORTED}")
    };
    db.execute_unprepared(&update).await?;
    // A row that folding has made, and no event tells of, is one that should not be there.
    let not_folded = folded.iter().map(|column| format!("live.{column} IS NULL"));
    let stays = [IMPORTED.to_owned()].into_iter().chain(not_folded).collect::<Vec<_>>().join(" OR ");
    let from =
        columns.iter().map(|column| if folded.contains(column) { "NULL".to_owned() } else { format!("live.{column}") });
    let insert = format!(
        "INSERT INTO rebuild_{table} ({}) SELECT {} FROM {table} AS live
         WHERE ({stays}) AND NOT EXISTS (SELECT 1 FROM rebuild_{table} AS new WHERE {same})",
        columns.join(", "),
        from.collect::<Vec<_>>().join(", "),
    );
    db.execute_unprepared(&insert).await?;
    Ok(())
}

/// Brings up to date what else tells of the fold: unexpected transitions, the events that could not be decoded, and when those
/// happened that now can.
pub(super) async fn told(db: &impl ConnectionTrait) -> Result<(), StoreError> {
    const LETTER: &str =
        "observer, seq_no, version, event_type, data, error, attempts, first_seen_at, last_seen_at, state";
    let decoded = "SELECT old.observer, old.seq_no FROM dead_letters AS old JOIN rebuild_activities AS new
         ON new.observer = old.observer AND new.seq_no = old.seq_no WHERE old.state = 'parked'";
    let backend = db.get_database_backend();
    for row in db.query_all_raw(Statement::from_string(backend, decoded)).await? {
        let (observer, seq_no): (String, i64) = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
        // Only its own data tell when an event happened.
        let time = format!(
            "UPDATE events SET occurred_at = (SELECT new.occurred_at FROM rebuild_activities AS new
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
            same("rebuild_activities")
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
