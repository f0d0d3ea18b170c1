//! Ids of collections and tokens, the same as the official Aptos indexer's, so that users can join.

use sha2::{Digest, Sha256};

use super::Address;

/// The id of a v1 collection: `0x` + sha256 of `{creator}::{collection}`.
#[must_use]
pub fn v1_collection_id(creator: &Address, collection: &str) -> String {
    hashed(&[&creator.to_string(), collection])
}

/// The id of a v1 token (all its property versions): `0x` + sha256 of `{creator}::{collection}::{token}`.
#[must_use]
pub fn v1_token_id(creator: &Address, collection: &str, token: &str) -> String {
    hashed(&[&creator.to_string(), collection, token])
}

fn hashed(parts: &[&str]) -> String {
    format!("0x{}", hex::encode(Sha256::digest(parts.join("::"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Figures by `printf '%s' ... | sha256sum`.
    #[test]
    fn ids_are_the_official_indexers() {
        let creator: Address = "0x1".parse().unwrap();
        assert_eq!(
            v1_collection_id(&creator, "Cats"),
            "0xdea2cc02c36c8acf702ab9f8ce2d4108a99715cdbb70f24516b4f8c2ddbac555"
        );
        assert_eq!(
            v1_token_id(&creator, "Cats", "Cat #1"),
            "0xdf923c5de77a1125b4b4af42ea5ce12181548b80600dd7de6e9f834cb377e4df"
        );
    }
}
