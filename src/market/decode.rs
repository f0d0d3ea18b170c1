//! From a raw event to a [`MarketEvent`], by the paths that the market file names.

use std::sync::Arc;

use serde_json::Value;

use super::file::{KeyPart, Path, Stream};
use super::fold::Entry;
use super::value::{self, Parsed};
use super::{Item, Key, MarketEvent, Standard};
use crate::chain::{Amount, RawEvent, Timestamp};

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
            event: self.decode(raw)?,
        })
    }

    /// What `raw` means in standard terms. Never panics, whatever the data.
    pub fn decode(&self, raw: &RawEvent) -> Result<MarketEvent, Refusal> {
        let data: Value =
            serde_json::from_str(&raw.data).map_err(|error| refusal("data", format!("is not JSON: {error}")))?;
        let event = Event { data: &data };
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
        let mut parts = Vec::with_capacity(self.key.len());
        for part in &self.key {
            parts.push(match part {
                KeyPart::Id => event.read(self.fields.id.as_ref(), value::id)?,
                KeyPart::Token => decoded.item.token_id.clone(),
                KeyPart::Collection => decoded.item.collection_id.clone(),
                KeyPart::PropertyVersion => Some(decoded.item.property_version.to_string()),
                KeyPart::Seller => decoded.seller.map(|seller| seller.to_string()),
                KeyPart::Offerer => decoded.offerer.map(|offerer| offerer.to_string()),
            });
            if matches!(parts.last(), Some(None)) {
                return Err(refusal("data", format!("tells no {}, a part of the key", part.name())));
            }
        }
        let text = parts.into_iter().flatten().collect::<Vec<_>>().join("/");
        Ok((!self.key.is_empty()).then(|| Key::new(&self.market, text)))
    }
}

struct Event<'a> {
    data: &'a Value,
}

impl Event<'_> {
    /// The value at `path` as `parse` reads it; `None` where the stream has no such field, or where it may be absent and is.
    fn read<T>(&self, path: Option<&Path>, parse: fn(&Value) -> Parsed<T>) -> Result<Option<T>, Refusal> {
        let Some(path) = path else { return Ok(None) };
        let found =
            path.names.iter().try_fold(self.data, |value, name| value.get(name)).filter(|value| !value.is_null());
        match found {
            Some(value) => parse(value).map(Some).map_err(|reason| refusal(&path.to_string(), reason)),
            None if path.optional => Ok(None),
            None => Err(refusal(&path.to_string(), "is missing".to_owned())),
        }
    }

    fn item(&self, stream: &Stream) -> Result<(Item, Standard), Refusal> {
        let fields = &stream.fields;
        let token = self.read(fields.token.as_ref(), value::token)?;
        let (mut item, mut standard) = token.unwrap_or((Item::default(), Standard::V1));
        if let Some(collection) = self.read(fields.collection.as_ref(), value::address)? {
            item.collection_id = Some(collection.to_string());
            standard = Standard::V2;
        }
        let creator = self.read(fields.creator.as_ref(), value::address)?;
        match (creator, self.read(fields.collection_name.as_ref(), value::raw_text)?) {
            (Some(creator), Some(name)) if item.collection_id.is_none() => {
                return Ok((value::v1_collection(creator, name), Standard::V1));
            }
            (creator, name) => {
                item.creator = item.creator.or(creator);
                item.collection_name = item.collection_name.or(name.map(value::storable));
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
