//! What is drawn from the one roll that comes with every input: each use salts it, so that two uses of one roll do not move together.

/// A number below `bound` (0 when `bound` is 0). The bias is at most `bound` in 2^64.
pub(super) const fn below(roll: u64, salt: u64, bound: u64) -> u64 {
    if bound == 0 { 0 } else { mix(roll ^ mix(salt)) % bound }
}

/// The finaliser of splitmix64: every bit of the input moves every bit of the output.
const fn mix(roll: u64) -> u64 {
    let z = roll.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
