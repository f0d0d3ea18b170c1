//! Pauses between tries: short at first, longer while it goes on failing, never in step with others.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio_util::sync::CancellationToken;

/// A series of pauses. The first is at most 100 ms, the longest at most 30 s.
#[derive(Debug)]
pub struct Backoff {
    pauses: ExponentialBackoff,
}

impl Default for Backoff {
    fn default() -> Self {
        // Jitter adds up to as much again.
        let builder =
            ExponentialBuilder::new().with_min_delay(Duration::from_millis(50)).with_max_delay(Duration::from_secs(15));
        Self { pauses: builder.with_factor(2.0).without_max_times().with_jitter().build() }
    }
}

impl Backoff {
    /// Starts over, after a success.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// Waits for the next pause, or until `cancel`.
    pub async fn wait(&mut self, cancel: &CancellationToken) {
        let pause = self.pauses.next().unwrap_or(Duration::from_secs(15));
        let _ = cancel.run_until_cancelled(tokio::time::sleep(pause)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_begin_short_and_stay_bounded() {
        let mut backoff = Backoff::default();
        let first = backoff.pauses.next().unwrap();
        assert!(first <= Duration::from_millis(100), "{first:?}");
        for _ in 0..50 {
            assert!(backoff.pauses.next().unwrap() <= Duration::from_secs(30));
        }
    }
}
