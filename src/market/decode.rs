//! From a raw event to a [`MarketEvent`], by the paths that the market file names.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::file::{KeyPart, Path, Stream};
use super::fold::Entry;
use super::json::{Object, Parsed};
use super::value;
use super::{Item, Key, MarketEvent, Standard};
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
        let event = Event { data: Object::parse(&raw.data).map_err(|reason| refusal("data", reason))? };
        let fields = &self.fields;
        let (item, standard) = event.item(self)?;
        let price = event.read(fields.price.as_ref(), value::amount)?;
        let quantity = event.read(fields.quantity.as_ref(), value::count)?;
        let time = event.read(fields.time.as_ref(), value::count)?.map(|time| self.units.time.micros(time));
        let decoded = MarketEvent {
            kind: self.kind,
            key: None,
            seller: event.read(fields.seller.as_ref(), value::address)?,
            buyer: event.read(fields.buyer.as_ref(), value::address)?,
            offerer: event.read(fields.offerer.as_ref(), value::address)?,
            total: match event.read(fields.total.as_ref(), value::amount)? {
                None => total(price, quantity)?,
                told => told,
            },
            royalty: event.read(fields.royalty.as_ref(), value::amount)?,
            fee: event.read(fields.fee.as_ref(), value::amount)?,
            currency: event.read(fields.currency.as_ref(), value::coin_type)?,
            ends: event.read(fields.ends.as_ref(), value::boolean)?,
            time: time.map_or(raw.block_time, Timestamp::from_micros),
            expires_at: event
                .read(fields.expires_in.as_ref(), value::count)?
                .zip(time)
                .and_then(|(after, time)| Timestamp::from_micros(time + self.units.expires_in.micros(after))),
            description: event.read(fields.description.as_ref(), value::text)?,
            uri: event.read(fields.uri.as_ref(), value::text)?,
            maximum: event.read(fields.maximum.as_ref(), value::count)?,
            item,
            standard,
            price,
            quantity,
        };
        let key = self.key(&event, &decoded)?;
        Ok(MarketEvent { key, ..decoded })
    }

    fn key(&self, event: &Event, decoded: &MarketEvent) -> Result<Option<Key>, Refusal> {
        let address = |address: Option<Address>| address.map(|address| address.to_string());
        let mut text = String::new();
        for part in &self.key {
            let told = match part {
                KeyPart::Id => event.read(self.fields.id.as_ref(), value::id)?,
                KeyPart::Token => address(decoded.item.token_id),
                KeyPart::Collection => address(decoded.item.collection_id),
                KeyPart::PropertyVersion => Some(decoded.item.property_version.to_string()),
                KeyPart::Seller => address(decoded.seller),
                KeyPart::Offerer => address(decoded.offerer),
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

struct Event<'a> {
    data: Object<'a>,
}

impl<'a> Event<'a> {
    /// The value at `path` as `parse` reads it; `None` where the stream has no such field, or where it may be absent and is.
    fn read<T>(&self, path: Option<&Path>, parse: fn(&'a RawValue) -> Parsed<T>) -> Result<Option<T>, Refusal> {
        let Some(path) = path else { return Ok(None) };
        let refused = |reason| refusal(&path.to_string(), reason);
        match self.data.at(&path.names).map_err(refused)?.filter(|value| value.get() != "null") {
            Some(value) => parse(value).map(Some).map_err(refused),
            None if path.optional => Ok(None),
            None => Err(refused("is missing".to_owned())),
        }
    }

    fn item(&self, stream: &Stream) -> Result<(Item, Standard), Refusal> {
        let fields = &stream.fields;
        let token = self.read(fields.token.as_ref(), value::token)?;
        let (mut item, mut standard) = token.unwrap_or((Item::default(), Standard::V1));
        if let Some(collection) = self.read(fields.collection.as_ref(), value::address)? {
            item.collection_id = Some(collection);
            standard = Standard::V2;
        }
        let creator = self.read(fields.creator.as_ref(), value::address)?;
        match (creator, self.read(fields.collection_name.as_ref(), value::raw_text)?) {
            (Some(creator), Some(name)) if item.collection_id.is_none() => {
                return Ok((value::v1_collection(creator, &name), Standard::V1));
            }
            (creator, name) => {
                item.creator = item.creator.or(creator);
                item.collection_name = item.collection_name.or(name.map(|name| value::storable(&name).into()));
            }
        }
        item.token_name = item.token_name.or(self.read(fields.token_name.as_ref(), value::text)?);
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
listing_key = ["id", "token"]
streams = [{ name = "list", kind = "place_listing", handle = "::m::S", field = "a", fields = { id = "id", token = "deep.token", seller = "by", price = "price", currency = "coin?", ends = "ends?" } }]
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
        assert_eq!((told.item.token_id, told.seller), (address("a"), address("b")));
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
