//! One stream of a market file: its source, what it stands for, and whether its fields suffice and are all of use.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::parts::{address, check_name, field_name};
use super::rule::{self, Told};
use super::text::{Mistake, Read, Table, Value};
use super::types::struct_type;
use super::{Base, KeyPart, Stream, key_name};
use crate::chain::{Handle, Source};
use crate::market::kind::{Step, Subject};
use crate::market::rule::{Rules, Unit};
use crate::market::{Field, Kind};

const KNOWN: [&str; 8] = ["name", "kind", "handle", "field", "creation_number", "account", "event", "fields"];

/// A stream, and where the parts stand that others may clash with.
pub struct Entry {
    pub stream: Stream,
    pub name_at: usize,
    pub source_at: usize,
    pub events_at: usize,
    /// Whether its handle is at the market's account.
    pub is_at_account: bool,
    /// Its times that are in the market's units.
    pub in_units: BTreeSet<Field>,
}

/// Reads the stream that is the `order`th of the market.
pub fn read(base: &Base, value: &Value, order: usize) -> Read<Entry> {
    let table = value.table("a stream", &KNOWN)?;
    let name = table.need("name")?;
    let thing = format!("stream {:?}", name.text()?);
    check_name(&name)?;
    entry(base, &table, name, order).map_err(|mistake| mistake.of(&thing))
}

fn entry(base: &Base, table: &Table, name: Value, order: usize) -> Read<Entry> {
    let kinds = Kind::ALL.map(|kind| (kind.name(), kind));
    let kind: Kind = table.need("kind")?.one_of("kind", &kinds)?;
    let (source, source_at) = source(base, table)?;
    let event = table.get("event");
    let events = event.map(|event| events(base, &event)).transpose()?.unwrap_or_default();
    let mut stream = Stream {
        observer: format!("{}:{}", base.name, name.text()?).into(),
        market: Arc::clone(&base.name),
        kind,
        order: u8::try_from(order).map_err(|_| Mistake::new(table.at(), "a market has at most 256 streams"))?,
        source,
        events,
        mapping: Arc::default(),
        rules: Rules::new(),
        for_all: false,
        key: base.key_of(kind).to_vec(),
        units: base.units,
        inherited: BTreeSet::new(),
    };
    let said = fields(base, table, &mut stream)?;
    check(&stream, table)?;
    stream.mapping = mapping(&stream, &said.all);
    Ok(Entry {
        name_at: name.at(),
        source_at,
        events_at: event.map_or(source_at, |event| event.at()),
        is_at_account: stream.source != Source::ModuleEvent && table.get("account").is_none(),
        in_units: said.in_units,
        stream,
    })
}

fn source(base: &Base, table: &Table) -> Read<(Source, usize)> {
    let account = table.get("account").map(|value| address(&value)).transpose()?;
    let owner = account.unwrap_or(base.account);
    match (table.get("handle"), table.get("creation_number"), table.get("event")) {
        (Some(_), Some(number), _) => {
            Err(Mistake::new(number.name_at, "creation_number and handle clash: a stream has one source"))
        }
        (Some(handle), None, _) => {
            let resource = struct_type(&handle, base.address)?;
            let field = field_name(&table.need("field")?)?;
            Ok((Source::Handle(Handle { account: owner, resource, field }), handle.at()))
        }
        (None, Some(number), _) => {
            if let Some(field) = table.get("field") {
                return Err(Mistake::new(field.name_at, "field is of use only with handle"));
            }
            Ok((Source::CreationNumber { account: owner, number: number.number()? }, number.at()))
        }
        (None, None, Some(event)) => {
            for name in ["field", "account"] {
                if let Some(value) = table.get(name) {
                    let reason = format!("{name} is of use only with handle: module events have their type alone");
                    return Err(Mistake::new(value.name_at, reason));
                }
            }
            Ok((Source::ModuleEvent, event.at()))
        }
        (None, None, None) => Err(Mistake::new(
            table.at(),
            "needs a source: handle and field, or creation_number, or the event's type alone for module events",
        )),
    }
}

/// The types of its events, in their standard form, without type arguments.
fn events(base: &Base, value: &Value) -> Read<Vec<Arc<str>>> {
    let each = if value.is_list() { value.list()? } else { vec![*value] };
    if each.is_empty() {
        return Err(value.wrong("names no type"));
    }
    let mut events: Vec<Arc<str>> = vec![];
    for value in each {
        if value.text()?.contains('<') {
            return Err(value.wrong("leave out the type arguments: events of any are meant"));
        }
        let event = struct_type(&value, base.address)?.into();
        if events.contains(&event) {
            return Err(value.wrong(format!("{event} is there twice")));
        }
        events.push(event);
    }
    Ok(events)
}

/// The fields of a stream.
#[derive(Default)]
struct Said {
    /// By their names, as the file says them.
    all: BTreeMap<String, String>,
    /// Those in the market's units.
    in_units: BTreeSet<Field>,
}

impl Said {
    /// Sets the rule of a field.
    fn tell(&mut self, stream: &mut Stream, field: Field, value: &Value) -> Read<()> {
        let told = rule::read(field, value)?;
        if field.is_time() && told.unit.is_none() {
            self.in_units.insert(field);
        }
        stream.tell(field, told);
        self.all.insert(value.name.to_owned(), value.canonical());
        Ok(())
    }
}

/// Sets the rules of its own fields, and of those that it takes over from the market.
fn fields(base: &Base, table: &Table, stream: &mut Stream) -> Read<Said> {
    let known = Field::ALL.map(Field::name);
    let own = table.get("fields");
    let own = own.map(|own| own.table("fields", &known)).transpose()?;
    let (mut said, mut left_out) = (Said::default(), BTreeSet::new());
    for value in own.iter().flat_map(Table::values) {
        let field = rule::field(&value)?;
        if value.is_false() {
            if !base.fields.iter().any(|(inherited, _)| *inherited == field) {
                return Err(value.wrong("the market has no such field that could be left out"));
            }
            left_out.insert(field);
            continue;
        }
        if !stream.uses(field) {
            return Err(Mistake::new(value.name_at, format!("{}: {}", value.name, useless(field, stream))));
        }
        said.tell(stream, field, &value)?;
    }
    for (field, value) in &base.fields {
        if !left_out.contains(field) && !stream.rules.has(*field) && stream.uses(*field) {
            said.tell(stream, *field, value)?;
            stream.inherited.insert(*field);
        }
    }
    Ok(said)
}

/// Of everything that decides what an event becomes, but for where it is found.
fn mapping(stream: &Stream, said: &BTreeMap<String, String>) -> Arc<str> {
    let key: Vec<_> = stream.key.iter().map(|part| part.name()).collect();
    let units = [stream.units.time, stream.units.expires_in, stream.units.expires_at].map(Unit::name);
    let all = format!("{} {} {key:?} {units:?} {said:?}", stream.kind.name(), stream.order);
    hex::encode(&Sha256::digest(all)[..8]).into()
}

fn useless(field: Field, stream: &Stream) -> String {
    match field {
        Field::Id if field.is_used_by(stream.kind) => {
            format!("never used: the key of {} has no part `id`", stream.kind.name())
        }
        _ => format!("never used: {} says nothing about it", stream.kind.name()),
    }
}

impl Stream {
    fn uses(&self, field: Field) -> bool {
        field.is_used_by(self.kind) && (field != Field::Id || self.key.contains(&KeyPart::Id))
    }

    fn tell(&mut self, field: Field, told: Told) {
        let Told { rule, unit, for_all } = told;
        self.rules.set(field, rule);
        self.for_all |= for_all;
        if let Some(unit) = unit {
            match field {
                Field::ExpiresIn => self.units.expires_in = unit,
                Field::ExpiresAt => self.units.expires_at = unit,
                _ => self.units.time = unit,
            }
        }
    }
}

/// Refuses a stream that could never tell what its kind or its key needs.
fn check(stream: &Stream, table: &Table) -> Read<()> {
    use Field::{Buyer, Collection, CollectionName, Creator, Offerer, Price, Quantity, Seller, Token, TokenName};
    let wrong =
        |reason: String| Err(Mistake::new(table.get("fields").map_or(table.at(), |fields| fields.name_at), reason));
    let has = |field| stream.rules.has(field);
    let named = has(Creator) && has(CollectionName);
    let token = has(Token) || (named && has(TokenName));
    let kind = stream.kind.name();
    let needs: &[(&str, bool)] = match stream.kind.subject() {
        Subject::Listing(Step::Place) => &[("seller", has(Seller)), ("price", has(Price))],
        Subject::Listing(Step::Cancel) => &[],
        Subject::Listing(Step::Fill) => &[("buyer", has(Buyer))],
        Subject::TokenOffer(Step::Place) | Subject::CollectionOffer(Step::Place) | Subject::Bid => {
            &[("offerer", has(Offerer)), ("price", has(Price))]
        }
        Subject::TokenOffer(_) | Subject::CollectionOffer(_) => &[("offerer", has(Offerer))],
        Subject::Collection => &[("collection (or creator and collection_name)", has(Collection) || named)],
        Subject::Token => &[("token (or creator, collection_name and token_name)", token)],
    };
    if let Some((field, _)) = needs.iter().find(|(_, has)| !has) {
        return wrong(format!("{kind} needs the field {field}"));
    }
    let is_about_a_key = !matches!(stream.kind.subject(), Subject::Collection | Subject::Token);
    let key = key_name(stream.kind);
    if is_about_a_key && stream.key.is_empty() {
        return Err(Mistake::new(table.need("kind")?.at(), format!("{kind} needs a key: set {key}")));
    }
    for part in &stream.key {
        let (field, has) = match part {
            KeyPart::Id => ("id", has(Field::Id)),
            KeyPart::Token => ("token (or creator, collection_name and token_name)", token),
            KeyPart::PropertyVersion => ("token (or property_version)", token),
            KeyPart::Collection => {
                ("collection (or creator and collection_name)", has(Collection) || named || has(Token))
            }
            KeyPart::Creator => ("creator", has(Creator) || has(Token)),
            KeyPart::Seller => ("seller", has(Seller)),
            KeyPart::Offerer => ("offerer", has(Offerer)),
            KeyPart::Price => ("price", has(Price)),
            KeyPart::Currency => ("currency", has(Field::Currency)),
        };
        if !has {
            return wrong(format!("{kind} needs the field {field}: {} is a part of {key}", part.name()));
        }
    }
    if has(Field::ExpiresIn) && has(Field::ExpiresAt) {
        return wrong("expires_in and expires_at clash: an offer has one of them".to_owned());
    }
    if stream.for_all && !has(Quantity) {
        return wrong("a price for all needs the field quantity".to_owned());
    }
    if has(Field::PropertyVersion) && !token {
        return wrong("property_version: never used: there is no token of which it could be".to_owned());
    }
    Ok(())
}
