//! All streams of the configured markets, by observer.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Market, Stream};

/// The configured markets.
#[derive(Debug, Clone)]
pub struct Markets {
    markets: Vec<Market>,
    streams: BTreeMap<Arc<str>, Arc<Stream>>,
}

impl Markets {
    /// These markets, whose names must differ; else the name that is there twice.
    pub fn new(markets: Vec<Market>) -> Result<Self, String> {
        for (at, market) in markets.iter().enumerate() {
            if markets[..at].iter().any(|other| other.name == market.name) {
                return Err(market.name.to_string());
            }
        }
        let streams = markets.iter().flat_map(|market| &market.streams);
        let streams = streams.map(|stream| (Arc::clone(&stream.observer), Arc::clone(stream))).collect();
        Ok(Self { markets, streams })
    }

    /// The stream that `observer` executes.
    #[must_use]
    pub fn stream(&self, observer: &str) -> Option<&Arc<Stream>> {
        self.streams.get(observer)
    }

    /// The markets, in the order of the setting.
    pub fn iter(&self) -> impl Iterator<Item = &Market> {
        self.markets.iter()
    }

    /// All streams, in the order of the markets' files.
    pub fn streams(&self) -> impl Iterator<Item = &Arc<Stream>> {
        self.markets.iter().flat_map(|market| &market.streams)
    }
}
