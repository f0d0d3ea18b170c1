//! `collection-import`: what an account created, as it is now.
//!
//! ```text
//! find ----Wanted----> read ------Read------> write
//! (what exists)        (its present state)    (bounded transactions)
//! ```
//!
//! [`find`] walks the streams that tell what the account ever created; [`read`] asks for the state of each thing, several
//! at once; [`write`] commits. Channels between them are short, so memory does not grow with the account. Whatever cannot
//! be found, read or written stands in the [`Summary`].

mod file;
mod find;
mod progress;
mod read;
mod source;
mod summary;
mod walk;
mod write;

use std::sync::Arc;

use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use file::Listed;
pub use progress::Progress;
pub use summary::{Failure, Failures, Results, Summary, Tally};

use crate::chain::Address;
use crate::state::{Store, StoreError};
use crate::subject::{Indexer, Nodes};
use find::{Finder, Wanted};
use read::{Read, Reader};
use source::{Failed, Source};
use summary::Kind;
use write::Writer;

/// What is to be imported, and how.
#[derive(Debug, Clone)]
pub struct Config {
    /// Only the collections of this name.
    pub collection: Option<String>,
    /// Whether tokens are wanted too.
    pub tokens: bool,
    /// How many reads are under way at once; at least 1.
    pub parallel: usize,
}

/// Where it is written: nowhere, if it is only weighed.
#[derive(Clone)]
pub struct Target {
    /// The database; `None` if there is none yet, which only a dry run may find.
    pub store: Option<Store>,
    /// Whether nothing is to be written.
    pub dry_run: bool,
}

/// Found or read ahead of what comes next.
const AHEAD: usize = 256;

/// Imports what `account` created. An `Err` tells why nothing could begin; whatever happens later is in the summary.
pub async fn account(
    account: Address,
    config: &Config,
    nodes: Arc<Nodes>,
    indexer: Option<&Indexer>,
    target: &Target,
    progress: Arc<Progress>,
    cancel: &CancellationToken,
) -> Result<Summary, String> {
    let stop = cancel.child_token();
    let failed = |error: StoreError| error.to_string();
    let stored = match &target.store {
        Some(store) => store.chain_id().await.map_err(failed)?,
        None => None,
    };
    if let Some(chain) = stored {
        nodes.expect_chain(chain);
    }
    let source = Arc::new(Source::open(nodes, stop.clone(), Arc::clone(&progress)).await.map_err(Failed::reason)?);
    source.belongs_to(stored)?;
    if let Some(store) = target.store.as_ref().filter(|_| !target.dry_run) {
        store.record_import(account, source.chain, source.since).await.map_err(failed)?;
    }
    let tables = match source.tables(account).await {
        Ok(tables) => tables,
        Err(Failed::GaveUp(reason)) => return Err(reason),
        Err(failed) => {
            let mut summary = Summary { interrupted: cancel.is_cancelled(), ..Summary::of_account(account, &source) };
            summary.results.failures.add("the account", failed.reason());
            return Ok(summary);
        }
    };
    let (wanted_tx, wanted) = mpsc::channel(AHEAD);
    let (answers_tx, answers) = mpsc::channel(AHEAD);
    let finder = Finder::new(account, config, tables.clone(), Arc::clone(&source), wanted_tx);
    let reader = Reader::new(account, Arc::clone(&source), tables);
    let writer = Writer::new(target.clone(), Arc::clone(&progress), stop.clone());
    let (found, gave_up, results) = tokio::join!(
        finder.find(indexer),
        read_all(&reader, config.parallel, wanted, answers_tx, &stop),
        writer.write(answers),
    );
    let mut summary = Summary { results, interrupted: cancel.is_cancelled(), ..Summary::of_account(account, &source) };
    summary.add_found(found);
    if let Some(reason) = gave_up {
        summary.results.failures.add("the rest", reason);
    }
    if !summary.interrupted && summary.results.is_empty() {
        nothing_found(account, config, &source, &mut summary).await;
    }
    Ok(summary)
}

/// Reads what is wanted, several at once; returns why it gave up, if it did.
async fn read_all(
    reader: &Reader,
    parallel: usize,
    mut wanted: mpsc::Receiver<Wanted>,
    answers: mpsc::Sender<Read>,
    stop: &CancellationToken,
) -> Option<String> {
    let wanted = futures_util::stream::poll_fn(move |context| wanted.poll_recv(context));
    let mut reading = wanted.map(|wanted| reader.read(wanted)).buffer_unordered(parallel);
    while let Some(answer) = reading.next().await {
        match answer {
            Ok(answer) => answers.send(answer).await.ok()?,
            Err(Failed::Cancelled) => return None,
            Err(failed) => {
                // The others need not go on.
                stop.cancel();
                return Some(failed.reason());
            }
        }
    }
    None
}

/// A name that the account does not have is a failure; an account that made nothing is none, if it exists.
async fn nothing_found(account: Address, config: &Config, source: &Source, summary: &mut Summary) {
    match (source.exists(account).await, &config.collection) {
        (Err(failed), _) => summary.results.failures.add("the account", failed.reason()),
        (Ok(false), _) => summary.results.failures.add(
            "the account",
            format!(
                "there is nothing at {account} on chain {}: check the address, and that NODE_URL is of the right chain",
                source.chain
            ),
        ),
        (Ok(true), Some(name)) => summary.results.failures.add(
            format!("collection {name:?}"),
            "the account has none of this name, neither v1 nor v2; letter case and spaces count".to_owned(),
        ),
        (Ok(true), None) => {}
    }
}

/// Imports the entries of a list; bad ones are failures of the summary, by position.
pub async fn list(listed: Listed, target: &Target, progress: Arc<Progress>, cancel: &CancellationToken) -> Summary {
    progress.expect(listed.collections.len() as u64);
    let (read, read_rx) = mpsc::channel(AHEAD);
    let sending = async {
        for collection in listed.collections {
            if read.send(Read::Collection(Box::new(collection))).await.is_err() {
                break;
            }
        }
        drop(read);
    };
    let writer = Writer::new(target.clone(), Arc::clone(&progress), cancel.child_token());
    let ((), mut results) = tokio::join!(sending, writer.write(read_rx));
    for (position, reason) in listed.bad {
        results.fail_one(Kind::Collection, format!("entry {position}"), reason);
    }
    Summary { results, interrupted: cancel.is_cancelled(), ..Summary::default() }
}
