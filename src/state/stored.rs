//! The stored events as a source of their own: what a rebuild follows instead of a node.

use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::entities::{checkpoints, events};
use super::{Store, StoreError, Trouble, convert};
use crate::chain::SeqNo;
use crate::subject::{Counter, Ledger, Page, Subject, SubjectError};

/// Events in a page. More would fill the room of all feeds with a page of each, and nobody could read ahead.
const PAGE: u64 = 100;

/// The stored events of one observer, in their order. It ends where the observer's checkpoint stands.
pub struct StoredEvents {
    store: Store,
    observer: String,
}

impl StoredEvents {
    /// Those of `observer` in `store`.
    #[must_use]
    pub fn new(store: Store, observer: &str) -> Self {
        Self { store, observer: observer.to_owned() }
    }

    async fn read(&self, from: SeqNo) -> Result<Page, StoreError> {
        let rows = events::Entity::find()
            .filter(events::Column::Observer.eq(&*self.observer))
            .filter(events::Column::SeqNo.gte(from.column()))
            .order_by_asc(events::Column::SeqNo)
            .limit(PAGE)
            .all(&self.store.db)
            .await?;
        let full = rows.len() as u64 >= PAGE;
        let events = rows.into_iter().map(|row| Ok(convert::raw_event(row)?.1)).collect::<Result<_, StoreError>>()?;
        Ok(Page { events, full, scanned: None, ledger: Ledger::default() })
    }

    async fn length(&self) -> Result<SeqNo, StoreError> {
        let row = checkpoints::Entity::find_by_id(&*self.observer).one(&self.store.db).await?;
        Ok(row.map_or(SeqNo::ZERO, |row| SeqNo::after_executed(row.executed_seq_no)))
    }
}

impl Subject for StoredEvents {
    async fn page(&self, from: SeqNo) -> Result<Page, SubjectError> {
        self.read(from).await.map_err(|error| unread(&error))
    }

    async fn counter(&self) -> Result<Counter, SubjectError> {
        let next = self.length().await.map_err(|error| unread(&error))?;
        Ok(Counter { next, ledger: Ledger::default() })
    }
}

fn unread(error: &StoreError) -> SubjectError {
    let message = format!("the stored events cannot be read: {error}");
    match error.trouble() {
        Trouble::Contended | Trouble::Away => SubjectError::Unreachable(message),
        Trouble::Lasting => SubjectError::Refused(message),
    }
}
