//! What events mean. A market file tells where each standard field is ([`file`]), [`decode`] turns a raw event into a
//! typed [`MarketEvent`], and [`fold`] turns those into rows. Pure: no I/O, no clock, no SQL.

mod decode;
mod event;
mod file;
pub mod fold;
mod json;
mod kind;
mod mapped;
mod registry;
mod value;

pub use decode::Refusal;
pub use event::{Item, Key, MarketEvent, Standard};
pub use file::{Handle, Market, MarketError, Stream};
pub use kind::Kind;
pub use mapped::MappedField;
pub use registry::Markets;
pub use value::storable;
