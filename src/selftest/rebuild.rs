//! A simulated `rebuild`: it follows the stored events as a worker follows a node, seizes the leases, and swaps the tables.

use std::collections::BTreeSet;
use std::sync::Arc;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::faults::{Armed, Injector};
use super::ground::Seat;
use super::tally::Tally;
use super::worker::{Asks, LEASE, Told, Worker, Written};
use crate::market::Markets;
use crate::state::{Rebuild, Store, StoreError, StoredEvents, Swap, Trouble};
use crate::subject::Subject;

/// Of a swap, about.
const STATEMENTS: u32 = 24;

/// A rebuild under way.
pub struct Rebuilding {
    rebuild: Rebuild,
    live: Store,
    markets: Arc<Markets>,
    faults: Arc<Injector>,
    worker: Worker,
    has_seized: bool,
}

/// What became of a step.
pub enum Step {
    Told(String),
    /// It is over: done, or killed.
    Over(String),
}

impl Rebuilding {
    /// Begins, or goes on with what another one has left.
    /// `Err(Ok)`: another one, which is named, has not ended.
    pub async fn begin(name: String, seat: &Seat, anew: bool) -> Result<(Self, String), Result<String, String>> {
        let (live, markets) = (seat.store.clone(), Arc::clone(&seat.markets));
        let told = |error: StoreError| Err(error.to_string());
        if let Some(other) = live.claim_rebuild(&name, LEASE).await.map_err(told)? {
            return Err(Ok(other));
        }
        let rebuild = Rebuild::begin(&live, &name, &markets, anew).await.map_err(told)?;
        let begun = if rebuild.is_resumed { "goes on with a rebuild" } else { "begins a rebuild" };
        let worker = Worker::new(name, &Seat { store: rebuild.store.clone(), ..seat.clone() }, false);
        let faults = Arc::clone(&seat.faults);
        Ok((Self { rebuild, live, markets, faults, worker, has_seized: false }, begun.to_owned()))
    }

    pub fn name(&self) -> &str {
        &self.worker.name
    }

    /// One step; `armed` may happen in a transaction.
    pub async fn step(
        &mut self,
        armed: Option<Armed>,
        rng: &mut ChaCha8Rng,
        tally: &mut Tally,
    ) -> Result<Step, String> {
        let worker = &mut self.worker;
        let to_begin = worker.to_begin();
        if !to_begin.is_empty() {
            for observer in &to_begin {
                worker.begin(observer).await?;
            }
            return Ok(Step::Told("begins with all observers".to_owned()));
        }
        let (can_write, can_plan) = (worker.can_write(), worker.can_plan());
        if can_write && (!can_plan || rng.random_bool(0.5)) {
            return Ok(match worker.write(armed, Asks::Nobody, tally).await? {
                Written::Told(line) => Step::Told(line),
                Written::Crashed(line) => Step::Over(line),
            });
        }
        if can_plan {
            return worker.plan(false, Asks::Nobody, rng, tally).await.map(Step::Told);
        }
        let behind: BTreeSet<_> =
            worker.feeds.iter().filter(|(_, feed)| !feed.is_caught_up).map(|(observer, _)| observer.clone()).collect();
        if !behind.is_empty() {
            for observer in &behind {
                self.read(observer, tally).await?;
            }
            return Ok(Step::Told(format!("reads on where {} observers stand", behind.len())));
        }
        if !self.has_seized {
            self.has_seized = true;
            self.live.seize(&self.worker.name, LEASE).await.map_err(|error| error.to_string())?;
            // The workers may have executed more until now.
            self.worker.feeds.values_mut().for_each(|feed| feed.is_caught_up = false);
            return Ok(Step::Told("seizes all leases".to_owned()));
        }
        let armed = rng.random_ratio(2, 5).then(|| Armed::within(STATEMENTS, rng));
        self.swap(armed, tally).await
    }

    async fn read(&mut self, observer: &str, tally: &mut Tally) -> Told {
        let Some(feed) = self.worker.feeds.get(observer) else { return Err(format!("{observer} has no feed")) };
        let stored = StoredEvents::new(self.rebuild.store.clone(), observer);
        let page = stored.page(feed.next).await;
        let counter = stored.counter().await.ok();
        self.worker.read(observer, page, counter, tally)
    }

    async fn swap(&mut self, armed: Option<Armed>, tally: &mut Tally) -> Result<Step, String> {
        self.faults.arm(armed);
        let swapped = async {
            self.rebuild.reorder(&self.markets).await?;
            self.rebuild.swap().await
        };
        let swapped = self.faults.or_crash(swapped).await;
        let fired = self.faults.disarm();
        if let Some((edge, fault)) = fired {
            tally.database(edge, fault);
            tally.count("faults within swaps");
        }
        let line = match swapped {
            None => return Ok(Step::Over(format!("crashes while it swaps, at {:?}", fired.map(|(edge, _)| edge)))),
            Some(Err(error)) if error.trouble() == Trouble::Contended => {
                return Ok(Step::Told("cannot swap now".to_owned()));
            }
            Some(Ok(Swap::Behind)) => {
                tally.count("swaps that came too early");
                self.worker.feeds.values_mut().for_each(|feed| feed.is_caught_up = false);
                return Ok(Step::Told("cannot swap yet".to_owned()));
            }
            Some(Ok(Swap::Done)) => {
                tally.count("rebuilds");
                "swaps the tables"
            }
            // As its operator is told, another one is needed.
            Some(Err(_)) if fired.is_some() => "loses its connection while it swaps, and ends",
            Some(Err(StoreError::Refused(why))) if why.contains("discarded") => "ends, as dead letters were discarded",
            Some(Err(StoreError::Refused(why))) if why.contains("has taken over") => {
                "ends, as another one is under way"
            }
            Some(Err(error)) => return Err(error.to_string()),
        };
        self.live.release(&self.worker.name).await.map_err(|error| error.to_string())?;
        Ok(Step::Over(line.to_owned()))
    }
}
