//! What mistakes in a market file are told as, and where.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use event_worker::market::Market;

const FILE: &str = r#"name = "toy"
address = "0x1"
listing_key = ["id"]

[units]
time = "seconds"

[fields]
id = "id"
time = "at"

[[streams]]
name = "list"
kind = "place_listing"
handle = "::m::S"
field = "a"
fields = { seller = "by", price = "price" }

[[streams]]
name = "buy"
kind = "fill_listing"
handle = "::m::S"
field = "b"
fields = { buyer = "buyer" }
"#;

/// What of [`FILE`] is written otherwise, and how; the line and column that are told, and a part of the reason.
type Mistake = (&'static str, &'static str, usize, usize, &'static str);

#[track_caller]
fn are_told(mistakes: &[Mistake]) {
    assert!(Market::parse("my.toml", FILE, None).is_ok());
    let mut wrong = vec![];
    for (from, to, line, column, reason) in mistakes {
        let text = FILE.replacen(from, to, 1);
        let told =
            Market::parse("my.toml", &text, None).map_or_else(|error| error.to_string(), |_| "is taken".to_owned());
        let place = format!("market file my.toml: line {line}, column {column}: ");
        if !told.starts_with(&place) || !told.contains(reason) {
            wrong.push(format!("{to}\n  told:     {told}\n  expected: line {line}, column {column}: {reason}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn mistakes_are_told_by_line_and_column() {
    are_told(&[
        // Names, and their nearest.
        (
            "seller = \"by\"",
            "selller = \"by\"",
            17,
            12,
            "stream \"list\": unknown field `selller` of fields; did you mean `seller`?",
        ),
        ("listing_key", "listing_kee", 3, 1, "unknown field `listing_kee` of a market; did you mean `listing_key`?"),
        (
            "kind = \"place_listing\"",
            "kind = \"place_listin\"",
            14,
            8,
            "unknown kind `place_listin`; did you mean `place_listing`?",
        ),
        (
            "time = \"seconds\"",
            "time = \"sec\"",
            6,
            8,
            "unknown unit `sec`; known: microseconds, milliseconds, seconds",
        ),
        ("[\"id\"]", "[\"ids\"]", 3, 16, "unknown part of a key `ids`; did you mean `id`?"),
        // Values of a wrong type.
        ("address = \"0x1\"", "address = 1", 2, 11, "address: expected a text in quotes, found the number 1"),
        ("address = \"0x1\"", "address = \"1\"", 2, 11, "address: expected an address"),
        (
            "price = \"price\"",
            "price = 5",
            17,
            35,
            "price: expected a path, such as \"price\", or a table, found the number 5",
        ),
        ("\"price\" }", "\"a..b\" }", 17, 35, "price: expected a path, names joined by dots"),
        ("name = \"toy\"", "name = \"My Market\"", 1, 8, "expected 1 to 30 of a-z, 0-9 and _"),
        ("\"price\" }", "{ path = \"p\", default = \"x\" } }", 17, 59, "default: expected a whole number, found \"x\""),
        ("handle = \"::m::S\"\nfield = \"a\"", "handle = \"m::S\"\nfield = \"a\"", 15, 10, "expected ::module::Struct"),
        ("name = \"toy\"", "name = \"toy", 1, 12, "is not TOML"),
        (
            "name = \"toy\"",
            "name = \"toy\"\nchain = 0",
            2,
            9,
            "chain: expected a chain id (mainnet 1, testnet 2), found 0",
        ),
        (
            "\"price\" }",
            "\"price\", currency = { value = \"::\" } }",
            17,
            65,
            "value: expected a coin's type (0x1::aptos_coin::AptosCoin) or an asset's address, found \"::\"",
        ),
        (
            "\"price\" }",
            "\"price\", currency = { path = \"c\", default = \"0x1::m\" } }",
            17,
            79,
            "default: expected a coin's type",
        ),
    ]);
}

#[test]
fn names_that_move_does_not_have_are_told() {
    are_told(&[
        ("\"::m::S\"", "\"::m x::S\"", 15, 10, "handle: expected ::module::Struct"),
        ("\"::m::S\"", "\"::m::S/\"", 15, 10, "handle: expected ::module::Struct"),
        ("\"::m::S\"", "\"::m::S<0x1::aptos_coin\"", 15, 10, "handle: expected ::module::Struct"),
        ("\"::m::S\"", "\"::m::S<u8\"", 15, 10, "handle: expected ::module::Struct"),
        ("field = \"a\"", "field = \"\"", 16, 9, "field: expected the name of a field"),
        (
            "field = \"a\"",
            "field = \"a b\"",
            16,
            9,
            "field: expected the name of a field, such as \"sale_events\", found \"a b\"",
        ),
        ("field = \"a\"", "field = \"a\"\nevent = \"::m x::E-\"", 17, 9, "event: expected ::module::Struct"),
        (
            "field = \"a\"",
            "field = \"a\"\nevent = [\"::m::E\", \"0x1::m::2\"]",
            17,
            20,
            "event: expected ::module::Struct",
        ),
    ]);
}

#[test]
fn what_clashes_is_told() {
    are_told(&[
        ("name = \"buy\"", "name = \"list\"", 20, 8, "two streams are named \"list\""),
        ("field = \"b\"", "field = \"a\"", 22, 10, "streams \"list\" and \"buy\" have the same source"),
        (
            "handle = \"::m::S\"\nfield = \"b\"",
            "handle = \"0x01::m::S\"\nfield = \"a\"",
            22,
            10,
            "streams \"list\" and \"buy\" have the same source",
        ),
        ("field = \"b\"", "field = \"b\"\ncreation_number = 4", 24, 1, "creation_number and handle clash"),
        ("field = \"b\"", "field = \"b\"\nfield = \"c\"", 24, 1, "is not TOML: duplicate key"),
        ("\"price\" }", "{ path = \"p?\", default = 1 } }", 17, 50, "default and `?` clash"),
        ("\"price\" }", "{ path = \"p\", value = 1 } }", 17, 49, "path and value clash"),
        ("[\"id\"]", "[\"id\", \"id\"]", 3, 22, "id is there twice"),
    ]);
}

#[test]
fn what_would_never_be_used_is_told() {
    are_told(&[
        (
            "seller = \"by\"",
            "seller = \"by\", buyer = \"b\"",
            17,
            27,
            "buyer: never used: place_listing says nothing about it",
        ),
        (
            "field = \"a\"",
            "field = \"a\"\nevent = [\"::m::E\", \"0x1::m::E\"]",
            17,
            20,
            "event: 0x1::m::E is there twice",
        ),
        (
            "time = \"at\"",
            "time = { path = \"at\", unit = \"seconds\" }",
            6,
            1,
            "time: never used: each stream with that field says its own unit",
        ),
        ("\"price\" }", "\"p or p.q\" }", 17, 35, "\"p.q\" is never reached: where it is, \"p\" is, too"),
        ("\"price\" }", "\"a? or b\" }", 17, 35, "`?` belongs behind the last alternative"),
        (
            "listing_key = [\"id\"]",
            "listing_key = [\"id\"]\ntoken_offer_key = [\"id\"]",
            4,
            1,
            "token_offer_key: never used",
        ),
        ("time = \"at\"", "time = \"at\"\nofferer = \"o\"", 11, 1, "offerer: never used: no stream takes it"),
        ("time = \"at\"", "", 6, 1, "time: never used: no stream has that field"),
        (
            "[\"id\"]",
            "[\"seller\"]",
            24,
            1,
            "stream \"buy\": fill_listing needs the field seller: seller is a part of listing_key",
        ),
    ]);
}

#[test]
fn what_is_missing_is_told() {
    are_told(&[
        ("buyer = \"buyer\"", "", 24, 1, "stream \"buy\": fill_listing needs the field buyer"),
        ("field = \"b\"\n", "", 19, 1, "stream \"buy\": a stream needs a `field`"),
        ("listing_key = [\"id\"]", "", 14, 8, "place_listing needs a key: set listing_key"),
        ("\"price\" }", "{ path = \"p\", for = \"all\" } }", 17, 1, "a price for all needs the field quantity"),
    ]);
}

#[test]
fn a_byte_that_is_no_text_is_told_by_line_and_column() {
    let told = |bytes: &[u8]| Market::of_bytes("my.toml", bytes).map_err(|error| error.to_string());
    assert!(told(FILE.as_bytes()).is_ok());
    let latin = [FILE.replace("\"toy\"", "\"toy\" # é").as_bytes(), b"# caf\xe9\n"].concat();
    let reason = "market file my.toml: line 25, column 6: is not UTF-8: found the byte 0xe9; save it as UTF-8";
    assert_eq!(told(&latin).unwrap_err(), reason);
}

#[test]
fn a_file_may_be_like_a_built_in_market() {
    let like =
        |more: &str| Market::parse("g.toml", &format!("name = \"g\"\n{more}"), None).map_err(|error| error.to_string());
    let gallery = like("like = \"marketplace\"\naddress = \"0x9\"").unwrap();
    assert_eq!(
        (&*gallery.streams[0].observer, &*gallery.streams[0].events[0]),
        ("g:list", "0x9::events::ListingPlaced")
    );
    let wapal = like("like = \"wapal\"\naddress = \"0x9\"\naccount = \"0x8\"").unwrap();
    assert_eq!(wapal.streams[0].source.account(), "0x8".parse().unwrap());
    for (more, reason) in [
        (
            "like = \"marketplac\"\naddress = \"0x9\"",
            "line 2, column 8: like: unknown built-in market `marketplac`; did you mean `marketplace`?",
        ),
        ("like = \"wapal\"\naddress = \"0x9\"", "line 2, column 8: the handles are at an account of their own"),
        (
            "like = \"marketplace\"\naddress = \"0x9\"\nlisting_key = [\"id\"]",
            "line 4, column 1: listing_key and like clash",
        ),
        (
            "like = \"marketplace\"\naddress = \"0x9\"\naccount = \"0x8\"",
            "line 4, column 1: account: never used: no stream has a handle there",
        ),
        ("like = \"marketplace\"", "line 1, column 1: a market needs an `address`"),
    ] {
        let told = like(more).unwrap_err();
        assert!(told.contains(reason), "{told}");
    }
}
