//! In which transactions the creator did it all, and at which versions.

use super::super::dice;

/// The first transaction has a version not far above this one.
const FIRST_VERSION: u64 = 1_000_000;
/// Collections of one creating transaction.
const COLLECTIONS: u32 = 4;
/// Tokens of one minting transaction.
const TOKENS: u32 = 10;

/// What one transaction does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Creates collections.
    Create,
    /// Mints tokens.
    Mint,
    /// Mints a token into somebody else's collection.
    MintElsewhere,
    /// Sends somebody coins.
    Transfer,
    /// Fails.
    Fail,
}

/// How many of each there are at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Own collections.
    pub collections: u32,
    /// Own tokens.
    pub tokens: u32,
    /// Tokens in somebody else's collection.
    pub elsewhere: u32,
}

/// All transactions, by the sequence number of the account.
#[derive(Debug, Default)]
pub struct Plan {
    seed: u64,
    /// Each with what there was before it.
    deeds: Vec<(Act, Reach)>,
    end: Reach,
    step: u64,
}

impl Plan {
    /// Goes through the phases, each up to so many collections and then so many tokens; all before that version.
    pub fn new(seed: u64, phases: &[(u32, u32)], end_version: u64) -> Self {
        let mut plan = Self { seed, ..Self::default() };
        for (collections, tokens) in phases {
            while plan.end.collections < *collections {
                plan.add(Act::Create, |reach| reach.collections = (reach.collections + COLLECTIONS).min(*collections));
            }
            while plan.end.tokens < *tokens {
                plan.add(Act::Mint, |reach| reach.tokens = (reach.tokens + TOKENS).min(*tokens));
            }
        }
        let span = end_version - FIRST_VERSION;
        plan.step = (span / plan.len().max(1)).max(1);
        plan
    }

    fn add(&mut self, act: Act, reach: impl FnOnce(&mut Reach)) {
        self.deeds.push((act, self.end));
        reach(&mut self.end);
        match self.deeds.len() % 16 {
            3 => self.deeds.push((Act::Transfer, self.end)),
            7 => self.deeds.push((Act::Fail, self.end)),
            11 => {
                self.deeds.push((Act::MintElsewhere, self.end));
                self.end.elsewhere += 1;
            }
            _ => {}
        }
    }

    /// Number of transactions.
    pub const fn len(&self) -> u64 {
        self.deeds.len() as u64
    }

    /// What the transaction of that number does.
    pub fn act(&self, number: u64) -> Option<Act> {
        usize::try_from(number).ok().and_then(|number| self.deeds.get(number)).map(|(act, _)| *act)
    }

    /// What there is before the transaction of that number.
    pub fn reach(&self, number: u64) -> Reach {
        let deed = usize::try_from(number).ok().and_then(|number| self.deeds.get(number));
        deed.map_or(self.end, |(_, before)| *before)
    }

    /// The version of the transaction of that number.
    pub const fn version(&self, number: u64) -> u64 {
        FIRST_VERSION + number * self.step + dice::roll(self.seed, 0x9A1, number) % self.step
    }

    /// How many transactions there are up to a version.
    pub fn until(&self, version: u64) -> u64 {
        let Some(since) = version.checked_sub(FIRST_VERSION).filter(|_| !self.deeds.is_empty()) else { return 0 };
        let number = since / self.step;
        let until = if self.version(number) <= version { number + 1 } else { number };
        until.min(self.len())
    }

    /// The transaction of exactly that version.
    pub fn at(&self, version: u64) -> Option<u64> {
        let number = self.until(version).checked_sub(1)?;
        (self.version(number) == version).then_some(number)
    }

    /// The version in which the count that `of` looks at went beyond `item`.
    pub fn version_of(&self, item: u32, of: impl Fn(&Reach) -> u32) -> u64 {
        let after = self.deeds.partition_point(|(_, before)| of(before) <= item);
        self.version(after.saturating_sub(1) as u64)
    }
}
