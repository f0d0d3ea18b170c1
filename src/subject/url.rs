//! A node's address.

use std::fmt;
use std::str::FromStr;

use url::{Host, Url};

/// A node's REST address, up to and including `/v1`. Displaying it hides a password in it.
#[derive(Clone, PartialEq, Eq)]
pub struct NodeUrl(Url);

impl NodeUrl {
    pub(super) fn address(&self) -> &str {
        self.0.as_str().trim_end_matches('/')
    }

    pub(super) fn is_local(&self) -> bool {
        match self.0.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        }
    }

    pub(super) fn is_secure(&self) -> bool {
        self.0.scheme() == "https"
    }
}

impl FromStr for NodeUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const EXPECTED: &str = "expected a node's REST address, like https://fullnode.testnet.aptoslabs.com/v1";
        let url = Url::parse(text.trim()).map_err(|error| format!("{error}; {EXPECTED}"))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
            return Err(EXPECTED.to_owned());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(format!("a query or fragment does not belong here; {EXPECTED} (a key goes into NODE_API_KEY)"));
        }
        Ok(Self(url))
    }
}

impl fmt::Display for NodeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut url = self.0.clone();
        if url.password().is_some() {
            let _ = url.set_password(Some("***"));
        }
        f.write_str(url.as_str().trim_end_matches('/'))
    }
}

impl fmt::Debug for NodeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
