//! What exists and who owns it: `tokens` and `collections`.
//!
//! Each column follows the newest event that says something about it, and the position of that event is stored with it.
//! So the result does not depend on the order of arrival, and nothing is ever folded anew.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Entry, Moment};
use crate::chain::{Address, Amount, Version};
use crate::market::kind::{Step, Subject};
use crate::market::{Item, Standard};

/// Primary key of `tokens`: `token_id`, `property_version`.
pub type TokenKey = (Address, i64);

/// What folding owns of a row of `tokens`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub key: TokenKey,
    pub collection_id: Option<Address>,
    pub creator: Option<Address>,
    pub collection_name: Option<Arc<str>>,
    pub name: Option<Arc<str>>,
    pub description: Option<Arc<str>>,
    pub uri: Option<Arc<str>>,
    pub created_version: Option<Version>,
    pub owner: Option<Owner>,
    pub imported: ImportedColumns,
}

/// Who owned a token after an event.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owner {
    pub since: Moment,
    pub address: Address,
}

/// Which columns are as imported: no event writes them any more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ImportedColumns {
    pub description: bool,
    pub uri: bool,
    pub maximum: bool,
}

/// What folding owns of a row of `collections`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collection {
    pub collection_id: Address,
    pub creator: Option<Address>,
    pub name: Option<Arc<str>>,
    pub description: Option<Arc<str>>,
    pub uri: Option<Arc<str>>,
    pub standard: Standard,
    pub maximum: Option<Amount>,
    pub created_version: Option<Version>,
    pub imported: ImportedColumns,
}

pub(super) fn key(item: &Item) -> Option<TokenKey> {
    item.token_id.map(|id| (id, item.property_version))
}

pub(super) fn fold_token(entry: &Entry, rows: &BTreeMap<TokenKey, Token>, changed: &mut BTreeMap<TokenKey, Token>) {
    let item = &entry.event.item;
    let Some(key) = key(item) else { return };
    let token = changed.entry(key).or_insert_with(|| rows.get(&key).cloned().unwrap_or_else(|| Token::unseen(key)));
    // These never change on chain: where two events differ all the same, the greater text wins, in any order.
    grow(&mut token.collection_id, item.collection_id.as_ref());
    grow(&mut token.creator, item.creator.as_ref());
    grow(&mut token.collection_name, item.collection_name.as_ref());
    grow(&mut token.name, item.token_name.as_ref());
    if entry.event.kind.subject() == Subject::Token {
        let (created, imported) = (token.created_version, token.imported);
        describe(&mut token.description, entry.event.description.as_ref(), entry, created, imported.description);
        describe(&mut token.uri, entry.event.uri.as_ref(), entry, created, imported.uri);
        token.created_version = created.max(Some(entry.version));
    }
    let owner = owner(entry).map(|address| Owner { since: entry.moment(), address });
    grow(&mut token.owner, owner.as_ref());
}

/// Forgets an owner that `entry` told before its index was known, so that its place is told anew.
pub(super) fn forget_owner(entry: &Entry, rows: &BTreeMap<TokenKey, Token>, changed: &mut BTreeMap<TokenKey, Token>) {
    let Some(key) = key(&entry.event.item) else { return };
    let token = changed.entry(key).or_insert_with(|| rows.get(&key).cloned().unwrap_or_else(|| Token::unseen(key)));
    token.owner.take_if(|owner| owner.since == entry.moment_unplaced());
}

pub(super) fn fold_collection(
    entry: &Entry,
    rows: &BTreeMap<Address, Collection>,
    changed: &mut BTreeMap<Address, Collection>,
) {
    let Item { collection_id: Some(id), collection_name, creator, .. } = &entry.event.item else {
        return;
    };
    let unseen = || Collection::unseen(*id, entry.event.standard);
    let row = changed.entry(*id).or_insert_with(|| rows.get(id).cloned().unwrap_or_else(unseen));
    grow(&mut row.creator, creator.as_ref());
    grow(&mut row.name, collection_name.as_ref());
    if entry.event.kind.subject() == Subject::Collection {
        let (created, imported) = (row.created_version, row.imported);
        describe(&mut row.description, entry.event.description.as_ref(), entry, created, imported.description);
        describe(&mut row.uri, entry.event.uri.as_ref(), entry, created, imported.uri);
        describe(&mut row.maximum, entry.event.maximum.as_ref(), entry, created, imported.maximum);
        row.created_version = created.max(Some(entry.version));
    }
}

/// Whom an event says to own its token afterwards.
pub(super) fn owner(entry: &Entry) -> Option<Address> {
    let event = &entry.event;
    match event.kind.subject() {
        Subject::Listing(Step::Place | Step::Cancel) => event.seller,
        Subject::Listing(Step::Fill) => event.buyer,
        Subject::TokenOffer(Step::Fill) | Subject::CollectionOffer(Step::Fill) => event.offerer,
        Subject::Token => event.item.creator,
        Subject::TokenOffer(Step::Place | Step::Cancel)
        | Subject::CollectionOffer(Step::Place | Step::Cancel)
        | Subject::Collection
        | Subject::Bid => None,
    }
}

fn grow<T: Ord + Clone>(known: &mut Option<T>, told: Option<&T>) {
    if told > known.as_ref() {
        *known = told.cloned();
    }
}

/// What the newest creation says; of two in one version the greater word.
fn describe<T: Ord + Clone>(
    known: &mut Option<T>,
    told: Option<&T>,
    entry: &Entry,
    created: Option<Version>,
    is_imported: bool,
) {
    let (told, before) = ((Some(entry.version), told), (created, known.as_ref()));
    if !is_imported && told > before {
        *known = told.1.cloned();
    }
}

impl Token {
    fn unseen(key: TokenKey) -> Self {
        Self {
            key,
            collection_id: None,
            creator: None,
            collection_name: None,
            name: None,
            description: None,
            uri: None,
            created_version: None,
            owner: None,
            imported: ImportedColumns::default(),
        }
    }
}

impl Collection {
    fn unseen(collection_id: Address, standard: Standard) -> Self {
        Self {
            collection_id,
            creator: None,
            name: None,
            description: None,
            uri: None,
            standard,
            maximum: None,
            created_version: None,
            imported: ImportedColumns::default(),
        }
    }
}
