//! What events probably are, by the names of structs and fields. Guesses, for people to look at.

use crate::check::{Fit, fits};
use crate::market::{Field, Kind, MappedField};
use crate::subject::MoveField;

/// What an event of that name probably does.
pub fn kind(event: &str) -> Option<Kind> {
    let words = words(event);
    let has = |any: &[&str]| words.iter().any(|word| any.contains(&&**word));
    let cancels = has(&[
        "cancel",
        "canceled",
        "cancelled",
        "delete",
        "deleted",
        "delist",
        "unlist",
        "remove",
        "removed",
        "withdraw",
    ]);
    let fills = has(&[
        "accept",
        "accepted",
        "fill",
        "filled",
        "buy",
        "bought",
        "sell",
        "sold",
        "sale",
        "purchase",
        "purchased",
        "executed",
    ]);
    let step = |place, cancel, fill| {
        Some(if cancels {
            cancel
        } else if fills {
            fill
        } else {
            place
        })
    };
    if has(&["auction"]) && has(&["bid"]) {
        return Some(Kind::PlaceBid);
    }
    if has(&["offer", "bid", "bids", "offers"]) {
        return if has(&["collection"]) {
            step(Kind::PlaceCollectionOffer, Kind::CancelCollectionOffer, Kind::FillCollectionOffer)
        } else {
            step(Kind::PlaceTokenOffer, Kind::CancelTokenOffer, Kind::FillTokenOffer)
        };
    }
    if has(&["create", "created", "mint", "minted"]) {
        return Some(if has(&["collection"]) { Kind::CreateCollection } else { Kind::CreateToken });
    }
    let lists = has(&["list", "listed", "listing", "delist", "unlist", "auction", "order", "price"]);
    (lists || fills).then(|| step(Kind::PlaceListing, Kind::CancelListing, Kind::FillListing)).flatten()
}

/// `ListTokenEvent` is list, token, event.
fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = vec![];
    let mut was_small = false;
    for letter in name.chars() {
        if letter == '_' {
            was_small = false;
            words.push(String::new());
            continue;
        }
        if words.is_empty() || (letter.is_uppercase() && was_small) {
            words.push(String::new());
        }
        was_small = letter.is_lowercase() || letter.is_ascii_digit();
        if let Some(word) = words.last_mut() {
            word.extend(letter.to_lowercase());
        }
    }
    words
}

/// The names under which contracts tell a field, the likeliest first.
fn names(field: Field, kind: Kind) -> &'static [&'static str] {
    let is_offer = matches!(
        kind,
        Kind::PlaceTokenOffer
            | Kind::CancelTokenOffer
            | Kind::FillTokenOffer
            | Kind::PlaceCollectionOffer
            | Kind::CancelCollectionOffer
            | Kind::FillCollectionOffer
    );
    match field {
        Field::Id if is_offer => {
            &["offer_id", "bid_id", "order_id", "token_offer", "collection_offer", "offer", "bid", "id"]
        }
        Field::Id => &["listing_id", "offer_id", "order_id", "sale_id", "auction_id", "listing", "auction", "id"],
        Field::Token => &["token_id", "token", "nft", "token_object", "token_address", "token_data_id"],
        Field::TokenName => &["token_name"],
        Field::PropertyVersion => &["property_version"],
        Field::Collection => &["collection", "collection_id", "collection_address"],
        Field::CollectionName if kind == Kind::CreateCollection => &["collection_name", "name"],
        Field::CollectionName => &["collection_name"],
        Field::Creator => &["creator", "creator_address", "collection_creator"],
        Field::Seller => &["seller", "token_owner", "bid_seller", "seller_address", "owner", "lister", "owner_address"],
        Field::Buyer => &["buyer", "purchaser", "buyer_address", "taker"],
        Field::Offerer => {
            &["offerer", "bidder", "new_bidder", "bid_buyer", "coin_owner", "buyer", "purchaser", "bidder_address"]
        }
        Field::Price => &[
            "price",
            "price_per_token",
            "coin_per_token",
            "coin_amount_per_token",
            "min_price",
            "bid",
            "new_bid",
            "bid_price",
            "amount",
        ],
        Field::Quantity => &["token_amount", "quantity", "remaining_token_amount"],
        Field::Total => &["total", "total_price", "coin_amount"],
        Field::Royalty => &["royalties", "royalty", "royalty_amount", "royalty_fee"],
        Field::Fee => &["commission", "fee", "market_fee", "fee_amount", "platform_fee"],
        Field::Currency => &["coin_type_info", "coin_type", "currency", "coin"],
        Field::Ends => &["is_offer_end", "is_end", "ended"],
        Field::Time => &["timestamp", "time", "created_at", "timestamp_us"],
        Field::ExpiresIn => &["expiration_time", "expires_in", "duration"],
        Field::ExpiresAt => &["deadline", "expires_at", "expiration", "expire_at"],
        Field::Description => &["description"],
        Field::Uri => &["uri", "token_uri", "collection_uri"],
        Field::Maximum => &["maximum", "max_supply"],
    }
}

/// Where the field probably is among an event's `fields` (`path` and type), if one has a likely name and a fitting type.
pub fn path(field: Field, kind: Kind, fields: &[MoveField]) -> Option<&MoveField> {
    let read = MappedField {
        name: field.name(),
        paths: vec![],
        shared: false,
        optional: false,
        shape: field.shape(),
        hex: false,
    };
    let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
    let named =
        |name: &&str| fields.iter().find(|found| last(&found.name) == **name && fits(&read, &found.kind) == Fit::Yes);
    names(field, kind).iter().find_map(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_guessed_by_names() {
        for (event, expected) in [
            ("ListTokenEvent", Some(Kind::PlaceListing)),
            ("DelistTokenEvent", Some(Kind::CancelListing)),
            ("BuyTokenEvent", Some(Kind::FillListing)),
            ("ListingFilled", Some(Kind::FillListing)),
            ("UpdateListingEvent", Some(Kind::PlaceListing)),
            ("OfferTokenEvent", Some(Kind::PlaceTokenOffer)),
            ("AcceptTokenBidEvent", Some(Kind::FillTokenOffer)),
            ("CollectionOfferCanceled", Some(Kind::CancelCollectionOffer)),
            ("AuctionBidEvent", Some(Kind::PlaceBid)),
            ("CollectionCreatedEvent", Some(Kind::CreateCollection)),
            ("TokenCreatedEvent", Some(Kind::CreateToken)),
            ("ConfigChanged", None),
            ("DepositEvent", None),
        ] {
            assert_eq!(kind(event), expected, "{event}");
        }
    }

    #[test]
    fn a_field_needs_a_likely_name_and_a_fitting_type() {
        let field = |name: &str, kind: &str| MoveField { name: name.to_owned(), kind: kind.to_owned() };
        let fields = [field("price", "address"), field("min_price", "u64"), field("m.token", "0x3::token::TokenId")];
        let found = |which| path(which, Kind::PlaceListing, &fields).map(|found| &*found.name);
        assert_eq!(
            (found(Field::Price), found(Field::Token), found(Field::Seller)),
            (Some("min_price"), Some("m.token"), None)
        );
    }
}
