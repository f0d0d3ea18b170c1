//! What a creator's account has, whoever it is: the side of `market` and `gallery` that the answers are made from.
//!
//! Everything is asked for as of a version: what came later is not there yet.

use super::address::Address;
use super::v1;

/// An account that sends transactions, and may have created something.
pub trait Creator {
    /// Who it is.
    fn address(&self) -> Address;

    /// Number of its transactions.
    fn sent(&self, version: u64) -> u64;

    /// The version of its transaction of that number.
    fn sent_at(&self, number: u64) -> u64;

    /// Whether it ever created anything of the older standard.
    fn has_tables(&self, version: u64) -> bool;

    /// Number of collections, and of tokens, that its handles tell.
    fn told(&self, version: u64) -> (u64, u64);

    /// The collection of that number in its handle, as created, and the version of that.
    fn told_collection(&self, seq_no: u64) -> (u64, v1::Collection);

    /// The token of that number in its handle, as created, and the version of that.
    fn told_token(&self, seq_no: u64) -> (u64, v1::Token);

    /// The collection of that name as it is.
    fn collection(&self, name: &str, version: u64) -> Option<v1::Collection>;

    /// The token of that name as it is.
    fn token(&self, collection: &str, name: &str, version: u64) -> Option<v1::Token>;

    /// All it has created, for comparison with what a reader made of it.
    fn created(&self, version: u64) -> Vec<Created>;

    /// Its collections as an indexer knows them, in the order of their ids; only so many after the first so many.
    fn indexed(&self, version: u64, offset: usize, limit: usize) -> Vec<Indexed>;
}

/// One collection or token, for comparison with what a reader made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    /// `v1` or `v2`.
    pub standard: &'static str,
    /// Name of the collection.
    pub collection: String,
    /// Name of the token; None: this is the collection itself.
    pub token: Option<String>,
    /// Padded address of its object; only in `v2`.
    pub object: Option<String>,
    /// What is said about it now.
    pub description: String,
    /// Where more about it is now.
    pub uri: String,
    /// How many there are now; None where the framework does not count: no limit in `v1`, tokens in `v2`.
    pub supply: Option<u64>,
    /// How many there may be, 0 where nothing limits it; None for tokens in `v2`.
    pub maximum: Option<u64>,
    /// The version in which it was created.
    pub version: u64,
    /// An event of the creator's handles tells it.
    pub in_events: bool,
    /// It is not there any more.
    pub burned: bool,
}

/// A collection as an indexer knows it.
pub struct Indexed {
    /// Hash of creator and name, or address of the object; padded.
    pub id: String,
    /// `v1` or `v2`.
    pub standard: &'static str,
    /// Its name.
    pub name: String,
    /// What it is.
    pub description: String,
    /// Where more about it is.
    pub uri: String,
    /// How many tokens there are.
    pub supply: u64,
    /// How many there may be; 0, or None for some objects: no limit.
    pub maximum: Option<u64>,
    /// How many there ever were, where the standard knows.
    pub minted: Option<u64>,
    /// The version that last changed it.
    pub version: u64,
}

impl Created {
    /// A collection of the older standard.
    pub(super) fn v1_collection(collection: v1::Collection, version: u64, in_events: bool) -> Self {
        let v1::Collection { name, description, uri, supply, maximum, .. } = collection;
        Self {
            standard: "v1",
            collection: name,
            token: None,
            object: None,
            description,
            uri,
            supply: (maximum > 0).then_some(supply),
            maximum: Some(maximum),
            version,
            in_events,
            burned: false,
        }
    }

    /// A token of the older standard.
    pub(super) fn v1_token(token: v1::Token, version: u64, in_events: bool, burned: bool) -> Self {
        let v1::Token { collection, name, description, uri, supply, maximum, .. } = token;
        Self {
            standard: "v1",
            collection,
            token: Some(name),
            object: None,
            description,
            uri,
            supply: (maximum > 0).then_some(supply),
            maximum: Some(maximum),
            version,
            in_events,
            burned,
        }
    }
}

impl Indexed {
    /// A collection of the older standard.
    pub(super) fn v1(collection: v1::Collection, version: u64) -> Self {
        let id = collection.id();
        let v1::Collection { name, description, uri, supply, maximum, .. } = collection;
        Self { id, standard: "v1", name, description, uri, supply, maximum: Some(maximum), minted: None, version }
    }
}
