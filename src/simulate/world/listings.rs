//! Selling: listing, delisting, buying, and what traders do in one transaction.

use rand::RngExt;

use super::super::event::Sale;
use super::{Event, Listing, Transaction, World};

impl World {
    /// An owner lists some copies.
    pub(super) fn list(&mut self, now: i64) -> Option<Transaction> {
        let (token, holder) = self.free_copies()?;
        let (seller, held) = self.tokens[token].holders[holder];
        let amount = self.some_of(held);
        let event = self.place(now, token, seller, amount, None);
        Some(self.transaction(seller, vec![event]))
    }

    /// An owner lists 2 to 20 tokens at once.
    pub(super) fn list_many(&mut self, now: i64) -> Option<Transaction> {
        let (first, holder) = self.free_copies()?;
        let seller = self.tokens[first].holders[holder].0;
        let most = self.rng.random_range(2..=20);
        let near = first.saturating_sub(20)..self.tokens.len().min(first + 100);
        let tokens: Vec<(usize, u64)> = near
            .filter_map(|token| {
                let held = self.tokens[token].holders.iter().find(|(holder, _)| *holder == seller)?;
                Some((token, held.1))
            })
            .take(most)
            .collect();
        if tokens.len() < 2 {
            return None;
        }
        let events = tokens.into_iter().map(|(token, held)| self.place(now, token, seller, held, None)).collect();
        Some(self.transaction(seller, events))
    }

    /// A seller takes a listing back.
    pub(super) fn delist(&mut self, now: i64) -> Option<Transaction> {
        let (token, at) = self.open_listing(|listing| !listing.locked)?;
        let (event, listing) = self.withdraw(now, token, at);
        Some(self.transaction(listing.seller, vec![event]))
    }

    /// A seller changes a price: delist and list in one transaction, sometimes under the same key.
    pub(super) fn reprice(&mut self, now: i64) -> Option<Transaction> {
        let (token, at) = self.open_listing(|listing| !listing.locked)?;
        let (delisted, Listing { offer_id, seller, remaining, .. }) = self.withdraw(now, token, at);
        let key = self.rng.random_bool(0.3).then_some(offer_id);
        let listed = self.place(now, token, seller, remaining, key);
        Some(self.transaction(seller, vec![delisted, listed]))
    }

    /// Somebody buys a listing, or a part of it.
    pub(super) fn buy(&mut self, now: i64) -> Option<Transaction> {
        let (token, at) = self.open_listing(|_| true)?;
        let (buyer, amount) = (self.buyer_of(token, at), self.some_of(self.tokens[token].listings[at].remaining));
        let event = self.fill(now, token, at, buyer, amount);
        Some(self.transaction(buyer, vec![event]))
    }

    /// Somebody buys what is for sale of one collection, the neighbours of a listing first.
    pub(super) fn sweep(&mut self, now: i64) -> Option<Transaction> {
        let (first, at) = self.open_listing(|_| true)?;
        let buyer = self.buyer_of(first, at);
        let most = self.rng.random_range(2..=12);
        let collection = self.tokens[first].collection;
        let tokens: Vec<(usize, usize)> = (first..self.tokens.len().min(first + 200))
            .filter(|token| self.tokens[*token].collection == collection)
            .filter_map(|token| {
                let at = self.tokens[token].listings.iter().position(|listing| listing.seller != buyer)?;
                Some((token, at))
            })
            .take(most)
            .collect();
        if tokens.len() < 2 {
            return None;
        }
        let events = tokens.into_iter().map(|(token, at)| self.fill_whole(now, token, at, buyer)).collect();
        Some(self.transaction(buyer, events))
    }

    /// Somebody fills a basket from all over the market.
    pub(super) fn buy_many(&mut self, now: i64) -> Option<Transaction> {
        let buyer = self.somebody();
        let mut events = Vec::new();
        for _ in 0..self.rng.random_range(2..=8) {
            if let Some((token, at)) = self.open_listing(|listing| listing.seller != buyer) {
                events.push(self.fill_whole(now, token, at, buyer));
            }
        }
        (!events.is_empty()).then(|| self.transaction(buyer, events))
    }

    /// A listing that is bought in the transaction that opens it.
    pub(super) fn flip(&mut self, now: i64) -> Option<Transaction> {
        let (token, holder) = self.free_copies()?;
        let (seller, held) = self.tokens[token].holders[holder];
        let amount = self.some_of(held);
        let listed = self.place(now, token, seller, amount, None);
        let (buyer, bought) = self.buy_the_last(now, token);
        Some(self.transaction(buyer, vec![listed, bought]))
    }

    /// A trader buys, and asks for another price at once.
    pub(super) fn buy_and_relist(&mut self, now: i64) -> Option<Transaction> {
        let (token, at) = self.open_listing(|_| true)?;
        let amount = self.tokens[token].listings[at].remaining;
        let trader = self.buyer_of(token, at);
        let bought = self.fill_whole(now, token, at, trader);
        let listed = self.place(now, token, trader, amount, None);
        Some(self.transaction(trader, vec![bought, listed]))
    }

    /// A seller asks for another price without taking the listing back, and somebody buys it in the same transaction.
    pub(super) fn reprice_and_sell(&mut self, now: i64) -> Option<Transaction> {
        let (token, at) = self.open_listing(|listing| !listing.locked)?;
        let (_, Listing { offer_id, seller, remaining, .. }) = self.withdraw(now, token, at);
        let listed = self.place(now, token, seller, remaining, Some(offer_id));
        let (buyer, bought) = self.buy_the_last(now, token);
        Some(self.transaction(buyer, vec![listed, bought]))
    }

    /// Somebody buys the whole of a token's latest listing.
    pub(super) fn buy_the_last(&mut self, now: i64, token: usize) -> (usize, Event) {
        let at = self.tokens[token].listings.len() - 1;
        let buyer = self.buyer_of(token, at);
        (buyer, self.fill_whole(now, token, at, buyer))
    }

    /// An open listing that suits: its token and its position there.
    pub(super) fn open_listing(&mut self, suits: impl Fn(&Listing) -> bool) -> Option<(usize, usize)> {
        let mut misses = 0;
        while misses < 6 && !self.listed.is_empty() {
            let drawn = self.rng.random_range(0..self.listed.len());
            let token = self.listed[drawn];
            let listings = &self.tokens[token].listings;
            if listings.is_empty() {
                self.listed.swap_remove(drawn);
                continue;
            }
            let at = self.rng.random_range(0..listings.len());
            if suits(&listings[at]) {
                return Some((token, at));
            }
            misses += 1;
        }
        None
    }

    /// Opens a listing, under a new key unless one is given.
    pub(super) fn place(&mut self, now: i64, token: usize, seller: usize, amount: u64, key: Option<u64>) -> Event {
        self.take(token, seller, amount);
        let (price, coin) = self.price();
        let locked = self.rng.random_ratio(1, 60);
        if key.is_none() {
            self.last_listing += 1;
        }
        let offer_id = key.unwrap_or(self.last_listing);
        let listing = Listing { offer_id, seller, price, remaining: amount, coin, locked };
        let event = self.sale(now, token, &listing, amount).list(if locked { now / 1_000_000 + 86_400 } else { 0 });
        self.tokens[token].listings.push(listing);
        self.listed.push(token);
        event
    }

    /// Closes a listing in favour of its seller.
    pub(super) fn withdraw(&mut self, now: i64, token: usize, at: usize) -> (Event, Listing) {
        let listing = self.tokens[token].listings.swap_remove(at);
        let event = self.sale(now, token, &listing, listing.remaining).delist();
        self.give(token, listing.seller, listing.remaining);
        (event, listing)
    }

    fn fill_whole(&mut self, now: i64, token: usize, at: usize, buyer: usize) -> Event {
        self.fill(now, token, at, buyer, self.tokens[token].listings[at].remaining)
    }

    /// Sells copies of a listing, which closes when none remains.
    fn fill(&mut self, now: i64, token: usize, at: usize, buyer: usize, amount: u64) -> Event {
        let event = self.sale(now, token, &self.tokens[token].listings[at], amount).buy(&self.accounts[buyer]);
        self.tokens[token].listings[at].remaining -= amount;
        if self.tokens[token].listings[at].remaining == 0 {
            self.tokens[token].listings.swap_remove(at);
        }
        self.give(token, buyer, amount);
        event
    }

    fn buyer_of(&mut self, token: usize, at: usize) -> usize {
        self.somebody_but(self.tokens[token].listings[at].seller)
    }

    fn sale(&self, now: i64, token: usize, listing: &Listing, amount: u64) -> Sale<'_> {
        Sale {
            offer_id: listing.offer_id,
            seller: &self.accounts[listing.seller],
            price: listing.price,
            amount,
            coin: listing.coin,
            token_id: &self.tokens[token].id,
            now,
        }
    }
}
