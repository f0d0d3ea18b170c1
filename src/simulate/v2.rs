//! Collections and tokens of the newer standard, `0x4`: objects with resources of their own.

use serde_json::{Value, json};

use super::address::{self, Address};
use super::state::{Resource, handle};

/// Objects number their handles from here.
const FIRST_NUMBER: u64 = 1 << 50;
/// Where nothing limits the number of tokens.
pub const UNLIMITED: u64 = u64::MAX;

/// How a collection counts its tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counting {
    /// `ConcurrentSupply`, what every new collection has; the limit may be none.
    Concurrent,
    /// `FixedSupply`.
    Fixed,
    /// `UnlimitedSupply`.
    Unlimited,
}

/// A collection at one moment.
#[derive(Clone, Debug)]
pub struct Collection {
    /// Its object.
    pub object: Address,
    /// Who created it.
    pub creator: Address,
    /// Its name.
    pub name: String,
    /// What it is.
    pub description: String,
    /// Where more about it is.
    pub uri: String,
    /// How it counts.
    pub counting: Counting,
    /// How many tokens there are.
    pub supply: u64,
    /// How many there ever were.
    pub minted: u64,
    /// How many there may be.
    pub maximum: u64,
    /// In percent, where it asks for one.
    pub royalty: Option<u64>,
    /// Made by `0x4::aptos_token`, which keeps flags about what may change.
    pub has_flags: bool,
}

/// A token at one moment.
#[derive(Clone, Debug)]
pub struct Token {
    /// Its object.
    pub object: Address,
    /// The object of its collection.
    pub collection: Address,
    /// Who has it.
    pub owner: Address,
    /// Its name.
    pub name: String,
    /// What it is.
    pub description: String,
    /// Where the picture is.
    pub uri: String,
    /// Its number within the collection, from 1.
    pub index: u64,
    /// The name is told by `TokenIdentifiers`, and empty in `Token`.
    pub has_identifiers: bool,
    /// In percent, where it asks for one of its own.
    pub royalty: Option<u64>,
}

impl Collection {
    /// All resources of the object.
    pub fn resources(&self) -> Vec<Resource> {
        let mut all = vec![core(&self.object, &self.creator, 4)];
        if self.has_flags {
            all.push(self.flags());
        }
        all.extend([self.collection(), self.counted()]);
        all.extend(self.royalty.map(|percent| royalty(&self.creator, percent)));
        all
    }

    /// `0x1::object::ObjectCore`, which shares its place in storage with the others.
    pub fn core(&self) -> Resource {
        core(&self.object, &self.creator, 4)
    }

    /// `0x4::collection::Collection`.
    pub fn collection(&self) -> Resource {
        let data = json!({
            "creator": address::trimmed(&self.creator),
            "description": self.description,
            "mutation_events": handle(&self.object, 0, FIRST_NUMBER + 3),
            "name": self.name,
            "uri": self.uri,
        });
        Resource::new("0x4::collection::Collection", data)
    }

    /// The resource that counts.
    pub fn counted(&self) -> Resource {
        let (supply, minted, maximum) = (self.supply.to_string(), self.minted.to_string(), self.maximum.to_string());
        let burnt = handle(&self.object, self.minted - self.supply, FIRST_NUMBER + 1);
        let events = handle(&self.object, self.minted, FIRST_NUMBER + 2);
        match self.counting {
            Counting::Concurrent => {
                let no_end = UNLIMITED.to_string();
                let data = json!({
                    "current_supply": {"max_value": maximum, "value": supply},
                    "total_minted": {"max_value": no_end, "value": minted},
                });
                Resource::new("0x4::collection::ConcurrentSupply", data)
            }
            Counting::Fixed => {
                let data = json!({
                    "burn_events": burnt,
                    "current_supply": supply,
                    "max_supply": maximum,
                    "mint_events": events,
                    "total_minted": minted,
                });
                Resource::new("0x4::collection::FixedSupply", data)
            }
            Counting::Unlimited => {
                let data = json!({
                    "burn_events": burnt,
                    "current_supply": supply,
                    "mint_events": events,
                    "total_minted": minted,
                });
                Resource::new("0x4::collection::UnlimitedSupply", data)
            }
        }
    }

    fn flags(&self) -> Resource {
        let object = address::trimmed(&self.object);
        let data = json!({
            "mutable_description": true,
            "mutable_token_description": true,
            "mutable_token_name": false,
            "mutable_token_properties": true,
            "mutable_token_uri": true,
            "mutable_uri": true,
            "mutator_ref": {"vec": [{"self": object}]},
            "royalty_mutator_ref": {"vec": [{"inner": {"self": object}}]},
            "tokens_burnable_by_creator": true,
            "tokens_freezable_by_creator": false,
        });
        Resource::new("0x4::aptos_token::AptosCollection", data)
    }
}

impl Token {
    /// All resources of the object; `payee` gets the royalty.
    pub fn resources(&self, payee: &Address) -> Vec<Resource> {
        let (name, index) = if self.has_identifiers { ("", 0) } else { (self.name.as_str(), self.index) };
        let data = json!({
            "collection": {"inner": address::trimmed(&self.collection)},
            "description": self.description,
            "index": index.to_string(),
            "mutation_events": handle(&self.object, 0, FIRST_NUMBER + 1),
            "name": name,
            "uri": self.uri,
        });
        let mut all = vec![core(&self.object, &self.owner, 2), Resource::new("0x4::token::Token", data)];
        if self.has_identifiers {
            let name = json!({"padding": "0x", "value": self.name});
            let data = json!({"index": {"value": self.index.to_string()}, "name": name});
            all.push(Resource::new("0x4::token::TokenIdentifiers", data));
        }
        all.extend(self.royalty.map(|percent| royalty(payee, percent)));
        all
    }

    /// `data` of the event of its minting.
    pub fn event(&self) -> Value {
        let (collection, token) = (address::trimmed(&self.collection), address::trimmed(&self.object));
        json!({"collection": collection, "index": {"value": self.index.to_string()}, "token": token})
    }
}

fn core(object: &Address, owner: &Address, handles: u64) -> Resource {
    let data = json!({
        "allow_ungated_transfer": handles == 2,
        "guid_creation_num": (FIRST_NUMBER + handles).to_string(),
        "owner": address::trimmed(owner),
        "transfer_events": handle(object, 0, FIRST_NUMBER),
    });
    Resource::new("0x1::object::ObjectCore", data)
}

fn royalty(payee: &Address, percent: u64) -> Resource {
    let data = json!({
        "denominator": "100",
        "numerator": percent.to_string(),
        "payee_address": address::trimmed(payee),
    });
    Resource::new("0x4::royalty::Royalty", data)
}
