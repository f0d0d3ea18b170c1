//! An event handle, read page by page from a node's REST API.

use std::fmt::Write;
use std::sync::Arc;

use super::answer::Answer;
use super::node::Question;
use super::{Counter, Nodes, Page, Subject, SubjectError};
use crate::chain::{Address, SeqNo};

/// As many as a node gives at once; more is clamped in silence.
const PAGE: usize = 100;

/// The stream of one event handle.
pub struct EventHandle {
    nodes: Arc<Nodes>,
    account: Address,
    resource: String,
    field: String,
}

impl EventHandle {
    /// The handle in `field` of the resource of that type at `account`.
    #[must_use]
    pub fn new(nodes: Arc<Nodes>, account: Address, resource: &str, field: &str) -> Self {
        Self { nodes, account, resource: encoded(resource), field: field.to_owned() }
    }

    /// Without `start` a node answers the latest events.
    fn path(&self, from: SeqNo) -> String {
        let Self { account, resource, field, .. } = self;
        format!("/accounts/{account}/events/{resource}/{field}?start={from}&limit={PAGE}")
    }

    fn read_page(&self, answer: &Answer) -> Result<Page, String> {
        let events = answer.events()?;
        match events.iter().find(|event| event.account_address != self.account) {
            Some(other) => Err(format!("answered an event of another account, {}", other.account_address)),
            None => Ok(Page { full: events.len() >= PAGE, ledger: answer.ledger(), events }),
        }
    }
}

impl Subject for EventHandle {
    async fn page(&self, from: SeqNo) -> Result<Page, SubjectError> {
        let asked = self.nodes.ask(Question::get(&self.path(from)), |answer| self.read_page(answer)).await;
        let (page, ledger) = asked.map_err(no_handle)?;
        Ok(Page { ledger, ..page })
    }

    async fn archived_page(&self, from: SeqNo) -> Result<Page, SubjectError> {
        let asked = self.nodes.ask_archived(Question::get(&self.path(from)), |answer| self.read_page(answer)).await;
        let (page, ledger) = asked.map_err(no_handle)?;
        Ok(Page { ledger, ..page })
    }

    async fn counter(&self) -> Result<Counter, SubjectError> {
        let path = format!("/accounts/{}/resource/{}", self.account, self.resource);
        let asked = self.nodes.ask(Question::get(&path), |answer| answer.counter(&self.field)).await;
        let (next, ledger) = asked.map_err(no_handle)?;
        Ok(Counter { next, ledger })
    }
}

/// A handle that is not there is a wrong setting, however often one asks.
fn no_handle(error: SubjectError) -> SubjectError {
    match error {
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
