//! What an import did, for people and for scripts.

use serde::Serialize;

use super::find::Found;
use super::source::Source;
use crate::chain::{Address, ChainId};
use crate::state::{Effects, Imported};

/// Failures that are kept with their reasons; more are only counted.
const MOST: usize = 100;

/// The result of one account, or of one list.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Summary {
    /// The creator; `None` for a list.
    pub account: Option<String>,
    pub chain_id: Option<ChainId>,
    /// The rows are as of this version or a later one.
    pub ledger_version: Option<u64>,
    #[serde(flatten)]
    pub results: Results,
    /// What the sources that were asked cannot know.
    pub not_visible: Vec<String>,
    /// Whether it was stopped before its end.
    pub interrupted: bool,
}

/// What became of the things that were found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Results {
    pub collections: Tally,
    pub tokens: Tally,
    #[serde(flatten)]
    pub failures: Failures,
}

/// What could not be imported, and why.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Failures {
    /// How many there are.
    #[serde(rename = "failed")]
    pub count: u64,
    /// The first hundred of them.
    #[serde(rename = "failures")]
    pub first: Vec<Failure>,
}

/// How many things there are of a kind, and what became of their rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    pub found: u64,
    pub new: u64,
    pub changed: u64,
    pub unchanged: u64,
    /// Created once, but no longer on chain: burned.
    pub gone: u64,
    pub failed: u64,
}

/// Something that could not be imported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    pub what: String,
    pub reason: String,
}

/// What a thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Collection,
    Token,
}

impl Summary {
    pub(super) fn of_account(account: Address, source: &Source) -> Self {
        Self {
            account: Some(account.to_string()),
            chain_id: Some(source.chain),
            ledger_version: Some(source.since.get()),
            ..Self::default()
        }
    }

    /// Of an account that could not be begun with.
    #[must_use]
    pub fn failed(account: Address, reason: &str) -> Self {
        let mut summary = Self { account: Some(account.to_string()), ..Self::default() };
        summary.results.failures.add("the account", reason.to_owned());
        summary
    }

    pub(super) fn add_found(&mut self, found: Found) {
        let Failures { count, first } = found.failures;
        let room = MOST.saturating_sub(self.results.failures.first.len());
        self.results.failures.count += count;
        self.results.failures.first.extend(first.into_iter().take(room));
        self.not_visible = found.not_visible;
    }
}

impl Results {
    /// Whether nothing was found and nothing failed.
    pub(super) fn is_empty(&self) -> bool {
        self.collections.found + self.tokens.found + self.failures.count == 0
    }

    /// One collection or token could not be imported.
    pub(super) fn fail_one(&mut self, kind: Kind, what: String, reason: String) {
        let tally = self.tally(kind);
        tally.found += 1;
        tally.failed += 1;
        self.failures.add(what, reason);
    }

    pub(super) fn gone(&mut self, kind: Kind) {
        let tally = self.tally(kind);
        tally.found += 1;
        tally.gone += 1;
    }

    pub(super) fn imported(&mut self, imported: Imported) {
        self.collections.add(imported.collections);
        self.tokens.add(imported.tokens);
    }

    fn tally(&mut self, kind: Kind) -> &mut Tally {
        match kind {
            Kind::Collection => &mut self.collections,
            Kind::Token => &mut self.tokens,
        }
    }
}

impl Failures {
    pub(super) fn add(&mut self, what: impl Into<String>, reason: String) {
        self.count += 1;
        if self.first.len() < MOST {
            self.first.push(Failure { what: what.into(), reason });
        }
    }
}

impl Tally {
    fn add(&mut self, effects: Effects) {
        self.found += effects.new + effects.changed + effects.unchanged;
        self.new += effects.new;
        self.changed += effects.changed;
        self.unchanged += effects.unchanged;
    }
}
