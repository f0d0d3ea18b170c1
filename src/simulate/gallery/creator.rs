//! The gallery's account, as answers are made from it.

use super::super::address::{self, Address};
use super::super::creator::{Created, Creator, Indexed};
use super::super::v1;
use super::super::v2::{self, Counting, UNLIMITED};
use super::{AFTERWARDS, Gallery, Moment};

impl Creator for Gallery {
    fn address(&self) -> Address {
        self.creator
    }

    fn sent(&self, version: u64) -> u64 {
        self.plan.until(version)
    }

    fn sent_at(&self, number: u64) -> u64 {
        self.plan.version(number)
    }

    fn has_tables(&self, version: u64) -> bool {
        self.moment(version).reach.collections > 0
    }

    fn told(&self, version: u64) -> (u64, u64) {
        let reach = self.moment(version).reach;
        (reach.collections.min(self.by_handle()).into(), reach.tokens.min(self.change).into())
    }

    fn told_collection(&self, seq_no: u64) -> (u64, v1::Collection) {
        let i = u32::try_from(seq_no).unwrap_or(u32::MAX);
        let version = self.version_of_collection(i);
        (version, self.v1_collection(i, self.moment(version)))
    }

    fn told_token(&self, seq_no: u64) -> (u64, v1::Token) {
        let token = u32::try_from(seq_no).unwrap_or(u32::MAX);
        let version = self.version_of_token(token);
        (version, self.v1_token(token, self.moment(version)))
    }

    fn collection(&self, name: &str, version: u64) -> Option<v1::Collection> {
        let moment = self.moment(version);
        let i = self.named(name).filter(|i| *i < moment.reach.collections)?;
        Some(self.v1_collection(i, moment))
    }

    fn token(&self, collection: &str, name: &str, version: u64) -> Option<v1::Token> {
        let moment = self.moment(version);
        let token = self.token_named(self.named(collection)?, name)?;
        (token < moment.reach.tokens && !self.is_burnt(token, moment)).then(|| self.v1_token(token, moment))
    }

    fn created(&self, version: u64) -> Vec<Created> {
        let moment = self.moment(version);
        let collections = (0..moment.reach.collections).map(|i| self.created_collection(i, moment));
        collections.chain((0..moment.reach.tokens).map(|token| self.created_token(token, moment))).collect()
    }

    fn indexed(&self, version: u64, offset: usize, limit: usize) -> Vec<Indexed> {
        let moment = self.moment(version);
        let ids = self.ids.get_or_init(|| {
            let mut ids: Vec<_> = (0..self.collections()).map(|i| (self.id(i), i)).collect();
            ids.sort_unstable();
            ids
        });
        let there = ids.iter().filter(|(_, i)| *i < moment.reach.collections);
        there.skip(offset).take(limit).map(|(_, i)| self.indexed_collection(*i, moment)).collect()
    }
}

impl Gallery {
    pub(super) fn version_of_collection(&self, i: u32) -> u64 {
        self.plan.version_of(i, |reach| reach.collections)
    }

    pub(super) fn version_of_token(&self, token: u32) -> u64 {
        self.plan.version_of(token, |reach| reach.tokens)
    }

    fn id(&self, i: u32) -> String {
        if i < self.older() {
            let moment = self.moment(0);
            return self.v1_collection(i, moment).id();
        }
        address::padded(&self.object_of_collection(i))
    }

    fn created_collection(&self, i: u32, moment: Moment) -> Created {
        let version = self.version_of_collection(i);
        if i < self.older() {
            return Created::v1_collection(self.v1_collection(i, moment), version, i < self.by_handle());
        }
        let v2::Collection { object, name, description, uri, supply, maximum, .. } = self.v2_collection(i, moment);
        Created {
            standard: "v2",
            collection: name,
            token: None,
            object: Some(address::padded(&object)),
            description,
            uri,
            supply: Some(supply),
            maximum: Some(if maximum == UNLIMITED { 0 } else { maximum }),
            version,
            in_events: false,
            burned: false,
        }
    }

    fn created_token(&self, token: u32, moment: Moment) -> Created {
        let (i, version, burned) = (self.place(token).0, self.version_of_token(token), self.is_burnt(token, moment));
        if i < self.older() {
            return Created::v1_token(self.v1_token(token, moment), version, token < self.change, burned);
        }
        let v2::Token { object, name, description, uri, .. } = self.v2_token(token, moment);
        Created {
            standard: "v2",
            collection: self.collection_name(i),
            token: Some(name),
            object: Some(address::padded(&object)),
            description,
            uri,
            supply: None,
            maximum: None,
            version,
            in_events: false,
            burned,
        }
    }

    fn indexed_collection(&self, i: u32, moment: Moment) -> Indexed {
        let last = self.tokens_of(i, moment).next_back().map(|token| self.version_of_token(token));
        let changed = (moment.is_late && self.is_changed(i)).then_some(AFTERWARDS);
        let version = changed.or(last).unwrap_or_else(|| self.version_of_collection(i));
        if i < self.older() {
            return Indexed::v1(self.v1_collection(i, moment), version);
        }
        let collection = self.v2_collection(i, moment);
        let maximum = match collection.counting {
            Counting::Unlimited => None,
            Counting::Concurrent | Counting::Fixed if collection.maximum == UNLIMITED => None,
            Counting::Concurrent | Counting::Fixed => Some(collection.maximum),
        };
        let v2::Collection { object, name, description, uri, supply, minted, .. } = collection;
        let (id, minted) = (address::padded(&object), Some(minted));
        Indexed { id, standard: "v2", name, description, uri, supply, maximum, minted, version }
    }
}
