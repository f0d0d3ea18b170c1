//! The eight event streams of the contract: which handle and field holds each, and what their events are called.

use super::CONTRACT;

/// One event stream: one `EventHandle` field of a resource of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    /// A token is offered for sale.
    List,
    /// A seller takes a listing back.
    Delist,
    /// A listing is bought, whole or in part.
    Buy,
    /// Somebody offers coins for a token.
    Offer,
    /// An owner accepts an offer, whole or in part.
    AcceptOffer,
    /// An offerer takes an offer back.
    CancelOffer,
    /// A collection comes into being.
    CreateCollection,
    /// A token comes into being.
    CreateToken,
}

impl Stream {
    /// All streams, in the order of their creation numbers.
    pub const ALL: [Self; 8] = [
        Self::List,
        Self::Delist,
        Self::Buy,
        Self::Offer,
        Self::AcceptOffer,
        Self::CancelOffer,
        Self::CreateCollection,
        Self::CreateToken,
    ];

    /// The field of the handle resource, which also names the stream.
    pub const fn field(self) -> &'static str {
        match self {
            Self::List => "list_token_events",
            Self::Delist => "delist_token_events",
            Self::Buy => "buy_token_events",
            Self::Offer => "offer_token_events",
            Self::AcceptOffer => "accept_offer_events",
            Self::CancelOffer => "cancel_offer_events",
            Self::CreateCollection => "collection_created_events",
            Self::CreateToken => "token_created_events",
        }
    }

    /// `module::Struct` of the resource that holds the handle.
    pub const fn holder(self) -> &'static str {
        match self {
            Self::List | Self::Delist | Self::Buy => "fixed_price_market::FixedMarketEvents",
            Self::Offer | Self::AcceptOffer | Self::CancelOffer => "offer::OfferEvents",
            Self::CreateCollection | Self::CreateToken => "creation::CreationEvents",
        }
    }

    /// The full type of the resource that holds the handle.
    pub fn holder_tag(self) -> String {
        format!("{CONTRACT}::{}", self.holder())
    }

    /// The full type of the stream's events.
    pub fn event_type(self) -> String {
        let name = match self {
            Self::List => "fixed_price_market::ListTokenEvent",
            Self::Delist => "fixed_price_market::DelistTokenEvent",
            Self::Buy => "fixed_price_market::BuyTokenEvent",
            Self::Offer => "offer::OfferTokenEvent",
            Self::AcceptOffer => "offer::AcceptOfferEvent",
            Self::CancelOffer => "offer::CancelOfferEvent",
            Self::CreateCollection => "creation::CollectionCreatedEvent",
            Self::CreateToken => "creation::TokenCreatedEvent",
        };
        format!("{CONTRACT}::{name}")
    }

    /// The entry function that a transaction starting with such an event has called.
    pub const fn entry_function(self) -> &'static str {
        match self {
            Self::List => "fixed_price_market::batch_list_tokens",
            Self::Delist => "fixed_price_market::batch_delist_tokens",
            Self::Buy => "fixed_price_market::batch_buy_tokens",
            Self::Offer => "offer::offer_token",
            Self::AcceptOffer => "offer::accept_offer",
            Self::CancelOffer => "offer::cancel_offer",
            Self::CreateCollection => "creation::create_collection",
            Self::CreateToken => "creation::create_token",
        }
    }

    /// The handle's creation number; an account's own two handles, and two more, come before the contract's.
    pub const fn creation_number(self) -> u64 {
        4 + self as u64
    }
}
