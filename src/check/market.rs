//! The contract: handles, the fields that market files map, and whether history is still there.

use std::sync::Arc;

use super::Line;
use super::abi::{Abi, Leads, event_type};
use super::database::Stored;
use crate::chain::SeqNo;
use crate::market::{MappedField, Markets, Stream};
use crate::subject::{EventHandle, Nodes, Subject, SubjectError};

/// A line for each handle, one for the fields of its events, and one for the history of all.
pub(super) async fn check(nodes: &Arc<Nodes>, markets: &Markets, stored: &Stored) -> Vec<Line> {
    let mut lines = vec![];
    let (mut abi, mut history) = (Abi::default(), History::default());
    for stream in markets.streams() {
        let check = format!("handle {}", stream.observer);
        let subject = EventHandle::at(nodes, &stream.source);
        match subject.counter().await {
            Ok(counter) => {
                let next = stored.next(&stream.observer);
                lines.push(Line::ok(&check, format!("{} events, {next} of them executed", counter.next)));
                history.look(stream, &subject, next, counter.next).await;
            }
            Err(error) => lines.push(no_counter(&check, &error)),
        }
        lines.push(fields(&format!("fields {}", stream.observer), nodes, &mut abi, stream).await);
    }
    lines.push(history.line());
    lines
}

fn no_counter(check: &str, error: &SubjectError) -> Line {
    match error {
        SubjectError::Unreachable(message) if message.contains("without data.") => {
            Line::fail(check, message, "correct the field of the handle in the market file (MARKETS)")
        }
        error => Line::of_node(check, error),
    }
}

/// Whether the contract's events have what the market file maps.
async fn fields(check: &str, nodes: &Nodes, abi: &mut Abi, stream: &Stream) -> Line {
    const REMEDY: &str = "correct the market file (MARKETS): until then such events are parked";
    let Some(handle) = stream.source.handle() else { return Line::ok(check, "TODO") };
    let declared = match follow(nodes, abi, &handle.resource, std::slice::from_ref(&handle.field)).await {
        Ok(Leads::To(kind)) => kind,
        Ok(Leads::Nowhere(why)) => {
            return Line::fail(check, why, "correct handle and field of the market file (MARKETS)");
        }
        Ok(Leads::Unknown | Leads::Ask(_)) => {
            return Line::warn(check, "the node does not show the module", "compare the market file with the contract");
        }
        Err(error) => return Line::of_node(check, &error),
    };
    let Some(event) = event_type(&declared) else {
        let found = format!("the field {} is a {declared}, and no event handle", handle.field);
        return Line::fail(check, found, "correct handle and field of the market file (MARKETS)");
    };
    let (mut missing, mut optional) = (vec![], vec![]);
    let mapped = stream.mapped();
    for MappedField { name, paths, optional: may_miss, .. } in &mapped {
        let path = &paths[0];
        match follow(nodes, abi, event, path).await {
            Ok(Leads::Nowhere(why)) => {
                let lost = format!("{name} = {:?}: {why}", path.join("."));
                if *may_miss { optional.push(lost) } else { missing.push(lost) }
            }
            Ok(Leads::To(_) | Leads::Unknown | Leads::Ask(_)) => {}
            Err(error) => return Line::of_node(check, &error),
        }
    }
    let event = event.rsplit("::").next().unwrap_or(event);
    match (&missing[..], &optional[..]) {
        ([], []) => Line::ok(check, format!("all {} are in {event}", mapped.len())),
        ([], optional) => {
            Line::warn(check, optional.join("; "), "take what never is there out of the market file (MARKETS)")
        }
        (missing, _) => Line::fail(check, missing.join("; "), REMEDY),
    }
}

/// Asks for each module that the path leads through, once.
async fn follow(nodes: &Nodes, abi: &mut Abi, kind: &str, path: &[String]) -> Result<Leads, SubjectError> {
    loop {
        let Leads::Ask(module) = abi.follow(kind, path) else { return Ok(abi.follow(kind, path)) };
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

    fn line(self) -> Line {
        const CHECK: &str = "history";
        let Self { streams, lost, archived, unknown } = self;
        if !lost.is_empty() {
            let found = format!("the next events are pruned: {}", lost.join(", "));
            let remedy = "set NODE_ARCHIVE_URL to a node that has them, or NODE_URL to an archival node";
            return Line::fail(CHECK, found, remedy);
        }
        if !unknown.is_empty() {
            return Line::warn(CHECK, unknown.join("; "), "check again later");
        }
        match archived.len() {
            0 if streams == 0 => Line::warn(CHECK, "no handle could be read", "see the lines of the handles"),
            0 => Line::ok(CHECK, format!("all {streams} handles have their next event")),
            _ => Line::ok(CHECK, format!("the archive has the next events of {}", archived.join(", "))),
        }
    }
}
