//! An account of the market as a creator: what the market's events say that it created, as the framework keeps it.

use serde_json::Value;

use super::address::{self, Address};
use super::creator::{Created, Creator, Indexed};
use super::ledger::{Account, Ledger};
use super::stream::Stream;
use super::v1;

/// An account that has sent a transaction.
pub struct Member<'a> {
    ledger: &'a Ledger,
    account: &'a Account,
    address: Address,
}

impl<'a> Member<'a> {
    /// The account of that address, if it has ever sent anything.
    pub fn find(ledger: &'a Ledger, address: &Address) -> Option<Self> {
        let account = ledger.account(&address::trimmed(address))?;
        Some(Self { ledger, account, address: *address })
    }

    /// The number within the creator's own handle of an event of the market.
    pub fn seq_no(&self, stream: Stream, at: usize) -> u64 {
        let all = if stream == Stream::CreateCollection { &self.account.collections } else { &self.account.tokens };
        all.partition_point(|known| (*known as usize) < at) as u64
    }

    /// The collections that there are by then, with the versions of their creation.
    fn collections(&self, version: u64) -> impl Iterator<Item = (u64, v1::Collection)> {
        (0..self.told(version).0).map(|seq_no| self.told_collection(seq_no))
    }

    fn tokens(&self, version: u64) -> impl Iterator<Item = (u64, v1::Token)> {
        (0..self.told(version).1).map(|seq_no| self.told_token(seq_no))
    }

    /// The sequence numbers of the tokens in a collection; of that name, if there is one to look for.
    fn tokens_in(&self, collection: &str, name: Option<&str>, version: u64) -> impl Iterator<Item = u64> {
        // A quote within a name is escaped, so that this is found nowhere else.
        let name = name.map(|name| format!("{}}}", Value::from(name))).unwrap_or_default();
        let id = format!(r#""collection":{},"name":{name}"#, Value::from(collection));
        let until = usize::try_from(self.told(version).1).unwrap_or(usize::MAX);
        let all = (0..).zip(&self.account.tokens).take(until);
        all.filter(move |(_, at)| self.ledger.sound(Stream::CreateToken, **at as usize).contains(&id)).map(|(at, _)| at)
    }

    /// The collection with its tokens counted; where nothing limits them, nobody counts.
    fn counted(&self, mut collection: v1::Collection, version: u64) -> v1::Collection {
        if collection.maximum > 0 {
            collection.supply = self.tokens_in(&collection.name, None, version).count() as u64;
        }
        collection
    }

    fn event(&self, stream: Stream, at: &[u32], seq_no: u64) -> (u64, Value) {
        let at = at[usize::try_from(seq_no).unwrap_or(usize::MAX)] as usize;
        let data = serde_json::from_str(&self.ledger.sound(stream, at)).unwrap_or_default();
        (self.ledger.log(stream).versions[at], data)
    }
}

impl Creator for Member<'_> {
    fn address(&self) -> Address {
        self.address
    }

    fn sent(&self, version: u64) -> u64 {
        self.account.transactions.partition_point(|at| self.ledger.version_at(*at) <= version) as u64
    }

    fn sent_at(&self, number: u64) -> u64 {
        let at = usize::try_from(number).ok().and_then(|number| self.account.transactions.get(number));
        self.ledger.version_at(at.copied().unwrap_or(u32::MAX))
    }

    fn has_tables(&self, version: u64) -> bool {
        self.told(version).0 > 0
    }

    fn told(&self, version: u64) -> (u64, u64) {
        let until = |stream: Stream, all: &[u32]| {
            let versions = &self.ledger.log(stream).versions;
            all.partition_point(|at| versions[*at as usize] <= version) as u64
        };
        (until(Stream::CreateCollection, &self.account.collections), until(Stream::CreateToken, &self.account.tokens))
    }

    fn told_collection(&self, seq_no: u64) -> (u64, v1::Collection) {
        let (version, data) = self.event(Stream::CreateCollection, &self.account.collections, seq_no);
        let collection = v1::Collection {
            creator: self.address,
            name: text(&data["name"]),
            description: text(&data["description"]),
            uri: text(&data["uri"]),
            supply: 0,
            maximum: text(&data["maximum"]).parse().unwrap_or(0),
        };
        (version, collection)
    }

    fn told_token(&self, seq_no: u64) -> (u64, v1::Token) {
        let (version, data) = self.event(Stream::CreateToken, &self.account.tokens, seq_no);
        let token = v1::Token {
            creator: self.address,
            collection: text(&data["token_id"]["token_data_id"]["collection"]),
            name: text(&data["name"]),
            description: text(&data["description"]),
            uri: text(&data["uri"]),
            // The contract mints editions without a limit, which the framework does not count.
            supply: 0,
            maximum: 0,
            royalty: 5,
        };
        (version, token)
    }

    fn collection(&self, name: &str, version: u64) -> Option<v1::Collection> {
        let found = self.collections(version).map(|(_, collection)| collection).find(|known| known.name == name)?;
        Some(self.counted(found, version))
    }

    fn token(&self, collection: &str, name: &str, version: u64) -> Option<v1::Token> {
        let found = self.tokens_in(collection, Some(name), version).next()?;
        Some(self.told_token(found).1)
    }

    fn created(&self, version: u64) -> Vec<Created> {
        let counted = |(at, collection)| Created::v1_collection(self.counted(collection, version), at, true);
        let collections = self.collections(version).map(counted);
        let tokens = self.tokens(version).map(|(at, token)| Created::v1_token(token, at, true, false));
        collections.chain(tokens).collect()
    }

    fn indexed(&self, version: u64, offset: usize, limit: usize) -> Vec<Indexed> {
        let row = |(created, collection): (u64, v1::Collection)| {
            let last = self.tokens_in(&collection.name, None, version).last();
            let changed = last.map_or(created, |token| self.told_token(token).0);
            Indexed::v1(self.counted(collection, version), changed)
        };
        let mut all: Vec<_> = self.collections(version).map(row).collect();
        all.sort_unstable_by(|one, other| one.id.cmp(&other.id));
        all.into_iter().skip(offset).take(limit).collect()
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
