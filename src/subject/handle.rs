//! Event handles, read page by page from a node's REST API.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::answer::{Answer, Handle, handles};
use super::node::Question;
use super::page::PageLimit;
use super::{Counter, Ledger, Nodes, Page, Resource, Subject, SubjectError};
use crate::chain::{self, Address, EventOrder, SeqNo, Source, Timestamp, Version};

/// The event handles that a worker reads: those that one resource holds are looked at together.
pub struct EventHandles {
    nodes: Arc<Nodes>,
    holders: Mutex<HashMap<(Address, String), Arc<Holder>>>,
}

/// The stream of one event handle.
pub struct EventHandle {
    nodes: Arc<Nodes>,
    account: Address,
    place: Place,
    limit: PageLimit,
    /// What the events' guids must have, once the resource has told.
    creation_number: OnceLock<u64>,
}

/// How a node is asked for a handle.
enum Place {
    /// By the field of a resource.
    Field { holder: Arc<Holder>, field: String },
    /// By its number; the resource that holds it, and where in it, must be found for the counter.
    Number { number: u64, found: OnceCell<(Arc<Holder>, String)> },
    /// Not at all.
    Nowhere,
}

/// A resource with event handles.
struct Holder {
    nodes: Arc<Nodes>,
    account: Address,
    resource: String,
    /// Held by whoever is about to ask; the others that wait find the answer here.
    last: tokio::sync::Mutex<Option<Look>>,
}

/// A look at a resource, and when it was.
struct Look {
    at: Instant,
    seen: Result<Seen, SubjectError>,
}

/// Its handles, and the ledger that they were read from.
#[derive(Clone)]
struct Seen {
    handles: Arc<HashMap<String, Handle>>,
    ledger: Ledger,
}

impl EventHandles {
    /// Handles of these nodes.
    #[must_use]
    pub fn new(nodes: Arc<Nodes>) -> Self {
        Self { nodes, holders: Mutex::default() }
    }

    /// The handle in `field` of the resource of that type at `account`.
    #[must_use]
    pub fn handle(&self, account: Address, resource: &str, field: &str) -> EventHandle {
        let mut holders = self.holders.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Holder::new(Arc::clone(&self.nodes), account, resource);
        let holder = Arc::clone(holders.entry((account, resource.to_owned())).or_insert_with(new));
        EventHandle::of(Arc::clone(&self.nodes), account, Place::Field { holder, field: field.to_owned() })
    }

    /// The handle of a stream's source.
    #[must_use]
    pub fn at(&self, source: &Source) -> EventHandle {
        match source {
            Source::Handle(chain::Handle { account, resource, field }) => self.handle(*account, resource, field),
            Source::CreationNumber { .. } | Source::ModuleEvent => EventHandle::at(&self.nodes, source),
        }
    }
}

impl Holder {
    fn new(nodes: Arc<Nodes>, account: Address, resource: &str) -> Arc<Self> {
        Arc::new(Self { nodes, account, resource: encoded(resource), last: tokio::sync::Mutex::default() })
    }

    async fn look(&self) -> Result<Seen, SubjectError> {
        let path = format!("/accounts/{}/resource/{}", self.account, self.resource);
        let (handles, ledger) = self.nodes.ask(Question::get(&path), Answer::handles).await.map_err(no_handle)?;
        Ok(Seen { handles: Arc::new(handles), ledger })
    }

    /// Waits for the next look, `interval` after the last one: whoever comes first takes it, for all who wait by then.
    async fn next_look(&self, interval: Duration) -> Result<Seen, SubjectError> {
        let came = Instant::now();
        let mut last = self.last.lock().await;
        let due = match &*last {
            Some(look) if look.at >= came => return look.seen.clone(),
            Some(look) if look.at + interval > came => look.at + interval,
            Some(_) | None => came + interval,
        };
        tokio::time::sleep_until(due).await;
        let at = Instant::now();
        let seen = self.look().await;
        *last = Some(Look { at, seen: seen.clone() });
        seen
    }
}

impl EventHandle {
    /// The handle in `field` of the resource of that type at `account`, looked at alone.
    #[must_use]
    pub fn new(nodes: Arc<Nodes>, account: Address, resource: &str, field: &str) -> Self {
        let holder = Holder::new(Arc::clone(&nodes), account, resource);
        Self::of(nodes, account, Place::Field { holder, field: field.to_owned() })
    }

    /// The handle of a stream's source, looked at alone. Where no handle is known, whatever is asked is refused.
    #[must_use]
    pub fn at(nodes: &Arc<Nodes>, source: &Source) -> Self {
        match source {
            Source::Handle(chain::Handle { account, resource, field }) => {
                Self::new(Arc::clone(nodes), *account, resource, field)
            }
            Source::CreationNumber { account, number } => {
                let handle =
                    Self::of(Arc::clone(nodes), *account, Place::Number { number: *number, found: OnceCell::new() });
                let _ = handle.creation_number.set(*number);
                handle
            }
            Source::ModuleEvent => Self::of(Arc::clone(nodes), source.account(), Place::Nowhere),
        }
    }

    fn of(nodes: Arc<Nodes>, account: Address, place: Place) -> Self {
        let (limit, creation_number) = (PageLimit::default(), OnceLock::new());
        Self { nodes, account, place, limit, creation_number }
    }

    /// The resource that holds it, and where in it.
    async fn holder(&self) -> Result<(&Arc<Holder>, &str), SubjectError> {
        match &self.place {
            Place::Field { holder, field } => Ok((holder, field)),
            Place::Number { number, found } => {
                let (holder, field) = found.get_or_try_init(|| self.find(*number)).await?;
                Ok((holder, field))
            }
            Place::Nowhere => Err(nowhere()),
        }
    }

    /// Looks for the resource that holds the handle of that number.
    async fn find(&self, number: u64) -> Result<(Arc<Holder>, String), SubjectError> {
        let (resources, ledger) = self.nodes.resources(self.account).await?;
        for Resource { kind, data } in &resources {
            let handles = handles(data);
            let is_it = |handle: &Handle| handle.creation_number == Some(number);
            if let Some((field, _)) = handles.into_iter().find(|(_, handle)| is_it(handle)) {
                return Ok((Holder::new(Arc::clone(&self.nodes), self.account, kind), field));
            }
        }
        let message = format!("no resource of {} holds an event handle of creation number {number}", self.account);
        Err(no_handle(SubjectError::Missing { message, ledger }))
    }

    async fn read(&self, from: SeqNo, archived: bool) -> Result<Page, SubjectError> {
        let handle = match &self.place {
            Place::Field { holder, field } => format!("{}/{field}", holder.resource),
            Place::Number { number, .. } => number.to_string(),
            Place::Nowhere => return Err(nowhere()),
        };
        loop {
            let limit = self.limit.get();
            // Without `start` a node answers the latest events.
            let path = format!("/accounts/{}/events/{handle}?start={from}&limit={limit}", self.account);
            let (question, read) = (Question::get(&path), |answer: &Answer| self.read_page(answer, limit));
            let asked = if archived {
                self.nodes.ask_archived(question, read).await
            } else {
                self.nodes.ask(question, read).await
            };
            match asked {
                Ok((page, ledger)) => {
                    self.limit.fits(limit);
                    return Ok(Page { ledger, ..page });
                }
                Err(SubjectError::TooLong(_)) if self.limit.is_too_long(limit) => {}
                Err(error) => return Err(no_handle(error)),
            }
        }
    }

    /// A page is of this handle alone, or it is none.
    fn read_page(&self, answer: &Answer, limit: u16) -> Result<Page, String> {
        let events = answer.events()?;
        let number = self.creation_number.get().copied().or(events.first().map(|event| event.creation_number));
        for event in &events {
            if event.account_address != self.account {
                return Err(format!("answered an event of another account, {}", event.account_address));
            }
            if Some(event.creation_number) != number {
                return Err(format!(
                    "answered an event of another handle, of creation number {} instead of {}",
                    event.creation_number,
                    number.unwrap_or_default()
                ));
            }
        }
        Ok(Page { full: events.len() >= usize::from(limit), ledger: answer.ledger(), scanned: None, events })
    }

    fn counter_in(&self, seen: &Seen, field: &str) -> Result<Counter, SubjectError> {
        let Some(handle) = seen.handles.get(field) else {
            let names = self.nodes.names();
            return Err(SubjectError::Unreachable(format!(
                "{names}: the resource has no data.{field}.counter; check the market's handles (MARKETS)"
            )));
        };
        if let Some(number) = handle.creation_number {
            let _ = self.creation_number.set(number);
        }
        Ok(Counter { next: handle.next, ledger: seen.ledger })
    }
}

impl Subject for EventHandle {
    async fn page(&self, from: SeqNo) -> Result<Page, SubjectError> {
        self.read(from, false).await
    }

    async fn archived_page(&self, from: SeqNo) -> Result<Page, SubjectError> {
        self.read(from, true).await
    }

    async fn order(&self, version: Version) -> Result<Option<EventOrder>, SubjectError> {
        self.nodes.order(version).await
    }

    async fn times(&self, versions: &BTreeSet<Version>) -> Result<BTreeMap<Version, Timestamp>, SubjectError> {
        self.nodes.times(versions).await
    }

    async fn counter(&self) -> Result<Counter, SubjectError> {
        let (holder, field) = self.holder().await?;
        self.counter_in(&holder.look().await?, field)
    }

    async fn next_counter(&self, interval: Duration) -> Result<Counter, SubjectError> {
        let (holder, field) = self.holder().await?;
        self.counter_in(&holder.next_look(interval).await?, field)
    }
}

fn nowhere() -> SubjectError {
    SubjectError::Refused("events of no known handle are found in transactions only".to_owned())
}

/// A handle that is not there is a wrong setting, however often one asks; unless the node does not know everything yet.
fn no_handle(error: SubjectError) -> SubjectError {
    match error {
        SubjectError::Missing { message, ledger } if ledger.behind => {
            SubjectError::Behind(format!("{message}; the node's ledger is behind what it has shown before"))
        }
        SubjectError::Missing { message, .. } => SubjectError::Refused(format!(
            "{message}; check the market's address and handles (MARKETS), and that NODE_URL is of the right chain"
        )),
        other => other,
    }
}

/// A type as part of a path: generics bring `<`, `>`, `,` and spaces.
pub(super) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b":_-.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generics_are_percent_encoded() {
        assert_eq!(encoded("0x1::m::S<0x1::a::B, u64>"), "0x1::m::S%3C0x1::a::B%2C%20u64%3E");
    }
}
