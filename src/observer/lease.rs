//! Keeping leases: which observers this worker executes, and telling each when that changes.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::Config;
use super::board::Board;
use crate::market::Markets;
use crate::state::{Leases, Store, StoreError, Trouble, Wants};

/// Rounds within a lease: one that fails, or two, are no harm.
const ROUNDS: u32 = 3;
/// How long a round may take, whatever the lease. A database that is locked or slow needs some time; one that has gone
/// without a word never answers, and what was asked of it is given up.
const ROUND: RangeInclusive<Duration> = Duration::from_secs(3)..=Duration::from_secs(30);
/// Leases for which an observer that gets nowhere is held on to, though another worker wants it.
const STUCK: u32 = 10;
/// At the end nobody waits longer to give leases up: they expire by themselves.
const GOODBYE: Duration = Duration::from_secs(1);

/// Who executes an observer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Lease {
    /// Not known yet, or nobody.
    Unknown,
    /// This worker, under that epoch; `None` where there are no leases.
    Mine(Option<i64>),
    /// Another one.
    Other(String),
    /// Whoever it is, not this worker: its rows are made by another market file. With what to do about it.
    Overruled(String),
}

/// The leases of all streams, in their order, and who keeps them; without leases all are this worker's.
pub(super) struct Leasing {
    pub of: Vec<watch::Receiver<Lease>>,
    kept: Option<Kept>,
}

struct Kept {
    keeper: JoinHandle<()>,
    unwanted: mpsc::UnboundedSender<String>,
    stop: CancellationToken,
}

impl Leasing {
    pub fn start(config: &Config, store: &Store, board: &Arc<Board>, markets: &Arc<Markets>) -> Self {
        let Some(length) = config.lease else {
            let mine = |_| watch::channel(Lease::Mine(None)).1;
            return Self { of: markets.streams().map(mine).collect(), kept: None };
        };
        let (keeper, unwanted) = Keeper::new(store.clone(), Arc::clone(board), markets, config.worker.clone(), length);
        let of = (0..markets.streams().count()).map(|index| keeper.lease(index)).collect();
        let stop = CancellationToken::new();
        let keeper = tokio::spawn(keeper.run(stop.clone()));
        Self { of, kept: Some(Kept { keeper, unwanted, stop }) }
    }

    /// This worker can no longer execute it.
    pub fn unwanted(&self, observer: &str) {
        if let Some(kept) = &self.kept {
            let _ = kept.unwanted.send(observer.to_owned());
        }
    }

    /// Gives all up.
    pub async fn end(self) {
        let Some(Kept { keeper, stop, .. }) = self.kept else { return };
        stop.cancel();
        let _ = keeper.await;
    }
}

/// Renews, takes and gives up leases, until it is stopped.
struct Keeper {
    store: Store,
    board: Arc<Board>,
    worker: String,
    length: Duration,
    markets: Arc<Markets>,
    wants: BTreeSet<String>,
    /// By the streams' order.
    told: Vec<(String, watch::Sender<Lease>)>,
    unwanted: mpsc::UnboundedReceiver<String>,
    /// When the leases that were last told run out.
    until: Option<Instant>,
    shown: Option<Leases>,
    is_failing: bool,
}

impl Keeper {
    /// For all streams of `markets`, and what tells it the observers that this worker can no longer execute.
    fn new(
        store: Store,
        board: Arc<Board>,
        markets: &Arc<Markets>,
        worker: String,
        length: Duration,
    ) -> (Self, mpsc::UnboundedSender<String>) {
        let told: Vec<_> =
            markets.streams().map(|stream| (stream.observer.to_string(), watch::channel(Lease::Unknown).0)).collect();
        let wants = told.iter().map(|(observer, _)| observer.clone()).collect();
        let (sender, unwanted) = mpsc::unbounded_channel();
        (
            Self {
                store,
                board,
                worker,
                length,
                markets: Arc::clone(markets),
                wants,
                told,
                unwanted,
                until: None,
                shown: None,
                is_failing: false,
            },
            sender,
        )
    }

    /// The lease of the stream at `index`, as it changes.
    fn lease(&self, index: usize) -> watch::Receiver<Lease> {
        self.told[index].1.subscribe()
    }

    /// Goes round after round until `stop`; then gives everything up.
    async fn run(mut self, stop: CancellationToken) {
        let mut rounds = interval(self.length / ROUNDS);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while self.before_they_run_out(stop.run_until_cancelled(rounds.tick())).await.is_some() {
            let (store, worker, length, wants) = (self.store.clone(), self.worker.clone(), self.length, self.wants());
            let began = Instant::now();
            let markets = Arc::clone(&self.markets);
            let round = async {
                let leases = store.lease(&worker, &wants, length).await?;
                // After: whoever has the tables made by another file takes the leases before.
                Ok::<_, StoreError>((leases, store.overruled(&markets).await?))
            };
            let round = timeout(length.clamp(*ROUND.start(), *ROUND.end()), round);
            match self.before_they_run_out(until_stopped(pin!(round), &stop)).await {
                Some(Ok(Ok((leases, overruled)))) => self.tell(leases, &overruled, began.elapsed()),
                Some(Ok(Err(error))) if error.trouble() == Trouble::Contended => {}
                Some(Ok(Err(error))) => self.fails(&error.to_string()),
                Some(Err(_)) => self.fails("the database does not answer"),
                None => return,
            }
        }
        let _ = timeout(GOODBYE, self.store.release(&self.worker)).await;
    }

    fn wants(&mut self) -> Wants {
        while let Ok(observer) = self.unwanted.try_recv() {
            self.wants.remove(&observer);
        }
        let patience = self.length * STUCK;
        let is_stuck = |index| self.board.away(index).is_some_and(|away| away >= patience);
        let stuck = self.told.iter().enumerate().filter(|(index, _)| is_stuck(*index));
        let stuck = stuck.map(|(_, (observer, _))| observer.clone()).filter(|observer| self.wants.contains(observer));
        Wants { stuck: stuck.collect(), all: self.wants.clone() }
    }

    /// Does `work`; should the leases run out meanwhile, says so.
    async fn before_they_run_out<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        while let Some(until) = self.until {
            match timeout_at(until, &mut work).await {
                Ok(done) => return done,
                Err(_) => self.run_out(),
            }
        }
        work.await
    }

    /// Others may have taken them, and nobody can say: until somebody does, this worker executes nothing.
    fn run_out(&mut self) {
        self.until = None;
        self.shown = None;
        let lapse = |before: &mut Lease| {
            let is_mine = matches!(before, Lease::Mine(_));
            *before = if is_mine { Lease::Unknown } else { before.clone() };
            is_mine
        };
        let count = self.told.iter().filter(|(_, told)| told.send_if_modified(lapse)).count();
        if count > 0 {
            tracing::warn!("{count} leases have run out: nothing is executed here until the database renews them");
        }
    }

    /// A round that took so long has told this.
    fn tell(&mut self, leases: Leases, overruled: &BTreeMap<String, String>, took: Duration) {
        self.is_failing = false;
        // Whatever is still written after the end of a lease has its epoch against it. So this may err on the side of those whose
        // database is slow, who would otherwise stop in every round.
        self.until = Some(Instant::now() + self.length.max(2 * took));
        for (index, (observer, told)) in self.told.iter().enumerate() {
            let holds = (leases.mine.get(observer), leases.others.get(observer));
            let lease = match (overruled.get(observer), holds) {
                (Some(why), _) => Lease::Overruled(why.clone()),
                (None, (Some(epoch), _)) => Lease::Mine(Some(*epoch)),
                (None, (None, Some(holder))) => Lease::Other(holder.clone()),
                (None, (None, None)) => Lease::Unknown,
            };
            self.board.elsewhere(index, matches!(lease, Lease::Other(_)));
            if let Lease::Other(holder) = &lease
                && self.wants.contains(observer)
            {
                self.board.held_elsewhere(index, holder);
            }
            told.send_if_modified(|before| std::mem::replace(before, lease.clone()) != lease);
        }
        if self.shown.as_ref() != Some(&leases) {
            tracing::info!("{}", worded(&leases, self.told.len()));
            self.shown = Some(leases);
        }
    }

    fn fails(&mut self, error: &str) {
        if !std::mem::replace(&mut self.is_failing, true) {
            tracing::warn!("leases cannot be renewed, other workers may take over: {error}");
        }
    }
}

/// What `round` gives, even if that is after `stop`, but not for ever.
async fn until_stopped<T>(mut round: Pin<&mut impl Future<Output = T>>, stop: &CancellationToken) -> Option<T> {
    match stop.run_until_cancelled(&mut round).await {
        None => timeout(GOODBYE, round).await.ok(),
        done => done,
    }
}

/// `executes 4 of 8 observers (imart:buy, ...); the leases of 4 are held by b:17`.
fn worded(leases: &Leases, all: usize) -> String {
    let names = |names: &mut dyn Iterator<Item = &String>| names.map(String::as_str).collect::<Vec<_>>().join(", ");
    let mut held: BTreeMap<&str, usize> = BTreeMap::new();
    leases.others.values().for_each(|holder| *held.entry(holder).or_default() += 1);
    let mine = match leases.mine.len() {
        0 => "none of".to_owned(),
        number if number == all => "all".to_owned(),
        number => format!("{number} ({}) of", names(&mut leases.mine.keys())),
    };
    let others = held.iter().map(|(holder, number)| format!("; {number} held by {holder}"));
    format!("this worker executes {mine} {all} observers{}", others.collect::<String>())
}
