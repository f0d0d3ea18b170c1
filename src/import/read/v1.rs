//! The first token standard: `CollectionData` and `TokenData` in the creator's tables. Events tell only how they began.

use serde_json::{Value, json};

use super::{Failed, Read, Reader, Wanted, address, field, metadata, number, royalty, text};
use crate::chain::token::{v1_collection_id, v1_token_id};
use crate::chain::{Address, Amount};
use crate::market::Standard;
use crate::state::{ImportedCollection, ImportedToken};
use crate::subject::TableItem;

/// What a node writes where a text on chain is not UTF-8: nothing can be asked for by such a name.
const NOT_UTF8: &str = "Unparsable utf-8 ";

pub(super) async fn collection(reader: &Reader, name: &str, wanted: &Wanted) -> Result<Read, Failed> {
    must_be_text(name)?;
    let data = item(reader, wanted, "0x1::string::String", "0x3::token::CollectionData", &json!(name)).await?;
    let (supply, maximum) = counts(&data)?;
    Ok(Read::Collection(Box::new(ImportedCollection {
        collection_id: v1_collection_id(&reader.account, name).to_string(),
        creator: reader.account,
        name: name.to_owned(),
        standard: Standard::V1,
        description: Some(text(&data, "description")?),
        uri: Some(text(&data, "uri")?),
        supply,
        maximum: Some(maximum),
        metadata: metadata([("mutability", field(&data, "mutability_config")?.clone())]),
        created_version: wanted.created,
    })))
}

pub(super) async fn token(reader: &Reader, collection: &str, name: &str, wanted: &Wanted) -> Result<Read, Failed> {
    must_be_text(collection)?;
    must_be_text(name)?;
    let key = json!({ "creator": reader.account.to_string(), "collection": collection, "name": name });
    let data = item(reader, wanted, "0x3::token::TokenDataId", "0x3::token::TokenData", &key).await?;
    let (supply, maximum) = counts(&data)?;
    let told = field(&data, "royalty")?;
    let royalty = royalty(
        number(told, "royalty_points_numerator")?,
        number(told, "royalty_points_denominator")?,
        address(told, "payee_address")?,
    );
    Ok(Read::Token(Box::new(ImportedToken {
        token_id: v1_token_id(&reader.account, collection, name).to_string(),
        collection_id: v1_collection_id(&reader.account, collection).to_string(),
        creator: reader.account,
        collection_name: collection.to_owned(),
        name: name.to_owned(),
        description: Some(text(&data, "description")?),
        uri: Some(text(&data, "uri")?),
        supply,
        maximum: Some(maximum),
        metadata: metadata([
            ("royalty", royalty),
            ("mutability", field(&data, "mutability_config")?.clone()),
            ("largest_property_version", field(&data, "largest_property_version")?.clone()),
            ("properties", data.pointer("/default_properties/map/data").cloned().unwrap_or_default()),
        ]),
        created_version: wanted.created,
    })))
}

async fn item(
    reader: &Reader,
    wanted: &Wanted,
    key_type: &str,
    value_type: &str,
    key: &Value,
) -> Result<Value, Failed> {
    let tables = reader.tables.as_ref();
    let tables = tables.ok_or_else(|| Failed::Refused("created while it was imported: run it again".to_owned()))?;
    let table: Address = if value_type.ends_with("TokenData") { tables.token_data } else { tables.collection_data };
    let item = TableItem { table, key_type, value_type, key };
    reader.source.read_since(wanted.seen, async || reader.source.nodes.table_item(item).await).await
}

/// Supply and maximum. With no maximum (0) the framework does not count: its "0" is no supply.
fn counts(data: &Value) -> Result<(Option<Amount>, Amount), Failed> {
    let (supply, maximum) = (number(data, "supply")?, number(data, "maximum")?);
    let is_counted = maximum != Amount(0) || supply != Amount(0);
    Ok((is_counted.then_some(supply), maximum))
}

fn must_be_text(name: &str) -> Result<(), Failed> {
    match name.strip_prefix(NOT_UTF8) {
        None => Ok(()),
        Some(bytes) => {
            Err(Failed::Refused(format!("its name is not UTF-8 (the bytes {bytes}): it cannot be asked for")))
        }
    }
}
