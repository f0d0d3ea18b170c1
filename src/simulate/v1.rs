//! Collections and tokens of the older standard, `0x3::token`: items of their creator's tables.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::address::{self, Address};
use super::bcs::Bcs;
use super::state::{Item, Resource, handle};

/// The resource that holds a creator's tables and handles.
pub const COLLECTIONS: &str = "0x3::token::Collections";
/// Creation number of `create_collection_events`; those of an account and its coins come before.
pub const COLLECTION_EVENTS: u64 = 4;
/// Creation number of `create_token_data_events`.
pub const TOKEN_EVENTS: u64 = 5;
/// Creation number of `mint_token_events`.
pub const MINT_EVENTS: u64 = 6;
/// The first creation number that a creator's account has left.
pub const NUMBERS: u64 = 7;

/// The two tables of a creator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// `collection_data`
    Collections,
    /// `token_data`
    Tokens,
}

impl Table {
    /// The two of them.
    pub const ALL: [Self; 2] = [Self::Collections, Self::Tokens];

    /// A handle looks random; applied to a handle, this gives the creator again, so that nobody has to remember it.
    pub fn handle(self, creator: &Address) -> Address {
        let mask: u8 = match self {
            Self::Collections => 0xC7,
            Self::Tokens => 0x39,
        };
        let mut handle = *creator;
        for (at, byte) in (0_u8..).zip(&mut handle) {
            *byte ^= mask.wrapping_mul(at.wrapping_add(3)).rotate_left(3);
        }
        handle
    }

    /// Types of its keys and values.
    pub const fn types(self) -> (&'static str, &'static str) {
        match self {
            Self::Collections => ("0x1::string::String", "0x3::token::CollectionData"),
            Self::Tokens => ("0x3::token::TokenDataId", "0x3::token::TokenData"),
        }
    }
}

/// A collection at one moment.
#[derive(Clone, Debug)]
pub struct Collection {
    /// Who created it.
    pub creator: Address,
    /// Its name, unique for its creator.
    pub name: String,
    /// What it is.
    pub description: String,
    /// Where more about it is.
    pub uri: String,
    /// How many tokens there are; always 0 where there is no limit.
    pub supply: u64,
    /// How many there may be; 0: no limit.
    pub maximum: u64,
}

/// A token at one moment.
#[derive(Clone, Debug)]
pub struct Token {
    /// Who created it.
    pub creator: Address,
    /// Name of its collection.
    pub collection: String,
    /// Its name, unique within the collection.
    pub name: String,
    /// What it is.
    pub description: String,
    /// Where the picture is.
    pub uri: String,
    /// How many copies there are; always 0 where there is no limit.
    pub supply: u64,
    /// How many there may be; 0: no limit.
    pub maximum: u64,
    /// In percent.
    pub royalty: u64,
}

impl Collection {
    /// `data` of the event of its creation: the same fields in a handle's event and in a module's.
    pub fn event(&self) -> Value {
        json!({
            "creator": address::trimmed(&self.creator),
            "collection_name": self.name,
            "uri": self.uri,
            "description": self.description,
            "maximum": self.maximum.to_string(),
        })
    }

    /// What an indexer calls it.
    pub fn id(&self) -> String {
        let digest = Sha256::digest(format!("{}::{}", address::padded(&self.creator), self.name));
        format!("0x{}", hex::encode(digest))
    }

    /// The item of the creator's table.
    pub fn item(&self) -> Item {
        let (key_type, value_type) = Table::Collections.types();
        let Self { name, description, uri, supply, maximum, .. } = self;
        let raw = Bcs::default().text(description).text(name).text(uri).u64(*supply).u64(*maximum).yes(3);
        let value = json!({
            "description": description,
            "maximum": maximum.to_string(),
            "mutability_config": {"description": true, "maximum": true, "uri": true},
            "name": name,
            "supply": supply.to_string(),
            "uri": uri,
        });
        let (raw_key, key) = (Bcs::default().text(name).hex(), Value::from(name.as_str()));
        Item { key_type, value_type, key, value, raw_key, raw_value: raw.hex() }
    }
}

impl Token {
    /// `data` of the event of its creation; a module's event names the creator once more.
    pub fn event(&self) -> Value {
        json!({
            "id": self.id(),
            "description": self.description,
            "maximum": self.maximum.to_string(),
            "uri": self.uri,
            "royalty_payee_address": address::trimmed(&self.creator),
            "royalty_points_denominator": "100",
            "royalty_points_numerator": self.royalty.to_string(),
            "name": self.name,
            "mutability_config": mutability(),
            "property_keys": [],
            "property_values": [],
            "property_types": [],
        })
    }

    /// `data` of the module's event.
    pub fn module_event(&self) -> Value {
        let mut data = self.event();
        data["creator"] = address::trimmed(&self.creator).into();
        data
    }

    /// The item of the creator's table.
    pub fn item(&self) -> Item {
        let (key_type, value_type) = Table::Tokens.types();
        let Self { creator, collection, name, description, uri, supply, maximum, royalty } = self;
        let raw = Bcs::default().u64(*maximum).u64(0).u64(*supply).text(uri).u64(*royalty).u64(100).address(creator);
        let raw = raw.text(name).text(description).empty().yes(5);
        let value = json!({
            "default_properties": {"map": {"data": []}},
            "description": description,
            "largest_property_version": "0",
            "maximum": maximum.to_string(),
            "mutability_config": mutability(),
            "name": name,
            "royalty": {
                "payee_address": address::trimmed(creator),
                "royalty_points_denominator": "100",
                "royalty_points_numerator": royalty.to_string(),
            },
            "supply": supply.to_string(),
            "uri": uri,
        });
        let raw_key = Bcs::default().address(creator).text(collection).text(name).hex();
        Item { key_type, value_type, key: self.id(), value, raw_key, raw_value: raw.hex() }
    }

    fn id(&self) -> Value {
        json!({"creator": address::trimmed(&self.creator), "collection": self.collection, "name": self.name})
    }
}

fn mutability() -> Value {
    json!({"description": true, "maximum": true, "properties": true, "royalty": true, "uri": true})
}

/// The creator's resource, with so many events in its two handles.
pub fn collections(creator: &Address, collections: u64, tokens: u64) -> Resource {
    let table = |table: Table| json!({"handle": address::trimmed(&table.handle(creator))});
    let data = json!({
        "collection_data": table(Table::Collections),
        "create_collection_events": handle(creator, collections, COLLECTION_EVENTS),
        "create_token_data_events": handle(creator, tokens, TOKEN_EVENTS),
        "mint_token_events": handle(creator, 0, MINT_EVENTS),
        "token_data": table(Table::Tokens),
    });
    Resource::new(COLLECTIONS, data)
}
