//! Creating collections and tokens.

use rand::RngExt;
use serde_json::Value;

use super::super::{stream::Stream, words};
use super::{Event, Token, Transaction, World};

/// A collection, as far as minting into it needs to know.
pub struct Collection {
    creator: usize,
    name: String,
    theme: usize,
    minted: u64,
    /// 0: no limit.
    maximum: u64,
    /// The special names already given, one bit each.
    specials: u32,
}

impl World {
    /// Somebody creates a collection.
    pub(super) fn create_collection(&mut self) -> Transaction {
        let creator = self.somebody();
        let theme = self.rng.random_range(0..words::THEME_COUNT);
        let name = self.collection_name(creator, theme);
        let maximum = [0, 0, 20, 100, 10_000][self.rng.random_range(0..5)];
        let data = self.render_collection(creator, theme, &name, maximum);
        self.collections.push(Collection { creator, name, theme, minted: 0, maximum, specials: 0 });
        self.transaction(creator, vec![Event::new(Stream::CreateCollection, data)])
    }

    /// A name that this creator has not used.
    fn collection_name(&mut self, creator: usize, theme: usize) -> String {
        let mut name = words::collection(theme, 0);
        if self.rng.random_ratio(1, 6) {
            name = words::special(self.rng.random_range(0..words::SPECIAL_NAMES));
        }
        if self.collection_names.contains(&(creator, name.clone())) {
            name = words::collection(theme, self.collections.len());
        }
        self.collection_names.insert((creator, name.clone()));
        name
    }

    fn render_collection(&mut self, creator: usize, theme: usize, name: &str, maximum: u64) -> String {
        let royalty = self.rng.random_range(0..11);
        let partner = self.rng.random_ratio(1, 5).then(|| self.somebody_but(creator));
        let creator = &self.accounts[creator];
        let (payees, royalties) = match partner.map(|partner| &self.accounts[partner]) {
            Some(partner) => (format!(r#"["{creator}","{partner}"]"#), format!(r#"["{royalty}","1"]"#)),
            None => (format!(r#"["{creator}"]"#), format!(r#"["{royalty}"]"#)),
        };
        let category = words::category(theme);
        let tags = [r"[]", r#"["new"]"#, r#"["1/1","hand drawn"]"#][self.rng.random_range(0..3)];
        let name = Value::from(name);
        let description = Value::from(words::description(&mut self.rng));
        let uri = Value::from(words::uri(&mut self.rng, self.collections.len() as u64));
        format!(
            r#"{{"creator":"{creator}","category":"{category}","tags":{tags},"name":{name},"description":{description},"uri":{uri},"payees":{payees},"royalties":{royalties},"maximum":"{maximum}"}}"#
        )
    }

    /// A creator mints one token, or `many` in one transaction; with no collection open, creates one instead.
    ///
    /// A name of which another in a different letter case exists is minted together with that one.
    pub(super) fn mint(&mut self, many: bool) -> Transaction {
        let Some(collection) = self.open_collection() else {
            return self.create_collection();
        };
        let creator = self.collections[collection].creator;
        let wanted = if many { self.rng.random_range(2..10) } else { 1 };
        let mut events = Vec::with_capacity(wanted);
        while events.len() < wanted && self.collections[collection].is_open() {
            let (name, twin) = self.token_name(collection, many);
            events.push(self.create_token(collection, &name));
            if let Some(twin) = twin {
                events.push(self.create_token(collection, &twin));
            }
        }
        self.transaction(creator, events)
    }

    /// Mostly one of the latest.
    fn open_collection(&mut self) -> Option<usize> {
        let count = self.collections.len();
        let oldest = if self.rng.random_bool(0.7) { count.saturating_sub(6) } else { 0 };
        let at = (count > 0).then(|| self.rng.random_range(oldest..count))?;
        self.collections[at].is_open().then_some(at)
    }

    /// A name new to the collection, and one that differs from it in letter case only.
    fn token_name(&mut self, collection: usize, twins: bool) -> (String, Option<String>) {
        let draw = self.rng.random_ratio(1, 7).then(|| self.rng.random_range(0..words::SPECIAL_NAMES));
        let collection = &mut self.collections[collection];
        let Some(number) = draw.filter(|number| collection.specials & 1 << number == 0) else {
            return (words::token(collection.theme, u32::try_from(collection.minted + 1).unwrap_or(u32::MAX)), None);
        };
        collection.specials |= 1 << number;
        let has_room = collection.maximum == 0 || collection.minted + 1 < collection.maximum;
        let twin = words::case_twin(number).filter(|twin| twins && has_room && collection.specials & 1 << twin == 0);
        if let Some(twin) = twin {
            collection.specials |= 1 << twin;
        }
        (words::special(number), twin.map(words::special))
    }

    fn create_token(&mut self, at: usize, name: &str) -> Event {
        let description = Value::from(words::description(&mut self.rng));
        let uri = Value::from(words::uri(&mut self.rng, self.tokens.len() as u64));
        let supply = if self.rng.random_ratio(1, 6) { self.rng.random_range(2..40) } else { 1 };
        let collection = &mut self.collections[at];
        collection.minted += 1;
        let creator = &self.accounts[collection.creator];
        let name = Value::from(name);
        let id = format!(
            r#"{{"token_data_id":{{"creator":"{creator}","collection":{},"name":{name}}},"property_version":"0"}}"#,
            Value::from(collection.name.as_str()),
        );
        let data = format!(
            r#"{{"description":{description},"name":{name},"uri":{uri},"creator":"{creator}","token_id":{id}}}"#
        );
        self.tokens.push(Token {
            collection: at,
            id: id.into_boxed_str(),
            supply,
            holders: vec![(collection.creator, supply)],
            listings: Vec::new(),
            offers: Vec::new(),
        });
        Event::new(Stream::CreateToken, data)
    }
}

impl Collection {
    const fn is_open(&self) -> bool {
        self.maximum == 0 || self.minted < self.maximum
    }
}
