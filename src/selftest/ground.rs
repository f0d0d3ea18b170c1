//! The database that cases run on, with the connections of all who work with it.

use std::sync::Arc;

use tempfile::TempDir;

use super::case::OPERATOR;
use super::chain::CHAIN;
use super::faults::Injector;
use crate::chain::{Address, ChainId, Version};
use crate::market::{Market, Markets};
use crate::state::{DatabaseUrl, Store, StoreError};

/// What a wrong market file has in the place of the right one's: it asks for what no sale and no accepted offer tells, and
/// takes prices of listings for small numbers. Of what it understands it makes the same rows.
const WRONG: [(&str, &str); 3] = [
    (r#"buyer = "buyer","#, r#"buyer = "bought_by","#),
    (r#"ends = "is_offer_end","#, r#"ends = "is_end","#),
    (
        r#"seller = "seller", price = "price", quantity"#,
        r#"seller = "seller", expires_in = "price", price = "price", quantity"#,
    ),
];

/// A database that is emptied before each case.
pub struct Ground {
    pub markets: Arc<Markets>,
    /// The same, from a wrong market file.
    pub wrong_markets: Arc<Markets>,
    /// For what nobody in a case does.
    store: Store,
    /// Of the workers, a rebuild, and an operator.
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
        let markets = |text: &str| {
            let market = Market::parse("imart", text, None).map_err(|error| error.to_string())?;
            Markets::new(vec![market]).map(Arc::new)
        };
        let right = include_str!("../../markets/imart.toml");
        let wrong = WRONG.iter().try_fold(right.to_owned(), |text, (from, to)| {
            let is_there = text.matches(from).count() == 1;
            is_there.then(|| text.replace(from, to)).ok_or_else(|| format!("the market file has not one {from}: a bug"))
        })?;
        let (markets, wrong_markets) = (markets(right)?, markets(&wrong)?);
        let store = Store::connect(&url).await.map_err(|error| error.to_string())?;
        store.claim().await.map_err(|error| error.to_string())?;
        let mut seats = vec![];
        for _ in 0..=OPERATOR {
            let faults = Arc::new(Injector::default());
            let store = Store::connect(&url).await.map_err(|error| error.to_string())?.recorded(faults.clone());
            seats.push(Seat { store, faults, markets: Arc::clone(&markets), chain_id: Some(CHAIN) });
        }
        Ok(Self { markets, wrong_markets, store, seats, _folder: folder })
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
