//! Values as the chain stores them: the bytes behind the `key` and `value` of a written table item.

use super::address::Address;

/// Bytes, growing.
#[derive(Default)]
pub struct Bcs(Vec<u8>);

impl Bcs {
    /// A string: its length in groups of seven bits, then its bytes.
    #[must_use]
    pub fn text(mut self, text: &str) -> Self {
        let mut left = text.len();
        loop {
            let [low, ..] = (left & 0x7F).to_le_bytes();
            left >>= 7;
            self.0.push(if left == 0 { low } else { low | 0x80 });
            if left == 0 {
                break;
            }
        }
        self.0.extend(text.bytes());
        self
    }

    /// A number, its lowest byte first.
    #[must_use]
    pub fn u64(mut self, number: u64) -> Self {
        self.0.extend(number.to_le_bytes());
        self
    }

    /// An address as it is.
    #[must_use]
    pub fn address(mut self, address: &Address) -> Self {
        self.0.extend(address);
        self
    }

    /// So many times `true`.
    #[must_use]
    pub fn yes(mut self, times: usize) -> Self {
        self.0.extend(std::iter::repeat_n(1, times));
        self
    }

    /// A vector of nothing.
    #[must_use]
    pub fn empty(mut self) -> Self {
        self.0.push(0);
        self
    }

    /// As the REST API shows bytes.
    pub fn hex(&self) -> String {
        format!("0x{}", hex::encode(&self.0))
    }
}
