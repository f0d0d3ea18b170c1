//! A GraphQL indexer: it knows the collections of creators that do not sign transactions themselves.

use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{Answer, shortened};
use super::node::Question;
use super::{Config, NodeUrl, Nodes, SubjectError};
use crate::chain::Address;

/// The official indexer's API, or one that answers the same query.
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

impl Indexer {
    /// As many as are asked for at once.
    pub const PAGE: usize = 100;

    /// The indexer at this address. Nothing is sent yet, and never a key.
    pub fn new(url: NodeUrl) -> Result<Self, String> {
        let nodes = Nodes::new(Config { nodes: vec![(url.clone(), None)], archive: None })?;
        Ok(Self { nodes: nodes.with_remedy("; check --indexer, which must be a GraphQL address"), url })
    }

    /// A page of the collections that `creator` made, by ascending id.
    pub async fn collections(&self, creator: Address, offset: usize) -> Result<Vec<IndexedCollection>, SubjectError> {
        let query = format!(
            "query($c:String!,$o:Int!){{current_collections_v2(where:{{creator_address:{{_eq:$c}}}},order_by:{{collection_id:asc}},limit:{},offset:$o){{collection_id collection_name token_standard}}}}",
            Self::PAGE
        );
        let body = json!({ "query": query, "variables": { "c": creator.to_string(), "o": offset } }).to_string();
        let read = |answer: &Answer| {
            let answer: Value = answer.json()?;
            Ok(rows(&answer))
        };
        let (rows, _) = self.nodes.ask(Question::post("", &body), read).await?;
        rows.map_err(|said| SubjectError::Refused(format!("{} {said}; check --indexer", self.url)))
    }
}

/// GraphQL tells of errors with status 200.
fn rows(answer: &Value) -> Result<Vec<IndexedCollection>, String> {
    if let Some(message) = answer.pointer("/errors/0/message").and_then(Value::as_str) {
        return Err(format!("refused the query: {}", shortened(message)));
    }
    let rows = answer.pointer("/data/current_collections_v2").ok_or("is no such indexer: it answered no data")?;
    Vec::deserialize(rows).map_err(|error| format!("answered rows that cannot be read: {error}"))
}
