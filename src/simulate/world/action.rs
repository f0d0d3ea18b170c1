//! What may happen next, and how often.

use rand::RngExt;

use super::{Transaction, World};

/// What somebody may do next.
#[derive(Clone, Copy)]
pub(super) enum Action {
    CreateCollection,
    Mint,
    MintMany,
    List,
    ListMany,
    Delist,
    Reprice,
    Buy,
    Sweep,
    BuyMany,
    Flip,
    BuyAndRelist,
    Offer,
    Raise,
    Accept,
    DelistAndAccept,
    CancelOffer,
    RepriceAndSell,
    AcceptAndSell,
}

/// Actions of one event with their weights; the rest follow.
const SINGLE: [(Action, u32); 8] = [
    (Action::CreateCollection, 6),
    (Action::Mint, 60),
    (Action::List, 260),
    (Action::Delist, 50),
    (Action::Buy, 145),
    (Action::Offer, 150),
    (Action::Accept, 60),
    (Action::CancelOffer, 45),
];

/// Actions of several events with their weights.
const MULTIPLE: [(Action, u32); 9] = [
    (Action::MintMany, 14),
    (Action::ListMany, 12),
    (Action::Reprice, 90),
    (Action::Sweep, 9),
    (Action::BuyMany, 10),
    (Action::Flip, 8),
    (Action::BuyAndRelist, 12),
    (Action::Raise, 20),
    (Action::DelistAndAccept, 12),
];

/// Actions whose events have another order than their kinds suggest, with their weights.
const CONTRARY: [(Action, u32); 2] = [(Action::RepriceAndSell, 60), (Action::AcceptAndSell, 60)];

impl World {
    /// One of one event, or of `several` too.
    pub(super) fn draw_action(&mut self, several: bool) -> Action {
        let multiple: &[(Action, u32)] = if several { &MULTIPLE } else { &[] };
        let contrary: &[(Action, u32)] = if several && self.contrary { &CONTRARY } else { &[] };
        let all = || SINGLE.iter().chain(multiple).chain(contrary);
        let mut at = self.rng.random_range(0..all().map(|(_, weight)| weight).sum());
        for (action, weight) in all() {
            if at < *weight {
                return *action;
            }
            at -= weight;
        }
        Action::Mint
    }

    /// None: nothing there to do that to; the world is as before.
    pub(super) fn perform(&mut self, action: Action, now: i64) -> Option<Transaction> {
        match action {
            Action::CreateCollection => Some(self.create_collection()),
            Action::Mint => Some(self.mint(false)),
            Action::MintMany => Some(self.mint(true)),
            Action::List => self.list(now),
            Action::ListMany => self.list_many(now),
            Action::Delist => self.delist(now),
            Action::Reprice => self.reprice(now),
            Action::Buy => self.buy(now),
            Action::Sweep => self.sweep(now),
            Action::BuyMany => self.buy_many(now),
            Action::Flip => self.flip(now),
            Action::BuyAndRelist => self.buy_and_relist(now),
            Action::Offer => self.offer(now),
            Action::Raise => self.raise(now),
            Action::Accept => self.accept(now),
            Action::DelistAndAccept => self.delist_and_accept(now),
            Action::CancelOffer => self.cancel_offer(now),
            Action::RepriceAndSell => self.reprice_and_sell(now),
            Action::AcceptAndSell => self.accept_and_sell(now),
        }
    }
}
