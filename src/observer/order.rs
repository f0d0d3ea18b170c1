//! The order of events within a transaction, asked for where rows depend on it and the streams do not tell it: nothing of
//! such a version is committed before it is known, or known to be lost.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;

use super::board::{Cause, Waits};
use super::lane::Lane;
use super::writer::Writer;
use crate::backoff::Backoff;
use crate::chain::{EventOrder, Version};
use crate::market::fold;
use crate::state::{Orders, Slice};
use crate::subject::{Subject, SubjectError};

/// Versions that are asked for at once.
const AT_ONCE: usize = 32;
/// Versions that are remembered, should a transaction have to be planned again.
const KEPT: usize = 4_096;

/// Asks the source of a stream for the order of a version's events.
pub(super) type AskOrder = Arc<dyn Fn(Version) -> Asked + Send + Sync>;
type Asked = Pin<Box<dyn Future<Output = Answered> + Send>>;
type Answered = Result<Option<EventOrder>, SubjectError>;

/// Who asks `subject`.
pub(super) fn asking<S: Subject>(subject: &Arc<S>) -> AskOrder {
    let subject = Arc::clone(subject);
    Arc::new(move |version| {
        let subject = Arc::clone(&subject);
        Box::pin(async move { subject.order(version).await })
    })
}

impl Writer {
    /// `slices` with the places of events on which rows depend, as far as that can be seen without the database. Those of
    /// streams that had to stop are left out.
    pub(super) async fn in_order(&mut self, mut slices: Vec<Slice>) -> Vec<Slice> {
        let events = || slices.iter().flat_map(|slice| &slice.events);
        let told: Vec<_> = events().filter_map(|event| event.meaning.as_ref().ok()).collect();
        let mut contested: BTreeSet<_> = fold::contested(&told, &[]).into_keys().collect();
        // What they are about is known once they are retried, and nobody is asked then.
        let parked = events().filter(|event| event.meaning.is_err() && event.raw.event_index.is_none());
        let parked: BTreeSet<_> = parked.map(|event| event.raw.version).collect();
        contested.extend(
            parked.into_iter().filter(|version| events().filter(|event| event.raw.version == *version).count() > 1),
        );
        if !contested.is_empty() {
            let asked = tokio::time::Instant::now();
            self.order(&contested, &mut slices).await;
            self.board.waited(Waits::Node, asked.elapsed());
        }
        slices
    }

    /// Asks for the order of `versions` until that is known, or nobody has it any more, and gives the events of `slices` their
    /// places. A stream whose source refuses to answer stops.
    pub(super) async fn order(&mut self, versions: &BTreeSet<Version>, slices: &mut Vec<Slice>) {
        if self.orders.len() + versions.len() > KEPT {
            self.orders = Orders::default();
        }
        let mut backoff = Backoff::default();
        loop {
            let left = self.sources(versions, slices);
            if left.is_empty() {
                break;
            }
            let asked = left.iter().map(|(version, lanes)| {
                let (version, lane) = (*version, lanes[0]);
                let answer = (self.lanes[lane].order)(version);
                async move { (version, answer.await) }
            });
            let asked: Vec<_> = asked.collect();
            let answers = stream::iter(asked).buffer_unordered(AT_ONCE).collect::<Vec<_>>();
            let Some(answers) = self.cancel.run_until_cancelled(answers).await else { return };
            let (mut failed, mut is_answered) = (vec![], false);
            for (version, answer) in answers {
                match answer {
                    Ok(order) => {
                        self.orders.insert(version, order);
                        is_answered = true;
                    }
                    Err(error) if error.may_pass() => failed.push((version, error)),
                    Err(error) => self.refuse(version, &left[&version], &error, slices),
                }
            }
            let pause = failed.iter().map(|(_, error)| error.pause()).max().unwrap_or_default();
            if failed.is_empty() || (is_answered && pause.is_zero()) {
                // Whoever answers some of them will answer the others.
                continue;
            }
            for (version, error) in failed {
                self.tell(&left[&version], &error);
            }
            self.wait(pause, &mut backoff).await;
            if self.cancel.is_cancelled() {
                return;
            }
        }
        self.tell_that_it_goes_on();
        place(slices, &self.orders);
    }

    /// The versions that are still to be asked for, each with the lanes that have events of it.
    fn sources(&self, versions: &BTreeSet<Version>, slices: &[Slice]) -> BTreeMap<Version, Vec<usize>> {
        let mut sources = BTreeMap::<Version, Vec<usize>>::new();
        for slice in slices {
            let Some(index) = self.index(slice) else { continue };
            for event in &slice.events {
                let version = event.raw.version;
                if versions.contains(&version) && !self.orders.has(version) {
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
        let cause =
            if matches!(error, SubjectError::Throttled { .. }) { Cause::Throttled } else { Cause::NodeUnreachable };
        for lane in lanes {
            self.board.waits(*lane, cause, &error.to_string());
            self.unordered.insert(*lane);
        }
    }

    fn tell_that_it_goes_on(&mut self) {
        for lane in std::mem::take(&mut self.unordered) {
            self.board.reads(lane, None);
        }
    }

    /// While nothing else can be committed, what was under way is, and its feeds learn of it.
    async fn wait(&mut self, pause: Duration, backoff: &mut Backoff) {
        Box::pin(self.land()).await;
        let _ = self.cancel.run_until_cancelled(tokio::time::sleep(pause)).await;
        backoff.wait(&self.cancel).await;
    }

    fn refuse(&mut self, version: Version, lanes: &[usize], error: &SubjectError, slices: &mut Vec<Slice>) {
        for lane in lanes {
            let lane = &mut self.lanes[*lane];
            if !lane.has_failed() {
                lane.fail(format!("cannot tell the order of its events in version {version}: {error}"));
            }
        }
        slices.retain(|slice| !self.lane_of(slice).is_some_and(Lane::has_failed));
    }

    fn lane_of(&self, slice: &Slice) -> Option<&Lane> {
        self.index(slice).map(|index| &self.lanes[index])
    }
}

/// Gives events the places that are known now.
pub(super) fn place(slices: &mut [Slice], orders: &Orders) {
    for slice in slices {
        for event in slice.events.iter_mut().filter(|event| event.raw.event_index.is_none()) {
            let Some(order) = orders.of(event.raw.version) else { continue };
            let Some(index) = order.index_of(&event.raw) else { continue };
            event.raw.event_index = Some(index);
            event.raw.block_time = event.raw.block_time.or(order.time);
            event.meaning = slice.stream.entry(&event.raw);
        }
    }
}
