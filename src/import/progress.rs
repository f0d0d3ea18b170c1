//! How far an import is, for whoever watches it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Counts that only grow, read while the import goes on.
#[derive(Debug, Default)]
pub struct Progress {
    collections: AtomicU64,
    tokens: AtomicU64,
    done: AtomicU64,
    expected: AtomicU64,
    waiting: Mutex<Option<String>>,
}

impl Progress {
    /// Collections found so far.
    pub fn collections(&self) -> u64 {
        self.collections.load(Ordering::Relaxed)
    }

    /// Tokens found so far.
    pub fn tokens(&self) -> u64 {
        self.tokens.load(Ordering::Relaxed)
    }

    /// Steps done, of [`Progress::expected`]: things that are written, transactions that are read.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Steps known so far.
    pub fn expected(&self) -> u64 {
        self.expected.load(Ordering::Relaxed)
    }

    /// What everything waits for, if it does.
    pub fn waiting(&self) -> Option<String> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn found_collection(&self) {
        self.collections.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn found_token(&self) {
        self.tokens.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn expect(&self, steps: u64) {
        self.expected.fetch_add(steps, Ordering::Relaxed);
    }

    pub(super) fn step(&self, steps: u64) {
        self.done.fetch_add(steps, Ordering::Relaxed);
    }

    pub(super) fn waits(&self, cause: Option<&str>) {
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = cause.map(str::to_owned);
    }
}
