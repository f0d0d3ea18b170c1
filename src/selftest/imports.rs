//! Simulated imports, of collections and tokens that some event tells of, and what must be left of them.

use std::collections::BTreeMap;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value};

use crate::chain::Amount;
use crate::market::fold::Entry;
use crate::state::entities::{collections, tokens};
use crate::state::{Import, ImportedCollection, ImportedToken};

/// What imports have told so far: of each thing the newest of each.
#[derive(Default)]
pub struct Imports {
    collections: BTreeMap<String, Told>,
    tokens: BTreeMap<String, Told>,
}

/// What importing owns; what was never told is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Told {
    description: Option<String>,
    uri: Option<String>,
    supply: Option<Amount>,
    maximum: Option<Amount>,
    metadata: Option<String>,
}

impl Imports {
    /// An import of what some event of `entries` is about; with its words for the trace.
    pub fn draw(&mut self, entries: &[Entry], rng: &mut ChaCha8Rng) -> Option<(Import, String)> {
        let entry = entries.get(rng.random_range(0..entries.len().max(1)))?;
        let item = &entry.event.item;
        let (collection, creator, name) =
            (item.collection_id?.to_string(), item.creator?, item.collection_name.as_ref()?);
        let number = rng.random_range(1..1_000_u32);
        let mut metadata = Map::new();
        metadata.insert("number".to_owned(), Value::from(number));
        let (description, uri) = (format!("imported {number}"), format!("https://example.com/{number}"));
        let mut import = Import::default();
        // Of a token the version that every token has.
        if let (Some(id), Some(token), 0) = (item.token_id, &item.token_name, item.property_version) {
            import.tokens.push(ImportedToken {
                token_id: id.to_string(),
                collection_id: collection,
                creator,
                collection_name: name.to_string(),
                name: token.to_string(),
                // Every source tells these two.
                description: Some(description),
                uri: Some(uri),
                supply: Some(Amount(u128::from(number))),
                maximum: rng.random_bool(0.5).then_some(Amount(1_000)),
                metadata,
                created_version: None,
            });
            let told = &import.tokens[0];
            self.tokens.entry(told.token_id.clone()).or_default().take(Told {
                description: told.description.clone(),
                uri: told.uri.clone(),
                supply: told.supply,
                maximum: told.maximum,
                metadata: Some(Value::Object(told.metadata.clone()).to_string()),
            });
            return Some((import, format!("of the token {id}")));
        }
        let line = format!("of the collection {collection}");
        import.collections.push(ImportedCollection {
            collection_id: collection,
            creator,
            name: name.to_string(),
            standard: entry.event.standard,
            description: rng.random_bool(0.5).then_some(description),
            uri: rng.random_bool(0.5).then_some(uri),
            supply: rng.random_bool(0.5).then(|| Amount(u128::from(number))),
            maximum: rng.random_bool(0.5).then_some(Amount(1_000)),
            metadata,
            created_version: None,
        });
        let told = &import.collections[0];
        self.collections.entry(told.collection_id.clone()).or_default().take(Told {
            description: told.description.clone(),
            uri: told.uri.clone(),
            supply: told.supply,
            maximum: told.maximum,
            metadata: Some(Value::Object(told.metadata.clone()).to_string()),
        });
        Some((import, line))
    }

    /// What of it a collection's row has lost, in words.
    pub fn missing_of_collection(&self, row: &collections::Model) -> Option<String> {
        let collections::Model { description, uri, supply, maximum, metadata, .. } = row.clone();
        let found = Told { description, uri, supply, maximum, metadata };
        self.collections.get(&row.collection_id)?.missing_in(&found)
    }

    /// The same of a token's row.
    pub fn missing_of_token(&self, row: &tokens::Model) -> Option<String> {
        let tokens::Model { description, uri, supply, maximum, metadata, .. } = row.clone();
        let found = Told { description, uri, supply, maximum, metadata };
        // Versions that came later never heard of it.
        self.tokens.get(&row.token_id).filter(|_| row.property_version == 0)?.missing_in(&found)
    }

    /// Whether a token's row may be there though no event tells of it.
    pub fn made(&self, row: &tokens::Model) -> bool {
        row.property_version == 0 && self.tokens.contains_key(&row.token_id)
    }

    /// Whether a collection's may.
    pub fn made_collection(&self, row: &collections::Model) -> bool {
        self.collections.contains_key(&row.collection_id)
    }
}

impl Told {
    fn take(&mut self, newer: Self) {
        let Self { description, uri, supply, maximum, metadata } = newer;
        self.description = description.or(self.description.take());
        self.uri = uri.or(self.uri.take());
        self.supply = supply.or(self.supply);
        self.maximum = maximum.or(self.maximum);
        self.metadata = metadata.or(self.metadata.take());
    }

    fn missing_in(&self, found: &Self) -> Option<String> {
        let mut all = found.clone();
        all.take(self.clone());
        (all != *found).then(|| format!("imports have told {self:?}, found {found:?}"))
    }
}
