//! The order of the events of one transaction.

use std::collections::HashMap;

use super::{Address, RawEvent, SeqNo, Source, Timestamp};

/// Where the events of a transaction stand in it, told apart by their guids and numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventOrder {
    /// The block's time, if the transaction tells it.
    pub time: Option<Timestamp>,
    places: HashMap<(Address, u64, SeqNo), u32>,
}

impl EventOrder {
    /// Of events by account, creation number and seq no, in their order. Module events have no guid of their own.
    pub fn new(time: Option<Timestamp>, events: impl IntoIterator<Item = (Address, u64, SeqNo)>) -> Self {
        let nobody = Source::ModuleEvent.account();
        let places = (0..).zip(events).filter(|(_, (account, ..))| *account != nobody);
        Self { time, places: places.map(|(index, event)| (event, index)).collect() }
    }

    /// The seq nos that its events have in handles of `account`.
    pub fn seq_nos(&self, account: Address) -> impl Iterator<Item = SeqNo> {
        let own = self.places.keys().filter(move |(holder, ..)| *holder == account);
        own.map(|(.., seq_no)| *seq_no)
    }

    /// The place of `event`, if it is one of them.
    #[must_use]
    pub fn index_of(&self, event: &RawEvent) -> Option<u32> {
        self.places.get(&(event.account_address, event.creation_number, event.seq_no)).copied()
    }
}
