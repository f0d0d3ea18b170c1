//! Which subject each stream is read from.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Failure;
use crate::chain::{Source, Version};
use crate::config::ReadFrom;
use crate::market::{Market, Markets, Stream, confused};
use crate::state::{SET_START, Start, Store, Trouble};
use crate::subject::{
    AnySubject, EventHandles, Locate, Nodes, Numbers, ScannedStream, StreamService, SubjectError, Transactions,
};

/// Refuses streams that cannot be read in that way.
pub fn check(markets: &Markets, from: ReadFrom) -> Result<(), Failure> {
    let untold = markets.streams().find(|stream| is_scanned(stream, from) && stream.events.is_empty());
    if let Some(stream) = untold {
        return Err(Failure::Setting(format!(
            "SUBJECT: {} cannot be found in transactions, as its stream names no event type: add `event` to the market file, or read handles",
            stream.observer
        )));
    }
    let scanned = markets.streams().map(AsRef::as_ref).filter(|stream| is_scanned(stream, from));
    if let Some((one, two, event)) = confused(&scanned.collect::<Vec<_>>()) {
        return Err(Failure::Setting(format!(
            "SUBJECT: {} and {} cannot be told apart in transactions, as both have events of type {event} at {}: name both handles by `creation_number` in the market file, or read handles",
            one.observer,
            two.observer,
            one.source.account()
        )));
    }
    Ok(())
}

/// The markets whose transactions are read from the first one on, as neither their files nor `starts` say where to begin.
pub fn from_the_first<'a>(
    markets: &'a Markets,
    from: ReadFrom,
    starts: &'a Starts,
) -> impl Iterator<Item = &'a Market> {
    let is_unbounded = move |stream: &Arc<Stream>| is_scanned(stream, from) && !starts.contains_key(&*stream.observer);
    let is_unbounded =
        move |market: &&Market| market.first_version.is_none() && market.streams.iter().any(is_unbounded);
    markets.iter().filter(is_unbounded)
}

/// Where streams begin that were told to begin elsewhere than their file says, by observer.
pub type Starts = BTreeMap<String, Version>;

/// Where streams begin, by `--from-version` now or in an earlier run. Only streams that we number can: the chain numbers the
/// events of a handle from 0, and that none of them is missing is proved by these numbers.
pub fn starts(
    known: &BTreeMap<String, Start>,
    markets: &Markets,
    from_version: Option<Version>,
) -> Result<Starts, Failure> {
    let mut starts: Starts =
        known.iter().filter_map(|(observer, start)| Some((observer.clone(), start.set?))).collect();
    let Some(version) = from_version else { return Ok(starts) };
    let is_new = |stream: &Stream| known.get(&*stream.observer).is_none_or(|start| !start.has_events);
    // The same command may be given again.
    let is_there = |stream: &Stream| known.get(&*stream.observer).is_some_and(|start| start.set == Some(version));
    let (ours, others): (Vec<_>, Vec<_>) = markets
        .streams()
        .partition(|stream| stream.source == Source::ModuleEvent && (is_new(stream) || is_there(stream)));
    if ours.is_empty() {
        return Err(Failure::Setting(format!(
            "--from-version {version}: nothing begins there: it is for module events of which none has been executed; handles are read from their first event on, and what has been executed goes on where it stands"
        )));
    }
    for stream in others {
        let why = if is_new(stream) { "the events of a handle begin with the first" } else { "it has events already" };
        tracing::info!("{} does not begin at version {version}: {why}", stream.observer);
    }
    starts.extend(ours.iter().map(|stream| (stream.observer.to_string(), version)));
    Ok(starts)
}

/// How each stream of `markets` is read: what is scanned, from `service` if there is one, and on from where `store` has it.
pub fn subjects(
    nodes: &Arc<Nodes>,
    markets: &Arc<Markets>,
    store: &Store,
    from: ReadFrom,
    service: Option<StreamService>,
    starts: Starts,
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
        let own = markets.stream(&stream.observer).cloned();
        let numbers = if stream.source == Source::ModuleEvent { Numbers::Ours } else { Numbers::Chain };
        let market = markets.iter().find(|market| market.name == stream.market);
        let set = starts.get(&*stream.observer).copied();
        let first = set.or_else(|| market.and_then(|market| market.first_version)).unwrap_or_default();
        let belongs = Box::new(move |event: &_| own.as_ref().is_some_and(|stream| stream.has(event)));
        let locate = locate(&store, &stream.observer, &definition(stream, first, set.is_some()), numbers);
        AnySubject::Scanned(ScannedStream::new(Arc::clone(&transactions), belongs, numbers, first, locate))
    }
}

fn is_scanned(stream: &Stream, from: ReadFrom) -> bool {
    stream.source == Source::ModuleEvent || from != ReadFrom::Handles
}

/// What decides which events are found, and so the numbers of those that we number.
fn definition(stream: &Stream, first: Version, is_set: bool) -> String {
    let mut types: Vec<_> = stream.events.iter().map(AsRef::as_ref).collect();
    types.sort_unstable();
    format!("{} from version {first}{}", types.join(", "), if is_set { SET_START } else { " on" })
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
