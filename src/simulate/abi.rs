//! The contract's modules, as far as a reader of events asks about them: the structs with their fields.

use serde_json::{Value, json};

use super::CONTRACT;
use super::stream::Stream;

/// Names and types.
type Fields = &'static [(&'static str, &'static str)];

const COIN: (&str, &str) = ("coin_type_info", "0x1::type_info::TypeInfo");
const TOKEN: (&str, &str) = ("token_id", "0x3::token::TokenId");
const TEXT: &str = "0x1::string::String";

/// The fields of a stream's events, in the order of the struct, with their types.
const fn fields(stream: Stream) -> Fields {
    match stream {
        Stream::List => &[
            COIN,
            ("offer_id", "u64"),
            ("price", "u128"),
            ("seller", "address"),
            ("timestamp", "u64"),
            ("token_amount", "u64"),
            TOKEN,
            ("locked_until_secs", "u64"),
        ],
        Stream::Delist => {
            &[("offer_id", "u64"), ("seller", "address"), ("timestamp", "u64"), ("token_amount", "u64"), TOKEN]
        }
        Stream::Buy => &[
            COIN,
            ("offer_id", "u64"),
            ("price", "u128"),
            ("buyer", "address"),
            ("seller", "address"),
            ("timestamp", "u64"),
            ("coin_amount", "u128"),
            ("token_amount", "u64"),
            TOKEN,
        ],
        Stream::Offer => &[
            ("coin_amount_per_token", "u128"),
            ("coin_owner", "address"),
            COIN,
            ("event_id", "u64"),
            ("expiration_time", "u64"),
            ("timestamp", "u64"),
            ("token_amount", "u64"),
            TOKEN,
        ],
        Stream::AcceptOffer => &[
            ("is_offer_end", "bool"),
            TOKEN,
            ("coin_owner", "address"),
            ("token_owner", "address"),
            ("token_amount", "u64"),
            ("coin_amount_per_token", "u128"),
            ("timestamp", "u64"),
            ("event_id", "u64"),
            COIN,
            ("expiration_time", "u64"),
        ],
        Stream::CancelOffer => &[
            ("coin_amount", "u128"),
            ("coin_owner", "address"),
            COIN,
            ("event_id", "u64"),
            ("timestamp", "u64"),
            TOKEN,
        ],
        Stream::CreateCollection => &[
            ("creator", "address"),
            ("category", TEXT),
            ("tags", "vector<0x1::string::String>"),
            ("name", TEXT),
            ("description", TEXT),
            ("uri", TEXT),
            ("payees", "vector<address>"),
            ("royalties", "vector<u64>"),
            ("maximum", "u64"),
        ],
        Stream::CreateToken => &[("description", TEXT), ("name", TEXT), ("uri", TEXT), ("creator", "address"), TOKEN],
    }
}

/// Structs of the framework that the contract's events hold: account, module, struct, fields.
const FRAMEWORK: [(&str, &str, &str, Fields); 3] = [
    (
        "0x1",
        "type_info",
        "TypeInfo",
        &[("account_address", "address"), ("module_name", "vector<u8>"), ("struct_name", "vector<u8>")],
    ),
    ("0x3", "token", "TokenId", &[("token_data_id", "0x3::token::TokenDataId"), ("property_version", "u64")]),
    ("0x3", "token", "TokenDataId", &[("creator", "address"), ("collection", TEXT), ("name", TEXT)]),
];

/// A module of an account; None if it has none of that name.
pub fn module_of(account: &str, name: &str) -> Option<Value> {
    if account == CONTRACT {
        return module(name);
    }
    let structs = FRAMEWORK.iter().filter(|(holder, module, ..)| (*holder, *module) == (account, name));
    let structs: Vec<_> =
        structs.map(|(.., item, fields)| declared(item, &["copy", "drop", "store"], fields)).collect();
    (!structs.is_empty()).then(|| shown(account, name, &structs))
}

/// Names of the contract's modules.
pub const MODULES: [&str; 3] = ["fixed_price_market", "offer", "creation"];

/// A module of the contract; None if it has none of that name.
pub fn module(name: &str) -> Option<Value> {
    let of_module = |stream: &Stream| part(stream.holder(), 0) == name;
    let streams: Vec<Stream> = Stream::ALL.into_iter().filter(of_module).collect();
    let holder = part(streams.first()?.holder(), 1);
    let handles = streams.iter().map(|stream| {
        let kind = format!("0x1::event::EventHandle<{}>", stream.event_type());
        json!({"name": stream.field(), "type": kind})
    });
    let mut structs = vec![item(holder, &["key"], &handles.collect::<Vec<_>>())];
    for stream in &streams {
        let event_type = stream.event_type();
        structs.push(declared(part(&event_type, 2), &["drop", "store"], fields(*stream)));
    }
    Some(shown(CONTRACT, name, &structs))
}

fn shown(account: &str, name: &str, structs: &[Value]) -> Value {
    let abi = json!({"address": account, "name": name, "friends": [], "exposed_functions": [], "structs": structs});
    json!({"bytecode": "0xa11ceb0b060000000000", "abi": abi})
}

fn declared(name: &str, abilities: &[&str], fields: Fields) -> Value {
    let fields: Vec<_> = fields.iter().map(|(name, kind)| json!({"name": name, "type": kind})).collect();
    item(name, abilities, &fields)
}

fn item(name: &str, abilities: &[&str], fields: &[Value]) -> Value {
    json!({
        "name": name,
        "is_native": false,
        "is_event": false,
        "is_enum": false,
        "abilities": abilities,
        "generic_type_params": [],
        "fields": fields,
        "variants": [],
    })
}

fn part(path: &str, at: usize) -> &str {
    path.split("::").nth(at).unwrap_or_default()
}
