//! The contract: handles, the fields that market files map, and whether history is still there.

use std::sync::Arc;

use super::abi::{Abi, Fit, Leads, event_type, fits, some};
use super::database::Stored;
use super::{Config, Line};
use crate::chain::{SeqNo, Source};
use crate::market::{MappedField, Market, Stream};
use crate::subject::{EventHandle, Nodes, Subject, SubjectError};

/// More than are asked for in passing.
const MANY_BLOCKS: u64 = 10_000;

/// A line for each handle, one for the fields of its events, and those for the history of all.
pub(super) async fn check(nodes: &Arc<Nodes>, config: &Config, stored: &Stored) -> Vec<Line> {
    let mut lines: Vec<_> = config.markets.iter().flat_map(|one| market(config, one)).collect();
    let (mut abi, mut history) = (Abi::default(), History::default());
    for stream in config.markets.streams() {
        if stream.source != Source::ModuleEvent {
            let history = (!config.scans(stream)).then_some(&mut history);
            lines.push(handle(nodes, stream, stored, history).await);
        }
        lines.push(fields(&format!("fields {}", stream.observer), nodes, &mut abi, stream).await);
    }
    lines.extend(history.line());
    for market in config.markets.iter() {
        lines.extend(transactions(nodes, config, market, stored).await);
    }
    lines
}

/// What is to be said of a market as a whole.
fn market(config: &Config, market: &Market) -> Vec<Line> {
    let check = format!("market {}", market.name);
    let mut lines = vec![];
    if let Some(why) = &market.unverified {
        let remedy = "compare it with the contract, and try it on real events with `event-worker market test`";
        lines.push(Line::warn(&check, format!("not verified; not known: {why}"), remedy));
    }
    let scanned = market.streams.iter().filter(|stream| config.scans(stream)).count();
    if scanned > 0 {
        let found = format!("{scanned} of its streams are looked for in transactions");
        lines.push(match market.first_version {
            Some(first) => Line::ok(&check, format!("{found}, from version {first} on")),
            None => Line::warn(
                &check,
                format!("{found}, from the first one on"),
                "set first_version in its file to where the contract was published (of a built-in market: in one with `like` and `address`), or begin with `run --from-version`",
            ),
        });
    }
    lines
}

/// Whether the transactions are still there from which the streams of `market` that are looked for there go on.
async fn transactions(nodes: &Nodes, config: &Config, market: &Market, stored: &Stored) -> Option<Line> {
    // The service of the stream has a history of its own.
    if config.stream.is_some() {
        return None;
    }
    let check = format!("transactions {}", market.name);
    let scanned = market.streams.iter().filter(|stream| config.scans(stream));
    let first = scanned.map(|stream| stored.scanned(&stream.observer).or(market.first_version)).min()?;
    let first = first.unwrap_or_default();
    let there = match nodes.ledger().await {
        Ok(ledger) if ledger.version < Some(first) => {
            let found = format!("go on at version {first}, which the node does not have yet");
            return Some(Line::warn(
                &check,
                found,
                "wait until it has caught up, or correct first_version in the market file",
            ));
        }
        Ok(_) => nodes.has_transaction(first).await,
        Err(error) => Err(error),
    };
    Some(match there {
        Ok(()) => Line::ok(&check, format!("there from version {first} on")),
        Err(error) => Line::of_node(&check, &error),
    })
}

async fn handle(nodes: &Arc<Nodes>, stream: &Stream, stored: &Stored, history: Option<&mut History>) -> Line {
    let check = format!("handle {}", stream.observer);
    let subject = EventHandle::at(nodes, &stream.source);
    match subject.counter().await {
        Ok(counter) => {
            let next = stored.next(&stream.observer);
            let found = format!("{} events, {next} of them executed", counter.next);
            let Some(history) = history else { return Line::ok(&check, found) };
            history.look(stream, &subject, next, counter.next).await;
            if stream.may_lack_time() && counter.next.get().saturating_sub(next.get()) > MANY_BLOCKS {
                return Line::warn(
                    &check,
                    format!("{found}; they may tell no time, and the block of each that does not takes a request"),
                    "SUBJECT=stream or SUBJECT=transactions brings the times with the events",
                );
            }
            Line::ok(&check, found)
        }
        Err(error) => no_counter(&check, &error),
    }
}

fn no_counter(check: &str, error: &SubjectError) -> Line {
    match error {
        // The node is asked again, as a proxy may have answered; but it is the file that errs.
        SubjectError::Unreachable(message) if message.contains("has no data.") => {
            let found = message.split("; ").next().unwrap_or(message);
            Line::fail(check, found, "correct handle and field in the market file (MARKETS)")
        }
        error => Line::of_node(check, error),
    }
}

/// Whether the contract's events have what the market file maps.
async fn fields(check: &str, nodes: &Nodes, abi: &mut Abi, stream: &Stream) -> Line {
    const REMEDY: &str = "correct the market file (MARKETS): until then such events are parked";
    const DOUBT: &str = "correct the market file (MARKETS), take what never is there out of it, or try real events with `event-worker market test`";
    let (events, mut doubtful) = match events(check, nodes, abi, stream).await {
        Ok(found) => found,
        Err(line) => return line,
    };
    let mapped = stream.mapped();
    let mut wrong = vec![];
    for field in &mapped {
        let mut sought = vec![];
        for event in &events {
            match seek(nodes, abi, event, field).await {
                Ok(found) => sought.push(found),
                Err(error) => return Line::of_node(check, &error),
            }
        }
        doubtful.extend(idle(field, &sought));
        for Sought { lost, doubt, .. } in sought {
            if field.optional { &mut doubtful } else { &mut wrong }.extend(lost);
            doubtful.extend(doubt);
        }
    }
    if let Some(at) = stream.currency_argument() {
        for event in &events {
            if let Err(error) = asked(nodes, abi, |abi| abi.declares(event)).await {
                return Line::of_node(check, &error);
            }
            wrong.extend(abi.lacks_argument(event, at));
        }
    }
    let names: Vec<_> = events.iter().map(|event| event.rsplit("::").next().unwrap_or(event)).collect();
    match (&wrong[..], &doubtful[..]) {
        ([], []) => Line::ok(check, format!("all {} are in {}", mapped.len(), names.join(", "))),
        ([], doubtful) => Line::warn(check, doubtful.join("; "), DOUBT),
        (wrong, _) => Line::fail(check, wrong.join("; "), REMEDY),
    }
}

/// The types of the stream's events, as the contract declares them, and what is doubtful about them; otherwise the line that
/// says what is wrong.
async fn events(
    check: &str,
    nodes: &Nodes,
    abi: &mut Abi,
    stream: &Stream,
) -> Result<(Vec<String>, Vec<String>), Line> {
    const REMEDY: &str = "correct handle, field and event of the market file (MARKETS)";
    let unknown =
        || Line::warn(check, "the node does not show the module", "compare the market file with the contract");
    let told = |leads| match leads {
        Ok(Leads::To(kind)) => Ok(kind),
        Ok(Leads::Nowhere(why)) => Err(Line::fail(check, why, REMEDY)),
        Ok(Leads::Unknown | Leads::Ask(_)) => Err(unknown()),
        Err(error) => Err(Line::of_node(check, &error)),
    };
    if let Source::Handle(handle) = &stream.source {
        let declared = told(follow(nodes, abi, &handle.resource, std::slice::from_ref(&handle.field)).await)?;
        let Some(event) = event_type(&declared) else {
            let found = format!("the field {} is a {declared}, and no event handle", handle.field);
            return Err(Line::fail(check, found, REMEDY));
        };
        let base = event.split('<').next().unwrap_or_default();
        // By the handle they are read all the same.
        let is_other = !stream.events.is_empty() && stream.events.iter().all(|named| **named != *base);
        let other = || format!("the events of {} are {event}, not {}", handle.field, stream.events.join(", "));
        let mut doubts: Vec<_> = is_other.then(other).into_iter().collect();
        for named in stream.events.iter().filter(|named| !is_other && ***named != *base) {
            match asked(nodes, abi, |abi| abi.declares(named)).await {
                Ok(Leads::Nowhere(why)) => doubts.push(why),
                Ok(Leads::To(_) | Leads::Unknown | Leads::Ask(_)) => {}
                Err(error) => return Err(Line::of_node(check, &error)),
            }
        }
        return Ok((vec![event.to_owned()], doubts));
    }
    if stream.events.is_empty() {
        let found = "the stream names no type of its events";
        return Err(Line::warn(check, found, "name it in the market file (MARKETS): event = \"::module::Struct\""));
    }
    let (mut events, mut doubts) = (vec![], vec![]);
    for event in &stream.events {
        let declared = asked(nodes, abi, |abi| abi.declares(event)).await;
        // Of several, one may be what the contract has.
        match declared {
            Ok(Leads::Nowhere(why)) if stream.events.len() > 1 => doubts.push(why),
            Ok(Leads::Unknown) if stream.events.len() > 1 => {
                doubts.push(format!("the node does not show the module of {event}"));
            }
            declared => events.push(told(declared)?),
        }
    }
    if events.is_empty() {
        return Err(Line::fail(check, doubts.join("; "), REMEDY));
    }
    Ok((events, doubts))
}

/// What is found where a field is looked for in events of one type.
#[derive(Default)]
struct Sought {
    /// Why it cannot be read, if so: none of its paths leads to something that fits.
    lost: Option<String>,
    /// What may go wrong.
    doubt: Option<String>,
    /// Of each path that leads nowhere, why.
    nowhere: Vec<Option<String>>,
}

async fn seek(nodes: &Nodes, abi: &mut Abi, event: &str, field: &MappedField) -> Result<Sought, SubjectError> {
    let (mut sought, mut is_there) = (Sought::default(), false);
    for path in &field.paths {
        let shown = format!("{} = {:?}", field.name, path.join("."));
        let leads = follow(nodes, abi, event, path).await?;
        if let Leads::Nowhere(why) = leads {
            sought.nowhere.push(Some(format!("{shown}: {why}")));
            continue;
        }
        sought.nowhere.push(None);
        // What is behind the first that is there would not be read.
        let is_first = !std::mem::replace(&mut is_there, true);
        let Leads::To(kind) = leads else { continue };
        if !is_first {
            continue;
        }
        match fits(field, &kind) {
            Fit::No => sought.lost = Some(format!("{shown}: a {kind} does not fit")),
            Fit::Spelt => sought.doubt = Some(format!("{shown}: a {kind} is read as whatever it spells")),
            Fit::Yes | Fit::Unknown if some(&kind) != kind && !field.optional && field.paths.len() == 1 => {
                sought.lost = Some(format!("{shown}: may be absent: add a `?`, another path, or a default"));
            }
            Fit::Yes | Fit::Unknown => {}
        }
    }
    if !is_there {
        let reasons: Vec<_> = sought.nowhere.iter().flatten().cloned().collect();
        sought.lost = Some(reasons.join(", "));
    }
    Ok(sought)
}

/// The alternatives to what is there that none of the events has. Streams share what a market says for all of them, so that
/// there only what is nearly the name of something counts.
fn idle(field: &MappedField, sought: &[Sought]) -> Vec<String> {
    const MEANT: &str = "did you mean `";
    let is_lost = sought.iter().all(|sought| sought.nowhere.iter().all(Option::is_some));
    let mut idle = vec![];
    for path in (0..field.paths.len()).filter(|_| !is_lost) {
        let reasons: Option<Vec<_>> = sought.iter().map(|sought| sought.nowhere.get(path)?.as_deref()).collect();
        let Some(reasons) = reasons else { continue };
        let nearly = reasons.iter().find(|reason| reason.contains(MEANT));
        idle.extend(nearly.or(reasons.first().filter(|_| !field.shared)).map(|reason| (*reason).to_owned()));
    }
    idle
}

/// Asks for each module that the path leads through, once.
async fn follow(nodes: &Nodes, abi: &mut Abi, kind: &str, path: &[String]) -> Result<Leads, SubjectError> {
    asked(nodes, abi, |abi| abi.follow(kind, path)).await
}

/// Asks for modules until the question needs no other.
async fn asked(nodes: &Nodes, abi: &mut Abi, question: impl Fn(&Abi) -> Leads) -> Result<Leads, SubjectError> {
    loop {
        let module = match question(abi) {
            Leads::Ask(module) => module,
            leads => return Ok(leads),
        };
        let found = match nodes.module(module.0, &module.1).await {
            Ok(found) => Some(found),
            Err(SubjectError::Missing { .. }) => None,
            Err(error) => return Err(error),
        };
        abi.0.insert(module, found);
    }
}

/// Whether what is to be executed next can still be read.
#[derive(Default)]
struct History {
    streams: usize,
    lost: Vec<String>,
    archived: Vec<String>,
    unknown: Vec<String>,
}

impl History {
    /// Looks as a feed does.
    async fn look(&mut self, stream: &Stream, subject: &EventHandle, next: SeqNo, counter: SeqNo) {
        self.streams += 1;
        if counter <= next {
            return;
        }
        let is_there = |page: &crate::subject::Page| page.events.first().is_some_and(|event| event.seq_no == next);
        match subject.page(next).await {
            Ok(page) if is_there(&page) => {}
            Ok(_) => match subject.archived_page(next).await {
                Ok(page) if is_there(&page) => self.archived.push(stream.observer.to_string()),
                _ => self.lost.push(format!("{} {next}", stream.observer)),
            },
            Err(SubjectError::Pruned(_)) => self.lost.push(format!("{} {next}", stream.observer)),
            Err(error) => self.unknown.push(format!("{}: {error}", stream.observer)),
        }
    }

    fn line(self) -> Option<Line> {
        const CHECK: &str = "history";
        let Self { streams, lost, archived, unknown } = self;
        if !lost.is_empty() {
            let found = format!("the next events are pruned: {}", lost.join(", "));
            let remedy = "set NODE_ARCHIVE_URL to a node that has them, or NODE_URL to an archival node";
            return Some(Line::fail(CHECK, found, remedy));
        }
        if !unknown.is_empty() {
            return Some(Line::warn(CHECK, unknown.join("; "), "check again later"));
        }
        // Nobody wants one, or its own line says that it could not be read.
        (streams > 0).then(|| match archived.len() {
            0 => Line::ok(CHECK, format!("all {streams} handles have their next event")),
            _ => Line::ok(CHECK, format!("the archive has the next events of {}", archived.join(", "))),
        })
    }
}
