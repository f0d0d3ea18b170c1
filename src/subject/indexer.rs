//! A GraphQL indexer: it knows what was made in the name of creators that do not sign transactions themselves.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::answer::{Answer, shortened};
use super::node::Question;
use super::{Config, NodeUrl, Nodes, SubjectError};
use crate::chain::Address;

/// The official indexer's API, or one that answers the same queries.
pub struct Indexer {
    nodes: Nodes,
    url: NodeUrl,
}

/// A collection that an indexer knows.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct IndexedCollection {
    /// v1: the hash of creator and name; v2: the object's address.
    pub collection_id: String,
    /// Its name.
    pub collection_name: String,
    /// `v1` or `v2`.
    pub token_standard: String,
}

/// A token that an indexer knows.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct IndexedToken {
    /// v1: the hash of creator, collection and name; v2: the object's address.
    pub token_data_id: String,
    /// Its name.
    pub token_name: String,
    /// `v1` or `v2`.
    pub token_standard: String,
    /// Its collection.
    pub current_collection: NamedCollection,
}

/// The name of a token's collection.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct NamedCollection {
    /// Its name.
    pub collection_name: String,
}

impl Indexer {
    /// As many as are asked for at once.
    const PAGE: usize = 100;

    /// The indexer at this address. Nothing is sent yet, and never a key.
    pub fn new(url: NodeUrl) -> Result<Self, String> {
        let nodes = Nodes::new(Config { nodes: vec![(url.clone(), None)], archive: None })?;
        Ok(Self { nodes: nodes.with_remedy("; check --indexer, which must be a GraphQL address"), url })
    }

    /// The collections that `creator` made, by ascending id, behind the first `offset`. Empty: that is all.
    pub async fn collections(&self, creator: Address, offset: usize) -> Result<Vec<IndexedCollection>, SubjectError> {
        const FIELDS: &str = "collection_id collection_name token_standard";
        let which = "creator_address:{_eq:$c}";
        self.rows("current_collections_v2", which, "collection_id", FIELDS, creator, offset).await
    }

    /// The tokens of those collections, likewise.
    pub async fn tokens(&self, creator: Address, offset: usize) -> Result<Vec<IndexedToken>, SubjectError> {
        const FIELDS: &str = "token_data_id token_name token_standard current_collection{collection_name}";
        let which = "current_collection:{creator_address:{_eq:$c}}";
        self.rows("current_token_datas_v2", which, "token_data_id", FIELDS, creator, offset).await
    }

    async fn rows<T: DeserializeOwned>(
        &self,
        table: &str,
        which: &str,
        order: &str,
        fields: &str,
        creator: Address,
        offset: usize,
    ) -> Result<Vec<T>, SubjectError> {
        let query = format!(
            "query($c:String!,$o:Int!){{{table}(where:{{{which}}},order_by:{{{order}:asc}},limit:{},offset:$o){{{fields}}}}}",
            Self::PAGE
        );
        let body = json!({ "query": query, "variables": { "c": creator.to_string(), "o": offset } }).to_string();
        let read = |answer: &Answer| answer.json().map(|answer: Value| read_rows(&answer, table));
        let (rows, _) = self.nodes.ask(Question::post("", &body), read).await?;
        rows.map_err(|said| SubjectError::Refused(format!("{} {said}; check --indexer", self.url)))
    }
}

/// GraphQL tells of errors with status 200.
fn read_rows<T: DeserializeOwned>(answer: &Value, table: &str) -> Result<Vec<T>, String> {
    if let Some(message) = answer.pointer("/errors/0/message").and_then(Value::as_str) {
        return Err(format!("refused the query: {}", shortened(message)));
    }
    let rows = answer.pointer(&format!("/data/{table}")).ok_or("is no such indexer: it answered no data")?;
    Vec::deserialize(rows).map_err(|error| format!("answered rows that cannot be read: {error}"))
}
