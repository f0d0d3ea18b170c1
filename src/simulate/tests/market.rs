//! The market, looked at as a reader of its events would.

use std::collections::{HashMap, HashSet};

use super::*;

fn history(seed: u64, events: u64) -> Vec<Emitted> {
    Node::new(Config { seed, events, ..Config::default() }).history()
}

fn wide(value: &Value) -> u128 {
    text(value).parse().unwrap()
}

#[test]
fn same_seed_same_chain_whatever_the_rate() {
    let node = |rate, chunks: &[u64]| {
        let node = Node::new(Config { events: 800, rate, ..Config::default() });
        for chunk in chunks {
            node.emit(*chunk);
        }
        node.history()
    };
    assert_eq!(node(0.0, &[]), node(0.0, &[]));
    assert_ne!(history(1, 500), history(2, 500));
    let kinds = |history: Vec<Emitted>| -> Vec<_> {
        history.into_iter().take(1_000).map(|event| (event.stream, event.seq_no, event.version)).collect()
    };
    assert_eq!(kinds(node(0.0, &[220])), kinds(node(1_000.0, &[1, 50, 3, 170])));
}

#[test]
fn a_history_has_exactly_as_many_events_as_asked_and_ends_when_asked() {
    for events in [0, 1, 2, 19, 20, 21, 777] {
        assert_eq!(history(3, events).len() as u64, events);
    }
    let end = 1_800_000_000_123_456;
    let node = Node::new(Config { events: 300, ends_at: Some(end), ..Config::default() });
    assert_eq!(read(&node.ledger).timestamp(node.ledger_version()), end);
    let node = Node::new(Config { events: 1, ..Config::default() });
    assert_eq!(read(&node.ledger).timestamp(node.ledger_version()), 1_767_225_600_000_000);
}

#[test]
fn streams_are_dense_and_versions_ascend() {
    let node = Node::new(Config { events: 3_000, ..Config::default() });
    let told = node.ledger_version();
    node.emit(200);
    let (mut next, mut place) = (HashMap::<&str, u64>::new(), (0, 0));
    for (at, event) in node.history().iter().enumerate() {
        let seq_no = next.entry(event.stream).or_default();
        assert_eq!(event.seq_no, *seq_no);
        *seq_no += 1;
        assert!(place < (event.version, event.event_index + 1), "{place:?} {event:?}");
        assert_eq!(event.event_index == 0, event.version > place.0);
        assert_eq!(at < 3_000, event.version <= told, "nothing appears below a version that was told");
        place = (event.version, event.event_index + 1);
    }
    for (stream, counter) in node.counters() {
        assert_eq!(next.get(stream.as_str()).copied().unwrap_or(0), counter);
    }
}

/// An open listing or offer: whose, at which price, and how many copies are left.
type Open = HashMap<String, (String, u128, u64)>;

/// What a reader knows after each event; panics at a contradiction.
#[derive(Default)]
struct Reader {
    listings: Open,
    offers: Open,
    known: HashSet<String>,
    time: u64,
}

impl Reader {
    /// The owner of which token the event tells, if any.
    fn read(&mut self, event: &Emitted) -> Option<(String, String)> {
        let data: Value = serde_json::from_str(&event.data).unwrap();
        if let Some(time) = data.get("timestamp") {
            assert!(self.time <= number(time));
            self.time = number(time);
        }
        if event.stream == "collection_created_events" {
            return None;
        }
        let token = data["token_id"].to_string();
        let is_new = self.known.insert(token.clone());
        assert_eq!(is_new, event.stream == "token_created_events", "{event:?}");
        match event.stream {
            "token_created_events" => Some((token, text(&data["creator"]))),
            "list_token_events" | "delist_token_events" | "buy_token_events" => {
                Some((token, self.listing(event.stream, &data)))
            }
            _ => {
                let key = format!("{token}/{}", text(&data["coin_owner"]));
                self.offer(event.stream, &data, key).map(|owner| (token, owner))
            }
        }
    }

    fn listing(&mut self, stream: &str, data: &Value) -> String {
        let (key, seller, amount) = (text(&data["offer_id"]), text(&data["seller"]), number(&data["token_amount"]));
        assert!(amount > 0);
        if stream == "list_token_events" {
            let opened = self.listings.insert(key, (seller.clone(), wide(&data["price"]), amount));
            assert_eq!(opened, None, "one listing is open under a key");
            return seller;
        }
        let (owner, price, left) = self.listings.remove(&key).unwrap_or_else(|| panic!("{data} is about nothing open"));
        assert_eq!(owner, seller);
        if stream == "delist_token_events" {
            assert_eq!(left, amount);
            return seller;
        }
        let buyer = text(&data["buyer"]);
        assert_ne!(buyer, seller);
        assert_eq!((wide(&data["price"]), wide(&data["coin_amount"])), (price, price * u128::from(amount)));
        let left = left.checked_sub(amount).expect("no more is sold than there is");
        if left > 0 {
            self.listings.insert(key, (seller, price, left));
        }
        buyer
    }

    fn offer(&mut self, stream: &str, data: &Value, key: String) -> Option<String> {
        let offerer = text(&data["coin_owner"]);
        if stream == "offer_token_events" {
            let open = (text(&data["event_id"]), wide(&data["coin_amount_per_token"]), number(&data["token_amount"]));
            assert_eq!(self.offers.insert(key, open), None, "one offer is open under a key");
            return None;
        }
        let (id, price, left) = self.offers.remove(&key).unwrap_or_else(|| panic!("{data} is about nothing open"));
        assert_eq!(id, text(&data["event_id"]));
        if stream == "cancel_offer_events" {
            assert_eq!(wide(&data["coin_amount"]), price * u128::from(left));
            return None;
        }
        assert_ne!(text(&data["token_owner"]), offerer);
        let left = left.checked_sub(number(&data["token_amount"])).expect("no more is accepted than was wanted");
        assert_eq!(data["is_offer_end"], Value::from(left == 0));
        if left > 0 {
            self.offers.insert(key, (id, price, left));
        }
        Some(offerer)
    }
}

/// Where a version's events come when their indexes are unknown, by what they say about an owner.
fn rank(stream: &str) -> u8 {
    match stream {
        "token_created_events" => 0,
        "list_token_events" => 1,
        "delist_token_events" => 2,
        "buy_token_events" => 3,
        _ => 4,
    }
}

#[test]
fn the_market_never_contradicts_itself() {
    for seed in 1..=5 {
        let mut reader = Reader::default();
        for transaction in history(seed, 5_000).chunk_by(|one, other| one.version == other.version) {
            read_transaction(&mut reader, transaction);
        }
        let open = (reader.listings.len(), reader.offers.len());
        assert!(open.0 > 20 && open.1 > 20, "{open:?} with seed {seed}");
    }
}

/// Reads one version's events, and checks that a reader who does not know their indexes comes to the same end.
fn read_transaction(reader: &mut Reader, transaction: &[Emitted]) {
    let mut owners = HashMap::<String, Vec<(u8, u64, String)>>::new();
    let mut keys = HashMap::<String, (bool, Vec<&str>)>::new();
    for event in transaction {
        if let Some(key) = key(event) {
            let is_open = reader.listings.contains_key(&key) || reader.offers.contains_key(&key);
            keys.entry(key).or_insert((is_open, Vec::new())).1.push(event.stream);
        }
        if let Some((token, owner)) = reader.read(event) {
            owners.entry(token).or_default().push((rank(event.stream), event.seq_no, owner));
        }
    }
    for (token, told) in owners {
        let by_rank = told.iter().max_by_key(|(rank, seq_no, _)| (*rank, *seq_no)).unwrap();
        assert_eq!(told.last().unwrap().2, by_rank.2, "the owner of {token} in version {}", transaction[0].version);
    }
    for (key, (was_open, streams)) in keys {
        let ordered = match (was_open, streams.as_slice()) {
            (_, [only]) => was_open == (rank(only) != 1 && *only != "offer_token_events"),
            (true, pair) => {
                *pair == ["delist_token_events", "list_token_events"]
                    || *pair == ["cancel_offer_events", "offer_token_events"]
            }
            (false, pair) => *pair == ["list_token_events", "buy_token_events"],
        };
        assert!(ordered, "{key} {was_open} {streams:?}");
    }
}

#[test]
fn every_kind_of_value_occurs() {
    for seed in 1..=5 {
        let history = history(seed, 5_000);
        let parsed = history.iter().map(|event| serde_json::from_str(&event.data).unwrap());
        let told: Vec<(&str, Value)> = history.iter().map(|event| event.stream).zip(parsed).collect();
        let count = |wanted: &dyn Fn(&str, &Value) -> bool| told.iter().filter(|(at, data)| wanted(at, data)).count();
        for stream in Stream::ALL {
            assert!(count(&|at, _| at == stream.field()) > 20, "{stream:?} with seed {seed}");
        }
        let priced = |least: u128| count(&|_, data| data.get("price").is_some_and(|price| wide(price) >= least));
        assert!(priced(1 << 53) > priced(1 << 64) && priced(1 << 64) > 2, "seed {seed}");
        assert!(count(&|_, data| data.get("is_offer_end") == Some(&Value::from(false))) > 0);
        assert!(count(&|_, data| data["coin_type_info"]["struct_name"] == "0x55534443") > 5);
        assert!(count(&|_, data| data.get("seller").is_some_and(|seller| text(seller).len() < 66)) > 0);
        let named = |like: &dyn Fn(&str) -> bool| {
            count(&|at, data| at == "token_created_events" && data["name"].as_str().is_some_and(like))
        };
        assert!(named(&|name| name.len() >= 300) > 0 && named(&|name| !name.is_ascii()) > 0, "seed {seed}");
    }
}

#[test]
fn every_kind_of_transaction_occurs() {
    for seed in 1..=5 {
        let history = history(seed, 5_000);
        let again = |stream: &str| {
            let keys: Vec<_> = history.iter().filter(|event| event.stream == stream).map(key).collect();
            keys.len() - keys.iter().collect::<HashSet<_>>().len()
        };
        assert!(again("buy_token_events") > 0, "listings are bought in parts");
        assert!(again("list_token_events") > 0, "and listed again under the same key");
        let pair = |first: &str, then: &str, same_key: bool| {
            let is_pair = |pair: &&[Emitted]| {
                pair[0].version == pair[1].version && (pair[0].stream, pair[1].stream) == (first, then)
            };
            let has_key = |pair: &[Emitted]| (key(&pair[0]) == key(&pair[1])) == same_key;
            assert!(history.windows(2).filter(is_pair).any(has_key), "{first}, {then} with seed {seed}");
        };
        pair("delist_token_events", "list_token_events", true);
        pair("delist_token_events", "list_token_events", false);
        pair("list_token_events", "buy_token_events", true);
        pair("buy_token_events", "list_token_events", false);
        pair("buy_token_events", "buy_token_events", false);
        pair("list_token_events", "list_token_events", false);
        pair("cancel_offer_events", "offer_token_events", true);
        pair("delist_token_events", "accept_offer_events", false);
        let mut transactions = history.chunk_by(|one, other| one.version == other.version);
        assert!(transactions.any(|events| events.len() > 8));
    }
}

/// The key of the listing or offer that an event is about.
fn key(event: &Emitted) -> Option<String> {
    let data: Value = serde_json::from_str(&event.data).unwrap();
    match (data.get("offer_id"), data.get("coin_owner")) {
        (Some(id), _) => Some(text(id)),
        (None, Some(owner)) => Some(format!("{}/{}", data["token_id"], text(owner))),
        (None, None) => None,
    }
}

#[test]
fn broken_events_are_broken_for_good_and_disturb_nothing_else() {
    let node = |faults: &str| {
        let faults = faults.parse().unwrap();
        Node::new(Config { events: 2_000, faults, ..Config::default() }).history()
    };
    let (sound, broken) = (node(""), node("mistyped:0.02"));
    assert_eq!(broken, node("mistyped:0.02"));
    let differing = sound.iter().zip(&broken).filter(|(a, b)| a.data != b.data).count();
    assert!((15..80).contains(&differing), "{differing}");
    assert!(sound.iter().zip(&broken).all(|(a, b)| (a.version, a.stream, a.seq_no) == (b.version, b.stream, b.seq_no)));
}
