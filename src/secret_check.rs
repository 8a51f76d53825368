//! A check of secrets.

/// Returns whether a secret of 32 or more bytes is obviously not random.
pub(crate) fn is_guessable(secret: &[u8]) -> bool {
    /// 32 random bytes have fewer different ones once in 10^40 times.
    const MIN_DIFFERENT: usize = 8;

    let mut is_new = [true; 256];
    let different = secret
        .iter()
        .filter(|byte| is_new.get_mut(usize::from(**byte)).is_some_and(std::mem::take));
    different.count() < MIN_DIFFERENT
}
