//! What every observer is doing, in one place: written by feeds and writer, read by whoever tells people.
//!
//! A change of state is logged here, once; not every try.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::metrics::Observed;
use super::watch::{Asked, Whom};
use crate::chain::{SeqNo, Timestamp};
use crate::market::Markets;
use crate::state::now;
use crate::subject::SubjectError;

/// What an observer is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nothing read yet.
    Starting,
    /// Behind, and reading.
    CatchingUp,
    /// At the end of its stream.
    Following,
    /// Not getting on; the cause says why. It goes on by itself.
    Waiting,
    /// Not getting on, and not by itself.
    Stopped,
    /// Its worker has ended.
    Ended,
}

/// Why an observer does not get on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    CaughtUp,
    NodeBehind,
    NodeUnreachable,
    Throttled,
    Pruned,
    Gap,
    DatabaseLocked,
    DatabaseUnreachable,
    Parked,
    /// Another worker executes it.
    LeaseHeld,
    /// The node or the database says no; the detail tells the remedy.
    Refused,
}

impl Cause {
    /// What an error that may pass says of a node.
    pub(super) fn of(error: &SubjectError) -> Self {
        match error {
            SubjectError::Throttled { .. } => Self::Throttled,
            SubjectError::Behind(_) => Self::NodeBehind,
            _ => Self::NodeUnreachable,
        }
    }
}

/// An observer's state at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub observer: Arc<str>,
    pub state: State,
    pub cause: Option<Cause>,
    /// The last failure, in its own words.
    pub last_error: Option<String>,
    /// The next event to execute.
    pub next: SeqNo,
    /// How many events its stream has, where known.
    pub counter: Option<SeqNo>,
    /// Seconds between the last executed event and the chain's time; 0 at the end of the stream.
    pub lag_seconds: Option<u64>,
    /// Since when it is in this state.
    pub since: Timestamp,
    /// Whether another worker holds its lease, and tells of it.
    pub elsewhere: bool,
}

/// What the writer waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waits {
    Node,
    Decode,
    Database,
}

/// How the writer gets on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Work {
    /// Events in the last commit.
    pub last_commit: usize,
    /// What it has waited for most since that was last asked.
    pub waits_for: Option<Waits>,
}

/// All observers' states.
pub struct Board {
    lanes: Mutex<Vec<Lane>>,
    outages: Mutex<Vec<Outage>>,
    database: Mutex<Option<(Cause, String, Timestamp)>>,
    writer: Mutex<Writing>,
    /// The nodes, by observer, and behind them the database.
    asked: Mutex<Vec<Asked>>,
    observed: Mutex<Observed>,
}

#[derive(Default)]
struct Writing {
    last_commit: usize,
    /// By [`Waits::ALL`].
    waited: [Duration; 3],
}

/// What observers wait for together, from when the first began until the last goes on.
struct Outage {
    cause: Cause,
    since: Timestamp,
    observers: BTreeSet<usize>,
}

pub(super) struct Lane {
    pub(super) shown: Snapshot,
    executed_time: Option<Timestamp>,
    ledger_time: Option<Timestamp>,
    /// Since when its node is away, whoever executes it.
    pub(super) away: Option<Instant>,
}

impl Board {
    /// A board for all streams of `markets`, in their order.
    #[must_use]
    pub fn new(markets: &Markets) -> Self {
        let lane = |observer: &Arc<str>| Lane {
            shown: Snapshot {
                observer: Arc::clone(observer),
                state: State::Starting,
                cause: None,
                last_error: None,
                next: SeqNo::ZERO,
                counter: None,
                lag_seconds: None,
                since: now(),
                elsewhere: false,
            },
            executed_time: None,
            ledger_time: None,
            away: None,
        };
        let lanes: Vec<_> = markets.streams().map(|stream| lane(&stream.observer)).collect();
        Self {
            asked: Mutex::new((0..=lanes.len()).map(|_| Asked::default()).collect()),
            lanes: Mutex::new(lanes),
            outages: Mutex::default(),
            database: Mutex::default(),
            writer: Mutex::default(),
            observed: Mutex::default(),
        }
    }

    /// What is counted, and what the database was last found to hold.
    #[must_use]
    pub fn observed(&self) -> Observed {
        locked(&self.observed).clone()
    }

    pub(super) fn observe(&self, change: impl FnOnce(&mut Observed)) {
        change(&mut locked(&self.observed));
    }

    pub(super) fn ask(&self, whom: Whom) -> u64 {
        self.asked_of(whom, Asked::ask)
    }

    pub(super) fn answer(&self, whom: Whom, question: u64) {
        self.asked_of(whom, |asked| asked.answer(question));
    }

    /// For how long that one has not answered, if that is worth speaking of.
    pub(super) fn silent(&self, whom: Whom) -> Option<Duration> {
        self.asked_of(whom, |asked| asked.silent())
    }

    fn asked_of<T>(&self, whom: Whom, act: impl FnOnce(&mut Asked) -> T) -> T {
        let mut asked = locked(&self.asked);
        let database = asked.len() - 1;
        act(&mut asked[match whom {
            Whom::Node(index) => index,
            Whom::Database => database,
        }])
    }

    /// How the writer has got on since this was last asked.
    #[must_use]
    pub fn work(&self) -> Work {
        let mut writer = locked(&self.writer);
        let waited = std::mem::take(&mut writer.waited);
        let most = Waits::ALL.into_iter().zip(waited).filter(|(_, time)| !time.is_zero()).max_by_key(|(_, time)| *time);
        Work { last_commit: writer.last_commit, waits_for: most.map(|(waits, _)| waits) }
    }

    pub(super) fn committed(&self, events: usize) {
        locked(&self.writer).last_commit = events;
        self.observe(|observed| {
            observed.commits += 1;
            observed.events += u64::try_from(events).unwrap_or(u64::MAX);
        });
    }

    pub(super) fn waited(&self, waits: Waits, time: Duration) {
        locked(&self.writer).waited[waits as usize] += time;
    }

    /// All observers, as they stand. While the database waits, so do they.
    #[must_use]
    pub fn snapshots(&self) -> Vec<Snapshot> {
        let database = locked(&self.database).clone();
        let mut shown: Vec<_> = self.lanes().iter().map(Lane::snapshot).collect();
        if let Some((cause, detail, since)) = database {
            for observer in shown.iter_mut().filter(|observer| observer.state != State::Stopped) {
                observer.state = State::Waiting;
                observer.cause = Some(cause);
                observer.last_error = Some(detail.clone());
                observer.since = since;
            }
        }
        shown
    }

    pub(super) fn reads(&self, index: usize, ledger_time: Option<Timestamp>) {
        let mut lanes = self.lanes();
        lanes[index].ledger_time = ledger_time.or(lanes[index].ledger_time);
        lanes[index].away = None;
        lanes[index].is_mine();
        if lanes[index].shown.state != State::Following {
            self.change(&mut lanes, index, State::CatchingUp, None);
        }
    }

    pub(super) fn counter(&self, index: usize, counter: SeqNo) {
        self.lanes()[index].shown.counter = Some(counter);
    }

    pub(super) fn executed(&self, index: usize, next: SeqNo, time: Option<Timestamp>) {
        let lane = &mut self.lanes()[index];
        lane.shown.next = lane.shown.next.max(next);
        lane.shown.counter = lane.shown.counter.map(|counter| counter.max(next));
        lane.executed_time = time.or(lane.executed_time);
    }

    pub(super) fn caught_up(&self, index: usize) {
        let mut lanes = self.lanes();
        lanes[index].away = None;
        lanes[index].is_mine();
        if self.change(&mut lanes, index, State::Following, Some(Cause::CaughtUp)) {
            let shown = &lanes[index].shown;
            tracing::info!("{} is caught up: {} events executed", shown.observer, shown.next);
        }
    }

    pub(super) fn waits(&self, index: usize, cause: Cause, detail: &str) {
        let mut lanes = self.lanes();
        lanes[index].shown.last_error = Some(detail.to_owned());
        let is_away = matches!(cause, Cause::NodeUnreachable | Cause::NodeBehind);
        lanes[index].away = is_away.then(|| lanes[index].away.unwrap_or_else(Instant::now));
        if !self.change(&mut lanes, index, State::Waiting, Some(cause)) {
            return;
        }
        let observer = &lanes[index].shown.observer;
        if !cause.is_shared() {
            tracing::warn!("{observer} waits, {cause}: {detail}");
            return;
        }
        let mut outages = self.outages();
        if let Some(outage) = outages.iter_mut().find(|outage| outage.cause == cause) {
            outage.observers.insert(index);
            return;
        }
        tracing::warn!("{observer} waits, {cause}: {detail} (others that wait for it are counted at its end)");
        outages.push(Outage { cause, since: now(), observers: BTreeSet::from([index]) });
    }

    pub(super) fn stopped(&self, index: usize, cause: Cause, reason: &str) {
        let mut lanes = self.lanes();
        lanes[index].shown.last_error = Some(reason.to_owned());
        self.change(&mut lanes, index, State::Stopped, Some(cause));
        let shown = &lanes[index].shown;
        tracing::error!("{} has stopped after {} events, the others go on: {reason}", shown.observer, shown.next);
    }

    /// Whether another worker holds its lease.
    pub(super) fn elsewhere(&self, index: usize, elsewhere: bool) {
        self.lanes()[index].shown.elsewhere = elsewhere;
    }

    /// This worker waits for another one's lease; the log tells of all of these at once.
    pub(super) fn held_elsewhere(&self, index: usize, holder: &str) {
        let mut lanes = self.lanes();
        lanes[index].shown.last_error = Some(format!("lease held by {holder}"));
        self.change(&mut lanes, index, State::Waiting, Some(Cause::LeaseHeld));
    }

    pub(super) fn ended(&self) {
        let goes_on = |lane: &Lane| lane.shown.state == State::Stopped || lane.shown.cause == Some(Cause::LeaseHeld);
        for lane in self.lanes().iter_mut().filter(|lane| !goes_on(lane)) {
            let _ = lane.change(State::Ended, None);
        }
    }

    /// Changes a state, and tells once who goes on, whether it waited alone or with others. Whether that was a change.
    fn change(&self, lanes: &mut [Lane], index: usize, state: State, cause: Option<Cause>) -> bool {
        let Some((state, waited_for, since)) = lanes[index].change(state, cause) else { return false };
        let goes_on = matches!(lanes[index].shown.state, State::CatchingUp | State::Following);
        let Some(waited_for) = waited_for.filter(|_| state == State::Waiting) else { return true };
        let observer = &lanes[index].shown.observer;
        if !waited_for.is_shared() {
            if goes_on {
                tracing::info!("{observer} goes on after {} s ({waited_for})", seconds_between(since, now()));
            }
            return true;
        }
        if lanes.iter().any(|lane| lane.shown.state == State::Waiting && lane.shown.cause == Some(waited_for)) {
            return true;
        }
        let mut outages = self.outages();
        if let Some(at) = outages.iter().position(|outage| outage.cause == waited_for) {
            let Outage { since, observers, .. } = outages.swap_remove(at);
            let seconds = seconds_between(since, now());
            match observers.len() {
                _ if !goes_on => {}
                1 => tracing::info!("{observer} goes on after {seconds} s ({waited_for})"),
                many => tracing::info!("{many} observers that waited, {waited_for}, go on after {seconds} s"),
            }
        }
        true
    }

    /// Nobody gets on for want of the database, in its own words; logged once.
    pub fn database_waits(&self, cause: Cause, detail: &str) {
        self.database_waits_since(cause, detail, now());
        if let Some((_, known, _)) = locked(&self.database).as_mut() {
            detail.clone_into(known);
        }
    }

    pub(super) fn is_waiting_for_database(&self) -> bool {
        locked(&self.database).is_some()
    }

    pub(super) fn database_waits_since(&self, cause: Cause, detail: &str, since: Timestamp) {
        let mut database = locked(&self.database);
        if database.as_ref().is_none_or(|(before, ..)| *before != cause) {
            tracing::warn!("all observers wait, {cause}: {detail}");
            self.observe(|observed| observed.database_waits += 1);
            *database = Some((cause, detail.to_owned(), since));
        }
    }

    /// They all can go on.
    pub fn database_works(&self) {
        let before = locked(&self.database).take();
        if let Some((_, _, since)) = before {
            tracing::info!("the database works again after {} s", seconds_between(since, now()));
        }
    }

    fn outages(&self) -> MutexGuard<'_, Vec<Outage>> {
        locked(&self.outages)
    }

    pub(super) fn lanes(&self) -> MutexGuard<'_, Vec<Lane>> {
        locked(&self.lanes)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Lane {
    /// That another worker held its lease was no failure to be remembered.
    fn is_mine(&mut self) {
        if self.shown.cause == Some(Cause::LeaseHeld) {
            self.shown.last_error = None;
        }
    }

    /// What it was before, if that was a change: state, cause, and since when.
    fn change(&mut self, state: State, cause: Option<Cause>) -> Option<(State, Option<Cause>, Timestamp)> {
        let shown = &mut self.shown;
        let before = (shown.state, shown.cause, shown.since);
        if (before.0, before.1) == (state, cause) {
            return None;
        }
        (shown.state, shown.cause, shown.since) = (state, cause, now());
        Some(before)
    }

    fn snapshot(&self) -> Snapshot {
        let shown = &self.shown;
        let at_the_end = shown.counter.is_some_and(|counter| counter <= shown.next);
        let behind = || Some(seconds_between(self.executed_time?, self.ledger_time?));
        let lag = match shown.state {
            State::Following => Some(0),
            State::Ended if at_the_end => Some(0),
            State::Starting | State::CatchingUp | State::Ended => behind(),
            // Nobody knows what the chain has done meanwhile: at worst, something at once.
            State::Waiting | State::Stopped => {
                let before = if at_the_end { Some(0) } else { behind() };
                before.map(|lag| lag + seconds_between(shown.since, now()))
            }
        };
        Snapshot { lag_seconds: lag, ..self.shown.clone() }
    }
}

fn seconds_between(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from((to.micros() - from.micros()) / 1_000_000).unwrap_or_default()
}

impl Waits {
    const ALL: [Self; 3] = [Self::Node, Self::Decode, Self::Database];

    /// Its name for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Decode => "decoding",
            Self::Database => "database",
        }
    }
}

impl State {
    /// Its name in `observer_status.state`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::CatchingUp => "catching up",
            Self::Following => "following",
            Self::Waiting => "waiting",
            Self::Stopped => "stopped",
            Self::Ended => "ended",
        }
    }
}

impl Cause {
    /// Whether all observers meet it alike: then one of them is enough to tell of it.
    fn is_shared(self) -> bool {
        match self {
            Self::NodeBehind | Self::NodeUnreachable | Self::Throttled => true,
            Self::CaughtUp
            | Self::Pruned
            | Self::Gap
            | Self::DatabaseLocked
            | Self::DatabaseUnreachable
            | Self::Parked
            | Self::LeaseHeld
            | Self::Refused => false,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CaughtUp => "caught up",
            Self::NodeBehind => "node behind",
            Self::NodeUnreachable => "node unreachable",
            Self::Throttled => "throttled",
            Self::Pruned => "pruned",
            Self::Gap => "gap",
            Self::DatabaseLocked => "database locked",
            Self::DatabaseUnreachable => "database unreachable",
            Self::Parked => "parked",
            Self::LeaseHeld => "lease held by another worker",
            Self::Refused => "refused",
        })
    }
}
