//! What an indexer knows: also of creators that do not sign transactions themselves.

use std::future::Future;
use std::sync::Arc;

use super::super::source::{FIRST_PATIENCE, Failed};
use super::{Finder, Thing};
use crate::chain::{Address, Version};
use crate::subject::{Indexer, SubjectError};

pub(super) async fn all(finder: &mut Finder, indexer: &Indexer) -> Result<(), Failed> {
    const LAG: &str = "what the indexer does not know, or not yet: its word is taken for what exists";
    finder.found.not_visible.push(LAG.to_owned());
    let creator = finder.account;
    pages(
        finder,
        |offset| indexer.collections(creator, offset),
        |row| {
            let name = row.collection_name;
            let v1 = Thing::V1Collection { name: name.clone() };
            (name, row.token_standard, row.collection_id, v1, |object| Thing::V2Collection { object })
        },
    )
    .await?;
    if !finder.config.tokens {
        return Ok(());
    }
    pages(
        finder,
        |offset| indexer.tokens(creator, offset),
        |row| {
            let collection = row.current_collection.collection_name;
            let v1 = Thing::V1Token { collection: collection.clone(), name: row.token_name };
            (collection, row.token_standard, row.token_data_id, v1, |object| Thing::V2Token {
                object,
                collection: None,
            })
        },
    )
    .await
}

/// A row's collection, standard and id, and what it is by each standard.
type Row = (String, String, String, Thing, fn(Address) -> Thing);

/// Sends what all pages tell of.
async fn pages<T, F>(finder: &mut Finder, ask: impl Fn(usize) -> F, row: impl Fn(T) -> Row) -> Result<(), Failed>
where
    F: Future<Output = Result<Vec<T>, SubjectError>>,
{
    let source = Arc::clone(&finder.source);
    // What was found elsewhere is read all the same.
    let mut patience = source.patience_with("--indexer", FIRST_PATIENCE);
    let mut offset = 0;
    loop {
        let page = match source.cancel.run_until_cancelled(ask(offset)).await.ok_or(Failed::Cancelled)? {
            Ok(page) => page,
            Err(error) => {
                patience.meet(error).await.map_err(|failed| match failed {
                    Failed::Cancelled => Failed::Cancelled,
                    lasting => Failed::Refused(lasting.reason()),
                })?;
                continue;
            }
        };
        patience.end();
        if page.is_empty() {
            return Ok(());
        }
        offset += page.len();
        for (collection, standard, id, v1, v2) in page.into_iter().map(&row) {
            if !finder.wants(&collection) {
                continue;
            }
            match (standard.as_str(), id.parse()) {
                ("v1", _) => finder.want_more(v1, Version::default(), false).await?,
                ("v2", Ok(object)) => finder.want_more(v2(object), Version::default(), false).await?,
                _ => finder.found.failures.add(
                    format!("the indexer's {id:?} of collection {collection:?}"),
                    format!("its token_standard is {standard:?}: expected v1, or v2 and an address as id"),
                ),
            }
        }
    }
}
