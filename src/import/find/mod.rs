//! What exists: found in the account's event handles, in the transactions that it sent, or by an indexer.

mod handles;
mod indexer;
mod transactions;

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::Config;
use super::source::{Failed, Source, Tables};
use super::summary::{Failures, Kind};
use crate::chain::token::{v1_collection_id, v1_token_id, v2_collection};
use crate::chain::{Address, Version};
use crate::subject::{Counter, Indexer, Subject};

/// Something that exists, or did, and whose present state is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub thing: Thing,
    /// Whether it is only looked for, by its name: nothing says that it ever was.
    pub is_guess: bool,
    /// When it was created, if that is known.
    pub created: Option<Version>,
    /// The version in which it was seen: a ledger without it says nothing.
    pub seen: Version,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Thing {
    V1Collection {
        name: String,
    },
    V1Token {
        collection: String,
        name: String,
    },
    V2Collection {
        object: Address,
    },
    V2Token {
        object: Address,
        /// Its collection, where that is known: it may be somebody else's.
        collection: Option<Address>,
    },
}

/// What finding has to say at its end.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub failures: Failures,
    pub not_visible: Vec<String>,
}

/// Sends each thing once.
pub(super) struct Finder {
    account: Address,
    config: Config,
    tables: Option<Tables>,
    source: Arc<Source>,
    wanted: mpsc::Sender<Wanted>,
    /// Ids, as bytes: what grows with the account.
    seen: HashSet<[u8; 32]>,
    found: Found,
}

/// For messages.
impl fmt::Display for Thing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V1Collection { name } => write!(f, "collection {name:?}"),
            Self::V1Token { collection, name } => write!(f, "token {name:?} of collection {collection:?}"),
            Self::V2Collection { object } => write!(f, "collection {object}"),
            Self::V2Token { object, .. } => write!(f, "token {object}"),
        }
    }
}

impl Thing {
    pub fn kind(&self) -> Kind {
        match self {
            Self::V1Collection { .. } | Self::V2Collection { .. } => Kind::Collection,
            Self::V1Token { .. } | Self::V2Token { .. } => Kind::Token,
        }
    }

    /// Its id in our tables.
    pub fn id(&self, creator: &Address) -> String {
        let id = match self {
            Self::V1Collection { name } => v1_collection_id(creator, name),
            Self::V1Token { collection, name } => v1_token_id(creator, collection, name),
            Self::V2Collection { object } | Self::V2Token { object, .. } => *object,
        };
        id.to_string()
    }
}

impl Finder {
    pub fn new(
        account: Address,
        config: &Config,
        tables: Option<Tables>,
        source: Arc<Source>,
        wanted: mpsc::Sender<Wanted>,
    ) -> Self {
        let (config, seen) = (config.clone(), HashSet::new());
        Self { account, config, tables, source, wanted, seen, found: Found::default() }
    }

    /// Finds everything that the sources show. What one source cannot give is a failure; the others are asked all the same.
    pub async fn find(mut self, indexer: Option<&Indexer>) -> Found {
        // One that is asked for by name needs no event.
        let collections = self.tables.is_some() && self.config.collection.is_none();
        let tokens = self.tables.is_some() && self.config.tokens;
        let transactions = indexer.is_none() && (self.config.tokens || self.config.collection.is_none());
        self.look_ahead(collections, tokens, transactions).await;
        if let Some(name) = self.config.collection.clone() {
            let done = self.named(&name).await;
            self.note("the collection", done);
        }
        if collections {
            let done = handles::collections(&mut self).await;
            self.note("v1 collections", done);
        }
        if tokens {
            let done = handles::tokens(&mut self).await;
            self.note("v1 tokens", done);
        }
        if transactions {
            let done = transactions::all(&mut self).await;
            self.note_transactions(done);
        }
        if let Some(indexer) = indexer {
            let done = indexer::all(&mut self, indexer).await;
            self.note("what the indexer knows", done);
        }
        self.found
    }

    /// How much there is to read, for progress only: what cannot be read is told by whoever needs it.
    async fn look_ahead(&self, collections: bool, tokens: bool, transactions: bool) {
        let expect =
            |counter: Result<Counter, _>| self.source.progress.expect(counter.map_or(0, |told| told.next.get()));
        if collections {
            expect(handles::handle(self, handles::COLLECTION_EVENTS).counter().await);
        }
        if tokens {
            expect(handles::handle(self, handles::TOKEN_EVENTS).counter().await);
        }
        if transactions {
            expect(transactions::sent(self).counter().await);
        }
    }

    /// The collection of that name, by both standards: where it must be is known, no history is needed.
    async fn named(&mut self, name: &str) -> Result<(), Failed> {
        if self.tables.is_some() {
            let thing = Thing::V1Collection { name: name.to_owned() };
            self.send(Wanted { thing, is_guess: true, created: None, seen: Version::default() }).await?;
        }
        let thing = Thing::V2Collection { object: v2_collection(&self.account, name) };
        self.send(Wanted { thing, is_guess: true, created: None, seen: Version::default() }).await?;
        self.source.progress.expect(1 + u64::from(self.tables.is_some()));
        Ok(())
    }

    /// Sends `thing`, seen in that version, to be read, unless it has been; tells whether it was sent.
    async fn want(&mut self, thing: Thing, seen: Version, is_new: bool) -> Result<bool, Failed> {
        self.send(Wanted { thing, is_guess: false, created: is_new.then_some(seen), seen }).await
    }

    async fn send(&mut self, wanted: Wanted) -> Result<bool, Failed> {
        let id = wanted.thing.id(&self.account).parse::<Address>().map(|id| *id.bytes());
        if id.is_ok_and(|id| !self.seen.insert(id)) {
            return Ok(false);
        }
        self.wanted.send(wanted).await.map(|()| true).map_err(|_| Failed::Cancelled)
    }

    /// Sends what nobody has counted before.
    async fn want_more(&mut self, thing: Thing, seen: Version, is_new: bool) -> Result<(), Failed> {
        let sent = self.want(thing, seen, is_new).await?;
        self.source.progress.expect(u64::from(sent));
        Ok(())
    }

    /// Whether collections of this name are wanted.
    fn wants(&self, collection: &str) -> bool {
        self.config.collection.as_deref().is_none_or(|name| name == collection)
    }

    fn note(&mut self, what: &str, done: Result<(), Failed>) {
        match done {
            Ok(()) | Err(Failed::Cancelled) => {}
            Err(failed) => {
                if matches!(failed, Failed::GaveUp(_)) {
                    self.source.cancel.cancel();
                }
                self.found.failures.add(what, failed.reason());
            }
        }
    }

    /// A collection that was asked for by name needs no history; its v2 tokens do, as far as there is any.
    fn note_transactions(&mut self, done: Result<(), Failed>) {
        const OTHERS: &str = "v2 collections and tokens made in this account's name by other senders (public mints, resource accounts), or by transactions without a sequence number: a node lists neither; --indexer URL finds them";
        match (done, &self.config.collection) {
            (Err(Failed::Pruned(message)), Some(name)) => {
                self.found.not_visible.push(format!("v2 tokens of {name:?}: {message}"));
            }
            (done, _) => {
                self.note("the account's transactions (v2, and v1 since the framework's module events)", done);
                self.found.not_visible.push(OTHERS.to_owned());
            }
        }
    }
}
