//! The database that cases run on, with the connections of all who work with it.

use std::sync::Arc;

use tempfile::TempDir;

use super::case::WORKERS;
use super::faults::Injector;
use crate::market::{Market, Markets};
use crate::state::{DatabaseUrl, Store, StoreError};

/// A database that is emptied before each case.
pub struct Ground {
    pub markets: Arc<Markets>,
    /// For what nobody in a case does.
    store: Store,
    /// Those of the workers, and of a rebuild.
    seats: Vec<(Store, Arc<Injector>)>,
    _folder: Option<TempDir>,
}

impl Ground {
    /// The database of `url`, which must be empty or a former ground; else a temporary one.
    pub async fn open(url: Option<DatabaseUrl>) -> Result<Self, String> {
        let told = |error: StoreError| error.to_string();
        let (url, folder) = match url {
            Some(url) => (url, None),
            None => {
                let folder = tempfile::Builder::new().prefix("event-worker-selftest-").tempdir();
                let folder = folder.map_err(|error| format!("no temporary folder can be made (TMPDIR): {error}"))?;
                let url = format!("sqlite://{}?mode=rwc", folder.path().join("selftest.db").display());
                (url.parse()?, Some(folder))
            }
        };
        let markets = vec![Market::built_in("imart", None).map_err(|error| error.to_string())?];
        let store = Store::connect(&url).await.map_err(told)?;
        store.claim().await.map_err(told)?;
        let mut seats = vec![];
        for _ in 0..=WORKERS {
            let faults = Arc::new(Injector::default());
            seats.push((Store::connect(&url).await.map_err(told)?.recorded(faults.clone()), faults));
        }
        Ok(Self { markets: Arc::new(Markets::new(markets)?), store, seats, _folder: folder })
    }

    /// Deletes all rows, and makes the checkpoints anew.
    pub async fn empty(&self) -> Result<(), StoreError> {
        for (_, faults) in &self.seats {
            faults.arm(None);
        }
        self.store.empty().await?;
        self.store.prepare(&self.markets).await
    }

    /// The connections in which nothing goes wrong.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    pub(super) fn seat(&self, number: usize) -> (Store, Arc<Injector>) {
        let (store, faults) = &self.seats[number];
        (store.clone(), Arc::clone(faults))
    }

    /// Closes all connections.
    pub async fn close(self) -> Result<(), StoreError> {
        for (store, _) in self.seats {
            store.close().await?;
        }
        self.store.close().await
    }
}
