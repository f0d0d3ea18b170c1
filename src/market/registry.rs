//! All streams of the configured markets, by observer.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Market, Stream, generics};
use crate::chain::{ChainId, RawEvent, Source};

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

    /// The chain that they are on, as far as their files say: the market that says so, and the chain.
    pub fn chains(&self) -> impl Iterator<Item = (&Market, ChainId)> {
        self.markets.iter().filter_map(|market| market.chain.map(|chain| (market, chain)))
    }

    /// All streams, in the order of the markets' files.
    pub fn streams(&self) -> impl Iterator<Item = &Arc<Stream>> {
        self.markets.iter().flat_map(|market| &market.streams)
    }
}

impl Market {
    /// The stream that an event is of, as far as its type and its handle's number tell.
    #[must_use]
    pub fn stream_of(&self, event: &RawEvent) -> Option<&Arc<Stream>> {
        self.streams.iter().find(|stream| stream.has(event))
    }

    /// The streams that are read by no handle.
    pub fn of_module_events(&self) -> impl Iterator<Item = &Arc<Stream>> {
        self.streams.iter().filter(|stream| stream.source == Source::ModuleEvent)
    }
}

/// Two of `streams` that would both take events for theirs, of this type, where these are told by their types: of two handles of
/// one account, unless both are known by their numbers.
#[must_use]
pub fn confused<'s>(streams: &[&'s Stream]) -> Option<(&'s Stream, &'s Stream, &'s str)> {
    let event = |one: &'s Stream, two: &Stream| {
        let (a, b) = (&one.source, &two.source);
        let is_alike = a != b && a.account() == b.account() && (a.handle().is_some() || b.handle().is_some());
        one.events.iter().find(|event| is_alike && two.events.contains(event))
    };
    let pairs = (1..).zip(streams).flat_map(|(next, one)| streams[next..].iter().map(|two| (*one, *two)));
    pairs.into_iter().find_map(|(one, two)| Some((one, two, &**event(one, two)?)))
}

impl Stream {
    /// The half of the observer's name that is its own.
    #[must_use]
    pub fn name(&self) -> &str {
        self.observer.split_once(':').map_or(&self.observer, |(_, name)| name)
    }

    /// Whether the event is one of this stream: by the number of its handle, or by its type; of a handle that is known, only
    /// where the guid does not say that it is somebody else's.
    #[must_use]
    pub fn has(&self, event: &RawEvent) -> bool {
        let is_of_type = || self.events.iter().any(|kind| **kind == *generics::base(&event.event_type));
        let nobody = Source::ModuleEvent.account();
        match &self.source {
            Source::Handle(handle) => [handle.account, nobody].contains(&event.account_address) && is_of_type(),
            Source::CreationNumber { account, number } => {
                (event.account_address, event.creation_number) == (*account, *number)
                    || (event.account_address == nobody && is_of_type())
            }
            Source::ModuleEvent => is_of_type(),
        }
    }
}
