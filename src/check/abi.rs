//! Whether a path leads anywhere in the structs that modules declare.

use std::collections::BTreeMap;

use crate::chain::Address;
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
    /// From a value of type `kind` along `path`.
    pub fn follow(&self, kind: &str, path: &[String]) -> Leads {
        let Some((name, rest)) = path.split_first() else { return Leads::To(kind.to_owned()) };
        if is_leaf(kind) {
            return Leads::Nowhere(format!("{kind} has no fields, such as {name}"));
        }
        let Some((module, item)) = declared(kind) else { return Leads::Unknown };
        let fields = match self.0.get(&module) {
            None => return Leads::Ask(module),
            Some(None) => return Leads::Unknown,
            Some(Some(declared)) => declared.structs.get(&item),
        };
        match fields.map(|fields| fields.iter().find(|field| field.name == *name)) {
            Some(Some(MoveField { kind, .. })) => self.follow(kind, rest),
            Some(None) => Leads::Nowhere(format!("{item} has no field {name}")),
            None => Leads::Nowhere(format!("the module {} declares no {item}", module.1)),
        }
    }
}

/// What JSON shows as one value.
fn is_leaf(kind: &str) -> bool {
    const LEAVES: [&str; 10] =
        ["bool", "u8", "u16", "u32", "u64", "u128", "u256", "address", "vector<u8>", "0x1::string::String"];
    LEAVES.contains(&kind)
}

/// Module and name of a struct, unless its JSON looks otherwise than its declaration, or it is a type parameter.
fn declared(kind: &str) -> Option<(ModuleId, String)> {
    let plain = kind.split('<').next().unwrap_or_default();
    let mut parts = plain.split("::");
    let (address, module, item) = (parts.next()?.parse().ok()?, parts.next()?, parts.next()?);
    (plain != "0x1::option::Option").then(|| ((address, module.to_owned()), item.to_owned()))
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
                    field("odd", "0x2::market::Odd"),
                ],
            )]),
        };
        let token =
            Module { structs: BTreeMap::from([("TokenId".to_owned(), vec![field("name", "0x1::string::String")])]) };
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
        assert_eq!(follow("far.x"), Leads::Ask(("0x9".parse().unwrap(), "away".to_owned())));
    }

    #[test]
    fn a_path_that_leads_nowhere_is_told_where_it_ends() {
        for (path, why) in [
            ("prise", "Sale has no field prise"),
            ("token.nam", "TokenId has no field nam"),
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
        assert_eq!(follow("maybe.vec"), Leads::Unknown);
    }

    #[test]
    fn the_type_of_events_stands_in_the_handles_type() {
        assert_eq!(event_type("0x1::event::EventHandle<0x2::m::E<u8>>"), Some("0x2::m::E<u8>"));
        assert_eq!(event_type("u64"), None);
    }
}
