//! Tables for a rebuild: made beside the live ones, filled by the same code, and put in their place at once.
//!
//! The tables of a rebuild are made from what the database says of the live ones, so they have every column and index that
//! these have. Readers see the old rows until the swap, and the new ones from then on.

use std::collections::BTreeSet;
use std::sync::Arc;

use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, DbBackend, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    Statement,
};
use sha2::{Digest, Sha256};

use super::commit::Writing;
use super::entities::{checkpoints, dead_letters, markets};
use super::indexes::REBUILT;
use super::tables::{PREFIX, Tables};
use super::{Store, StoreError, merge, migrate};
use crate::chain::SeqNo;
use crate::market::Markets;

/// The tables that folding fills, which are swapped.
const FOLDED: [&str; 5] = ["orders", "offers", "activities", "collections", "tokens"];
/// What else tells of the fold. `MySQL` swaps these, too; elsewhere their rows are replaced.
const TOLD: [&str; 2] = ["dead_letters", "markets"];
/// What goes with them, and is dropped at the end.
const OWN: [&str; 2] = ["checkpoints", "commits"];
/// Which rebuild the tables are of.
const PROGRESS: &str = "rebuild_progress";
/// Its name once `MySQL` has swapped the tables.
const OLD_PROGRESS: &str = "rebuild_old_progress";

/// A rebuild under way.
pub struct Rebuild {
    live: Store,
    /// Who has claimed it.
    name: String,
    /// The same database; what is folded goes into the rebuild's tables.
    pub store: Store,
    /// Whether an earlier one is gone on with.
    pub is_resumed: bool,
}

/// What came of the attempt to put a rebuild's tables in the place of the live ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Swap {
    Done,
    /// Somebody has executed more meanwhile: that has to be folded first.
    Behind,
}

impl Rebuild {
    /// Makes the tables for the rebuild that `name` has claimed ([`Store::claim_rebuild`]), or goes on with those that an
    /// earlier one with the same `markets` has left, unless `anew`. Nothing that readers see is touched.
    pub async fn begin(live: &Store, name: &str, markets: &Markets, anew: bool) -> Result<Self, StoreError> {
        let strangers = strangers(live, markets).await?;
        if !strangers.is_empty() {
            return Err(StoreError::Refused(format!(
                "the database holds events of {}, which no market of MARKETS has: name all its markets, or their rows would be lost",
                strangers.join(", ")
            )));
        }
        // The events stay where they are, and the next one must go on behind them.
        let known = markets::Entity::find().all(&live.db).await?;
        for market in markets.iter() {
            if let Some(known) = known.iter().find(|known| known.market == *market.name) {
                live.keep_sources(&live.db, market, known).await?;
            }
        }
        let left_out = discarded(live).await?;
        let print = fingerprint(markets, &left_out);
        let is_resumed = !anew && left_by(live).await?.as_deref() == Some(&*print);
        if !is_resumed {
            drop_all(live).await?;
            // What is read from here on is told with its place.
            live.db.execute_unprepared("DELETE FROM reordered").await?;
            for table in FOLDED.iter().chain(&TOLD).chain(&OWN) {
                make_like(live, table).await?;
            }
            // Whoever folds makes them at the end, from all rows at once.
            Store { tables: Tables::Rebuilt, ..live.clone() }.drop_indexes().await?;
            // Last: what is not whole begins anew.
            for sql in [
                format!("INSERT INTO {PREFIX}commits (id, number) VALUES (1, 0)"),
                format!("CREATE TABLE {PROGRESS} (markets VARCHAR(64) NOT NULL PRIMARY KEY)"),
                format!("INSERT INTO {PROGRESS} (markets) VALUES ('{print}')"),
            ] {
                live.db.execute_unprepared(&sql).await?;
            }
        }
        let store = Store { tables: Tables::Rebuilt, left_out: Arc::new(left_out), ..live.clone() };
        store.prepare(markets).await?;
        Ok(Self { live: live.clone(), name: name.to_owned(), store, is_resumed })
    }

    /// Puts the rebuild's tables in the place of the live ones, with what importing owns, if they have come as far. Nobody
    /// else writes meanwhile; to be called with all leases seized.
    pub async fn swap(&self) -> Result<Swap, StoreError> {
        let live = &self.live;
        // The connections for commits belong to the writer that has just ended.
        let writing = live.begin_on(&live.db).await?;
        let done = self.swap_alone(&writing).await;
        let is_done = matches!(done, Ok(Swap::Done));
        let swap = match live.end(writing, done).await {
            // The tables were swapped beside the transaction, and nothing is left to be done in it.
            Err(_) if is_done && live.backend == DbBackend::MySql => Swap::Done,
            ended => ended?,
        };
        if swap == Swap::Done
            && let Err(error) = drop_all(live).await
        {
            tracing::warn!("the rebuild is done, but its old tables ({PREFIX}...) could not be dropped: {error}");
        }
        Ok(swap)
    }

    async fn swap_alone(&self, writing: &Writing) -> Result<Swap, StoreError> {
        let live = &self.live;
        live.count_up(writing, None).await?;
        if let Some(other) = live.other_rebuild(writing, &self.name).await? {
            return Err(StoreError::Refused(format!(
                "{other} has taken over, as this one did not tell for a while that it lives: wait for its end"
            )));
        }
        let reached = positions(live, Tables::Live).await?;
        if positions(live, Tables::Rebuilt).await? != reached {
            return Ok(Swap::Behind);
        }
        if discarded(live).await? != *self.store.left_out {
            return Err(StoreError::Refused(
                "events were discarded, or taken back, while the rebuild ran: run `rebuild --restart`".to_owned(),
            ));
        }
        match live.backend {
            DbBackend::MySql => {
                // DDL ends a transaction there: it is done beside the one that keeps everybody off, which may rest long.
                for patience in ["idle_transaction_timeout = 0", "wait_timeout = 28800"] {
                    let _ = writing.execute_unprepared(&format!("SET SESSION {patience}")).await;
                }
                merge::all(live, &live.db).await?;
                // Whether that still keeps everybody off.
                live.count_up(writing, None).await?;
                if positions(live, Tables::Live).await? != reached {
                    return Ok(Swap::Behind);
                }
                rename_on_mysql(live).await?;
                return Ok(Swap::Done);
            }
            DbBackend::Postgres => {
                live.run(&**writing, "SET LOCAL lock_timeout = '5s'").await?;
                merge::all(live, &**writing).await?;
                rename_on_postgres(live, writing).await?;
            }
            _ => {
                merge::all(live, &**writing).await?;
                rename_on_sqlite(live, writing).await?;
            }
        }
        // Views on these, and rights, stay as they are.
        for table in TOLD {
            live.run(&**writing, &format!("DELETE FROM {table}")).await?;
            live.run(&**writing, &format!("INSERT INTO {table} SELECT * FROM {PREFIX}{table}")).await?;
        }
        let beside = TOLD.iter().chain(&OWN).map(|table| format!("{PREFIX}{table}"));
        for table in beside.chain([PROGRESS.to_owned()]) {
            live.run(&**writing, &format!("DROP TABLE {table}")).await?;
        }
        Ok(Swap::Done)
    }
}

/// The observers of the database that `markets` does not have.
async fn strangers(live: &Store, markets: &Markets) -> Result<Vec<String>, StoreError> {
    let known: Vec<String> = checkpoints::Entity::find()
        .select_only()
        .column(checkpoints::Column::Observer)
        .filter(checkpoints::Column::ExecutedSeqNo.gte(0))
        .into_tuple()
        .all(&live.db)
        .await?;
    Ok(known.into_iter().filter(|observer| markets.stream(observer).is_none()).collect())
}

/// Where all observers that have executed something stand.
async fn positions(store: &Store, tables: Tables) -> Result<Vec<(String, i64)>, StoreError> {
    let query = tables
        .find::<checkpoints::Entity>()
        .select_only()
        .columns([checkpoints::Column::Observer, checkpoints::Column::ExecutedSeqNo])
        .filter(checkpoints::Column::ExecutedSeqNo.gte(0))
        .order_by_asc(checkpoints::Column::Observer);
    Ok(query.into_tuple().all(&store.db).await?)
}

async fn discarded(live: &Store) -> Result<BTreeSet<(Arc<str>, SeqNo)>, StoreError> {
    let rows: Vec<(String, i64)> = dead_letters::Entity::find()
        .select_only()
        .columns([dead_letters::Column::Observer, dead_letters::Column::SeqNo])
        .filter(dead_letters::Column::State.eq("discarded"))
        .into_tuple()
        .all(&live.db)
        .await?;
    Ok(rows.into_iter().map(|(observer, seq_no)| (Arc::from(observer), SeqNo::from_column(seq_no))).collect())
}

/// Of what the markets' files say, what is left out, and of this program.
fn fingerprint(markets: &Markets, left_out: &BTreeSet<(Arc<str>, SeqNo)>) -> String {
    let all: Vec<_> = markets.iter().collect();
    hex::encode(Sha256::digest(format!("{} {all:?} {left_out:?}", env!("CARGO_PKG_VERSION"))))
}

/// The fingerprint of the rebuild whose tables are there; `None` without any.
async fn left_by(live: &Store) -> Result<Option<String>, StoreError> {
    let sql = format!("SELECT markets FROM {PROGRESS}");
    // An error says that there is no such table, or the next statement will tell what is wrong.
    let row = live.db.query_one_raw(Statement::from_string(live.backend, sql)).await.ok().flatten();
    Ok(row.map(|row| row.try_get_by_index(0)).transpose()?)
}

pub(super) async fn drop_all(live: &Store) -> Result<(), StoreError> {
    let shadows = FOLDED.iter().chain(&TOLD).chain(&OWN).map(|table| format!("{PREFIX}{table}"));
    let old = FOLDED.iter().chain(&TOLD).map(|table| format!("{PREFIX}old_{table}"));
    let progress = [PROGRESS.to_owned(), OLD_PROGRESS.to_owned()];
    for table in progress.into_iter().chain(shadows).chain(old) {
        live.db.execute_unprepared(&format!("DROP TABLE IF EXISTS {table}")).await?;
    }
    Ok(())
}

/// Makes an empty table with the columns and indexes of the live one.
async fn make_like(live: &Store, table: &str) -> Result<(), StoreError> {
    let made = match live.backend {
        DbBackend::MySql => vec![format!("CREATE TABLE {PREFIX}{table} LIKE {table}")],
        DbBackend::Postgres => vec![format!("CREATE TABLE {PREFIX}{table} (LIKE {table} INCLUDING ALL)")],
        _ => like_on_sqlite(live, table).await?,
    };
    for sql in made {
        live.db.execute_unprepared(&sql).await?;
    }
    Ok(())
}

/// From the statements that made the live ones. An index cannot be renamed, so its name has an ending in every other rebuild.
async fn like_on_sqlite(live: &Store, table: &str) -> Result<Vec<String>, StoreError> {
    let sql = format!(
        "SELECT type, name, sql FROM sqlite_master WHERE tbl_name = '{table}' AND sql IS NOT NULL ORDER BY type DESC"
    );
    let mut made = vec![];
    for row in live.db.query_all_raw(Statement::from_string(live.backend, sql)).await? {
        let (kind, name, sql): (String, String, String) =
            (row.try_get_by_index(0)?, row.try_get_by_index(1)?, row.try_get_by_index(2)?);
        let Some(columns) = sql.find('(').map(|at| &sql[at..]) else { continue };
        made.push(match &*kind {
            "table" => format!("CREATE TABLE {PREFIX}{table} {columns}"),
            "index" => {
                let other = name.strip_suffix(REBUILT).map_or_else(|| format!("{name}{REBUILT}"), str::to_owned);
                format!("CREATE INDEX {other} ON {PREFIX}{table} {columns}")
            }
            _ => continue,
        });
    }
    Ok(made)
}

async fn rename_on_mysql(live: &Store) -> Result<(), StoreError> {
    let swap = |table: &&str| format!("{table} TO {PREFIX}old_{table}, {PREFIX}{table} TO {table}");
    let mut swapped: Vec<_> = FOLDED.iter().chain(&TOLD).map(swap).collect();
    // With the word that they are a rebuild's: what is left of one that was killed from here on begins anew.
    swapped.push(format!("{PROGRESS} TO {OLD_PROGRESS}"));
    // One that waits for a reader's long query would keep all other readers waiting, too.
    let rename = format!("SET SESSION lock_wait_timeout = 5; RENAME TABLE {}", swapped.join(", "));
    match live.run(&live.db, &rename).await {
        // The answer may have got lost.
        Err(error) if !migrate::tables(&live.db).await?.iter().any(|table| table == OLD_PROGRESS) => Err(error),
        _ => Ok(()),
    }
}

async fn rename_on_sqlite(live: &Store, db: &DatabaseTransaction) -> Result<(), StoreError> {
    // Views may name a table that is not there for a moment.
    live.run(db, "PRAGMA legacy_alter_table = ON").await?;
    for table in FOLDED {
        live.run(db, &format!("DROP TABLE {table}")).await?;
        live.run(db, &format!("ALTER TABLE {PREFIX}{table} RENAME TO {table}")).await?;
    }
    live.run(db, "PRAGMA legacy_alter_table = OFF").await
}

/// With the rights that others have on the live tables, and the names of their indexes.
async fn rename_on_postgres(live: &Store, db: &DatabaseTransaction) -> Result<(), StoreError> {
    for table in FOLDED {
        let grants = format!(
            "SELECT format('GRANT %s ON {PREFIX}{table} TO %s', privilege_type,
                CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END)
             FROM pg_class, aclexplode(relacl) WHERE oid = '{table}'::regclass AND grantee <> relowner"
        );
        for grant in texts(db, &grants).await? {
            live.run(db, &grant).await?;
        }
        let owner = format!(
            "SELECT format('ALTER TABLE {PREFIX}{table} OWNER TO %I', pg_get_userbyid(relowner))
             FROM pg_class WHERE oid = '{table}'::regclass AND pg_get_userbyid(relowner) <> current_user"
        );
        for owner in texts(db, &owner).await? {
            live.run(db, &owner).await?;
        }
        live.run(db, &format!("DROP TABLE {table}")).await?;
        live.run(db, &format!("ALTER TABLE {PREFIX}{table} RENAME TO {table}")).await?;
        let indexes = format!(
            "SELECT format('ALTER INDEX %I RENAME TO %I', indexname, regexp_replace(substr(indexname, {}), '_idx$', ''))
             FROM pg_indexes WHERE schemaname = current_schema() AND tablename = '{table}' AND indexname LIKE '{PREFIX}%'",
            PREFIX.len() + 1
        );
        for rename in texts(db, &indexes).await? {
            live.run(db, &rename).await?;
        }
    }
    Ok(())
}

async fn texts(db: &impl ConnectionTrait, query: &str) -> Result<Vec<String>, StoreError> {
    let rows = db.query_all_raw(Statement::from_string(db.get_database_backend(), query)).await?;
    Ok(rows.iter().map(|row| row.try_get_by_index(0)).collect::<Result<_, _>>()?)
}
