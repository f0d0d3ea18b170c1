//! The order of events within a transaction, asked for where rows depend on it and the streams do not tell it: nothing of
//! such a version is committed before it is known, or known to be lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use super::board::{Cause, Waits};
use super::lane::Message;
use super::writer::Writer;
use crate::backoff::Backoff;
use crate::chain::{EventOrder, Version};
use crate::state::{Orders, Slice, Unordered};
use crate::subject::{Subject, SubjectError};

/// How long the place of a parked event is asked for in vain.
const PARKED_PATIENCE: Duration = Duration::from_secs(10);
/// Versions that are remembered, should a transaction have to be planned again.
const KEPT: usize = 1_024;

/// Asks the source of a stream for the order of a version's events.
pub(super) type AskOrder = Box<dyn Fn(Version) -> Asked + Send + Sync>;
pub(super) type Asked = AbortOnDropHandle<Result<Option<EventOrder>, SubjectError>>;

/// Who asks `subject`, where pages are read, too.
pub(super) fn asking<S: Subject>(subject: &Arc<S>, readers: &Handle) -> AskOrder {
    let (subject, readers) = (Arc::clone(subject), readers.clone());
    Box::new(move |version| {
        let subject = Arc::clone(&subject);
        AbortOnDropHandle::new(readers.spawn(async move { subject.order(version).await }))
    })
}

/// What has come of it.
async fn answer(asked: Asked) -> Result<Option<EventOrder>, SubjectError> {
    let broke_down = |panic| SubjectError::Refused(format!("asking broke down, which is a bug: {panic}"));
    asked.await.map_err(broke_down).flatten()
}

impl Writer {
    /// Hands `message` to its lane, and asks for the orders that its events need, as far as that can be seen without the
    /// database.
    pub(super) fn receive(&mut self, index: usize, message: Message) {
        let is_slice = matches!(message, Message::Slice { .. });
        let before = self.lanes[index].len();
        self.lanes[index].receive(message);
        if is_slice {
            let mut new: Vec<_> = self.lanes[index].versions_behind(before).collect();
            new.dedup();
            for version in new {
                if !self.ahead.contains_key(&version) && self.needs_order(version) {
                    self.ahead.insert(version, (self.lanes[index].order)(version));
                }
            }
        }
    }

    /// Whether rows depend on the order of those events of `version` that wait.
    fn needs_order(&self, version: Version) -> bool {
        !Unordered::of(self.lanes.iter().flat_map(|lane| lane.of_version(version))).is_empty()
    }

    /// `slices` with the places of events that were asked for as they came. Those of streams that had to stop are left out.
    pub(super) async fn in_order(&mut self, mut slices: Vec<Slice>) -> Vec<Slice> {
        // Also those that were asked for later, as stored events showed that they are needed.
        if self.orders.len() > KEPT {
            self.orders = Orders::default();
        }
        let last = slices.iter().filter_map(|slice| slice.events.last()).map(|event| event.raw.version).max();
        let later = self.ahead.split_off(&last.unwrap_or_default().next());
        let asked = std::mem::replace(&mut self.ahead, later);
        let is_taken = |version: &Version| {
            let has = |slice: &Slice| slice.events.binary_search_by_key(version, |event| event.raw.version).is_ok();
            slices.iter().any(has)
        };
        let (asked, others): (BTreeMap<_, _>, BTreeMap<_, _>) =
            asked.into_iter().partition(|(version, _)| is_taken(version));
        // Events that wait for their times are taken later; others are gone.
        let waits = |version: Version| self.lanes.iter().any(|lane| lane.of_version(version).next().is_some());
        let later: Vec<_> = others.into_iter().filter(|(version, _)| waits(*version)).collect();
        self.ahead.extend(later);
        if asked.is_empty() {
            return slices;
        }
        let began = Instant::now();
        let mut unordered = Unordered::default();
        for version in asked.keys() {
            // Also where others, with which they depend on it, come later.
            let taken = slices.iter().flat_map(|slice| &slice.events).filter(|event| event.raw.version == *version);
            let later = self.lanes.iter().flat_map(|lane| lane.of_version(*version));
            let is_needed = !Unordered::of(taken.chain(later)).needed.is_empty();
            if is_needed { &mut unordered.needed } else { &mut unordered.wished }.insert(*version);
        }
        for (version, asked) in asked {
            let is_needed = unordered.needed.contains(&version);
            let Some(answer) = self.hear(asked, is_needed, began + PARKED_PATIENCE).await else { return slices };
            // Who has failed is asked again.
            if let Ok(order) = answer {
                self.orders.insert(version, order);
            }
        }
        self.order(&unordered, &mut slices, began).await;
        self.board.waited(Waits::Node, began.elapsed());
        slices
    }

    /// Asks for the order of `versions` until that is known, or nobody has it any more, and gives the events of `slices` their
    /// places. A stream whose source refuses to answer stops; where only parked events have use for it, it goes on without,
    /// and so it does where nobody answers for long.
    pub(super) async fn order(&mut self, versions: &Unordered, slices: &mut Vec<Slice>, began: Instant) {
        let (mut backoff, mut until) = (Backoff::default(), began + PARKED_PATIENCE);
        loop {
            slices.retain(|slice| self.index(slice).is_some_and(|index| self.lanes[index].holds(slice)));
            let left = self.sources(versions, slices);
            if left.is_empty() {
                break;
            }
            let asked: Vec<_> =
                left.iter().map(|(version, lanes)| (*version, (self.lanes[lanes[0]].order)(*version))).collect();
            let (mut failed, mut is_answered) = (vec![], false);
            for (version, asked) in asked {
                match self.hear(asked, versions.needed.contains(&version), until).await {
                    None => return,
                    Some(Ok(order)) => {
                        self.orders.insert(version, order);
                        is_answered = true;
                    }
                    Some(Err(error)) if error.may_pass() => failed.push((version, error)),
                    Some(Err(error)) if !versions.needed.contains(&version) => self.forgo(version, &error),
                    Some(Err(error)) => self.refuse(version, &left[&version], &error),
                }
            }
            let pause = failed.iter().map(|(_, error)| error.pause()).max().unwrap_or_default();
            // While others are needed these hold up nobody.
            let are_needed = failed.iter().any(|(version, _)| versions.needed.contains(version));
            if !are_needed && Instant::now() + pause >= until {
                for (version, error) in failed.drain(..) {
                    self.forgo(version, &error);
                }
            }
            if failed.is_empty() || (is_answered && pause.is_zero()) {
                // Whoever answers some of them will answer the others.
                continue;
            }
            for (version, error) in failed {
                self.tell(&left[&version], &error);
            }
            self.wait(pause, &mut backoff, (!are_needed).then_some(until)).await;
            if self.cancel.is_cancelled() {
                return;
            }
            if are_needed {
                until = Instant::now() + PARKED_PATIENCE;
            }
        }
        self.tell_that_it_goes_on();
        self.orders.place(slices);
    }

    /// What has come of it; where nobody needs it, that is waited for no longer than `until`. `None`: cancelled.
    async fn hear(
        &self,
        asked: Asked,
        is_needed: bool,
        until: Instant,
    ) -> Option<Result<Option<EventOrder>, SubjectError>> {
        let answer = answer(asked);
        if is_needed {
            return self.cancel.run_until_cancelled(answer).await;
        }
        let in_time = self.cancel.run_until_cancelled(timeout_at(until, answer)).await?;
        Some(in_time.unwrap_or_else(|_| Err(SubjectError::Unreachable("no answer in time".to_owned()))))
    }

    /// The versions that are still to be asked for, each with the lanes that have events of it.
    fn sources(&self, versions: &Unordered, slices: &[Slice]) -> BTreeMap<Version, Vec<usize>> {
        let versions: BTreeSet<_> = versions.clone().without(&self.orders).all().collect();
        let mut sources = BTreeMap::<Version, Vec<usize>>::new();
        for slice in slices {
            let Some(index) = self.index(slice) else { continue };
            for event in &slice.events {
                let version = event.raw.version;
                if versions.contains(&version) {
                    let lanes = sources.entry(version).or_default();
                    if lanes.last() != Some(&index) {
                        lanes.push(index);
                    }
                }
            }
        }
        sources
    }

    fn tell(&mut self, lanes: &[usize], error: &SubjectError) {
        for lane in lanes {
            self.board.waits(*lane, Cause::of(error), &error.to_string());
            self.unordered.insert(*lane);
        }
    }

    fn tell_that_it_goes_on(&mut self) {
        for lane in std::mem::take(&mut self.unordered) {
            self.board.reads(lane, None);
        }
    }

    /// While nothing else can be committed, what was under way is, and its feeds learn of it; leases may go meanwhile.
    async fn wait(&mut self, pause: Duration, backoff: &mut Backoff, until: Option<Instant>) {
        Box::pin(self.land()).await;
        let cancel = self.cancel.clone();
        let waiting = async {
            let _ = cancel.run_until_cancelled(tokio::time::sleep(pause)).await;
            backoff.wait(&cancel).await;
        };
        match until {
            Some(until) => _ = timeout_at(until, waiting).await,
            None => waiting.await,
        }
        while let Ok((index, message)) = self.messages.try_recv() {
            self.receive(index, message);
        }
    }

    /// Parked events never block: they are put in order by their kinds once they are understood.
    fn forgo(&mut self, version: Version, error: &SubjectError) {
        tracing::warn!("the place of a parked event in transaction {version} stays unknown: {error}");
        self.orders.forgo(version);
    }

    fn refuse(&mut self, version: Version, lanes: &[usize], error: &SubjectError) {
        for lane in lanes {
            let lane = &mut self.lanes[*lane];
            if !lane.has_failed() {
                lane.fail(format!("cannot tell the order of its events in version {version}: {error}"));
            }
        }
    }
}
