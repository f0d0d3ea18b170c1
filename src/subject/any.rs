//! A stream wherever it is read from, so that one worker has streams of several kinds.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Counter, EventHandle, Page, ScannedStream, Subject, SubjectError};
use crate::chain::{EventOrder, SeqNo, Timestamp, Version};

/// One of the kinds of subjects that a worker reads.
pub enum AnySubject {
    /// An event handle, from the events' endpoint.
    Handle(EventHandle),
    /// Events found in transactions.
    Scanned(ScannedStream),
}

impl Subject for AnySubject {
    async fn page(&self, from: SeqNo) -> Result<Page, SubjectError> {
        match self {
            Self::Handle(handle) => handle.page(from).await,
            Self::Scanned(stream) => stream.page(from).await,
        }
    }

    fn reads_ahead(&self) -> bool {
        match self {
            Self::Handle(handle) => handle.reads_ahead(),
            Self::Scanned(stream) => stream.reads_ahead(),
        }
    }

    async fn archived_page(&self, from: SeqNo) -> Result<Page, SubjectError> {
        match self {
            Self::Handle(handle) => handle.archived_page(from).await,
            Self::Scanned(stream) => stream.archived_page(from).await,
        }
    }

    async fn order(&self, version: Version) -> Result<Option<EventOrder>, SubjectError> {
        match self {
            Self::Handle(handle) => handle.order(version).await,
            Self::Scanned(stream) => stream.order(version).await,
        }
    }

    async fn times(&self, versions: &BTreeSet<Version>) -> Result<BTreeMap<Version, Timestamp>, SubjectError> {
        match self {
            Self::Handle(handle) => handle.times(versions).await,
            Self::Scanned(stream) => stream.times(versions).await,
        }
    }

    async fn counter(&self) -> Result<Counter, SubjectError> {
        match self {
            Self::Handle(handle) => handle.counter().await,
            Self::Scanned(stream) => stream.counter().await,
        }
    }

    async fn next_counter(&self, interval: Duration) -> Result<Counter, SubjectError> {
        match self {
            Self::Handle(handle) => handle.next_counter(interval).await,
            Self::Scanned(stream) => stream.next_counter(interval).await,
        }
    }
}
