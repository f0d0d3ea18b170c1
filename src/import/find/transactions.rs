//! The transactions that the account sent: v2 objects, and v1 collections and tokens that no handle tells of.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::source::Failed;
use super::super::walk::{total, walk};
use super::handles::{CollectionCreated, TokenCreated, TokenDataId};
use super::{Finder, Thing};
use crate::chain::token::v2_collection;
use crate::chain::{Address, RawEvent, canonical_type};
use crate::subject::SentTransactions;

pub(super) async fn all(finder: &mut Finder) -> Result<(), Failed> {
    let source = Arc::clone(&finder.source);
    let transactions = sent(finder);
    let total = total(&source, &transactions).await?;
    walk(&source, &transactions, "transaction", total, async |transaction| {
        let found = match things(finder, &transaction) {
            Ok(found) => found,
            Err(error) => {
                let what = format!("transaction {} (version {})", transaction.seq_no, transaction.version);
                finder.found.failures.add(what, format!("cannot be read: {error}"));
                return Ok(());
            }
        };
        for (thing, is_new) in found {
            finder.want_more(thing, transaction.version, is_new).await?;
        }
        source.progress.step(1);
        Ok(())
    })
    .await
}

pub(super) fn sent(finder: &Finder) -> SentTransactions {
    SentTransactions::new(Arc::clone(&finder.source.nodes), finder.account)
}

#[derive(Deserialize)]
struct Transaction<'a> {
    success: bool,
    #[serde(borrow)]
    changes: Vec<Change<'a>>,
    #[serde(borrow)]
    events: Vec<Event<'a>>,
}

#[derive(Deserialize)]
struct Change<'a> {
    /// Of a resource.
    #[serde(default)]
    address: String,
    /// Of a table.
    #[serde(default)]
    handle: String,
    /// Null where the node does not keep what tables hold: the events then tell.
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(borrow)]
    data: &'a RawValue,
}

#[derive(Deserialize)]
struct WrittenResource<'a> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(borrow)]
    data: &'a RawValue,
}

#[derive(Deserialize)]
struct WrittenItem<K> {
    key: K,
}

#[derive(Deserialize)]
struct V2Collection {
    creator: String,
    name: String,
}

#[derive(Deserialize)]
struct V2Token {
    collection: Inner,
}

#[derive(Deserialize)]
struct Inner {
    inner: String,
}

#[derive(Deserialize)]
struct Minted {
    token: String,
}

/// What a transaction shows that belongs to the account, or may; with `true` where it is its creation.
fn things(finder: &Finder, transaction: &RawEvent) -> Result<Vec<(Thing, bool)>, String> {
    let transaction: Transaction = serde_json::from_str(&transaction.data).map_err(|error| error.to_string())?;
    if !transaction.success {
        return Ok(vec![]);
    }
    let mut things = vec![];
    let mut minted = BTreeSet::new();
    for event in &transaction.events {
        things.extend(of_event(finder, event, &mut minted)?.map(|thing| (thing, true)));
    }
    for change in &transaction.changes {
        let Some(thing) = of_change(finder, change)? else { continue };
        let is_new = matches!(&thing, Thing::V2Token { object, .. } if minted.contains(object));
        things.push((thing, is_new));
    }
    Ok(things)
}

/// The handles' events are among them; that they are seen twice does not matter.
fn of_event(finder: &Finder, event: &Event, minted: &mut BTreeSet<Address>) -> Result<Option<Thing>, String> {
    Ok(match event.kind.as_str() {
        "0x3::token::CreateCollection" | "0x3::token::CreateCollectionEvent" => {
            let CollectionCreated { creator, collection_name } = parsed(event.data)?;
            let is_ours = creator.parse() == Ok(finder.account) && finder.wants(&collection_name);
            is_ours.then_some(Thing::V1Collection { name: collection_name })
        }
        "0x3::token::TokenDataCreation" | "0x3::token::CreateTokenDataEvent" => {
            v1_token(finder, parsed::<TokenCreated>(event.data)?.id)
        }
        "0x4::collection::Mint" | "0x4::collection::MintEvent" | "0x4::collection::ConcurrentMintEvent" => {
            minted.extend(parsed::<Minted>(event.data)?.token.parse::<Address>());
            None
        }
        _ => None,
    })
}

/// Most writes are about something else: only those that may matter are read.
fn of_change(finder: &Finder, change: &Change) -> Result<Option<Thing>, String> {
    let Some(data) = change.data else { return Ok(None) };
    if let Some(tables) = &finder.tables
        && let Ok(handle) = change.handle.parse::<Address>()
    {
        return match handle {
            handle if handle == tables.collection_data => {
                let name = parsed::<WrittenItem<String>>(data)?.key;
                Ok(finder.wants(&name).then_some(Thing::V1Collection { name }))
            }
            handle if handle == tables.token_data => Ok(v1_token(finder, parsed::<WrittenItem<_>>(data)?.key)),
            _ => Ok(None),
        };
    }
    if !["::collection::Collection\"", "::token::Token\""].iter().any(|kind| data.get().contains(kind)) {
        return Ok(None);
    }
    // A published module may have these names in it, too.
    let Ok(resource) = parsed::<WrittenResource>(data) else { return Ok(None) };
    let object = || address(&change.address);
    Ok(match canonical_type(&resource.kind).as_str() {
        "0x4::collection::Collection" => {
            let collection: V2Collection = parsed(resource.data)?;
            let is_ours = collection.creator.parse() == Ok(finder.account) && finder.wants(&collection.name);
            is_ours.then_some(Thing::V2Collection { object: object()? })
        }
        "0x4::token::Token" if finder.config.tokens => {
            let parent = address(&parsed::<V2Token>(resource.data)?.collection.inner)?;
            let named = finder.config.collection.as_ref().map(|name| v2_collection(&finder.account, name));
            named
                .is_none_or(|named| named == parent)
                .then_some(Thing::V2Token { object: object()?, collection: Some(parent) })
        }
        _ => None,
    })
}

fn v1_token(finder: &Finder, id: TokenDataId) -> Option<Thing> {
    let is_ours = id.creator.parse() == Ok(finder.account) && finder.wants(&id.collection);
    (is_ours && finder.config.tokens).then_some(Thing::V1Token { collection: id.collection, name: id.name })
}

fn address(text: &str) -> Result<Address, String> {
    text.parse().map_err(|error| format!("{error}"))
}

fn parsed<'a, T: Deserialize<'a>>(json: &'a RawValue) -> Result<T, String> {
    serde_json::from_str(json.get()).map_err(|error| error.to_string())
}
