//! The text of a first market file: what is guessed is marked, what is not known is commented out. It is a market file if any
//! stream could be guessed.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::guess;
use crate::chain::{Address, ChainId};
use crate::market::{Field, Kind, Market};
use crate::subject::{Module, MoveField};

/// A first market file.
pub struct Draft {
    pub text: String,
    /// How many streams it has.
    pub streams: usize,
    /// How many kinds of events are commented out.
    pub unknown: usize,
}

/// A kind of events of the contract.
struct Found<'m> {
    /// `::module::Struct`.
    event: String,
    fields: &'m [MoveField],
    /// The resource and its field, if a handle holds them.
    handle: Option<(String, String)>,
    /// Why it cannot be read by any market file, if so.
    obstacle: Option<&'static str>,
}

type Candidates = &'static [&'static [Field]];

/// The keys that a market may have: which kinds, and what to try, the best first.
const KEYS: [(&str, &[Kind], Candidates); 3] = [
    (
        "listing_key",
        &[Kind::PlaceListing, Kind::CancelListing, Kind::FillListing, Kind::PlaceBid],
        &[&[Field::Id], &[Field::Token, Field::Seller], &[Field::Token]],
    ),
    (
        "token_offer_key",
        &[Kind::PlaceTokenOffer, Kind::CancelTokenOffer, Kind::FillTokenOffer],
        &[&[Field::Id], &[Field::Token, Field::Offerer]],
    ),
    (
        "collection_offer_key",
        &[Kind::PlaceCollectionOffer, Kind::CancelCollectionOffer, Kind::FillCollectionOffer],
        &[&[Field::Id], &[Field::Collection, Field::Offerer]],
    ),
];

impl Draft {
    /// The file for the market `name`, whose contract has these modules. Fails if the name cannot be one.
    pub fn of(name: &str, address: Address, chain: Option<ChainId>, modules: &[Module]) -> Result<Self, String> {
        let found = events(address, modules);
        let guesses: Vec<_> = found.iter().map(|found| Guess::of(found, address, modules)).collect();
        let keys = keys(&guesses);
        let mut head = format!("name = {name:?}\n");
        if let Some(chain) = chain {
            let _ = writeln!(head, "chain = {chain}");
        }
        let _ = writeln!(head, "address = \"{address}\"\n");
        let (mut blocks, mut streams, mut used, mut names) = (String::new(), 0, vec![], BTreeMap::new());
        for (found, guess) in found.iter().zip(&guesses) {
            let block = guess.block(found, &unique(&mut names, &short(&found.event)), &keys);
            let key = guess.kind.and_then(key_name);
            let key = keys.iter().find(|(name, _)| Some(**name) == key);
            let alone = format!("{head}{}\n{block}", key.map(|(_, line)| line.as_str()).unwrap_or_default());
            let why = match (found.obstacle, guess.kind) {
                (Some(obstacle), _) => Some(obstacle.to_owned()),
                (None, None) => Some("what it stands for could not be guessed: set kind, or leave it out".to_owned()),
                (None, Some(_)) => {
                    Market::parse(&found.event, &alone, None).err().map(|error| reason(&error.to_string()))
                }
            };
            match why {
                None => {
                    streams += 1;
                    used.extend(key.map(|(name, _)| *name));
                    blocks.push_str(&block);
                }
                Some(why) => {
                    let _ = writeln!(blocks, "# {why}");
                    for line in block.lines() {
                        let _ = writeln!(blocks, "{}", format!("# {line}").trim_end());
                    }
                }
            }
            blocks.push('\n');
        }
        let lines = keys.iter().filter(|(name, _)| used.contains(*name)).map(|(_, line)| format!("{line}\n"));
        let text = format!("{HEADER}\n{head}{}\n{}\n", lines.collect::<String>(), blocks.trim_end());
        let unknown = found.len() - streams;
        match Market::parse(name, &text, None) {
            Err(error) if streams > 0 => Err(error.to_string()),
            Ok(_) | Err(_) => Ok(Self { text, streams, unknown }),
        }
    }
}

const HEADER: &str = "\
# A first draft, from the contract's published modules. Every line marked as a guess is one, by names alone: look at some real
# events, correct it, and try it with `event-worker market test`. The language is described in docs/markets.md.
";

/// What a message says behind its place in a file that nobody has seen.
fn reason(message: &str) -> String {
    let behind = message.split_once("column ").and_then(|(_, rest)| rest.split_once(": "));
    behind.map_or(message, |(_, reason)| reason).to_owned()
}

fn key_name(kind: Kind) -> Option<&'static str> {
    KEYS.iter().find(|(_, kinds, _)| kinds.contains(&kind)).map(|(name, ..)| *name)
}

/// The kinds of events that the modules declare: those of handles first, then module events.
fn events(address: Address, modules: &[Module]) -> Vec<Found<'_>> {
    let mut found: Vec<Found> = vec![];
    let own = format!("{}::", address.in_type());
    let fields_of = |event: &str| {
        let (module, item) = event.strip_prefix("::")?.split_once("::")?;
        Some(modules.iter().find(|other| other.name == module)?.structs.get(item)?.as_slice())
    };
    for module in modules {
        for (holder, fields) in &module.structs {
            for MoveField { name, kind } in fields {
                let Some(held) = kind.strip_prefix("0x1::event::EventHandle<").and_then(|held| held.strip_suffix('>'))
                else {
                    continue;
                };
                let base = held.split('<').next().unwrap_or_default();
                let Some(event) = base.strip_prefix(&own).map(|rest| format!("::{rest}")) else { continue };
                let is_generic = held.contains('<');
                found.push(Found {
                    fields: fields_of(&event).unwrap_or_default(),
                    event,
                    handle: Some((format!("::{}::{holder}", module.name), name.clone())),
                    obstacle: is_generic.then_some("the resource has type arguments: write them out behind handle"),
                });
            }
        }
    }
    for module in modules {
        for (item, fields) in &module.structs {
            let event = format!("::{}::{item}", module.name);
            let is_event = module.events.contains(item) || item.ends_with("Event");
            if is_event && !found.iter().any(|other| other.event == event) {
                found.push(Found { event, fields, handle: None, obstacle: None });
            }
        }
    }
    found
}

/// What one kind of events probably is.
struct Guess {
    kind: Option<Kind>,
    /// The path to each field, with its type.
    fields: Vec<(Field, MoveField)>,
    /// What is in the event beside them.
    rest: Vec<MoveField>,
}

impl Guess {
    fn of(found: &Found, address: Address, modules: &[Module]) -> Self {
        let kind = guess::kind(short(&found.event).as_str());
        let all = flat(found.fields, address, modules);
        let mut fields = vec![];
        if let Some(kind) = kind {
            for field in Field::ALL.into_iter().filter(|field| field.is_used_by(kind)) {
                if let Some(at) = guess::path(field, kind, &all) {
                    fields.push((field, at.clone()));
                }
            }
        }
        let is_mapped = |one: &MoveField| fields.iter().any(|(_, mapped)| mapped.name == one.name);
        let rest = all.iter().filter(|one| !is_mapped(one)).cloned().collect();
        Self { kind, fields, rest }
    }

    fn has(&self, field: Field) -> bool {
        self.fields.iter().any(|(mapped, _)| *mapped == field)
            || (field == Field::Token
                && [Field::Creator, Field::CollectionName, Field::TokenName].iter().all(|part| self.has(*part)))
    }

    fn block(&self, found: &Found, name: &str, keys: &BTreeMap<&'static str, String>) -> String {
        let mut block = format!("[[streams]]\nname = {name:?}\n");
        let kind = self.kind.map_or("", Kind::name);
        let _ = writeln!(block, "kind = {kind:?}  # a guess");
        if let Some((resource, field)) = &found.handle {
            let _ = writeln!(block, "handle = {resource:?}\nfield = {field:?}");
        }
        let _ = writeln!(block, "event = {:?}", found.event);
        let key = self.kind.and_then(key_name).and_then(|name| keys.get(name));
        for (field, at) in &self.fields {
            // Of use only where the key has it.
            if *field == Field::Id && !key.is_some_and(|key| key.contains("\"id\"")) {
                continue;
            }
            let may_miss = if at.kind.starts_with("0x1::option::Option<") { "?" } else { "" };
            let unit = if field.is_time() { ", in microseconds" } else { "" };
            let _ =
                writeln!(block, "fields.{} = \"{}{may_miss}\"  # a guess: {}{unit}", field.name(), at.name, at.kind);
        }
        for MoveField { name, kind } in &self.rest {
            let _ = writeln!(block, "# not used: {name} ({kind})");
        }
        block
    }
}

/// An event's fields by their paths: those of the contract's own structs lie one level deeper.
fn flat(fields: &[MoveField], address: Address, modules: &[Module]) -> Vec<MoveField> {
    let own = format!("{}::", address.in_type());
    let mut all = vec![];
    for field in fields {
        let inner = field.kind.strip_prefix(&own).and_then(|rest| rest.split_once("::")).and_then(|(module, item)| {
            let item = item.split('<').next().unwrap_or_default();
            modules.iter().find(|other| other.name == module)?.structs.get(item)
        });
        match inner {
            Some(inner) => all.extend(
                inner
                    .iter()
                    .map(|one| MoveField { name: format!("{}.{}", field.name, one.name), kind: one.kind.clone() }),
            ),
            None => all.push(field.clone()),
        }
    }
    all
}

/// For each key, the line that sets it to the parts that most of its streams have.
fn keys(guesses: &[Guess]) -> BTreeMap<&'static str, String> {
    let mut keys = BTreeMap::new();
    for (name, kinds, candidates) in KEYS {
        let about: Vec<_> =
            guesses.iter().filter(|guess| guess.kind.is_some_and(|kind| kinds.contains(&kind))).collect();
        let fit = |parts: &[Field]| about.iter().filter(|guess| parts.iter().all(|part| guess.has(*part))).count();
        // Of two that fit as many, the first is the better one.
        let best = candidates.iter().rev().max_by_key(|parts| fit(parts)).filter(|parts| fit(parts) > 0);
        if let Some(parts) = best {
            let mut names: Vec<_> = parts.iter().map(|part| format!("{:?}", part.name())).collect();
            if parts[0] == Field::Token {
                names.insert(1, "\"property_version\"".to_owned());
            }
            keys.insert(name, format!("{name} = [{}]  # a guess", names.join(", ")));
        }
    }
    keys
}

fn short(event: &str) -> String {
    event.rsplit("::").next().unwrap_or_default().to_owned()
}

/// A stream's name: the event's, as names are, and told apart from others by a number.
fn unique(names: &mut BTreeMap<String, usize>, event: &str) -> String {
    let mut name = String::new();
    for letter in event.strip_suffix("Event").filter(|name| !name.is_empty()).unwrap_or(event).chars() {
        if letter.is_uppercase() && !name.is_empty() && !name.ends_with('_') {
            name.push('_');
        }
        name.extend(letter.to_lowercase());
    }
    name.truncate(26);
    let count = names.entry(name.clone()).or_insert(0);
    *count += 1;
    if *count == 1 { name } else { format!("{name}_{count}") }
}
