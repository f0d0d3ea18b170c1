//! Market files (TOML): which streams a market has, what each stands for, and where the standard fields are. The language is
//! described in docs/markets.md; everything in it is resolved here, so that decoding only follows rules.

mod built_in;
mod parts;
mod rule;
mod stream;
mod text;
mod types;

use std::collections::BTreeSet;
use std::sync::Arc;

use self::parts::{UNITS, address, chain, check_name, key_parts, units, unverified, version};
use self::text::{Mistake, Read, Table, Value};
use super::kind::Subject;
use super::rule::{Rules, Units};
use super::{Field, Kind};
use crate::chain::{Address, ChainId, Source, Version};

pub use built_in::names;
pub use parts::KeyPart;

/// A marketplace: its streams in the order of its file.
#[derive(Debug, Clone)]
pub struct Market {
    /// Its name, the first half of every observer's name.
    pub name: Arc<str>,
    /// The chain that it is on, if it says so.
    pub chain: Option<ChainId>,
    /// The account of the contract's modules.
    pub address: Address,
    /// Where a scan of transactions for its events begins.
    pub first_version: Option<Version>,
    /// What is not known about it, if it has not been verified against the chain.
    pub unverified: Option<Arc<str>>,
    /// Its event streams.
    pub streams: Vec<Arc<Stream>>,
}

/// One stream of a market: where it is, and what its events mean.
#[derive(Debug)]
pub struct Stream {
    /// `{market}:{stream}`: the observer's name in every table.
    pub observer: Arc<str>,
    /// The market's name.
    pub market: Arc<str>,
    /// What each of its events does.
    pub kind: Kind,
    /// Its place in the market file, which decides ties.
    pub order: u8,
    /// Where its events are.
    pub source: Source,
    /// The types of its events, in their standard form and without type arguments; none: any that the handle has.
    pub events: Vec<Arc<str>>,
    /// A digest of what decides what its events become. Rows of two of them do not belong together.
    pub mapping: Arc<str>,
    pub(super) rules: Rules,
    /// Whether the price is that of all copies together.
    pub(super) for_all: bool,
    pub(super) key: Vec<KeyPart>,
    pub(super) units: Units,
    /// The market's fields that it takes over.
    pub(super) inherited: BTreeSet<Field>,
}

/// Why a market cannot be used. Each message names the market or file, and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum MarketError {
    #[error(
        "there is no built-in market {name:?}{meant}; built in: {}; a market of your own is named by its file, ending in .toml",
        names().join(", ")
    )]
    Unknown { name: String, meant: String },
    #[error("the built-in market {0} is a contract that anybody may deploy: name the deployment, as {0}@0xADDRESS")]
    Unplaced(String),
    #[error("market file {file}: line {line}, column {column}: {reason}")]
    File { file: String, line: usize, column: usize, reason: String },
}

impl Mistake {
    fn in_file(self, file: &str, text: &str) -> MarketError {
        let (line, column) = text::place(text, self.at);
        MarketError::File { file: file.to_owned(), line, column, reason: self.reason }
    }
}

impl Market {
    /// The market that `text` describes; `file` is for messages. At another deployment if `address` is given.
    pub fn parse(file: &str, text: &str, address: Option<Address>) -> Result<Self, MarketError> {
        read(text, address).map_err(|mistake| mistake.in_file(file, text))
    }

    /// The same, of a file as it is stored.
    pub fn of_bytes(file: &str, bytes: &[u8]) -> Result<Self, MarketError> {
        match str::from_utf8(bytes) {
            Ok(text) => Self::parse(file, text, None),
            Err(error) => {
                let (before, behind) = bytes.split_at(error.valid_up_to());
                let found = behind.first().copied().unwrap_or_default();
                let reason = format!("is not UTF-8: found the byte {found:#x}; save it as UTF-8");
                Err(Mistake::new(before.len(), reason).in_file(file, &String::from_utf8_lossy(before)))
            }
        }
    }
}

const KNOWN: [&str; 13] = [
    "name",
    "like",
    "chain",
    "address",
    "account",
    "first_version",
    "unverified",
    "listing_key",
    "token_offer_key",
    "collection_offer_key",
    "units",
    "fields",
    "streams",
];

type IsOf = fn(Subject) -> bool;

/// The keys of a market, by their names in its file, and what they are of.
const KEYS: [(&str, IsOf); 3] = [
    ("listing_key", |subject| matches!(subject, Subject::Listing(_) | Subject::Bid)),
    ("token_offer_key", |subject| matches!(subject, Subject::TokenOffer(_))),
    ("collection_offer_key", |subject| matches!(subject, Subject::CollectionOffer(_))),
];

/// What all streams of a file share.
struct Base<'t> {
    name: Arc<str>,
    address: Address,
    /// Whose the handles are.
    account: Address,
    /// Where the file says so.
    account_said: Option<Value<'t>>,
    keys: [Vec<KeyPart>; KEYS.len()],
    units: Units,
    fields: Vec<(Field, Value<'t>)>,
}

impl Base<'_> {
    fn key_of(&self, kind: Kind) -> &[KeyPart] {
        let at = KEYS.iter().position(|(_, is_of)| is_of(kind.subject()));
        at.map_or(&[], |at| &self.keys[at])
    }
}

/// The name of the key of that kind.
fn key_name(kind: Kind) -> &'static str {
    KEYS.iter().find(|(_, is_of)| is_of(kind.subject())).map_or("", |(name, _)| name)
}

fn read(text: &str, deployment: Option<Address>) -> Read<Market> {
    let document = text::parse(text)?;
    let own = Table::new("a market", 0, document.get_ref(), &KNOWN)?;
    let name = own.need("name")?;
    check_name(&name)?;
    let like = own.get("like");
    let other = like.map(|like| likeness(&own, &like)).transpose()?;
    let layout = match &other {
        Some(other) => &Table::new("a market", 0, other.get_ref(), &KNOWN)?,
        None => &own,
    };
    let (home, there) = (own.get("address"), like.is_some() || deployment.is_some());
    let home = home.map(|value| address(&value)).transpose()?;
    let Some(place) = deployment.or(home) else {
        return Err(Mistake::new(own.at(), "a market needs an `address`"));
    };
    let account = own.get("account").filter(|_| deployment.is_none_or(|at| home == Some(at)));
    if there
        && deployment != home
        && account.is_none()
        && let Some(account) = accounts(layout)?.first()
    {
        let at = like.map_or(account.at(), |like| like.at());
        let reason =
            "the handles are at an account of their own: name it in a file, by `like`, `address` and `account`";
        return Err(Mistake::new(at, reason));
    }
    let base = base(layout, name.text()?.into(), place, account)?;
    let streams = streams(&base, layout)?;
    // What is said of one deployment is not said of another.
    let get = |name: &str| own.get(name).filter(|value| home == Some(place) || value.name == "unverified");
    let doubts = get("unverified").or_else(|| layout.get("unverified"));
    Ok(Market {
        chain: get("chain").map(|value| chain(&value)).transpose()?,
        first_version: get("first_version").map(|value| version(&value)).transpose()?,
        unverified: doubts.map(|value| unverified(&value)).transpose()?,
        name: base.name,
        address: place,
        streams,
    })
}

/// The built-in market whose layout this one has.
fn likeness(own: &Table, like: &Value) -> Read<toml::Spanned<toml::de::DeTable<'static>>> {
    const OWN: [&str; 7] = ["name", "chain", "address", "account", "first_version", "unverified", "like"];
    if let Some(value) = own.values().find(|value| !OWN.contains(&value.name)) {
        let reason = format!("{} and like clash: the other market says it", value.name);
        return Err(Mistake::new(value.name_at, reason));
    }
    text::parse(like.one_of("built-in market", &built_in::BUILT_IN)?)
}

/// The accounts that the file names beside its address.
fn accounts<'t>(table: &Table<'t>) -> Read<Vec<Value<'t>>> {
    let mut accounts: Vec<_> = table.get("account").into_iter().collect();
    for stream in table.need("streams")?.list()? {
        accounts.extend(stream.get("account"));
    }
    Ok(accounts)
}

fn base<'t>(table: &Table<'t>, name: Arc<str>, place: Address, account: Option<Value<'t>>) -> Read<Base<'t>> {
    let account_said = account.or(table.get("account"));
    let account = account_said.map(|value| address(&value)).transpose()?.unwrap_or(place);
    let mut keys = [const { vec![] }; KEYS.len()];
    for ((name, _), key) in KEYS.iter().zip(&mut keys) {
        *key = table.get(name).map(|value| key_parts(&value)).transpose()?.unwrap_or_default();
    }
    let units = table.get("units").map(|value| units(&value)).transpose()?.unwrap_or_default();
    let mut fields = vec![];
    let known = Field::ALL.map(Field::name);
    let shared = table.get("fields").map(|value| value.table("fields", &known)).transpose()?;
    for value in shared.iter().flat_map(Table::values) {
        let field = rule::field(&value)?;
        // Mistakes are told even where no stream takes it over.
        rule::read(field, &value)?;
        fields.push((field, value));
    }
    Ok(Base { name, address: place, account, account_said, keys, units, fields })
}

fn streams(base: &Base, table: &Table) -> Read<Vec<Arc<Stream>>> {
    let list = table.need("streams")?;
    let mut entries: Vec<stream::Entry> = vec![];
    for (order, value) in list.list()?.iter().enumerate() {
        let entry = stream::read(base, value, order)?;
        entries.iter().try_for_each(|other| clash(other, &entry))?;
        entries.push(entry);
    }
    if entries.is_empty() {
        return Err(list.wrong("a market needs at least one stream"));
    }
    reach(base, table, &entries)?;
    Ok(entries.into_iter().map(|entry| Arc::new(entry.stream)).collect())
}

/// Refuses a stream that could not be told from another one.
fn clash(other: &stream::Entry, entry: &stream::Entry) -> Read<()> {
    let (first, second) = (&other.stream, &entry.stream);
    let short = |stream: &Stream| stream.observer.split(':').next_back().unwrap_or_default().to_owned();
    let (one, two) = (short(first), short(second));
    if one == two {
        return Err(Mistake::new(entry.name_at, format!("two streams are named {one:?}")));
    }
    if first.source == second.source && second.source != Source::ModuleEvent {
        let reason = format!("streams {one:?} and {two:?} have the same source, {}", second.source);
        return Err(Mistake::new(entry.source_at, reason));
    }
    // Handles are read each for itself, whatever their events are.
    if ![first, second].iter().any(|stream| stream.source == Source::ModuleEvent) {
        return Ok(());
    }
    match second.events.iter().find(|event| first.events.contains(event)) {
        Some(event) => {
            let reason = format!("streams {one:?} and {two:?} have the same events, {event}");
            Err(Mistake::new(entry.events_at, reason))
        }
        None => Ok(()),
    }
}

/// Refuses what the market says for all streams, but no stream has a use for.
fn reach(base: &Base, table: &Table, entries: &[stream::Entry]) -> Read<()> {
    let streams = || entries.iter().map(|entry| &entry.stream);
    for (field, value) in &base.fields {
        if !entries.iter().any(|entry| entry.stream.inherited.contains(field)) {
            let reason = format!("{}: never used: no stream takes it from the market's fields", value.name);
            return Err(Mistake::new(value.name_at, reason));
        }
    }
    for (name, is_of) in KEYS {
        if let Some(value) = table.get(name).filter(|_| !streams().any(|stream| is_of(stream.kind.subject()))) {
            return Err(Mistake::new(value.name_at, format!("{name}: never used: no stream is about such things")));
        }
    }
    if let Some(value) = base.account_said.filter(|_| !entries.iter().any(|entry| entry.is_at_account)) {
        return Err(Mistake::new(value.name_at, "account: never used: no stream has a handle there"));
    }
    let units = table.get("units").map(|value| value.table("units", &UNITS)).transpose()?;
    for value in units.iter().flat_map(Table::values) {
        let field = rule::field(&value)?;
        if !entries.iter().any(|entry| entry.in_units.contains(&field)) {
            let is_there = streams().any(|stream| stream.rules.has(field));
            let why =
                if is_there { "each stream with that field says its own unit" } else { "no stream has that field" };
            return Err(Mistake::new(value.name_at, format!("{}: never used: {why}", value.name)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imart_has_its_eight_observers() {
        let market = Market::built_in("imart", None).unwrap();
        let names: Vec<_> = market.streams.iter().map(|stream| &*stream.observer).collect();
        assert_eq!(
            names,
            [
                "imart:list",
                "imart:delist",
                "imart:buy",
                "imart:offer",
                "imart:accept_offer",
                "imart:cancel_offer",
                "imart:create_collection",
                "imart:create_token"
            ]
        );
        let handle = market.streams[0].source.handle().unwrap();
        assert!(handle.resource.ends_with("f7e82a1::fixed_price_market::FixedMarketEvents"));
    }
}
