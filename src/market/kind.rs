//! The standard actions of a marketplace. The program knows these; market files say which stream is which.

use serde::{Deserialize, Serialize};

/// What an event does, by its name in `activities.kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    PlaceListing,
    CancelListing,
    FillListing,
    PlaceTokenOffer,
    CancelTokenOffer,
    FillTokenOffer,
    PlaceCollectionOffer,
    CancelCollectionOffer,
    FillCollectionOffer,
    CreateCollection,
    CreateToken,
    PlaceBid,
}

/// What an event does to the listing or offer that it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    Place,
    Cancel,
    Fill,
}

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    Listing(Step),
    TokenOffer(Step),
    CollectionOffer(Step),
    Collection,
    Token,
    /// An auction, which is a listing; the bid changes nothing of it.
    Bid,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::PlaceListing,
        Self::CancelListing,
        Self::FillListing,
        Self::PlaceTokenOffer,
        Self::CancelTokenOffer,
        Self::FillTokenOffer,
        Self::PlaceCollectionOffer,
        Self::CancelCollectionOffer,
        Self::FillCollectionOffer,
        Self::CreateCollection,
        Self::CreateToken,
        Self::PlaceBid,
    ];

    /// The kind of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Its name in files and tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::PlaceListing => "place_listing",
            Self::CancelListing => "cancel_listing",
            Self::FillListing => "fill_listing",
            Self::PlaceTokenOffer => "place_token_offer",
            Self::CancelTokenOffer => "cancel_token_offer",
            Self::FillTokenOffer => "fill_token_offer",
            Self::PlaceCollectionOffer => "place_collection_offer",
            Self::CancelCollectionOffer => "cancel_collection_offer",
            Self::FillCollectionOffer => "fill_collection_offer",
            Self::CreateCollection => "create_collection",
            Self::CreateToken => "create_token",
            Self::PlaceBid => "place_bid",
        }
    }

    /// What it is about, and what it does to it.
    #[must_use]
    pub fn subject(self) -> Subject {
        match self {
            Self::PlaceListing => Subject::Listing(Step::Place),
            Self::CancelListing => Subject::Listing(Step::Cancel),
            Self::FillListing => Subject::Listing(Step::Fill),
            Self::PlaceTokenOffer => Subject::TokenOffer(Step::Place),
            Self::CancelTokenOffer => Subject::TokenOffer(Step::Cancel),
            Self::FillTokenOffer => Subject::TokenOffer(Step::Fill),
            Self::PlaceCollectionOffer => Subject::CollectionOffer(Step::Place),
            Self::CancelCollectionOffer => Subject::CollectionOffer(Step::Cancel),
            Self::FillCollectionOffer => Subject::CollectionOffer(Step::Fill),
            Self::CreateCollection => Subject::Collection,
            Self::CreateToken => Subject::Token,
            Self::PlaceBid => Subject::Bid,
        }
    }

    /// Its place among events of one transaction whose order the source does not tell: create, place, cancel, fill of a
    /// listing, fill of an offer.
    #[must_use]
    pub fn rank(self) -> u8 {
        match self.subject() {
            Subject::Collection | Subject::Token => 0,
            Subject::Listing(Step::Place)
            | Subject::TokenOffer(Step::Place)
            | Subject::CollectionOffer(Step::Place) => 1,
            Subject::Listing(Step::Cancel)
            | Subject::TokenOffer(Step::Cancel)
            | Subject::CollectionOffer(Step::Cancel) => 2,
            Subject::Listing(Step::Fill) | Subject::Bid => 3,
            Subject::TokenOffer(Step::Fill) | Subject::CollectionOffer(Step::Fill) => 4,
        }
    }

    /// What it does to a listing or an offer, if it is about one.
    #[must_use]
    pub fn step(self) -> Option<Step> {
        match self.subject() {
            Subject::Listing(step) | Subject::TokenOffer(step) | Subject::CollectionOffer(step) => Some(step),
            Subject::Collection | Subject::Token | Subject::Bid => None,
        }
    }
}
