//! Dead letters: looked at, tried again, or discarded by a person.
//!
//! Whoever changes their state counts up `commits` first, so that no two do it at once, nor beside a worker's commit.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DatabaseTransaction, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};

use super::entities::{activities, dead_letters, events};
use super::value::now;
use super::write::Statements;
use super::{Store, StoreError, convert};
use crate::chain::{RawEvent, SeqNo, Timestamp};
use crate::market::fold::Entry;
use crate::market::{Markets, Stream};

/// What has become of an event that could not be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LetterState {
    /// It waits.
    Parked,
    /// It was decoded later, and is in the tables like any other.
    Retried,
    /// Somebody has decided that it stays out of the tables.
    Discarded,
}

/// Which dead letter: observer and seq no of its event.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LetterKey {
    pub observer: Arc<str>,
    pub seq_no: SeqNo,
}

/// Which dead letters to list; what is `None` does not matter.
#[derive(Debug, Clone, Default)]
pub struct LetterFilter {
    pub observer: Option<String>,
    pub state: Option<LetterState>,
    pub limit: u64,
}

/// A dead letter, and what its event means now.
#[derive(Debug, Clone, PartialEq)]
pub struct Letter {
    pub row: dead_letters::Model,
    /// The activity that it would get; else why it gets none.
    pub meaning: Result<activities::Model, String>,
}

/// What was done with a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Handled {
    /// Its event is in the tables now.
    Retried,
    /// It was before; nothing has changed.
    RetriedBefore,
    /// Its event does not decode, for this reason; it is parked.
    Undecodable(String),
    /// It is discarded now.
    Discarded,
    /// It was before, for this reason; nothing has changed.
    DiscardedBefore(String),
    /// Nothing can be done; the message names the remedy.
    Impossible(String),
}

impl LetterState {
    const ALL: [Self; 3] = [Self::Parked, Self::Retried, Self::Discarded];

    /// Its name in `dead_letters.state`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Parked => "parked",
            Self::Retried => "retried",
            Self::Discarded => "discarded",
        }
    }

    fn of(row: &dead_letters::Model) -> Result<Self, StoreError> {
        Self::ALL.into_iter().find(|state| state.name() == row.state).ok_or_else(|| {
            StoreError::Refused(format!(
                "dead_letters.state of {} {} is {:?}: set it to parked, retried or discarded",
                row.observer, row.seq_no, row.state
            ))
        })
    }
}

impl fmt::Display for LetterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.observer, self.seq_no)
    }
}

impl LetterKey {
    fn of(row: &dead_letters::Model) -> Self {
        Self { observer: row.observer.as_str().into(), seq_no: SeqNo::from_column(row.seq_no) }
    }
}

impl Store {
    /// Dead letters, the newest events first.
    pub async fn letters(&self, filter: &LetterFilter) -> Result<Vec<dead_letters::Model>, StoreError> {
        use dead_letters::Column::{Observer, SeqNo, State, Version};
        let which = Condition::all()
            .add_option(filter.observer.as_deref().map(|observer| Observer.eq(observer)))
            .add_option(filter.state.map(|state| State.eq(state.name())));
        let query = dead_letters::Entity::find().filter(which).order_by_desc(Version);
        let query = query.order_by_asc(Observer).order_by_desc(SeqNo).limit(filter.limit);
        Ok(query.all(&self.db).await?)
    }

    /// One dead letter, and what `markets` make of it.
    pub async fn letter(&self, markets: &Markets, key: &LetterKey) -> Result<Option<Letter>, StoreError> {
        let Some(row) = read(&self.db, std::slice::from_ref(key)).await?.remove(key) else { return Ok(None) };
        let raw = stored(&self.db, std::slice::from_ref(key)).await?.remove(key);
        let meaning = match decode(key, raw.as_ref(), markets.stream(&key.observer)) {
            Decoded::As(entry) => Ok(convert::activity(&entry)),
            Decoded::Not(why) | Decoded::Impossible(why) => Err(why),
        };
        Ok(Some(Letter { row, meaning }))
    }

    /// The parked ones of `observer`, or of all, behind `after`, by observer and seq no: as many as one [`Store::retry`]
    /// takes at most. With `discarded`, those as well.
    pub async fn letters_to_retry(
        &self,
        observer: Option<&str>,
        discarded: bool,
        after: Option<&LetterKey>,
    ) -> Result<Vec<LetterKey>, StoreError> {
        /// The rows of their orders are locked for so long.
        const AT_ONCE: u64 = 100;
        use dead_letters::Column::{Observer, SeqNo, State};
        let states = [LetterState::Parked, LetterState::Discarded].into_iter().take(1 + usize::from(discarded));
        let behind = after.map(|after| {
            let rest = Condition::all().add(Observer.eq(&*after.observer)).add(SeqNo.gt(after.seq_no.column()));
            Condition::any().add(Observer.gt(&*after.observer)).add(rest)
        });
        let which = Condition::all()
            .add(State.is_in(states.map(LetterState::name)))
            .add_option(observer.map(|observer| Observer.eq(observer)))
            .add_option(behind);
        let query = dead_letters::Entity::find().filter(which).order_by_asc(Observer).order_by_asc(SeqNo);
        Ok(query.limit(AT_ONCE).all(&self.db).await?.iter().map(LetterKey::of).collect())
    }

    /// Decodes these events again, in one transaction, and folds those that are understood now into the tables in their
    /// place. Discarded ones only if `discarded`. Safe beside workers, and to repeat.
    pub async fn retry(
        &self,
        markets: &Markets,
        keys: &[LetterKey],
        discarded: bool,
    ) -> Result<Vec<(LetterKey, Handled)>, StoreError> {
        let transaction = self.begin().await?;
        let done = async {
            self.count_up(&transaction, None).await?;
            self.try_again(&transaction, markets, keys, discarded).await
        };
        let done = done.await;
        self.end(transaction, done).await
    }

    /// Leaves these events out of the tables for good, for this reason, in one transaction. Safe to repeat.
    pub async fn discard(&self, keys: &[LetterKey], reason: &str) -> Result<Vec<(LetterKey, Handled)>, StoreError> {
        let transaction = self.begin().await?;
        let done = async {
            self.count_up(&transaction, None).await?;
            let mut rows = read(&*transaction, keys).await?;
            let (mut handled, mut changed) = (vec![], vec![]);
            for key in keys {
                let done = match rows.remove(key) {
                    None => unknown(),
                    Some(row) => match LetterState::of(&row)? {
                        LetterState::Parked => {
                            let (state, reason) = (LetterState::Discarded.name().to_owned(), Some(reason.to_owned()));
                            changed.push(dead_letters::Model { state, discard_reason: reason, ..row });
                            Handled::Discarded
                        }
                        LetterState::Discarded => Handled::DiscardedBefore(row.discard_reason.unwrap_or_default()),
                        LetterState::Retried => {
                            Handled::Impossible("was retried: its event is in the tables already".to_owned())
                        }
                    },
                };
                handled.push((key.clone(), done));
            }
            self.save(&transaction, Statements::new(self.backend, self.tables), changed).await?;
            Ok(handled)
        };
        let done = done.await;
        self.end(transaction, done).await
    }

    async fn try_again(
        &self,
        transaction: &DatabaseTransaction,
        markets: &Markets,
        keys: &[LetterKey],
        discarded: bool,
    ) -> Result<Vec<(LetterKey, Handled)>, StoreError> {
        let (mut rows, stored) = (read(transaction, keys).await?, stored(transaction, keys).await?);
        let now = now();
        let (mut handled, mut entries, mut changed) = (vec![], vec![], vec![]);
        for key in keys {
            let Some(row) = rows.remove(key) else {
                handled.push((key.clone(), unknown()));
                continue;
            };
            let decoded = || decode(key, stored.get(key), markets.stream(&key.observer));
            let (done, entry, row) = tried(row, discarded, now, decoded)?;
            entries.extend(entry);
            changed.extend(row);
            handled.push((key.clone(), done));
        }
        let mut writes = Statements::new(self.backend, self.tables);
        let batch: Vec<_> = entries.iter().collect();
        self.folded_alone(transaction, markets, &batch, &BTreeSet::new(), None).await?.write_rows(
            &mut writes,
            self.tables,
            now,
        )?;
        writes.insert::<activities::Entity>(entries.iter().map(convert::activity))?;
        let timed = entries.iter().filter_map(|entry| {
            let key = LetterKey { observer: Arc::clone(&entry.observer), seq_no: entry.seq_no };
            Some(convert::event(&entry.observer, stored.get(&key)?, entry.event.time, now))
        });
        writes.replace::<events::Entity>(timed, &[events::Column::OccurredAt])?;
        self.save(transaction, writes, changed).await?;
        Ok(handled)
    }

    async fn save(
        &self,
        transaction: &DatabaseTransaction,
        mut writes: Statements,
        changed: Vec<dead_letters::Model>,
    ) -> Result<(), StoreError> {
        use dead_letters::Column::{Attempts, DiscardReason, Error, LastSeenAt, State};
        writes.replace::<dead_letters::Entity>(changed, &[Error, Attempts, LastSeenAt, State, DiscardReason])?;
        for statement in writes.done() {
            self.write(transaction, statement).await?;
        }
        Ok(())
    }
}

enum Decoded {
    As(Box<Entry>),
    Not(String),
    Impossible(String),
}

/// What a stored event means to the stream that its observer has now.
fn decode(key: &LetterKey, raw: Option<&RawEvent>, stream: Option<&Arc<Stream>>) -> Decoded {
    let Some(raw) = raw else {
        return Decoded::Impossible("is in dead_letters, but not in events: restore the database".to_owned());
    };
    let Some(stream) = stream else {
        return Decoded::Impossible(format!("no market of MARKETS has the observer {}: add its market", key.observer));
    };
    match stream.entry(raw) {
        Ok(entry) => Decoded::As(Box::new(entry)),
        Err(why) => Decoded::Not(why.to_string()),
    }
}

/// What trying `row` again comes to: what to say, the event if it is understood, and the row if it changes.
fn tried(
    row: dead_letters::Model,
    discarded: bool,
    now: Timestamp,
    decoded: impl FnOnce() -> Decoded,
) -> Result<(Handled, Option<Entry>, Option<dead_letters::Model>), StoreError> {
    match LetterState::of(&row)? {
        LetterState::Retried => return Ok((Handled::RetriedBefore, None, None)),
        LetterState::Discarded if !discarded => {
            return Ok((Handled::DiscardedBefore(row.discard_reason.unwrap_or_default()), None, None));
        }
        LetterState::Parked | LetterState::Discarded => {}
    }
    let attempts = row.attempts.saturating_add(1);
    let next = |state: LetterState, row: dead_letters::Model| dead_letters::Model {
        attempts,
        last_seen_at: now,
        state: state.name().to_owned(),
        discard_reason: None,
        ..row
    };
    Ok(match decoded() {
        Decoded::As(entry) => (Handled::Retried, Some(*entry), Some(next(LetterState::Retried, row))),
        Decoded::Not(error) => {
            let row = next(LetterState::Parked, dead_letters::Model { error: error.clone(), ..row });
            (Handled::Undecodable(error), None, Some(row))
        }
        Decoded::Impossible(why) => (Handled::Impossible(why), None, None),
    })
}

fn unknown() -> Handled {
    Handled::Impossible("there is no such dead letter: see `event-worker dead-letters list --state all`".to_owned())
}

async fn read(
    db: &impl ConnectionTrait,
    keys: &[LetterKey],
) -> Result<BTreeMap<LetterKey, dead_letters::Model>, StoreError> {
    use dead_letters::Column::{Observer, SeqNo};
    let rows = dead_letters::Entity::find().filter(these(keys, Observer, SeqNo)).all(db).await?;
    Ok(rows.into_iter().map(|row| (LetterKey::of(&row), row)).collect())
}

/// The stored events of these keys.
pub(super) async fn stored(
    db: &impl ConnectionTrait,
    keys: &[LetterKey],
) -> Result<BTreeMap<LetterKey, RawEvent>, StoreError> {
    use events::Column::{Observer, SeqNo};
    let mut stored = BTreeMap::new();
    for row in events::Entity::find().filter(these(keys, Observer, SeqNo)).all(db).await? {
        let (observer, raw) = convert::raw_event(row)?;
        stored.insert(LetterKey { observer: observer.into(), seq_no: raw.seq_no }, raw);
    }
    Ok(stored)
}

/// The rows of these keys; none for no key.
pub(super) fn these<C: ColumnTrait>(keys: &[LetterKey], observer: C, seq_no: C) -> Condition {
    let observers: BTreeSet<&str> = keys.iter().map(|key| &*key.observer).collect();
    let of = |name: &str| {
        let numbers = keys.iter().filter(|key| &*key.observer == name).map(|key| key.seq_no.column());
        Condition::all().add(observer.eq(name)).add(seq_no.is_in(numbers))
    };
    let none = Condition::any().add(seq_no.is_in(Vec::<i64>::new()));
    observers.into_iter().map(of).fold(none, Condition::add)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(state: LetterState) -> dead_letters::Model {
        dead_letters::Model {
            observer: "m:list".to_owned(),
            seq_no: 7,
            version: 1,
            event_type: String::new(),
            data: "{}".to_owned(),
            error: "data.price: is missing".to_owned(),
            attempts: 2,
            first_seen_at: Timestamp::MAX,
            last_seen_at: Timestamp::MAX,
            state: state.name().to_owned(),
            discard_reason: (state == LetterState::Discarded).then(|| "spam".to_owned()),
        }
    }

    fn tried_as(state: LetterState, discarded: bool) -> (Handled, Option<dead_letters::Model>) {
        let decoded = || Decoded::Not("data.price: is odd".to_owned());
        let (handled, entry, row) = tried(row(state), discarded, now(), decoded).unwrap();
        assert!(entry.is_none());
        (handled, row)
    }

    #[test]
    fn what_is_parked_is_tried_and_stays_parked_if_it_does_not_decode() {
        let (handled, row) = tried_as(LetterState::Parked, false);
        let row = row.unwrap();
        assert_eq!(handled, Handled::Undecodable("data.price: is odd".to_owned()));
        assert_eq!((&*row.error, row.attempts, &*row.state), ("data.price: is odd", 3, "parked"));
        assert!(row.last_seen_at < row.first_seen_at);
    }

    #[test]
    fn what_is_discarded_is_tried_only_on_demand_and_then_is_parked_again() {
        assert_eq!(tried_as(LetterState::Discarded, false), (Handled::DiscardedBefore("spam".to_owned()), None));
        let (_, row) = tried_as(LetterState::Discarded, true);
        let row = row.unwrap();
        assert_eq!((&*row.state, row.discard_reason), ("parked", None));
    }

    #[test]
    fn what_is_retried_is_left_alone() {
        for discarded in [false, true] {
            assert_eq!(tried_as(LetterState::Retried, discarded), (Handled::RetriedBefore, None));
        }
    }

    #[test]
    fn a_state_that_nobody_writes_is_named_with_the_remedy() {
        let odd = dead_letters::Model { state: "lost".to_owned(), ..row(LetterState::Parked) };
        let error = tried(odd, false, now(), || unreachable!()).unwrap_err().to_string();
        assert!(error.contains("m:list 7") && error.contains("\"lost\"") && error.contains("parked"), "{error}");
    }
}
