//! Where on chain a stream of events is.

use std::fmt;

use super::Address;

/// What tells the events of one stream from all others.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Source {
    /// An event handle, by where it is kept.
    Handle(Handle),
    /// An event handle, by its number.
    CreationNumber {
        /// The account that owns it.
        account: Address,
        /// Its number at that account.
        number: u64,
    },
    /// No handle that is known: told by their type alone, as module events are, which have none.
    ModuleEvent,
}

/// An event handle: a field of a resource of an account.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Handle {
    /// The account that holds the resource.
    pub account: Address,
    /// The resource's type.
    pub resource: String,
    /// The field of type `EventHandle`.
    pub field: String,
}

impl Source {
    /// The account in the guids of its events; of those that are told by their type, 0, which is that of module events.
    #[must_use]
    pub fn account(&self) -> Address {
        match self {
            Self::Handle(handle) => handle.account,
            Self::CreationNumber { account, .. } => *account,
            Self::ModuleEvent => Address::new([0; 32]),
        }
    }

    /// The handle, if it is known by where it is kept.
    #[must_use]
    pub fn handle(&self) -> Option<&Handle> {
        match self {
            Self::Handle(handle) => Some(handle),
            Self::CreationNumber { .. } | Self::ModuleEvent => None,
        }
    }

    /// The field of the handle, if it is known by that.
    #[must_use]
    pub fn field(&self) -> Option<&str> {
        self.handle().map(|handle| &*handle.field)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handle(Handle { resource, field, .. }) => write!(f, "handle {resource} / {field}"),
            Self::CreationNumber { account, number } => write!(f, "creation number {number} at {account}"),
            Self::ModuleEvent => f.write_str("events by their type"),
        }
    }
}
