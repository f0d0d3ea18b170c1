//! A simulated worker: what a process holds in memory, and the steps that it takes, one at a time.
//!
//! It does what the observers' feeds, lanes and writer do (`observer`), by the same rules, but for one thing: it never decides
//! what it does next, nor when. It knows only what it was answered.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::chain::Chain;
use super::faults::{Armed, Injector};
use super::feed::{Feed, Read};
use super::ground::Seat;
use super::tally::Tally;
use crate::chain::{ChainId, SeqNo};
use crate::market::{Markets, Stream};
use crate::state::{After, Edge, Fault, Orders, Plan, Slice, Store, StoreError, Trouble, Unordered, Wants};
use crate::subject::{Counter, Page, SubjectError};

/// Longer than any case takes: leases end when the case says so.
pub const LEASE: Duration = Duration::from_hours(1);

/// What a worker holds in memory.
pub struct Worker {
    pub name: String,
    pub store: Store,
    faults: Arc<Injector>,
    markets: Arc<Markets>,
    wants: BTreeSet<String>,
    /// What it executes, as it knows, under which epochs; without epochs if it needs no leases.
    mine: BTreeMap<String, Option<i64>>,
    pub feeds: BTreeMap<String, Feed>,
    /// Up to where it knows streams to be committed.
    settled: BTreeMap<String, SeqNo>,
    /// Transactions: the first is under way, the second is planned on top of it.
    queue: VecDeque<Work>,
    /// The order of events within versions, as far as it was asked for.
    orders: Orders,
    /// Steps for which it does nothing.
    pub asleep: u32,
    /// The chain that the database was of when it started.
    chain_id: Option<ChainId>,
}

/// A transaction to be done.
enum Work {
    Planned {
        plan: Plan,
        slices: Arc<[Slice]>,
        /// Whether somebody is known to have written since.
        is_overtaken: bool,
    },
    /// To be planned where nobody else can write.
    Again { slices: Vec<Slice>, asks_first: bool },
}

/// Whom a worker asks for the order of a transaction's events.
#[derive(Clone, Copy)]
pub enum Asks<'a> {
    /// A node, which may not answer.
    Node { chain: &'a Chain, answers: bool },
    /// Nobody: it takes events as they are stored.
    Nobody,
}

/// What came of a step, in words for the trace; `Err`: what no worker may ever meet.
pub type Told = Result<String, String>;

/// What became of a transaction.
pub enum Written {
    Told(String),
    /// The worker is no more.
    Crashed(String),
}

impl Worker {
    /// One that has just started. Without `leases` it executes everything.
    pub fn new(name: String, seat: &Seat, leases: bool) -> Self {
        let Seat { store, faults, markets, chain_id } = seat.clone();
        let wants: BTreeSet<_> = markets.streams().map(|stream| stream.observer.to_string()).collect();
        let mine = if leases { BTreeMap::new() } else { wants.iter().map(|one| (one.clone(), None)).collect() };
        Self {
            name,
            store,
            faults,
            markets,
            chain_id,
            wants,
            mine,
            feeds: BTreeMap::new(),
            settled: BTreeMap::new(),
            queue: VecDeque::new(),
            orders: Orders::default(),
            asleep: 0,
        }
    }

    /// Goes a round of the leases, in which it would rather not have `stuck`. If its answer is lost, the worker goes on as before.
    pub async fn lease(
        &mut self,
        stuck: Option<String>,
        armed: Option<Armed>,
        tally: &mut Tally,
    ) -> Result<Written, String> {
        self.faults.arm(armed);
        let wants = Wants { stuck: stuck.into_iter().collect(), all: self.wants.clone() };
        let done = self.faults.or_crash(self.store.lease(&self.name, &wants, LEASE)).await;
        let fired = self.faults.disarm();
        if let Some((edge, fault)) = fired {
            tally.database(edge, fault);
            tally.count("faults within lease rounds");
        }
        let leases = match done {
            None => return Ok(Written::Crashed("crashes as it asks for leases".to_owned())),
            Some(Err(_)) if fired.is_some() => return Ok(Written::Told("asks for leases in vain".to_owned())),
            Some(done) => done.map_err(|error| error.to_string())?,
        };
        tally.count("lease rounds");
        let mine = leases.mine.into_iter().map(|(observer, epoch)| (observer, Some(epoch))).collect();
        let before = std::mem::replace(&mut self.mine, mine);
        let taken = self.mine.iter().filter(|(observer, epoch)| before.get(*observer) != Some(epoch)).count();
        tally.add("leases taken", taken as u64);
        let mine = &self.mine;
        self.feeds.retain(|observer, feed| mine.get(observer) == Some(&feed.epoch));
        Ok(Written::Told(format!("holds {} leases, {taken} of them new", self.mine.len())))
    }

    /// Observers that it has to begin with.
    pub fn to_begin(&self) -> Vec<String> {
        self.mine.keys().filter(|observer| !self.feeds.contains_key(*observer)).cloned().collect()
    }

    /// Begins with an observer where its checkpoint stands.
    pub async fn begin(&mut self, observer: &str) -> Told {
        let stream = self.markets.stream(observer).cloned().ok_or_else(|| format!("there is no {observer}"))?;
        let checkpoint = self.store.checkpoint(observer).await.map_err(|error| error.to_string())?;
        let epoch = self.mine.get(observer).copied().flatten();
        self.settle(observer, checkpoint.next);
        let next = checkpoint.next;
        self.feeds.insert(observer.to_owned(), Feed::new(&stream, &checkpoint, epoch, self.chain_id));
        Ok(format!("begins with {observer} at {next}"))
    }

    /// Takes a page that was answered for an observer.
    pub fn read(
        &mut self,
        observer: &str,
        page: Result<Page, SubjectError>,
        counter: Option<Counter>,
        tally: &mut Tally,
    ) -> Told {
        let Some(feed) = self.feeds.get_mut(observer) else { return Err(format!("{observer} has no feed")) };
        let (from, read) = (feed.next, feed.take(page, counter));
        let what = match read {
            Read::Events { events, parked } => {
                tally.add("parked events read", parked);
                format!("{events} events")
            }
            Read::Again(why) => why.to_owned(),
            Read::CaughtUp => "the end".to_owned(),
            Read::Stopped(why) => {
                // Another worker may have a node that can.
                self.wants.remove(observer);
                tally.count("observers stopped");
                format!("{why}: stops")
            }
        };
        Ok(format!("reads {observer} from {from}: {what}"))
    }

    /// Whether a transaction can be planned now.
    pub fn can_plan(&self) -> bool {
        let has_room = match self.queue.back() {
            None => true,
            Some(Work::Planned { .. }) => self.queue.len() == 1,
            Some(Work::Again { .. }) => false,
        };
        has_room && self.feeds.values().any(|feed| !feed.waiting.is_empty())
    }

    /// Plans a transaction of some of what waits, on top of the one that is under way.
    pub async fn plan(&mut self, is_lost: bool, asks: Asks<'_>, rng: &mut ChaCha8Rng, tally: &mut Tally) -> Told {
        let mut slices = self.some_of_what_waits(rng);
        let unordered = Unordered::of(slices.iter().flat_map(|slice| &slice.events));
        if !self.ask(&unordered, asks, tally) {
            let line = format!("plans{}: nobody tells the order of their events", worded(&slices));
            self.queue.push_back(Work::Again { slices, asks_first: false });
            return Ok(line);
        }
        self.orders.place(&mut slices);
        let slices: Arc<[Slice]> = slices.into();
        let before = match self.queue.back() {
            Some(Work::Planned { plan, .. }) => Some(plan.after()),
            _ => None,
        };
        let on_top = if before.is_some() { " on top" } else { "" };
        let mut line = format!("plans{on_top}{}", worded(&slices));
        if is_lost {
            tally.count("fault: connection lost while planning");
            let _ = write!(line, ": no answer");
            self.queue.push_back(Work::Again { slices: slices.to_vec(), asks_first: true });
            return Ok(line);
        }
        let planned = self.planned(&slices, before).await?;
        if planned.is_none() {
            tally.count("plans that late events forbade");
            let _ = write!(line, ": late events");
        }
        self.queue.push_back(match planned {
            Some(plan) => Work::Planned { plan, slices, is_overtaken: false },
            None => Work::Again { slices: slices.to_vec(), asks_first: false },
        });
        Ok(line)
    }

    /// Asks for the order of `versions`, as far as it is not known; whether it is now.
    fn ask(&mut self, versions: &Unordered, asks: Asks<'_>, tally: &mut Tally) -> bool {
        for version in versions.all() {
            if self.orders.has(version) {
                continue;
            }
            let order = match asks {
                Asks::Nobody => None,
                Asks::Node { answers: false, .. } => {
                    tally.count("fault: no answer about a transaction");
                    return false;
                }
                Asks::Node { chain, .. } => {
                    tally.count("transactions asked for");
                    Some(chain.order(&self.markets, version))
                }
            };
            self.orders.insert(version, order);
        }
        true
    }

    async fn planned(&self, slices: &Arc<[Slice]>, before: Option<After>) -> Result<Option<Plan>, String> {
        self.store.plan(&self.markets, Arc::clone(slices), before).await.map_err(|error| error.to_string())
    }

    fn some_of_what_waits(&mut self, rng: &mut ChaCha8Rng) -> Vec<Slice> {
        let mut waiting: Vec<_> = self.feeds.values_mut().filter(|feed| !feed.waiting.is_empty()).collect();
        let all = rng.random_ratio(1, 3);
        let sure = rng.random_range(0..waiting.len());
        let mut slices = vec![];
        for (at, feed) in waiting.iter_mut().enumerate() {
            if all || at == sure || rng.random_bool(0.5) {
                let length = feed.waiting.len();
                slices.push(feed.slice(if all { length } else { rng.random_range(1..=length) }));
            }
        }
        slices
    }

    /// Somebody else has written: what is planned must never be done so.
    pub fn overtake(&mut self) {
        for work in &mut self.queue {
            if let Work::Planned { is_overtaken, .. } = work {
                *is_overtaken = true;
            }
        }
    }

    /// Whether there is a transaction to go on with.
    pub fn can_write(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Goes on with the transaction under way, during which `armed` may happen.
    pub async fn write(&mut self, armed: Option<Armed>, asks: Asks<'_>, tally: &mut Tally) -> Result<Written, String> {
        match self.queue.pop_front() {
            None => Ok(Written::Told("has nothing to write".to_owned())),
            Some(Work::Planned { plan, slices, is_overtaken }) => {
                self.faults.arm(armed);
                let done = self.faults.or_crash(self.store.execute(plan)).await;
                let line = format!("executes{}", worded(&slices));
                if is_overtaken && matches!(done, Some(Ok(_))) {
                    return Err(format!("{line}: done as planned, though dead letters were handled since"));
                }
                self.written(line, slices.to_vec(), done.map(|done| done.map(|done| done.refolded)), tally).await
            }
            Some(Work::Again { slices, asks_first: true }) => {
                let line = format!("asks where{} stand", worded(&slices));
                let left = self.left(slices, tally).await?;
                let line = format!("{line}: left{}", worded(&left));
                if !left.is_empty() {
                    self.queue.push_front(Work::Again { slices: left, asks_first: false });
                }
                Ok(Written::Told(line))
            }
            Some(Work::Again { slices, asks_first: false }) => {
                let mut slices: Vec<_> = slices.into_iter().filter_map(|slice| self.unsettled(slice)).collect();
                if slices.is_empty() {
                    return Ok(Written::Told("finds everything committed".to_owned()));
                }
                self.orders.place(&mut slices);
                self.faults.arm(armed);
                let commit = self.store.commit_in_order(&self.markets, &slices, &self.orders);
                let done = self.faults.or_crash(commit).await;
                let line = format!("commits{}", worded(&slices));
                if let Some(Err(StoreError::Unordered(versions))) = &done {
                    self.faults.disarm();
                    let heard = if self.ask(versions, asks, tally) { "asks for" } else { "is not told" };
                    self.queue.push_front(Work::Again { slices, asks_first: false });
                    return Ok(Written::Told(format!("{line}: {heard} the order within {versions}")));
                }
                self.written(line, slices, done.map(|done| done.map(|done| done.refolded)), tally).await
            }
        }
    }

    async fn written(
        &mut self,
        line: String,
        slices: Vec<Slice>,
        done: Option<Result<usize, StoreError>>,
        tally: &mut Tally,
    ) -> Result<Written, String> {
        let fired = self.faults.disarm();
        if let Some((edge, fault)) = fired {
            tally.database(edge, fault);
        }
        let Some(done) = done else {
            let (edge, _) = fired.unwrap_or((Edge::Statement, Fault::Hang));
            return Ok(Written::Crashed(format!("{line}: crashes at {edge:?}")));
        };
        let error = match done {
            Ok(refolded) => {
                tally.count("commits");
                tally.add("orders and offers folded anew", refolded as u64);
                for slice in &slices {
                    self.still_holds(slice).await?;
                    self.settle(&slice.stream.observer, slice.end());
                }
                return Ok(Written::Told(format!("{line}: done, {refolded} folded anew")));
            }
            Err(error) => error,
        };
        // What was planned on top does not hold, either.
        for work in &mut self.queue {
            if let Work::Planned { slices, .. } = work {
                *work = Work::Again { slices: slices.to_vec(), asks_first: false };
            }
        }
        let (why, asks_first) = match (&error, error.trouble()) {
            (StoreError::Overtaken, _) => ("overtaken", false),
            (StoreError::Moved(_), _) => ("moved", true),
            (_, Trouble::Contended) => ("contended", true),
            (_, Trouble::Away) => ("no connection", true),
            (_, Trouble::Lasting) => return Err(format!("{line}: {error}")),
        };
        match why {
            "overtaken" => tally.count("overtaken plans"),
            "moved" => tally.count("checkpoints moved by others"),
            _ if fired.is_none() => return Err(format!("{line}: nothing was to go wrong, and it did: {error}")),
            _ => {}
        }
        self.queue.push_front(Work::Again { slices, asks_first });
        Ok(Written::Told(format!("{line}: {why}")))
    }

    /// What has been written was this worker's.
    async fn still_holds(&self, slice: &Slice) -> Result<(), String> {
        let observer = &slice.stream.observer;
        let epoch = self.store.checkpoint(observer).await.map_err(|error| error.to_string())?.lease_epoch;
        match slice.epoch {
            Some(held) if held != epoch => {
                Err(format!("{observer} is written under the lease {held}, and {epoch} holds"))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// The parts of `slices` that the checkpoints have not passed, and that are still this worker's.
    async fn left(&mut self, slices: Vec<Slice>, tally: &mut Tally) -> Result<Vec<Slice>, String> {
        let mut left = vec![];
        for mut slice in slices {
            let observer = Arc::clone(&slice.stream.observer);
            let checkpoint = self.store.checkpoint(&observer).await.map_err(|error| error.to_string())?;
            self.settle(&observer, checkpoint.next);
            if slice.epoch.is_some_and(|epoch| epoch != checkpoint.lease_epoch) {
                tally.count("fenced slices");
                if let Some(feed) = self.feeds.get_mut(&*observer).filter(|feed| feed.epoch == slice.epoch) {
                    feed.close();
                }
                continue;
            }
            if checkpoint.next < slice.start() {
                return Err(format!("{observer} went back from {} to {}", slice.start(), checkpoint.next));
            }
            if let Some(feed) = self.feeds.get_mut(&*observer) {
                feed.found(&checkpoint);
            }
            slice.events.retain(|event| event.raw.seq_no >= checkpoint.next);
            left.extend((!slice.events.is_empty()).then_some(slice));
        }
        Ok(left)
    }

    fn unsettled(&self, mut slice: Slice) -> Option<Slice> {
        let next = self.settled.get(&*slice.stream.observer).copied().unwrap_or_default();
        slice.events.retain(|event| event.raw.seq_no >= next);
        (!slice.events.is_empty()).then_some(slice)
    }

    fn settle(&mut self, observer: &str, next: SeqNo) {
        let settled = self.settled.entry(observer.to_owned()).or_default();
        *settled = next.max(*settled);
        if let Some(feed) = self.feeds.get_mut(observer) {
            feed.settle(next);
        }
    }

    /// Whether it knows that everything it executes is done.
    pub fn is_caught_up(&self) -> bool {
        let is_done = |feed: &Feed| feed.is_caught_up && feed.is_open() && feed.waiting.is_empty();
        self.queue.is_empty() && self.to_begin().is_empty() && self.feeds.values().all(is_done)
    }

    /// Whether it has had to stop nowhere.
    pub fn wants_all(&self) -> bool {
        self.wants.len() == self.markets.streams().count()
    }

    /// The stream of an observer.
    pub fn stream(&self, observer: &str) -> Option<&Arc<Stream>> {
        self.markets.stream(observer)
    }
}

/// ` imart:list 3..7 imart:buy 0..1`.
fn worded(slices: &[Slice]) -> String {
    let mut text = String::new();
    for slice in slices {
        // Into a string it cannot fail.
        let _ = write!(text, " {} {}..{}", slice.stream.observer, slice.start(), slice.end());
    }
    if text.is_empty() { " nothing".to_owned() } else { text }
}
