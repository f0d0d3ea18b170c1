//! The standard fields of market events: what market files map, and what each kind of event has a use for.

use super::Kind;
use super::kind::{Step, Subject};

/// A standard field, by its name in market files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    Id,
    Token,
    TokenName,
    PropertyVersion,
    Collection,
    CollectionName,
    Creator,
    Seller,
    Buyer,
    Offerer,
    Price,
    Quantity,
    Total,
    Royalty,
    Fee,
    Currency,
    Ends,
    Time,
    ExpiresIn,
    ExpiresAt,
    Description,
    Uri,
    Maximum,
}

/// What a field's values are, in Move and in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// What a contract tells its listings or offers apart by: a number, an object, or a `0x1::guid::ID`.
    Id,
    /// A `TokenId` or `TokenDataId` of `0x3::token`, or a token object.
    Token,
    /// An account or object.
    Address,
    /// A text.
    Text,
    /// A whole number, up to u128.
    Amount,
    /// A whole number, up to u64.
    Count,
    /// A coin's type, as a `TypeInfo` or text; or the object of a fungible asset.
    Coin,
    /// True or false.
    Bool,
}

impl Field {
    /// All of them, in the order in which they are declared.
    pub const ALL: [Self; 23] = [
        Self::Id,
        Self::Token,
        Self::TokenName,
        Self::PropertyVersion,
        Self::Collection,
        Self::CollectionName,
        Self::Creator,
        Self::Seller,
        Self::Buyer,
        Self::Offerer,
        Self::Price,
        Self::Quantity,
        Self::Total,
        Self::Royalty,
        Self::Fee,
        Self::Currency,
        Self::Ends,
        Self::Time,
        Self::ExpiresIn,
        Self::ExpiresAt,
        Self::Description,
        Self::Uri,
        Self::Maximum,
    ];

    /// Its name in market files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Token => "token",
            Self::TokenName => "token_name",
            Self::PropertyVersion => "property_version",
            Self::Collection => "collection",
            Self::CollectionName => "collection_name",
            Self::Creator => "creator",
            Self::Seller => "seller",
            Self::Buyer => "buyer",
            Self::Offerer => "offerer",
            Self::Price => "price",
            Self::Quantity => "quantity",
            Self::Total => "total",
            Self::Royalty => "royalty",
            Self::Fee => "fee",
            Self::Currency => "currency",
            Self::Ends => "ends",
            Self::Time => "time",
            Self::ExpiresIn => "expires_in",
            Self::ExpiresAt => "expires_at",
            Self::Description => "description",
            Self::Uri => "uri",
            Self::Maximum => "maximum",
        }
    }

    /// What its values are.
    #[must_use]
    pub fn shape(self) -> Shape {
        match self {
            Self::Id => Shape::Id,
            Self::Token => Shape::Token,
            Self::Collection | Self::Creator | Self::Seller | Self::Buyer | Self::Offerer => Shape::Address,
            Self::TokenName | Self::CollectionName | Self::Description | Self::Uri => Shape::Text,
            Self::Price | Self::Total | Self::Royalty | Self::Fee => Shape::Amount,
            Self::PropertyVersion | Self::Quantity | Self::Time | Self::ExpiresIn | Self::ExpiresAt | Self::Maximum => {
                Shape::Count
            }
            Self::Currency => Shape::Coin,
            Self::Ends => Shape::Bool,
        }
    }

    /// Whether it is a point in time or a stretch of it, which has a unit.
    #[must_use]
    pub fn is_time(self) -> bool {
        matches!(self, Self::Time | Self::ExpiresIn | Self::ExpiresAt)
    }

    /// Whether an event of that kind does something with it. (`id` is of use where it is a part of the key.)
    #[must_use]
    pub fn is_used_by(self, kind: Kind) -> bool {
        use Subject::{Bid, Collection, CollectionOffer, Listing, Token, TokenOffer};
        let subject = kind.subject();
        match self {
            Self::Collection | Self::CollectionName | Self::Creator | Self::Time => true,
            // An offer for any token of a collection has none yet.
            Self::Token | Self::TokenName | Self::PropertyVersion => {
                !matches!(subject, Collection | CollectionOffer(Step::Place | Step::Cancel))
            }
            Self::Id | Self::Price | Self::Quantity | Self::Total | Self::Royalty | Self::Fee | Self::Currency => {
                !matches!(subject, Collection | Token)
            }
            Self::Seller => matches!(subject, Listing(_) | TokenOffer(Step::Fill) | CollectionOffer(Step::Fill)),
            Self::Buyer => subject == Listing(Step::Fill),
            Self::Offerer => matches!(subject, TokenOffer(_) | CollectionOffer(_) | Bid),
            Self::Ends => matches!(subject, TokenOffer(Step::Fill) | CollectionOffer(Step::Fill)),
            // Of a listing it is read, but orders have no column for it.
            Self::ExpiresIn | Self::ExpiresAt => kind.step() == Some(Step::Place),
            Self::Description | Self::Uri => matches!(subject, Collection | Token),
            Self::Maximum => subject == Collection,
        }
    }

    /// The field of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_in_their_places() {
        for (place, field) in Field::ALL.into_iter().enumerate() {
            assert_eq!((field as usize, Field::named(field.name())), (place, Some(field)));
        }
    }
}
