//! A piece of the ledger: the events of some types in a stretch of transactions.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::chain::{Caller, RawEvent, SeqNo, Timestamp, Version, canonical_type};

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
    /// Blocks and others have none.
    #[serde(borrow, default)]
    sender: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    payload: Option<PayloadJson<'a>>,
    /// Genesis and others have none.
    #[serde(borrow, default)]
    events: Vec<EventJson<'a>>,
}

/// A script has no function; a multisig's is one level down, unless the account itself holds it.
#[derive(Deserialize)]
struct PayloadJson<'a> {
    #[serde(borrow, default)]
    function: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    transaction_payload: Option<MultisigJson<'a>>,
}

#[derive(Deserialize)]
struct MultisigJson<'a> {
    #[serde(borrow, default)]
    function: Option<Cow<'a, str>>,
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
            let mut caller = None;
            for (index, event) in transaction.events.iter().enumerate() {
                let Some(event_type) = types.of(&event.event_type) else { continue };
                if caller.is_none() {
                    caller = transaction.caller()?;
                }
                piece.events.push(event.raw(event_type, piece.end, index, time, caller.clone())?);
            }
            piece.end = piece.end.next();
        }
        Ok(piece)
    }

    /// About as many as it takes in memory.
    pub fn bytes(&self) -> usize {
        // As if each were of a transaction of its own.
        let caller =
            |caller: &Arc<Caller>| size_of::<Caller>() + caller.entry_function.as_ref().map_or(0, |name| name.len());
        let bytes =
            |event: &RawEvent| size_of::<RawEvent>() + event.data.len() + event.caller.as_ref().map_or(0, caller);
        size_of::<Self>() + self.events.iter().map(bytes).sum::<usize>()
    }

    /// Adds what comes behind.
    pub fn append(&mut self, more: Self) {
        self.end = more.end;
        self.events.extend(more.events);
    }
}

impl TransactionJson<'_> {
    fn caller(&self) -> Result<Option<Arc<Caller>>, String> {
        let Some(sender) = &self.sender else { return Ok(None) };
        let payload = self.payload.as_ref();
        let inner = payload.and_then(|payload| payload.transaction_payload.as_ref()?.function.as_deref());
        let function = payload.and_then(|payload| payload.function.as_deref()).or(inner);
        let wrong = |error| format!("answered transaction {} whose sender is wrong: {error}", self.version);
        Caller::read(sender, function).map(Some).map_err(wrong)
    }
}

impl EventJson<'_> {
    fn raw(
        &self,
        event_type: Arc<str>,
        version: Version,
        index: usize,
        block_time: Option<Timestamp>,
        caller: Option<Arc<Caller>>,
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
            caller,
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
    fn who_called_what_is_told_by_transactions_that_somebody_sent() {
        let caller = |said: &str| {
            let page = PAGE.replace(r#""version":"8","#, &format!(r#""version":"8",{said}"#));
            let piece = Piece::read(page.as_bytes(), at(7), &types())?;
            let [module, handle] = &piece.events[..] else { panic!("{piece:?}") };
            assert_eq!(module.caller, handle.caller);
            Ok::<_, String>(
                module.caller.as_ref().map(|caller| (caller.sender.to_string(), caller.entry_function.clone())),
            )
        };
        let (sender, function) = (format!("0x{:0>64}", "b"), format!("0x{:0>64}::m::f", "ab"));
        for (payload, expected) in [
            (
                r#""type":"entry_function_payload","function":"0xab::m::f","arguments":[{"function":7}]"#,
                Some(&*function),
            ),
            (
                r#""type":"multisig_payload","transaction_payload":{"function":"0xab::m::f","arguments":[]}"#,
                Some(&*function),
            ),
            (r#""type":"multisig_payload","multisig_address":"0xa","transaction_payload":null"#, None),
            (r#""type":"multisig_payload","multisig_address":"0xa""#, None),
            (r#""type":"script_payload","code":{"bytecode":"0xa1"}"#, None),
        ] {
            let told = caller(&format!(r#""sender":"0xb","payload":{{{payload}}},"#));
            assert_eq!(told, Ok(Some((sender.clone(), expected.map(Arc::from)))), "{payload}");
        }
        assert_eq!(caller(r#""sender":"0xb","#), Ok(Some((sender, None))));
        assert_eq!(caller(""), Ok(None), "nobody sends blocks");
        assert!(caller(r#""sender":"b","#).unwrap_err().contains("transaction 8 whose sender is wrong"));
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
