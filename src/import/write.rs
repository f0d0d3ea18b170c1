//! Committing what has been read, some hundred rows at a time.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::read::Read;
use super::summary::{Kind, Results};
use super::{Progress, Target};
use crate::backoff::Backoff;
use crate::state::{Effects, Import, Imported, StoreError, Trouble};

/// Rows of one transaction: few enough that a worker beside it never waits for long.
const BATCH: usize = 500;
/// Waiting that is nothing to speak of.
const PASSING: Duration = Duration::from_secs(2);
/// How long the database may be away before the import gives up.
const PATIENCE: Duration = Duration::from_mins(1);

pub(super) struct Writer {
    target: Target,
    progress: Arc<Progress>,
    stop: CancellationToken,
    results: Results,
}

impl Writer {
    pub fn new(target: Target, progress: Arc<Progress>, stop: CancellationToken) -> Self {
        Self { target, progress, stop, results: Results::default() }
    }

    /// Writes what comes, until no more comes, it is stopped, or the database fails for good. A commit under way is
    /// always finished.
    pub async fn write(mut self, mut answers: mpsc::Receiver<Read>) -> Results {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let received = self.stop.run_until_cancelled(answers.recv_many(&mut batch, BATCH)).await;
            if received.is_none() || batch.is_empty() {
                return self.results;
            }
            let steps = batch.len() as u64;
            let import = self.sorted(batch.drain(..));
            let done = match self.import(&import).await {
                Ok(imported) => {
                    self.results.imported(imported);
                    Ok(())
                }
                Err(error) if error.trouble() == Trouble::Lasting => self.one_by_one(import, error).await,
                Err(error) => Err(error),
            };
            if let Err(error) = done {
                self.results.failures.add("the database", error.to_string());
                self.stop.cancel();
                return self.results;
            }
            self.progress.step(steps);
        }
    }

    /// What the database refuses together it may take but for a row. `Err` if it takes none.
    async fn one_by_one(&mut self, import: Import, error: StoreError) -> Result<(), StoreError> {
        let Import { collections, tokens } = import;
        let rows = collections.len() + tokens.len();
        let collections = collections.into_iter().map(|row| {
            let what = format!("collection {:?} of {}", row.name, row.creator);
            (Kind::Collection, what, Import { collections: vec![row], tokens: vec![] })
        });
        let tokens = tokens.into_iter().map(|row| {
            let what = format!("token {:?} of collection {:?}", row.name, row.collection_name);
            (Kind::Token, what, Import { collections: vec![], tokens: vec![row] })
        });
        let mut refused = vec![];
        for (kind, what, import) in collections.chain(tokens) {
            match self.import(&import).await {
                Ok(imported) => self.results.imported(imported),
                Err(error) if error.trouble() == Trouble::Lasting => refused.push((kind, what, error.to_string())),
                Err(error) => return Err(error),
            }
        }
        if refused.len() == rows && rows > 1 {
            return Err(error);
        }
        for (kind, what, reason) in refused {
            self.results.fail_one(kind, what, reason);
        }
        Ok(())
    }

    /// The rows among the answers; the others are counted.
    fn sorted(&mut self, answers: impl Iterator<Item = Read>) -> Import {
        let mut import = Import::default();
        for answer in answers {
            match answer {
                Read::Collection(collection) => {
                    self.progress.found_collection();
                    import.collections.push(*collection);
                }
                Read::Token(token) => {
                    self.progress.found_token();
                    import.tokens.push(*token);
                }
                Read::Gone(kind) => self.results.gone(kind),
                Read::NotOurs => {}
                Read::Failed { kind, what, reason } => self.results.fail_one(kind, what, reason),
            }
        }
        import
    }

    /// Locks, lost races and short absences do not reach the user.
    async fn import(&self, import: &Import) -> Result<Imported, StoreError> {
        let count = |rows: usize| Effects { new: rows as u64, ..Effects::default() };
        let Some(store) = &self.target.store else {
            return Ok(Imported { collections: count(import.collections.len()), tokens: count(import.tokens.len()) });
        };
        let (mut backoff, since, mut waited) = (Backoff::default(), Instant::now(), false);
        // A commit whose answer was lost is done again: what it wrote is found unchanged.
        loop {
            let done = if self.target.dry_run { store.weigh_import(import).await } else { store.import(import).await };
            let error = match done {
                Ok(imported) => {
                    if waited {
                        self.progress.waits(None);
                    }
                    return Ok(imported);
                }
                Err(error) => error,
            };
            match error.trouble() {
                Trouble::Lasting => return Err(error),
                _ if self.stop.is_cancelled() => return Err(error),
                Trouble::Contended => {}
                Trouble::Away if since.elapsed() > PATIENCE => return Err(error),
                Trouble::Away => {}
            }
            if since.elapsed() > PASSING {
                waited = true;
                self.progress.waits(Some(&error.to_string()));
            }
            backoff.wait(&self.stop).await;
        }
    }
}
