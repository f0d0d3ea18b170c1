//! `verify`: whether the database holds every event that the chain has emitted, once, and exactly what folding makes of them.
//!
//! First each handle's counter is read from a node, then the database as it is at one moment after that. In it
//! - the events of each stream go on from 0 without a hole to where the checkpoint stands, in ascending versions, and are no
//!   fewer than the counter said ([`stream`]);
//! - each event has the activity that decoding it anew gives, or is a dead letter and has none;
//! - orders, offers, tokens and collections are, row by row and column by column, what folding all events anew in ledger
//!   order gives, but for what importing owns ([`fold`], [`rows`]).
//!
//! One task reads, while a thread of its own checks, decodes and folds. What is held in memory is bounded by a setting: the
//! events and rows are put into buckets by a hash of the rows that they are about, beyond the bound into a temporary file,
//! and are folded and compared bucket by bucket ([`buckets`]).

mod buckets;
mod certificate;
mod differences;
mod fold;
mod ledger;
mod node;
mod progress;
mod read;
mod rows;
mod stream;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

pub use certificate::{Certificate, Market, Sample, Stream};
pub use differences::{Compared, Difference};
pub use progress::Progress;
pub use stream::{DeadLetter, Letters};

use crate::chain::{Source, Version};
use crate::market::{Markets, Stream as MarketStream};
use crate::observer::State;
use crate::state::entities::{checkpoints, markets};
use crate::state::{Snapshot, Start, Store, StoreError};
use crate::subject::{Counter, Nodes};
use differences::{Differences, Key};
use fold::Folding;
use ledger::Ledger;
use node::Handles;
use read::Rows;
use stream::Reading;

/// How long to wait for a live worker that is a poll behind.
const WAIT: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(200);
/// Stretches that are read ahead of the one that is checked.
const AHEAD: usize = 2;

/// What to verify, and how.
#[derive(Debug, Clone)]
pub struct Config {
    /// About how much to hold in memory, in bytes.
    pub memory: usize,
    /// Differences to tell of each table.
    pub shown: usize,
    /// Pages to read again from a node, and what decides which.
    pub sample: u32,
    pub seed: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { memory: 256_000_000, shown: 10, sample: 0, seed: 0 }
    }
}

/// Why nothing could be verified.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The message names the node and the remedy.
    #[error("{0}")]
    Node(String),
    #[error(
        "{0}: what does not fit into memory goes to the temporary folder (TMPDIR); make room there, or raise --memory-mb"
    )]
    Folder(#[from] io::Error),
    #[error("checking broke down, which is a bug: {0}")]
    Bug(#[from] tokio::task::JoinError),
}

/// Verifies the streams of `markets`; without `nodes`, by themselves alone. Fails if it cannot be done.
pub async fn run(
    store: &Store,
    markets: &Markets,
    nodes: Option<Arc<Nodes>>,
    config: &Config,
    progress: Arc<Progress>,
) -> Result<Certificate, VerifyError> {
    let streams: Vec<_> = markets.streams().cloned().collect();
    let handles = nodes.map(|nodes| Handles::new(nodes, &streams));
    let counters = match &handles {
        Some(handles) => Some(counters(handles, store, &streams, &progress).await?),
        None => None,
    };
    let snapshot = store.snapshot().await?;
    let scope = Scope::of(&snapshot, markets).await?;
    let events = scope.checkpoints.values().map(|row| row.events_total.unsigned_abs()).sum();
    progress.expect(2 * events);
    let readings = streams.iter().enumerate().map(|(number, stream)| {
        let counter = counters.as_ref().and_then(|counters| counters.get(number));
        Reading::new(Arc::clone(stream), counter.copied().flatten())
    });
    let checking = Checking::new(readings.collect(), &scope, events, config, Arc::clone(&progress));
    let (sender, receiver) = mpsc::channel(AHEAD);
    let checked = tokio::task::spawn_blocking(move || checking.all(receiver));
    let read = async {
        let read = read::all(&snapshot, &streams, scope.has_items(), &sender).await;
        drop(sender);
        read
    };
    let (read, checked) = tokio::join!(read, checked);
    read?;
    let mut checked = checked??;
    let sample = match &handles {
        Some(handles) if config.sample > 0 => {
            progress.does("reading a sample from the node");
            let mut sample = Sample { seed: config.seed, pages: config.sample, ..Sample::default() };
            let lengths: Vec<_> =
                checked.readings.iter().map(|reading| (Arc::clone(&reading.stream), reading.next.get())).collect();
            handles.sample(&mut sample, &lengths, &snapshot, &mut checked.differences).await?;
            Some(sample)
        }
        _ => None,
    };
    Ok(scope.certificate(markets, checked, sample, &snapshot))
}

/// How many events there are, read before the database; then waits a little for a live worker to have them.
async fn counters(
    handles: &Handles,
    store: &Store,
    streams: &[Arc<MarketStream>],
    progress: &Progress,
) -> Result<Vec<Option<Counter>>, VerifyError> {
    let chain = store.chain_id().await?;
    handles.check_chain(chain).await?;
    let counters = handles.counters(chain).await?;
    let until = Instant::now() + WAIT;
    while Instant::now() < until {
        let overview = store.overview().await?;
        let executed: BTreeMap<_, _> =
            overview.checkpoints.iter().map(|row| (&*row.observer, row.executed_seq_no)).collect();
        let is_behind = |(stream, counter): (&Arc<MarketStream>, &Option<Counter>)| {
            let executed = executed.get(&*stream.observer).copied().unwrap_or(-1);
            let report = overview.reports.get(&*stream.observer);
            let is_live = report.is_some_and(|report| {
                let is_over = [State::Stopped.name(), State::Ended.name()].contains(&&*report.state);
                !is_over && overview.alive.contains(&report.worker)
            });
            counter.is_some_and(|counter| executed < counter.next.executed()) && is_live
        };
        if !streams.iter().zip(&counters).any(is_behind) {
            break;
        }
        progress.does("waiting for the worker, which is behind");
        tokio::time::sleep(LOOK).await;
    }
    Ok(counters)
}

/// What of the database is looked at.
struct Scope {
    checkpoints: BTreeMap<String, checkpoints::Model>,
    markets: Vec<markets::Model>,
    /// Observers, and the markets of theirs, that `MARKETS` does not name.
    others: BTreeSet<String>,
    other_markets: BTreeSet<String>,
}

impl Scope {
    async fn of(snapshot: &Snapshot, markets: &Markets) -> Result<Self, StoreError> {
        let mut others = snapshot.observers().await?;
        others.retain(|observer| markets.stream(observer).is_none());
        let checkpoints = snapshot.checkpoints().await?.into_iter().map(|row| (row.observer.clone(), row)).collect();
        let ours: BTreeSet<_> = markets.iter().map(|market| &*market.name).collect();
        let market = |observer: &String| observer.split(':').next().unwrap_or_default().to_owned();
        let other_markets = others.iter().map(market).filter(|market| !ours.contains(&**market)).collect();
        Ok(Self { checkpoints, markets: snapshot.markets().await?, others, other_markets })
    }

    /// Tokens and collections belong to all markets together: without some of them nobody can tell what they must be.
    fn has_items(&self) -> bool {
        self.others.is_empty()
    }

    fn certificate(
        self,
        markets: &Markets,
        checked: Checked,
        sample: Option<Sample>,
        snapshot: &Snapshot,
    ) -> Certificate {
        let Checked { readings, mut differences, unexpected, skipped } = checked;
        let (complete, mut notes) = (self.has_items(), self.notes(skipped));
        if sample.is_some() && readings.iter().any(|reading| reading.stream.source == Source::ModuleEvent) {
            notes.push("no sample was read of streams of module events, which no handle numbers".to_owned());
        }
        let mut streams = vec![];
        for reading in &readings {
            let observer = &*reading.stream.observer;
            match self.checkpoints.get(observer) {
                Some(row) => {
                    reading.checkpoint(row, &mut differences);
                    if let Some(version) = Start::of(row).set {
                        notes.push(format!(
                            "{observer} begins at version {version}, as run --from-version said: what was emitted before is not stored"
                        ));
                    }
                }
                None if reading.events > 0 => differences.add("checkpoints", Key::of(observer), None, "a row", ()),
                None => notes.push(format!("{observer} has no checkpoint: no worker has run with it yet")),
            }
            if reading.letters.readable > 0 {
                let readable = reading.letters.readable;
                notes.push(format!("{observer}: {readable} parked events could be decoded now"));
            }
            let counter = reading.counter;
            streams.push(Stream {
                observer: observer.to_owned(),
                events: reading.events,
                counter: counter.map(|counter| counter.next.get()),
                counter_version: counter.and_then(|counter| counter.ledger.version).map(Version::get),
                missing: counter.map_or(0, |counter| reading.next.until(counter.next)),
                executed_version: reading.version.map(Version::column),
                digest: reading.digest.to_string(),
                dead_letters: reading.letters,
            });
        }
        let markets = markets.iter().map(|market| {
            let unexpected = unexpected.get(&market.name).copied().unwrap_or_default();
            // Which file the rows were folded by, nothing else tells.
            let stored = self.markets.iter().find(|row| *row.market == *market.name);
            let expected = markets::Model {
                market: market.name.to_string(),
                address: market.address.to_string(),
                unexpected,
                mapping: stored.and_then(|row| row.mapping.clone()),
            };
            self.check_market(&expected, &mut differences);
            Market { market: expected.market, address: expected.address, unexpected }
        });
        let markets = markets.collect();
        let missing: u64 = streams.iter().map(|stream| stream.missing).sum();
        let mut chains = self.checkpoints.values().filter_map(|row| row.chain_id);
        Certificate {
            verified: missing == 0 && differences.total() == 0,
            complete,
            version: env!("CARGO_PKG_VERSION"),
            chain_id: chains.next().and_then(|chain| chain.try_into().ok()),
            snapshot_at: snapshot.taken_at,
            markets,
            streams,
            tables: differences.tables(),
            difference_count: differences.total(),
            differences: differences.into_first(),
            dead_letters: readings.into_iter().flat_map(|reading| reading.set_aside).collect(),
            sample,
            notes,
        }
    }

    fn check_market(&self, expected: &markets::Model, differences: &mut Differences) {
        let stored = self.markets.iter().find(|row| row.market == expected.market);
        let has_run = self.checkpoints.keys().any(|observer| observer.split(':').next() == Some(&expected.market));
        if stored.is_none() && !has_run {
            return;
        }
        differences.compared("markets", 1);
        if stored != Some(expected) {
            differences.rows("markets", &Key::of(&expected.market), Some(expected), stored);
        }
    }

    fn notes(&self, skipped: u64) -> Vec<String> {
        if self.others.is_empty() {
            return vec![];
        }
        let others = self.others.iter().cloned().collect::<Vec<_>>().join(", ");
        vec![format!(
            "not verified: {others}, which no market of MARKETS has, {skipped} orders and offers of theirs, and tokens and collections, which all markets share"
        )]
    }
}

/// The thread that checks what the task reads.
struct Checking {
    readings: Vec<Reading>,
    ledger: Ledger,
    folding: Folding,
    differences: Differences,
    other_markets: BTreeSet<String>,
    has_items: bool,
    skipped: u64,
    progress: Arc<Progress>,
}

/// What it has found.
struct Checked {
    readings: Vec<Reading>,
    differences: Differences,
    unexpected: BTreeMap<Arc<str>, i64>,
    /// Orders and offers of other markets.
    skipped: u64,
}

impl Checking {
    fn new(readings: Vec<Reading>, scope: &Scope, events: u64, config: &Config, progress: Arc<Progress>) -> Self {
        let streams = readings.iter().map(|reading| Arc::clone(&reading.stream)).collect();
        Self {
            ledger: Ledger::new(readings.len()),
            folding: Folding::new(streams, events, config.memory),
            readings,
            differences: Differences::new(config.shown),
            other_markets: scope.other_markets.clone(),
            has_items: scope.has_items(),
            skipped: 0,
            progress,
        }
    }

    fn all(mut self, mut rows: mpsc::Receiver<Rows>) -> io::Result<Checked> {
        while let Some(rows) = rows.blocking_recv() {
            self.take(rows)?;
        }
        let Self { readings, folding, mut differences, has_items, skipped, progress, .. } = self;
        let unexpected = folding.compare(has_items, &mut differences, &progress)?;
        Ok(Checked { readings, differences, unexpected, skipped })
    }

    fn take(&mut self, rows: Rows) -> io::Result<()> {
        match rows {
            Rows::Events { stream, chunk } => {
                self.progress.does("reading events");
                self.progress.step(chunk.events.len());
                let reading = &mut self.readings[stream];
                let ended = chunk.through.is_none();
                let entries = reading.check(chunk, &mut self.differences);
                self.ledger.push(stream, entries, reading.version, ended);
                self.folding.events(self.ledger.next())?;
            }
            Rows::Orders(rows) => {
                self.progress.does("reading orders");
                for row in rows {
                    if self.other_markets.contains(&row.market) {
                        self.skipped += 1;
                    } else {
                        self.folding.order(row)?;
                    }
                }
            }
            Rows::Offers(rows) => {
                self.progress.does("reading offers");
                for row in rows {
                    if self.other_markets.contains(&row.market) {
                        self.skipped += 1;
                    } else {
                        self.folding.offer(row)?;
                    }
                }
            }
            Rows::Tokens(rows) => {
                self.progress.does("reading tokens");
                rows.into_iter().try_for_each(|row| self.folding.token(row))?;
            }
            Rows::Collections(rows) => {
                self.progress.does("reading collections");
                rows.into_iter().try_for_each(|row| self.folding.collection(row))?;
            }
        }
        Ok(())
    }
}
