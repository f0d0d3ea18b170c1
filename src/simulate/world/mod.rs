//! The market: who there is, what they own, what is for sale, and the random next transaction.
//!
//! Nothing here contradicts itself: sellers own what they list, buyers are somebody else, and every fill and every
//! cancellation is about something open. What happens depends on the seed and on the number of events so far alone.

mod action;
mod listings;
mod mint;
mod offers;

use std::collections::HashSet;
use std::sync::Arc;

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::address;
use super::event::{Coin, Event};
use mint::Collection;

/// Most events of a transaction; with less room than this left, a transaction is one event.
const MOST_EVENTS: u64 = 20;

/// What one signer does at once: events that share a version.
pub struct Transaction {
    /// The signer's address.
    pub sender: Arc<str>,
    /// In the order of the chain.
    pub events: Vec<Event>,
}

/// Accounts, collections, tokens, and the open listings and offers.
pub struct World {
    rng: ChaCha8Rng,
    accounts: Vec<Arc<str>>,
    collections: Vec<Collection>,
    collection_names: HashSet<(usize, String)>,
    tokens: Vec<Token>,
    /// Tokens to draw a listing from; one without a listing is dropped when it is drawn.
    listed: Vec<usize>,
    /// Tokens to draw an offer from, likewise.
    wanted: Vec<usize>,
    last_listing: u64,
    last_offer: u64,
    emitted: u64,
    /// Whether the kinds of a transaction's events may say nothing about their order.
    contrary: bool,
}

/// One token, or one edition of several copies.
struct Token {
    collection: usize,
    /// `TokenId` as JSON.
    id: Box<str>,
    supply: u64,
    /// Accounts with copies that are not listed.
    holders: Vec<(usize, u64)>,
    listings: Vec<Listing>,
    offers: Vec<Offer>,
}

/// An open listing.
struct Listing {
    offer_id: u64,
    seller: usize,
    price: u128,
    remaining: u64,
    coin: Coin,
    locked: bool,
}

/// An open offer.
struct Offer {
    event_id: u64,
    coin_owner: usize,
    per_token: u128,
    remaining: u64,
    coin: Coin,
    expiration_secs: u64,
    /// Number of events before its own.
    opened_at: u64,
}

impl World {
    /// An empty market.
    pub fn new(seed: u64, contrary: bool) -> Self {
        Self {
            rng: ChaCha8Rng::seed_from_u64(seed),
            accounts: Vec::new(),
            collections: Vec::new(),
            collection_names: HashSet::new(),
            tokens: Vec::new(),
            listed: Vec::new(),
            wanted: Vec::new(),
            last_listing: 0,
            last_offer: 0,
            emitted: 0,
            contrary,
        }
    }

    /// What happens next, at the given moment, in at most `room` events and at least one.
    pub fn next(&mut self, now: i64, room: u64) -> Transaction {
        self.welcome();
        let transaction = self.attempts(now, room >= MOST_EVENTS);
        self.emitted += transaction.events.len() as u64;
        transaction
    }

    fn attempts(&mut self, now: i64, several: bool) -> Transaction {
        const OPENING: usize = 12;
        if self.tokens.len() >= OPENING {
            for _ in 0..16 {
                let action = self.draw_action(several);
                if let Some(transaction) = self.perform(action, now) {
                    return transaction;
                }
            }
        }
        self.mint(false)
    }

    /// Accounts arrive with the square root of what has happened.
    fn welcome(&mut self) {
        let due = 8 + 3 * self.emitted.isqrt();
        while (self.accounts.len() as u64) < due {
            let mut bytes = [0_u8; 32];
            self.rng.fill_bytes(&mut bytes);
            if self.rng.random_ratio(1, 12) {
                let zeros = self.rng.random_range(1..6);
                for nibble in 0..zeros {
                    bytes[nibble / 2] &= if nibble % 2 == 0 { 0x0F } else { 0xF0 };
                }
            }
            self.accounts.push(address::trimmed(&bytes).into());
        }
    }

    fn transaction(&self, sender: usize, events: Vec<Event>) -> Transaction {
        Transaction { sender: Arc::clone(&self.accounts[sender]), events }
    }

    /// Anybody; early accounts do more than late ones.
    fn somebody(&mut self) -> usize {
        let count = self.accounts.len();
        self.rng.random_range(0..count).min(self.rng.random_range(0..count))
    }

    fn somebody_but(&mut self, other: usize) -> usize {
        let account = self.somebody();
        if account == other { (account + 1) % self.accounts.len() } else { account }
    }

    /// A price of one copy, mostly 0.5 to 500 whole coins; a few are beyond what a double, or 64 bits, can hold.
    fn price(&mut self) -> (u128, Coin) {
        match self.rng.random_range(0..300) {
            0..2 => return (self.rng.random_range(1 << 64..1 << 100), Coin::Apt),
            2..7 => return (self.rng.random_range(1 << 53..1 << 64), Coin::Apt),
            _ => {}
        }
        let cents = self.rng.random_range(50..1_000) * [1, 1, 1, 5, 10, 50][self.rng.random_range(0..6)];
        if self.rng.random_ratio(1, 25) { (cents * 10_000, Coin::Usd) } else { (cents * 1_000_000, Coin::Apt) }
    }

    /// A token with copies that are not listed, and the position of one that holds some.
    fn free_copies(&mut self) -> Option<(usize, usize)> {
        for _ in 0..24 {
            let token = self.rng.random_range(0..self.tokens.len());
            let holders = self.tokens[token].holders.len();
            if holders > 0 {
                return Some((token, self.rng.random_range(0..holders)));
            }
        }
        None
    }

    fn give(&mut self, token: usize, account: usize, amount: u64) {
        let holders = &mut self.tokens[token].holders;
        match holders.iter_mut().find(|(holder, _)| *holder == account) {
            Some((_, held)) => *held += amount,
            None => holders.push((account, amount)),
        }
    }

    fn take(&mut self, token: usize, account: usize, amount: u64) {
        let holders = &mut self.tokens[token].holders;
        if let Some(at) = holders.iter().position(|(holder, _)| *holder == account) {
            holders[at].1 -= amount;
            if holders[at].1 == 0 {
                holders.swap_remove(at);
            }
        }
    }

    /// All, or sometimes a part, of what is there.
    fn some_of(&mut self, available: u64) -> u64 {
        if available > 1 && self.rng.random_bool(0.6) { self.rng.random_range(1..=available) } else { available }
    }
}
