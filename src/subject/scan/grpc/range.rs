//! What a response may say: it goes on where the one before has ended, and nothing else counts.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::super::piece::{Piece, Types};
use super::messages::{Event, EventKey, Response, Time, Transaction, TransactionPayload, UserTransaction};
use crate::chain::{Address, Caller, RawEvent, SeqNo, Timestamp, Version};

/// What is new in a response where `expected` comes next; `None` for what has all been told before. Never beyond a hole.
pub(super) fn read(response: &Response, expected: Version, types: &Types) -> Result<Option<Piece>, String> {
    let transactions = &response.transactions;
    let (first, last) = match (&response.processed_range, &transactions[..]) {
        (Some(range), _) => (range.first_version, range.last_version),
        // Whoever tells no range sends every transaction.
        (None, [first, .., last]) => (first.version, last.version),
        (None, [only]) => (only.version, only.version),
        (None, []) => return Ok(None),
    };
    if last < first {
        return Err(format!("sent versions {first} to {last}, which is backwards"));
    }
    let (first, end) = (version(first)?, version(last)?.next());
    if first > expected {
        return Err(format!("left out transactions {expected} to {}", first.get() - 1));
    }
    let mut piece = Piece { first: expected, end: end.max(expected), events: vec![] };
    let mut next = first;
    for transaction in transactions {
        let at = version(transaction.version)?;
        let is_next = if response.processed_range.is_some() { at >= next } else { at == next };
        if !is_next || at >= end {
            return Err(format!("sent transaction {at} where {next} to {last} belong"));
        }
        next = at.next();
        if at >= expected {
            read_events(transaction, at, types, &mut piece.events)?;
        }
    }
    Ok((piece.end > expected).then_some(piece))
}

fn read_events(
    transaction: &Transaction,
    version: Version,
    types: &Types,
    found: &mut Vec<RawEvent>,
) -> Result<(), String> {
    let Some(user) = &transaction.user else { return Ok(()) };
    let block_time = transaction.timestamp.as_ref().and_then(time);
    let mut called = None;
    for (index, event) in (0..).zip(&user.events) {
        let Some(event_type) = types.of(&event.type_str) else { continue };
        if called.is_none() {
            called = caller(user, version)?;
        }
        found.push(raw(event, event_type, version, index, block_time, called.clone())?);
    }
    Ok(())
}

fn caller(user: &UserTransaction, version: Version) -> Result<Option<Arc<Caller>>, String> {
    let Some(request) = &user.request else { return Ok(None) };
    let function = request.payload.as_ref().and_then(TransactionPayload::entry_function);
    let wrong = |error| format!("sent transaction {version} whose sender is wrong: {error}");
    Caller::read(&request.sender, function).map(Some).map_err(wrong)
}

fn raw(
    event: &Event,
    event_type: Arc<str>,
    version: Version,
    index: u32,
    block_time: Option<Timestamp>,
    caller: Option<Arc<Caller>>,
) -> Result<RawEvent, String> {
    let wrong = |what: &str| format!("sent an event in transaction {version} whose {what}");
    let EventKey { creation_number, account_address } = event.key.as_ref().ok_or_else(|| wrong("key is missing"))?;
    let account_address: Address = account_address.parse().map_err(|error| wrong(&format!("key is wrong: {error}")))?;
    let seq_no = SeqNo::new(event.sequence_number).ok_or_else(|| wrong("number is too large"))?;
    if i64::try_from(*creation_number).is_err() {
        return Err(wrong("creation number is too large"));
    }
    let data: &RawValue =
        serde_json::from_str(&event.data).map_err(|error| wrong(&format!("data is no JSON: {error}")))?;
    Ok(RawEvent {
        version,
        event_index: Some(index),
        seq_no,
        event_type,
        account_address,
        creation_number: *creation_number,
        data: data.get().to_owned(),
        block_time,
        caller,
    })
}

fn time(time: &Time) -> Option<Timestamp> {
    let micros = time.seconds.checked_mul(1_000_000)?.checked_add(i64::from(time.nanos) / 1_000)?;
    Timestamp::from_micros(micros.try_into().ok()?)
}

fn version(number: u64) -> Result<Version, String> {
    Version::new(number).ok_or_else(|| format!("sent version {number}, which is beyond any"))
}

#[cfg(test)]
mod tests {
    use super::super::messages::{
        EntryFunctionPayload, MultisigPayload, MultisigTransactionPayload, ProcessedRange, UserTransactionRequest,
    };
    use super::*;

    fn transaction(version: u64) -> Transaction {
        let event = |type_str: &str| Event {
            key: Some(EventKey { creation_number: 7, account_address: format!("0x{:0>64}", "a") }),
            sequence_number: version,
            data: format!(r#"{{"version":"{version}"}}"#),
            type_str: type_str.to_owned(),
        };
        Transaction {
            timestamp: Some(Time { seconds: 1_700_000_000, nanos: 1_999 }),
            version,
            user: Some(UserTransaction {
                request: Some(UserTransactionRequest {
                    sender: "0xb".to_owned(),
                    payload: Some(calling("0xab::m::f")),
                }),
                events: vec![event("0x1::fee::Fee"), event("0xa::m::E<0x1::c::C>")],
            }),
        }
    }

    fn calling(function: &str) -> TransactionPayload {
        let called = EntryFunctionPayload { entry_function_id_str: function.to_owned() };
        TransactionPayload { entry_function_payload: Some(called), multisig_payload: None }
    }

    fn response(range: Option<(u64, u64)>, versions: &[u64]) -> Response {
        let processed_range = range.map(|(first_version, last_version)| ProcessedRange { first_version, last_version });
        let transactions = versions.iter().map(|version| transaction(*version)).collect();
        Response { transactions, chain_id: None, processed_range }
    }

    fn at(version: u64) -> Version {
        Version::new(version).unwrap()
    }

    /// What comes of it where 100 is expected: the end, and the versions of the events.
    fn told(range: Option<(u64, u64)>, versions: &[u64]) -> Result<Option<(u64, Vec<u64>)>, String> {
        let types = Types::new([Arc::from("0xa::m::E")]);
        let piece = read(&response(range, versions), at(100), &types)?;
        Ok(piece.map(|piece| {
            assert_eq!(piece.first, at(100));
            (piece.end.get(), piece.events.iter().map(|event| event.version.get()).collect())
        }))
    }

    #[test]
    fn what_goes_on_is_taken_with_the_places_of_its_events() {
        assert_eq!(told(Some((100, 199)), &[103, 150]), Ok(Some((200, vec![103, 150]))));
        assert_eq!(told(Some((100, 100)), &[]), Ok(Some((101, vec![]))), "nothing of interest is progress, too");
        let types = Types::new([Arc::from("0xa::m::E")]);
        let piece = read(&response(Some((5, 5)), &[5]), at(5), &types).unwrap().unwrap();
        let [event] = &piece.events[..] else { panic!("{piece:?}") };
        assert_eq!((event.event_index, event.seq_no.get(), event.creation_number), (Some(1), 5, 7));
        assert_eq!((&*event.event_type, &*event.data), ("0xa::m::E<0x1::c::C>", r#"{"version":"5"}"#));
        assert_eq!(event.block_time, Timestamp::from_micros(1_700_000_000_000_001));
    }

    #[test]
    fn who_called_what_is_told() {
        let caller = |spoil: &dyn Fn(&mut UserTransaction)| {
            let mut response = response(Some((100, 100)), &[100]);
            spoil(response.transactions[0].user.as_mut().unwrap());
            let piece = read(&response, at(100), &Types::new([Arc::from("0xa::m::E")]))?.unwrap();
            let caller = piece.events[0].caller.as_ref();
            Ok::<_, String>(caller.map(|caller| (caller.sender.to_string(), caller.entry_function.clone())))
        };
        let paid = |payload: &Option<TransactionPayload>| {
            caller(&|user| user.request.as_mut().unwrap().payload.clone_from(payload))
        };
        let multisig = |transaction_payload| {
            let multisig_payload = Some(MultisigPayload { transaction_payload });
            Some(TransactionPayload { entry_function_payload: None, multisig_payload })
        };
        let (sender, function) = (format!("0x{:0>64}", "b"), format!("0x{:0>64}::m::f", "ab"));
        let with = |function: Option<&str>| Ok(Some((sender.clone(), function.map(Arc::from))));
        assert_eq!(caller(&|_| {}), with(Some(&function)));
        let entry_function_payload = calling("0xab::m::f").entry_function_payload;
        assert_eq!(paid(&multisig(Some(MultisigTransactionPayload { entry_function_payload }))), with(Some(&function)));
        for none in [None, multisig(None), Some(TransactionPayload::default()), Some(calling(""))] {
            assert_eq!(paid(&none), with(None), "{none:?}");
        }
        assert_eq!(caller(&|user| user.request = None), Ok(None));
        let wrong = caller(&|user| user.request.as_mut().unwrap().sender.clear());
        assert!(wrong.unwrap_err().contains("sent transaction 100 whose sender is wrong"));
    }

    #[test]
    fn what_comes_again_is_cut_off() {
        assert_eq!(told(Some((10, 99)), &[50, 99]), Ok(None));
        assert_eq!(told(Some((10, 100)), &[50, 99, 100]), Ok(Some((101, vec![100]))));
        assert_eq!(told(Some((10, 150)), &[50]), Ok(Some((151, vec![]))));
    }

    #[test]
    fn a_hole_is_never_crossed() {
        assert!(told(Some((101, 199)), &[150]).unwrap_err().contains("left out transactions 100 to 100"));
        assert!(told(None, &[120, 121]).unwrap_err().contains("left out transactions 100 to 119"));
        assert!(told(None, &[100, 102]).unwrap_err().contains("sent transaction 102 where 101"));
    }

    #[test]
    fn transactions_ascend_within_their_range() {
        for (range, versions) in [
            (Some((100, 199)), &[150, 103][..]),
            (Some((100, 199)), &[103, 103]),
            (Some((100, 199)), &[200]),
            (Some((100, 199)), &[99]),
            (Some((199, 100)), &[]),
            (Some((100, u64::MAX)), &[]),
        ] {
            assert!(told(range, versions).is_err(), "{range:?} {versions:?}");
        }
    }

    #[test]
    fn without_a_range_every_transaction_is_there() {
        assert_eq!(told(None, &[]), Ok(None));
        assert_eq!(told(None, &[100, 101]), Ok(Some((102, vec![100, 101]))));
        assert_eq!(told(None, &[99, 100]), Ok(Some((101, vec![100]))));
    }

    #[test]
    fn an_event_that_cannot_be_read_is_told() {
        let types = Types::new([Arc::from("0xa::m::E")]);
        let spoilt = |spoil: fn(&mut Event)| {
            let mut response = response(Some((100, 100)), &[100]);
            spoil(&mut response.transactions[0].user.as_mut().unwrap().events[1]);
            read(&response, at(100), &types).unwrap_err()
        };
        assert!(spoilt(|event| event.key = None).contains("key is missing"));
        assert!(spoilt(|event| event.data = "{".to_owned()).contains("no JSON"));
        assert!(spoilt(|event| event.sequence_number = u64::MAX).contains("too large"));
    }
}
