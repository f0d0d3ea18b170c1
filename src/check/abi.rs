//! Whether a path leads anywhere in the structs that modules declare.

use std::collections::BTreeMap;

use crate::chain::Address;
use crate::market::{MappedField, Shape, did_you_mean};
use crate::subject::{Module, MoveField};

/// A module's account and name.
pub(super) type ModuleId = (Address, String);

/// The modules that have been asked for; `None`: not to be had.
#[derive(Default)]
pub(super) struct Abi(pub BTreeMap<ModuleId, Option<Module>>);

/// Where a path leads.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Leads {
    /// To a field of this type.
    To(String),
    /// To nothing, for this reason.
    Nowhere(String),
    /// Into what no module tells.
    Unknown,
    /// Nobody knows before this module is there.
    Ask(ModuleId),
}

impl Abi {
    /// From a value of type `kind` along `path`, through every `Option` on the way.
    pub fn follow(&self, kind: &str, path: &[String]) -> Leads {
        let Some((name, rest)) = path.split_first() else { return Leads::To(kind.to_owned()) };
        let kind = some(kind);
        // Its declaration has the same field.
        if kind.starts_with(OBJECT) && *name == "inner" {
            return self.follow("address", rest);
        }
        if is_leaf(kind) {
            return Leads::Nowhere(format!("{kind} has no fields, such as {name}"));
        }
        let (item, fields) = match self.fields(kind) {
            Ok(found) => found,
            Err(leads) => return leads,
        };
        if let Some(MoveField { kind, .. }) = fields.iter().find(|field| field.name == *name) {
            return self.follow(kind, rest);
        }
        let meant = did_you_mean(name, fields.iter().map(|field| &*field.name));
        Leads::Nowhere(format!("{item} has no field {name}{meant}"))
    }

    /// Whether a struct of that type is declared: [`Leads::To`] it if so.
    pub fn declares(&self, kind: &str) -> Leads {
        match self.fields(kind) {
            Ok(_) => Leads::To(kind.to_owned()),
            Err(leads) => leads,
        }
    }

    /// Why the struct of that type has no type argument `at`, if so.
    pub fn lacks_argument(&self, kind: &str, at: usize) -> Option<String> {
        let (module, item) = declared(kind)?;
        let count = *self.0.get(&module)?.as_ref()?.type_parameters.get(&item)?;
        let count = match count {
            _ if at < count => return None,
            0 => "no type parameter".to_owned(),
            1 => "only 1 type parameter, 0".to_owned(),
            _ => format!("only {count} type parameters, counted from 0"),
        };
        Some(format!("currency = {{ type_argument = {at} }}: {item} has {count}"))
    }

    /// The name and the fields of a struct.
    fn fields(&self, kind: &str) -> Result<(String, &[MoveField]), Leads> {
        let Some((module, item)) = declared(kind) else { return Err(Leads::Unknown) };
        let declared = match self.0.get(&module) {
            None => return Err(Leads::Ask(module)),
            Some(None) => return Err(Leads::Unknown),
            Some(Some(declared)) => declared,
        };
        let meant = || did_you_mean(&item, declared.structs.keys().map(|name| &**name));
        let nowhere = || Leads::Nowhere(format!("the module {} declares no {item}{}", module.1, meant()));
        let fields = declared.structs.get(&item).ok_or_else(nowhere)?;
        Ok((item, fields))
    }
}

const OBJECT: &str = "0x1::object::Object<";

/// What an `Option` is of; any other type as it is.
pub(super) fn some(kind: &str) -> &str {
    kind.strip_prefix("0x1::option::Option<").and_then(|inside| inside.strip_suffix('>')).unwrap_or(kind)
}

/// Whether values of a type are what a field is read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    Yes,
    /// As long as the text of a value spells what is read.
    Spelt,
    No,
    /// Nobody knows.
    Unknown,
}

/// Whether values of that type are what the field is read as.
#[must_use]
pub fn fits(field: &MappedField, kind: &str) -> Fit {
    const NUMBERS: [&str; 6] = ["u8", "u16", "u32", "u64", "u128", "u256"];
    const TEXTS: [&str; 2] = ["0x1::string::String", "0x1::ascii::String"];
    const IN_QUOTES: [&str; 4] = ["u64", "u128", "u256", "address"];
    let kind = some(kind);
    let is_number = NUMBERS.contains(&kind);
    let is_address = kind == "address" || kind.starts_with(OBJECT);
    if !kind.contains("::") && !is_leaf(kind) && !kind.starts_with("vector<") {
        // A type parameter.
        return Fit::Unknown;
    }
    let is_it = match field.shape {
        Shape::Id => is_number || is_address || kind == "0x1::guid::ID",
        Shape::Token => is_address || kind == "0x3::token::TokenId" || kind == "0x3::token::TokenDataId",
        Shape::Address => is_address,
        Shape::Text if field.hex => kind == "vector<u8>",
        Shape::Text => TEXTS.contains(&kind),
        Shape::Amount | Shape::Count => is_number,
        Shape::Coin => is_address || kind == "0x1::type_info::TypeInfo" || TEXTS.contains(&kind),
        Shape::Bool => kind == "bool",
    };
    // In JSON these are texts, and texts are read as whatever they spell.
    let is_text = TEXTS.contains(&kind) || (field.shape == Shape::Text && !field.hex && IN_QUOTES.contains(&kind));
    match (is_it, is_text) {
        (true, _) => Fit::Yes,
        (false, true) => Fit::Spelt,
        (false, false) => Fit::No,
    }
}

/// What JSON shows as one value.
fn is_leaf(kind: &str) -> bool {
    const LEAVES: [&str; 11] = [
        "bool",
        "u8",
        "u16",
        "u32",
        "u64",
        "u128",
        "u256",
        "address",
        "vector<u8>",
        "0x1::string::String",
        "0x1::ascii::String",
    ];
    LEAVES.contains(&kind) || kind.starts_with(OBJECT)
}

/// Module and name of a struct, unless it is a type parameter.
fn declared(kind: &str) -> Option<(ModuleId, String)> {
    let plain = kind.split('<').next().unwrap_or_default();
    let mut parts = plain.split("::");
    let (address, module, item) = (parts.next()?.parse().ok()?, parts.next()?, parts.next()?);
    Some(((address, module.to_owned()), item.to_owned()))
}

/// The type of the events of a handle of this type.
pub(super) fn event_type(handle: &str) -> Option<&str> {
    handle.strip_prefix("0x1::event::EventHandle<")?.strip_suffix('>')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, kind: &str) -> MoveField {
        MoveField { name: name.to_owned(), kind: kind.to_owned() }
    }

    fn follow(path: &str) -> Leads {
        let market = Module {
            structs: BTreeMap::from([(
                "Sale".to_owned(),
                vec![
                    field("price", "u128"),
                    field("token", "0x3::token::TokenId"),
                    field("far", "0x9::away::Thing"),
                    field("lost", "0x8::gone::Thing<T0>"),
                    field("maybe", "0x1::option::Option<u64>"),
                    field("some", "0x1::option::Option<0x3::token::TokenId>"),
                    field("owner", "0x1::object::Object<0x1::object::ObjectCore>"),
                    field("odd", "0x2::market::Odd"),
                ],
            )]),
            ..Module::default()
        };
        let token = Module {
            structs: BTreeMap::from([("TokenId".to_owned(), vec![field("name", "0x1::string::String")])]),
            ..Module::default()
        };
        let id = |address: &str, name: &str| (address.parse().unwrap(), name.to_owned());
        let modules =
            [(id("0x2", "market"), Some(market)), (id("0x3", "token"), Some(token)), (id("0x8", "gone"), None)];
        let path: Vec<_> = path.split('.').map(str::to_owned).collect();
        Abi(modules.into()).follow("0x2::market::Sale", &path)
    }

    #[test]
    fn a_path_leads_through_structs_of_several_modules() {
        assert_eq!(follow("price"), Leads::To("u128".to_owned()));
        assert_eq!(follow("token.name"), Leads::To("0x1::string::String".to_owned()));
        assert_eq!(follow("some.name"), Leads::To("0x1::string::String".to_owned()));
        assert_eq!(follow("owner.inner"), Leads::To("address".to_owned()));
        assert_eq!(follow("far.x"), Leads::Ask(("0x9".parse().unwrap(), "away".to_owned())));
    }

    #[test]
    fn a_path_that_leads_nowhere_is_told_where_it_ends() {
        for (path, why) in [
            ("prise", "Sale has no field prise; did you mean `price`?"),
            ("token.nam", "TokenId has no field nam; did you mean `name`?"),
            ("maybe.vec", "u64 has no fields, such as vec"),
            ("owner.outer", "0x1::object::Object<0x1::object::ObjectCore> has no fields, such as outer"),
            ("price.x", "u128 has no fields, such as x"),
            ("token.name.bytes", "0x1::string::String has no fields, such as bytes"),
            ("odd.x", "the module market declares no Odd"),
        ] {
            assert_eq!(follow(path), Leads::Nowhere(why.to_owned()), "{path}");
        }
    }

    #[test]
    fn what_no_module_tells_is_unknown() {
        assert_eq!(follow("lost.x"), Leads::Unknown);
    }

    #[test]
    fn types_fit_what_they_are_read_as() {
        use Fit::{No, Spelt, Unknown, Yes};
        let field = |shape, hex| MappedField { name: "x", paths: vec![], shared: false, optional: false, shape, hex };
        for (shape, hex, kind, expected) in [
            (Shape::Amount, false, "u128", Yes),
            (Shape::Amount, false, "0x1::option::Option<u64>", Yes),
            (Shape::Amount, false, "address", No),
            (Shape::Count, false, "T0", Unknown),
            (Shape::Address, false, "0x1::object::Object<0x4::token::Token>", Yes),
            (Shape::Address, false, "u64", No),
            (Shape::Token, false, "0x3::token::TokenId", Yes),
            (Shape::Id, false, "0x1::guid::ID", Yes),
            (Shape::Text, false, "vector<u8>", No),
            (Shape::Text, true, "vector<u8>", Yes),
            (Shape::Text, false, "u64", Spelt),
            (Shape::Text, false, "u8", No),
            (Shape::Text, true, "0x1::string::String", Spelt),
            (Shape::Amount, false, "0x1::string::String", Spelt),
            (Shape::Bool, false, "0x1::option::Option<0x1::string::String>", Spelt),
            (Shape::Coin, false, "0x1::type_info::TypeInfo", Yes),
            (Shape::Coin, false, "0x1::object::Object<0x1::fungible_asset::Metadata>", Yes),
            (Shape::Coin, false, "address", Yes),
            (Shape::Coin, false, "u64", No),
            (Shape::Bool, false, "vector<bool>", No),
        ] {
            assert_eq!(fits(&field(shape, hex), kind), expected, "{shape:?} {kind}");
        }
    }

    #[test]
    fn the_type_of_events_stands_in_the_handles_type() {
        assert_eq!(event_type("0x1::event::EventHandle<0x2::m::E<u8>>"), Some("0x2::m::E<u8>"));
        assert_eq!(event_type("u64"), None);
    }
}
