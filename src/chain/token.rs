//! Ids of collections and tokens, the same as the official Aptos indexer's, so that users can join. Those of v2 are the
//! objects' addresses; those of v1 are hashes, which look like addresses.

use sha2::{Digest, Sha256};
use sha3::Sha3_256;

use super::Address;

/// The id of a v1 collection: sha256 of `{creator}::{collection}`.
#[must_use]
pub fn v1_collection_id(creator: &Address, collection: &str) -> Address {
    Address::new(collection_of(creator, collection).finalize().into())
}

/// The id of a v1 token (all its property versions): sha256 of `{creator}::{collection}::{token}`.
#[must_use]
pub fn v1_token_id(creator: &Address, collection: &str, token: &str) -> Address {
    v1_ids(creator, collection, token).1
}

/// The ids of a v1 token's collection and of the token, hashing what they share once.
#[must_use]
pub fn v1_ids(creator: &Address, collection: &str, token: &str) -> (Address, Address) {
    let collection = collection_of(creator, collection);
    let token = collection.clone().chain_update("::").chain_update(token);
    (Address::new(collection.finalize().into()), Address::new(token.finalize().into()))
}

/// Where the v2 collection of that creator and name is, if it exists: a named object's address.
#[must_use]
pub fn v2_collection(creator: &Address, name: &str) -> Address {
    /// Tells named objects from other addresses that are made by hashing.
    const NAMED_OBJECT: [u8; 1] = [0xFE];
    let hash = Sha3_256::new().chain_update(creator.bytes()).chain_update(name).chain_update(NAMED_OBJECT);
    Address::new(hash.finalize().into())
}

fn collection_of(creator: &Address, collection: &str) -> Sha256 {
    Sha256::new().chain_update(creator.hex()).chain_update("::").chain_update(collection)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Figures by `printf '%s' ... | sha256sum`.
    #[test]
    fn ids_are_the_official_indexers() {
        let creator: Address = "0x1".parse().unwrap();
        assert_eq!(
            v1_collection_id(&creator, "Cats").to_string(),
            "0xdea2cc02c36c8acf702ab9f8ce2d4108a99715cdbb70f24516b4f8c2ddbac555"
        );
        assert_eq!(
            v1_token_id(&creator, "Cats", "Cat #1").to_string(),
            "0xdf923c5de77a1125b4b4af42ea5ce12181548b80600dd7de6e9f834cb377e4df"
        );
    }

    /// Two collections of mainnet.
    #[test]
    fn a_v2_collection_is_where_the_chain_puts_it() {
        for (creator, name, address) in [
            (
                "0x239589c5cfb0cc96f76fa59165a7cbb6ef99ad50d0acc34cf3a2585d861511be",
                "inAptos",
                "0x139e21974cb4ee185b95708bebd571d77cec25e51df5ebd242712ed09bda8ca4",
            ),
            (
                "0x7bc33fea1f7f5e7dc023c5cb041d0aadd664c8f738f619829095c19a9cc34e0",
                "Sloth balls",
                "0x53858a7a4b6faf7cb2d198efe80351abc658d9cefcd2e95587f3d473cc90a041",
            ),
        ] {
            assert_eq!(v2_collection(&creator.parse().unwrap(), name).to_string(), address);
        }
    }
}
