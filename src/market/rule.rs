//! Where a standard field is in an event, worked out when the market file is read.

use std::fmt;
use std::sync::Arc;

use serde_json::value::RawValue;

use super::Field;
use crate::chain::Amount;

/// How an event tells a standard field.
#[derive(Debug, Clone)]
pub enum Rule {
    /// At the first of these paths that leads to a value.
    At {
        /// At least one.
        paths: Vec<Path>,
        /// What if none does.
        absent: Absent,
        /// What the value is read as.
        form: Form,
    },
    /// Always the same.
    Constant(Constant),
    /// By the event's type: its argument at that place.
    TypeArgument(usize),
}

/// What a field is whose paths all lead nowhere.
#[derive(Debug, Clone)]
pub enum Absent {
    /// The event does not fit.
    Refused,
    /// The event does not tell it.
    Untold,
    /// This.
    Default(Constant),
}

/// What a value is read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As its field is.
    Plain,
    /// An id that is any text.
    Text,
    /// A text given as hex bytes.
    Hex,
}

/// A value out of a market file, as an event would have it.
#[derive(Debug, Clone)]
pub struct Constant {
    /// As JSON.
    pub json: Box<RawValue>,
    /// A coin's type, in its standard form.
    pub coin: Arc<str>,
}

/// A path into the event's data: the names on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path(pub Vec<String>);

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "data.{}", self.0.join("."))
    }
}

/// The rules of a stream, one for each standard field that its events tell.
#[derive(Debug, Clone)]
pub struct Rules([Option<Rule>; Field::ALL.len()]);

impl Rules {
    /// No rules.
    pub fn new() -> Self {
        Self([const { None }; Field::ALL.len()])
    }

    /// The rule of a field, if there is one.
    pub fn get(&self, field: Field) -> Option<&Rule> {
        self.0[field as usize].as_ref()
    }

    /// Whether there is one.
    pub fn has(&self, field: Field) -> bool {
        self.get(field).is_some()
    }

    /// Sets the rule of a field.
    pub fn set(&mut self, field: Field, rule: Rule) {
        self.0[field as usize] = Some(rule);
    }
}

/// The units of a market's times.
#[derive(Debug, Clone, Copy, Default)]
pub struct Units {
    pub time: Unit,
    pub expires_in: Unit,
    pub expires_at: Unit,
}

/// A unit of time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Unit {
    #[default]
    Microseconds,
    Milliseconds,
    Seconds,
}

impl Unit {
    /// All of them, by their names in market files.
    pub const ALL: [(&'static str, Self); 3] =
        [("microseconds", Self::Microseconds), ("milliseconds", Self::Milliseconds), ("seconds", Self::Seconds)];

    /// Its name in market files.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, unit)| *unit == self).map_or("", |(name, _)| name)
    }

    /// So many of the unit in microseconds. `count` is within u64, so that the product is within u128.
    pub fn micros(self, count: Amount) -> u128 {
        let factor = match self {
            Self::Microseconds => 1,
            Self::Milliseconds => 1_000,
            Self::Seconds => 1_000_000,
        };
        count.0.saturating_mul(factor)
    }
}
