//! Committing what the feeds have ready: one transaction at a time, of as many streams as have something. While the database
//! executes one, the next is planned.
//!
//! The writer has a thread of its own, and its commits another: a database that has answered a statement gets the next
//! one at once, whoever is decoding or planning. Plans are made where everything else runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinHandle};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::board::{Board, Cause, Waits};
use super::lane::{Lane, Message, Sender};
use super::order::{self, Asked};
use super::room::Room;
use super::watch::{Asking, Whom};
use crate::backoff::Backoff;
use crate::chain::{SeqNo, Version};
use crate::market::{Markets, Stream};
use crate::state::{After, Committed, Orders, Plan, Slice, Store, StoreError, Trouble};
use crate::subject::Subject;

/// How long streams that are catching up wait for one another's next page, so that events come in ledger order and late
/// ones, which cost more, stay rare. Never a condition: without it the result is the same.
const PATIENCE: Duration = Duration::from_secs(1);

/// Lock waits in a row that are nothing to speak of.
const PASSING: u32 = 4;

pub(super) struct Writer {
    store: Store,
    markets: Arc<Markets>,
    room: Arc<Room>,
    pub(super) board: Arc<Board>,
    pub(super) cancel: CancellationToken,
    pub(super) lanes: Vec<Lane>,
    pub(super) messages: mpsc::UnboundedReceiver<(usize, Message)>,
    /// Handed to the feeds; gone once they are all made.
    sender: Option<mpsc::UnboundedSender<(usize, Message)>>,
    /// The commit that the next transaction is planned beside.
    under_way: Option<UnderWay>,
    /// Where transactions are planned.
    planners: Handle,
    /// The order of events within versions, as it was asked for.
    pub(super) orders: Orders,
    /// That of versions of which events are waiting, asked for while what is before them is committed.
    pub(super) ahead: BTreeMap<Version, Asked>,
    /// The lanes that wait for it, as the board says.
    pub(super) unordered: BTreeSet<usize>,
}

struct UnderWay {
    slices: Arc<[Slice]>,
    after: After,
    commit: JoinHandle<Result<Committed, StoreError>>,
    /// Whether it is done as planned; closed if it will not be.
    done: watch::Receiver<bool>,
}

impl Writer {
    pub fn new(
        store: Store,
        markets: Arc<Markets>,
        room: Arc<Room>,
        board: Arc<Board>,
        cancel: CancellationToken,
    ) -> Self {
        let (sender, messages) = mpsc::unbounded_channel();
        let sender = Some(sender);
        let planners = Handle::current();
        Self {
            store,
            markets,
            room,
            board,
            cancel,
            lanes: vec![],
            messages,
            sender,
            under_way: None,
            planners,
            orders: Orders::default(),
            ahead: BTreeMap::new(),
            unordered: BTreeSet::new(),
        }
    }

    /// A lane for `stream`, whose next event is `next`, and whose `subject` tells the order within a version. Lanes are
    /// numbered as they are made.
    pub fn lane<S: Subject>(&mut self, stream: &Arc<Stream>, next: SeqNo, subject: &Arc<S>) -> Sender {
        let lane = Lane::new(stream, next, order::asking(subject, &self.planners));
        let messages = self.sender.clone().unwrap_or_else(|| mpsc::unbounded_channel().0);
        let sender = lane.sender(self.lanes.len(), messages);
        self.lanes.push(lane);
        sender
    }

    /// Starts the threads. When the writer ends, whatever the reason, it cancels.
    pub fn start(self) -> std::io::Result<JoinHandle<()>> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let (planners, guard) = (self.planners.clone(), self.cancel.clone().drop_guard());
        Ok(planners.spawn_blocking(move || {
            let _guard = guard;
            runtime.block_on(self.run());
        }))
    }

    /// Commits until all feeds are gone or `cancel`; the commit under way is always finished.
    async fn run(mut self) {
        self.sender = None;
        while let Some(slices) = self.next().await {
            let slices = self.in_order(slices).await;
            if self.cancel.is_cancelled() {
                break;
            }
            if !slices.is_empty() {
                self.commit_behind(slices.into()).await;
            }
        }
        self.land().await;
    }

    /// What is to be committed next. While a commit is under way and more is coming, only as much as fits into one: whatever
    /// else comes until it is done makes the next one larger.
    async fn next(&mut self) -> Option<Vec<Slice>> {
        let mut waiting_since = None;
        loop {
            while let Ok((index, message)) = self.messages.try_recv() {
                self.receive(index, message);
            }
            if self.cancel.is_cancelled() {
                return None;
            }
            let nothing = self.lanes.iter().all(Lane::is_empty);
            let missing = !nothing && self.lanes.iter().any(|lane| lane.busy && lane.is_empty());
            let coming = self.lanes.iter().any(|lane| lane.busy);
            let early = coming && self.under_way.is_some() && self.waiting() < self.store.batch();
            if !nothing && !missing && !early {
                return Some(self.take());
            }
            let until = missing.then(|| *waiting_since.get_or_insert_with(Instant::now) + PATIENCE);
            let (asked, waits) = (Instant::now(), self.waits());
            let more = self.more(until).await;
            self.board.waited(waits, asked.elapsed());
            match more {
                More::Came => {}
                More::Never if nothing => return None,
                More::Never => return Some(self.take()),
                More::TimeIsUp => {
                    // One that hangs is waited for once.
                    self.lanes.iter_mut().filter(|lane| lane.is_empty()).for_each(|lane| lane.busy = false);
                    return Some(self.take());
                }
            }
        }
    }

    fn waits(&self) -> Waits {
        match &self.under_way {
            Some(_) => Waits::Database,
            None if self.room.is_asking() || self.lanes.iter().any(Lane::is_untimed) => Waits::Node,
            None => Waits::Decode,
        }
    }

    /// Waits for events, or the end of the commit under way.
    async fn more(&mut self, until: Option<Instant>) -> More {
        let time_is_up = async {
            match until {
                Some(until) => tokio::time::sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        let committed = async {
            match &mut self.under_way {
                Some(under_way) => (&mut under_way.commit).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => More::Came,
            committed = committed => {
                if let Some(UnderWay { slices, .. }) = self.under_way.take() {
                    self.landed(slices, committed).await;
                }
                More::Came
            }
            message = self.messages.recv() => match message {
                Some((index, message)) => {
                    self.receive(index, message);
                    More::Came
                }
                None => More::Never,
            },
            () = time_is_up => More::TimeIsUp,
        }
    }

    /// The version up to which events are taken: all busy lanes have reached it.
    fn horizon(&self) -> Version {
        let reached = self.lanes.iter().filter(|lane| lane.busy).filter_map(|lane| lane.versions().next_back());
        reached.min().unwrap_or_else(Version::max)
    }

    fn waiting(&self) -> usize {
        let horizon = self.horizon();
        self.lanes.iter().map(|lane| lane.waiting(horizon)).sum()
    }

    fn take(&mut self) -> Vec<Slice> {
        let mut horizon = self.horizon();
        let mut versions: Vec<_> =
            self.lanes.iter().flat_map(|lane| lane.versions().take_while(|version| *version <= horizon)).collect();
        let most = self.store.batch();
        if versions.len() > most {
            horizon = *versions.select_nth_unstable(most - 1).1;
        }
        self.lanes.iter_mut().filter_map(|lane| lane.take(horizon)).collect()
    }

    /// Plans `slices` while the commit before is still under way, and then commits them. Where plan or commit fail, they
    /// go [`Writer::execute`]'s way, which is slower and knows what to do.
    async fn commit_behind(&mut self, slices: Arc<[Slice]>) {
        let before = self.under_way.as_ref().map(|under_way| under_way.after.clone());
        let asked = Instant::now();
        let (store, markets, planned) = (self.store.clone(), Arc::clone(&self.markets), Arc::clone(&slices));
        let board = Arc::clone(&self.board);
        let plan = self.planners.spawn(async move {
            let _asking = Asking::of(&board, Whom::Database);
            store.plan(&markets, planned, before).await
        });
        let cancel = self.cancel.clone();
        let plan = self.receiving(cancel.run_until_cancelled(AbortOnDropHandle::new(plan))).await;
        let Some(plan) = plan else { return };
        self.board.waited(Waits::Decode, asked.elapsed());
        let asked = Instant::now();
        let plan = match plan {
            Ok(Ok(Some(plan))) => {
                let before = self.under_way.as_ref().map(|before| before.done.clone());
                let (tell, done) = watch::channel(false);
                let (after, commit) = (plan.after(), tokio::spawn(self.in_turn(plan, before, tell)));
                let as_planned = self.land().await;
                self.under_way = Some(UnderWay { slices, after, commit, done });
                if !as_planned {
                    self.land().await;
                }
                self.board.waited(Waits::Database, asked.elapsed());
                return;
            }
            other => other,
        };
        self.land().await;
        self.board.waited(Waits::Database, asked.elapsed());
        if self.cancel.is_cancelled() {
            return;
        }
        match plan {
            Err(panic) => {
                tracing::warn!("a plan broke down, which is a bug, and is made again: {panic}");
                self.execute(slices.to_vec(), None).await;
            }
            // The database is away: nobody need try once more before saying so.
            Ok(Err(error)) if error.trouble() != Trouble::Lasting => self.execute(slices.to_vec(), Some(error)).await,
            _ => self.execute(slices.to_vec(), None).await,
        }
    }

    /// Executes `plan` once the one `before`, on which it builds, is done; if that is not done as planned, not at all. The
    /// number of `commits` alone would not tell: somebody else may have counted it up in its stead.
    fn in_turn(
        &self,
        plan: Plan,
        before: Option<watch::Receiver<bool>>,
        done: watch::Sender<bool>,
    ) -> impl Future<Output = Result<Committed, StoreError>> + use<> {
        let (store, cancel, board) = (self.store.clone(), self.cancel.clone(), Arc::clone(&self.board));
        async move {
            let as_planned = match before {
                Some(mut before) => before.wait_for(|done| *done).await.is_ok(),
                None => true,
            };
            if !as_planned || cancel.is_cancelled() {
                return Err(StoreError::Overtaken);
            }
            let _asking = Asking::of(&board, Whom::Database);
            let committed = store.execute(plan).await?;
            done.send_replace(true);
            Ok(committed)
        }
    }

    /// Waits for the commit under way; whether it was done as planned.
    pub(super) async fn land(&mut self) -> bool {
        let Some(UnderWay { slices, commit, .. }) = self.under_way.take() else { return true };
        let committed = self.receiving(commit).await;
        self.landed(slices, committed).await
    }

    /// Waits for `task`. What comes meanwhile is received, so that what has to be known of it is asked for at once.
    async fn receiving<T>(&mut self, task: impl Future<Output = T>) -> T {
        let mut task = std::pin::pin!(task);
        loop {
            tokio::select! {
                biased;
                done = &mut task => return done,
                Some((index, message)) = self.messages.recv() => self.receive(index, message),
            }
        }
    }

    async fn landed(
        &mut self,
        slices: Arc<[Slice]>,
        committed: Result<Result<Committed, StoreError>, JoinError>,
    ) -> bool {
        match committed {
            Ok(Ok(_)) => {
                self.done(&slices);
                return true;
            }
            Ok(Err(StoreError::Overtaken)) => self.execute(slices.to_vec(), None).await,
            Ok(Err(error)) => self.execute(slices.to_vec(), Some(error)).await,
            Err(panic) => {
                tracing::warn!("a commit broke down, which is a bug, and is tried again: {panic}");
                self.execute(slices.to_vec(), None).await;
            }
        }
        false
    }

    /// Commits `slices` together, after `failure` if that was tried; if that lastingly fails, each alone, so that only the
    /// one at fault stops.
    async fn execute(&mut self, slices: Vec<Slice>, failure: Option<StoreError>) {
        let slices = slices.into_iter().filter_map(|slice| self.unsettled(slice)).collect();
        match self.commit(slices, failure).await {
            Ok(()) => {}
            Err((slices, error)) if slices.len() == 1 => self.fail(&slices[0], &error),
            Err((slices, _)) => {
                for slice in slices {
                    if let Err((slices, error)) = self.commit(vec![slice], None).await {
                        self.fail(&slices[0], &error);
                    }
                }
            }
        }
    }

    /// What of `slice` is left to do, after the slices before it went another way than planned.
    fn unsettled(&self, mut slice: Slice) -> Option<Slice> {
        let lane = self.index(&slice).map(|index| &self.lanes[index]).filter(|lane| !lane.has_failed())?;
        let next = lane.position.borrow().next;
        // What is before it was given up, as this worker did not have the stream for a while: both are read again.
        if next < slice.start() {
            return None;
        }
        slice.events.retain(|event| event.raw.seq_no >= next);
        (!slice.events.is_empty()).then_some(slice)
    }

    /// Tries until it is done, by us or another worker, or cannot be done. An answer that got lost is no guess: after each
    /// failure the checkpoints are read again, and they decide what is left to do.
    async fn commit(
        &mut self,
        mut slices: Vec<Slice>,
        mut failure: Option<StoreError>,
    ) -> Result<(), (Vec<Slice>, StoreError)> {
        let mut backoff = Backoff::default();
        let mut contended = 0;
        while !slices.is_empty() {
            if self.cancel.is_cancelled() {
                return Ok(());
            }
            // An order that was asked for since they were taken, for others, holds for these as well.
            self.orders.place(&mut slices);
            let asking = Asking::of(&self.board, Whom::Database);
            let done = match failure.take() {
                None => self.store.commit_in_order(&self.markets, &slices, &self.orders).await.map(drop),
                Some(error) => Err(error),
            };
            drop(asking);
            let Err(error) = done else {
                self.done(&slices);
                return Ok(());
            };
            if let StoreError::Unordered(versions) = &error {
                Box::pin(self.order(versions, &mut slices, Instant::now())).await;
                continue;
            }
            tracing::debug!("a commit is tried again: {error}");
            match error.trouble() {
                Trouble::Contended => {
                    contended += 1;
                    // One that took so long that the watchdog has spoken is no passing one.
                    if contended > PASSING || self.board.is_waiting_for_database() {
                        self.board.database_waits(Cause::DatabaseLocked, &error.to_string());
                    }
                }
                Trouble::Away => self.board.database_waits(Cause::DatabaseUnreachable, &error.to_string()),
                Trouble::Lasting if matches!(error, StoreError::Moved(_)) => {
                    tracing::info!("{error}; going on from where it stands");
                }
                Trouble::Lasting => return Err((slices, error)),
            }
            loop {
                backoff.wait(&self.cancel).await;
                if self.cancel.is_cancelled() {
                    return Ok(());
                }
                match self.left(&slices).await {
                    Ok(left) => {
                        slices = left;
                        break;
                    }
                    Err(error) if error.trouble() == Trouble::Lasting => return Err((slices, error)),
                    Err(error) => self.board.database_waits(Cause::DatabaseUnreachable, &error.to_string()),
                }
            }
        }
        self.board.database_works();
        Ok(())
    }

    /// The parts of `slices` that the checkpoints have not passed.
    async fn left(&mut self, slices: &[Slice]) -> Result<Vec<Slice>, StoreError> {
        let mut left = vec![];
        for slice in slices {
            let observer = &slice.stream.observer;
            let checkpoint = self.store.checkpoint(observer).await?;
            let next = checkpoint.next;
            // What was read under a lease that is gone is nobody's any more, whatever came before it.
            if slice.epoch.is_some_and(|epoch| epoch != checkpoint.lease_epoch) {
                tracing::info!("the lease of {observer} has gone to another worker");
                self.settle(slice, next);
                if let Some(index) = self.index(slice) {
                    self.lanes[index].lost(slice.epoch);
                }
                continue;
            }
            if next < slice.start() {
                return Err(StoreError::Refused(format!(
                    "the checkpoint of {observer} went back from {} to {next}: was the database restored? Start the worker again",
                    slice.start()
                )));
            }
            self.settle(slice, next);
            if let Some(index) = self.index(slice) {
                self.lanes[index].found(checkpoint);
            }
            let mut rest = slice.clone();
            rest.events.retain(|event| event.raw.seq_no >= next);
            left.extend((!rest.events.is_empty()).then_some(rest));
        }
        Ok(left)
    }

    fn done(&mut self, slices: &[Slice]) {
        self.board.database_works();
        self.board.committed(slices.iter().map(|slice| slice.events.len()).sum());
        for slice in slices {
            self.settle(slice, slice.end());
        }
    }

    fn settle(&mut self, slice: &Slice, next: SeqNo) {
        let Some(index) = self.index(slice) else { return };
        self.lanes[index].settle(next);
        let executed = slice.events.iter().take_while(|event| event.raw.seq_no < next).last();
        let time = executed.and_then(|event| event.meaning.as_ref().ok().and_then(|entry| entry.event.time));
        self.board.executed(index, next, time);
    }

    fn fail(&mut self, slice: &Slice, error: &StoreError) {
        if let Some(index) = self.index(slice).filter(|index| !self.lanes[*index].has_failed()) {
            self.lanes[index].fail(format!("cannot store its events from seq no {}: {error}", slice.start()));
        }
    }

    pub(super) fn index(&self, slice: &Slice) -> Option<usize> {
        self.lanes.iter().position(|lane| lane.stream.observer == slice.stream.observer)
    }
}

enum More {
    Came,
    TimeIsUp,
    Never,
}
