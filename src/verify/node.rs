//! What a node says of the handles: how many events each has emitted, and some of them again.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::VerifyError;
use super::certificate::Sample;
use super::differences::{Differences, Key};
use crate::backoff::Backoff;
use crate::chain::{ChainId, RawEvent, SeqNo, Source, Version, canonical_data};
use crate::market::Stream;
use crate::state::Snapshot;
use crate::state::entities::events;
use crate::subject::{Counter, EventHandle, Ledger, Nodes, Page, Subject, SubjectError};

/// How long a node may give no answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// As many as a node gives at once.
const PAGE: u64 = 100;

/// The handles of all streams, at some nodes; `None` for a stream that has none.
pub struct Handles {
    nodes: Arc<Nodes>,
    handles: Vec<Option<EventHandle>>,
}

impl Handles {
    pub fn new(nodes: Arc<Nodes>, streams: &[Arc<Stream>]) -> Self {
        let handle = |stream: &Arc<Stream>| {
            (stream.source != Source::ModuleEvent).then(|| EventHandle::at(&nodes, &stream.source))
        };
        Self { handles: streams.iter().map(handle).collect(), nodes }
    }

    /// Refuses a node of another chain than the stored events'.
    pub async fn check_chain(&self, stored: Option<ChainId>) -> Result<(), VerifyError> {
        let ledger = asked(async || self.nodes.ledger().await).await?;
        same_chain(ledger, stored)
    }

    /// How many events each handle has emitted, none from a ledger that is older than one seen before.
    pub async fn counters(&self, stored: Option<ChainId>) -> Result<Vec<Option<Counter>>, VerifyError> {
        let mut counters = Vec::with_capacity(self.handles.len());
        for handle in &self.handles {
            let Some(handle) = handle else {
                counters.push(None);
                continue;
            };
            let counter = asked(async || match handle.counter().await {
                Ok(counter) if counter.ledger.behind => {
                    Err(SubjectError::Behind("the node's ledger is older than it was".to_owned()))
                }
                answered => answered,
            });
            let counter = counter.await?;
            same_chain(counter.ledger, stored)?;
            counters.push(Some(counter));
        }
        Ok(counters)
    }

    /// Reads random pages of handles again, and compares them with what is stored: so many of each stream.
    pub async fn sample(
        &self,
        sample: &mut Sample,
        streams: &[(Arc<Stream>, u64)],
        snapshot: &Snapshot,
        differences: &mut Differences,
    ) -> Result<(), VerifyError> {
        let mut dice = ChaCha8Rng::seed_from_u64(sample.seed);
        let of_handles =
            || streams.iter().zip(&self.handles).filter_map(|(stream, handle)| Some((stream, handle.as_ref()?)));
        let all: u64 = of_handles().map(|((_, events), _)| events).sum();
        for _ in 0..if all > 0 { sample.pages } else { 0 } {
            // Any event is as likely as any other, and may stand anywhere in its page.
            let (mut number, before) = (dice.random_range(0..all), dice.random_range(0..PAGE));
            let chosen = of_handles().find(|((_, events), _)| {
                let is_here = number < *events;
                number -= if is_here { 0 } else { *events };
                is_here
            });
            let Some(((stream, _), handle)) = chosen else { continue };
            let from = SeqNo::new(number.saturating_sub(before)).unwrap_or_default();
            let stored = snapshot.events(&stream.observer, from.executed(), PAGE).await?;
            let version = stored.first().map(|event| Version::from_column(event.version));
            match page(handle, from, version).await? {
                Some(page) => sample.events += compare(&stream.observer, &page.events, &stored, differences),
                None => sample.pruned += 1,
            }
        }
        Ok(())
    }
}

/// A page that begins with `from`, of that version; `None` where nobody has it any more.
async fn page(handle: &EventHandle, from: SeqNo, version: Option<Version>) -> Result<Option<Page>, VerifyError> {
    let asking = asked(async || match handle.page(from).await {
        Ok(page) if page.events.is_empty() && version < page.ledger.oldest_version => {
            handle.archived_page(from).await.map(Some)
        }
        Ok(page) if page.events.is_empty() => {
            Err(SubjectError::Unreachable(format!("the node answers no events from seq no {from} on")))
        }
        answered => answered.map(Some),
    });
    match asking.await {
        Err(Failed::Pruned(_)) => Ok(None),
        answered => Ok(answered?.filter(|page| !page.events.is_empty())),
    }
}

/// How many were compared.
fn compare(observer: &str, page: &[RawEvent], stored: &[events::Model], differences: &mut Differences) -> u64 {
    let pairs = page.iter().zip(stored);
    let mut compared = 0;
    for (told, stored) in pairs {
        compared += 1;
        let key = || Key::at(observer, stored.seq_no);
        if told.seq_no.column() != stored.seq_no {
            differences.add("sample", key(), Some("seq_no"), told.seq_no.column(), stored.seq_no);
            continue;
        }
        if told.version.column() != stored.version {
            differences.add("sample", key(), Some("version"), told.version.column(), stored.version);
        }
        if *told.event_type != *stored.event_type {
            differences.add("sample", key(), Some("event_type"), &*told.event_type, &*stored.event_type);
        }
        let (told, stored) = (canonical_data(&told.data), canonical_data(&stored.data));
        if told != stored {
            differences.add("sample", key(), Some("data"), &*told, &*stored);
        }
    }
    differences.compared("sample", compared);
    compared as u64
}

fn same_chain(ledger: Ledger, stored: Option<ChainId>) -> Result<(), VerifyError> {
    match (ledger.chain_id, stored) {
        (Some(node), Some(stored)) if node != stored => Err(VerifyError::Node(format!(
            "the node is of chain {node}, the database's events are of chain {stored}: correct NODE_URL or DATABASE_URL"
        ))),
        _ => Ok(()),
    }
}

/// Why there is no answer.
enum Failed {
    Pruned(String),
    GaveUp(String),
}

impl From<Failed> for VerifyError {
    fn from((Failed::Pruned(message) | Failed::GaveUp(message)): Failed) -> Self {
        Self::Node(message)
    }
}

/// Asks until there is an answer, with patience for what may pass.
async fn asked<T, F: Future<Output = Result<T, SubjectError>>>(ask: impl Fn() -> F) -> Result<T, Failed> {
    let (mut backoff, mut since) = (Backoff::default(), Instant::now());
    let nobody_cancels = CancellationToken::new();
    loop {
        match ask().await {
            Ok(answer) => return Ok(answer),
            Err(SubjectError::Throttled { pause, .. }) => {
                tokio::time::sleep(pause).await;
                // Who asks for fewer requests is there.
                since = Instant::now();
            }
            Err(SubjectError::Unreachable(message) | SubjectError::Behind(message)) if since.elapsed() > PATIENCE => {
                return Err(Failed::GaveUp(format!("{message}: check NODE_URL, or verify without a node (--offline)")));
            }
            Err(SubjectError::Unreachable(_) | SubjectError::Behind(_)) => {}
            Err(SubjectError::ArchiveUnreachable(message) | SubjectError::Pruned(message)) => {
                return Err(Failed::Pruned(message));
            }
            Err(
                SubjectError::Missing { message, .. } | SubjectError::TooLong(message) | SubjectError::Refused(message),
            ) => return Err(Failed::GaveUp(message)),
        }
        backoff.wait(&nobody_cancels).await;
    }
}
