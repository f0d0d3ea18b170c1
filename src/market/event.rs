//! A market event in standard terms, whatever market it comes from.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Kind;
use crate::chain::{Address, Amount, Timestamp};

/// One decoded event. What the event does not tell is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarketEvent {
    pub kind: Kind,
    /// The listing or offer that it speaks of; present for every kind but the two creations.
    pub key: Option<Key>,
    pub item: Item,
    /// The standard of that item.
    pub standard: Standard,
    pub seller: Option<Address>,
    pub buyer: Option<Address>,
    pub offerer: Option<Address>,
    /// Per unit.
    pub price: Option<Amount>,
    pub quantity: Option<Amount>,
    /// What was paid or offered in all.
    pub total: Option<Amount>,
    pub royalty: Option<Amount>,
    pub fee: Option<Amount>,
    pub currency: Option<Arc<str>>,
    /// Whether a filled offer ends with it.
    pub ends: Option<bool>,
    /// The event's own time, else its block's.
    pub time: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
    pub description: Option<Arc<str>>,
    pub uri: Option<Arc<str>>,
    pub maximum: Option<Amount>,
}

/// The collection or token that an event is about. The ids of v1 are hashes ([`crate::chain::token`]).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Item {
    pub collection_id: Option<Address>,
    pub collection_name: Option<Arc<str>>,
    pub creator: Option<Address>,
    pub token_id: Option<Address>,
    pub token_name: Option<Arc<str>>,
    pub property_version: i64,
}

/// The token standard: v1 (`0x3::token`) or v2 (objects, `0x4`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Standard {
    V1,
    V2,
}

impl Standard {
    /// Its name in `collections.standard`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
        }
    }
}

/// What makes two events of a market speak of the same listing or offer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key {
    /// `order_id` or `offer_id`: market and key, at most 100 characters.
    pub id: Arc<str>,
    /// `order_key` or `offer_key`: the parts as decoded, joined by `/`.
    pub text: Arc<str>,
}

impl Key {
    /// Longer keys are hashed, so that an id fits every database's index.
    const LONGEST_PLAIN: usize = 66;

    /// The key `text` in `market`. Short keys stay readable (`imart:1234`), others become `imart:#` + sha256.
    #[must_use]
    pub fn new(market: &str, text: String) -> Self {
        let id = if text.len() <= Self::LONGEST_PLAIN && !text.starts_with('#') {
            [market, ":", &text].concat()
        } else {
            format!("{market}:#{}", hex::encode(Sha256::digest(&text)))
        };
        Self { id: id.into(), text: text.into() }
    }
}
