//! The database that cases run on, with the connections of all who work with it.

use std::sync::Arc;

use tempfile::TempDir;

use super::case::WORKERS;
use super::chain::CHAIN;
use super::faults::Injector;
use crate::chain::{Address, ChainId, Version};
use crate::market::{Market, Markets};
use crate::state::{DatabaseUrl, Store, StoreError};

/// A database that is emptied before each case.
pub struct Ground {
    pub markets: Arc<Markets>,
    /// For what nobody in a case does.
    store: Store,
    /// Of the workers, and of a rebuild.
    seats: Vec<Seat>,
    _folder: Option<TempDir>,
}

/// What a process finds when it starts.
#[derive(Clone)]
pub struct Seat {
    pub store: Store,
    /// What goes wrong with its transactions.
    pub faults: Arc<Injector>,
    pub markets: Arc<Markets>,
    /// The chain that the database is of.
    pub chain_id: Option<ChainId>,
}

impl Ground {
    /// The database of `url`, which must be empty or a former ground; else a temporary one.
    pub async fn open(url: Option<DatabaseUrl>) -> Result<Self, String> {
        let (url, folder) = if let Some(url) = url {
            (url, None)
        } else {
            let folder = tempfile::Builder::new().prefix("event-worker-selftest-").tempdir();
            let folder = folder.map_err(|error| format!("no temporary folder can be made (TMPDIR): {error}"))?;
            let url = format!("sqlite://{}?mode=rwc", folder.path().join("selftest.db").display());
            (url.parse()?, Some(folder))
        };
        let markets = vec![Market::built_in("imart", None).map_err(|error| error.to_string())?];
        let store = Store::connect(&url).await.map_err(|error| error.to_string())?;
        store.claim().await.map_err(|error| error.to_string())?;
        let markets = Arc::new(Markets::new(markets)?);
        let mut seats = vec![];
        for _ in 0..=WORKERS {
            let faults = Arc::new(Injector::default());
            let store = Store::connect(&url).await.map_err(|error| error.to_string())?.recorded(faults.clone());
            seats.push(Seat { store, faults, markets: Arc::clone(&markets), chain_id: Some(CHAIN) });
        }
        Ok(Self { markets, store, seats, _folder: folder })
    }

    /// Deletes all rows, and makes the checkpoints anew.
    pub async fn empty(&self) -> Result<(), StoreError> {
        for seat in &self.seats {
            seat.faults.arm(None);
        }
        self.store.empty().await?;
        self.store.prepare(&self.markets).await?;
        // From an import it is known of which chain the database is: whoever starts first is not misled by another one's node.
        self.store.record_import(Address::new([0; 32]), CHAIN, Version::default()).await
    }

    /// The connections in which nothing goes wrong.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    pub(super) fn seat(&self, number: usize) -> &Seat {
        &self.seats[number]
    }

    /// Closes all connections.
    pub async fn close(self) -> Result<(), StoreError> {
        for seat in self.seats {
            seat.store.close().await?;
        }
        self.store.close().await
    }
}
