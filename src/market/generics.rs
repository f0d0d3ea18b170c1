//! Type arguments of Move types.

/// The type without its arguments.
#[must_use]
pub fn base(kind: &str) -> &str {
    kind.split('<').next().unwrap_or_default()
}

/// The type's argument at that place, from 0.
#[must_use]
pub fn argument(kind: &str, at: usize) -> Option<&str> {
    let inside = kind[base(kind).len()..].strip_prefix('<')?.strip_suffix('>')?;
    let (mut depth, mut start) = (0_usize, 0);
    let mut arguments = vec![];
    for (end, letter) in inside.char_indices() {
        match letter {
            '<' => depth += 1,
            '>' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                arguments.push(&inside[start..end]);
                start = end + 1;
            }
            _ => {}
        }
    }
    arguments.push(&inside[start..]);
    arguments.get(at).map(|argument| argument.trim()).filter(|argument| !argument.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_may_have_arguments() {
        let kind = "0x1::m::Sale<0x1::a::B<u8, u64>, 0x1::aptos_coin::AptosCoin>";
        assert_eq!(base(kind), "0x1::m::Sale");
        assert_eq!(argument(kind, 0), Some("0x1::a::B<u8, u64>"));
        assert_eq!(argument(kind, 1), Some("0x1::aptos_coin::AptosCoin"));
        assert_eq!((argument(kind, 2), argument("0x1::m::Sale", 0), argument("0x1::m::Sale<>", 0)), (None, None, None));
    }
}
