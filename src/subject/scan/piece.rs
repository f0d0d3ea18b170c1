//! A piece of the ledger: the events of some types in a stretch of transactions.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::chain::{RawEvent, SeqNo, Timestamp, Version, canonical_type};

/// The transactions from `first` up to, not including, `end`, as far as they are of interest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    pub first: Version,
    pub end: Version,
    /// In the order of the ledger. `seq_no` is the one of the handle; 0 for module events.
    pub events: Vec<RawEvent>,
}

/// The event types of interest, without type arguments, and how types that were met are spelt.
pub(super) struct Types {
    wanted: HashSet<Arc<str>>,
    /// By the spelling of the node; `None` is of no interest.
    met: Mutex<HashMap<Box<str>, Option<Arc<str>>>>,
}

impl Types {
    /// More spellings than these are not remembered: type arguments make any number of them.
    const MOST_MET: usize = 10_000;

    pub fn new(wanted: impl IntoIterator<Item = Arc<str>>) -> Self {
        Self { wanted: wanted.into_iter().collect(), met: Mutex::default() }
    }

    /// Those of interest.
    pub fn wanted(&self) -> impl Iterator<Item = &str> {
        self.wanted.iter().map(AsRef::as_ref)
    }

    /// The type in its standard form, if it is of interest.
    pub fn of(&self, spelt: &str) -> Option<Arc<str>> {
        let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = met.get(spelt) {
            return known.clone();
        }
        let canonical = canonical_type(spelt);
        let base = canonical.split('<').next().unwrap_or_default();
        let wanted = self.wanted.contains(base).then(|| Arc::from(&*canonical));
        if met.len() < Self::MOST_MET {
            met.insert(spelt.into(), wanted.clone());
        }
        wanted
    }
}

#[derive(Deserialize)]
struct TransactionJson<'a> {
    #[serde(borrow)]
    version: Cow<'a, str>,
    #[serde(borrow, default)]
    timestamp: Option<Cow<'a, str>>,
    /// Genesis and others have none.
    #[serde(borrow, default)]
    events: Vec<EventJson<'a>>,
}

#[derive(Deserialize)]
struct EventJson<'a> {
    #[serde(borrow)]
    guid: GuidJson<'a>,
    #[serde(borrow)]
    sequence_number: Cow<'a, str>,
    #[serde(borrow, rename = "type")]
    event_type: Cow<'a, str>,
    #[serde(borrow)]
    data: &'a RawValue,
}

#[derive(Deserialize)]
struct GuidJson<'a> {
    #[serde(borrow)]
    creation_number: Cow<'a, str>,
    #[serde(borrow)]
    account_address: Cow<'a, str>,
}

impl Piece {
    /// Reads an answer of `/transactions?start={first}`. It must be the ledger from there on, without a hole.
    pub fn read(body: &[u8], first: Version, types: &Types) -> Result<Self, String> {
        let transactions: Vec<TransactionJson> =
            serde_json::from_slice(body).map_err(|error| format!("answered no page of transactions: {error}"))?;
        let mut piece = Self { first, end: first, events: vec![] };
        for transaction in transactions {
            let version = number("version", &transaction.version)?;
            if version != piece.end.get() {
                return Err(format!("answered transaction {version} where {} belongs", piece.end));
            }
            let time = match &transaction.timestamp {
                Some(time) => Timestamp::from_micros(number("timestamp", time)?.into()),
                None => None,
            };
            for (index, event) in transaction.events.iter().enumerate() {
                let Some(event_type) = types.of(&event.event_type) else { continue };
                piece.events.push(event.raw(event_type, piece.end, index, time)?);
            }
            piece.end = piece.end.next();
        }
        Ok(piece)
    }

    /// About as many as it takes in memory.
    pub fn bytes(&self) -> usize {
        let events = self.events.iter().map(|event| size_of::<RawEvent>() + event.data.len());
        size_of::<Self>() + events.sum::<usize>()
    }

    /// Adds what comes behind.
    pub fn append(&mut self, more: Self) {
        self.end = more.end;
        self.events.extend(more.events);
    }
}

impl EventJson<'_> {
    fn raw(
        &self,
        event_type: Arc<str>,
        version: Version,
        index: usize,
        block_time: Option<Timestamp>,
    ) -> Result<RawEvent, String> {
        let account = self.guid.account_address.parse();
        Ok(RawEvent {
            version,
            event_index: Some(u32::try_from(index).map_err(|_| "answered too many events in a transaction")?),
            seq_no: SeqNo::new(number("sequence_number", &self.sequence_number)?).unwrap_or_default(),
            event_type,
            account_address: account.map_err(|error| format!("answered an event whose guid is wrong: {error}"))?,
            creation_number: number("creation_number", &self.guid.creation_number)?,
            data: self.data.get().to_owned(),
            block_time,
        })
    }
}

fn number(name: &str, text: &str) -> Result<u64, String> {
    let number = text.parse::<u64>().ok().filter(|number| i64::try_from(*number).is_ok());
    number.ok_or_else(|| format!("answered {name} {text:?}, which is no number up to {}", i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = r#"[
        {"version":"7","type":"state_checkpoint_transaction","timestamp":"1700000000000000","changes":[{"events":1}]},
        {"version":"8","timestamp":"1700000000000001","type":"user_transaction","events":[
            {"guid":{"creation_number":"0","account_address":"0x0"},"sequence_number":"0","type":"0x1::fee::Fee","data":{}},
            {"guid":{"creation_number":"0","account_address":"0x0"},"sequence_number":"0","type":"0x0a::m::E<0x1::c::C>","data":{"n":"1"}},
            {"guid":{"creation_number":"15","account_address":"0xa"},"sequence_number":"3","type":"0xa::m::H","data":{"n":2}}]}
    ]"#;

    fn types() -> Types {
        Types::new(["0xa::m::E", "0xa::m::H"].map(|kind| Arc::from(canonical_type(kind))))
    }

    fn at(version: u64) -> Version {
        Version::new(version).unwrap()
    }

    #[test]
    fn only_what_is_of_interest_is_kept_with_its_place() {
        let piece = Piece::read(PAGE.as_bytes(), at(7), &types()).unwrap();
        assert_eq!((piece.first, piece.end), (at(7), at(9)));
        let [module, handle] = &piece.events[..] else { panic!("{piece:?}") };
        assert_eq!((module.version, module.event_index, &*module.data), (at(8), Some(1), r#"{"n":"1"}"#));
        assert_eq!(module.block_time, Timestamp::from_micros(1_700_000_000_000_001));
        assert_eq!((handle.event_index, handle.seq_no.get(), handle.creation_number), (Some(2), 3, 15));
    }

    #[test]
    fn what_is_not_the_ledger_from_there_on_is_no_piece() {
        let read = |text: &str, first| Piece::read(text.as_bytes(), at(first), &types());
        assert!(read(PAGE, 6).unwrap_err().contains("answered transaction 7 where 6 belongs"));
        assert!(read(&PAGE.replace(r#""8""#, r#""9""#), 7).unwrap_err().contains("9 where 8 belongs"));
        assert!(read(&PAGE.replace(r#""15""#, r#""x""#), 7).unwrap_err().contains("creation_number"));
        assert!(read("{}", 7).unwrap_err().contains("no page of transactions"));
        assert_eq!(read("[]", 7).unwrap().end, at(7));
    }
}
