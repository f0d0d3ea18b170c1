//! The ledger's transactions, read once for all streams that look for events in them.

use std::sync::Arc;

use tokio::time::Instant;

use super::super::{Ledger, Nodes, SubjectError};
use super::grpc::{Passes, StreamService};
use super::pages::Pages;
use super::piece::{Piece, Types};
use crate::chain::{EventOrder, Version};

/// The transactions of a ledger, from wherever they are read. Where the ledger ends, its nodes say.
pub struct Transactions {
    nodes: Arc<Nodes>,
    way: Way,
    /// The newest ledger seen, and when.
    tip: tokio::sync::Mutex<Option<(Ledger, Instant)>>,
}

/// How they are read.
enum Way {
    /// Page by page, from the nodes.
    Pages(Arc<Pages>),
    /// From the stream of a service.
    Stream(Box<Passes>),
}

impl Transactions {
    /// Those of these nodes; of their events, those of `types` (in their standard form, without type arguments).
    #[must_use]
    pub fn of_nodes(nodes: Arc<Nodes>, types: impl IntoIterator<Item = Arc<str>>) -> Self {
        let pages = Pages::new(Arc::clone(&nodes), Types::new(types));
        Self { nodes, way: Way::Pages(Arc::new(pages)), tip: tokio::sync::Mutex::default() }
    }

    /// The same from a transaction stream of the nodes' chain.
    #[must_use]
    pub fn of_stream(service: StreamService, nodes: Arc<Nodes>, types: impl IntoIterator<Item = Arc<str>>) -> Self {
        let passes = Passes::new(service, Arc::clone(&nodes), Types::new(types));
        Self { nodes, way: Way::Stream(Box::new(passes)), tip: tokio::sync::Mutex::default() }
    }

    /// Where the ledger stands, as seen not before `since`; `None`: as it was seen last.
    pub(super) async fn tip(&self, since: Option<Instant>) -> Result<Ledger, SubjectError> {
        let mut tip = self.tip.lock().await;
        if let Some((ledger, seen)) = &*tip
            && since.is_none_or(|since| *seen >= since)
        {
            return Ok(*ledger);
        }
        let seen = Instant::now();
        let ledger = self.nodes.ledger().await?;
        *tip = Some((ledger, seen));
        Ok(ledger)
    }

    /// The order of all events of one of them, of whatever type.
    pub(super) async fn order(&self, version: Version) -> Result<Option<EventOrder>, SubjectError> {
        self.nodes.order(version).await
    }

    /// A piece that holds `version`, as far as the ledger goes by `tip`, which must be at or behind `version`. It may go on
    /// beyond.
    pub(super) async fn piece(&self, version: Version, tip: Version) -> Result<Arc<Piece>, SubjectError> {
        match &self.way {
            Way::Pages(pages) => pages.piece(version, tip).await,
            Way::Stream(passes) => passes.piece(version).await,
        }
    }

    /// The piece that will hold `version`, as soon as there is one. Never where nobody tells before being asked.
    pub(super) async fn coming(&self, version: Version) -> Result<Arc<Piece>, SubjectError> {
        match &self.way {
            Way::Pages(_) => std::future::pending().await,
            Way::Stream(passes) => passes.coming(version).await,
        }
    }
}
