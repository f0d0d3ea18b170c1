//! Pages of events.

use std::fmt::Write;

use serde_json::Value;

use super::account::no_resource;
use super::address::{self, Address};
use super::answer::Refusal;
use super::creator::Creator;
use super::fault::PrunedForm;
use super::http::View;
use super::ledger::Log;
use super::query::Query;
use super::stream::Stream;
use super::{CONTRACT, v1};

/// One page of one handle.
struct Page<'a> {
    holder: &'a str,
    number: u64,
    /// How many events there are.
    counter: u64,
    /// How many of them are gone.
    gone: u64,
    start: Option<u64>,
    limit: usize,
}

impl View<'_> {
    /// `/accounts/{address}/events/{handle}/{field}`
    pub fn events_by_handle(
        &self,
        address: &str,
        tag: &str,
        field: &str,
        query: &Query<'_>,
    ) -> Result<String, Refusal> {
        // What cannot be read is refused before anything is looked up.
        query.u64("start")?;
        query.u16("limit")?;
        let number = self.creation_number(address, tag, field)?;
        self.events_by_number(address, number, query)
    }

    /// `/accounts/{address}/events/{creation_number}`; whether there is such an account is nobody's question here.
    pub fn events_by_number(&self, address: &str, number: u64, query: &Query<'_>) -> Result<String, Refusal> {
        let (start, limit) = (query.u64("start")?, query.page_limit()?);
        let page = Page { holder: address, number, counter: 0, gone: 0, start, limit };
        if address == CONTRACT {
            let stream = Stream::ALL.into_iter().find(|stream| stream.creation_number() == number);
            return stream.map_or_else(|| Ok("[]".to_owned()), |stream| self.of_stream(stream, page));
        }
        match self.creator(&address::bytes(address)) {
            Some(creator) => self.of_creator(&*creator, page),
            None => Ok("[]".to_owned()),
        }
    }

    fn of_stream(&self, stream: Stream, mut page: Page) -> Result<String, Refusal> {
        if self.module_events {
            return Ok("[]".to_owned());
        }
        let log = self.ledger.log(stream);
        page.counter = log.counter(self.head.version) as u64;
        page.gone = log.below(self.head.oldest) as u64;
        let Some(first) = self.first(&page, |at| log.versions[usize::try_from(at).unwrap_or(usize::MAX)])? else {
            return Ok("[]".to_owned());
        };
        let missing = self.faults.gap().filter(|_| stream == Stream::List);
        let shown = (first..page.counter).filter(|seq_no| Some(*seq_no) != missing).take(page.limit);
        Ok(render(stream, log, shown.filter_map(|seq_no| usize::try_from(seq_no).ok())))
    }

    fn of_creator(&self, creator: &dyn Creator, mut page: Page) -> Result<String, Refusal> {
        let told = |version| match (creator.told(version), page.number) {
            ((collections, _), v1::COLLECTION_EVENTS) => collections,
            ((_, tokens), v1::TOKEN_EVENTS) => tokens,
            _ => 0,
        };
        let event = |seq_no: u64| {
            if page.number == v1::COLLECTION_EVENTS {
                let (version, collection) = creator.told_collection(seq_no);
                (version, "0x3::token::CreateCollectionEvent", collection.event())
            } else {
                let (version, token) = creator.told_token(seq_no);
                (version, "0x3::token::CreateTokenDataEvent", token.event())
            }
        };
        (page.counter, page.gone) = (told(self.head.version), self.head.oldest.checked_sub(1).map_or(0, told));
        let Some(first) = self.first(&page, |seq_no| event(seq_no).0)? else { return Ok("[]".to_owned()) };
        let holder = creator.address();
        let shown = (first..page.counter).take(page.limit).map(|seq_no| {
            let (version, kind, data) = event(seq_no);
            versioned(&holder, page.number, seq_no, version, kind, &data)
        });
        Ok(shown.collect::<Value>().to_string())
    }

    /// The first sequence number of a page; None: there are none, or it is not told that they are gone.
    fn first(&self, page: &Page, version: impl Fn(u64) -> u64) -> Result<Option<u64>, Refusal> {
        if let Some((form, oldest)) = self.faults.pruned()
            && let Some(lost) = page.start.filter(|start| *start < page.gone)
        {
            return match form {
                PrunedForm::Gone => {
                    let message = format!("Ledger version({}) has been pruned", version(lost));
                    Err(Refusal::gone("version_pruned", &message, oldest))
                }
                PrunedForm::Internal => Err(Refusal::internal(&format!(
                    "Failed to find events by key {}:{}: First requested event is probably pruned.",
                    page.number, page.holder
                ))),
                PrunedForm::Empty => Ok(None),
            };
        }
        let latest = page.counter.saturating_sub(page.limit as u64);
        Ok(Some(page.start.unwrap_or(latest).max(page.gone)))
    }

    /// The number behind a field of a resource.
    fn creation_number(&self, address: &str, tag: &str, field: &str) -> Result<u64, Refusal> {
        // The market's own handles are asked for with every page, and never change.
        let own = |stream: &Stream| stream.field() == field && stream.holder_tag() == tag;
        if address == CONTRACT
            && let Some(stream) = Stream::ALL.iter().find(|stream| own(stream))
        {
            return Ok(stream.creation_number());
        }
        let version = self.head.version;
        let Some(resource) = self.find_resource(address, tag, version) else {
            return Err(no_resource(address, tag, version));
        };
        let Some(value) = resource.data.get(field) else {
            let message = format!(
                "Struct Field not found by Address({address}), Struct tag({tag}), Field name({field}) and Ledger version({version})"
            );
            return Err(Refusal::not_found("struct_field_not_found", &message));
        };
        let number = value["guid"]["id"]["creation_num"].as_str().and_then(|number| number.parse().ok());
        number.ok_or_else(|| {
            Refusal::invalid(&format!(
                "Deserialization error, field({field}) type is not a EventHandle struct: unexpected end of input"
            ))
        })
    }
}

fn versioned(holder: &Address, number: u64, seq_no: u64, version: u64, kind: &str, data: &Value) -> Value {
    let mut event = super::state::event(holder, number, seq_no, kind, data);
    event["version"] = version.to_string().into();
    event
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
        log.data.write(seq_no, &mut text);
        text.push('}');
    }
    text.push(']');
    text
}
