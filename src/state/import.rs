//! Writing what an import has found: only the columns that importing owns, and those that nobody has written yet.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::{ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, Order, QueryFilter, QueryOrder};
use serde_json::{Map, Value};

use super::entities::{checkpoints, collections, imports, tokens};
use super::load::chunks;
use super::plan::all_but;
use super::tables::Tables;
use super::value::now;
use super::write::Statements;
use super::{Store, StoreError, convert};
use crate::chain::{Address, Amount, ChainId, Version};
use crate::market::fold::token::ImportedColumns;
use crate::market::{Standard, storable};

/// A collection as its source has it now. What is `None`, the source does not tell: such a column stays as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedCollection {
    /// `collections.collection_id`.
    pub collection_id: String,
    pub creator: Address,
    pub name: String,
    pub standard: Standard,
    pub description: Option<String>,
    pub uri: Option<String>,
    /// How many tokens there are now, where the chain counts them.
    pub supply: Option<Amount>,
    /// How many there may ever be; 0 for no limit.
    pub maximum: Option<Amount>,
    /// Keys that are added to, or replaced in, `collections.metadata`.
    pub metadata: Map<String, Value>,
    pub created_version: Option<Version>,
}

/// A token, likewise; all its property versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedToken {
    /// `tokens.token_id`.
    pub token_id: String,
    pub collection_id: String,
    pub creator: Address,
    pub collection_name: String,
    pub name: String,
    pub description: Option<String>,
    pub uri: Option<String>,
    pub supply: Option<Amount>,
    pub maximum: Option<Amount>,
    pub metadata: Map<String, Value>,
    pub created_version: Option<Version>,
}

/// What goes into one transaction. Of a row that is there twice, the last one counts.
#[derive(Debug, Clone, Default)]
pub struct Import {
    pub collections: Vec<ImportedCollection>,
    pub tokens: Vec<ImportedToken>,
}

/// What an import did, or would do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Imported {
    pub collections: Effects,
    pub tokens: Effects,
}

/// How many rows were not there, were different, or were just so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Effects {
    pub new: u64,
    pub changed: u64,
    pub unchanged: u64,
}

impl Store {
    /// Writes what was found, in one transaction; rows that are just so are not touched.
    pub async fn import(&self, import: &Import) -> Result<Imported, StoreError> {
        let transaction = self.begin().await?;
        let imported = self.write_import(&transaction, import).await;
        self.end(transaction, imported).await
    }

    /// What [`Store::import`] would do. Nothing is written or locked.
    pub async fn weigh_import(&self, import: &Import) -> Result<Imported, StoreError> {
        let (tokens, collections) = plan(&self.db, import).await?;
        Ok(Imported { collections: collections.effects, tokens: tokens.effects })
    }

    /// Notes that `account` is imported as of this version, from this chain.
    pub async fn record_import(&self, account: Address, chain: ChainId, version: Version) -> Result<(), StoreError> {
        let row = imports::Model {
            account: account.to_string(),
            chain_id: i32::from(chain),
            ledger_version: version.column(),
            updated_at: now(),
        };
        self.upsert::<imports::Entity>(vec![row], &all_but(&[imports::Column::Account])).await
    }

    /// The chain that the stored events, or what was imported, are of.
    pub async fn chain_id(&self) -> Result<Option<ChainId>, StoreError> {
        let executed =
            checkpoints::Entity::find().filter(checkpoints::Column::ChainId.is_not_null()).one(&self.db).await?;
        let chain = match executed.and_then(|checkpoint| checkpoint.chain_id) {
            Some(chain) => Some(chain),
            None => imports::Entity::find().one(&self.db).await?.map(|import| import.chain_id),
        };
        Ok(chain.and_then(|chain| ChainId::try_from(chain).ok()))
    }

    async fn write_import(&self, transaction: &DatabaseTransaction, import: &Import) -> Result<Imported, StoreError> {
        self.count_up(transaction, None).await?;
        let (tokens, collections) = plan(transaction, import).await?;
        let effects = Imported { collections: collections.effects, tokens: tokens.effects };
        let mut writes = Statements::new(self.backend, Tables::Live);
        let owned = [
            tokens::Column::TokenId,
            tokens::Column::PropertyVersion,
            tokens::Column::Owner,
            tokens::Column::OwnerVersion,
            tokens::Column::OwnerPlace,
            tokens::Column::OwnerSeqNo,
        ];
        writes.insert::<tokens::Entity>(tokens.new)?;
        writes.replace::<tokens::Entity>(tokens.changed, &all_but(&owned))?;
        writes.insert::<collections::Entity>(collections.new)?;
        let owned = [collections::Column::CollectionId];
        writes.replace::<collections::Entity>(collections.changed, &all_but(&owned))?;
        for statement in writes.done() {
            self.write(transaction, statement).await?;
        }
        Ok(effects)
    }
}

/// The rows of one table to insert, and to rewrite.
struct Plan<M> {
    new: Vec<M>,
    changed: Vec<M>,
    effects: Effects,
}

impl<M> Default for Plan<M> {
    fn default() -> Self {
        Self { new: vec![], changed: vec![], effects: Effects::default() }
    }
}

async fn plan(
    db: &impl ConnectionTrait,
    import: &Import,
) -> Result<(Plan<tokens::Model>, Plan<collections::Model>), StoreError> {
    let told: BTreeMap<_, _> = import.tokens.iter().map(|token| (token.token_id.clone(), token)).collect();
    let mut known: BTreeMap<String, Vec<tokens::Model>> = BTreeMap::new();
    for ids in chunks(db.get_database_backend(), &told.keys().cloned().collect::<BTreeSet<_>>()) {
        let query = tokens::Entity::find()
            .filter(tokens::Column::TokenId.is_in(ids))
            .order_by(tokens::Column::PropertyVersion, Order::Asc);
        for row in query.all(db).await? {
            known.entry(row.token_id.clone()).or_default().push(row);
        }
    }
    let mut tokens = Plan::default();
    for (id, told) in told {
        tokens.token(told, known.remove(&id).unwrap_or_default());
    }

    let told: BTreeMap<_, _> = import.collections.iter().map(|told| (told.collection_id.clone(), told)).collect();
    let mut known = BTreeMap::new();
    for ids in chunks(db.get_database_backend(), &told.keys().cloned().collect::<BTreeSet<_>>()) {
        let query = collections::Entity::find().filter(collections::Column::CollectionId.is_in(ids));
        known.extend(query.all(db).await?.into_iter().map(|row| (row.collection_id.clone(), row)));
    }
    let mut collections = Plan::default();
    for (id, told) in told {
        collections.collection(told, known.remove(&id));
    }
    Ok((tokens, collections))
}

impl Plan<tokens::Model> {
    /// All property versions share what is told; 0 is there always.
    fn token(&mut self, told: &ImportedToken, known: Vec<tokens::Model>) {
        let has_first = known.iter().any(|row| row.property_version == 0);
        let mut changed = false;
        for row in known {
            let merged = merged_token(told, row.clone());
            if merged != row {
                changed = true;
                self.changed.push(tokens::Model { updated_at: now(), ..merged });
            }
        }
        if !has_first {
            self.new.push(merged_token(told, new_token(told)));
        }
        self.effects.count(!has_first, changed);
    }
}

impl Plan<collections::Model> {
    fn collection(&mut self, told: &ImportedCollection, known: Option<collections::Model>) {
        let Some(row) = known else {
            self.new.push(merged_collection(told, new_collection(told)));
            return self.effects.count(true, false);
        };
        let merged = merged_collection(told, row.clone());
        self.effects.count(false, merged != row);
        if merged != row {
            self.changed.push(collections::Model { updated_at: now(), ..merged });
        }
    }
}

impl Effects {
    fn count(&mut self, new: bool, changed: bool) {
        match (new, changed) {
            (true, _) => self.new += 1,
            (false, true) => self.changed += 1,
            (false, false) => self.unchanged += 1,
        }
    }
}

fn merged_token(told: &ImportedToken, row: tokens::Model) -> tokens::Model {
    tokens::Model {
        description: told.description.as_deref().map(stored_text).or(row.description),
        uri: told.uri.as_deref().map(stored_text).or(row.uri),
        supply: told.supply.or(row.supply),
        maximum: told.maximum.or(row.maximum),
        metadata: merged_json(row.metadata, &told.metadata),
        imported: row.imported | told_columns(told.description.as_ref(), told.uri.as_ref(), told.maximum),
        collection_id: row.collection_id.or_else(|| Some(told.collection_id.clone())),
        creator: row.creator.or_else(|| Some(told.creator.to_string())),
        collection_name: row.collection_name.or_else(|| Some(stored_text(&told.collection_name))),
        name: row.name.or_else(|| Some(stored_text(&told.name))),
        // The rule of the fold: which of them comes first makes no difference.
        created_version: row.created_version.max(told.created_version.map(Version::column)),
        ..row
    }
}

fn new_token(told: &ImportedToken) -> tokens::Model {
    tokens::Model {
        token_id: told.token_id.clone(),
        property_version: 0,
        collection_id: None,
        creator: None,
        collection_name: None,
        name: None,
        description: None,
        uri: None,
        created_version: None,
        owner: None,
        owner_version: None,
        owner_place: None,
        owner_seq_no: None,
        supply: None,
        maximum: None,
        metadata: None,
        imported: 0,
        updated_at: now(),
    }
}

fn merged_collection(told: &ImportedCollection, row: collections::Model) -> collections::Model {
    collections::Model {
        description: told.description.as_deref().map(stored_text).or(row.description),
        uri: told.uri.as_deref().map(stored_text).or(row.uri),
        supply: told.supply.or(row.supply),
        maximum: told.maximum.or(row.maximum),
        metadata: merged_json(row.metadata, &told.metadata),
        imported: row.imported | told_columns(told.description.as_ref(), told.uri.as_ref(), told.maximum),
        creator: row.creator.or_else(|| Some(told.creator.to_string())),
        name: row.name.or_else(|| Some(stored_text(&told.name))),
        // The rule of the fold: which of them comes first makes no difference.
        created_version: row.created_version.max(told.created_version.map(Version::column)),
        ..row
    }
}

fn new_collection(told: &ImportedCollection) -> collections::Model {
    collections::Model {
        collection_id: told.collection_id.clone(),
        creator: None,
        name: None,
        description: None,
        uri: None,
        standard: told.standard.name().to_owned(),
        supply: None,
        maximum: None,
        metadata: None,
        created_version: None,
        imported: 0,
        updated_at: now(),
    }
}

/// The columns that folding leaves alone from now on.
fn told_columns(description: Option<&String>, uri: Option<&String>, maximum: Option<Amount>) -> i32 {
    convert::imported_column(ImportedColumns {
        description: description.is_some(),
        uri: uri.is_some(),
        maximum: maximum.is_some(),
    })
}

/// `known`, with `told` added or in its place, key by key.
fn merged_json(known: Option<String>, told: &Map<String, Value>) -> Option<String> {
    if told.is_empty() {
        return known;
    }
    let mut all: Map<String, Value> =
        known.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    all.extend(told.clone());
    Some(Value::Object(all).to_string())
}

fn stored_text(text: &str) -> String {
    storable(text).into_owned()
}
