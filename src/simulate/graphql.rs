//! The indexer beside a node, as far as it is asked which collections and tokens somebody has created.

use chrono::DateTime;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::address;
use super::creator::{Created, Indexed};
use super::http::View;
use super::v1::Table;

/// What can be asked for.
const COLLECTIONS: &str = "current_collections_v2";
const TOKENS: &str = "current_token_datas_v2";
/// What is known about each token.
const TOKEN_FIELDS: [&str; 7] = [
    "token_data_id",
    "token_name",
    "description",
    "token_uri",
    "token_standard",
    "current_collection",
    "collection_name",
];
/// What is known about each collection.
const COLLECTION_FIELDS: [&str; 14] = [
    "collection_id",
    "collection_name",
    "creator_address",
    "current_supply",
    "max_supply",
    "total_minted_v2",
    "description",
    "uri",
    "token_standard",
    "table_handle_v1",
    "mutable_uri",
    "mutable_description",
    "last_transaction_version",
    "last_transaction_timestamp",
];
/// More rows are never given.
const MOST: usize = 100;

/// What a query asks for.
struct Asked {
    root: &'static str,
    creator: String,
    offset: usize,
    limit: usize,
    fields: Vec<String>,
}

impl View<'_> {
    /// `POST /graphql`: what cannot be answered is told with status 200, as GraphQL does.
    pub fn graphql(&self, body: &[u8]) -> String {
        match Asked::read(body) {
            Ok(asked) => json!({"data": {asked.root: self.rows(&asked)}}).to_string(),
            Err(message) => json!({"errors": [{"message": message}]}).to_string(),
        }
    }

    fn rows(&self, asked: &Asked) -> Value {
        let creator = address::bytes(&asked.creator);
        // The indexer compares text: an address that is not padded has created nothing.
        if address::padded(&creator) != asked.creator {
            return json!([]);
        }
        let Some(creator) = self.creator(&creator) else { return json!([]) };
        if asked.root == TOKENS {
            return tokens(creator.created(self.head.version), asked);
        }
        let rows = creator.indexed(self.head.version, asked.offset, asked.limit);
        rows.iter().map(|row| self.row(row, asked)).collect()
    }

    fn row(&self, row: &Indexed, asked: &Asked) -> Value {
        let is_v1 = row.standard == "v1";
        let table = Table::Collections.handle(&address::bytes(&asked.creator));
        let time = DateTime::from_timestamp_micros(self.ledger.timestamp(row.version)).unwrap_or_default();
        let all = json!({
            "collection_id": row.id,
            "collection_name": row.name,
            "creator_address": asked.creator,
            "current_supply": row.supply,
            "max_supply": row.maximum,
            "total_minted_v2": row.minted,
            "description": row.description,
            "uri": row.uri,
            "token_standard": row.standard,
            "table_handle_v1": is_v1.then(|| address::padded(&table)),
            "mutable_uri": true,
            "mutable_description": true,
            "last_transaction_version": row.version,
            "last_transaction_timestamp": time.format("%Y-%m-%dT%H:%M:%S%.6f").to_string(),
        });
        asked.fields.iter().map(|field| (field.clone(), all[field].clone())).collect::<Map<_, _>>().into()
    }
}

/// Tokens that are there, by their ids.
fn tokens(created: Vec<Created>, asked: &Asked) -> Value {
    let id = |one: &Created, name: &str| {
        let hash = || Sha256::digest(format!("{}::{}::{name}", asked.creator, one.collection));
        one.object.clone().unwrap_or_else(|| format!("0x{}", hex::encode(hash())))
    };
    let there = created.into_iter().filter(|one| !one.burned);
    let mut rows: Vec<_> = there.filter_map(|one| Some((id(&one, one.token.as_deref()?), one))).collect();
    rows.sort_unstable_by(|(id, _), (other, _)| id.cmp(other));
    let row = |(id, one): (String, Created)| {
        let all = json!({
            "token_data_id": id,
            "token_name": one.token,
            "description": one.description,
            "token_uri": one.uri,
            "token_standard": one.standard,
            "current_collection": {"collection_name": one.collection},
        });
        let fields = asked.fields.iter().filter(|field| *field != "collection_name");
        Value::from(fields.map(|field| (field.clone(), all[field].clone())).collect::<Map<_, _>>())
    };
    rows.into_iter().skip(asked.offset).take(asked.limit).map(row).collect()
}

impl Asked {
    /// Reads the one kind of query there is, whatever its blanks and the names of its variables.
    fn read(body: &[u8]) -> Result<Self, String> {
        let body: Value = serde_json::from_slice(body).map_err(|error| format!("invalid JSON: {error}"))?;
        let words = words(body["query"].as_str().ok_or("expected a query")?);
        let known = words.iter().zip(0..).find_map(|(word, at)| match word.as_str() {
            COLLECTIONS => Some((COLLECTIONS, &COLLECTION_FIELDS[..], at)),
            TOKENS => Some((TOKENS, &TOKEN_FIELDS[..], at)),
            _ => None,
        });
        let (name, known, root) = known.ok_or(format!("only {COLLECTIONS} and {TOKENS} can be asked for"))?;
        let end = words.iter().skip(root).position(|word| word == ")").ok_or("expected arguments")? + root;
        let argument = |name: &str| {
            let at = words[root..end].iter().position(|word| word == name)? + root;
            let value = words.get(at + 2)?;
            Some(value.strip_prefix('$').map_or_else(|| literal(value), |name| body["variables"][name].clone()))
        };
        let number = |name: &str, usual: usize| match argument(name) {
            Some(value) => {
                value.as_u64().and_then(|number| usize::try_from(number).ok()).ok_or(format!("{name} is no Int"))
            }
            None => Ok(usual),
        };
        let creator = argument("_eq").and_then(|creator| creator.as_str().map(str::to_owned));
        if argument("creator_address").is_none() || argument("order_by").is_none() {
            return Err("expected creator_address, and an order".to_owned());
        }
        let fields: Vec<String> =
            words[end..].iter().filter(|word| word.starts_with(char::is_alphabetic)).cloned().collect();
        if let Some(unknown) = fields.iter().find(|field| !known.contains(&field.as_str())) {
            return Err(format!("field '{unknown}' not found in type: '{name}'"));
        }
        Ok(Self {
            root: name,
            creator: creator.ok_or("expected variables")?,
            offset: number("offset", 0)?,
            limit: number("limit", MOST)?.min(MOST),
            fields,
        })
    }
}

/// Names, values and signs, each on its own.
fn words(query: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for sign in query.chars() {
        let is_part = sign.is_alphanumeric() || "_$\"".contains(sign);
        match words.last_mut() {
            Some(word) if is_part && !matches!(word.as_str(), "(" | ")" | "{" | "}" | ":") => word.push(sign),
            _ if is_part => words.push(sign.to_string()),
            _ if "(){}:".contains(sign) => words.push(sign.to_string()),
            _ => words.push(String::new()),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

fn literal(word: &str) -> Value {
    serde_json::from_str(word).unwrap_or_else(|_| Value::from(word))
}
