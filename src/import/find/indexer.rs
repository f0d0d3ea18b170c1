//! What an indexer knows: also of creators that do not sign transactions themselves.

use super::super::source::Failed;
use super::super::summary::Failure;
use super::{Finder, Thing};
use crate::subject::Indexer;

pub(super) async fn collections(finder: &mut Finder, indexer: &Indexer) -> Result<(), Failed> {
    let source = std::sync::Arc::clone(&finder.source);
    let mut offset = 0;
    loop {
        let mut patience = source.patience();
        let page = loop {
            let asking = indexer.collections(finder.account, offset);
            match source.cancel.run_until_cancelled(asking).await.ok_or(Failed::Cancelled)? {
                Ok(page) => break page,
                Err(error) => patience.meet(error).await?,
            }
        };
        patience.end();
        if page.is_empty() {
            break;
        }
        offset += page.len();
        for row in page {
            if !finder.wants(&row.collection_name) {
                continue;
            }
            match (row.token_standard.as_str(), row.collection_id.parse()) {
                ("v1", _) => finder.want_more(Thing::V1Collection { name: row.collection_name }, None).await?,
                ("v2", Ok(object)) => finder.want_more(Thing::V2Collection { object }, None).await?,
                _ => finder.found.failures.push(Failure {
                    what: format!("the indexer's collection {:?}", row.collection_name),
                    reason: format!(
                        "its token_standard is {:?} and its collection_id {:?}: expected v1, or v2 and an address",
                        row.token_standard, row.collection_id
                    ),
                }),
            }
        }
    }
    let told = if finder.config.tokens {
        "v2 tokens, and v1 tokens made since the framework's module events: the indexer is asked for collections only; without --indexer they are looked for in the account's own transactions"
    } else {
        return Ok(());
    };
    finder.found.not_visible.push(told.to_owned());
    Ok(())
}
