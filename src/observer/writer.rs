//! Committing what the feeds have ready: one transaction at a time, of as many streams as have something.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::board::{Board, Cause};
use super::lane::{Lane, Message, Sender};
use crate::backoff::Backoff;
use crate::chain::{SeqNo, Version};
use crate::market::{Markets, Stream};
use crate::state::{Slice, Store, StoreError, Trouble};

/// Events in one transaction, but for the last version's.
const BATCH: usize = 2_000;
/// How long streams that are catching up wait for one another's next page, so that events come in ledger order and late
/// ones, which cost more, stay rare. Never a condition: without it the result is the same.
const PATIENCE: Duration = Duration::from_secs(1);

/// Lock waits in a row that are nothing to speak of.
const PASSING: u32 = 4;
/// Lost races in a row that are not lost to somebody: tables and checkpoints do not fit together.
const RACES: u32 = 50;

pub(super) struct Writer {
    store: Store,
    markets: Arc<Markets>,
    board: Arc<Board>,
    cancel: CancellationToken,
    lanes: Vec<Lane>,
    messages: mpsc::UnboundedReceiver<(usize, Message)>,
    /// Handed to the feeds; gone once they are all made.
    sender: Option<mpsc::UnboundedSender<(usize, Message)>>,
}

impl Writer {
    pub fn new(store: Store, markets: Arc<Markets>, board: Arc<Board>, cancel: CancellationToken) -> Self {
        let (sender, messages) = mpsc::unbounded_channel();
        Self { store, markets, board, cancel, lanes: vec![], messages, sender: Some(sender) }
    }

    /// A lane for `stream`, whose next event is `next`. Lanes are numbered as they are made.
    pub fn lane(&mut self, stream: &Arc<Stream>, next: SeqNo) -> Sender {
        let lane = Lane::new(stream, next);
        let messages = self.sender.clone().unwrap_or_else(|| mpsc::unbounded_channel().0);
        let sender = lane.sender(self.lanes.len(), messages);
        self.lanes.push(lane);
        sender
    }

    /// Commits until all feeds are gone or `cancel`; the commit under way is always finished.
    pub async fn run(mut self) {
        self.sender = None;
        let mut waiting_since: Option<Instant> = None;
        loop {
            while let Ok((index, message)) = self.messages.try_recv() {
                self.lanes[index].receive(message);
            }
            if self.cancel.is_cancelled() {
                return;
            }
            let nothing = self.lanes.iter().all(Lane::is_empty);
            let missing = self.lanes.iter().any(|lane| lane.busy && lane.is_empty());
            if nothing || missing {
                let until = (!nothing).then(|| *waiting_since.get_or_insert_with(Instant::now) + PATIENCE);
                match self.more(until).await {
                    More::Came => continue,
                    More::TimeIsUp => {}
                    More::Never if nothing => return,
                    More::Never => {}
                }
            }
            waiting_since = None;
            let slices = self.take();
            self.execute(slices).await;
        }
    }

    async fn more(&mut self, until: Option<Instant>) -> More {
        let message = async {
            match until {
                None => self.messages.recv().await.map_or(More::Never, |(index, message)| {
                    self.lanes[index].receive(message);
                    More::Came
                }),
                Some(until) => match tokio::time::timeout_at(until, self.messages.recv()).await {
                    Ok(Some((index, message))) => {
                        self.lanes[index].receive(message);
                        More::Came
                    }
                    Ok(None) => More::Never,
                    Err(_) => More::TimeIsUp,
                },
            }
        };
        self.cancel.run_until_cancelled(message).await.unwrap_or(More::Came)
    }

    /// What can be committed now: all lanes up to the version that every busy lane has reached.
    fn take(&mut self) -> Vec<Slice> {
        let reached = self.lanes.iter().filter(|lane| lane.busy).filter_map(|lane| lane.versions().next_back()).min();
        let mut horizon = reached.unwrap_or_else(Version::max);
        let mut versions: Vec<_> =
            self.lanes.iter().flat_map(|lane| lane.versions().take_while(|version| *version <= horizon)).collect();
        if versions.len() > BATCH {
            horizon = *versions.select_nth_unstable(BATCH - 1).1;
        }
        self.lanes.iter_mut().filter_map(|lane| lane.take(horizon)).collect()
    }

    /// Commits `slices` together; if that lastingly fails, each alone, so that only the one at fault stops.
    async fn execute(&mut self, slices: Vec<Slice>) {
        match self.commit(slices).await {
            Ok(()) => {}
            Err((slices, error)) if slices.len() == 1 => self.fail(&slices[0], &error),
            Err((slices, _)) => {
                for slice in slices {
                    if let Err((slices, error)) = self.commit(vec![slice]).await {
                        self.fail(&slices[0], &error);
                    }
                }
            }
        }
    }

    /// Tries until it is done, by us or another worker, or cannot be done. An answer that got lost is no guess: after each
    /// failure the checkpoints are read again, and they decide what is left to do.
    async fn commit(&mut self, mut slices: Vec<Slice>) -> Result<(), (Vec<Slice>, StoreError)> {
        let mut backoff = Backoff::default();
        let (mut contended, mut raced) = (0, 0);
        while !slices.is_empty() {
            let done = if raced == 0 {
                self.store.commit(&self.markets, &slices).await
            } else {
                self.store.commit_claiming(&self.markets, &slices).await
            };
            let Err(error) = done else {
                self.board.database_works();
                for slice in &slices {
                    self.settle(slice, slice.end());
                }
                return Ok(());
            };
            match error.trouble() {
                Trouble::Raced if raced == RACES => return Err((slices, error)),
                Trouble::Raced => raced += 1,
                Trouble::Contended => {
                    contended += 1;
                    if contended > PASSING {
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

    fn index(&self, slice: &Slice) -> Option<usize> {
        self.lanes.iter().position(|lane| lane.stream.observer == slice.stream.observer)
    }
}

enum More {
    Came,
    TimeIsUp,
    Never,
}
