//! Pages of events, and the resources that hold the handles.

use std::fmt::Write;

use super::CONTRACT;
use super::answer::Refusal;
use super::fault::PrunedForm;
use super::http::View;
use super::ledger::Log;
use super::query::Query;
use super::stream::Stream;

/// Events of a page where the request does not say.
const DEFAULT_LIMIT: u16 = 25;
/// More than these are silently not given.
const MOST: u16 = 100;
/// The resource that every account has.
const ACCOUNT: &str = "0x1::account::Account";
/// Its fields, and the creation numbers of those that are handles.
const ACCOUNT_FIELDS: [(&str, Option<u64>); 7] = [
    ("authentication_key", None),
    ("coin_register_events", Some(0)),
    ("guid_creation_num", None),
    ("key_rotation_events", Some(1)),
    ("rotation_capability_offer", None),
    ("sequence_number", None),
    ("signer_capability_offer", None),
];

impl View<'_> {
    /// `/accounts/{address}/events/{handle}/{field}`
    pub fn events_by_handle(
        &self,
        address: &str,
        tag: &str,
        field: &str,
        start: Option<u64>,
        limit: Option<u16>,
    ) -> Result<String, Refusal> {
        let number = self.creation_number(address, tag, field)?;
        self.events_by_number(address, number, start, limit)
    }

    /// `/accounts/{address}/events/{creation_number}`; whether there is such an account is nobody's question here.
    pub fn events_by_number(
        &self,
        address: &str,
        number: u64,
        start: Option<u64>,
        limit: Option<u16>,
    ) -> Result<String, Refusal> {
        let limit = limit.unwrap_or(DEFAULT_LIMIT);
        if limit == 0 {
            return Err(Refusal::invalid("Given limit value (0) must not be zero"));
        }
        let stream = Stream::ALL.into_iter().find(|stream| address == CONTRACT && stream.creation_number() == number);
        match stream {
            Some(stream) => self.page(stream, start, usize::from(limit.min(MOST))),
            None => Ok("[]".to_owned()),
        }
    }

    fn page(&self, stream: Stream, start: Option<u64>, limit: usize) -> Result<String, Refusal> {
        let log = self.ledger.log(stream);
        let (counter, gone) = (log.counter(self.head.version), log.below(self.head.oldest));
        if let Some((form, oldest)) = self.faults.pruned()
            && let Some(lost) = start.and_then(|start| usize::try_from(start).ok()).filter(|start| *start < gone)
        {
            return match form {
                PrunedForm::Gone => {
                    let message = format!("Ledger version({}) has been pruned", log.versions[lost]);
                    Err(Refusal::gone("version_pruned", &message, oldest))
                }
                PrunedForm::Internal => Err(Refusal::internal(&format!(
                    "Failed to find events by key {}:{CONTRACT}: First requested event is probably pruned.",
                    stream.creation_number()
                ))),
                PrunedForm::Empty => Ok("[]".to_owned()),
            };
        }
        let first = Log::page(counter, start, limit).start.max(gone);
        let missing = self.faults.gap().filter(|_| stream == Stream::List);
        let page = (first..counter).filter(|seq_no| Some(*seq_no as u64) != missing).take(limit);
        Ok(render(stream, log, page))
    }

    /// `/accounts/{address}/resource/{tag}`
    pub fn resource(&self, address: &str, tag: &str, query: &Query<'_>) -> Result<String, Refusal> {
        let version = self.asked_version(query)?;
        self.find_resource(address, tag, version).ok_or_else(|| no_resource(address, tag, version))
    }

    /// `/accounts/{address}/resources`
    pub fn resources(&self, address: &str, query: &Query<'_>) -> Result<String, Refusal> {
        let version = self.asked_version(query)?;
        let holders = [Stream::List, Stream::Offer, Stream::CreateCollection].map(handle);
        let tags = [ACCOUNT.to_owned()].into_iter().chain(holders);
        let all: Vec<String> = tags.filter_map(|tag| self.find_resource(address, &tag, version)).collect();
        Ok(format!("[{}]", all.join(",")))
    }

    /// The version that the request is about: the last one, unless it says.
    fn asked_version(&self, query: &Query<'_>) -> Result<u64, Refusal> {
        let version = query.u64("ledger_version")?.unwrap_or(self.head.version);
        if version > self.head.version {
            let message = format!("Ledger version not found by Ledger version({version})");
            return Err(Refusal::not_found("version_not_found", &message));
        }
        self.refuse_pruned("version_pruned", version)?;
        Ok(version)
    }

    fn find_resource(&self, address: &str, tag: &str, version: u64) -> Option<String> {
        if address != CONTRACT {
            return None;
        }
        if tag == ACCOUNT {
            return Some(account());
        }
        let mut fields = String::new();
        for stream in Stream::ALL.into_iter().filter(|stream| handle(*stream) == tag) {
            let comma = if fields.is_empty() { "" } else { "," };
            let counter = self.ledger.log(stream).counter(version);
            let _ = write!(
                fields,
                r#"{comma}"{}":{}"#,
                stream.field(),
                event_handle(counter as u64, stream.creation_number())
            );
        }
        (!fields.is_empty()).then(|| format!(r#"{{"type":"{tag}","data":{{{fields}}}}}"#))
    }

    fn creation_number(&self, address: &str, tag: &str, field: &str) -> Result<u64, Refusal> {
        let version = self.head.version;
        if self.find_resource(address, tag, version).is_none() {
            return Err(no_resource(address, tag, version));
        }
        let stream = Stream::ALL.into_iter().find(|stream| handle(*stream) == tag && stream.field() == field);
        let own = ACCOUNT_FIELDS.into_iter().find(|(name, _)| tag == ACCOUNT && *name == field);
        match (stream, own) {
            (Some(stream), _) => Ok(stream.creation_number()),
            (None, Some((_, Some(number)))) => Ok(number),
            (None, Some((_, None))) => Err(Refusal::invalid(&format!(
                "Deserialization error, field({field}) type is not a EventHandle struct: unexpected end of input"
            ))),
            (None, None) => Err(Refusal::not_found(
                "struct_field_not_found",
                &format!(
                    "Struct Field not found by Address({address}), Struct tag({tag}), Field name({field}) and Ledger version({version})"
                ),
            )),
        }
    }
}

/// The full tag of the resource that holds a stream's handle.
fn handle(stream: Stream) -> String {
    format!("{CONTRACT}::{}", stream.holder())
}

fn render(stream: Stream, log: &Log, page: impl Iterator<Item = usize>) -> String {
    let guid = format!(
        r#"","guid":{{"creation_number":"{}","account_address":"{CONTRACT}"}},"sequence_number":""#,
        stream.creation_number()
    );
    let kind = format!(r#"","type":"{}","data":"#, stream.event_type());
    let mut text = String::with_capacity(64 * 1024);
    text.push('[');
    for seq_no in page {
        if text.len() > 1 {
            text.push(',');
        }
        let _ = write!(text, r#"{{"version":"{}{guid}{seq_no}{kind}"#, log.versions[seq_no]);
        text.push_str(&log.data[seq_no]);
        text.push('}');
    }
    text.push(']');
    text
}

fn event_handle(counter: u64, number: u64) -> String {
    format!(r#"{{"counter":"{counter}","guid":{{"id":{{"addr":"{CONTRACT}","creation_num":"{number}"}}}}}}"#)
}

fn account() -> String {
    let (registered, rotated) = (event_handle(0, 0), event_handle(0, 1));
    format!(
        r#"{{"type":"{ACCOUNT}","data":{{"authentication_key":"{CONTRACT}","coin_register_events":{registered},"guid_creation_num":"12","key_rotation_events":{rotated},"rotation_capability_offer":{{"for":{{"vec":[]}}}},"sequence_number":"0","signer_capability_offer":{{"for":{{"vec":[]}}}}}}}}"#
    )
}

fn no_resource(address: &str, tag: &str, version: u64) -> Refusal {
    let message = format!("Resource not found by Address({address}), Struct tag({tag}) and Ledger version({version})");
    Refusal::not_found("resource_not_found", &message)
}
