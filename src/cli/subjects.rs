//! Which subject each stream is read from.

use std::sync::Arc;

use super::Failure;
use crate::chain::{Source, Version};
use crate::config::ReadFrom;
use crate::market::{Market, Markets, Stream};
use crate::state::{Store, Trouble};
use crate::subject::{
    AnySubject, EventHandles, Locate, Nodes, Numbers, ScannedStream, StreamService, SubjectError, Transactions,
};

/// Refuses streams that cannot be read in that way.
pub fn check(markets: &Markets, from: ReadFrom) -> Result<(), Failure> {
    let untold = markets.streams().find(|stream| is_scanned(stream, from) && stream.events.is_empty());
    match untold {
        None => Ok(()),
        Some(stream) => Err(Failure::Setting(format!(
            "SUBJECT: {} cannot be found in transactions, as its stream names no event type: add `event` to the market file, or read handles",
            stream.observer
        ))),
    }
}

/// The markets whose transactions are read from the first one on, as their files do not say where to begin.
pub fn from_the_first(markets: &Markets, from: ReadFrom) -> impl Iterator<Item = &Market> {
    let is_unbounded = move |market: &&Market| {
        market.first_version.is_none() && market.streams.iter().any(|stream| is_scanned(stream, from))
    };
    markets.iter().filter(is_unbounded)
}

/// How each stream of `markets` is read: what is scanned, from `service` if there is one, and on from where `store` has it.
pub fn subjects(
    nodes: &Arc<Nodes>,
    markets: &Arc<Markets>,
    store: &Store,
    from: ReadFrom,
    service: Option<StreamService>,
) -> impl Fn(&Stream) -> AnySubject + use<> {
    let handles = EventHandles::new(Arc::clone(nodes));
    let scanned = markets.streams().filter(|stream| is_scanned(stream, from));
    let types: Vec<_> = scanned.flat_map(|stream| stream.events.iter().cloned()).collect();
    let transactions = Arc::new(match service {
        None => Transactions::of_nodes(Arc::clone(nodes), types),
        Some(service) => Transactions::of_stream(service, Arc::clone(nodes), types),
    });
    let (markets, store) = (Arc::clone(markets), store.clone());
    move |stream| {
        if !is_scanned(stream, from) {
            return AnySubject::Handle(handles.at(&stream.source));
        }
        let numbers = if stream.source == Source::ModuleEvent { Numbers::Ours } else { Numbers::Chain };
        let market = markets.iter().find(|market| market.name == stream.market);
        let first = market.and_then(|market| market.first_version).unwrap_or_default();
        let own = markets.stream(&stream.observer).cloned();
        let belongs = Box::new(move |event: &_| own.as_ref().is_some_and(|stream| stream.has(event)));
        let locate = locate(&store, &stream.observer, &definition(stream, first), numbers);
        AnySubject::Scanned(ScannedStream::new(Arc::clone(&transactions), belongs, numbers, first, locate))
    }
}

fn is_scanned(stream: &Stream, from: ReadFrom) -> bool {
    stream.source == Source::ModuleEvent || from != ReadFrom::Handles
}

/// What decides which events are found, and so the numbers of those that we number.
fn definition(stream: &Stream, first: Version) -> String {
    let mut types: Vec<_> = stream.events.iter().map(AsRef::as_ref).collect();
    types.sort_unstable();
    format!("{} from version {first} on", types.join(", "))
}

fn locate(store: &Store, observer: &Arc<str>, definition: &str, numbers: Numbers) -> Locate {
    let (store, observer, definition) = (store.clone(), Arc::clone(observer), Arc::<str>::from(definition));
    Box::new(move || {
        let (store, observer, definition) = (store.clone(), Arc::clone(&observer), Arc::clone(&definition));
        Box::pin(async move {
            let place = store.place(&observer, &definition, numbers).await;
            place.map_err(|error| match error.trouble() {
                Trouble::Lasting => SubjectError::Refused(error.to_string()),
                _ => SubjectError::Unreachable(format!("the database, asked for where {observer} stands: {error}")),
            })
        })
    })
}
