//! How far all feeds together may be ahead of the writer: bytes, and requests at once.
//!
//! Whoever wants to read a page asks for a [`Ticket`], which goes with the page until its events are committed. Of those
//! who wait, the feed whose page is the oldest by version comes first, as the writer goes by version. A feed of which the
//! writer has nothing left is not held back by bytes: all others may be waiting for it. Nobody reads ahead before all have
//! had their first answer: it is not known yet who is behind.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::chain::Version;

/// Event data, and what surrounds it, that is being read, waiting or being committed.
pub(super) const BYTES: usize = 12 << 20;
/// Pages that are asked for at once, while nobody says that it is too much.
const REQUESTS: usize = 64;
/// After a 429 half as many; and twice as many again after each such time of answers without one.
const RECOVERY: Duration = Duration::from_millis(250);

pub(super) struct Room {
    state: Mutex<State>,
}

struct State {
    bytes: usize,
    requests: usize,
    allowed: Allowed,
    feeds: Vec<Feed>,
}

/// How many requests at once the nodes put up with.
struct Allowed {
    requests: usize,
    /// When they were last halved: what was under way then is refused together.
    halved: Option<Instant>,
    /// Since when there have been answers again, or when they were last doubled.
    answered: Option<Instant>,
}

#[derive(Default)]
struct Feed {
    /// Pages that are being read, or wait for the writer to take their last event.
    pages: usize,
    /// Whether it has had an answer.
    has_begun: bool,
    wish: Option<Wish>,
    granted: Arc<Notify>,
}

#[derive(Clone, Copy)]
struct Wish {
    version: Version,
    weight: usize,
}

/// The right to read a page and to keep it. It ends when it is dropped.
pub(super) struct Ticket {
    room: Arc<Room>,
    feed: usize,
    weight: usize,
    asking: bool,
    waiting: bool,
}

impl Room {
    pub fn new(feeds: usize) -> Arc<Self> {
        let allowed = Allowed { requests: REQUESTS, halved: None, answered: None };
        let feeds = (0..feeds).map(|_| Feed::default()).collect();
        Arc::new(Self { state: Mutex::new(State { bytes: 0, requests: 0, allowed, feeds }) })
    }

    /// A ticket for a page of about `weight` bytes whose events are of about `version`, if it is that feed's turn. If not,
    /// [`Room::turn`] tells when it may be.
    pub fn ticket(self: &Arc<Self>, feed: usize, version: Version, weight: usize) -> Option<Ticket> {
        let mut state = self.lock();
        state.feeds[feed].wish = Some(Wish { version, weight });
        if state.next() != Some(feed) {
            return None;
        }
        state.feeds[feed].wish = None;
        state.feeds[feed].pages += 1;
        state.requests += 1;
        state.bytes += weight;
        state.call_next();
        Some(Ticket { room: Arc::clone(self), feed, weight, asking: true, waiting: true })
    }

    /// Waits until it may be that feed's turn.
    pub async fn turn(&self, feed: usize) {
        let granted = Arc::clone(&self.lock().feeds[feed].granted);
        granted.notified().await;
    }

    /// That feed has had an answer, and wants no page for now.
    pub fn withdraw(&self, feed: usize) {
        let mut state = self.lock();
        state.feeds[feed].wish = None;
        state.feeds[feed].has_begun = true;
        state.call_next();
    }

    /// Whether a node is being asked for a page.
    pub fn is_asking(&self) -> bool {
        self.lock().requests > 0
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whose turn it is.
    fn next(&self) -> Option<usize> {
        if self.requests >= self.allowed.requests {
            return None;
        }
        let all_have_begun = self.feeds.iter().all(|feed| feed.has_begun);
        let wishes = self.feeds.iter().enumerate().filter_map(|(feed, Feed { pages, wish, .. })| {
            let Wish { version, weight } = (*wish)?;
            let urgent = *pages == 0;
            let fits = all_have_begun && self.bytes + weight <= BYTES;
            (urgent || fits).then_some((!urgent, version, feed))
        });
        wishes.min().map(|(.., feed)| feed)
    }

    fn call_next(&self) {
        if let Some(feed) = self.next() {
            self.feeds[feed].granted.notify_one();
        }
    }
}

impl Allowed {
    fn answered(&mut self) {
        match self.answered {
            _ if self.requests == REQUESTS => {}
            Some(since) if since.elapsed() < RECOVERY => {}
            Some(_) => (self.requests, self.answered) = ((self.requests * 2).min(REQUESTS), Some(Instant::now())),
            None => self.answered = Some(Instant::now()),
        }
    }

    fn throttled(&mut self) {
        if self.halved.is_none_or(|halved| halved.elapsed() >= RECOVERY) {
            *self = Self { requests: (self.requests / 2).max(1), halved: Some(Instant::now()), answered: None };
        }
    }
}

impl Ticket {
    /// The page is there, and weighs so much.
    pub fn answered(&mut self, weight: usize) {
        self.ended(weight, Allowed::answered);
    }

    /// The node asked for fewer requests.
    pub fn throttled(&mut self) {
        self.ended(0, Allowed::throttled);
    }

    fn ended(&mut self, weight: usize, learn: impl Fn(&mut Allowed)) {
        let mut state = self.room.lock();
        state.bytes = state.bytes - self.weight + weight;
        self.weight = weight;
        if std::mem::take(&mut self.asking) {
            state.requests -= 1;
            learn(&mut state.allowed);
        }
        state.call_next();
    }

    /// The writer has taken its last event.
    pub fn taken(&mut self) {
        if std::mem::take(&mut self.waiting) {
            let mut state = self.room.lock();
            state.feeds[self.feed].pages -= 1;
            state.call_next();
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.taken();
        // One that is given up proves nothing.
        self.ended(0, |_| {});
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(number: u64) -> Version {
        Version::new(number).unwrap()
    }

    /// A room for so many feeds that have all begun.
    fn room(feeds: usize) -> Arc<Room> {
        let room = Room::new(feeds);
        (0..feeds).for_each(|feed| room.withdraw(feed));
        room
    }

    #[test]
    fn nobody_reads_ahead_before_all_have_begun() {
        let room = Room::new(2);
        let first = room.ticket(0, version(5), 1).unwrap();
        room.withdraw(0);
        assert!(room.ticket(0, version(6), 1).is_none());
        let second = room.ticket(1, version(90), 1).unwrap();
        room.withdraw(1);
        assert!(room.ticket(0, version(6), 1).is_some());
        drop((first, second));
    }

    #[test]
    fn the_oldest_page_comes_first_once_there_is_room() {
        let room = room(3);
        let first = room.ticket(0, version(5), BYTES).unwrap();
        // Nothing of the second and third: not held back.
        let mut second = room.ticket(1, version(9), 1).unwrap();
        let third = room.ticket(2, version(7), 1).unwrap();
        assert!(room.ticket(1, version(20), 1).is_none());
        assert!(room.ticket(2, version(10), 1).is_none());
        drop(first);
        assert!(room.ticket(1, version(20), 1).is_none(), "the third feed's page is older");
        let fourth = room.ticket(2, version(10), 1).unwrap();
        assert!(room.ticket(1, version(20), 1).is_some());
        second.answered(BYTES);
        second.taken();
        assert!(room.ticket(2, version(11), 1).is_none());
        assert!(room.ticket(1, version(12), 1).is_some(), "the writer has nothing of the second");
        drop((second, third, fourth));
        let state = room.lock();
        assert_eq!((state.bytes, state.requests), (0, 0));
        assert!(state.feeds.iter().all(|feed| feed.pages == 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_429_halves_the_requests_and_two_seconds_of_answers_bring_them_back() {
        let room = room(1);
        let fill = || (0..).map_while(|at| room.ticket(0, version(at), 1)).collect::<Vec<_>>();
        // All that are under way at once are refused: that is one refusal.
        let refused = || fill().iter_mut().for_each(Ticket::throttled);
        let answered = || fill().iter_mut().for_each(|ticket| ticket.answered(1));
        assert_eq!(fill().len(), REQUESTS);
        for half in [32, 16, 8, 4, 2, 1, 1] {
            refused();
            assert_eq!(fill().len(), half);
            // The pause is no time of answers.
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        answered();
        assert_eq!(fill().len(), 1);
        // Neither are reads that are given up.
        tokio::time::advance(RECOVERY).await;
        drop(fill());
        assert_eq!(fill().len(), 1);
        let mut took = Duration::ZERO;
        while fill().len() < REQUESTS {
            answered();
            tokio::time::advance(RECOVERY).await;
            took += RECOVERY;
        }
        assert!(took < Duration::from_secs(2), "{took:?}");
    }

    #[tokio::test]
    async fn who_waits_is_called_when_room_is_given_back() {
        let room = room(1);
        let ticket = room.ticket(0, version(0), BYTES).unwrap();
        assert!(room.ticket(0, version(1), BYTES).is_none());
        let (called, ()) = tokio::join!(room.turn(0), async { drop(ticket) });
        assert_eq!(called, ());
        assert!(room.ticket(0, version(1), BYTES).is_some());
    }
}
