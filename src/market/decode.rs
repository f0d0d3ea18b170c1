//! From a raw event to a [`MarketEvent`], by the paths that the market file names.

use std::cell::RefCell;
use std::sync::Arc;

use serde_json::value::RawValue;

use super::field::Field;
use super::file::{KeyPart, Stream};
use super::fold::Entry;
use super::json::{Object, Parsed};
use super::rule::{Absent, Form, Path, Rule};
use super::{Item, Key, MarketEvent, Standard};
use super::{generics, value};
use crate::chain::{Address, Amount, RawEvent, Timestamp};

/// Why an event could not be decoded: the field's path and what is wrong with it. The event is parked, never lost.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct Refusal {
    path: String,
    reason: String,
}

impl Stream {
    /// `raw` decoded, with its position.
    pub fn entry(&self, raw: &RawEvent) -> Result<Entry, Refusal> {
        Ok(Entry {
            observer: Arc::clone(&self.observer),
            market: Arc::clone(&self.market),
            stream: self.order,
            seq_no: raw.seq_no,
            version: raw.version,
            event_index: raw.event_index,
            event: Box::new(self.decode(raw)?),
        })
    }

    /// What `raw` means in standard terms. Never panics, whatever the data.
    pub fn decode(&self, raw: &RawEvent) -> Result<MarketEvent, Refusal> {
        let data = Object::parse(&raw.data).map_err(|reason| refusal("data", reason))?;
        let event = Event { stream: self, data, event_type: &raw.event_type, inner: RefCell::default() };
        let (item, standard) = event.item()?;
        let quantity = event.read(Field::Quantity, value::count)?;
        let (price, total) = event.money(quantity)?;
        let time = event.read(Field::Time, value::count)?.map(|time| self.units.time.micros(time));
        let decoded = MarketEvent {
            kind: self.kind,
            key: None,
            seller: event.read(Field::Seller, value::address)?,
            buyer: event.read(Field::Buyer, value::address)?,
            offerer: event.read(Field::Offerer, value::address)?,
            royalty: event.read(Field::Royalty, value::amount)?,
            fee: event.read(Field::Fee, value::amount)?,
            currency: event.currency()?,
            ends: event.read(Field::Ends, value::boolean)?,
            time: time.map_or(raw.block_time, Timestamp::from_micros),
            expires_at: event
                .expiry(time.or_else(|| raw.block_time.map(|time| time.micros().unsigned_abs().into())))?,
            description: event.text(Field::Description)?,
            uri: event.text(Field::Uri)?,
            maximum: event.read(Field::Maximum, value::count)?,
            item,
            standard,
            price,
            quantity,
            total,
        };
        let key = self.key(&event, &decoded)?;
        Ok(MarketEvent { key, ..decoded })
    }

    /// Whether there may be events of it that tell no time of their own.
    #[must_use]
    pub fn may_lack_time(&self) -> bool {
        match self.rules.get(Field::Time) {
            None => true,
            Some(Rule::At { absent, .. }) => matches!(absent, Absent::Untold),
            Some(Rule::Constant(_) | Rule::TypeArgument(_)) => false,
        }
    }

    fn key(&self, event: &Event, decoded: &MarketEvent) -> Result<Option<Key>, Refusal> {
        let address = |address: Option<Address>| address.map(|address| address.to_string());
        let mut text = String::new();
        for part in &self.key {
            let told = match part {
                KeyPart::Id => event.id()?,
                KeyPart::Token => address(decoded.item.token_id),
                KeyPart::Collection => address(decoded.item.collection_id),
                KeyPart::PropertyVersion => Some(decoded.item.property_version.to_string()),
                KeyPart::Creator => address(decoded.item.creator),
                KeyPart::Seller => address(decoded.seller),
                KeyPart::Offerer => address(decoded.offerer),
                KeyPart::Price => decoded.price.map(|price| price.to_string()),
                KeyPart::Currency => decoded.currency.as_deref().map(str::to_owned),
            };
            let told = told.ok_or_else(|| refusal("data", format!("tells no {}, a part of the key", part.name())))?;
            if !text.is_empty() {
                text.push('/');
            }
            text.push_str(&told);
        }
        Ok((!self.key.is_empty()).then(|| Key::new(&self.market, text)))
    }
}

/// An event's data, to be read by its stream's rules.
struct Event<'a> {
    stream: &'a Stream,
    data: Object<'a>,
    event_type: &'a str,
    /// The struct in it that was looked into last, by its name: the next path mostly leads into the same one.
    inner: RefCell<(&'a str, Object<'a>)>,
}

impl<'a> Event<'a> {
    /// The field as `parse` reads it; `None` where the stream has no such field, or where it may be absent and is.
    fn read<T>(&self, field: Field, parse: impl Fn(&'a RawValue) -> Parsed<T>) -> Result<Option<T>, Refusal> {
        let (paths, absent) = match self.stream.rules.get(field) {
            None => return Ok(None),
            Some(Rule::At { paths, absent, .. }) => (paths, absent),
            Some(Rule::Constant(constant)) => {
                return parse(&constant.json).map(Some).map_err(|reason| refusal(field.name(), reason));
            }
            Some(Rule::TypeArgument(_)) => return Ok(None),
        };
        for path in paths {
            let refused = |reason| refusal(&path.to_string(), reason);
            if let Some(value) = self.at(path).map_err(refused)? {
                return parse(value).map(Some).map_err(refused);
            }
        }
        match absent {
            Absent::Untold => Ok(None),
            Absent::Default(default) => parse(&default.json).map(Some).map_err(|reason| refusal(field.name(), reason)),
            Absent::Refused => {
                let paths: Vec<_> = paths.iter().map(ToString::to_string).collect();
                Err(refusal(&paths.join(" or "), "is missing".to_owned()))
            }
        }
    }

    /// The value at the end of a path, if one is told there.
    fn at(&self, Path(names): &'a Path) -> Parsed<Option<&'a RawValue>> {
        let [first, rest @ ..] = &names[..] else { return Ok(None) };
        if rest.is_empty() {
            return self.data.at(names);
        }
        let mut inner = self.inner.borrow_mut();
        if inner.0 != first {
            let value = self.data.at(std::slice::from_ref(first))?;
            let parsed = value.map(|value| Object::parse(value.get())).transpose()?;
            *inner = (first, parsed.unwrap_or_default());
        }
        inner.1.at(rest)
    }

    fn form(&self, field: Field) -> Form {
        match self.stream.rules.get(field) {
            Some(Rule::At { form, .. }) => *form,
            Some(Rule::Constant(_) | Rule::TypeArgument(_)) | None => Form::Plain,
        }
    }

    /// A text as the chain has it.
    fn raw_text(&self, field: Field) -> Result<Option<std::borrow::Cow<'a, str>>, Refusal> {
        match self.form(field) {
            Form::Hex => self.read(field, |value| value::hex_text(value).map(Into::into)),
            Form::Plain | Form::Text => self.read(field, value::raw_text),
        }
    }

    /// A text as every database can store it.
    fn text(&self, field: Field) -> Result<Option<Arc<str>>, Refusal> {
        Ok(self.raw_text(field)?.map(|text| value::storable(&text).into()))
    }

    fn id(&self) -> Result<Option<String>, Refusal> {
        match self.form(Field::Id) {
            Form::Text => self.read(Field::Id, value::text_id),
            Form::Plain | Form::Hex => self.read(Field::Id, value::id),
        }
    }

    /// Per unit, and in all.
    fn money(&self, quantity: Option<Amount>) -> Result<(Option<Amount>, Option<Amount>), Refusal> {
        let told = self.read(Field::Price, value::amount)?;
        let all = self.read(Field::Total, value::amount)?;
        if self.stream.for_all {
            let copies = quantity.unwrap_or(Amount(1)).0;
            let price = told.and_then(|told| told.0.checked_div(copies)).map(Amount);
            return Ok((price, all.or(told)));
        }
        Ok((told, if all.is_some() { all } else { total(told, quantity)? }))
    }

    fn currency(&self) -> Result<Option<Arc<str>>, Refusal> {
        match self.stream.rules.get(Field::Currency) {
            Some(Rule::Constant(constant)) => Ok(Some(Arc::clone(&constant.coin))),
            Some(Rule::TypeArgument(at)) => match generics::argument(self.event_type, *at) {
                Some(coin) => Ok(Some(value::storable(coin).into())),
                None => Err(refusal("type", format!("{} has no type argument {at}", self.event_type))),
            },
            Some(Rule::At { .. }) | None => self.read(Field::Currency, value::coin_type),
        }
    }

    /// When an offer ends, by itself or from `time` on.
    fn expiry(&self, time: Option<u128>) -> Result<Option<Timestamp>, Refusal> {
        let units = &self.stream.units;
        if let Some(at) = self.read(Field::ExpiresAt, value::count)? {
            return Ok(Timestamp::from_micros(units.expires_at.micros(at)));
        }
        let after = self.read(Field::ExpiresIn, value::count)?;
        let ends = after.zip(time).and_then(|(after, time)| time.checked_add(units.expires_in.micros(after)));
        Ok(ends.and_then(Timestamp::from_micros))
    }

    fn item(&self) -> Result<(Item, Standard), Refusal> {
        let token = self.read(Field::Token, value::token)?;
        let (mut item, mut standard) = token.unwrap_or((Item::default(), Standard::V1));
        if let Some(collection) = self.read(Field::Collection, value::address)? {
            item.collection_id = Some(collection);
            standard = Standard::V2;
        }
        let creator = self.read(Field::Creator, value::address)?;
        let collection_name = self.raw_text(Field::CollectionName)?;
        let token_name = self.raw_text(Field::TokenName)?;
        let property_version = self.read(Field::PropertyVersion, value::property_version)?;
        // Objects have addresses of their own, what is of v1 only names.
        if let (Some(creator), Some(collection), None, None) =
            (creator, &collection_name, item.token_id, item.collection_id)
        {
            (item, standard) = (value::v1_item(creator, collection, token_name.as_deref()), Standard::V1);
        }
        if standard == Standard::V1 && item.property_version == 0 {
            item.property_version = property_version.unwrap_or_default();
        }
        let storable = |name: std::borrow::Cow<str>| value::storable(&name).into();
        item.creator = item.creator.or(creator);
        item.collection_name = item.collection_name.or(collection_name.map(storable));
        item.token_name = item.token_name.or(token_name.map(storable));
        Ok((item, standard))
    }
}

fn total(price: Option<Amount>, quantity: Option<Amount>) -> Result<Option<Amount>, Refusal> {
    let (Some(price), quantity) = (price, quantity.unwrap_or(Amount(1))) else {
        return Ok(None);
    };
    let total = price.times(quantity);
    total
        .map(Some)
        .ok_or_else(|| refusal("data", format!("price {price} x quantity {quantity} is out of range of a u128")))
}

fn refusal(path: &str, reason: String) -> Refusal {
    Refusal { path: path.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::{SeqNo, Version};
    use crate::market::Market;

    const MARKET: &str = r#"
name = "toy"
address = "0x1"
token_offer_key = ["id", "token"]
streams = [{ name = "accept", kind = "fill_token_offer", handle = "::m::S", field = "a", fields = { id = "id", token = "deep.token", offerer = "by", price = "price", currency = "coin?", ends = "ends?" } }]
"#;

    fn decode(data: &str) -> Result<MarketEvent, String> {
        let raw = RawEvent {
            version: Version::default(),
            event_index: None,
            seq_no: SeqNo::ZERO,
            event_type: Arc::default(),
            account_address: "0x1".parse().unwrap(),
            creation_number: 0,
            data: data.to_owned(),
            block_time: None,
            caller: None,
        };
        Market::parse("toy.toml", MARKET, None).unwrap().streams[0].decode(&raw).map_err(|why| why.to_string())
    }

    /// Fields, of which the last of equal names counts, behind a listing that is right.
    fn with(fields: &str) -> Result<MarketEvent, String> {
        decode(&format!(
            r#"{{"id": "7", "deep": {{"token": "0xa"}}, "by": {{"inner": "0xb"}}, "price": "10", {fields}}}"#
        ))
    }

    #[test]
    fn every_form_of_a_value_is_read() {
        let told = with(
            r#""price": 340282366920938463463374607431768211455, "ends": "true", "unknown": {"price": 1},
            "coin": {"account_address": "0x01", "module_name": "0x6d", "struct_name": "0x533c3078326131323a3a613a3a423e"}"#,
        );
        let told = told.unwrap();
        let address = |digits: &str| Some(format!("0x{digits:0>64}").parse().unwrap());
        assert_eq!((told.price, told.ends), (Some(Amount(u128::MAX)), Some(true)));
        assert_eq!((told.item.token_id, told.offerer), (address("a"), address("b")));
        assert_eq!(told.currency, Some(format!("0x1::m::S<0x{:0>64}::a::B>", "2a12").into()));
        assert_eq!(*told.key.unwrap().text, format!("7/0x{:0>64}", "a"));
    }

    #[test]
    fn refusals_name_path_and_reason() {
        for (fields, expected) in [
            (r#""price": null"#, "data.price: is missing"),
            (r#""deep": [1]"#, "data.deep.token: is missing"),
            (r#""price": -1"#, r#"data.price: expected a whole number, found "-1""#),
            (r#""price": 1.0"#, r#"data.price: expected a whole number, found "1.0""#),
            (
                r#""price": ["a", {"c" : 1, "b": 2}]"#,
                r#"data.price: expected a whole number, found ["a",{"b":2,"c":1}]"#,
            ),
            (r#""id": "18446744073709551616""#, "data.id: 18446744073709551616 is out of range"),
            (r#""by": {"inner": 1}"#, r#"data.by: expected an address, found {"inner":1}"#),
            (r#""deep": {"token": {"token_data_id": 1}}"#, "data.deep.token: token_data_id.creator is missing"),
            (r#""coin": {"module_name": "0x61"}"#, "data.coin: expected a TypeInfo, account_address is missing"),
            (r#""by": "\ud83d""#, "data.by: is not JSON: "),
            (r#""rest": nul"#, "data: is not JSON: expected ident at line 1 column "),
        ] {
            let refused = with(fields).unwrap_err();
            assert!(refused.starts_with(expected), "{fields}: {refused}");
        }
        assert_eq!(decode("[]").unwrap_err(), "data.deep.token: is missing");
    }
}
