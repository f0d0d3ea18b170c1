//! Chain time as a pure function of how many events came before, so that a history of known length can end at a given
//! moment, and what happens never depends on how fast it is told.

use std::time::Duration;

use super::dice;

/// 2026-01-01T00:00:00Z in microseconds: the first event, unless the history has to end at a given moment.
pub const GENESIS: i64 = 1_767_225_600_000_000;

/// Mean time between two events of the history.
pub const PACE: Duration = Duration::from_secs(45);

/// The moment of every event of one chain.
#[derive(Debug)]
pub struct Clock {
    seed: u64,
    genesis: i64,
    history: u64,
    live_step: Option<Duration>,
}

impl Clock {
    /// `history` events at the usual pace, later ones at `rate` per second, or at the usual pace too where it is zero.
    pub fn new(seed: u64, history: u64, rate: f64, ends_at: Option<i64>) -> Self {
        let live_step = if rate > 0.0 { Some(Duration::try_from_secs_f64(1.0 / rate).unwrap_or(PACE)) } else { None };
        let mut clock = Self { seed, genesis: GENESIS, history, live_step };
        if let Some(end) = ends_at {
            clock.genesis = end - clock.usual(history.saturating_sub(1));
        }
        clock
    }

    /// When the transaction that starts with the event of this number is executed, in microseconds since 1970.
    pub fn at(&self, event: u64) -> i64 {
        match self.live_step {
            Some(step) if event >= self.history => {
                let since = u128::from(event + 1 - self.history) * step.as_nanos() / 1_000;
                self.genesis + self.usual(self.history.saturating_sub(1)) + i64::try_from(since).unwrap_or(i64::MAX / 4)
            }
            Some(_) | None => self.genesis + self.usual(event),
        }
    }

    /// How many events are due so long after the live part began.
    pub fn due(&self, elapsed: Duration) -> u64 {
        let due = self.live_step.map_or(0, |step| elapsed.as_nanos() / step.as_nanos().max(1));
        u64::try_from(due).unwrap_or(u64::MAX)
    }

    /// Microseconds after the first event: the pace, and a jitter shorter than it, so that time never runs back.
    fn usual(&self, event: u64) -> i64 {
        let jitter = if event == 0 { 0 } else { dice::roll(self.seed, 0xC10C, event) % 43_000_000 };
        i64::try_from(u128::from(event) * PACE.as_micros() + u128::from(jitter)).unwrap_or(i64::MAX / 4)
    }
}
