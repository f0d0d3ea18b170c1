//! Offers for tokens: at most one open offer of an account for a token, accepted whole or in parts, or taken back.

use rand::RngExt;

use super::super::{clock::PACE, event::Bid};
use super::{Event, Offer, Transaction, World};

/// How long offers stand, in seconds.
const STANDING: [u64; 5] = [3_600, 86_400, 3 * 86_400, 7 * 86_400, 30 * 86_400];

impl World {
    /// Somebody offers coins for a token of somebody else.
    pub(super) fn offer(&mut self, now: i64) -> Option<Transaction> {
        let for_sale = if self.rng.random_bool(0.4) { self.open_listing(|_| true) } else { None };
        let token = for_sale.map_or_else(|| self.rng.random_range(0..self.tokens.len()), |(token, _)| token);
        let coin_owner = self.somebody();
        let target = &self.tokens[token];
        let holds = target.holders.iter().map(|(holder, _)| *holder).chain(target.listings.iter().map(|l| l.seller));
        let has_offered = target.offers.iter().any(|offer| offer.coin_owner == coin_owner);
        if has_offered || holds.into_iter().all(|holder| holder == coin_owner) {
            return None;
        }
        let event = self.open_offer(now, token, coin_owner);
        Some(self.transaction(coin_owner, vec![event]))
    }

    /// An offerer changes an offer: takes it back and opens another under the same key, in one transaction.
    pub(super) fn raise(&mut self, now: i64) -> Option<Transaction> {
        let (token, at) = self.standing_offer()?;
        let (canceled, coin_owner) = self.close_offer(now, token, at);
        let offered = self.open_offer(now, token, coin_owner);
        Some(self.transaction(coin_owner, vec![canceled, offered]))
    }

    /// An offerer takes an offer back.
    pub(super) fn cancel_offer(&mut self, now: i64) -> Option<Transaction> {
        let (token, at) = self.standing_offer()?;
        let (event, coin_owner) = self.close_offer(now, token, at);
        Some(self.transaction(coin_owner, vec![event]))
    }

    /// An owner with free copies accepts an offer, whole or in part.
    pub(super) fn accept(&mut self, now: i64) -> Option<Transaction> {
        let (token, at, owner, amount) = self.acceptable()?;
        let event = self.hand_over(now, token, at, owner, amount);
        Some(self.transaction(owner, vec![event]))
    }

    /// The same, and whoever offered lists what there was to be had, which is bought at once.
    pub(super) fn accept_and_sell(&mut self, now: i64) -> Option<Transaction> {
        let (token, at, owner, amount) = self.acceptable()?;
        let coin_owner = self.tokens[token].offers[at].coin_owner;
        let accepted = self.hand_over(now, token, at, owner, amount);
        let listed = self.place(now, token, coin_owner, amount, None);
        let (_, bought) = self.buy_the_last(now, token);
        Some(self.transaction(owner, vec![accepted, listed, bought]))
    }

    /// An open offer, who could accept it, and of how many copies.
    fn acceptable(&mut self) -> Option<(usize, usize, usize, u64)> {
        let (token, at) = self.standing_offer()?;
        let Offer { coin_owner, remaining, .. } = self.tokens[token].offers[at];
        if self.is_expired(&self.tokens[token].offers[at]) {
            return None;
        }
        let (owner, held) = *self.tokens[token].holders.iter().find(|(holder, _)| *holder != coin_owner)?;
        Some((token, at, owner, self.some_of(held.min(remaining))))
    }

    /// A seller delists a token to accept an offer for it.
    pub(super) fn delist_and_accept(&mut self, now: i64) -> Option<Transaction> {
        for _ in 0..8 {
            let (token, listing) = self.open_listing(|listing| !listing.locked)?;
            let seller = self.tokens[token].listings[listing].seller;
            let offers = &self.tokens[token].offers;
            let suits = |offer: &Offer| offer.coin_owner != seller && !self.is_expired(offer);
            if let Some(at) = offers.iter().position(suits) {
                let (delisted, listing) = self.withdraw(now, token, listing);
                let amount = listing.remaining.min(self.tokens[token].offers[at].remaining);
                let accepted = self.hand_over(now, token, at, seller, amount);
                return Some(self.transaction(seller, vec![delisted, accepted]));
            }
        }
        None
    }

    /// An open offer, mostly one of the latest: its token and its position there.
    fn standing_offer(&mut self) -> Option<(usize, usize)> {
        while !self.wanted.is_empty() {
            let count = self.wanted.len();
            let oldest = if self.rng.random_bool(0.6) { count.saturating_sub(64) } else { 0 };
            let drawn = self.rng.random_range(oldest..count);
            let token = self.wanted[drawn];
            match self.tokens[token].offers.len() {
                0 => drop(self.wanted.swap_remove(drawn)),
                count => return Some((token, self.rng.random_range(0..count))),
            }
        }
        None
    }

    fn open_offer(&mut self, now: i64, token: usize, coin_owner: usize) -> Event {
        let (per_token, coin) = self.price();
        self.last_offer += 1;
        let offer = Offer {
            event_id: self.last_offer,
            coin_owner,
            per_token,
            remaining: self.rng.random_range(1..=self.tokens[token].supply.min(6)),
            coin,
            expiration_secs: STANDING[self.rng.random_range(0..STANDING.len())],
            opened_at: self.emitted,
        };
        let event = self.bid(now, token, &offer, offer.remaining).offer();
        self.tokens[token].offers.push(offer);
        self.wanted.push(token);
        event
    }

    fn close_offer(&mut self, now: i64, token: usize, at: usize) -> (Event, usize) {
        let offer = self.tokens[token].offers.swap_remove(at);
        (self.bid(now, token, &offer, offer.remaining).cancel(), offer.coin_owner)
    }

    /// Copies change hands for an offer, which ends when none remains wanted.
    fn hand_over(&mut self, now: i64, token: usize, at: usize, owner: usize, amount: u64) -> Event {
        let offer = &self.tokens[token].offers[at];
        let (coin_owner, ends) = (offer.coin_owner, offer.remaining == amount);
        let event = self.bid(now, token, offer, amount).accept(&self.accounts[owner], ends);
        self.take(token, owner, amount);
        self.give(token, coin_owner, amount);
        self.tokens[token].offers[at].remaining -= amount;
        if ends {
            self.tokens[token].offers.swap_remove(at);
        }
        event
    }

    /// By the usual pace, so that what happens does not depend on the rate at which it is told.
    fn is_expired(&self, offer: &Offer) -> bool {
        (self.emitted - offer.opened_at + 1) * PACE.as_secs() >= offer.expiration_secs
    }

    fn bid(&self, now: i64, token: usize, offer: &Offer, amount: u64) -> Bid<'_> {
        Bid {
            event_id: offer.event_id,
            coin_owner: &self.accounts[offer.coin_owner],
            per_token: offer.per_token,
            amount,
            coin: offer.coin,
            expiration_secs: offer.expiration_secs,
            token_id: &self.tokens[token].id,
            now,
        }
    }
}
