//! Events per second, smoothed.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::time::Instant;

use super::board::Snapshot;
use crate::chain::SeqNo;

/// After so many seconds what was measured before counts for a third.
const MEMORY: f64 = 2.0;

#[derive(Default)]
pub(super) struct Speed {
    before: HashMap<Arc<str>, (SeqNo, Instant, f64)>,
}

impl Speed {
    /// How fast that observer is now.
    pub fn observe(&mut self, observer: &Snapshot) -> f64 {
        let now = Instant::now();
        let (next, then, mut rate) = self.before.get(&observer.observer).copied().unwrap_or((observer.next, now, 0.0));
        let seconds = now.duration_since(then).as_secs_f64();
        if seconds > 0.0 {
            let events = u32::try_from(next.until(observer.next)).unwrap_or(u32::MAX);
            rate += (1.0 - (-seconds / MEMORY).exp()) * (f64::from(events) / seconds - rate);
        }
        rate = if rate < 0.05 { 0.0 } else { rate };
        self.before.insert(Arc::clone(&observer.observer), (observer.next, now, rate));
        rate
    }
}
