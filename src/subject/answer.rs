//! Reading a node's answer: headers, errors, pages of events.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, LOCATION, RETRY_AFTER};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::Ledger;
use crate::chain::{RawEvent, SeqNo, Timestamp, Version, canonical_type};

/// One answer of a node.
pub(super) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

#[derive(Deserialize, Default)]
struct NodeError {
    #[serde(default)]
    message: String,
    #[serde(default)]
    error_code: String,
    #[serde(default)]
    archival_endpoint: Option<String>,
}

/// An answer that is not 200: what it means, in which words, and what to do about it.
pub(super) struct Failed {
    pub failure: Failure,
    pub said: String,
    pub remedy: &'static str,
}

/// An event handle, as its resource has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Handle {
    /// How many events it has emitted.
    pub next: SeqNo,
    /// What all its events have in their guid.
    pub creation_number: Option<u64>,
}

pub(super) enum Failure {
    /// The pause that the node asks for, if it names one.
    Throttled(Option<Duration>),
    /// Where the answer says that older history is.
    Pruned(Option<String>),
    /// There is no such thing, or not yet.
    Missing,
    /// Asking again will not help.
    Refused,
    /// Not a node's words about what was asked: the address is wrong, or, of a node that has answered before, something
    /// stands in its place for now.
    Misplaced,
    Unreachable,
}

impl Answer {
    /// Where the node stood, by its headers.
    pub fn ledger(&self) -> Ledger {
        Ledger {
            chain_id: self.header("x-aptos-chain-id"),
            version: self.header("x-aptos-ledger-version").and_then(Version::new),
            oldest_version: self.header("x-aptos-ledger-oldest-version").and_then(Version::new),
            time: self.header("x-aptos-ledger-timestampusec").and_then(Timestamp::from_micros),
            behind: false,
        }
    }

    /// Why this answer does not hold what was asked for.
    pub fn failure(&self) -> Option<Failed> {
        if self.status == StatusCode::OK {
            return None;
        }
        let error: NodeError = serde_json::from_slice(&self.body).unwrap_or_default();
        let said = if error.message.is_empty() { self.excerpt() } else { shortened(&error.message) };
        let status = self.status.as_u16();
        let says_pruned = matches!(error.error_code.as_str(), "version_pruned" | "block_pruned")
            || (status == 500 && error.message.contains("pruned"));
        let (failure, remedy) = match status {
            410 => (Failure::Pruned(self.archive(error.archival_endpoint)), ""),
            _ if says_pruned => (Failure::Pruned(self.archive(error.archival_endpoint)), ""),
            429 => (Failure::Throttled(self.retry_after()), ""),
            503 if self.headers.contains_key(RETRY_AFTER) => (Failure::Throttled(self.retry_after()), ""),
            300..=399 => {
                let remedy = "; set NODE_URL to where the node really is";
                return Some(Failed { failure: Failure::Misplaced, said: self.redirect(), remedy });
            }
            401 | 403 => (Failure::Refused, "; check NODE_API_KEY"),
            // A timeout, or too early, may pass.
            408 | 425 => (Failure::Unreachable, ""),
            500 if error.message.contains("event index is not enabled") => {
                (Failure::Misplaced, "; this node cannot serve events: use another one (NODE_URL)")
            }
            400 if !error.error_code.is_empty() => {
                (Failure::Refused, "; check the market's address and handles (MARKETS)")
            }
            404 if !matches!(error.error_code.as_str(), "" | "web_framework_error") => (Failure::Missing, ""),
            400..=499 => (Failure::Misplaced, "; NODE_URL must be a node's REST address and end in /v1"),
            _ => (Failure::Unreachable, ""),
        };
        let code = if error.error_code.is_empty() { String::new() } else { format!(" {}", error.error_code) };
        Some(Failed { failure, said: format!("answered {status}{code}: {said}"), remedy })
    }

    /// The events of a page. Fails if the body is no such page.
    pub fn events(&self) -> Result<Vec<RawEvent>, String> {
        events_of_page(&self.body)
    }

    /// The event handles of a resource, by their fields.
    pub fn handles(&self) -> Result<HashMap<String, Handle>, String> {
        #[derive(Deserialize)]
        struct Resource {
            data: serde_json::Value,
        }
        let resource: Resource =
            serde_json::from_slice(&self.body).map_err(|error| format!("answered no resource: {error}"))?;
        Ok(handles(&resource.data))
    }

    /// The body as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, String> {
        serde_json::from_slice(&self.body).map_err(|error| format!("answered something else: {error}"))
    }

    pub fn header<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.headers.get(name)?.to_str().ok()?.parse().ok()
    }

    fn archive(&self, told: Option<String>) -> Option<String> {
        told.or_else(|| self.header("x-aptos-archival-endpoint"))
    }

    /// Seconds, or a date.
    fn retry_after(&self) -> Option<Duration> {
        /// A node that asks for more is asked again all the same.
        const LONGEST: Duration = Duration::from_hours(1);
        let text: String = self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim().to_owned();
        let pause = match text.parse::<u64>() {
            Ok(seconds) => Duration::from_secs(seconds),
            Err(_) => (chrono::DateTime::parse_from_rfc2822(&text).ok()?.to_utc() - chrono::Utc::now())
                .to_std()
                .unwrap_or_default(),
        };
        Some(pause.min(LONGEST))
    }

    fn redirect(&self) -> String {
        let location: String = self.header(LOCATION.as_str()).unwrap_or_default();
        format!("answered {}, a redirect to {:?}", self.status.as_u16(), shortened(&location))
    }

    fn excerpt(&self) -> String {
        shortened(&String::from_utf8_lossy(&self.body))
    }
}

/// The event handles in a resource's data, by their fields; of one that lies deeper, the names on the way joined by dots.
pub(super) fn handles(data: &serde_json::Value) -> HashMap<String, Handle> {
    let number = |value: &serde_json::Value, at: &str| value.pointer(at)?.as_str()?.parse::<u64>().ok();
    let mut found = HashMap::new();
    let mut left: Vec<(String, &serde_json::Value)> = vec![(String::new(), data)];
    while let Some((name, value)) = left.pop() {
        if let (false, Some(next)) = (name.is_empty(), number(value, "/counter").and_then(SeqNo::new)) {
            found.insert(name, Handle { next, creation_number: number(value, "/guid/id/creation_num") });
            continue;
        }
        let fields = value.as_object().into_iter().flatten();
        let inner = |field: &str| if name.is_empty() { field.to_owned() } else { format!("{name}.{field}") };
        left.extend(fields.map(|(field, value)| (inner(field), value)));
    }
    found
}

/// The events of a page as a node answers it. Fails with what the node did, if the body is no such page.
pub fn events_of_page(body: &[u8]) -> Result<Vec<RawEvent>, String> {
    // Checked once as a whole, not again text by text.
    let body = str::from_utf8(body).map_err(|error| format!("answered no page of events: {error}"))?;
    let events: Vec<EventJson> =
        serde_json::from_str(body).map_err(|error| format!("answered no page of events: {error}"))?;
    let mut raw: Vec<RawEvent> = Vec::with_capacity(events.len());
    let mut last_type = (Cow::default(), Arc::default());
    for event in events {
        // A stream's events have one type.
        if event.event_type != last_type.0 {
            last_type = (event.event_type.clone(), canonical_type(&event.event_type).into());
        }
        raw.push(event.raw(Arc::clone(&last_type.1))?);
    }
    Ok(raw)
}

#[derive(Deserialize)]
struct EventJson<'a> {
    #[serde(borrow)]
    version: Cow<'a, str>,
    #[serde(borrow)]
    guid: Guid<'a>,
    #[serde(borrow)]
    sequence_number: Cow<'a, str>,
    #[serde(borrow, rename = "type")]
    event_type: Cow<'a, str>,
    #[serde(borrow)]
    data: &'a RawValue,
}

#[derive(Deserialize)]
struct Guid<'a> {
    #[serde(borrow)]
    creation_number: Cow<'a, str>,
    #[serde(borrow)]
    account_address: Cow<'a, str>,
}

impl EventJson<'_> {
    fn raw(self, event_type: Arc<str>) -> Result<RawEvent, String> {
        let number = |name: &str, text: &str| {
            let number = text.parse::<u64>().ok().filter(|number| i64::try_from(*number).is_ok());
            number.ok_or_else(|| {
                format!("answered an event whose {name} is {text:?}, which is no number up to {}", i64::MAX)
            })
        };
        let seq_no = number("sequence_number", &self.sequence_number)?;
        let version = number("version", &self.version)?;
        Ok(RawEvent {
            version: Version::new(version).unwrap_or_default(),
            event_index: None,
            seq_no: SeqNo::new(seq_no).unwrap_or_default(),
            event_type,
            account_address: self
                .guid
                .account_address
                .parse()
                .map_err(|error| format!("answered an event whose guid is wrong: {error}"))?,
            creation_number: number("creation_number", &self.guid.creation_number)?,
            data: self.data.get().to_owned(),
            block_time: None,
            caller: None,
        })
    }
}

/// An event out of a file: as a node answers it, or as a transaction has it, with what may stand beside. Numbers may be
/// texts or numbers; without a guid it is a module event, and without a sequence number the first.
pub fn event_of_line(line: &str) -> Result<RawEvent, String> {
    let event: LineJson = serde_json::from_str(line).map_err(|error| format!("is no event: {error}"))?;
    let number = |name: &str, value: &RawValue| {
        let text = value.get().trim_matches('"');
        let number = text.parse::<u64>().ok().filter(|number| i64::try_from(*number).is_ok());
        number.ok_or_else(|| format!("{name} is {}, which is no number up to {}", value.get(), i64::MAX))
    };
    let or_zero = |name: &str, value: Option<&RawValue>| value.map_or(Ok(0), |value| number(name, value));
    let index = event.event_index.map(|value| number("event_index", value)).transpose()?;
    let time = event.timestamp.map(|value| number("timestamp", value)).transpose()?;
    let account = event.guid.as_ref().map_or("0x0", |guid| &guid.account_address);
    Ok(RawEvent {
        version: Version::new(number("version", event.version)?).unwrap_or_default(),
        event_index: index.and_then(|index| u32::try_from(index).ok()),
        seq_no: SeqNo::new(or_zero("sequence_number", event.sequence_number)?).unwrap_or_default(),
        event_type: canonical_type(&event.event_type).into(),
        account_address: account.parse().map_err(|error| format!("its guid is wrong: {error}"))?,
        creation_number: or_zero("creation_number", event.guid.as_ref().map(|guid| guid.creation_number))?,
        data: event.data.get().to_owned(),
        block_time: time.and_then(|time| Timestamp::from_micros(time.into())),
        caller: None,
    })
}

#[derive(Deserialize)]
struct LineJson<'a> {
    #[serde(borrow)]
    version: &'a RawValue,
    #[serde(borrow)]
    guid: Option<LineGuid<'a>>,
    #[serde(borrow)]
    sequence_number: Option<&'a RawValue>,
    #[serde(borrow, rename = "type")]
    event_type: Cow<'a, str>,
    #[serde(borrow)]
    data: &'a RawValue,
    #[serde(borrow)]
    event_index: Option<&'a RawValue>,
    /// The block's, in microseconds.
    #[serde(borrow)]
    timestamp: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct LineGuid<'a> {
    #[serde(borrow)]
    creation_number: &'a RawValue,
    #[serde(borrow)]
    account_address: Cow<'a, str>,
}

/// A node's words for a message: one line, not long.
pub(super) fn shortened(text: &str) -> String {
    const LONGEST: usize = 200;
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None if line.is_empty() => "(no text)".to_owned(),
        None => line,
    }
}
