//! Items of the creators' tables, asked for by key.

use serde_json::Value;

use super::address::{self, Address};
use super::answer::Refusal;
use super::http::View;
use super::query::{self, Query};
use super::v1::Table;

/// What a request asks for.
struct Wanted {
    table: Table,
    key: Value,
}

impl View<'_> {
    /// `POST /tables/{handle}/item`
    pub fn table_item(&self, handle: &str, body: &[u8], query: &Query<'_>) -> Result<String, Refusal> {
        let handle = query::named_address("table_handle", handle)?;
        let wanted = Wanted::read(body)?;
        let version = self.asked_version(query)?;
        let found = self.find_item(&address::bytes(&handle), &wanted, version)?;
        found.map(|item| item.to_string()).ok_or_else(|| {
            let key = &wanted.key;
            let message = format!(
                "Table Item not found by Table handle({handle}), Table key({key}) and Ledger version({version})"
            );
            Refusal::not_found("table_item_not_found", &message)
        })
    }

    fn find_item(&self, handle: &Address, wanted: &Wanted, version: u64) -> Result<Option<Value>, Refusal> {
        // Applied to the handle, what made it of the creator gives the creator again.
        let creator = self.creator(&wanted.table.handle(handle)).filter(|creator| creator.has_tables(version));
        match wanted.table {
            Table::Collections => {
                let name = text(&wanted.key, "String")?;
                let item = creator.and_then(|creator| creator.collection(name, version));
                Ok(item.map(|collection| collection.item().value))
            }
            Table::Tokens => {
                let field = |name: &str| text(&wanted.key[name], "TokenDataId");
                let owner = query::address(field("creator")?).map_err(|_| bad_key("TokenDataId"))?;
                let (collection, name) = (field("collection")?, field("name")?);
                let creator = creator.filter(|creator| creator.address() == address::bytes(&owner));
                let item = creator.and_then(|creator| creator.token(collection, name, version));
                Ok(item.map(|token| token.item().value))
            }
        }
    }
}

impl Wanted {
    fn read(body: &[u8]) -> Result<Self, Refusal> {
        let body: Value = serde_json::from_slice(body)
            .map_err(|error| Refusal::invalid(&format!("failed to parse the request body: {error}")))?;
        let field = |name: &str| {
            let text = body[name].as_str();
            text.ok_or_else(|| Refusal::invalid(&format!("failed to parse the request body: missing field `{name}`")))
        };
        let (key_type, value_type) = (field("key_type")?, field("value_type")?);
        let table = Table::ALL.into_iter().find(|table| table.types() == (key_type, value_type)).ok_or_else(|| {
            Refusal::invalid(&format!("no table here has keys of type {key_type} and values of type {value_type}"))
        })?;
        let key = body.get("key").cloned().ok_or_else(|| bad_key(key_type))?;
        Ok(Self { table, key })
    }
}

fn text<'a>(value: &'a Value, kind: &str) -> Result<&'a str, Refusal> {
    value.as_str().ok_or_else(|| bad_key(kind))
}

fn bad_key(kind: &str) -> Refusal {
    Refusal::invalid(&format!("parse arguments failed: expected a key of type {kind}"))
}
