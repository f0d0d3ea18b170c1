//! Streams that no endpoint serves by themselves, found in the ledger's transactions: module events, and handles that no
//! node indexes. All streams of a worker share what is read ([`Transactions`]: a node's `pages`, or a stream over `grpc`); each
//! counts its own events ([`ScannedStream`]).

mod grpc;
mod pages;
mod piece;
mod stream;
mod transactions;

use std::future::Future;
use std::pin::Pin;

pub use grpc::{StreamConfig, StreamService};
pub use stream::{Numbers, ScannedStream};
pub use transactions::Transactions;

use super::SubjectError;
use crate::chain::{RawEvent, SeqNo, Version};

/// Where an observer stands in a stream that is found by scanning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    /// The next event's number.
    pub next: SeqNo,
    /// The last executed event's transaction, and its place there.
    pub last: Option<(Version, Option<u32>)>,
    /// Nothing of the stream is missing up to this version.
    pub scanned: Option<Version>,
}

/// Finds where the observer stands, as committed.
pub type Locate = Box<dyn Fn() -> Located + Send + Sync>;
/// What [`Locate`] comes to.
pub type Located = Pin<Box<dyn Future<Output = Result<Place, SubjectError>> + Send>>;
/// Whether an event is of the stream.
pub type Belongs = Box<dyn Fn(&RawEvent) -> bool + Send + Sync>;

impl Place {
    /// The first version in which there may be something new; `first` for whoever has seen nothing.
    fn resume(&self, first: Version) -> Version {
        let scanned = self.scanned.map(Version::next);
        // The rest of its transaction may be missing.
        let last = self.last.map(|(version, _)| version);
        scanned.max(last).max(last.is_none().then_some(first)).unwrap_or(first)
    }

    /// Whether the event has been executed: it is at or before the last one.
    fn is_behind(&self, event: &RawEvent) -> bool {
        self.last.is_some_and(|(version, index)| (event.version, event.event_index) <= (version, index))
    }
}
