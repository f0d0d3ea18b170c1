//! What events mean. A market file tells where each standard field is ([`file`]), [`decode`] turns a raw event into a
//! typed [`MarketEvent`], and [`fold`] turns those into rows. Pure: no I/O, no clock, no SQL.

mod decode;
mod event;
mod field;
mod file;
pub mod fold;
mod generics;
mod json;
mod kind;
mod mapped;
mod nearest;
mod registry;
mod rule;
mod value;

pub use decode::Refusal;
pub use event::{Item, Key, MarketEvent, Standard};
pub use field::{Field, Shape};
pub use file::{Market, MarketError, Stream, names};
pub use kind::Kind;
pub use mapped::MappedField;
pub use nearest::{did_you_mean, nearest};
pub use registry::{Markets, confused};
pub use value::storable;
