//! The text of a market file, every value with its place, so that each mistake is told where it stands.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::market::nearest::meant_or_known;

/// What is wrong in a file, and where: a byte of its text.
#[derive(Debug)]
pub struct Mistake {
    pub at: usize,
    pub reason: String,
}

pub type Read<T> = Result<T, Mistake>;

/// A table of the file. What it may not have is refused before anything of it is read.
pub struct Table<'t> {
    /// What it is, for messages.
    what: &'static str,
    /// Where it begins.
    at: usize,
    values: Vec<Value<'t>>,
}

/// A value of the file, by its name.
#[derive(Clone, Copy)]
pub struct Value<'t> {
    pub name: &'t str,
    /// Where its name stands; that of an item of a list is where the item itself does.
    pub name_at: usize,
    value: &'t Spanned<DeValue<'t>>,
}

impl Mistake {
    pub fn new(at: usize, reason: impl Into<String>) -> Self {
        Self { at, reason: reason.into() }
    }

    /// The same, with the thing in front that it is a mistake of.
    pub fn of(self, thing: &str) -> Self {
        Self { reason: format!("{thing}: {}", self.reason), ..self }
    }
}

/// The document that `text` is.
pub fn parse(text: &str) -> Read<Spanned<DeTable<'_>>> {
    DeTable::parse(text).map_err(|error| {
        let Range { start, .. } = error.span().unwrap_or_default();
        let reason = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
        // The parser takes a word without quotes for some number.
        let is_value = text.get(..start).is_some_and(|before| before.trim_end().ends_with('='));
        let is_word = text.get(start..).is_some_and(|rest| rest.starts_with(|first: char| first.is_alphabetic()));
        let quotes = if is_value && is_word { "; a text needs quotes" } else { "" };
        Mistake::new(start, format!("is not TOML: {reason}{quotes}"))
    })
}

impl<'t> Table<'t> {
    /// The table at `at`, of which only `known` names may be.
    pub fn new(what: &'static str, at: usize, table: &'t DeTable<'t>, known: &[&str]) -> Read<Self> {
        let value = |(name, value): (&'t Spanned<_>, &'t _)| Value {
            name: AsRef::<str>::as_ref(name.get_ref()),
            name_at: name.span().start,
            value,
        };
        let mut values: Vec<_> = table.iter().map(value).collect();
        values.sort_by_key(|value| value.name_at);
        if let Some(Value { name, name_at, .. }) = values.iter().find(|value| !known.contains(&value.name)) {
            let meant = meant_or_known(name, known.iter().copied());
            return Err(Mistake::new(*name_at, format!("unknown field `{name}` of {what}{meant}")));
        }
        Ok(Self { what, at, values })
    }

    /// Where it begins.
    pub fn at(&self) -> usize {
        self.at
    }

    /// The value of that name, if it has one.
    pub fn get(&self, name: &str) -> Option<Value<'t>> {
        self.values.iter().find(|value| value.name == name).copied()
    }

    /// The value of that name.
    pub fn need(&self, name: &str) -> Read<Value<'t>> {
        self.get(name).ok_or_else(|| Mistake::new(self.at, format!("{} needs a `{name}`", self.what)))
    }

    /// All of it, in the order of the file.
    pub fn values(&self) -> impl Iterator<Item = Value<'t>> {
        self.values.iter().copied()
    }
}

impl<'t> Value<'t> {
    /// A mistake in the value itself.
    pub fn wrong(&self, reason: impl Into<String>) -> Mistake {
        Mistake::new(self.at(), format!("{}: {}", self.name, reason.into()))
    }

    /// Where the value stands.
    pub fn at(&self) -> usize {
        self.value.span().start
    }

    pub fn text(&self) -> Read<&'t str> {
        match self.value.get_ref() {
            DeValue::String(text) => Ok(text),
            _ => Err(self.unlike("a text in quotes")),
        }
    }

    /// A whole number in decimal.
    pub fn number(&self) -> Read<u64> {
        match self.value.get_ref() {
            DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix())
                .map_err(|_| self.wrong(format!("expected a whole number from 0 to {}, found {number}", u64::MAX))),
            _ => Err(self.unlike("a whole number")),
        }
    }

    /// The value, however it is written down: without spaces, comments, and an order of names.
    pub fn canonical(&self) -> String {
        canonical(self.value.get_ref())
    }

    /// Whether it is the word `false`.
    pub fn is_false(&self) -> bool {
        matches!(self.value.get_ref(), DeValue::Boolean(false))
    }

    pub fn is_table(&self) -> bool {
        matches!(self.value.get_ref(), DeValue::Table(_))
    }

    pub fn is_list(&self) -> bool {
        matches!(self.value.get_ref(), DeValue::Array(_))
    }

    pub fn list(&self) -> Read<Vec<Self>> {
        match self.value.get_ref() {
            DeValue::Array(items) => {
                Ok(items.iter().map(|value| Self { name: self.name, name_at: value.span().start, value }).collect())
            }
            _ => Err(self.unlike("a list")),
        }
    }

    /// The value of that name, if it is a table that has one.
    pub fn get(&self, name: &str) -> Option<Self> {
        let DeValue::Table(table) = self.value.get_ref() else { return None };
        let (name, value) = table.iter().find(|(other, _)| other.get_ref() == name)?;
        Some(Self { name: name.get_ref(), name_at: name.span().start, value })
    }

    /// The table that it is, of which only `known` names may be.
    pub fn table(&self, what: &'static str, known: &[&str]) -> Read<Table<'t>> {
        match self.value.get_ref() {
            DeValue::Table(table) => Table::new(what, self.at(), table, known),
            _ => Err(self.unlike("a table")),
        }
    }

    /// A text, number or truth value, as JSON.
    pub fn json(&self) -> Read<serde_json::Value> {
        match self.value.get_ref() {
            DeValue::String(text) => Ok(text.as_ref().into()),
            DeValue::Integer(number) if number.radix() == 10 => Ok(number.as_str().into()),
            DeValue::Boolean(yes) => Ok((*yes).into()),
            _ => Err(self.unlike("a text, a whole number, or true or false")),
        }
    }

    /// Of these texts, by their names, the one that it is.
    pub fn one_of<T: Copy>(&self, what: &str, known: &[(&str, T)]) -> Read<T> {
        let text = self.text()?;
        let found = known.iter().find(|(name, _)| *name == text);
        found.map(|(_, one)| *one).ok_or_else(|| {
            let meant = meant_or_known(text, known.iter().map(|(name, _)| *name));
            self.wrong(format!("unknown {what} `{text}`{meant}"))
        })
    }

    pub fn unlike(&self, expected: &str) -> Mistake {
        let found = match self.value.get_ref() {
            DeValue::String(text) => format!("the text {text:?}"),
            DeValue::Integer(number) => format!("the number {number}"),
            DeValue::Float(number) => format!("the number {}", number.as_str()),
            DeValue::Boolean(yes) => yes.to_string(),
            DeValue::Datetime(time) => format!("the time {time}"),
            DeValue::Array(_) => "a list".to_owned(),
            DeValue::Table(_) => "a table".to_owned(),
        };
        self.wrong(format!("expected {expected}, found {found}"))
    }
}

fn canonical(value: &DeValue) -> String {
    match value {
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(yes) => yes.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(items) => {
            let items: Vec<_> = items.iter().map(|item| canonical(item.get_ref())).collect();
            format!("[{}]", items.join(","))
        }
        DeValue::Table(table) => {
            let entry = |(name, value): (&Spanned<_>, &Spanned<DeValue>)| {
                format!("{:?}:{}", AsRef::<str>::as_ref(name.get_ref()), canonical(value.get_ref()))
            };
            let mut entries: Vec<_> = table.iter().map(entry).collect();
            entries.sort_unstable();
            format!("{{{}}}", entries.join(","))
        }
    }
}

/// Line and column of a byte, both from 1.
pub fn place(text: &str, at: usize) -> (usize, usize) {
    let before = &text.as_bytes()[..at.min(text.len())];
    let line = before.split(|byte| *byte == b'\n').count();
    let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    (line, String::from_utf8_lossy(&before[start..]).chars().count() + 1)
}
