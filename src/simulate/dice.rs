//! Numbers that look random and are a pure function of what they are about: no state, hence no order to depend on.

/// A number for the `n`-th thing of a kind, by seed (the finalizer of `SplitMix64`, applied to all three).
pub const fn roll(seed: u64, kind: u64, n: u64) -> u64 {
    mix(mix(mix(seed) ^ kind) ^ n)
}

/// A hash for the `n`-th thing of a kind: 32 bytes as `0x` and 64 digits.
pub fn hash(seed: u64, kind: u64, n: u64) -> String {
    let word = |part: u64| roll(seed, kind.wrapping_add(part << 32), n);
    format!("0x{:016x}{:016x}{:016x}{:016x}", word(1), word(2), word(3), word(4))
}

/// Whether the `n`-th thing of a kind is among the given share of all.
pub fn is_among(share: f64, seed: u64, kind: u64, n: u64) -> bool {
    const PARTS: u32 = 1 << 30;
    let part = u32::try_from(roll(seed, kind, n) % u64::from(PARTS)).unwrap_or(0);
    f64::from(part) < share * f64::from(PARTS)
}

const fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}
