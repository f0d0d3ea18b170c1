//! The second token standard: an object's resources, all in one read.

use serde_json::{Map, Value, json};

use super::{Failed, Read, Reader, Wanted, address, field, number, royalty, text};
use crate::chain::{Address, Amount};
use crate::market::Standard;
use crate::state::{ImportedCollection, ImportedToken};
use crate::subject::Resource;

/// `max_value` of a count without a limit.
const NO_LIMIT: Amount = Amount::MAX_COUNT;

pub(super) async fn collection(reader: &Reader, object: Address, wanted: &Wanted) -> Result<Read, Failed> {
    let resources = resources(reader, object, wanted).await?;
    let Some(data) = find(&resources, "0x4::collection::Collection") else { return Err(gone(object)) };
    let cell = reader.collection_cell(object);
    if address(data, "creator")? != reader.account {
        let _ = cell.set(None);
        return Ok(Read::NotOurs);
    }
    let name = text(data, "name")?;
    let _ = cell.set(Some(name.clone()));
    let (supply, maximum) = counts(&resources)?;
    let mut metadata = common_metadata(&resources)?;
    if let Some(flags) = find(&resources, "0x4::aptos_token::AptosCollection").and_then(Value::as_object) {
        let mutable = flags.iter().filter_map(|(key, flag)| Some((key.strip_prefix("mutable_")?, flag.clone())));
        let mutable: Map<String, Value> = mutable.map(|(key, flag)| (key.to_owned(), flag)).collect();
        metadata.insert("mutability".to_owned(), mutable.into());
    }
    Ok(Read::Collection(Box::new(ImportedCollection {
        collection_id: object.to_string(),
        creator: reader.account,
        name,
        standard: Standard::V2,
        description: Some(text(data, "description")?),
        uri: Some(text(data, "uri")?),
        supply,
        maximum,
        metadata,
        // No event tells of a collection's creation, and a write of it may be a later one.
        created_version: None,
    })))
}

/// A token of a collection that is somebody else's is nobody's business, burned or not.
pub(super) async fn token(
    reader: &Reader,
    object: Address,
    collection: Option<Address>,
    wanted: &Wanted,
) -> Result<Read, Failed> {
    if let Some(collection) = collection
        && name_if_ours(reader, collection, wanted).await?.is_none()
    {
        return Ok(Read::NotOurs);
    }
    let resources = resources(reader, object, wanted).await?;
    let Some(data) = find(&resources, "0x4::token::Token") else { return Err(gone(object)) };
    let parent = address(field(data, "collection")?, "inner")?;
    let Some(collection_name) = name_if_ours(reader, parent, wanted).await? else { return Ok(Read::NotOurs) };
    // Newer tokens keep name and index apart, and leave `name` empty.
    let identifiers = find(&resources, "0x4::token::TokenIdentifiers");
    let name = match (text(data, "name")?, identifiers) {
        (name, Some(identifiers)) if name.is_empty() => text(field(identifiers, "name")?, "value")?,
        (name, _) => name,
    };
    Ok(Read::Token(Box::new(ImportedToken {
        token_id: object.to_string(),
        collection_id: parent.to_string(),
        creator: reader.account,
        collection_name,
        name,
        description: Some(text(data, "description")?),
        uri: Some(text(data, "uri")?),
        supply: None,
        maximum: None,
        metadata: common_metadata(&resources)?,
        created_version: wanted.created,
    })))
}

/// The name of a collection, if it is there and the account is its creator. Asked once for each.
async fn name_if_ours(reader: &Reader, collection: Address, wanted: &Wanted) -> Result<Option<String>, Failed> {
    let cell = reader.collection_cell(collection);
    let asking = async || {
        let resources = match resources(reader, collection, wanted).await {
            Err(Failed::Missing(_)) => vec![],
            known => known?,
        };
        let Some(data) = find(&resources, "0x4::collection::Collection") else { return Ok(None) };
        let is_ours = address(data, "creator")? == reader.account;
        Ok(if is_ours { Some(text(data, "name")?) } else { None })
    };
    cell.get_or_try_init(asking).await.cloned()
}

async fn resources(reader: &Reader, object: Address, wanted: &Wanted) -> Result<Vec<Resource>, Failed> {
    reader.source.read_since(wanted.seen, async || reader.source.nodes.resources(object).await).await
}

fn find<'a>(resources: &'a [Resource], kind: &str) -> Option<&'a Value> {
    resources.iter().find(|resource| resource.kind == kind).map(|resource| &resource.data)
}

/// Supply and maximum (0: no limit), where there is one of the three kinds of supply.
fn counts(resources: &[Resource]) -> Result<(Option<Amount>, Option<Amount>), Failed> {
    if let Some(supply) = find(resources, "0x4::collection::ConcurrentSupply") {
        let current = field(supply, "current_supply")?;
        let maximum = number(current, "max_value")?;
        let maximum = if maximum == NO_LIMIT { Amount(0) } else { maximum };
        return Ok((Some(number(current, "value")?), Some(maximum)));
    }
    if let Some(supply) = find(resources, "0x4::collection::FixedSupply") {
        return Ok((Some(number(supply, "current_supply")?), Some(number(supply, "max_supply")?)));
    }
    if let Some(supply) = find(resources, "0x4::collection::UnlimitedSupply") {
        return Ok((Some(number(supply, "current_supply")?), Some(Amount(0))));
    }
    Ok((None, None))
}

/// The object's owner, royalty and properties: as of the import, unlike `tokens.owner`, which follows the market's events.
fn common_metadata(resources: &[Resource]) -> Result<Map<String, Value>, Failed> {
    let mut metadata = Map::new();
    if let Some(core) = find(resources, "0x1::object::ObjectCore") {
        metadata.insert("owner_when_imported".to_owned(), json!(address(core, "owner")?.to_string()));
    }
    if let Some(told) = find(resources, "0x4::royalty::Royalty") {
        let (numerator, denominator) = (number(told, "numerator")?, number(told, "denominator")?);
        let royalty = royalty(numerator, denominator, address(told, "payee_address")?);
        metadata.insert("royalty".to_owned(), royalty);
    }
    if let Some(properties) =
        find(resources, "0x4::property_map::PropertyMap").and_then(|map| map.pointer("/inner/data"))
    {
        metadata.insert("properties".to_owned(), properties.clone());
    }
    Ok(metadata)
}

/// An address without the resource that was looked for.
fn gone(object: Address) -> Failed {
    Failed::Missing(format!("there is nothing at {object} any more"))
}
