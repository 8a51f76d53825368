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
