//! Keeping leases: which observers this worker executes, and telling each when that changes.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::Config;
use super::board::Board;
use crate::market::Markets;
use crate::state::{Leases, Store, StoreError, Trouble};

/// Rounds within a lease: one that fails, or two, are no harm.
const ROUNDS: u32 = 3;
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
    pub fn start(config: &Config, store: &Store, board: &Arc<Board>, markets: &Markets) -> Self {
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
    wants: BTreeSet<String>,
    /// By the streams' order.
    told: Vec<(String, watch::Sender<Lease>)>,
    unwanted: mpsc::UnboundedReceiver<String>,
    shown: Option<Leases>,
    is_failing: bool,
}

impl Keeper {
    /// For all streams of `markets`, and what tells it the observers that this worker can no longer execute.
    fn new(
        store: Store,
        board: Arc<Board>,
        markets: &Markets,
        worker: String,
        length: Duration,
    ) -> (Self, mpsc::UnboundedSender<String>) {
        let told: Vec<_> =
            markets.streams().map(|stream| (stream.observer.to_string(), watch::channel(Lease::Unknown).0)).collect();
        let wants = told.iter().map(|(observer, _)| observer.clone()).collect();
        let (sender, unwanted) = mpsc::unbounded_channel();
        (Self { store, board, worker, length, wants, told, unwanted, shown: None, is_failing: false }, sender)
    }

    /// The lease of the stream at `index`, as it changes.
    fn lease(&self, index: usize) -> watch::Receiver<Lease> {
        self.told[index].1.subscribe()
    }

    /// Goes round after round until `stop`; then gives everything up.
    async fn run(mut self, stop: CancellationToken) {
        let mut rounds = interval(self.length / ROUNDS);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stop.run_until_cancelled(rounds.tick()).await.is_some() {
            while let Ok(observer) = self.unwanted.try_recv() {
                self.wants.remove(&observer);
            }
            // Never given up half-way: nobody knows what a server does with it then.
            let round = self.store.lease(&self.worker, &self.wants, self.length);
            let done = until_stopped(pin!(round), &stop).await;
            match done {
                Some(Ok(leases)) => self.tell(leases),
                Some(Err(error)) => self.fails(&error),
                None => return,
            }
        }
        let _ = timeout(GOODBYE, self.store.release(&self.worker)).await;
    }

    fn tell(&mut self, leases: Leases) {
        self.is_failing = false;
        for (index, (observer, told)) in self.told.iter().enumerate() {
            let lease = match (leases.mine.get(observer), leases.others.get(observer)) {
                (Some(epoch), _) => Lease::Mine(Some(*epoch)),
                (None, Some(holder)) => Lease::Other(holder.clone()),
                (None, None) => Lease::Unknown,
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
            tracing::info!("{}", worded(&leases));
            self.shown = Some(leases);
        }
    }

    fn fails(&mut self, error: &StoreError) {
        if error.trouble() != Trouble::Contended && !std::mem::replace(&mut self.is_failing, true) {
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
fn worded(leases: &Leases) -> String {
    let names = |names: &mut dyn Iterator<Item = &String>| names.map(String::as_str).collect::<Vec<_>>().join(", ");
    let mut held: BTreeMap<&str, usize> = BTreeMap::new();
    leases.others.values().for_each(|holder| *held.entry(holder).or_default() += 1);
    let all = leases.mine.len() + leases.others.len();
    let mine = match leases.mine.len() {
        0 => "none".to_owned(),
        number if number == all => "all".to_owned(),
        number => format!("{number} ({}) of", names(&mut leases.mine.keys())),
    };
    let others = held.iter().map(|(holder, number)| format!("; {number} held by {holder}"));
    format!("this worker executes {mine} {all} observers{}", others.collect::<String>())
}
