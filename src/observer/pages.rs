//! A stream's pages in their order, several read at once where the stream is known to go on.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio_util::task::AbortOnDropHandle;

use super::room::{Room, Ticket};
use crate::chain::{SeqNo, Version};
use crate::subject::{Page, Subject, SubjectError};

/// What an event weighs besides its data, raw and decoded, roughly.
const OVERHEAD: usize = 1600;
/// What the first page is taken to weigh.
const FIRST_WEIGHT: usize = 256 << 10;

/// Where a feed stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    /// The next event to read.
    pub next: SeqNo,
    /// The version of the event before it.
    pub version: Option<Version>,
    /// How many events the stream has at least.
    pub known: SeqNo,
    /// Whether the archive is to be asked.
    pub archived: bool,
}

pub(super) struct Pages<S> {
    feed: usize,
    subject: Arc<S>,
    room: Arc<Room>,
    /// Pages that are on their way, one behind the other.
    ahead: VecDeque<Reading>,
    /// How many events a full page has, once one has been seen. Without it nobody knows where the page after the next begins.
    length: Option<u64>,
    /// What the last page weighed.
    weight: usize,
    /// How many versions a page of it spans, to guess those of the pages to come.
    span: u64,
}

struct Reading {
    start: SeqNo,
    page: AbortOnDropHandle<Read>,
}

type Read = Result<(Page, Ticket), SubjectError>;

impl<S: Subject> Pages<S> {
    pub fn new(feed: usize, subject: Arc<S>, room: Arc<Room>) -> Self {
        Self { feed, subject, room, ahead: VecDeque::new(), length: None, weight: FIRST_WEIGHT, span: 0 }
    }

    /// Begins to read, if there is room at once.
    pub fn begin(&mut self, at: Standing) {
        while let Some(start) = self.wanted(at) {
            let Some(ticket) = self.room.ticket(self.feed, self.forecast(at), self.weight) else { return };
            self.read(start, at.archived, ticket);
        }
    }

    /// The page at which the feed stands, and the room that it takes.
    pub async fn next(&mut self, at: Standing) -> Read {
        if self.ahead.front().is_some_and(|reading| reading.start != at.next) {
            self.ahead.clear();
        }
        let read = loop {
            self.begin(at);
            let wants_more = self.wanted(at).is_some();
            tokio::select! {
                biased;
                read = first(&mut self.ahead) => break read,
                () = self.room.turn(self.feed), if wants_more => {}
            }
        };
        self.room.withdraw(self.feed);
        self.ahead.pop_front();
        match &read {
            Ok((page, _)) => self.learn(page),
            // What comes behind it will be asked for again.
            Err(_) => self.ahead.clear(),
        }
        read
    }

    /// Where the next page to ask for begins.
    fn wanted(&self, at: Standing) -> Option<SeqNo> {
        let Some(last) = self.ahead.back() else { return Some(at.next) };
        let start = SeqNo::new(last.start.get() + self.length?)?;
        (start < at.known && !at.archived).then_some(start)
    }

    fn forecast(&self, at: Standing) -> Version {
        let ahead = u64::try_from(self.ahead.len()).unwrap_or(u64::MAX);
        let version = at.version.unwrap_or_default().get().saturating_add(self.span.saturating_mul(ahead));
        Version::new(version).unwrap_or_else(Version::max)
    }

    fn read(&mut self, start: SeqNo, archived: bool, mut ticket: Ticket) {
        let subject = Arc::clone(&self.subject);
        let page = tokio::spawn(async move {
            let page = if archived { subject.archived_page(start).await } else { subject.page(start).await };
            if let Ok(page) = &page {
                ticket.answered(weight(page));
            }
            page.map(|page| (page, ticket))
        });
        self.ahead.push_back(Reading { start, page: AbortOnDropHandle::new(page) });
    }

    fn learn(&mut self, page: &Page) {
        self.length =
            (page.full && self.subject.reads_ahead()).then(|| u64::try_from(page.events.len()).unwrap_or(u64::MAX));
        self.weight = weight(page);
        if let [first, .., last] = &page.events[..] {
            self.span = last.version.get().saturating_sub(first.version.get());
        }
    }
}

/// A feed that has ended holds nobody back.
impl<S> Drop for Pages<S> {
    fn drop(&mut self) {
        self.room.withdraw(self.feed);
    }
}

/// Waits for ever where nothing is on its way.
async fn first(ahead: &mut VecDeque<Reading>) -> Read {
    let Some(reading) = ahead.front_mut() else { return std::future::pending().await };
    match (&mut reading.page).await {
        Ok(read) => read,
        Err(panic) => Err(SubjectError::Refused(format!("reading a page broke down, which is a bug: {panic}"))),
    }
}

fn weight(page: &Page) -> usize {
    page.events.iter().map(|event| event.data.len() + OVERHEAD).sum()
}
