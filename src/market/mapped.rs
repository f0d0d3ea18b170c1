//! What a market file asks of events, for whoever compares it with the contract.

use super::field::Field;
use super::rule::{Absent, Form, Path, Rule};
use super::{Shape, Stream};

/// A standard field, and where the market file looks for it in an event's data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MappedField {
    /// The standard name.
    pub name: &'static str,
    /// The names on the way to it, of each alternative.
    pub paths: Vec<Vec<String>>,
    /// Whether the file says so for all streams.
    pub shared: bool,
    /// Whether it may be absent.
    pub optional: bool,
    /// What it has to be.
    pub shape: Shape,
    /// Whether it is hex bytes that spell a text.
    pub hex: bool,
}

impl Stream {
    /// The fields that the market file looks for in the data, in the order of the standard names.
    #[must_use]
    pub fn mapped(&self) -> Vec<MappedField> {
        let mapped = |field: Field| match self.rules.get(field)? {
            Rule::At { paths, absent, form } => Some(MappedField {
                name: field.name(),
                paths: paths.iter().map(|Path(names)| names.clone()).collect(),
                shared: self.inherited.contains(&field),
                optional: !matches!(absent, Absent::Refused),
                shape: if *form == Form::Text { Shape::Text } else { field.shape() },
                hex: *form == Form::Hex,
            }),
            Rule::Constant(_) | Rule::TypeArgument(_) => None,
        };
        Field::ALL.into_iter().filter_map(mapped).collect()
    }

    /// Which type argument of its events is the currency, if one is.
    #[must_use]
    pub fn currency_argument(&self) -> Option<usize> {
        match self.rules.get(Field::Currency)? {
            Rule::TypeArgument(at) => Some(*at),
            Rule::At { .. } | Rule::Constant(_) => None,
        }
    }
}
