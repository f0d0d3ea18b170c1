//! How fast a node is asked: everybody waits while it wants fewer requests, and comes back by and by.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// After a 429 half as many requests at once, and twice as many again after each such time of answers without one.
const RECOVERY: Duration = Duration::from_millis(250);
/// So many at once are as many as anybody asks: from there on nobody counts.
const FULL: usize = 448;

/// What a node puts up with, as far as it has told.
#[derive(Debug, Default)]
struct Pace {
    under_way: usize,
    /// How many at once, after it has asked for fewer.
    allowed: Option<usize>,
    /// Since when there have been answers again, or when `allowed` was last doubled.
    answered: Option<Instant>,
    paused_until: Option<Instant>,
    throttled_in_a_row: u32,
    /// How often it has asked for fewer. What was under way then is refused together, and counts once.
    era: u64,
}

/// Whether a request may be sent.
#[derive(Debug, PartialEq, Eq)]
enum Turn {
    Now { era: u64 },
    WhenAnotherHasEnded,
    Paused(Duration),
}

impl Pace {
    fn turn(&mut self, now: Instant) -> Turn {
        if let Some(left) = self.left(now) {
            return Turn::Paused(left);
        }
        if self.allowed.is_some_and(|allowed| self.under_way >= allowed) {
            return Turn::WhenAnotherHasEnded;
        }
        self.under_way += 1;
        Turn::Now { era: self.era }
    }

    fn left(&self, now: Instant) -> Option<Duration> {
        self.paused_until.map(|until| until.saturating_duration_since(now)).filter(|left| !left.is_zero())
    }

    /// A request of `era` has ended.
    fn ended(&mut self) {
        self.under_way -= 1;
    }

    /// It was answered, and not with a 429.
    fn answered(&mut self, era: u64, now: Instant) {
        if era != self.era {
            return;
        }
        self.throttled_in_a_row = 0;
        let Some(allowed) = self.allowed else { return };
        match self.answered {
            Some(since) if now - since < RECOVERY => {}
            Some(_) => {
                self.allowed = Some(allowed * 2).filter(|allowed| *allowed < FULL);
                self.answered = Some(now);
            }
            None => self.answered = Some(now),
        }
    }

    /// It was answered with a 429. Returns how long nobody asks: as long as the node wants, or 1 s, and then twice as long
    /// each time in a row.
    fn throttled(&mut self, era: u64, asked: Option<Duration>, now: Instant) -> Duration {
        let pause = if era == self.era {
            let doubled = FIRST_PAUSE.saturating_mul(1 << self.throttled_in_a_row.min(5)).min(LONGEST_PAUSE);
            self.throttled_in_a_row += 1;
            self.allowed = Some((self.under_way / 2).clamp(1, FULL / 2));
            self.answered = None;
            self.era += 1;
            // "At once" is no pause.
            asked.filter(|asked| !asked.is_zero()).unwrap_or(doubled)
        } else {
            asked.unwrap_or_default().max(self.left(now).unwrap_or_default())
        };
        self.paused_until = self.paused_until.max(Some(now + pause));
        pause
    }
}

/// Lets requests to one node through.
#[derive(Debug, Default)]
pub(super) struct Gate {
    pace: Mutex<Pace>,
    ended: Notify,
}

/// The right to have one request under way. Dropped, it proves nothing about the node.
#[derive(Debug)]
pub(super) struct Pass<'a> {
    gate: &'a Gate,
    era: u64,
}

impl Gate {
    /// Waits until a request may be sent; fails with what is left of the pause if the node wants none for now.
    pub async fn enter(&self) -> Result<Pass<'_>, Duration> {
        loop {
            // Before the look at the pace: whoever leaves after it is noticed.
            let ended = self.ended.notified();
            let turn = self.lock().turn(Instant::now());
            match turn {
                Turn::Now { era } => return Ok(Pass { gate: self, era }),
                Turn::Paused(left) => return Err(left),
                Turn::WhenAnotherHasEnded => ended.await,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass<'_> {
    /// The node answered.
    pub fn answered(self) {
        self.gate.lock().answered(self.era, Instant::now());
    }

    /// The node wants fewer requests, for as long as it says. Returns how long nobody asks it.
    pub fn throttled(self, asked: Option<Duration>) -> Duration {
        self.gate.lock().throttled(self.era, asked, Instant::now())
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        self.gate.lock().ended();
        // Perhaps more than one may go on, and perhaps nobody waits.
        self.gate.ended.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    /// As many as may be under way at once, up to 100.
    fn fill(gate: &Gate) -> Vec<Pass<'_>> {
        (0..100).map_while(|_| gate.enter().now_or_never()?.ok()).collect()
    }

    fn throttle(gate: &Gate, asked: Option<Duration>) -> Duration {
        gate.enter().now_or_never().unwrap().unwrap().throttled(asked)
    }

    #[tokio::test(start_paused = true)]
    async fn a_429_halves_the_requests_and_two_seconds_of_answers_bring_them_back() {
        let gate = Gate::default();
        let refused = || {
            let pauses = fill(&gate).into_iter().map(|pass| pass.throttled(None));
            pauses.max().unwrap()
        };
        assert_eq!(fill(&gate).len(), 100, "nobody counts before the node complains");
        // All that are under way at once are refused: that is one refusal.
        for (pause, half) in [(1, 50), (2, 25), (4, 12), (8, 6), (16, 3), (30, 1), (30, 1)] {
            assert_eq!(refused(), Duration::from_secs(pause));
            assert!(matches!(gate.enter().await, Err(left) if left == Duration::from_secs(pause)));
            tokio::time::advance(Duration::from_secs(pause)).await;
            assert_eq!(fill(&gate).len(), half);
        }
        // Reads that are given up prove nothing, however long it takes.
        tokio::time::advance(RECOVERY * 10).await;
        assert_eq!(fill(&gate).len(), 1);
        let mut took = Duration::ZERO;
        while fill(&gate).len() < 100 {
            fill(&gate).into_iter().for_each(Pass::answered);
            tokio::time::advance(RECOVERY).await;
            took += RECOVERY;
        }
        assert!((Duration::from_millis(1_250)..=Duration::from_secs(2)).contains(&took), "{took:?}");
        assert_eq!(refused(), FIRST_PAUSE, "only consecutive ones double");
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_asked_again_when_it_says_so() {
        let gate = Gate::default();
        assert_eq!(throttle(&gate, Some(Duration::from_secs(7))), Duration::from_secs(7));
        tokio::time::advance(Duration::from_secs(6)).await;
        assert_eq!(gate.enter().await.unwrap_err(), Duration::from_secs(1));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(gate.enter().await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_under_way_before_tells_nothing_of_the_time_after() {
        let gate = Gate::default();
        let [late, later, latest, last] = [(); 4].map(|()| gate.enter().now_or_never().unwrap().unwrap());
        assert_eq!(throttle(&gate, None), Duration::from_secs(1));
        tokio::time::advance(FIRST_PAUSE).await;
        late.answered();
        assert_eq!(later.throttled(None), Duration::ZERO);
        // But a node that says how long is believed, and a shorter wish does not shorten it.
        assert_eq!(latest.throttled(Some(Duration::from_secs(3))), Duration::from_secs(3));
        assert_eq!(last.throttled(Some(Duration::from_secs(1))), Duration::from_secs(3));
        tokio::time::advance(Duration::from_secs(3)).await;
        assert_eq!(throttle(&gate, None), Duration::from_secs(2), "the second in a row");
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_let_through_one_after_the_other() {
        let gate = Gate::default();
        throttle(&gate, None);
        tokio::time::advance(FIRST_PAUSE).await;
        let first = gate.enter().await.unwrap();
        let second = async { gate.enter().await.unwrap() };
        let third = async { gate.enter().await.unwrap() };
        tokio::pin!(second, third);
        assert!(second.as_mut().now_or_never().is_none() && third.as_mut().now_or_never().is_none());
        first.answered();
        let second = second.await;
        assert!(third.as_mut().now_or_never().is_none());
        // Whoever waits learns of a pause, too.
        second.throttled(Some(Duration::from_secs(5)));
        assert!(gate.enter().now_or_never().unwrap().is_err());
    }
}
