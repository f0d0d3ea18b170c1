//! Addresses as bytes, and the two ways to write them.

use sha3::{Digest, Sha3_256};

/// An address, or the handle of a table.
pub type Address = [u8; 32];

/// From hexadecimal digits that are known to be some, padded or not.
pub fn bytes(text: &str) -> Address {
    let mut address = [0; 32];
    let digits = text.trim_start_matches("0x");
    // What is no address has no account, and nothing is at zero.
    if hex::decode_to_slice(format!("{digits:0>64}"), &mut address).is_err() {
        return [0; 32];
    }
    address
}

/// As a node writes it: no leading zeros.
pub fn trimmed(address: &Address) -> String {
    let digits = hex::encode(address);
    let significant = digits.trim_start_matches('0');
    format!("0x{}", if significant.is_empty() { "0" } else { significant })
}

/// As an indexer writes it: 64 digits.
pub fn padded(address: &Address) -> String {
    format!("0x{}", hex::encode(address))
}

/// Where the framework puts an object that an account makes with a name.
pub fn object(creator: &Address, seed: &[u8]) -> Address {
    /// Keeps objects of names apart from other derived addresses.
    const FROM_NAME: u8 = 0xFE;
    Sha3_256::new().chain_update(creator).chain_update(seed).chain_update([FROM_NAME]).finalize().into()
}
