//! Random numbers.

use aws_lc_rs::rand;

/// Returns bytes of the operating system's random generator.
#[allow(clippy::expect_used)] // there is no security without random numbers
pub(crate) fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).expect("the random generator of the system must work");
    bytes
}
