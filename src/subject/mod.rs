//! Where events come from. [`Subject`] is the contract; [`EventHandle`] and [`SentTransactions`] read a node, which can
//! also be asked for an account's present state ([`Nodes`]).

mod account;
mod answer;
mod any;
mod blocks;
mod error;
mod handle;
mod indexer;
mod inspect;
mod metrics;
mod node;
mod nodes;
mod order;
mod pace;
mod page;
mod scan;
mod turns;
mod url;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::time::Duration;

pub use account::{Resource, SentTransactions, TableItem};
pub use answer::{event_of_line, events_of_page};
pub use any::AnySubject;
pub use error::SubjectError;
pub use handle::{EventHandle, EventHandles};
pub use indexer::{IndexedCollection, IndexedToken, Indexer};
pub use inspect::{Module, MoveField};
pub use nodes::{Config, Nodes};
pub use page::Page;
pub use scan::{Belongs, Locate, Located, Numbers, Place, ScannedStream, StreamConfig, StreamService, Transactions};
pub use url::NodeUrl;

use crate::chain::{ChainId, EventOrder, SeqNo, Timestamp, Version};

/// A stream of numbered events that can be read from any position.
///
/// A source may fail, lag, or answer from a node that knows less than another did; it never invents. What it gives is
/// checked by the observer, which alone decides what a gap or an empty page means.
pub trait Subject: Send + Sync + 'static {
    /// The events from `from` on, ascending, at most one page. Empty: this source knows none, now.
    fn page(&self, from: SeqNo) -> impl Future<Output = Result<Page, SubjectError>> + Send;

    /// Whether pages may be asked for before the ones in front of them have been answered: what a page begins with is known.
    fn reads_ahead(&self) -> bool {
        true
    }

    /// The same, from wherever older history is kept; for a start that the source has no more.
    fn archived_page(&self, from: SeqNo) -> impl Future<Output = Result<Page, SubjectError>> + Send {
        async move { Err(SubjectError::Pruned(format!("there is no archive to ask for seq no {from}"))) }
    }

    /// The order of all events of a version; `None`: the source cannot tell, or has it no more.
    fn order(&self, _version: Version) -> impl Future<Output = Result<Option<EventOrder>, SubjectError>> + Send {
        async { Ok(None) }
    }

    /// When these versions were, for events that tell no time; without those of which the source cannot tell, or has it no more.
    fn times(
        &self,
        _versions: &BTreeSet<Version>,
    ) -> impl Future<Output = Result<BTreeMap<Version, Timestamp>, SubjectError>> + Send {
        async { Ok(BTreeMap::new()) }
    }

    /// How many events the stream has, as the source knows now.
    fn counter(&self) -> impl Future<Output = Result<Counter, SubjectError>> + Send;

    /// The same for a stream that is at its end: waits until `interval` has passed since the source was last asked, or since
    /// now if that is longer ago, and asks then. Streams that the source tells about in one answer share it. The answer
    /// is never older than this call; dropping the call is no harm to others that wait.
    fn next_counter(&self, interval: Duration) -> impl Future<Output = Result<Counter, SubjectError>> + Send {
        async move {
            tokio::time::sleep(interval).await;
            self.counter().await
        }
    }
}

/// The length of a stream, and the ledger that it was read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counter {
    /// The next seq no that the stream will give out.
    pub next: SeqNo,
    /// Where the node stood.
    pub ledger: Ledger,
}

/// Where the node stood when it answered, as far as it told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ledger {
    /// The chain's number.
    pub chain_id: Option<ChainId>,
    /// The newest version that it knew.
    pub version: Option<Version>,
    /// The oldest version that it still has.
    pub oldest_version: Option<Version>,
    /// The chain's time at the newest version.
    pub time: Option<Timestamp>,
    /// Whether another answer, before, came from a newer ledger: this one cannot prove that nothing is new.
    pub behind: bool,
}
