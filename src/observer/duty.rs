//! One observer in this worker: a feed runs for as long as the worker holds the lease, from wherever the checkpoint stands then.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::board::{Board, Cause};
use super::feed::Feed;
use super::lane::Sender;
use super::lease::Lease;
use super::room::Room;
use super::{Config, Stopped};
use crate::backoff::Backoff;
use crate::chain::{ChainId, SeqNo};
use crate::market::Stream;
use crate::state::{Checkpoint, Store, Trouble};
use crate::subject::Subject;

/// How often a worker that waits for others to catch up looks how far they are.
const LOOK: Duration = Duration::from_millis(500);

/// What an observer needs, however often its feed begins anew.
pub(super) struct Duty<S> {
    pub index: usize,
    pub stream: Arc<Stream>,
    pub subject: Arc<S>,
    pub store: Store,
    pub lane: Sender,
    pub lease: watch::Receiver<Lease>,
    pub config: Config,
    /// The chain of the stored events.
    pub chain_id: Option<ChainId>,
    pub room: Arc<Room>,
    pub board: Arc<Board>,
}

/// Where the observer is to be executed.
enum Post {
    Here(Option<i64>),
    /// Nowhere any more: another worker has caught up.
    Done,
    /// Not by this worker, for that reason.
    Refused(String),
}

impl<S: Subject> Duty<S> {
    /// Executes whenever this worker holds the lease, until `cancel`, until caught up if so configured, whoever it was, or until
    /// it has to stop.
    pub async fn run(mut self, cancel: CancellationToken) -> Option<Stopped> {
        loop {
            let epoch = match self.post(&cancel).await? {
                Post::Here(epoch) => epoch,
                Post::Done => {
                    self.board.caught_up(self.index);
                    return None;
                }
                Post::Refused(reason) => return Some(self.stops(reason)),
            };
            let checkpoint = match self.checkpoint(&cancel).await? {
                Ok(checkpoint) => checkpoint,
                Err(reason) => return Some(self.stops(reason)),
            };
            self.lane.open(checkpoint.next, epoch);
            self.board.executed(self.index, checkpoint.next, None);
            let feed = Feed::new(&self, &checkpoint, epoch);
            let lease = &mut self.lease;
            tokio::select! {
                ended = feed.run(cancel.clone()) => return ended,
                // Without leases there is nobody to tell: never.
                Ok(_) = lease.wait_for(|lease| *lease != Lease::Mine(epoch)) => self.lane.close(),
            }
        }
    }

    fn stops(&self, reason: String) -> Stopped {
        self.board.stopped(self.index, Cause::Refused, &reason);
        self.room.withdraw(self.index);
        Stopped { observer: self.stream.observer.to_string(), reason }
    }

    /// Waits until it is this worker's turn; `None` if cancelled before.
    async fn post(&mut self, cancel: &CancellationToken) -> Option<Post> {
        let mut counter = None;
        let subject = Arc::clone(&self.subject);
        loop {
            match &*self.lease.borrow_and_update() {
                Lease::Mine(epoch) => return Some(Post::Here(*epoch)),
                Lease::Overruled(why) => return Some(Post::Refused(why.clone())),
                // Nobody waits for the first answer of a feed that does not run.
                Lease::Other(_) => self.room.withdraw(self.index),
                Lease::Unknown => {}
            }
            if self.config.until_caught_up && self.is_caught_up(&mut counter).await {
                return Some(Post::Done);
            }
            tokio::select! {
                () = cancel.cancelled() => return None,
                changed = self.lease.changed() => changed.ok()?,
                // It was given up as its node was away, and can be had again once that is back.
                () = answer(&*subject, cancel), if self.board.away(self.index).is_some() => self.board.back(self.index),
                () = tokio::time::sleep(LOOK), if self.config.until_caught_up => {}
            }
        }
    }

    /// Whether whoever executes it has come to the end of the stream as it was some time after this worker's start.
    async fn is_caught_up(&self, counter: &mut Option<SeqNo>) -> bool {
        if !matches!(&*self.lease.borrow(), Lease::Other(_)) {
            return false;
        }
        if counter.is_none() {
            let told = self.subject.counter().await.ok();
            let told = told.filter(|told| !told.ledger.behind && self.is_ours(told.ledger.chain_id));
            *counter = told.map(|told| told.next);
        }
        let Some(counter) = *counter else { return false };
        self.board.counter(self.index, counter);
        match self.store.checkpoint(&self.stream.observer).await {
            Ok(checkpoint) => {
                self.board.executed(self.index, checkpoint.next, None);
                checkpoint.next >= counter
            }
            Err(_) => false,
        }
    }

    fn is_ours(&self, chain: Option<ChainId>) -> bool {
        self.chain_id.zip(chain).is_none_or(|(ours, theirs)| ours == theirs)
    }

    /// Where the stream stands; `None` if cancelled before the database answered.
    async fn checkpoint(&self, cancel: &CancellationToken) -> Option<Result<Checkpoint, String>> {
        let mut backoff = Backoff::default();
        loop {
            match cancel.run_until_cancelled(self.store.checkpoint(&self.stream.observer)).await? {
                Err(error) if error.trouble() != Trouble::Lasting => backoff.wait(cancel).await,
                read => return Some(read.map_err(|error| error.to_string())),
            }
        }
    }
}

/// Asks until a node answers that is not behind.
async fn answer<S: Subject>(subject: &S, cancel: &CancellationToken) {
    let mut backoff = Backoff::default();
    while !subject.counter().await.is_ok_and(|counter| !counter.ledger.behind) {
        backoff.wait(cancel).await;
    }
}
