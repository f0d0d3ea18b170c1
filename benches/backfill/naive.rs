//! The worker against a program that does the obvious: it reads a page of one handle after the other, and executes each
//! event in a transaction of its own, row by row through the ORM.
//!
//! What an event means is decided by the same decoding and folding, from rows kept in memory, which is more than such a
//! program would have at hand; still it looks up every row that it is going to write. It gets fewer events, which makes its
//! tables smaller and the comparison no worse for it. In the end both have as many rows in every table.

use std::collections::BTreeSet;
use std::env;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use event_worker::chain::{RawEvent, SeqNo};
use event_worker::market::fold::{self, Entry, Rows};
use event_worker::market::{Markets, Stream};
use event_worker::state::entities::{activities, checkpoints, collections, events, offers, orders, tokens};
use event_worker::state::{DatabaseUrl, Store, convert, now};
use event_worker::subject::{EventHandles, Subject};
use sea_orm::{
    ActiveModelBehavior, ActiveModelTrait, DatabaseConnection, DatabaseTransaction, EntityTrait, IntoActiveModel,
    PaginatorTrait, Set, TransactionTrait, Unchanged,
};

use crate::cases::{Case, Figures};
use crate::report::Settings;
use crate::sink;
use crate::support::machine;
use crate::turns::Turns;
use crate::worker;

/// Worker and naive program in turns, each in full flight; first both with the same events, to compare their tables.
pub async fn measure(case: &Case, settings: &Settings, folder: &Path) -> Result<Figures> {
    let server = case.server;
    let many = sink::history(settings.events, settings, folder)?;
    let few = sink::history(settings.naive_events, settings, folder)?;
    let ours = async |url| {
        worker::time(&few.url, settings.naive_events, &url).await?;
        rows(&url).await
    };
    let expected = server.with_database(folder, ours).await?;
    let mut turns = Turns::new(case, "naive_per_s", settings.reps);
    for _ in 0..settings.reps {
        let ours =
            server.with_database(folder, async |url| worker::time(&many.url, settings.events, &url).await).await?;
        let naive = async |url| {
            let took = Naive::run(&few.url, &url).await?;
            let found = rows(&url).await?;
            ensure!(found == expected, "the naive program wrote other rows: {found:?}, expected {expected:?}");
            Ok(took)
        };
        let naive = server.with_database(folder, naive).await?;
        turns.push((settings.events, ours), (settings.naive_events, naive));
    }
    let figures = turns.tell(Figures::of(case), "ours_to_naive");
    Ok(figures.with("fdatasync_us", machine::fdatasync(&env::temp_dir())?))
}

/// How many rows each table has.
async fn rows(url: &DatabaseUrl) -> Result<[(&'static str, u64); 6]> {
    let store = Store::connect(url).await?;
    let db = store.connection();
    let rows = [
        ("events", events::Entity::find().count(db).await?),
        ("activities", activities::Entity::find().count(db).await?),
        ("orders", orders::Entity::find().count(db).await?),
        ("offers", offers::Entity::find().count(db).await?),
        ("tokens", tokens::Entity::find().count(db).await?),
        ("collections", collections::Entity::find().count(db).await?),
    ];
    store.close().await?;
    Ok(rows)
}

struct Naive {
    db: DatabaseConnection,
    rows: Rows,
    /// Everything executed, for events that come late.
    past: Vec<Entry>,
}

impl Naive {
    /// From an empty database to the last commit.
    async fn run(node: &str, url: &DatabaseUrl) -> Result<Duration> {
        let markets = worker::imart()?;
        let store = worker::prepared(url, &markets).await?;
        // It knows only one way to have them.
        for index in store.missing_indexes().await? {
            store.make_index(&index).await?;
        }
        let start = Instant::now();
        let mut naive = Self { db: store.connection().clone(), rows: Rows::default(), past: vec![] };
        naive.read(&markets, node).await?;
        let took = start.elapsed();
        store.close().await?;
        Ok(took)
    }

    async fn read(&mut self, markets: &Markets, node: &str) -> Result<()> {
        let subject = EventHandles::new(worker::nodes(node)?);
        let mut handles: Vec<_> =
            markets.streams().map(|stream| (stream, subject.at(&stream.source), SeqNo::ZERO)).collect();
        loop {
            let mut is_done = true;
            for (stream, handle, next) in &mut handles {
                for raw in handle.page(*next).await?.events {
                    *next = raw.seq_no.next();
                    self.execute(stream, raw).await?;
                    is_done = false;
                }
            }
            if is_done {
                return Ok(());
            }
        }
    }

    async fn execute(&mut self, stream: &Arc<Stream>, raw: RawEvent) -> Result<()> {
        let entry = stream.entry(&raw).ok().context("the naive program knows no dead letters")?;
        let batch = [&entry];
        let late = fold::late(&batch, &self.rows);
        let of = |keys: &BTreeSet<Arc<str>>, id: Option<&Arc<str>>| id.is_some_and(|id| keys.contains(id));
        let is_told = |past: &&Entry| of(&late.orders, past.order_id()) || of(&late.offers, past.offer_id());
        let history: Vec<_> = self.past.iter().filter(is_told).cloned().collect();
        let changes = fold::fold(&batch, &self.rows, &history).rows;
        let now = now();

        let transaction = self.db.begin().await?;
        let db = &transaction;
        insert(db, convert::event(&stream.observer, &raw, entry.event.time, now)).await?;
        insert(db, convert::activity(&entry)).await?;
        for (id, order) in &changes.orders {
            let known = orders::Entity::find_by_id(&**id).one(db).await?;
            put(db, convert::order_row(order), known.is_some()).await?;
        }
        for (id, offer) in &changes.offers {
            let known = offers::Entity::find_by_id(&**id).one(db).await?;
            put(db, convert::offer_row(offer), known.is_some()).await?;
        }
        for (key, token) in &changes.tokens {
            let known = tokens::Entity::find_by_id((key.0.to_string(), key.1)).one(db).await?;
            put(db, convert::token_row(token, now), known.is_some()).await?;
        }
        for (id, collection) in &changes.collections {
            let known = collections::Entity::find_by_id(id.to_string()).one(db).await?;
            put(db, convert::collection_row(collection, now), known.is_some()).await?;
        }
        let checkpoint = checkpoints::ActiveModel {
            observer: Unchanged(stream.observer.to_string()),
            executed_seq_no: Set(raw.seq_no.next().executed()),
            executed_version: Set(Some(raw.version.column())),
            events_total: Set(raw.seq_no.next().column()),
            updated_at: Set(now),
            ..Default::default()
        };
        checkpoint.update(db).await?;
        transaction.commit().await?;

        self.rows.orders.extend(changes.orders);
        self.rows.offers.extend(changes.offers);
        self.rows.tokens.extend(changes.tokens);
        self.rows.collections.extend(changes.collections);
        self.past.push(entry);
        Ok(())
    }
}

async fn insert<M: IntoActiveModel<A>, A>(db: &DatabaseTransaction, row: M) -> Result<()>
where
    A: ActiveModelTrait<Entity: EntityTrait<Model = M>> + ActiveModelBehavior + Send,
{
    row.into_active_model().insert(db).await?;
    Ok(())
}

async fn put<M: IntoActiveModel<A>, A>(db: &DatabaseTransaction, row: M, is_known: bool) -> Result<()>
where
    A: ActiveModelTrait<Entity: EntityTrait<Model = M>> + ActiveModelBehavior + Send,
{
    if !is_known {
        return insert(db, row).await;
    }
    row.into_active_model().reset_all().update(db).await?;
    Ok(())
}
