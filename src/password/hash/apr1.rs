//! `$apr1$`, Apache's variant of MD5 crypt: 1000 rounds of MD5. It is a former default of
//! `htpasswd`.

use md5::{Digest, Md5};

const ROUNDS: usize = 1000;
const ALPHABET: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// The bytes of the digest that are encoded together.
const ORDER: [(usize, usize, usize); 5] =
    [(0, 6, 12), (1, 7, 13), (2, 8, 14), (3, 9, 15), (4, 10, 5)];

/// Returns the 22 characters that follow `$apr1$SALT$`.
pub(crate) fn digest(password: &[u8], salt: &[u8]) -> String {
    let inner = Md5::new().chain_update(password).chain_update(salt).chain_update(password);
    let inner = inner.finalize();
    let mut outer = Md5::new().chain_update(password).chain_update(b"$apr1$").chain_update(salt);
    for part in password.chunks(inner.len()) {
        outer.update(inner.get(..part.len()).unwrap_or_default());
    }
    // Each bit of the length selects a zero byte or the first byte of the password.
    let mut length = password.len();
    while length > 0 {
        outer.update(if length & 1 == 1 { &[0] } else { password.get(..1).unwrap_or_default() });
        length >>= 1;
    }
    let mut last = outer.finalize();
    for round in 0..ROUNDS {
        let mut next = Md5::new();
        next.update(if round % 2 == 1 { password } else { last.as_slice() });
        if round % 3 != 0 {
            next.update(salt);
        }
        if round % 7 != 0 {
            next.update(password);
        }
        next.update(if round % 2 == 1 { last.as_slice() } else { password });
        last = next.finalize();
    }
    let byte = |at: usize| u32::from(last.get(at).copied().unwrap_or_default());
    let mut text = String::with_capacity(22);
    for (high, middle, low) in ORDER {
        push_base64(&mut text, byte(high) << 16 | byte(middle) << 8 | byte(low), 4);
    }
    push_base64(&mut text, byte(11), 2);
    text
}

/// Appends `characters` characters of crypt base64, lowest six bits first.
fn push_base64(text: &mut String, mut bits: u32, characters: usize) {
    for _ in 0..characters {
        let at = usize::try_from(bits & 63).unwrap_or_default();
        text.extend(ALPHABET.get(at).map(|&byte| char::from(byte)));
        bits >>= 6;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_equals_that_of_apache_and_openssl() {
        // Written by `htpasswd -nbm` of Apache 2.4 and `openssl passwd -apr1`.
        for (password, salt, expected) in [
            ("password", "lZL6V/ci", "eIMz/iKDkbtys/uU7LEK00"),
            ("password", "RandSalt", "PgCXHRrkpSt4cbyC2C6bm/"),
        ] {
            assert_eq!(digest(password.as_bytes(), salt.as_bytes()), expected);
        }
    }
}
