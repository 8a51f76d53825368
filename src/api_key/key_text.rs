//! The text of a key: `prefix_<id>_<secret><checksum>`.

use zeroize::Zeroizing;

use crate::{config_error::ConfigError, random::random_bytes};

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// 95 bits, so that ids do not repeat.
const ID: usize = 16;
/// 160 bits.
const SECRET: usize = 27;
/// 32 bits.
const CHECKSUM: usize = 6;
const MAX_PREFIX: usize = 20;

/// Creates the text of a new key, and returns it with its id.
pub(super) fn generate(prefix: &str) -> (Zeroizing<String>, Box<str>) {
    let mut text = Zeroizing::new(String::with_capacity(prefix.len() + ID + SECRET + CHECKSUM + 2));
    text.push_str(prefix);
    text.push('_');
    push_random(&mut text, ID);
    let id = text.get(prefix.len() + 1..).unwrap_or_default().into();
    text.push('_');
    push_random(&mut text, SECRET);
    let checksum = checksum(text.as_bytes());
    checksum.iter().for_each(|digit| text.push(char::from(*digit)));
    (text, id)
}

/// Returns the id of a key whose form and checksum are right.
pub(super) fn parse<'a>(prefix: &str, text: &'a [u8]) -> Option<&'a str> {
    let rest = text.strip_prefix(prefix.as_bytes())?.strip_prefix(b"_")?;
    let (id, rest) = rest.split_at_checked(ID)?;
    let secret = rest.strip_prefix(b"_")?;
    if secret.len() != SECRET + CHECKSUM || !is_id(id) || !is_base62(secret) {
        return None;
    }
    let (checked, sent) = text.split_last_chunk::<CHECKSUM>()?;
    if *sent != checksum(checked) {
        return None;
    }
    std::str::from_utf8(id).ok()
}

/// Returns whether a text has the form of the id of a key.
pub(super) fn is_id(text: &[u8]) -> bool {
    text.len() == ID && is_base62(text)
}

fn is_base62(text: &[u8]) -> bool {
    text.iter().all(u8::is_ascii_alphanumeric)
}

/// Returns a regular expression that the keys with this prefix match, and no other texts of this
/// service.
pub(super) fn pattern(prefix: &str) -> String {
    format!(r"\b{prefix}_[0-9A-Za-z]{{{ID}}}_[0-9A-Za-z]{{{}}}\b", SECRET + CHECKSUM)
}

/// Checks a prefix: lower-case letters and digits, with single underscores between them.
pub(super) fn check_prefix(prefix: &str) -> Result<(), ConfigError> {
    let is_word = |word: &str| {
        !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    };
    let starts_with_letter = prefix.starts_with(|first: char| first.is_ascii_lowercase());
    if prefix.len() <= MAX_PREFIX && starts_with_letter && prefix.split('_').all(is_word) {
        return Ok(());
    }
    Err(ConfigError::invalid(format!(
        "the prefix {prefix:?} of API keys must be 1 to {MAX_PREFIX} lower-case letters and \
         digits, with single underscores between them, and start with a letter: for example acme"
    )))
}

fn push_random(text: &mut String, digits: usize) {
    let mut missing = digits;
    while missing > 0 {
        // 2 of 64 values are rejected, so that all digits are equally likely.
        let bytes = Zeroizing::new(random_bytes::<32>());
        let usable = bytes.iter().map(|byte| byte & 0x3f);
        let usable = usable.filter_map(|value| DIGITS.get(usize::from(value)));
        for digit in usable.take(missing) {
            text.push(char::from(*digit));
            missing -= 1;
        }
    }
}

/// Returns the CRC-32 in base62, with leading zeros.
fn checksum(text: &[u8]) -> [u8; CHECKSUM] {
    let mut rest = crc32fast::hash(text);
    let mut digits = [b'0'; CHECKSUM];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS.get((rest % 62) as usize).copied().unwrap_or(b'0');
        rest /= 62;
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check value of CRC-32/ISO-HDLC, which is also that of zlib and gzip.
    #[test]
    fn checksum_is_crc_32_in_base62() {
        assert_eq!(crc32fast::hash(b"123456789"), 0xcbf4_3926);
        let value = checksum(b"123456789").iter().fold(0_u64, |value, digit| {
            let digit = DIGITS.iter().position(|other| other == digit).unwrap();
            value * 62 + u64::try_from(digit).unwrap()
        });
        assert_eq!(value, 0xcbf4_3926);
        assert_eq!(checksum(b""), *b"000000");
    }

    #[test]
    fn generated_key_is_parsed() {
        for prefix in ["a", "acme", "acme_live", "a1_b2", "abcdefghijklmnopqrst"] {
            check_prefix(prefix).unwrap();
            let (text, id) = generate(prefix);
            assert_eq!(text.len(), prefix.len() + 51);
            assert_eq!(text.capacity(), text.len(), "a copy could remain in memory");
            assert_eq!(parse(prefix, text.as_bytes()), Some(&*id));
            assert!(is_id(id.as_bytes()));
        }
    }

    #[test]
    fn key_with_any_byte_changed_is_not_parsed() {
        let (text, _) = generate("acme_live");
        for position in 0..text.len() {
            for byte in 0..=u8::MAX {
                let mut changed = text.as_bytes().to_vec();
                if std::mem::replace(&mut changed[position], byte) != byte {
                    assert_eq!(parse("acme_live", &changed), None, "{position} {byte}");
                }
            }
        }
    }

    #[test]
    fn key_with_a_byte_more_or_less_is_not_parsed() {
        let (text, _) = generate("acme");
        let text = text.as_bytes();
        for position in 0..=text.len() {
            for byte in [b'0', b'_', b' ', b'\n', 0, 0xff] {
                let mut longer = text.to_vec();
                longer.insert(position, byte);
                assert_eq!(parse("acme", &longer), None, "{position} {byte}");
            }
            if position < text.len() {
                let mut shorter = text.to_vec();
                shorter.remove(position);
                assert_eq!(parse("acme", &shorter), None, "{position}");
            }
        }
        for other in [&b""[..], b"acme", b"acme_", b"_", "ä".as_bytes(), &[b'a'; 1 << 20]] {
            assert_eq!(parse("acme", other), None);
        }
    }

    /// Clients can make such texts, and a store gets the id.
    #[test]
    fn text_of_another_form_with_a_right_checksum_is_not_parsed() {
        let with_checksum = |text: &[u8]| [text, &checksum(text)].concat();
        let (text, _) = generate("acme");
        let checked = &text.as_bytes()[..text.len() - CHECKSUM];
        assert_eq!(with_checksum(checked), text.as_bytes());
        for position in 0..checked.len() {
            for byte in *b"-' %.\n\0\x80\xff" {
                let mut changed = checked.to_vec();
                changed[position] = byte;
                let changed = with_checksum(&changed);
                assert_eq!(parse("acme", &changed), None, "{position} {byte}");
            }
        }
        for (id, secret) in
            [(ID - 1, SECRET + 1), (ID + 1, SECRET - 1), (ID, SECRET - 1), (ID, SECRET + 1)]
        {
            let text = format!("acme_{}_{}", "a".repeat(id), "b".repeat(secret));
            assert_eq!(parse("acme", &with_checksum(text.as_bytes())), None, "{text}");
        }
    }

    #[test]
    fn key_with_another_prefix_is_not_parsed() {
        let (text, _) = generate("acme_live");
        for prefix in ["acme", "acme_liv", "acme_live_x", "live", "a"] {
            assert_eq!(parse(prefix, text.as_bytes()), None, "{prefix}");
        }
    }

    #[test]
    fn malformed_prefix_is_rejected() {
        for prefix in
            ["", "_a", "a_", "a__b", "A", "a-b", "a b", "1a", "ä", "abcdefghijklmnopqrstu"]
        {
            assert!(check_prefix(prefix).is_err(), "{prefix}");
        }
    }

    /// Chi-squared with 61 degrees of freedom exceeds 150 with a probability below 1e-8.
    #[test]
    fn digits_are_uniform() {
        let mut counts = [0_u32; 62];
        let mut text = String::new();
        push_random(&mut text, 62_000);
        for byte in text.bytes() {
            counts[DIGITS.iter().position(|digit| *digit == byte).unwrap()] += 1;
        }
        let chi_squared: f64 =
            counts.iter().map(|count| (f64::from(*count) - 1000.0).powi(2) / 1000.0).sum();
        assert!(chi_squared < 150.0, "{chi_squared}");
    }

    /// Clients can find other texts that match, but not by accident: one of 2^32.
    #[test]
    fn checksum_separates_keys_from_other_texts_of_the_form() {
        for _ in 0..1000 {
            let mut text = String::from("acme_");
            push_random(&mut text, ID);
            text.push('_');
            push_random(&mut text, SECRET + CHECKSUM);
            assert_eq!(parse("acme", text.as_bytes()), None, "{text}");
        }
    }
}
