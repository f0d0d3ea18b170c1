//! What the things are called and what is said about them, by number.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::super::address::{self, Address};
use super::super::v2::{Counting, UNLIMITED};
use super::super::{dice, v1, v2, words};
use super::{Gallery, Moment, burnt_of};

/// Names out of `words::special`, none longer than the framework allows; neighbours are most alike.
const SPECIALS: [u32; 21] = [0, 1, 11, TWIN, 12, 6, 9, 16, 2, 3, 4, 5, 7, 8, 10, 13, 14, 15, 17, 18, 19];
/// Not from there: the one before it, without the space at its end.
const TWIN: u32 = u32::MAX;
/// How many these are.
const NAMES: u32 = 21;

const COLLECTION: u64 = 0xC0_11EC;
const TOKEN: u64 = 0x70_4E1;
const OWNER: u64 = 0x0_3E12;
const CHANGED: u64 = 0xC4A_26E;

impl Gallery {
    /// Unique within the standard: both have one of most special names.
    pub(super) fn collection_name(&self, i: u32) -> String {
        let (odd, serial) = if i < self.older() { (1, i) } else { (0, i - self.older()) };
        let special = if serial % 2 == odd { special(serial / 2) } else { None };
        special.unwrap_or_else(|| words::collection(i as usize, i as usize))
    }

    /// The collection of the older standard that has a name.
    pub(super) fn named(&self, name: &str) -> Option<u32> {
        let special = || number_of(name).map(|number| number * 2 + 1);
        let is_it = |i: &u32| *i < self.older() && self.collection_name(*i) == name;
        // A special name may end with a number too, and the first plain one ends with none.
        serial(name).filter(is_it).or_else(|| special().filter(is_it)).or_else(|| Some(0).filter(is_it))
    }

    /// The token of a collection that has a name, burnt or not.
    pub(super) fn token_named(&self, i: u32, name: &str) -> Option<u32> {
        let special = || number_of(name).map(|number| (number + NAMES - i % NAMES) % NAMES * 4 + 1);
        let (first, end) = (self.firsts[i as usize], self.firsts[i as usize + 1]);
        let is_it = |serial: &u32| *serial < end - first && token_name(i, *serial) == name;
        // A special name may end with a number too.
        serial(name).filter(is_it).or_else(|| special().filter(is_it)).map(|serial| first + serial)
    }

    pub(super) fn v1_collection(&self, i: u32, moment: Moment) -> v1::Collection {
        let (description, uri) = self.texts(COLLECTION, i, moment);
        let tokens = self.tokens_of(i, moment).len() as u64;
        let all = u64::from(self.firsts[i as usize + 1] - self.firsts[i as usize]);
        let maximum = match i % 6 {
            0 => 0,
            1 => u64::MAX,
            2 => all.max(1),
            _ => all.max(5_000) * 2,
        };
        let supply = if maximum == 0 { 0 } else { tokens - self.burnt(i, moment) };
        let name = self.collection_name(i);
        v1::Collection { creator: self.creator, name, description, uri, supply, maximum }
    }

    pub(super) fn v1_token(&self, token: u32, moment: Moment) -> v1::Token {
        let (i, serial) = self.place(token);
        let (description, uri) = self.texts(TOKEN, token, moment);
        let maximum = [0, 1, 100, u64::MAX, 1, 1][serial as usize % 6];
        let more = u64::from(moment.is_late && maximum > 1) * 2;
        let supply = if maximum == 0 { 0 } else { 1 + more };
        let (collection, name) = (self.collection_name(i), token_name(i, serial));
        let (creator, royalty) = (self.creator, u64::from(i % 11));
        v1::Token { creator, collection, name, description, uri, supply, maximum, royalty }
    }

    pub(super) fn v2_collection(&self, i: u32, moment: Moment) -> v2::Collection {
        let (description, uri) = self.texts(COLLECTION, i, moment);
        let serial = i - self.older();
        let minted = self.tokens_of(i, moment).len() as u64;
        let all = u64::from(self.firsts[i as usize + 1] - self.firsts[i as usize]);
        let (counting, maximum) = match serial % 6 {
            0 | 4 => (Counting::Concurrent, UNLIMITED),
            1 => (Counting::Fixed, all.max(50) * 2),
            3 => (Counting::Concurrent, all.max(5_000) * 2),
            _ => (Counting::Unlimited, UNLIMITED),
        };
        // One that counts no further.
        let is_full = moment.is_late && serial % 24 == 5;
        let (supply, minted) = if is_full { (u64::MAX, u64::MAX) } else { (minted - self.burnt(i, moment), minted) };
        v2::Collection {
            object: self.object_of_collection(i),
            creator: self.creator,
            name: self.collection_name(i),
            description,
            uri,
            counting,
            supply,
            minted,
            maximum,
            royalty: serial.is_multiple_of(3).then_some(u64::from(serial % 10)),
            has_flags: serial.is_multiple_of(2),
        }
    }

    pub(super) fn v2_token(&self, token: u32, moment: Moment) -> v2::Token {
        let (i, serial) = self.place(token);
        let (description, uri) = self.texts(TOKEN, token, moment);
        v2::Token {
            object: self.object_of_token(token),
            collection: self.object_of_collection(i),
            owner: self.owner(token, moment),
            name: token_name(i, serial),
            description,
            uri,
            index: u64::from(serial) + 1,
            has_identifiers: !serial.is_multiple_of(3),
            royalty: serial.is_multiple_of(5).then_some(u64::from(serial % 7)),
        }
    }

    /// Somebody else's collection.
    pub(super) fn foreign_collection(&self, moment: Moment) -> v2::Collection {
        let tokens = u64::from(moment.reach.elsewhere);
        v2::Collection {
            object: address::object(&self.elsewhere, FOREIGN.as_bytes()),
            creator: self.elsewhere,
            name: FOREIGN.to_owned(),
            description: "Everybody mints here.".to_owned(),
            uri: "https://example.org/commons.json".to_owned(),
            counting: Counting::Concurrent,
            supply: tokens,
            minted: tokens,
            maximum: UNLIMITED,
            royalty: None,
            has_flags: false,
        }
    }

    /// The `number`-th token in it.
    pub(super) fn foreign_token(&self, number: u32, moment: Moment) -> v2::Token {
        let name = words::token(7, number + 1);
        v2::Token {
            object: address::object(&self.elsewhere, format!("{FOREIGN}::{name}").as_bytes()),
            collection: address::object(&self.elsewhere, FOREIGN.as_bytes()),
            owner: self.owner(number, moment),
            name,
            description: "Minted by a guest.".to_owned(),
            uri: format!("https://example.org/commons/{number}.json"),
            index: u64::from(number) + 1,
            has_identifiers: number.is_multiple_of(2),
            royalty: None,
        }
    }

    pub(super) fn object_of_collection(&self, i: u32) -> Address {
        address::object(&self.creator, self.collection_name(i).as_bytes())
    }

    pub(super) fn object_of_token(&self, token: u32) -> Address {
        let (i, serial) = self.place(token);
        let seed = format!("{}::{}", self.collection_name(i), token_name(i, serial));
        address::object(&self.creator, seed.as_bytes())
    }

    /// Whether something was said anew about a collection afterwards.
    pub(super) const fn is_changed(&self, i: u32) -> bool {
        self.is_said_anew(COLLECTION, i)
    }

    const fn is_said_anew(&self, kind: u64, n: u32) -> bool {
        dice::roll(self.seed, CHANGED ^ kind, n as u64).is_multiple_of(5)
    }

    /// Description and address.
    fn texts(&self, kind: u64, n: u32, moment: Moment) -> (String, String) {
        let mut rng = ChaCha8Rng::seed_from_u64(dice::roll(self.seed, kind, u64::from(n)));
        let (description, uri) = (words::description(&mut rng), words::uri(&mut rng, u64::from(n)));
        if moment.is_late && self.is_said_anew(kind, n) {
            return (format!("{description}\nSecond edition."), format!("https://example.org/second/{n}.json"));
        }
        (description.to_owned(), uri)
    }

    fn owner(&self, token: u32, moment: Moment) -> Address {
        if moment.is_late && token % 3 == 1 {
            return address::bytes(&dice::hash(self.seed, OWNER, u64::from(token % 500)));
        }
        self.creator
    }

    fn burnt(&self, i: u32, moment: Moment) -> u64 {
        let tokens = self.tokens_of(i, moment).len();
        if moment.is_late { burnt_of(tokens as u64) } else { 0 }
    }
}

/// Name of the collection that belongs to somebody else.
const FOREIGN: &str = "Commons";

/// Unique within the collection.
fn token_name(i: u32, serial: u32) -> String {
    let number = serial / 4;
    let special = if serial % 4 == 1 && number < NAMES { special((number + i) % NAMES) } else { None };
    special.unwrap_or_else(|| words::token(i as usize, serial + 1))
}

fn special(number: u32) -> Option<String> {
    SPECIALS.get(number as usize).map(|known| if *known == TWIN { "Lost Sock".into() } else { words::special(*known) })
}

fn number_of(name: &str) -> Option<u32> {
    (0..NAMES).find(|number| special(*number).as_deref() == Some(name))
}

/// The number, from 0, that a plain name ends with.
fn serial(name: &str) -> Option<u32> {
    let digits = name.rsplit([' ', '#']).next()?;
    digits.parse().ok().and_then(|serial: u32| serial.checked_sub(1))
}
