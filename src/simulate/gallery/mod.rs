//! One creator of very many collections and tokens, all older than the market: what importing them is tried on.
//!
//! Everything is a pure function of the seed and of a number: the `i`-th collection, the `t`-th token, the `p`-th
//! transaction. What is kept is the plan of the transactions, and what is asked for by something else than a number: an
//! object's address, an indexer's order.
//!
//! The first half of the collections are of the older standard and told by events of the creator's handles. Then the
//! framework changed: from there on the events of that standard belong to no handle, and the handles' counters stand
//! still. The last tokens of the first half are on the far side of that change already. The last three tenths are of the
//! newer standard, objects. After the last transaction, others burnt some tokens and changed some texts.

mod content;
mod creator;
mod deed;
mod object;
mod plan;

use std::sync::OnceLock;

use super::address::{self, Address};
use super::dice;
use object::Objects;
use plan::{Plan, Reach};

/// The account that created everything here; as it begins with a zero, a node writes it with 63 digits.
pub const CREATOR: &str = "0x0a11e7d2c94b60e1f8357a9d0c6e42b18f53a7c09d2e64b1708fa3c5d9e2b416";
/// Somebody else, in whose collection the creator minted a few tokens.
pub const ELSEWHERE: &str = "0x5e1f00c3a9d27b84e6f15d09c2b7a3847f60e19d35ca48b2706fd1e93b58ac04";

/// Collections and tokens were burnt and changed by this version, and not before.
const AFTERWARDS: u64 = 5_990_000;
/// More than these are not made of either.
const MOST: u64 = 10_000_000;

/// The creator, its collections and tokens.
pub struct Gallery {
    seed: u64,
    creator: Address,
    elsewhere: Address,
    /// The first token of each collection, and the number of all tokens.
    firsts: Vec<u32>,
    /// The first token that no handle tells.
    change: u32,
    plan: Plan,
    objects: OnceLock<Objects>,
    ids: OnceLock<Vec<(String, u32)>>,
}

/// The state of things after some transaction.
#[derive(Clone, Copy)]
struct Moment {
    reach: Reach,
    /// Tokens have been burnt and texts been changed.
    is_late: bool,
}

impl Gallery {
    /// So many collections, and tokens spread over them.
    pub fn new(seed: u64, collections: u64, tokens: u64) -> Self {
        let tokens = if collections == 0 { 0 } else { tokens.min(MOST) };
        let firsts = spread(seed, collections.min(MOST), tokens);
        let mut gallery = Self {
            seed,
            creator: address::bytes(CREATOR),
            elsewhere: address::bytes(ELSEWHERE),
            firsts,
            change: 0,
            plan: Plan::default(),
            objects: OnceLock::new(),
            ids: OnceLock::new(),
        };
        let (by_handle, older, all) = (gallery.by_handle(), gallery.older(), gallery.collections());
        let first = |collection: u32| gallery.firsts[collection as usize];
        let change = first(by_handle) - first(by_handle) / 8;
        gallery.plan =
            Plan::new(seed, &[(by_handle, change), (older, first(older)), (all, first(all))], AFTERWARDS - 90_000);
        gallery.change = change;
        gallery
    }

    /// Whether there is such an account at all.
    pub fn exists(&self) -> bool {
        self.collections() > 0
    }

    /// Number of collections.
    fn collections(&self) -> u32 {
        u32::try_from(self.firsts.len() - 1).unwrap_or(u32::MAX)
    }

    /// Number of collections that a handle tells; they come first.
    fn by_handle(&self) -> u32 {
        self.collections().div_ceil(2)
    }

    /// Number of collections of the older standard; they come before the others.
    fn older(&self) -> u32 {
        let all = self.collections();
        all - all / 10 * 3 - all % 10 * 3 / 10
    }

    /// The collection of a token, and the token's number within it.
    fn place(&self, token: u32) -> (u32, u32) {
        let after = self.firsts.partition_point(|first| *first <= token);
        let collection = u32::try_from(after - 1).unwrap_or(0);
        (collection, token - self.firsts[after - 1])
    }

    /// The tokens of a collection that there were by then, burnt or not.
    fn tokens_of(&self, collection: u32, moment: Moment) -> std::ops::Range<u32> {
        let (first, end) = (self.firsts[collection as usize], self.firsts[collection as usize + 1]);
        first..moment.reach.tokens.clamp(first, end)
    }

    /// A token that somebody burnt afterwards.
    fn is_burnt(&self, token: u32, moment: Moment) -> bool {
        moment.is_late && is_to_burn(self.place(token).1)
    }

    /// What there is when the ledger ends with that version.
    fn moment(&self, version: u64) -> Moment {
        Moment { reach: self.plan.reach(self.plan.until(version)), is_late: version >= AFTERWARDS }
    }
}

/// Every collection gets its share, between half as much as the mean and half as much again.
fn spread(seed: u64, collections: u64, tokens: u64) -> Vec<u32> {
    let weight = |collection| 5 + dice::roll(seed, 0x5_9EAD, collection) % 11;
    let whole: u64 = (0..collections).map(weight).sum();
    let mut before = 0;
    let mut firsts = vec![0];
    for collection in 0..collections {
        before += weight(collection);
        firsts.push(u32::try_from(tokens * before / whole).unwrap_or(u32::MAX));
    }
    firsts
}

/// Of a collection's tokens, these are burnt afterwards.
const fn is_to_burn(serial: u32) -> bool {
    serial % 32 == 7
}

/// How many of a collection's first tokens are burnt afterwards.
const fn burnt_of(tokens: u64) -> u64 {
    (tokens + 24) / 32
}
