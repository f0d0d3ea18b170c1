//! The market's events as plain structs: the least that reading them takes.

use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Parses a page of the stream in that field of its handle; returns how many events it has.
pub fn parse(field: &str, page: &[u8]) -> Result<usize, serde_json::Error> {
    match field {
        "list_token_events" => count::<Listed>(page),
        "delist_token_events" => count::<Delisted>(page),
        "buy_token_events" => count::<Bought>(page),
        "offer_token_events" => count::<Offered>(page),
        "accept_offer_events" => count::<Accepted>(page),
        "cancel_offer_events" => count::<Canceled>(page),
        "collection_created_events" => count::<CollectionCreated>(page),
        _ => count::<TokenCreated>(page),
    }
}

fn count<T: DeserializeOwned>(page: &[u8]) -> Result<usize, serde_json::Error> {
    let events: Vec<Event<T>> = serde_json::from_slice(page)?;
    Ok(std::hint::black_box(events).len())
}

macro_rules! structs {
    ($($name:ident { $($field:ident: $kind:ty),+ $(,)? })+) => {
        $(#[derive(Deserialize)]
        #[allow(dead_code, reason = "parsing is all that is measured")]
        struct $name {
            $($field: $kind,)+
        })+
    };
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "parsing is all that is measured")]
struct Event<T> {
    version: String,
    guid: Guid,
    sequence_number: String,
    #[serde(rename = "type")]
    kind: String,
    data: T,
}

structs! {
    Guid { creation_number: String, account_address: String }
    CoinType { account_address: String, module_name: String, struct_name: String }
    TokenDataId { creator: String, collection: String, name: String }
    TokenId { token_data_id: TokenDataId, property_version: String }
    Listed {
        coin_type_info: CoinType, offer_id: String, price: String, seller: String, timestamp: String, token_amount: String,
        token_id: TokenId, locked_until_secs: String,
    }
    Delisted { offer_id: String, seller: String, timestamp: String, token_amount: String, token_id: TokenId }
    Bought {
        coin_type_info: CoinType, offer_id: String, price: String, buyer: String, seller: String, timestamp: String,
        coin_amount: String, token_amount: String, token_id: TokenId,
    }
    Offered {
        coin_amount_per_token: String, coin_owner: String, coin_type_info: CoinType, event_id: String,
        expiration_time: String, timestamp: String, token_amount: String, token_id: TokenId,
    }
    Accepted {
        is_offer_end: bool, token_id: TokenId, coin_owner: String, token_owner: String, token_amount: String,
        coin_amount_per_token: String, timestamp: String, event_id: String, coin_type_info: CoinType,
        expiration_time: String,
    }
    Canceled {
        coin_amount: String, coin_owner: String, coin_type_info: CoinType, event_id: String, timestamp: String,
        token_id: TokenId,
    }
    CollectionCreated {
        creator: String, category: String, tags: Vec<String>, name: String, description: String, uri: String,
        payees: Vec<String>, royalties: Vec<String>, maximum: String,
    }
    TokenCreated { description: String, name: String, uri: String, creator: String, token_id: TokenId }
}
