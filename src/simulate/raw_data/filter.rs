//! Which transactions are sent, whole: those that have an event of a type.

use super::messages::{
    ApiFilter, BooleanTransactionFilter, Event, EventFilter, Filter, MoveStructTagFilter, Transaction,
};

impl BooleanTransactionFilter {
    /// Whether all of it is known here.
    pub fn is_known(&self) -> bool {
        match &self.filter {
            Some(Filter::Api(filter)) => filter.event.is_some(),
            Some(Filter::And(all) | Filter::Or(all)) => all.filters.iter().all(Self::is_known),
            Some(Filter::Not(not)) => not.is_known(),
            None => false,
        }
    }

    /// Whether a transaction is among those wanted.
    pub fn lets_through(&self, transaction: &Transaction) -> bool {
        match &self.filter {
            Some(Filter::Api(ApiFilter { event })) => {
                let events = transaction.user.iter().flat_map(|user| &user.events);
                event.as_ref().is_some_and(|filter| events.into_iter().any(|event| filter.lets_through(event)))
            }
            Some(Filter::And(all)) => all.filters.iter().all(|filter| filter.lets_through(transaction)),
            Some(Filter::Or(any)) => any.filters.iter().any(|filter| filter.lets_through(transaction)),
            Some(Filter::Not(not)) => !not.lets_through(transaction),
            None => true,
        }
    }
}

impl EventFilter {
    fn lets_through(&self, event: &Event) -> bool {
        let has_text = self.data_substring_filter.as_ref().is_none_or(|text| event.data.contains(text));
        has_text && self.struct_type.as_ref().is_none_or(|filter| filter.lets_through(&event.type_str))
    }
}

impl MoveStructTagFilter {
    fn lets_through(&self, kind: &str) -> bool {
        let mut parts = kind.split('<').next().unwrap_or_default().splitn(3, "::");
        let mut fits = |wanted: &Option<String>, form: fn(&str) -> String| {
            let part = parts.next().unwrap_or_default();
            wanted.as_ref().is_none_or(|wanted| form(wanted) == form(part))
        };
        fits(&self.address, padded) & fits(&self.module, str::to_owned) & fits(&self.name, str::to_owned)
    }
}

/// An address in its long form.
pub fn padded(address: &str) -> String {
    format!("0x{:0>64}", address.trim_start_matches("0x").to_lowercase())
}
