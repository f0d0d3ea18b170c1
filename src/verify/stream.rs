//! One stream's events, with the activities and dead letters of each.

use std::sync::Arc;

use serde::Serialize;

use super::differences::{Differences, Key};
use crate::chain::{Digest, RawEvent, SeqNo, Version};
use crate::market::fold::Entry;
use crate::market::{Refusal, Stream};
use crate::state::entities::{activities, checkpoints, dead_letters, events};
use crate::state::{Chunk, convert};
use crate::subject::Counter;

/// What has been found of a stream so far.
pub struct Reading {
    pub stream: Arc<Stream>,
    /// How many events its handle had emitted, before the database was looked at.
    pub counter: Option<Counter>,
    /// The next event to come, if none is missing.
    pub next: SeqNo,
    /// The version of the last one.
    pub version: Option<Version>,
    pub events: u64,
    pub digest: Digest,
    pub letters: Letters,
    /// The first that are parked or discarded.
    pub set_aside: Vec<DeadLetter>,
    creation_number: Option<i64>,
    event_type: Arc<str>,
}

/// How many events are set aside, or were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Letters {
    pub parked: u64,
    pub discarded: u64,
    pub retried: u64,
    /// Parked ones that would now be understood.
    pub readable: u64,
}

/// An event that is set aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeadLetter {
    pub observer: String,
    pub seq_no: i64,
    pub state: String,
    /// Why it could not be decoded when it came.
    pub error: String,
}

/// Dead letters of a stream that are told one by one.
const TOLD: usize = 100;

impl Reading {
    pub fn new(stream: Arc<Stream>, counter: Option<Counter>) -> Self {
        Self {
            digest: Digest::of(&stream.source),
            stream,
            counter,
            next: SeqNo::ZERO,
            version: None,
            events: 0,
            letters: Letters::default(),
            set_aside: vec![],
            creation_number: None,
            event_type: Arc::default(),
        }
    }

    /// Checks a stretch of it; returns the events that are applied.
    pub fn check(&mut self, chunk: Chunk, differences: &mut Differences) -> Vec<Entry> {
        differences.compared("events", chunk.events.len());
        differences.compared("activities", chunk.activities.len());
        differences.compared("dead_letters", chunk.dead_letters.len());
        let mut activities = chunk.activities.into_iter().peekable();
        let mut letters = chunk.dead_letters.into_iter().peekable();
        let mut entries = Vec::with_capacity(chunk.events.len());
        for row in chunk.events {
            while let Some(invented) = activities.next_if(|activity| activity.seq_no < row.seq_no) {
                self.without_event("activities", invented.seq_no, &invented, differences);
            }
            while let Some(invented) = letters.next_if(|letter| letter.seq_no < row.seq_no) {
                self.without_event("dead_letters", invented.seq_no, &invented, differences);
            }
            let activity = activities.next_if(|activity| activity.seq_no == row.seq_no);
            let letter = letters.next_if(|letter| letter.seq_no == row.seq_no);
            entries.extend(self.event(row, activity.as_ref(), letter.as_ref(), differences));
        }
        for invented in activities {
            self.without_event("activities", invented.seq_no, &invented, differences);
        }
        for invented in letters {
            self.without_event("dead_letters", invented.seq_no, &invented, differences);
        }
        entries
    }

    fn event(
        &mut self,
        row: events::Model,
        activity: Option<&activities::Model>,
        letter: Option<&dead_letters::Model>,
        differences: &mut Differences,
    ) -> Option<Entry> {
        let key = Key::at(&*self.stream.observer, row.seq_no);
        self.continues(&key, &row, differences);
        let occurred_at = row.occurred_at;
        let raw = self.raw(row);
        self.digest.add(&raw);
        if let Some(letter) = letter {
            same_as_event(&key, letter, &raw, differences);
            self.set_aside(letter);
        }
        let meaning = self.stream.entry(&raw);
        let applied = self.is_applied(&key, letter, meaning.as_ref(), differences);
        let entry = meaning.ok().filter(|_| applied);
        let expected = entry.as_ref().map(convert::activity);
        if expected.as_ref() != activity {
            differences.rows("activities", &key, expected.as_ref(), activity);
        }
        if let Some(entry) = &entry
            && entry.event.time != occurred_at
        {
            let told = |time: Option<_>| serde_json::json!(time);
            differences.add("events", key, Some("occurred_at"), told(entry.event.time), told(occurred_at));
        }
        entry
    }

    /// Without a hole, in ascending versions, of the one handle.
    fn continues(&mut self, key: &Key, row: &events::Model, differences: &mut Differences) {
        let observer = &*self.stream.observer;
        let expected = self.next.column();
        if row.seq_no > expected {
            let missing = if row.seq_no - 1 > expected {
                format!("the events {expected} to {}", row.seq_no - 1)
            } else {
                "an event".to_owned()
            };
            differences.add("events", Key::at(observer, expected), None, missing, ());
        } else if row.seq_no < expected {
            differences.add("events", key.clone(), None, (), "an event before the first");
        }
        self.next = SeqNo::from_column(row.seq_no).next();
        self.events += 1;
        let version = Version::from_column(row.version);
        if let Some(last) = self.version.filter(|last| *last > version) {
            differences.add("events", key.clone(), Some("version"), format!("at least {last}"), row.version);
        }
        self.version = Some(version);
        self.is_later_than_counted(key, version, differences);
        let account = self.stream.source.account().to_string();
        if row.account_address != account {
            differences.add("events", key.clone(), Some("account_address"), account, &*row.account_address);
        }
        let number = *self.creation_number.get_or_insert(row.creation_number);
        if row.creation_number != number {
            differences.add("events", key.clone(), Some("creation_number"), number, row.creation_number);
        }
    }

    /// What goes beyond the counter came after it was read; else it is of a chain that has begun anew, or of another one.
    fn is_later_than_counted(&self, key: &Key, version: Version, differences: &mut Differences) {
        let Some(Counter { next, ledger }) = self.counter else { return };
        if key.1 == Some(next.column()) && ledger.version.is_some_and(|ledger| version <= ledger) {
            let expected =
                format!("none: the handle had emitted {next} events by version {}", ledger.version.unwrap_or_default());
            differences.add("events", key.clone(), None, expected, format!("one of version {version}"));
        }
    }

    fn raw(&mut self, row: events::Model) -> RawEvent {
        // A stream's events have one type.
        if *self.event_type != *row.event_type {
            self.event_type = row.event_type.into();
        }
        RawEvent {
            version: Version::from_column(row.version),
            event_index: row.event_index.and_then(|index| u32::try_from(index).ok()),
            seq_no: SeqNo::from_column(row.seq_no),
            event_type: Arc::clone(&self.event_type),
            account_address: self.stream.source.account(),
            creation_number: row.creation_number.cast_unsigned(),
            data: row.data,
            // What an event without a time of its own is stored with.
            block_time: row.occurred_at,
            caller: None,
        }
    }

    /// Whether the event has been folded, by what `dead_letters` says of it.
    fn is_applied(
        &mut self,
        key: &Key,
        letter: Option<&dead_letters::Model>,
        meaning: Result<&Entry, &Refusal>,
        differences: &mut Differences,
    ) -> bool {
        match (letter.map(|letter| &*letter.state), meaning) {
            (None, Ok(_)) => true,
            (None, Err(why)) => {
                differences.add("dead_letters", key.clone(), None, format!("parked: {why}"), ());
                false
            }
            (Some("parked"), understood) => {
                self.letters.parked += 1;
                self.letters.readable += u64::from(understood.is_ok());
                false
            }
            (Some("discarded"), _) => {
                self.letters.discarded += 1;
                false
            }
            (Some("retried"), Ok(_)) => {
                self.letters.retried += 1;
                true
            }
            (Some("retried"), Err(why)) => {
                self.letters.retried += 1;
                differences.add("dead_letters", key.clone(), Some("state"), format!("parked: {why}"), "retried");
                false
            }
            (Some(state), _) => {
                differences.add("dead_letters", key.clone(), Some("state"), "parked, retried or discarded", state);
                false
            }
        }
    }

    fn set_aside(&mut self, letter: &dead_letters::Model) {
        if letter.state != "retried" && self.set_aside.len() < TOLD {
            self.set_aside.push(DeadLetter {
                observer: letter.observer.clone(),
                seq_no: letter.seq_no,
                state: letter.state.clone(),
                error: letter.error.clone(),
            });
        }
    }

    fn without_event<M: Serialize>(&self, table: &'static str, seq_no: i64, row: &M, differences: &mut Differences) {
        differences.rows(table, &Key::at(&*self.stream.observer, seq_no), None, Some(row));
    }

    /// The checkpoint says that the last stored event is the last executed one.
    pub fn checkpoint(&self, row: &checkpoints::Model, differences: &mut Differences) {
        differences.compared("checkpoints", 1);
        let expected = checkpoints::Model {
            executed_seq_no: self.next.executed(),
            executed_version: self.version.map(Version::column),
            events_total: self.next.column(),
            ..row.clone()
        };
        if expected != *row {
            differences.rows("checkpoints", &Key::of(&*self.stream.observer), Some(&expected), Some(row));
        }
    }
}

/// A dead letter repeats its event.
fn same_as_event(key: &Key, letter: &dead_letters::Model, raw: &RawEvent, differences: &mut Differences) {
    let told = (letter.version, &*letter.event_type, &*letter.data);
    if told != (raw.version.column(), &*raw.event_type, &*raw.data) {
        let expected = dead_letters::Model {
            version: raw.version.column(),
            event_type: raw.event_type.to_string(),
            data: raw.data.clone(),
            ..letter.clone()
        };
        differences.rows("dead_letters", key, Some(&expected), Some(letter));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::Market;
    use crate::state::now;
    use crate::subject::Ledger;

    /// How many differences three events of version 10, 20 and 30 make, when the handle had emitted `next` by `version`.
    fn differences(next: u64, version: u64) -> u64 {
        let market = Market::built_in("imart", None).unwrap();
        let stream = market.streams.iter().find(|stream| &*stream.observer == "imart:create_collection").unwrap();
        let ledger = Ledger { version: Version::new(version), ..Ledger::default() };
        let counter = Counter { next: SeqNo::new(next).unwrap(), ledger };
        let events = [10, 20, 30].into_iter().enumerate().map(|(seq_no, version)| events::Model {
            observer: stream.observer.to_string(),
            seq_no: seq_no.try_into().unwrap(),
            version,
            event_index: None,
            event_type: "t".to_owned(),
            account_address: market.address.to_string(),
            creation_number: 1,
            data: r#"{"creator": "0x1", "name": "a"}"#.to_owned(),
            occurred_at: None,
            recorded_at: now(),
        });
        let events: Vec<_> = events.collect();
        let mut reading = Reading::new(Arc::clone(stream), Some(counter));
        let mut found = Differences::new(10);
        // Without their activities, which are differences of their own.
        let chunk = Chunk { events, activities: vec![], dead_letters: vec![], through: None };
        assert_eq!(reading.check(chunk, &mut found).len(), 3);
        found.total() - 3
    }

    #[test]
    fn more_events_than_the_counter_said_must_be_newer_than_it() {
        assert_eq!(differences(3, 30), 0);
        assert_eq!(differences(2, 29), 0);
        assert_eq!(differences(2, 30), 1, "the chain has begun anew");
        assert_eq!(differences(0, 5), 0);
    }
}
