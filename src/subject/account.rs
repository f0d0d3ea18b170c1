//! What a node knows of an account beside event handles: resources, table items, and the transactions that it sent.

use std::borrow::Cow;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::answer::Answer;
use super::handle::encoded;
use super::node::Question;
use super::page::PageLimit;
use super::{Counter, Ledger, Nodes, Page, Subject, SubjectError};
use crate::chain::{Address, RawEvent, SeqNo, Timestamp, Version, canonical_type};

/// A resource of an account or object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// Its Move type, addresses in their standard form.
    pub kind: String,
    /// Its fields.
    pub data: Value,
}

/// An item of a Move table, as a node is asked for it.
#[derive(Debug, Clone, Copy)]
pub struct TableItem<'a> {
    /// The table's handle.
    pub table: Address,
    /// The Move type of the key.
    pub key_type: &'a str,
    /// The Move type of the value.
    pub value_type: &'a str,
    /// The key.
    pub key: &'a Value,
}

impl Nodes {
    /// Where the chain stands. Whoever answers something else is no Aptos node, and is refused.
    pub async fn ledger(&self) -> Result<Ledger, SubjectError> {
        #[derive(Deserialize)]
        struct Info {
            chain_id: crate::chain::ChainId,
            ledger_version: String,
            ledger_timestamp: String,
        }
        let read = |answer: &Answer| {
            let info: Info = match answer.json() {
                Ok(info) => info,
                Err(_) => return Ok(None),
            };
            let version = info.ledger_version.parse().ok().and_then(Version::new);
            let time = info.ledger_timestamp.parse().ok().and_then(Timestamp::from_micros);
            Ok(version.map(|version| Ledger {
                chain_id: Some(info.chain_id),
                version: Some(version),
                time,
                ..answer.ledger()
            }))
        };
        let (info, _) = self.ask(Question::get(""), read).await?;
        info.ok_or_else(|| {
            SubjectError::Refused(format!(
                "{} answers, but not as an Aptos node does: NODE_URL must be a node's REST address and end in /v1",
                self.names()
            ))
        })
    }

    /// Whether there is anything at `account`. (`/accounts/{address}` answers for accounts that never were.)
    pub async fn exists(&self, account: Address) -> Result<(bool, Ledger), SubjectError> {
        let path = format!("/accounts/{account}/resources?limit=1");
        self.ask(Question::get(&path), |answer| answer.json().map(|all: Vec<Value>| !all.is_empty())).await
    }

    /// The fields of one resource; [`SubjectError::Missing`] if the account does not have it.
    pub async fn resource(&self, account: Address, kind: &str) -> Result<(Value, Ledger), SubjectError> {
        let path = format!("/accounts/{account}/resource/{}", encoded(kind));
        let read = |answer: &Answer| {
            let mut resource: Value = answer.json()?;
            resource.get_mut("data").map(Value::take).ok_or_else(|| "answered a resource without data".to_owned())
        };
        self.ask(Question::get(&path), read).await
    }

    /// All resources of an account or object; none if there is no such thing.
    pub async fn resources(&self, account: Address) -> Result<(Vec<Resource>, Ledger), SubjectError> {
        #[derive(Deserialize)]
        struct ResourceJson {
            #[serde(rename = "type")]
            kind: String,
            data: Value,
        }
        let mut all = vec![];
        let mut path = format!("/accounts/{account}/resources");
        loop {
            let read = |answer: &Answer| {
                let resources: Vec<ResourceJson> = answer.json()?;
                Ok((resources, answer.header::<String>("x-aptos-cursor")))
            };
            let ((resources, cursor), ledger) = self.ask(Question::get(&path), read).await?;
            let resource = |json: ResourceJson| Resource { kind: canonical_type(&json.kind), data: json.data };
            all.extend(resources.into_iter().map(resource));
            match cursor {
                Some(cursor) => path = format!("/accounts/{account}/resources?start={}", encoded(&cursor)),
                None => return Ok((all, ledger)),
            }
        }
    }

    /// The value of an item; [`SubjectError::Missing`] if the table does not have it.
    pub async fn table_item(&self, item: TableItem<'_>) -> Result<(Value, Ledger), SubjectError> {
        let path = format!("/tables/{}/item", item.table);
        let body = json!({ "key_type": item.key_type, "value_type": item.value_type, "key": item.key }).to_string();
        self.ask(Question::post(&path, &body), Answer::json).await
    }
}

/// The transactions that an account sent, as a stream: the seq no is the account's own sequence number, `data` the whole
/// transaction. Those without a sequence number (orderless ones) are not among them.
pub struct SentTransactions {
    nodes: Arc<Nodes>,
    account: Address,
    /// Whole transactions may be very long.
    limit: PageLimit,
}

impl SentTransactions {
    /// Those of `account`.
    #[must_use]
    pub fn new(nodes: Arc<Nodes>, account: Address) -> Self {
        Self { nodes, account, limit: PageLimit::default() }
    }

    async fn read(&self, from: SeqNo, archived: bool) -> Result<Page, SubjectError> {
        loop {
            let limit = self.limit.get();
            let path = format!("/accounts/{}/transactions?start={from}&limit={limit}", self.account);
            let question = Question::get(&path);
            let asked = if archived {
                self.nodes.ask_archived(question, |answer| self.page(answer)).await
            } else {
                self.nodes.ask(question, |answer| self.page(answer)).await
            };
            match asked {
                Ok((events, ledger)) => {
                    let full = events.len() >= usize::from(limit);
                    return Ok(Page { full, events, scanned: None, ledger });
                }
                Err(SubjectError::TooLong(_)) if self.limit.is_too_long(limit) => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn page(&self, answer: &Answer) -> Result<Vec<RawEvent>, String> {
        let transactions: Vec<&RawValue> = serde_json::from_slice(&answer.body)
            .map_err(|error| format!("answered no page of transactions: {error}"))?;
        transactions.into_iter().map(|transaction| self.event(transaction)).collect()
    }

    fn event(&self, transaction: &RawValue) -> Result<RawEvent, String> {
        #[derive(Deserialize)]
        struct Head<'a> {
            #[serde(borrow)]
            version: Cow<'a, str>,
            #[serde(borrow)]
            sequence_number: Cow<'a, str>,
            #[serde(borrow)]
            sender: Cow<'a, str>,
        }
        let head: Head = serde_json::from_str(transaction.get())
            .map_err(|error| format!("answered something that is no transaction of an account: {error}"))?;
        if head.sender.parse() != Ok(self.account) {
            return Err(format!("answered a transaction of another account, {}", head.sender));
        }
        let number = |text: &str| text.parse::<u64>().map_err(|_| format!("answered {text:?} where a number belongs"));
        Ok(RawEvent {
            version: Version::new(number(&head.version)?).unwrap_or_default(),
            event_index: None,
            seq_no: SeqNo::new(number(&head.sequence_number)?).unwrap_or_default(),
            event_type: "transaction".into(),
            account_address: self.account,
            creation_number: 0,
            data: transaction.get().to_owned(),
            block_time: None,
            caller: None,
        })
    }
}

impl Subject for SentTransactions {
    async fn page(&self, from: SeqNo) -> Result<Page, SubjectError> {
        self.read(from, false).await
    }

    async fn archived_page(&self, from: SeqNo) -> Result<Page, SubjectError> {
        self.read(from, true).await
    }

    async fn counter(&self) -> Result<Counter, SubjectError> {
        let path = format!("/accounts/{}", self.account);
        let read = |answer: &Answer| {
            let account: Value = answer.json()?;
            let sent = account.get("sequence_number").and_then(Value::as_str).and_then(|sent| sent.parse().ok());
            sent.and_then(SeqNo::new).ok_or_else(|| "answered an account without sequence_number".to_owned())
        };
        let (next, ledger) = self.nodes.ask(Question::get(&path), read).await?;
        Ok(Counter { next, ledger })
    }
}
