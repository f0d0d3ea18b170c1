//! The transaction stream: `aptos.indexer.v1.RawData/GetTransactions`, gRPC over HTTP/2, on the node's own port.

mod filter;
mod messages;

use std::io;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, Response};
use http_body_util::channel::{Channel, Sender};
use prost::Message;
use prost::bytes::Bytes;
use rand::RngExt;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use self::filter::padded;
use self::messages::{
    BooleanTransactionFilter, EntryFunctionPayload, Event, EventKey, GetTransactionsRequest, MultisigPayload,
    MultisigTransactionPayload, Payload, ProcessedRange, Timestamp, Transaction, TransactionPayload,
    TransactionsResponse, UserTransaction, UserTransactionRequest,
};
use super::fault::StreamMishap;
use super::http::{HANG, View};
use super::transaction::Sent;
use super::wire::Scissors;
use super::{Arc, Node, address, lock, read};

/// Where it is.
pub const PATH: &str = "/aptos.indexer.v1.RawData/GetTransactions";

/// Versions that one response is about, at most.
const BATCH: u64 = 1_000;
/// Longer filters are refused, as by aptos-core's default.
const LONGEST_FILTER: usize = 10_000;
/// How often it is looked whether there is more.
const TICK: Duration = Duration::from_millis(5);

const INVALID_ARGUMENT: u8 = 3;
const NOT_FOUND: u8 = 5;
const RESOURCE_EXHAUSTED: u8 = 8;
const UNAUTHENTICATED: u8 = 16;

/// Kinds of payloads.
const ENTRY_FUNCTION: i32 = 1;
const MULTISIG: i32 = 6;

/// One call.
struct Call {
    node: Arc<Node>,
    stop: CancellationToken,
    scissors: Scissors,
    sender: Sender<Bytes, io::Error>,
    filter: Option<BooleanTransactionFilter>,
    batch: u64,
    next: u64,
    /// Where it ends.
    end: u64,
}

/// Why a call ends before its end.
struct Gone;

/// Begins to send, or says why not.
pub fn handle(
    node: Arc<Node>,
    stop: CancellationToken,
    scissors: Scissors,
    headers: &HeaderMap,
    body: &[u8],
) -> Response<Body> {
    if let Some(key) = &node.config.stream_key
        && headers.get(AUTHORIZATION).is_none_or(|value| value.as_bytes() != format!("Bearer {key}").as_bytes())
    {
        return refused(UNAUTHENTICATED, "The given authorization key is not valid");
    }
    let request = body.get(5..).and_then(|message| GetTransactionsRequest::decode(message).ok());
    let Some(GetTransactionsRequest {
        starting_version: Some(next),
        transactions_count,
        batch_size,
        transaction_filter: filter,
    }) = request
    else {
        return refused(INVALID_ARGUMENT, "Starting version must be set");
    };
    let batch = batch_size.unwrap_or(BATCH);
    if batch == 0 || batch > BATCH {
        return refused(INVALID_ARGUMENT, "The batch size must be from 1 to 1000");
    }
    if filter.as_ref().is_some_and(|filter| filter.encoded_len() > LONGEST_FILTER) {
        return refused(INVALID_ARGUMENT, "Invalid transaction_filter: Filter is too complicated.");
    }
    if filter.as_ref().is_some_and(|filter| !filter.is_known()) {
        return refused(INVALID_ARGUMENT, "No such filter");
    }
    if read(&node.faults).pruned().is_some_and(|(_, oldest)| next < oldest) {
        return refused(NOT_FOUND, "Requested starting version has been pruned");
    }
    let (sender, body) = Channel::new(1);
    let end = transactions_count.map_or(u64::MAX, |count| next.saturating_add(count));
    tokio::spawn(Call { node, stop, scissors, sender, filter, batch, next, end }.run());
    let mut response = Response::new(Body::new(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

/// A response that is nothing but a status.
fn refused(code: u8, message: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.extend(status(code, message));
    response
}

fn status(code: u8, message: &'static str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("grpc-status", HeaderValue::from(u16::from(code)));
    headers.insert("grpc-message", HeaderValue::from_static(message));
    headers
}

impl Call {
    async fn run(mut self) {
        while self.next < self.end && !self.stop.is_cancelled() {
            let behind = self.node.ledger_version() + 1;
            if self.next >= behind {
                let _ = self.stop.run_until_cancelled(tokio::time::sleep(TICK)).await;
                continue;
            }
            let (mishap, luck) = self.node.draw_for_stream();
            match mishap {
                Some(StreamMishap::Drop) => {
                    let _ = self.break_off().await;
                    return self.sender.abort(io::ErrorKind::BrokenPipe.into());
                }
                Some(StreamMishap::Reset) => {
                    self.scissors.reset();
                    let _ = self.break_off().await;
                    return;
                }
                Some(StreamMishap::Throttled) => {
                    let _ = self.sender.send_trailers(status(RESOURCE_EXHAUSTED, "Too many streams")).await;
                    return;
                }
                Some(StreamMishap::Stall) => {
                    let _ = self.stop.run_until_cancelled(tokio::time::sleep(HANG)).await;
                }
                Some(StreamMishap::Repeat | StreamMishap::Split | StreamMishap::Hole) | None => {}
            }
            let first = self.next;
            let mut last = first.saturating_add(self.batch).min(behind).min(self.end) - 1;
            if mishap == Some(StreamMishap::Split) {
                last = first + luck % (last - first + 1);
            }
            self.next = last + 1;
            if mishap == Some(StreamMishap::Hole) {
                continue;
            }
            // A part of it, or all, comes twice.
            let again = (mishap == Some(StreamMishap::Repeat)).then(|| first + luck % (last - first + 1));
            for from in [Some(first), again].into_iter().flatten() {
                if self.send(from, last).await.is_err() {
                    return;
                }
            }
        }
        let _ = self.sender.send_trailers(status(0, "")).await;
    }

    async fn send(&mut self, first: u64, last: u64) -> Result<(), Gone> {
        let message = framed(&self.response(first, last));
        self.sender.send_data(message).await.map_err(|_| Gone)
    }

    /// Half of a message.
    async fn break_off(&mut self) -> Result<(), Gone> {
        let mut message = framed(&self.response(self.next, self.next));
        message.truncate(message.len() / 2);
        self.sender.send_data(message).await.map_err(|_| Gone)?;
        // Time to be sent.
        tokio::time::sleep(TICK).await;
        Ok(())
    }

    fn response(&self, first: u64, last: u64) -> TransactionsResponse {
        let faults = read(&self.node.faults);
        let ledger = read(&self.node.ledger);
        let view = View::new(&self.node, &ledger, &faults, 0);
        let all = (first..=last).map(|version| transaction(&view, version));
        let is_wanted =
            |transaction: &Transaction| self.filter.as_ref().is_none_or(|filter| filter.lets_through(transaction));
        TransactionsResponse {
            transactions: all.filter(is_wanted).collect(),
            chain_id: Some(faults.stream_chain().unwrap_or(view.head.chain_id).into()),
            processed_range: Some(ProcessedRange { first_version: first, last_version: last }),
        }
    }
}

impl Node {
    /// What happens to this response, and a number that decides how.
    fn draw_for_stream(&self) -> (Option<StreamMishap>, u64) {
        let mut luck = lock(&self.stream_luck);
        (read(&self.faults).draw_for_stream(&mut luck), luck.random())
    }
}

fn framed(message: &TransactionsResponse) -> Bytes {
    let message = message.encode_to_vec();
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&[0], &length[..], &message].concat().into()
}

fn transaction(view: &View<'_>, version: u64) -> Transaction {
    let micros = view.ledger.timestamp(version);
    let nanos = i32::try_from(micros.rem_euclid(1_000_000) * 1_000).unwrap_or_default();
    let user = view.signed(version).map(|sent| {
        let events = sent.events.iter().map(event).collect();
        UserTransaction { request: Some(request(sent)), events }
    });
    Transaction {
        timestamp: Some(Timestamp { seconds: micros.div_euclid(1_000_000), nanos }),
        version,
        block_height: version / super::answer::Head::BLOCK,
        kind: if user.is_some() { 4 } else { 3 },
        user,
    }
}

/// What was asked for, in the words of the stream.
fn request(sent: Sent) -> UserTransactionRequest {
    let called = EntryFunctionPayload { entry_function_id_str: sent.function };
    let (kind, payload) = match sent.multisig {
        None => (ENTRY_FUNCTION, Payload::EntryFunction(called)),
        Some(account) => {
            let transaction_payload = MultisigTransactionPayload { kind: ENTRY_FUNCTION, entry_function: Some(called) };
            let multisig_address = address::padded(&account);
            let transaction_payload = Some(transaction_payload);
            (MULTISIG, Payload::Multisig(MultisigPayload { multisig_address, transaction_payload }))
        }
    };
    UserTransactionRequest {
        sender: address::padded(&sent.sender),
        sequence_number: sent.sequence_number,
        payload: Some(TransactionPayload { kind, payload: Some(payload) }),
    }
}

/// An event of a transaction in the words of the stream.
fn event(event: &Value) -> Event {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let number = |value: &Value| text(value).parse().unwrap_or_default();
    let guid = &event["guid"];
    Event {
        key: Some(EventKey {
            creation_number: number(&guid["creation_number"]),
            account_address: padded(&text(&guid["account_address"])),
        }),
        sequence_number: number(&event["sequence_number"]),
        data: event["data"].to_string(),
        type_str: text(&event["type"]),
    }
}
