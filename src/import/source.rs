//! Asking a node with patience: what may pass is asked again, and no answer is older than the import's beginning.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Progress;
use crate::backoff::Backoff;
use crate::chain::{Address, ChainId, Version};
use crate::subject::{Ledger, Nodes, SubjectError};

/// How long a node may be away before the import gives up; the first time, a wrong address is the likelier reason.
const PATIENCE: Duration = Duration::from_mins(1);
pub(super) const FIRST_PATIENCE: Duration = Duration::from_secs(8);

/// What an answer of an older ledger is waited for with.
pub(super) const BEHIND: &str = "the node's ledger is older than it was";

/// The resource that holds what a creator made by the first token standard.
pub(super) const COLLECTIONS: &str = "0x3::token::Collections";

/// A node, or several of one chain.
pub(super) struct Source {
    pub nodes: Arc<Nodes>,
    pub chain: ChainId,
    /// The ledger's version when the import began.
    pub since: Version,
    pub cancel: CancellationToken,
    pub progress: Arc<Progress>,
    patience: Duration,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failed {
    Cancelled,
    /// There is no such thing.
    Missing(String),
    /// Its history is gone.
    Pruned(String),
    /// This one cannot be answered; others can.
    Refused(String),
    /// Nobody answers any more.
    GaveUp(String),
}

/// The two tables of a creator.
#[derive(Debug, Clone)]
pub(super) struct Tables {
    pub collection_data: Address,
    pub token_data: Address,
}

impl Failed {
    pub fn reason(self) -> String {
        match self {
            Self::Cancelled => "interrupted".to_owned(),
            Self::Missing(message) | Self::Pruned(message) | Self::Refused(message) | Self::GaveUp(message) => message,
        }
    }
}

impl Source {
    /// Finds out which chain it is and where it stands.
    pub async fn open(nodes: Arc<Nodes>, cancel: CancellationToken, progress: Arc<Progress>) -> Result<Self, Failed> {
        let mut source =
            Self { nodes, chain: 0, since: Version::default(), cancel, progress, patience: FIRST_PATIENCE };
        let ledger =
            source.read(async || source.nodes.ledger().await.map(|ledger| (ledger, Ledger::default()))).await?;
        source.chain = ledger.chain_id.unwrap_or_default();
        source.since = ledger.version.unwrap_or_default();
        source.patience = PATIENCE;
        Ok(source)
    }

    /// Refuses to mix chains in one database.
    pub fn belongs_to(&self, stored: Option<ChainId>) -> Result<(), String> {
        match stored {
            Some(stored) if stored != self.chain => Err(format!(
                "the node is of chain {}, the database's rows are of chain {stored}: correct NODE_URL, or give chain {} a database of its own (DATABASE_URL)",
                self.chain, self.chain
            )),
            Some(_) | None => Ok(()),
        }
    }

    /// Where `account` keeps its v1 collections and tokens, if it has any.
    pub async fn tables(&self, account: Address) -> Result<Option<Tables>, Failed> {
        #[derive(Deserialize)]
        struct Table {
            handle: String,
        }
        #[derive(Deserialize)]
        struct Collections {
            collection_data: Table,
            token_data: Table,
        }
        let resource = match self.read(async || self.nodes.resource(account, COLLECTIONS).await).await {
            Ok(resource) => resource,
            Err(Failed::Missing(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let unlike = |error: &dyn std::fmt::Display| {
            Failed::Refused(format!("{COLLECTIONS} of {account} is not what it should be: {error}"))
        };
        let tables: Collections = serde_json::from_value(resource).map_err(|error| unlike(&error))?;
        let handle = |table: Table| table.handle.parse::<Address>().map_err(|error| unlike(&error));
        Ok(Some(Tables { collection_data: handle(tables.collection_data)?, token_data: handle(tables.token_data)? }))
    }

    /// Whether there is anything at `account`.
    pub async fn exists(&self, account: Address) -> Result<bool, Failed> {
        match self.read(async || self.nodes.exists(account).await).await {
            // Older nodes know accounts only.
            Err(Failed::Missing(_)) => Ok(false),
            known => known,
        }
    }

    /// Asks until there is an answer from a ledger that is not older than the import.
    pub async fn read<T, F>(&self, ask: impl Fn() -> F) -> Result<T, Failed>
    where
        F: Future<Output = Result<(T, Ledger), SubjectError>>,
    {
        self.read_since(self.since, ask).await
    }

    /// Asks until there is an answer from a ledger that has `version`, in which what is asked about was seen.
    pub async fn read_since<T, F>(&self, version: Version, ask: impl Fn() -> F) -> Result<T, Failed>
    where
        F: Future<Output = Result<(T, Ledger), SubjectError>>,
    {
        let since = version.max(self.since);
        let mut patience = self.patience();
        loop {
            let asked = self.cancel.run_until_cancelled(ask()).await.ok_or(Failed::Cancelled)?;
            let (answer, ledger) = match asked {
                Ok((answer, ledger)) => (Ok(answer), ledger),
                Err(SubjectError::Missing { message, ledger }) => (Err(Failed::Missing(message)), ledger),
                Err(error) => {
                    patience.meet(error).await?;
                    continue;
                }
            };
            self.check_chain(ledger)?;
            if ledger.version.is_some_and(|version| version < since) {
                patience.wait(BEHIND).await?;
                continue;
            }
            patience.end();
            return answer;
        }
    }

    /// Waiting for answers of the nodes.
    pub fn patience(&self) -> Patience<'_> {
        self.patience_with("NODE_URL", self.patience)
    }

    /// Waiting for answers of whatever `setting` names, not for longer than `longest`.
    pub fn patience_with(&self, setting: &'static str, longest: Duration) -> Patience<'_> {
        Patience { source: self, setting, longest, backoff: Backoff::default(), since: None }
    }

    pub fn check_chain(&self, ledger: Ledger) -> Result<(), Failed> {
        match ledger.chain_id {
            Some(other) if self.chain != 0 && other != self.chain => Err(Failed::GaveUp(format!(
                "a node of NODE_URL is of chain {other}, another one of chain {}: name nodes of one chain only",
                self.chain
            ))),
            Some(_) | None => Ok(()),
        }
    }
}

/// What may pass is waited for, but not for ever.
pub(super) struct Patience<'a> {
    source: &'a Source,
    setting: &'static str,
    longest: Duration,
    backoff: Backoff,
    /// The first failure since the last answer.
    since: Option<Instant>,
}

impl Patience<'_> {
    /// Waits as long as the failure asks for; fails if it will not pass.
    pub async fn meet(&mut self, error: SubjectError) -> Result<(), Failed> {
        match error {
            SubjectError::Throttled { message, pause } => {
                self.source.progress.waits(Some(&message));
                self.pause(tokio::time::sleep(pause)).await?;
                // Not all readers in the same instant.
                Backoff::default().wait(&self.source.cancel).await;
                // Who asks for fewer requests is there.
                self.since = Some(Instant::now());
                Ok(())
            }
            SubjectError::Unreachable(message) | SubjectError::Behind(message) => self.wait(&message).await,
            // Only what is in the archive is lost.
            SubjectError::ArchiveUnreachable(message) => self.wait(&message).await.map_err(|failed| match failed {
                Failed::GaveUp(_) => Failed::Pruned(message),
                other => other,
            }),
            SubjectError::Pruned(message) => Err(Failed::Pruned(message)),
            SubjectError::Missing { message, .. } => Err(Failed::Missing(message)),
            SubjectError::TooLong(message) | SubjectError::Refused(message) => Err(Failed::Refused(message)),
        }
    }

    /// Waits a little, unless it has been waited for long enough.
    pub async fn wait(&mut self, cause: &str) -> Result<(), Failed> {
        if self.lasts() > self.longest {
            let seconds = self.longest.as_secs();
            return Err(Failed::GaveUp(format!("{cause}; given up after {seconds} s: check {}", self.setting)));
        }
        self.since.get_or_insert_with(Instant::now);
        self.source.progress.waits(Some(cause));
        self.backoff.wait(&self.source.cancel).await;
        if self.source.cancel.is_cancelled() { Err(Failed::Cancelled) } else { Ok(()) }
    }

    /// How long there has been no answer.
    pub fn lasts(&self) -> Duration {
        self.since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// There is an answer: the next one is waited for anew.
    pub fn end(&mut self) {
        if self.since.take().is_some() {
            self.source.progress.waits(None);
            self.backoff.reset();
        }
    }

    async fn pause(&self, pause: impl Future<Output = ()>) -> Result<(), Failed> {
        self.source.cancel.run_until_cancelled(pause).await.ok_or(Failed::Cancelled)
    }
}
