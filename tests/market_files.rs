//! The language of market files: what every form of a field means, and which events a stream has.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use event_worker::market::fold::Entry;
use event_worker::market::{Market, MarketEvent};
use event_worker::state::convert;
use event_worker::subject::event_of_line;
use serde_json::{Value, json};

/// A market whose only stream places, fills or creates, with these fields.
fn market(kind: &str, key: &str, fields: &str) -> Result<Market, String> {
    let text = format!(
        "name = \"m\"\naddress = \"0xa\"\n{key}\n[[streams]]\nname = \"s\"\nkind = \"{kind}\"\nevent = \"::m::E\"\n{fields}\n"
    );
    Market::parse("m.toml", &text, None).map_err(|error| error.to_string())
}

fn entry(market: &Market, kind: &str, data: &Value, time: Option<&str>) -> Result<Entry, String> {
    let event = json!({ "version": "5", "type": kind, "data": data, "timestamp": time });
    let raw = event_of_line(&event.to_string()).unwrap();
    market
        .stream_of(&raw)
        .unwrap_or_else(|| panic!("{kind} is of no stream"))
        .entry(&raw)
        .map_err(|why| why.to_string())
}

/// What a listing with this `price` and these other fields decodes to.
fn listing(fields: &str, data: &Value) -> Result<MarketEvent, String> {
    let market = market("place_listing", "listing_key = [\"seller\"]", &format!("fields.seller = \"s\"\n{fields}"))?;
    let mut all = json!({ "s": "0xb", "p": "10" });
    all.as_object_mut().unwrap().extend(data.as_object().unwrap().clone());
    entry(&market, "0xa::m::E<0x1::a::B<u8, u64>, 0x01::aptos_coin::AptosCoin>", &all, Some("7000000"))
        .map(|entry| *entry.event)
}

/// The columns of the activity, those named.
fn columns(event: MarketEvent, names: &[&str]) -> Value {
    let entry = Entry {
        observer: "m:s".into(),
        market: "m".into(),
        stream: 0,
        seq_no: event_worker::chain::SeqNo::ZERO,
        version: event_worker::chain::Version::default(),
        event_index: None,
        event: Box::new(event),
    };
    let row = serde_json::to_value(convert::activity(&entry)).unwrap();
    names.iter().map(|name| row[name].clone()).collect()
}

#[test]
fn every_form_of_a_field_is_read() {
    const PRICE: &str = "fields.price = \"p\"";
    let long = |digits: &str| json!(format!("0x{digits:0>64}"));
    let cases = [
        // Alternatives: the first that is there, whatever stands around it.
        ("fields.price = \"a.b or c.d or p\"", json!({ "c": { "vec": [{ "d": "3" }] } }), "price", json!("3")),
        ("fields.price = \"a or p\"", json!({ "a": { "vec": [] } }), "price", json!("10")),
        ("fields.price = \"a or b?\"", json!({}), "price", Value::Null),
        ("fields.price = \"a?\"", json!({ "a": null }), "price", Value::Null),
        // Defaults and constants.
        ("fields.price = { path = \"a\", default = 7 }", json!({}), "price", json!("7")),
        ("fields.price = { path = \"a\", default = 7 }", json!({ "a": 8 }), "price", json!("8")),
        ("fields.price = { value = \"12\" }", json!({}), "price", json!("12")),
        // Money of all copies.
        (
            "fields.price = { path = \"p\", for = \"all\" }\nfields.quantity = \"q\"",
            json!({ "q": "4" }),
            "price",
            json!("2"),
        ),
        (
            "fields.price = { path = \"p\", for = \"all\" }\nfields.quantity = \"q\"",
            json!({ "q": "4" }),
            "total",
            json!("10"),
        ),
        (
            "fields.price = { path = \"p\", for = \"all\" }\nfields.quantity = \"q\"",
            json!({ "q": "0" }),
            "price",
            Value::Null,
        ),
        // Coins: by the event's type, by a constant, by a text.
        (
            &format!("{PRICE}\nfields.currency = {{ type_argument = 1 }}"),
            json!({}),
            "currency",
            json!("0x1::aptos_coin::AptosCoin"),
        ),
        (
            &format!("{PRICE}\nfields.currency = {{ type_argument = 0 }}"),
            json!({}),
            "currency",
            json!("0x1::a::B<u8, u64>"),
        ),
        (
            &format!("{PRICE}\nfields.currency = {{ value = \"0x01::c::D\" }}"),
            json!({}),
            "currency",
            json!("0x1::c::D"),
        ),
        (&format!("{PRICE}\nfields.currency = \"c\""), json!({ "c": "0x1::c::D" }), "currency", json!("0x1::c::D")),
        // Coins that are fungible assets, by their objects.
        (&format!("{PRICE}\nfields.currency = \"c\""), json!({ "c": { "inner": "0xc" } }), "currency", long("c")),
        (&format!("{PRICE}\nfields.currency = \"c\""), json!({ "c": "0xc" }), "currency", long("c")),
        (&format!("{PRICE}\nfields.currency = {{ value = \"0xc\" }}"), json!({}), "currency", long("c")),
        // Times: in units, else the block's.
        (
            &format!("{PRICE}\nfields.time = {{ path = \"t\", unit = \"seconds\" }}"),
            json!({ "t": "3" }),
            "occurred_at",
            json!("1970-01-01T00:00:03.000000Z"),
        ),
        (
            &format!("{PRICE}\nfields.time = {{ path = \"t?\", unit = \"milliseconds\" }}"),
            json!({}),
            "occurred_at",
            json!("1970-01-01T00:00:07.000000Z"),
        ),
        // Texts as bytes.
        (
            &format!("{PRICE}\nfields.token_name = {{ path = \"n\", as = \"hex\" }}"),
            json!({ "n": "0xc3a9" }),
            "token_name",
            json!("é"),
        ),
        (
            &format!("{PRICE}\nfields.token_name = {{ path = \"n\", as = \"hex\", default = \"Cat\" }}"),
            json!({}),
            "token_name",
            json!("Cat"),
        ),
    ];
    for (fields, data, column, expected) in cases {
        let event = listing(fields, &data).unwrap_or_else(|why| panic!("{fields}: {why}"));
        assert_eq!(columns(event, &[column])[0], expected, "{fields}: {data}");
    }
}

#[test]
fn tokens_are_found_in_every_form() {
    const NAMES: &str = "fields.price = \"p\"\nfields.token = \"m.token?\"\nfields.collection = \"m.collection?\"\nfields.creator = \"m.creator\"\nfields.collection_name = \"m.collection_name\"\nfields.token_name = \"m.token_name\"\nfields.property_version = \"m.version?\"";
    const COLUMNS: [&str; 6] =
        ["collection_id", "collection_name", "creator", "token_id", "token_name", "property_version"];
    let metadata = |token: Value, collection: Value, version: Value| {
        json!({ "m": { "creator": "0x1", "collection_name": "Cats", "token_name": "Cat #1", "token": { "vec": token },
            "collection": { "vec": collection }, "version": { "vec": version } } })
    };
    let long = |digits: &str| format!("0x{digits:0>64}");
    // The ids of v1 are figures of `sha256sum`.
    let (cats, cat) = (
        "0xdea2cc02c36c8acf702ab9f8ce2d4108a99715cdbb70f24516b4f8c2ddbac555",
        "0xdf923c5de77a1125b4b4af42ea5ce12181548b80600dd7de6e9f834cb377e4df",
    );
    let v1 = metadata(json!([]), json!([]), json!(["3"]));
    let v2 = metadata(json!([{ "inner": "0x70" }]), json!([{ "inner": "0xc0" }]), json!([]));
    let told = |data: &Value| columns(listing(NAMES, data).unwrap(), &COLUMNS);
    assert_eq!(told(&v1), json!([cats, "Cats", long("1"), cat, "Cat #1", 3]));
    assert_eq!(told(&v2), json!([long("c0"), "Cats", long("1"), long("70"), "Cat #1", 0]));
    let data_id = json!({ "m": { "creator": "0x1", "collection": "Cats", "name": "Cat #1" } });
    let event = listing("fields.price = \"p\"\nfields.token = \"m\"", &data_id).unwrap();
    assert_eq!(columns(event, &COLUMNS), json!([cats, "Cats", long("1"), cat, "Cat #1", 0]));
}

#[test]
fn keys_are_made_of_any_standard_parts() {
    let key = |parts: &str, fields: &str, data: &Value| {
        let market = market(
            "place_listing",
            &format!("listing_key = [{parts}]"),
            &format!("fields.seller = \"s\"\nfields.price = \"p\"\n{fields}"),
        )?;
        let mut all = json!({ "s": "0xb", "p": "10" });
        all.as_object_mut().unwrap().extend(data.as_object().unwrap().clone());
        entry(&market, "0xa::m::E", &all, None).map(|entry| entry.event.key.unwrap().text.to_string())
    };
    let long = |digits: &str| format!("0x{digits:0>64}");
    let id = "fields.id = \"i\"";
    assert_eq!(key("\"id\"", id, &json!({ "i": 7 })), Ok("7".to_owned()));
    assert_eq!(key("\"id\"", id, &json!({ "i": { "inner": "0x7" } })), Ok(long("7")));
    assert_eq!(
        key("\"id\"", id, &json!({ "i": { "addr": "0x7", "creation_num": "9" } })),
        Ok(format!("{}/9", long("7")))
    );
    assert_eq!(key("\"id\"", id, &json!({ "i": "x" })), Err("data.i: expected a whole number, found \"x\"".to_owned()));
    let text = "fields.id = { path = \"i\", as = \"text\" }";
    assert_eq!(key("\"id\", \"price\"", text, &json!({ "i": "a/b" })), Ok("a%2Fb/10".to_owned()));
    let default = "fields.id = { path = \"i\", as = \"text\", default = \"none\" }";
    assert_eq!(key("\"id\"", default, &json!({})), Ok("none".to_owned()));
    let token = "fields.token = \"t\"";
    let parts = "\"token\", \"property_version\", \"seller\"";
    assert_eq!(key(parts, token, &json!({ "t": "0x70" })), Ok(format!("{}/0/{}", long("70"), long("b"))));
    let maybe = key("\"id\"", "fields.id = \"i?\"", &json!({}));
    assert_eq!(maybe, Err("data: tells no id, a part of the key".to_owned()));
}

#[test]
fn offers_expire_at_or_after_a_time() {
    let expires = |fields: &str| {
        let fields = format!("fields.offerer = \"o\"\nfields.price = \"p\"\n{fields}");
        let market = market("place_token_offer", "token_offer_key = [\"offerer\"]", &fields).unwrap();
        let data = json!({ "o": "0xb", "p": "1", "at": "2", "in": "3" });
        let entry = entry(&market, "0xa::m::E", &data, Some("7000000")).unwrap();
        entry.event.expires_at.map(event_worker::chain::Timestamp::micros)
    };
    assert_eq!(expires("fields.expires_at = { path = \"at\", unit = \"seconds\" }"), Some(2_000_000));
    assert_eq!(expires("fields.expires_in = { path = \"in\", unit = \"seconds\" }"), Some(10_000_000));
    assert_eq!(expires("fields.expires_in = { path = \"in\" }\nfields.time = \"at\""), Some(5));
}

#[test]
fn an_event_is_told_by_its_type_and_where_it_comes_from() {
    let market = Market::parse(
        "m.toml",
        r#"
name = "m"
address = "0xa"
listing_key = ["id"]
fields = { id = "i", seller = "s", price = "p" }
streams = [
    { name = "a", kind = "place_listing", handle = "::m::H", field = "a", event = "::m::A" },
    { name = "b", kind = "place_listing", creation_number = 9, account = "0xb" },
    { name = "c", kind = "place_listing", event = ["::m::C", "0x1::m::D"] },
]
"#,
        None,
    )
    .unwrap();
    let of = |account: &str, number: u64, kind: &str| {
        let guid = json!({ "account_address": account, "creation_number": number.to_string() });
        let event = json!({ "version": 1, "guid": guid, "sequence_number": 2, "type": kind, "data": {} });
        market.stream_of(&event_of_line(&event.to_string()).unwrap()).map(|stream| stream.name().to_owned())
    };
    assert_eq!(of("0xa", 4, "0x0a::m::A<u8>").as_deref(), Some("a"));
    assert_eq!(of("0xc", 4, "0xa::m::A"), None, "somebody else's handle");
    assert_eq!(of("0xb", 9, "0xf::x::Y").as_deref(), Some("b"));
    assert_eq!(of("0xb", 8, "0xf::x::Y"), None);
    assert_eq!(of("0x0", 0, "0x01::m::D").as_deref(), Some("c"));
    assert_eq!(of("0xe", 5, "0xa::m::C").as_deref(), Some("c"), "of a handle that nobody knows");
    assert_eq!(of("0x0", 0, "0xa::m::Cc"), None);
}

#[test]
fn streams_that_are_told_apart_by_their_handles_may_have_events_of_one_type() {
    let market = |first: &str, second: &str| {
        let stream = |name: &str, source: &str| {
            format!("[[streams]]\nname = \"{name}\"\nkind = \"place_listing\"\nevent = \"::m::E\"\n{source}\n")
        };
        let head = "name = \"m\"\naddress = \"0xa\"\nlisting_key = [\"id\"]\nfields = { id = \"i\", seller = \"s\", price = \"p\" }";
        let text = format!("{head}\n{}{}", stream("a", first), stream("b", second));
        Market::parse("m.toml", &text, None).map_err(|error| error.to_string())
    };
    let handle = |field: &str| format!("handle = \"::m::H\"\nfield = \"{field}\"");
    for (first, second) in [
        ("creation_number = 4", "creation_number = 5"),
        (&*handle("a"), &*handle("b")),
        (&handle("a"), &format!("{}\naccount = \"0xb\"", handle("a"))),
        (&handle("a"), "creation_number = 4"),
    ] {
        market(first, second).unwrap_or_else(|why| panic!("{second}: {why}"));
    }
    let module_events = market(&handle("a"), "").unwrap_err();
    assert!(module_events.contains("streams \"a\" and \"b\" have the same events, 0xa::m::E"), "{module_events}");
}
