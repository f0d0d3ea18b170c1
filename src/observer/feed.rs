//! One observer's reading: pages after the last one, checked, decoded, handed to the writer.

mod scanned;
mod tail;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::board::{Board, Cause};
use super::duty::Duty;
use super::lane::Sender;
use super::pages::{Pages, Standing};
use super::room::Ticket;
use super::times::{self, Asking};
use super::{Config, Stopped, reason};
use crate::backoff::Backoff;
use crate::chain::{ChainId, RawEvent, SeqNo, Version};
use crate::market::Stream;
use crate::state::{Checkpoint, Executed, Slice, Store};
use crate::subject::{Ledger, Page, Subject, SubjectError};
use scanned::Scanned;

/// How long a gap is read again before it is believed.
const GAP_PATIENCE: Duration = Duration::from_secs(3);

pub(super) struct Feed<S> {
    index: usize,
    stream: Arc<Stream>,
    subject: Arc<S>,
    store: Store,
    pages: Pages<S>,
    times: Asking<S>,
    lane: Sender,
    scanned: Scanned,
    board: Arc<Board>,
    config: Config,
    chain_id: Option<ChainId>,
    epoch: Option<i64>,
    /// The next event to read.
    next: SeqNo,
    /// How many events the stream had when that was last asked.
    known: SeqNo,
    /// The version of the event before it.
    version: Option<Version>,
    /// Parked events up to there without one between them that is not.
    parked: u64,
    /// Whether the end has been reached before: from then on a short page is taken for the end.
    following: bool,
    /// At the end, with nothing new when last looked at: how long until its counter is looked at again.
    idle: Option<Duration>,
    backoff: Backoff,
    gap_since: Option<Instant>,
    /// Answers in a row that say too little.
    lagging: u32,
    /// Whether the archive is asked: the node no longer has what comes next, without saying so.
    archived: bool,
}

/// Why a feed ends.
enum End {
    Cancelled,
    CaughtUp,
    Stopped(Cause, String),
}

type Step = Result<(), End>;

impl<S: Subject> Feed<S> {
    /// Reads on from `checkpoint`, under the lease of that epoch.
    pub fn new(duty: &Duty<S>, checkpoint: &Checkpoint, epoch: Option<i64>) -> Self {
        Self {
            index: duty.index,
            stream: Arc::clone(&duty.stream),
            pages: Pages::new(duty.index, Arc::clone(&duty.subject), Arc::clone(&duty.room)),
            times: Asking::new(duty.index, &duty.subject, &duty.lane, &duty.board),
            subject: Arc::clone(&duty.subject),
            store: duty.store.clone(),
            lane: duty.lane.clone(),
            scanned: Scanned::new(&duty.store, &duty.stream, epoch, duty.config.scanned_interval),
            board: Arc::clone(&duty.board),
            config: duty.config.clone(),
            chain_id: checkpoint.chain_id.or(duty.chain_id),
            epoch,
            next: checkpoint.next,
            known: SeqNo::ZERO,
            version: checkpoint.executed_version,
            parked: checkpoint.parked_in_a_row,
            following: false,
            idle: None,
            backoff: Backoff::default(),
            gap_since: None,
            lagging: 0,
            archived: false,
        }
    }

    /// Reads until `cancel`, until caught up if so configured, or until it has to stop.
    pub async fn run(mut self, cancel: CancellationToken) -> Option<Stopped> {
        let end = cancel.run_until_cancelled(self.read(&cancel)).await.unwrap_or(End::Cancelled);
        self.lane.idle();
        match end {
            End::Cancelled => None,
            End::CaughtUp => {
                self.board.caught_up(self.index);
                None
            }
            End::Stopped(cause, reason) => {
                // What has been read is committed still, as far as it can be.
                if self.lane.position.borrow().failed.is_none() {
                    let _ = cancel.run_until_cancelled(self.times.finish()).await;
                }
                self.times.stop().await;
                self.lane.leave();
                self.board.stopped(self.index, cause, &reason);
                Some(Stopped { observer: self.stream.observer.to_string(), reason })
            }
        }
    }

    async fn read(&mut self, cancel: &CancellationToken) -> End {
        self.pages.begin(self.standing());
        self.look_ahead().await;
        loop {
            if let Err(end) = self.step(cancel).await {
                return end;
            }
        }
    }

    fn standing(&self) -> Standing {
        Standing { next: self.next, version: self.version, known: self.known, archived: self.archived }
    }

    /// How many events there are, to read ahead and for progress: if it cannot be read, reading a page will tell why.
    async fn look_ahead(&mut self) {
        if let Ok(counter) = self.subject.counter().await {
            self.known = counter.next;
            self.board.counter(self.index, counter.next);
        }
    }

    async fn step(&mut self, cancel: &CancellationToken) -> Step {
        self.follow_the_writer()?;
        self.check_parked(cancel).await?;
        if self.times.is_failing() {
            self.lane.idle();
            tokio::select! {
                () = self.times.well() => {}
                changed = self.lane.position.changed() => return changed.map_err(|_| End::Cancelled),
            }
            return Ok(());
        }
        if let Some(interval) = self.idle {
            return self.wait_for_more(interval, cancel).await;
        }
        let (page, ticket) = match self.pages.next(self.standing()).await {
            Ok(read) => read,
            Err(error) => return self.meet(error, cancel).await,
        };
        self.check_chain(page.ledger)?;
        if page.events.is_empty() && self.archived {
            return Err(Self::pruned(&format!("no node and no archive has seq no {}", self.next)));
        }
        if page.events.is_empty() {
            if page.full {
                self.scanned.tell(page.scanned, page.ledger.chain_id, self.next, &self.lane, false).await;
                // Nothing of this stream for a while, which is no end.
                self.settled();
                self.reads(page.ledger);
                return Ok(());
            }
            if self.following && self.next >= self.known {
                self.rest();
                return Ok(());
            }
            return self.end_of_stream(page.ledger, true, cancel).await;
        }
        let good = page.continuing(self.next, self.version);
        if good == 0 {
            return self.meet_gap(&page, cancel).await;
        }
        self.settled();
        self.reads(page.ledger);
        let (full, ledger) = (page.full, page.ledger);
        // The archive's end: from here on the node must know.
        let was_archived = self.archived;
        self.archived &= full;
        self.hand_over(page, good, ticket, cancel);
        self.check_parked(cancel).await?;
        if full && self.next > self.known {
            self.look_ahead().await;
        }
        if full || was_archived {
            return Ok(());
        }
        if self.following {
            self.pause(cancel).await;
            return Ok(());
        }
        self.end_of_stream(ledger, false, cancel).await
    }

    fn reads(&self, ledger: Ledger) {
        if !self.times.is_failing() {
            self.board.reads(self.index, ledger.time);
        }
    }

    /// Another worker may have executed what we wanted to; or the writer gave up on this stream.
    fn follow_the_writer(&mut self) -> Step {
        let position = self.lane.position.borrow_and_update().clone();
        if let Some(reason) = position.failed {
            return Err(End::Stopped(Cause::Refused, reason));
        }
        if let Some(checkpoint) = position.elsewhere.filter(|checkpoint| checkpoint.next > self.next) {
            self.next = checkpoint.next;
            self.version = checkpoint.executed_version;
            self.parked = checkpoint.parked_in_a_row;
        }
        Ok(())
    }

    /// Decodes the first `good` events of `page` and sends them; no more than up to the last that may be parked.
    fn hand_over(&mut self, page: Page, good: usize, ticket: Ticket, cancel: &CancellationToken) {
        let mut events = Vec::with_capacity(good);
        for raw in page.events.into_iter().take(good) {
            if self.parked >= self.config.max_parked {
                break;
            }
            let event = self.decode(raw);
            self.next = event.raw.seq_no.next();
            self.version = Some(event.raw.version);
            events.push(event);
        }
        let chain_id = page.ledger.chain_id;
        self.chain_id = chain_id.or(self.chain_id);
        let slice = Slice { stream: Arc::clone(&self.stream), chain_id, epoch: self.epoch, events };
        let untimed = times::untimed(&slice);
        let question = (!untimed.is_empty()).then(times::question);
        self.lane.send(slice, ticket, question);
        if let Some(question) = question {
            self.times.ask(question, untimed, cancel);
        }
    }

    fn decode(&mut self, raw: RawEvent) -> Executed {
        let meaning = self.stream.entry(&raw);
        match &meaning {
            Ok(_) => self.parked = 0,
            // Somebody has looked at it.
            Err(_) if self.store.leaves_out(&self.stream.observer, raw.seq_no) => self.parked = 0,
            Err(why) => {
                self.parked += 1;
                tracing::warn!(
                    "{} seq no {} (version {}) is parked: {why}; it is kept in events and dead_letters",
                    self.stream.observer,
                    raw.seq_no,
                    raw.version
                );
            }
        }
        Executed { raw, meaning }
    }

    async fn check_parked(&mut self, cancel: &CancellationToken) -> Step {
        if self.parked < self.config.max_parked {
            return Ok(());
        }
        self.committed(cancel).await?;
        Err(End::Stopped(Cause::Parked, reason::parked(self.parked, self.next)))
    }

    /// Waits until everything that has been read is committed.
    async fn committed(&mut self, cancel: &CancellationToken) -> Step {
        self.lane.idle();
        let next = self.next;
        let waiting = self.lane.position.wait_for(|position| position.next >= next || position.failed.is_some());
        let settled = cancel.run_until_cancelled(waiting).await.is_some_and(|position| position.is_ok());
        if settled { self.follow_the_writer() } else { Err(End::Cancelled) }
    }

    /// The page does not go on where we stand: history is gone, or the node is wrong. Never crossed.
    async fn meet_gap(&mut self, page: &Page, cancel: &CancellationToken) -> Step {
        let first = page.events.first().map_or(SeqNo::ZERO, |event| event.seq_no);
        let is_later = page.events.iter().all(|event| event.seq_no > self.next);
        if is_later && self.is_pruned(page.ledger) {
            let what = format!("the node's oldest event is seq no {first}, {} was asked for", self.next);
            return self.meet_pruned(&what).await;
        }
        let since = *self.gap_since.get_or_insert_with(Instant::now);
        let found = if first == self.next {
            format!("seq no {first} comes in an older version than the event before it")
        } else {
            format!("asked for seq no {}, the node answered {first}", self.next)
        };
        if since.elapsed() < GAP_PATIENCE {
            let cause = format!("gap: {found}; reading it again");
            return self.wait(Cause::Gap, &cause, cancel).await;
        }
        Err(End::Stopped(
            Cause::Gap,
            format!("gap: {found}, for {} s now; use another node (NODE_URL)", GAP_PATIENCE.as_secs()),
        ))
    }

    /// The archive, or another node, may have what this one has lost without saying so.
    async fn meet_pruned(&mut self, what: &str) -> Step {
        if !self.archived && !matches!(self.subject.archived_page(self.next).await, Err(SubjectError::Pruned(_))) {
            self.archived = true;
            return Ok(());
        }
        Err(Self::pruned(what))
    }

    /// Whether the node says that it no longer has what came before the next event.
    fn is_pruned(&self, ledger: Ledger) -> bool {
        let oldest = ledger.oldest_version.unwrap_or_default();
        self.version.map_or(oldest > Version::default(), |version| oldest > version)
    }

    fn pruned(what: &str) -> End {
        End::Stopped(Cause::Pruned, reason::pruned(what))
    }

    fn check_chain(&self, ledger: Ledger) -> Step {
        match (self.chain_id, ledger.chain_id) {
            (Some(ours), Some(theirs)) if ours != theirs => {
                Err(End::Stopped(Cause::Refused, reason::other_chain(theirs, ours)))
            }
            _ => Ok(()),
        }
    }

    async fn meet(&mut self, error: SubjectError, cancel: &CancellationToken) -> Step {
        match error {
            SubjectError::Unreachable(message)
            | SubjectError::ArchiveUnreachable(message)
            // No page is that long: something else has answered.
            | SubjectError::TooLong(message) => {
                self.wait(Cause::NodeUnreachable, &message, cancel).await
            }
            SubjectError::Behind(message) => self.wait(Cause::NodeBehind, &message, cancel).await,
            SubjectError::Throttled { message, pause } => {
                self.lane.idle();
                self.board.waits(self.index, Cause::Throttled, &message);
                let _ = cancel.run_until_cancelled(tokio::time::sleep(pause)).await;
                // Not all observers in the same instant.
                Backoff::default().wait(cancel).await;
                Ok(())
            }
            SubjectError::Pruned(message) => Err(Self::pruned(&message)),
            SubjectError::Missing { message, .. } | SubjectError::Refused(message) => {
                Err(End::Stopped(Cause::Refused, message))
            }
        }
    }

    async fn wait(&mut self, cause: Cause, detail: &str, cancel: &CancellationToken) -> Step {
        self.lane.idle();
        self.board.waits(self.index, cause, detail);
        self.backoff.wait(cancel).await;
        Ok(())
    }

    async fn pause(&mut self, cancel: &CancellationToken) {
        self.lane.idle();
        let _ = cancel.run_until_cancelled(tokio::time::sleep(self.config.poll_interval)).await;
    }
}
