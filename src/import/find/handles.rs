//! The creator's own event handles: every v1 collection and token, up to the framework's change to module events.

use std::sync::Arc;

use serde::Deserialize;

use super::super::source::{COLLECTIONS, Failed};
use super::super::walk::{total, walk};
use super::{Finder, Thing};
use crate::chain::RawEvent;
use crate::subject::EventHandle;

pub(super) const COLLECTION_EVENTS: &str = "create_collection_events";
pub(super) const TOKEN_EVENTS: &str = "create_token_data_events";

/// `0x3::token::CreateCollectionEvent`; the module event that came after it has the same fields.
#[derive(Deserialize)]
pub(super) struct CollectionCreated {
    pub creator: String,
    pub collection_name: String,
}

/// `0x3::token::CreateTokenDataEvent`, likewise.
#[derive(Deserialize)]
pub(super) struct TokenCreated {
    pub id: TokenDataId,
}

/// `0x3::token::TokenDataId`: the key of a token in its table, too.
#[derive(Deserialize)]
pub(super) struct TokenDataId {
    pub creator: String,
    pub collection: String,
    pub name: String,
}

pub(super) async fn collections(finder: &mut Finder) -> Result<(), Failed> {
    events(finder, COLLECTION_EVENTS, async |finder, event| {
        let Some(created) = read::<CollectionCreated>(finder, event) else { return Ok(false) };
        finder.want(Thing::V1Collection { name: created.collection_name }, event.version, true).await
    })
    .await
}

pub(super) async fn tokens(finder: &mut Finder) -> Result<(), Failed> {
    events(finder, TOKEN_EVENTS, async |finder, event| {
        let Some(TokenCreated { id }) = read(finder, event) else { return Ok(false) };
        if !finder.wants(&id.collection) {
            return Ok(false);
        }
        finder.want(Thing::V1Token { collection: id.collection, name: id.name }, event.version, true).await
    })
    .await
}

pub(super) fn handle(finder: &Finder, field: &str) -> EventHandle {
    EventHandle::new(Arc::clone(&finder.source.nodes), finder.account, COLLECTIONS, field)
}

/// Walks one of the two handles; `each` tells whether the event's thing is to be read.
async fn events(
    finder: &mut Finder,
    field: &str,
    each: impl AsyncFn(&mut Finder, &RawEvent) -> Result<bool, Failed>,
) -> Result<(), Failed> {
    let source = Arc::clone(&finder.source);
    let handle = handle(finder, field);
    let total = total(&source, &handle).await?;
    walk(&source, &handle, field, total, async |event| {
        let is_wanted = each(finder, &event).await?;
        match (event.seq_no < total.events, is_wanted) {
            (true, true) | (false, false) => {}
            // Nothing will come of it.
            (true, false) => source.progress.step(1),
            (false, true) => source.progress.expect(1),
        }
        Ok(())
    })
    .await
}

/// An event that cannot be read is a failure, told by its number.
fn read<T: for<'a> Deserialize<'a>>(finder: &mut Finder, event: &RawEvent) -> Option<T> {
    let data = serde_json::from_str(&event.data);
    data.map_err(|error| {
        let what = format!("{} {} (version {})", event.event_type, event.seq_no, event.version);
        finder.found.failures.add(what, format!("cannot be read: {error}"));
    })
    .ok()
}
