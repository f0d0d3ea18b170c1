//! The order of the events of one transaction, which event handles do not tell.

use std::borrow::Cow;

use serde::Deserialize;

use super::{Nodes, SubjectError};
use crate::chain::{Address, EventOrder, SeqNo, Timestamp, Version};

#[derive(Deserialize)]
struct TransactionJson<'a> {
    #[serde(borrow)]
    version: Cow<'a, str>,
    #[serde(borrow, default)]
    timestamp: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    events: Vec<EventJson<'a>>,
}

#[derive(Deserialize)]
struct EventJson<'a> {
    #[serde(borrow)]
    guid: GuidJson<'a>,
    #[serde(borrow)]
    sequence_number: Cow<'a, str>,
}

#[derive(Deserialize)]
struct GuidJson<'a> {
    #[serde(borrow)]
    creation_number: Cow<'a, str>,
    #[serde(borrow)]
    account_address: Cow<'a, str>,
}

impl Nodes {
    /// The order of the events of transaction `version`; `None` where nobody has it any more.
    pub(super) async fn order(&self, version: Version) -> Result<Option<EventOrder>, SubjectError> {
        let turn = self.orders.take().await;
        let path = format!("/transactions/by_version/{version}");
        // In a box, as hundreds may wait for their turns.
        match Box::pin(self.ask_about(version, &path, |answer| read(&answer.body, version))).await {
            Err(SubjectError::TooLong(message)) => {
                tracing::warn!("the order of its events is taken from their kinds: {message}");
                Ok(None)
            }
            asked => {
                if asked.is_ok() {
                    turn.answered();
                }
                asked
            }
        }
    }
}

fn read(body: &[u8], version: Version) -> Result<EventOrder, String> {
    let told: TransactionJson =
        serde_json::from_slice(body).map_err(|error| format!("answered no transaction: {error}"))?;
    if told.version.parse() != Ok(version.get()) {
        return Err(format!("answered transaction {} where {version} was asked for", told.version));
    }
    let time = told.timestamp.and_then(|time| Timestamp::from_micros(time.parse().ok()?));
    let events = told.events.iter().map(EventJson::guid).collect::<Result<Vec<_>, _>>()?;
    Ok(EventOrder::new(time, events))
}

impl EventJson<'_> {
    fn guid(&self) -> Result<(Address, u64, SeqNo), String> {
        let GuidJson { creation_number, account_address } = &self.guid;
        let account =
            account_address.parse().map_err(|error| format!("answered an event whose guid is wrong: {error}"))?;
        let number = |text: &str| text.parse().map_err(|_| format!("answered {text:?} where a number belongs"));
        Ok((account, number(creation_number)?, SeqNo::new(number(&self.sequence_number)?).unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::chain::RawEvent;

    const TRANSACTION: &str = r#"{"version":"8","timestamp":"1700000000000001","type":"user_transaction","events":[
        {"guid":{"creation_number":"0","account_address":"0x0"},"sequence_number":"0","type":"0x1::m::E","data":{}},
        {"guid":{"creation_number":"15","account_address":"0xa"},"sequence_number":"3","type":"0xa::m::H","data":{}}]}"#;

    #[test]
    fn events_are_told_by_their_guids() {
        let version = Version::new(8).unwrap();
        let order = read(TRANSACTION.as_bytes(), version).unwrap();
        let event = |account: &str, creation_number, seq_no| RawEvent {
            version,
            event_index: None,
            seq_no: SeqNo::new(seq_no).unwrap(),
            event_type: Arc::default(),
            account_address: account.parse().unwrap(),
            creation_number,
            data: String::new(),
            block_time: None,
            caller: None,
        };
        assert_eq!(order.index_of(&event("0xa", 15, 3)), Some(1));
        assert_eq!(order.index_of(&event("0xa", 15, 4)), None);
        assert_eq!(order.index_of(&event("0xa", 14, 3)), None);
        assert_eq!(order.index_of(&event("0x0", 0, 0)), None, "module events have no guid of their own");
        assert_eq!(order.time, Timestamp::from_micros(1_700_000_000_000_001));
        assert!(read(TRANSACTION.as_bytes(), version.next()).unwrap_err().contains("transaction 8 where 9"));
        assert_eq!(read(br#"{"version":"8"}"#, version).unwrap(), EventOrder::default());
    }
}
