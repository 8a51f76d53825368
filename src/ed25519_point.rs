//! Ed25519 keys whose signatures anyone can forge.

/// Rejects the eight points of small order, in all their encodings, and every `y` that is not
/// below `p` (RFC 8032 §5.1.3).
///
/// If the public key `A` has a small order, then `k·A` is the neutral element for many hashes `k`.
/// Everyone can then sign with `S = 0`.
pub(crate) fn check_point(mut point: [u8; 32]) -> Result<(), &'static str> {
    // The highest bit is the sign of `x`. With `y`, the negative of a point has the same order.
    if let Some(last) = point.last_mut() {
        *last &= 0x7f;
    }
    if !is_below_p(&point) {
        return Err("the Ed25519 key is not encoded as RFC 8032 requires");
    }
    if SMALL_ORDER.contains(&point) {
        return Err("the Ed25519 key has a small order: anyone can forge its signatures");
    }
    Ok(())
}

/// The `y` of the points of order 1, 2, 4 and 8, in little-endian order. libsodium rejects the same
/// ones (`ge25519_has_small_order`).
const SMALL_ORDER: [[u8; 32]; 5] = [
    // 1: the neutral element
    [
        1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 0,
    ],
    // p - 1: order 2
    [
        0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0x7f,
    ],
    // 0: order 4
    [0; 32],
    // order 8
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98,
        0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53,
        0xfc, 0x05,
    ],
    // order 8
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67,
        0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac,
        0x03, 0x7a,
    ],
];

/// Returns whether a number of 255 bits in little-endian order is below `p = 2^255 - 19`.
fn is_below_p(number: &[u8; 32]) -> bool {
    match number {
        [low, middle @ .., 0x7f] => *low < 0xed || middle.iter().any(|byte| *byte != 0xff),
        _ => true,
    }
}
