//! The markets that need no file of their own.

use super::{Market, MarketError};
use crate::chain::Address;
use crate::market::nearest::did_you_mean;

/// By name, those that are known best first.
pub const BUILT_IN: [(&str, &str); 10] = [
    ("imart", include_str!("../../../markets/imart.toml")),
    ("wapal", include_str!("../../../markets/wapal.toml")),
    ("tradeport_v1", include_str!("../../../markets/tradeport_v1.toml")),
    ("tradeport_v2", include_str!("../../../markets/tradeport_v2.toml")),
    ("marketplace", include_str!("../../../markets/marketplace.toml")),
    ("wagmi", include_str!("../../../markets/wagmi.toml")),
    ("topaz", include_str!("../../../markets/topaz.toml")),
    ("souffl3", include_str!("../../../markets/souffl3.toml")),
    ("bluemove", include_str!("../../../markets/bluemove.toml")),
    ("okx", include_str!("../../../markets/okx.toml")),
];

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_is_right_and_has_its_name() {
        let anywhere = "0xa".parse().ok();
        for (name, _) in BUILT_IN {
            let market = Market::built_in(name, anywhere.filter(|_| UNPLACED.contains(&name)));
            let market = market.unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(&*market.name, name);
        }
        let unplaced = Market::built_in("marketplace", None).unwrap_err().to_string();
        assert!(unplaced.contains("marketplace@0xADDRESS"), "{unplaced}");
        let unknown = Market::built_in("imartt", None).unwrap_err().to_string();
        assert!(unknown.contains("did you mean `imart`?") && unknown.contains("built in: imart, wapal"), "{unknown}");
    }

    #[test]
    fn what_is_said_of_a_deployment_is_not_said_of_another() {
        let own = Market::built_in("tradeport_v1", None).unwrap();
        let other = Market::built_in("tradeport_v1", "0xa".parse().ok()).unwrap();
        assert_eq!((own.chain, other.chain), (Some(1), None));
        assert_eq!(other.unverified, own.unverified);
        assert_eq!(other.streams[0].source.account(), "0xa".parse().unwrap());
        let moved = Market::built_in("wapal", "0xa".parse().ok()).unwrap_err().to_string();
        assert!(moved.contains("line 7, column 11") && moved.contains("account"), "{moved}");
    }
}
