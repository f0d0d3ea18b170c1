//! What a market file asks of events, for whoever compares it with the contract.

use super::Stream;
use super::file::Path;

/// A standard field, and where the market file looks for it in an event's data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MappedField {
    /// The standard name.
    pub name: &'static str,
    /// The names on the way to it.
    pub path: Vec<String>,
    /// Whether it may be absent.
    pub optional: bool,
}

impl Stream {
    /// The fields that the market file maps, in the order of the standard names.
    #[must_use]
    pub fn mapped(&self) -> Vec<MappedField> {
        let fields = &self.fields;
        let all: [(&'static str, &Option<Path>); 21] = [
            ("id", &fields.id),
            ("token", &fields.token),
            ("token_name", &fields.token_name),
            ("collection", &fields.collection),
            ("collection_name", &fields.collection_name),
            ("creator", &fields.creator),
            ("seller", &fields.seller),
            ("buyer", &fields.buyer),
            ("offerer", &fields.offerer),
            ("price", &fields.price),
            ("quantity", &fields.quantity),
            ("total", &fields.total),
            ("royalty", &fields.royalty),
            ("fee", &fields.fee),
            ("currency", &fields.currency),
            ("ends", &fields.ends),
            ("time", &fields.time),
            ("expires_in", &fields.expires_in),
            ("description", &fields.description),
            ("uri", &fields.uri),
            ("maximum", &fields.maximum),
        ];
        let mapped = |(name, path): (&'static str, &Option<Path>)| {
            let Path { names, optional } = path.clone()?;
            Some(MappedField { name, path: names, optional })
        };
        all.into_iter().filter_map(mapped).collect()
    }
}
