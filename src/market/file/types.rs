//! Move types, as a market file names them.

use super::text::{Read, Value};
use crate::chain::Address;

/// The struct that `value` names, in its standard form; one that begins with `::` is below `home`.
pub fn struct_type(value: &Value, home: Address) -> Read<String> {
    let text = value.text()?;
    let whole = if text.starts_with("::") { format!("{home}{text}") } else { text.to_owned() };
    canonical_struct(&whole).ok_or_else(|| {
        let expected = "expected ::module::Struct, of the market's address, or 0xADDRESS::module::Struct";
        value.wrong(format!("{expected}, found {text:?}"))
    })
}

/// The standard form of a struct's type; `None` if `text` is no such type.
pub fn canonical_struct(text: &str) -> Option<String> {
    /// More than the chain allows.
    const DEEPEST: usize = 32;
    let (kind, rest) = read(text, DEEPEST)?;
    (rest.is_empty() && text.trim() == text && kind.starts_with("0x")).then_some(kind)
}

/// Whether Move has such names.
pub fn is_identifier(text: &str) -> bool {
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    plain && text != "_" && !text.is_empty() && !text.starts_with(|first: char| first.is_ascii_digit())
}

/// The type that `text` begins with, in its standard form, and what is behind it.
fn read(text: &str, depth: usize) -> Option<(String, &str)> {
    const PLAIN: [&str; 9] = ["bool", "u8", "u16", "u32", "u64", "u128", "u256", "address", "signer"];
    let depth = depth.checked_sub(1)?;
    let (name, mut rest) = text.split_at(text.find(['<', '>', ',']).unwrap_or(text.len()));
    let name = name.trim();
    let has_arguments = rest.starts_with('<');
    let mut kind = match name.split("::").collect::<Vec<_>>()[..] {
        [address, module, item] if is_identifier(module) && is_identifier(item) => {
            format!("{}::{module}::{item}", address.parse::<Address>().ok()?.in_type())
        }
        ["vector"] if has_arguments => name.to_owned(),
        [plain] if !has_arguments && PLAIN.contains(&plain) => name.to_owned(),
        _ => return None,
    };
    if !has_arguments {
        return Some((kind, rest));
    }
    let mut before = "<";
    while !rest.starts_with('>') {
        let argument;
        (argument, rest) = read(rest.get(1..)?, depth)?;
        kind.extend([before, &argument]);
        before = ", ";
    }
    kind.push('>');
    Some((kind, rest[1..].trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_struct_has_one_form() {
        let long = format!("0x{:0>64}", "92d");
        for (text, form) in [
            ("0x01::m::S", "0x1::m::S".to_owned()),
            ("0x92D::m_1::_S", format!("{long}::m_1::_S")),
            (
                "0x1::m::S<u8,vector< 0x01::a::B<bool> > , address>",
                "0x1::m::S<u8, vector<0x1::a::B<bool>>, address>".to_owned(),
            ),
        ] {
            assert_eq!(canonical_struct(text), Some(form), "{text}");
        }
    }

    #[test]
    fn what_is_no_struct_is_refused() {
        let deep = format!("0x1::m::S<{}u8{}>", "vector<".repeat(1_000_000), ">".repeat(1_000_000));
        for text in [
            "",
            "::",
            "u8",
            "vector<u8>",
            "0x1::m",
            "0x1::m::S::T",
            "1::m::S",
            "0x1::m x::S",
            "0x1::m::S/",
            "0x1::m::1S",
            "0x1::m::_",
            " 0x1::m::S",
            "0x1::m::S ",
            "0x1::m::S<>",
            "0x1::m::S<u8",
            "0x1::m::S<u8,",
            "0x1::m::S<u8,>",
            "0x1::m::S<u8>>",
            "0x1::m::S<u8>x",
            "0x1::m::S<u8<u8>>",
            "0x1::m::S<vector>",
            "0x1::m::S<u7>",
            "0x1::m::S<0x1::a>",
            "0x1::m::S,",
            &deep,
        ] {
            assert_eq!(canonical_struct(text), None, "{text:.99}");
        }
    }
}
