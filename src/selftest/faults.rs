//! Which write of a transaction goes wrong, and how: one at a time, as the case has drawn it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use tokio::sync::Notify;

use crate::state::{Edge, Fault, Recorder};

/// Statements before the one that fails, at most; a transaction with fewer fails before COMMIT.
const STATEMENTS: u32 = 8;

/// Lets the next transaction of one worker fail.
#[derive(Default)]
pub struct Injector {
    state: Mutex<State>,
    hangs: Notify,
}

#[derive(Default)]
struct State {
    armed: Option<Armed>,
    fired: Option<(Edge, Fault)>,
}

/// What is to go wrong.
#[derive(Debug, Clone, Copy)]
pub struct Armed {
    edge: Edge,
    /// Statements that go well before.
    statements: u32,
    fault: Fault,
}

impl Armed {
    /// At any statement, before COMMIT, or after it.
    pub fn draw(rng: &mut ChaCha8Rng) -> Self {
        Self::within(STATEMENTS, rng)
    }

    /// The same for a transaction of about so many statements.
    pub fn within(statements: u32, rng: &mut ChaCha8Rng) -> Self {
        let edge = match rng.random_range(0..4) {
            0 | 1 => Edge::Statement,
            2 => Edge::Commit,
            _ => Edge::Committed,
        };
        let fault = match rng.random_range(0..4) {
            // No server tells of a deadlock once it has committed.
            0 if edge != Edge::Committed => Fault::Deadlock,
            0 | 1 => Fault::Lost,
            2 => Fault::Hang,
            _ => Fault::Lost,
        };
        Self { edge, statements: rng.random_range(0..statements), fault }
    }
}

impl Injector {
    /// From now on that goes wrong, once.
    pub fn arm(&self, armed: Option<Armed>) {
        *self.state() = State { armed, fired: None };
    }

    /// From now on nothing goes wrong; what has.
    pub fn disarm(&self) -> Option<(Edge, Fault)> {
        std::mem::take(&mut *self.state()).fired
    }

    /// What becomes of `work`; `None` if it hangs, and is dropped there.
    pub async fn or_crash<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = work => Some(done),
            () = self.hangs.notified() => None,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recorder for Injector {
    fn fault(&self, edge: Edge) -> Option<Fault> {
        let mut state = self.state();
        let armed = state.armed.as_mut()?;
        let now = match (armed.edge, edge) {
            (Edge::Statement, Edge::Statement) if armed.statements > 0 => {
                armed.statements -= 1;
                false
            }
            (Edge::Statement, Edge::Statement | Edge::Commit) => true,
            (expected, edge) => expected == edge,
        };
        if !now {
            return None;
        }
        let fault = armed.fault;
        *state = State { armed: None, fired: Some((edge, fault)) };
        if fault == Fault::Hang {
            self.hangs.notify_one();
        }
        Some(fault)
    }
}
