//! Accounts: who there is, what they hold, and what they sent.

use std::ops::Deref;

use serde_json::{Value, json};

use super::address::{self, Address};
use super::answer::{Page, Refusal};
use super::creator::Creator;
use super::fault::PrunedForm;
use super::gallery::Gallery;
use super::http::View;
use super::market::Member;
use super::query::Query;
use super::state::{self, Resource, handle};
use super::stream::Stream;
use super::{CONTRACT, v1};

/// Resources of a page where the request does not say; more are not given.
const MOST_RESOURCES: u16 = 9_999;
/// A contract's own handles come after the account's two, and two more.
const CONTRACT_NUMBERS: u64 = 12;

/// An account that there is.
pub enum Somebody<'a> {
    /// The one big creator.
    Gallery(&'a Gallery),
    /// One of the market.
    Member(Member<'a>),
}

impl<'a> Deref for Somebody<'a> {
    type Target = dyn Creator + 'a;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Gallery(gallery) => *gallery,
            Self::Member(member) => member,
        }
    }
}

impl View<'_> {
    /// Whoever sends transactions, creators or not.
    pub fn creator(&self, address: &Address) -> Option<Somebody<'_>> {
        if self.gallery.exists() && *address == self.gallery.address() {
            return Some(Somebody::Gallery(self.gallery));
        }
        Member::find(self.ledger, address).map(Somebody::Member)
    }

    /// `/accounts/{address}`: an account that does not exist looks like one that has never sent anything.
    pub fn account(&self, address: &str) -> String {
        let address = address::bytes(address);
        let sent = self.creator(&address).map_or(0, |creator| creator.sent(self.head.version));
        format!(r#"{{"sequence_number":"{sent}","authentication_key":"{}"}}"#, address::padded(&address))
    }

    /// `/accounts/{address}/resource/{tag}`
    pub fn resource(&self, address: &str, tag: &str, query: &Query<'_>) -> Result<String, Refusal> {
        let version = self.asked_version(query)?;
        let found = self.find_resource(address, tag, version);
        found.map(|resource| resource.json().to_string()).ok_or_else(|| no_resource(address, tag, version))
    }

    /// `/accounts/{address}/resources`
    pub fn resources(&self, address: &str, query: &Query<'_>) -> Result<Page, Refusal> {
        let version = self.asked_version(query)?;
        let limit = query.limit(MOST_RESOURCES, MOST_RESOURCES)?;
        let all = self.resources_of(address, version);
        let first = match query.text("start") {
            Some(cursor) => all.iter().position(|resource| state_key(&resource.tag) == cursor).ok_or_else(|| {
                Refusal::invalid(&format!("Given start value ({cursor}) is no state key of this account"))
            })?,
            None => 0,
        };
        let cursor = all.get(first + limit).map(|next| state_key(&next.tag));
        let page: Value = all.iter().skip(first).take(limit).map(Resource::json).collect();
        Ok(Page { body: page.to_string(), cursor })
    }

    /// `/accounts/{address}/transactions`
    pub fn transactions_of(&self, address: &str, query: &Query<'_>) -> Result<String, Refusal> {
        let (start, limit) = (query.u64("start")?, query.page_limit()?);
        let Some(creator) = self.creator(&address::bytes(address)) else { return Ok("[]".to_owned()) };
        let counter = creator.sent(self.head.version);
        let gone = self.head.oldest.checked_sub(1).map_or(0, |last| creator.sent(last));
        let first = match start {
            Some(start) => start,
            None => counter.saturating_sub(limit as u64).max(gone),
        };
        if let Some((form, oldest)) = self.faults.pruned().filter(|_| first < gone) {
            let message = format!("Ledger version({}) has been pruned", creator.sent_at(first));
            match form {
                PrunedForm::Gone => return Err(Refusal::gone("version_pruned", &message, oldest)),
                PrunedForm::Internal => {
                    return Err(Refusal::internal(&format!("Failed to get account transactions: {message}")));
                }
                PrunedForm::Empty => {}
            }
        }
        let numbers = (first.max(gone)..counter).take(limit);
        let page: Value = numbers.map(|number| self.transaction(creator.sent_at(number))).collect();
        Ok(page.to_string())
    }

    /// The version that the request is about: the last one, unless it says.
    pub fn asked_version(&self, query: &Query<'_>) -> Result<u64, Refusal> {
        let version = query.u64("ledger_version")?.unwrap_or(self.head.version);
        if version > self.head.version {
            let message = format!("Ledger version not found by Ledger version({version})");
            return Err(Refusal::not_found("version_not_found", &message));
        }
        self.refuse_pruned("version_pruned", version)?;
        Ok(version)
    }

    /// One resource of whatever is at an address.
    pub fn find_resource(&self, address: &str, tag: &str, version: u64) -> Option<Resource> {
        self.resources_of(address, version).into_iter().find(|resource| resource.tag == tag)
    }

    fn resources_of(&self, address: &str, version: u64) -> Vec<Resource> {
        if address == CONTRACT {
            return self.contract(version);
        }
        let address = address::bytes(address);
        if let Some(creator) = self.creator(&address).filter(|creator| creator.sent(version) > 0) {
            let sent = creator.sent(version);
            let mut all = vec![state::account(&address, sent, v1::NUMBERS), state::coins(&address, sent)];
            let (collections, tokens) = creator.told(version);
            all.extend(creator.has_tables(version).then(|| v1::collections(&address, collections, tokens)));
            return all;
        }
        self.gallery.object(&address, version).unwrap_or_default()
    }

    /// The market's contract: its account, and what holds its handles.
    fn contract(&self, version: u64) -> Vec<Resource> {
        let holder = address::bytes(CONTRACT);
        let mut all = vec![state::account(&holder, 0, CONTRACT_NUMBERS)];
        for stream in Stream::ALL {
            let tag = stream.holder_tag();
            if !all.iter().any(|resource| resource.tag == tag) {
                all.push(Resource { tag, data: json!({}) });
            }
            let counter = self.ledger.log(stream).counter(version) as u64;
            if let Some(resource) = all.last_mut() {
                resource.data[stream.field()] = handle(&holder, counter, stream.creation_number());
            }
        }
        all
    }
}

/// The cursor of a resource: it looks like no type, and nobody should read it.
fn state_key(tag: &str) -> String {
    format!("0x01{}", hex::encode(tag))
}

/// There is no such resource, or no such account.
pub fn no_resource(address: &str, tag: &str, version: u64) -> Refusal {
    let message = format!("Resource not found by Address({address}), Struct tag({tag}) and Ledger version({version})");
    Refusal::not_found("resource_not_found", &message)
}
