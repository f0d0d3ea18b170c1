//! Which subject each stream is read from.

use std::sync::Arc;

use super::Failure;
use crate::chain::Source;
use crate::config::ReadFrom;
use crate::market::{Markets, Stream};
use crate::state::Store;
use crate::subject::{AnySubject, EventHandles, Locate, Nodes, Numbers, ScannedStream, SubjectError, Transactions};

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

/// How each stream of `markets` is read. What is scanned goes on from where `store` has it.
pub fn subjects(
    nodes: &Arc<Nodes>,
    markets: &Arc<Markets>,
    store: &Store,
    from: ReadFrom,
) -> impl Fn(&Stream) -> AnySubject + use<> {
    let handles = EventHandles::new(Arc::clone(nodes));
    let scanned = markets.streams().filter(|stream| is_scanned(stream, from));
    let types: Vec<_> = scanned.flat_map(|stream| stream.events.iter().cloned()).collect();
    let transactions = Arc::new(Transactions::new(Arc::clone(nodes), types));
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
        let locate = locate(&store, &stream.observer);
        AnySubject::Scanned(ScannedStream::new(Arc::clone(&transactions), belongs, numbers, first, locate))
    }
}

fn is_scanned(stream: &Stream, from: ReadFrom) -> bool {
    stream.source == Source::ModuleEvent || from == ReadFrom::Transactions
}

fn locate(store: &Store, observer: &Arc<str>) -> Locate {
    let (store, observer) = (store.clone(), Arc::clone(observer));
    Box::new(move || {
        let (store, observer) = (store.clone(), Arc::clone(&observer));
        Box::pin(async move {
            let place = store.place(&observer).await;
            place.map_err(|error| {
                SubjectError::Unreachable(format!("the database, asked for where {observer} stands: {error}"))
            })
        })
    })
}
