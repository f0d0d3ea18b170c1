//! Market files (TOML): which streams a market has, what each stands for, and where the standard fields are.

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;

use super::Kind;
use super::kind::{Step, Subject};
use crate::chain::{Address, Amount};

const BUILT_IN: [(&str, &str); 1] = [("imart", include_str!("../../markets/imart.toml"))];

/// A marketplace: its streams in the order of its file.
#[derive(Debug, Clone)]
pub struct Market {
    /// Its name, the first half of every observer's name.
    pub name: Arc<str>,
    /// The contract's account.
    pub address: Address,
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
    /// The event handle that it is read from.
    pub handle: Handle,
    pub(super) fields: Fields,
    pub(super) key: Vec<KeyPart>,
    pub(super) units: Units,
}

/// An event handle: a field of a resource of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handle {
    /// The account that holds the resource.
    pub account: Address,
    /// The resource's type.
    pub resource: String,
    /// The field of type `EventHandle`.
    pub field: String,
}

/// Why a market cannot be used. Each message names the market or file, and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum MarketError {
    #[error(
        "there is no built-in market {name:?}; built in: {}; a market of your own is named by its file, ending in .toml",
        names()
    )]
    Unknown { name: String },
    #[error("market file {file}: {reason}")]
    File { file: String, reason: String },
}

impl Market {
    /// The built-in market `name`, at another deployment if `address` is given.
    pub fn built_in(name: &str, address: Option<Address>) -> Result<Self, MarketError> {
        let found = BUILT_IN.iter().find(|(built_in, _)| *built_in == name);
        let (name, text) = found.ok_or_else(|| MarketError::Unknown { name: name.to_owned() })?;
        Self::parse(&format!("{name} (built in)"), text, address)
    }

    /// The market that `text` describes; `file` is for messages.
    pub fn parse(file: &str, text: &str, address: Option<Address>) -> Result<Self, MarketError> {
        let wrong = |reason: String| MarketError::File { file: file.to_owned(), reason };
        let parsed: File = toml::from_str(text).map_err(|error| wrong(error.to_string().trim_end().to_owned()))?;
        let own = parsed.address.parse().map_err(|error| wrong(format!("address: {error}")))?;
        parsed.market(address.unwrap_or(own)).map_err(wrong)
    }
}

fn names() -> String {
    BUILT_IN.map(|(name, _)| name).join(", ")
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    address: String,
    #[serde(default)]
    listing_key: Vec<KeyPart>,
    #[serde(default)]
    token_offer_key: Vec<KeyPart>,
    #[serde(default)]
    collection_offer_key: Vec<KeyPart>,
    #[serde(default)]
    units: Units,
    streams: Vec<StreamEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StreamEntry {
    name: String,
    kind: Kind,
    handle: String,
    field: String,
    fields: Fields,
}

/// The standard names that a key can be made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyPart {
    Id,
    Token,
    Collection,
    PropertyVersion,
    Seller,
    Offerer,
}

impl KeyPart {
    pub fn name(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Token => "token",
            Self::Collection => "collection",
            Self::PropertyVersion => "property_version",
            Self::Seller => "seller",
            Self::Offerer => "offerer",
        }
    }
}

/// Where each standard field is in the event's data.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fields {
    pub id: Option<Path>,
    pub token: Option<Path>,
    pub token_name: Option<Path>,
    pub collection: Option<Path>,
    pub collection_name: Option<Path>,
    pub creator: Option<Path>,
    pub seller: Option<Path>,
    pub buyer: Option<Path>,
    pub offerer: Option<Path>,
    pub price: Option<Path>,
    pub quantity: Option<Path>,
    pub total: Option<Path>,
    pub royalty: Option<Path>,
    pub fee: Option<Path>,
    pub currency: Option<Path>,
    pub ends: Option<Path>,
    pub time: Option<Path>,
    pub expires_in: Option<Path>,
    pub description: Option<Path>,
    pub uri: Option<Path>,
    pub maximum: Option<Path>,
}

/// A path into the event's data: names joined by dots, a `?` behind them where the field may be absent.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub struct Path {
    pub names: Vec<String>,
    pub optional: bool,
}

impl From<String> for Path {
    fn from(text: String) -> Self {
        let path = text.strip_suffix('?').unwrap_or(&text);
        Self { names: path.split('.').map(str::to_owned).collect(), optional: path.len() < text.len() }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "data.{}", self.names.join("."))
    }
}

/// The units of a market's times.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Units {
    pub time: Unit,
    pub expires_in: Unit,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    #[default]
    Microseconds,
    Milliseconds,
    Seconds,
}

impl Unit {
    /// So many of the unit in microseconds. `count` is within u64, so that the product is within u128.
    pub fn micros(self, count: Amount) -> u128 {
        let factor = match self {
            Self::Microseconds => 1,
            Self::Milliseconds => 1_000,
            Self::Seconds => 1_000_000,
        };
        count.0.saturating_mul(factor)
    }
}

impl File {
    fn market(self, address: Address) -> Result<Market, String> {
        let name: Arc<str> = self.name.as_str().into();
        check_name("name", &name)?;
        let mut streams: Vec<Arc<Stream>> = Vec::with_capacity(self.streams.len());
        for entry in &self.streams {
            let stream = self
                .stream(entry, &name, address, streams.len())
                .map_err(|reason| format!("stream {:?}: {reason}", entry.name))?;
            if streams.iter().any(|other| other.observer == stream.observer) {
                return Err(format!("two streams are named {:?}", entry.name));
            }
            streams.push(Arc::new(stream));
        }
        if streams.is_empty() {
            return Err("has no streams".to_owned());
        }
        Ok(Market { name, address, streams })
    }

    fn stream(&self, entry: &StreamEntry, market: &Arc<str>, account: Address, order: usize) -> Result<Stream, String> {
        check_name("name", &entry.name)?;
        let key = match entry.kind.subject() {
            Subject::Listing(_) => &self.listing_key,
            Subject::TokenOffer(_) => &self.token_offer_key,
            Subject::CollectionOffer(_) => &self.collection_offer_key,
            Subject::Collection | Subject::Token => &Vec::new(),
        };
        entry.check(key)?;
        let module = entry
            .handle
            .strip_prefix("::")
            .ok_or("handle: expected ::module::Struct, a resource of the market's address")?;
        Ok(Stream {
            observer: format!("{market}:{}", entry.name).into(),
            market: Arc::clone(market),
            kind: entry.kind,
            order: u8::try_from(order).map_err(|_| "a market has at most 256 streams")?,
            handle: Handle { account, resource: format!("{account}::{module}"), field: entry.field.clone() },
            fields: entry.fields.clone(),
            key: key.clone(),
            units: self.units,
        })
    }
}

impl StreamEntry {
    /// Refuses a stream that could never fill what its kind needs.
    fn check(&self, key: &[KeyPart]) -> Result<(), String> {
        let fields = &self.fields;
        let mut needed = vec![];
        match self.kind.subject() {
            Subject::Listing(step) => {
                needed.push(("seller", step == Step::Place && fields.seller.is_none()));
                needed.push(("price", step == Step::Place && fields.price.is_none()));
                needed.push(("buyer", step == Step::Fill && fields.buyer.is_none()));
            }
            Subject::TokenOffer(step) | Subject::CollectionOffer(step) => {
                needed.push(("offerer", fields.offerer.is_none()));
                needed.push(("price", step == Step::Place && fields.price.is_none()));
            }
            Subject::Collection => {
                let named = fields.creator.is_some() && fields.collection_name.is_some();
                needed.push(("collection (or creator and collection_name)", fields.collection.is_none() && !named));
            }
            Subject::Token => needed.push(("token", fields.token.is_none())),
        }
        if self.kind.step().is_some() {
            needed.push(("id", key.contains(&KeyPart::Id) && fields.id.is_none()));
            if key.is_empty() {
                return Err(format!(
                    "{} needs a key: set listing_key, token_offer_key or collection_offer_key",
                    self.kind.name()
                ));
            }
        }
        match needed.into_iter().find(|(_, missing)| *missing) {
            Some((field, _)) => Err(format!("{} needs the field {field}", self.kind.name())),
            None => Ok(()),
        }
    }
}

/// Names become parts of observers' names, which are keys and labels.
fn check_name(what: &str, name: &str) -> Result<(), String> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if name.is_empty() || name.len() > 30 || !name.bytes().all(plain) {
        return Err(format!("{what}: {name:?}: expected 1 to 30 of a-z, 0-9 and _"));
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
        assert!(market.streams[0].handle.resource.ends_with("f7e82a1::fixed_price_market::FixedMarketEvents"));
    }

    type Edit = fn(String) -> String;

    #[test]
    fn mistakes_are_named() {
        let refused = |edit: fn(String) -> String| {
            Market::parse("my.toml", &edit(BUILT_IN[0].1.to_owned()), None).unwrap_err().to_string()
        };
        let cases: [(Edit, &str); 6] = [
            (|text| text.replace("seller = \"seller\", ", ""), "place_listing needs the field seller"),
            (|text| text.replace("listing_key = [\"id\"]", ""), "needs a key"),
            (|text| text.replace("name = \"delist\"", "name = \"list\""), "two streams are named \"list\""),
            (|text| text.replace("price = ", "prise = "), "unknown field `prise`"),
            (|text| text.replace("kind = \"place_listing\"", "kind = \"list\""), "unknown variant `list`"),
            (|text| text.replace("0x73", "73"), "address: expected an address"),
        ];
        for (edit, expected) in cases {
            let message = refused(edit);
            assert!(message.starts_with("market file my.toml: ") && message.contains(expected), "{message}");
        }
        assert!(Market::built_in("imartt", None).unwrap_err().to_string().contains("built in: imart"));
    }
}
