//! The fold, case by case: what each event does to a listing or an offer, alone and after every other.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;

use event_worker::chain::{Address, RawEvent, SeqNo, Version};
use event_worker::market::fold::{self, Entry, Order, Rows};
use event_worker::market::{Market, Stream};

/// A market with every kind, in the fewest fields.
const MARKET: &str = r#"
name = "toy"
address = "0x1"
listing_key = ["id"]
token_offer_key = ["token", "offerer"]
collection_offer_key = ["id"]
streams = [
  { name = "list", kind = "place_listing", handle = "::m::S", field = "a", fields = { id = "id", token = "token", seller = "by", price = "price", quantity = "n?" } },
  { name = "delist", kind = "cancel_listing", handle = "::m::S", field = "b", fields = { id = "id", token = "token", seller = "by" } },
  { name = "buy", kind = "fill_listing", handle = "::m::S", field = "c", fields = { id = "id", token = "token", buyer = "by", price = "price", quantity = "n?" } },
  { name = "offer", kind = "place_token_offer", handle = "::m::S", field = "d", fields = { token = "token", offerer = "by", price = "price", quantity = "n?" } },
  { name = "unoffer", kind = "cancel_token_offer", handle = "::m::S", field = "e", fields = { token = "token", offerer = "by" } },
  { name = "accept", kind = "fill_token_offer", handle = "::m::S", field = "f", fields = { token = "token", offerer = "by", seller = "from", price = "price", quantity = "n?", ends = "ends?" } },
  { name = "bid", kind = "place_collection_offer", handle = "::m::S", field = "g", fields = { id = "id", collection = "collection", offerer = "by", price = "price", quantity = "n?" } },
  { name = "unbid", kind = "cancel_collection_offer", handle = "::m::S", field = "h", fields = { id = "id", collection = "collection", offerer = "by" } },
  { name = "take", kind = "fill_collection_offer", handle = "::m::S", field = "i", fields = { id = "id", collection = "collection", token = "token", offerer = "by", seller = "from", price = "price", quantity = "n?" } },
  { name = "mint", kind = "create_token", handle = "::m::S", field = "j", fields = { token = "token", creator = "by", description = "text?" } },
  { name = "collect", kind = "create_collection", handle = "::m::S", field = "k", fields = { creator = "by", collection_name = "name", description = "text?", maximum = "n?" } },
]
"#;

struct Toy(Market);

impl Toy {
    fn new() -> Self {
        Self(Market::parse("toy.toml", MARKET, None).unwrap())
    }

    fn stream(&self, name: &str) -> &Arc<Stream> {
        self.0.streams.iter().find(|stream| stream.observer.strip_prefix("toy:") == Some(name)).unwrap()
    }

    /// An event `name` in `version`; `more` are fields beside the id, token and collection that all share.
    fn event(&self, name: &str, version: u64, seq_no: u64, more: &str) -> Entry {
        let more = if more.is_empty() { String::new() } else { format!(", {more}") };
        let data = format!(
            r#"{{"id": "7", "token": "0x70", "collection": "0xc0", "price": "10", "by": "0xb", "from": "0xf", "name": "C"{more}}}"#
        );
        let raw = RawEvent {
            version: Version::new(version).unwrap(),
            event_index: None,
            seq_no: SeqNo::new(seq_no).unwrap(),
            event_type: Arc::default(),
            account_address: "0x1".parse().unwrap(),
            creation_number: 0,
            data: deduplicated(&data),
            block_time: None,
            caller: None,
        };
        self.stream(name).entry(&raw).unwrap()
    }

    /// Folds events, each in a version of its own.
    fn fold(&self, events: &[(&str, &str)]) -> Rows {
        let entries: Vec<_> =
            (1..).zip(events).map(|(version, (name, more))| self.event(name, version, version, more)).collect();
        fold::fold(&entries.iter().collect::<Vec<_>>(), &Rows::default(), &[]).rows
    }
}

/// The last of equal keys wins.
fn deduplicated(json: &str) -> String {
    serde_json::from_str::<serde_json::Value>(json).unwrap().to_string()
}

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

/// status, quantity, remaining, sale price, whether there is a buyer, closed, unexpected.
fn listing(rows: &Rows) -> String {
    let Order { status, quantity, remaining_quantity, sale_price, buyer, closed_version, unexpected, .. } =
        &rows.orders["toy:7"];
    let number =
        |number: &Option<event_worker::chain::Amount>| number.map_or("-".to_owned(), |number| number.to_string());
    format!(
        "{} {}/{} {} {} {} {unexpected}",
        status.name(),
        number(remaining_quantity),
        number(quantity),
        number(sale_price),
        if buyer.is_some() { "buyer" } else { "-" },
        closed_version.map_or("-".to_owned(), |version| version.to_string()),
    )
}

#[test]
fn listings_after_every_event_and_every_pair() {
    const HALF: &str = r#""n": "1""#;
    const TWO: &str = r#""n": "2""#;
    type Case<'a> = (&'a [(&'a str, &'a str)], &'a str);
    let cases: [Case; 17] = [
        (&[("list", TWO)], "listing 2/2 - - - 0"),
        (&[("list", "")], "listing 1/1 - - - 0"),
        (&[("delist", "")], "canceled -/- - - 1 1"),
        (&[("buy", "")], "sold -/- 10 buyer 1 1"),
        (&[("buy", HALF)], "sold -/- 10 buyer 1 1"),
        (&[("list", TWO), ("list", HALF)], "listing 1/1 - - - 0"),
        (&[("list", TWO), ("delist", "")], "canceled 2/2 - - 2 0"),
        (&[("list", TWO), ("buy", "")], "sold 0/2 10 buyer 2 0"),
        (&[("list", TWO), ("buy", HALF)], "listing 1/2 10 buyer - 0"),
        (&[("list", TWO), ("buy", HALF), ("buy", HALF)], "sold 0/2 20 buyer 3 0"),
        (&[("list", TWO), ("buy", r#""n": "3""#)], "sold 0/2 30 buyer 2 1"),
        (&[("delist", ""), ("list", TWO)], "listing 2/2 - - - 1"),
        (&[("delist", ""), ("delist", "")], "canceled -/- - - 2 2"),
        (&[("list", TWO), ("delist", ""), ("buy", TWO)], "sold 0/2 20 buyer 3 1"),
        (&[("list", TWO), ("delist", ""), ("buy", HALF)], "canceled 1/2 10 buyer 2 1"),
        (&[("buy", ""), ("list", TWO)], "listing 2/2 - - - 1"),
        (&[("buy", ""), ("delist", "")], "canceled -/- 10 buyer 2 2"),
    ];
    let toy = Toy::new();
    for (events, expected) in cases {
        assert_eq!(listing(&toy.fold(events)), expected, "{events:?}");
    }
}

#[test]
fn offers_after_every_event_and_every_pair() {
    const HALF: &str = r#""n": "1""#;
    const TWO: &str = r#""n": "2""#;
    type Case<'a> = (&'a [(&'a str, &'a str)], &'a str);
    let cases: [Case; 22] = [
        (&[("offer", TWO)], "created 2/2 - - 0"),
        (&[("unoffer", "")], "canceled -/- - 1 1"),
        (&[("accept", "")], "accepted -/- acceptor 1 1"),
        (&[("accept", r#""ends": false"#)], "created -/- acceptor - 1"),
        (&[("offer", TWO), ("offer", HALF)], "created 1/1 - - 0"),
        (&[("offer", TWO), ("unoffer", "")], "canceled 2/2 - 2 0"),
        (&[("offer", TWO), ("accept", "")], "accepted 0/2 acceptor 2 0"),
        (&[("offer", TWO), ("accept", HALF)], "created 1/2 acceptor - 0"),
        (&[("offer", TWO), ("accept", r#""n": "1", "ends": true"#)], "accepted 1/2 acceptor 2 0"),
        (&[("offer", TWO), ("accept", r#""n": "2", "ends": "false""#)], "created 0/2 acceptor - 0"),
        (&[("offer", TWO), ("accept", HALF), ("accept", HALF)], "accepted 0/2 acceptor 3 0"),
        (&[("unoffer", ""), ("offer", TWO)], "created 2/2 - - 1"),
        (&[("unoffer", ""), ("accept", "")], "accepted -/- acceptor 2 2"),
        (&[("accept", ""), ("offer", TWO)], "created 2/2 - - 1"),
        (&[("accept", ""), ("unoffer", "")], "canceled -/- acceptor 2 2"),
        (&[("accept", ""), ("accept", "")], "accepted -/- acceptor 2 2"),
        (&[("bid", TWO)], "created 2/2 - - 0"),
        (&[("bid", TWO), ("take", "")], "created 1/2 acceptor - 0"),
        (&[("bid", TWO), ("take", ""), ("take", "")], "accepted 0/2 acceptor 3 0"),
        (&[("bid", ""), ("take", "")], "accepted 0/1 acceptor 2 0"),
        (&[("bid", TWO), ("unbid", "")], "canceled 2/2 - 2 0"),
        (&[("take", ""), ("bid", TWO)], "created 2/2 - - 1"),
    ];
    let toy = Toy::new();
    for (events, expected) in cases {
        let rows = toy.fold(events);
        let offer = rows.offers.values().next().unwrap();
        let number =
            |number: Option<event_worker::chain::Amount>| number.map_or("-".to_owned(), |number| number.to_string());
        let found = format!(
            "{} {}/{} {} {} {}",
            offer.status.name(),
            number(offer.remaining_quantity),
            number(offer.quantity),
            if offer.acceptor == Some(address("0xf")) { "acceptor" } else { "-" },
            offer.closed_version.map_or("-".to_owned(), |version| version.to_string()),
            offer.unexpected
        );
        assert_eq!((rows.offers.len(), found.as_str()), (1, expected), "{events:?}");
    }
}

#[test]
fn a_token_belongs_to_whom_the_newest_event_says() {
    type Case<'a> = (&'a [(&'a str, &'a str)], Option<&'a str>);
    let cases: [Case; 10] = [
        (&[("mint", "")], Some("0xb")),
        (&[("list", r#""by": "0x5""#)], Some("0x5")),
        (&[("delist", r#""by": "0x5""#)], Some("0x5")),
        (&[("buy", r#""by": "0x6""#)], Some("0x6")),
        (&[("offer", r#""by": "0x6""#)], None),
        (&[("unoffer", r#""by": "0x6""#)], None),
        (&[("accept", r#""by": "0x6""#)], Some("0x6")),
        (&[("take", r#""by": "0x6""#)], Some("0x6")),
        (&[("buy", r#""by": "0x6""#), ("offer", r#""by": "0x8""#)], Some("0x6")),
        (&[("buy", r#""by": "0x6""#), ("list", r#""by": "0x7""#)], Some("0x7")),
    ];
    let toy = Toy::new();
    for (events, expected) in cases {
        let rows = toy.fold(events);
        let owner = rows.tokens.values().next().unwrap().owner.as_ref().map(|owner| owner.address);
        assert_eq!(owner, expected.map(address), "{events:?}");
    }
}

#[test]
fn creations_describe_and_other_events_only_name() {
    let toy = Toy::new();
    let rows = toy.fold(&[
        ("collect", r#""text": "first", "n": "5""#),
        ("collect", r#""text": "second""#),
        ("mint", r#""text": "a cat""#),
    ]);
    let collection = rows.collections.values().next().unwrap();
    assert_eq!((collection.description.as_deref(), collection.maximum), (Some("second"), None));
    assert_eq!(collection.created_version, Version::new(2));
    assert_eq!(rows.tokens.values().next().unwrap().description.as_deref(), Some("a cat"));
    let rows = toy.fold(&[("bid", "")]);
    assert_eq!(rows.collections.values().next().unwrap().description, None);
}

/// Events of one version whose indexes nobody knows.
#[test]
fn within_a_version_an_open_key_is_closed_first_and_a_closed_one_opened_first() {
    let toy = Toy::new();
    let one_version = |before: &[(&str, &str)], names: &[&str]| {
        let mut entries: Vec<_> =
            (1..).zip(before).map(|(version, (name, more))| toy.event(name, version, version, more)).collect();
        entries.extend((100..).zip(names).map(|(seq_no, name)| toy.event(name, 50, seq_no, "")));
        listing(&fold::fold(&entries.iter().collect::<Vec<_>>(), &Rows::default(), &[]).rows)
    };
    // A price change: delist and list of one key.
    for names in [["delist", "list"], ["list", "delist"]] {
        assert_eq!(one_version(&[("list", "")], &names), "listing 1/1 - - - 0");
    }
    // Listed and sold at once.
    for names in [["list", "buy"], ["buy", "list"]] {
        assert_eq!(one_version(&[], &names), "sold 0/1 10 buyer 50 0");
        assert_eq!(one_version(&[("list", ""), ("delist", "")], &names), "sold 0/1 10 buyer 50 0");
    }
    assert_eq!(one_version(&[("list", "")], &["list", "buy", "delist"]), "listing 1/1 - - - 1");
}

#[test]
fn known_indexes_decide_within_a_version() {
    let toy = Toy::new();
    let at = |index, name, seq_no| Entry { event_index: Some(index), ..toy.event(name, 50, seq_no, "") };
    let fold =
        |entries: [Entry; 2]| listing(&fold::fold(&entries.iter().collect::<Vec<_>>(), &Rows::default(), &[]).rows);
    assert_eq!(fold([at(3, "list", 0), at(1, "buy", 0)]), "listing 1/1 - - - 1");
    assert_eq!(fold([at(3, "buy", 0), at(1, "list", 0)]), "sold 0/1 10 buyer 50 0");
}

#[test]
fn a_late_event_is_folded_in_its_place() {
    let toy = Toy::new();
    let (list, buy) = (toy.event("list", 5, 0, ""), toy.event("buy", 9, 0, ""));
    let first = fold::fold(&[&buy], &Rows::default(), &[]);
    assert_eq!(first.unexpected.values().sum::<i64>(), 1);
    assert_eq!(fold::late(&[&list], &first.rows).orders.len(), 1);
    let then = fold::fold(&[&list], &first.rows, std::slice::from_ref(&buy));
    assert_eq!(listing(&then.rows), "sold 0/1 10 buyer 9 0");
    assert_eq!(then.unexpected.values().sum::<i64>(), -1);
    // In order, nothing is late.
    let first = fold::fold(&[&list], &Rows::default(), &[]);
    assert!(fold::late(&[&buy], &first.rows).orders.is_empty());
}

/// A row that does not change is not written.
#[test]
fn unchanged_rows_are_no_changes() {
    let toy = Toy::new();
    let rows = toy.fold(&[("mint", ""), ("bid", "")]);
    let again = fold::fold(&[&toy.event("unbid", 9, 9, "")], &rows, &[]);
    assert_eq!((again.rows.collections.len(), again.rows.tokens.len(), again.rows.offers.len()), (0, 0, 1));
}

/// What was imported is newer than any event can tell; the other columns follow the newest event, in any order.
#[test]
fn events_leave_imported_columns_alone() {
    let toy = Toy::new();
    let mut rows = toy.fold(&[("mint", ""), ("collect", "")]);
    for token in rows.tokens.values_mut() {
        token.imported.description = true;
        token.description = Some("imported".into());
    }
    for collection in rows.collections.values_mut() {
        collection.imported.description = true;
        collection.description = Some("imported".into());
    }
    let told = |n| format!(r#""text": "told", "n": "{n}""#);
    let events = [
        toy.event("mint", 9, 9, &told(5)),
        toy.event("collect", 9, 9, &told(5)),
        toy.event("collect", 10, 10, &told(3)),
    ];
    for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
        let mut rows = rows.clone();
        for index in order {
            let then = fold::fold(&[&events[index]], &rows, &[]).rows;
            rows.tokens.extend(then.tokens);
            rows.collections.extend(then.collections);
        }
        let token = rows.tokens.values().next().unwrap();
        assert_eq!((token.description.as_deref(), token.created_version), (Some("imported"), Version::new(9)));
        let collection = rows.collections.values().find(|collection| collection.name.is_some()).unwrap();
        assert_eq!(collection.description.as_deref(), Some("imported"));
        assert_eq!(
            collection.maximum.map(|maximum| maximum.0),
            Some(3),
            "what the newest says, in the order {order:?}"
        );
    }
}

#[test]
fn an_order_is_needed_only_where_rows_depend_on_it() {
    const OTHER: &str = r#""id": "8""#;
    const BY_C: &str = r#""id": "8", "by": "0xc""#;
    let toy = Toy::new();
    let is_contested = |events: &[(&str, &str)], placed: usize| {
        let events = events.iter().enumerate();
        let mut entries: Vec<_> = events.map(|(at, (name, more))| toy.event(name, 3, at as u64, more)).collect();
        for (entry, index) in entries.iter_mut().take(placed).zip(0..) {
            entry.event_index = Some(index);
        }
        let contested = fold::contested(&entries.iter().collect::<Vec<_>>(), &[]);
        assert!(contested.values().all(|stored| !stored));
        !contested.is_empty()
    };
    assert!(is_contested(&[("list", ""), ("delist", "")], 0), "one order");
    assert!(is_contested(&[("list", ""), ("delist", "")], 1), "of which one place is known");
    assert!(!is_contested(&[("list", ""), ("delist", "")], 2));
    assert!(is_contested(&[("offer", ""), ("unoffer", "")], 0), "one offer");
    assert!(!is_contested(&[("list", ""), ("delist", OTHER)], 0), "two orders of one token, whose owner stays");
    assert!(is_contested(&[("list", ""), ("delist", BY_C)], 0), "who owns it?");
    assert!(!is_contested(&[("list", ""), ("offer", "")], 0), "an offer says nothing of the owner");
    assert!(!is_contested(&[("list", ""), ("bid", "")], 0));
}
