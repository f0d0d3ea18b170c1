//! Which worker executes an observer.
//!
//! A lease is three columns of a checkpoint: who holds it, until when by the database's clock, and an epoch that is counted
//! up with each new holder. A commit names the epoch under which its events were read, so that a worker which has slept
//! past its lease writes nothing any more. Nothing else depends on leases: without any, checkpoints still move by
//! compare-and-set alone, and two workers only waste work.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use sea_orm::sea_query::{Expr, ExprTrait, Query, SimpleExpr};
use sea_orm::{ConnectionTrait, DbBackend, EntityTrait, QueryOrder, QuerySelect, StatementBuilder};

use super::commit::{THE_ROW, Writing};
use super::entities::{checkpoints, commits, workers};
use super::share::shares;
use super::{Store, StoreError};

/// Who holds which leases, as one worker found them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Leases {
    /// Those of this worker, with their epochs.
    pub mine: BTreeMap<String, i64>,
    /// Those of others, with the names of their holders.
    pub others: BTreeMap<String, String>,
}

/// What a worker would execute.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wants {
    pub all: BTreeSet<String>,
    /// Of these, those that it gets nowhere with: only if nobody else wants them.
    pub stuck: BTreeSet<String>,
}

/// A checkpoint's lease.
struct Lease {
    holder: Option<String>,
    epoch: i64,
    is_live: bool,
}

/// A row of `workers`.
struct Worker {
    slot: i32,
    name: String,
    wants: Wants,
    is_live: bool,
}

/// What a rebuild wants: no observer has such a name.
const REBUILD: &str = "rebuild";

/// `a b c`, or `a b c | c`, as it stands in `workers`.
impl fmt::Display for Wants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |of: &BTreeSet<String>| of.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
        f.write_str(&names(&self.all))?;
        if self.stuck.is_empty() { Ok(()) } else { write!(f, " | {}", names(&self.stuck)) }
    }
}

impl Wants {
    pub(super) fn of(text: &str) -> Self {
        let names = |text: &str| text.split_whitespace().map(str::to_owned).collect();
        let (all, stuck) = text.split_once('|').unwrap_or((text, ""));
        Self { all: names(all), stuck: names(stuck) }
    }
}

impl Store {
    /// Tells that `worker` lives and would execute the observers `wants`, renews what it holds for another `length`, gives up
    /// what is another's share, and takes what is free of its own. To be repeated several times within `length`.
    pub async fn lease(&self, worker: &str, wants: &Wants, length: Duration) -> Result<Leases, StoreError> {
        let writing = self.begin_leasing().await?;
        let done = self.go_round(&writing, worker, wants, length).await;
        self.end(writing, done).await
    }

    /// Takes all leases for `holder`, whoever has them: nothing that was read before is written any more.
    pub async fn seize(&self, holder: &str, length: Duration) -> Result<(), StoreError> {
        let writing = self.begin_leasing().await?;
        let done = async {
            let all: Vec<_> = self.leases(&*writing).await?.into_keys().collect();
            self.hand(&writing, &all, Some(holder), length, true).await
        };
        let done = done.await;
        self.end(writing, done).await
    }

    /// Tells for another `length` that `name` rebuilds this database, as only one may at a time; the name of the one that does.
    pub async fn claim_rebuild(&self, name: &str, length: Duration) -> Result<Option<String>, StoreError> {
        let writing = self.begin_leasing().await?;
        let done = async {
            let other = self.other_rebuild(&writing, name).await?;
            if other.is_none() {
                let wants = Wants { all: [REBUILD.to_owned()].into(), stuck: BTreeSet::new() };
                self.show_up(&writing, &self.workers(&*writing).await?, name, &wants, length).await?;
            }
            Ok(other)
        };
        let done = done.await;
        self.end(writing, done).await
    }

    /// Who rebuilds, if that is somebody else than `name`.
    pub(super) async fn other_rebuild(&self, writing: &Writing, name: &str) -> Result<Option<String>, StoreError> {
        let mut workers = self.workers(&**writing).await?.into_iter();
        let other = workers.find(|other| other.is_live && other.name != name && other.wants.all.contains(REBUILD));
        Ok(other.map(|other| other.name))
    }

    /// Renews what `holder` has seized or claimed.
    pub async fn keep(&self, holder: &str, length: Duration) -> Result<(), StoreError> {
        // Not behind the lock of `commits`: a swap may hold that for long.
        let _turn = self.turn().await;
        self.set_end(&self.db, holder, length).await
    }

    /// Gives up everything that `worker` holds, and its place among the workers.
    pub async fn release(&self, worker: &str) -> Result<(), StoreError> {
        let writing = self.begin_leasing().await?;
        let done = async {
            self.set_end(&*writing, worker, Duration::ZERO).await?;
            let mut update = Query::update();
            update
                .table(checkpoints::Entity)
                .value(checkpoints::Column::LeaseHolder, None::<String>)
                .and_where(Expr::col(checkpoints::Column::LeaseHolder).eq(worker));
            self.change(&writing, &update).await
        };
        let done = done.await;
        self.end(writing, done).await
    }

    /// As if `worker` had been asleep until its leases had run out.
    pub async fn oversleep(&self, worker: &str) -> Result<(), StoreError> {
        self.keep(worker, Duration::ZERO).await
    }

    /// The observers whose lease holds, each with its holder.
    pub(super) async fn holders(&self) -> Result<BTreeMap<String, String>, StoreError> {
        let leases = self.leases(&self.db).await?.into_iter().filter(|(_, lease)| lease.is_live);
        Ok(leases.filter_map(|(observer, lease)| Some((observer, lease.holder?))).collect())
    }

    /// The workers that live, by the database's clock.
    pub(super) async fn alive(&self) -> Result<BTreeSet<String>, StoreError> {
        let workers = self.workers(&self.db).await?.into_iter().filter(|worker| worker.is_live);
        Ok(workers.map(|worker| worker.name).collect())
    }

    /// Behind the lock that every commit takes first: whoever reads leases there reads the truth, and locks of checkpoints
    /// are never taken in another order than a commit does.
    pub(super) async fn begin_leasing(&self) -> Result<Writing, StoreError> {
        let writing = self.begin_on(&self.db).await?;
        match commits::Entity::find_by_id(THE_ROW).lock_exclusive().one(&*writing).await? {
            Some(_) => Ok(writing),
            None => Err(StoreError::no_number()),
        }
    }

    async fn go_round(
        &self,
        writing: &Writing,
        worker: &str,
        wants: &Wants,
        length: Duration,
    ) -> Result<Leases, StoreError> {
        let mut workers = self.workers(&**writing).await?;
        self.show_up(writing, &workers, worker, wants, length).await?;
        workers.retain(|other| other.is_live && other.name != worker);
        let leases = self.leases(&**writing).await?;
        let holder = |lease: &Lease| lease.holder.clone().filter(|_| lease.is_live);
        let holders: BTreeMap<_, _> =
            leases.iter().map(|(observer, lease)| (observer.clone(), holder(lease))).collect();
        let share = shares(
            &holders.iter().map(|(observer, holder)| (&**observer, holder.as_deref())).collect(),
            &workers.iter().map(|other| (&*other.name, &other.wants)).chain([(worker, wants)]).collect(),
        );
        let share = share.get(worker).cloned().unwrap_or_default();
        // An expired one that nobody has taken is as good as before: its epoch tells.
        let is_mine = |lease: &Lease| lease.holder.as_deref() == Some(worker);
        let of = |which: &dyn Fn(&str, &Lease) -> bool| -> Vec<String> {
            leases
                .iter()
                .filter(|(observer, lease)| which(observer, lease))
                .map(|(observer, _)| observer.clone())
                .collect()
        };
        let kept = of(&|observer, lease| is_mine(lease) && share.contains(observer));
        let given = of(&|observer, lease| is_mine(lease) && !share.contains(observer));
        let taken = of(&|observer, lease| !is_mine(lease) && !lease.is_live && share.contains(observer));
        self.hand(writing, &given, None, Duration::ZERO, false).await?;
        self.hand(writing, &kept, Some(worker), length, false).await?;
        self.hand(writing, &taken, Some(worker), length, true).await?;
        let epoch = |observer: &String, more| leases.get(observer).map_or(0, |lease| lease.epoch) + more;
        let mine = kept.iter().map(|observer| (observer.clone(), epoch(observer, 0)));
        let mine: BTreeMap<_, _> =
            mine.chain(taken.iter().map(|observer| (observer.clone(), epoch(observer, 1)))).collect();
        let others = holders.into_iter().filter_map(|(observer, holder)| Some((observer, holder?)));
        let others = others.filter(|(_, holder)| holder != worker).collect();
        Ok(Leases { mine, others })
    }

    /// Writes the row of `worker`: its own, else that of one that is gone, else a new one.
    async fn show_up(
        &self,
        writing: &Writing,
        workers: &[Worker],
        worker: &str,
        wants: &Wants,
        length: Duration,
    ) -> Result<(), StoreError> {
        let own = workers.iter().find(|other| other.name == worker);
        let free = own.or_else(|| workers.iter().find(|other| !other.is_live));
        if let Some(row) = free {
            let mut update = Query::update();
            update
                .table(workers::Entity)
                .value(workers::Column::Worker, worker)
                .value(workers::Column::Wants, wants.to_string())
                .value(workers::Column::ExpiresAt, self.time_in(length))
                .and_where(Expr::col(workers::Column::Slot).eq(row.slot));
            return self.change(writing, &update).await;
        }
        let slot = workers.iter().map(|other| other.slot + 1).max().unwrap_or_default();
        let mut insert = Query::insert();
        insert
            .into_table(workers::Entity)
            .columns([
                workers::Column::Slot,
                workers::Column::Worker,
                workers::Column::Wants,
                workers::Column::ExpiresAt,
            ])
            .values_panic([slot.into(), worker.into(), wants.to_string().into(), self.time_in(length)]);
        self.change(writing, &insert).await
    }

    /// Says for how long `worker` lives from now on, and its leases hold.
    async fn set_end(&self, db: &impl ConnectionTrait, worker: &str, length: Duration) -> Result<(), StoreError> {
        let (mut leases, mut life) = (Query::update(), Query::update());
        leases
            .table(checkpoints::Entity)
            .value(checkpoints::Column::LeaseExpiresAt, self.time_in(length))
            .and_where(Expr::col(checkpoints::Column::LeaseHolder).eq(worker));
        life.table(workers::Entity)
            .value(workers::Column::ExpiresAt, self.time_in(length))
            .and_where(Expr::col(workers::Column::Worker).eq(worker));
        for update in [leases, life] {
            db.execute_raw(self.backend.build(&update)).await?;
        }
        Ok(())
    }

    async fn workers(&self, db: &impl ConnectionTrait) -> Result<Vec<Worker>, StoreError> {
        let rows: Vec<(i32, String, String, String)> = workers::Entity::find()
            .select_only()
            .columns([workers::Column::Slot, workers::Column::Worker, workers::Column::Wants])
            .expr_as(self.is_live("expires_at"), "live")
            .order_by_asc(workers::Column::Slot)
            .into_tuple()
            .all(db)
            .await?;
        let worker = |(slot, name, wants, live): (_, _, String, String)| Worker {
            slot,
            name,
            wants: Wants::of(&wants),
            is_live: live == "yes",
        };
        Ok(rows.into_iter().map(worker).collect())
    }

    async fn leases(&self, db: &impl ConnectionTrait) -> Result<BTreeMap<String, Lease>, StoreError> {
        let rows: Vec<(String, Option<String>, i64, String)> = checkpoints::Entity::find()
            .select_only()
            .columns([checkpoints::Column::Observer, checkpoints::Column::LeaseHolder, checkpoints::Column::LeaseEpoch])
            .expr_as(self.is_live("lease_expires_at"), "live")
            .into_tuple()
            .all(db)
            .await?;
        let lease = |(observer, holder, epoch, live): (_, _, _, String)| {
            (observer, Lease { holder, epoch, is_live: live == "yes" })
        };
        Ok(rows.into_iter().map(lease).collect())
    }

    /// Writes who holds `observers` from now on.
    pub(super) async fn hand(
        &self,
        writing: &Writing,
        observers: &[String],
        holder: Option<&str>,
        length: Duration,
        is_new: bool,
    ) -> Result<(), StoreError> {
        if observers.is_empty() {
            return Ok(());
        }
        let mut update = Query::update();
        update
            .table(checkpoints::Entity)
            .value(checkpoints::Column::LeaseHolder, holder.map(str::to_owned))
            .value(checkpoints::Column::LeaseExpiresAt, self.time_in(length))
            .value(checkpoints::Column::LeaseEpoch, Expr::col(checkpoints::Column::LeaseEpoch).add(i64::from(is_new)))
            .and_where(Expr::col(checkpoints::Column::Observer).is_in(observers));
        self.change(writing, &update).await
    }

    async fn change(&self, writing: &Writing, change: &impl StatementBuilder) -> Result<(), StoreError> {
        self.write(writing, self.backend.build(change)).await?;
        Ok(())
    }

    /// Whether that time has not come, by the database's clock: `yes` or `no`, as each database has its own truth values.
    fn is_live(&self, column: &'static str) -> SimpleExpr {
        let later = Expr::col(column).gt(self.time_in(Duration::ZERO));
        Expr::case(later, "yes").finally("no").into()
    }

    /// The database's clock so much later, as its columns have times.
    fn time_in(&self, later: Duration) -> SimpleExpr {
        let seconds = later.as_secs_f64();
        Expr::cust(match self.backend {
            DbBackend::MySql => format!("UTC_TIMESTAMP(6) + INTERVAL {} MICROSECOND", later.as_micros()),
            DbBackend::Postgres => format!("clock_timestamp() + interval '{seconds:.3} seconds'"),
            _ => format!("strftime('%Y-%m-%d %H:%M:%f', 'now', '+{seconds:.3} seconds') || '000'"),
        })
    }
}
