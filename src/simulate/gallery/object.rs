//! What is at an object's address.

use super::super::address::Address;
use super::super::state::Resource;
use super::{Gallery, Moment};

/// Collections and tokens by the address of their object, in order.
pub type Objects = Vec<(Address, Thing)>;

/// What an object is, by number.
#[derive(Clone, Copy)]
pub enum Thing {
    /// An own collection.
    Collection(u32),
    /// An own token.
    Token(u32),
    /// Somebody else's collection.
    Foreign,
    /// A token in it.
    ForeignToken(u32),
}

impl Gallery {
    /// Everything at that address; None where there was no such object by then, or is none any more.
    pub fn object(&self, address: &Address, version: u64) -> Option<Vec<Resource>> {
        let objects = self.objects.get_or_init(|| self.find_objects());
        let at = objects.binary_search_by_key(address, |(object, _)| *object).ok()?;
        let moment = self.moment(version);
        let payee = &self.creator;
        match objects[at].1 {
            Thing::Collection(i) => (i < moment.reach.collections).then(|| self.v2_collection(i, moment).resources()),
            Thing::Token(token) => (token < moment.reach.tokens && !self.is_burnt(token, moment))
                .then(|| self.v2_token(token, moment).resources(payee)),
            Thing::Foreign => Some(self.foreign_collection(moment).resources()),
            Thing::ForeignToken(number) => {
                (number < moment.reach.elsewhere).then(|| self.foreign_token(number, moment).resources(payee))
            }
        }
    }

    fn find_objects(&self) -> Objects {
        if !self.exists() {
            return Objects::new();
        }
        let end = self.plan.reach(u64::MAX);
        let last = Moment { reach: end, is_late: false };
        let first = self.firsts[self.older() as usize];
        let collections =
            (self.older()..self.collections()).map(|i| (self.object_of_collection(i), Thing::Collection(i)));
        let tokens = (first..end.tokens).map(|token| (self.object_of_token(token), Thing::Token(token)));
        let foreign =
            (0..end.elsewhere).map(|number| (self.foreign_token(number, last).object, Thing::ForeignToken(number)));
        let commons = (self.foreign_collection(last).object, Thing::Foreign);
        let mut all: Objects = collections.chain(tokens).chain(foreign).chain([commons]).collect();
        all.sort_unstable_by_key(|(address, _)| *address);
        all
    }
}
