//! The markets that need no file of their own.

use super::{Market, MarketError};
use crate::chain::Address;
use crate::market::nearest::did_you_mean;

/// By name, those that are known best first.
pub const BUILT_IN: [(&str, &str); 1] = [("imart", include_str!("../../../markets/imart.toml"))];

/// Contracts that anybody may deploy: their files have no address.
const UNPLACED: [&str; 1] = ["marketplace"];

/// The names of all of them.
#[must_use]
pub fn names() -> Vec<&'static str> {
    BUILT_IN.map(|(name, _)| name).to_vec()
}

impl Market {
    /// The built-in market `name`, at another deployment if `address` is given.
    pub fn built_in(name: &str, address: Option<Address>) -> Result<Self, MarketError> {
        let found = BUILT_IN.iter().find(|(built_in, _)| *built_in == name);
        let (name, text) =
            found.ok_or_else(|| MarketError::Unknown { name: name.to_owned(), meant: did_you_mean(name, names()) })?;
        if address.is_none() && UNPLACED.contains(name) {
            return Err(MarketError::Unplaced((*name).to_owned()));
        }
        Self::parse(&format!("{name} (built in)"), text, address)
    }
}
