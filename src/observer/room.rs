//! How far all feeds together may be ahead of the writer: bytes, and requests at once.
//!
//! Whoever wants to read a page asks for a [`Ticket`], which goes with the page until its events are committed. Of those
//! who wait, the feed whose page is the oldest by version comes first, as the writer goes by version. A feed of which the
//! writer has nothing left is not held back by bytes: all others may be waiting for it. Nobody reads ahead before all have
//! had their first answer: it is not known yet who is behind.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::chain::Version;

/// Pages that are asked for at once; fewer are sent while a node wants fewer.
const REQUESTS: usize = 28;

pub(super) struct Room {
    state: Mutex<State>,
}

struct State {
    /// What is taken, and all that there is.
    bytes: usize,
    size: usize,
    requests: usize,
    feeds: Vec<Feed>,
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
    /// For so many feeds; `size` bytes of event data, and what surrounds it, may be on their way, waiting or being committed.
    pub fn new(feeds: usize, size: usize) -> Arc<Self> {
        let feeds = (0..feeds).map(|_| Feed::default()).collect();
        Arc::new(Self { state: Mutex::new(State { bytes: 0, size, requests: 0, feeds }) })
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
        if self.requests >= REQUESTS {
            return None;
        }
        let all_have_begun = self.feeds.iter().all(|feed| feed.has_begun);
        let wishes = self.feeds.iter().enumerate().filter_map(|(feed, Feed { pages, wish, .. })| {
            let Wish { version, weight } = (*wish)?;
            let urgent = *pages == 0;
            let fits = all_have_begun && self.bytes + weight <= self.size;
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

impl Ticket {
    /// The page is there, and weighs so much; nothing, if it is not.
    pub fn answered(&mut self, weight: usize) {
        let mut state = self.room.lock();
        state.bytes = state.bytes - self.weight + weight;
        self.weight = weight;
        if std::mem::take(&mut self.asking) {
            state.requests -= 1;
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
        self.answered(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: usize = 1 << 20;

    fn version(number: u64) -> Version {
        Version::new(number).unwrap()
    }

    /// A room for so many feeds that have all begun.
    fn room(feeds: usize) -> Arc<Room> {
        let room = Room::new(feeds, BYTES);
        (0..feeds).for_each(|feed| room.withdraw(feed));
        room
    }

    #[test]
    fn nobody_reads_ahead_before_all_have_begun() {
        let room = Room::new(2, BYTES);
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

    #[test]
    fn no_more_are_asked_for_at_once_than_anybody_answers() {
        let room = room(1);
        let mut all: Vec<_> = (0..).map_while(|at| room.ticket(0, version(at), 1)).collect();
        assert_eq!(all.len(), REQUESTS);
        all[0].answered(1);
        assert!(room.ticket(0, version(0), 1).is_some());
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
