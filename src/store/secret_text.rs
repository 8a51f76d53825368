//! Keys as text.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, STANDARD_PAD_INDIFFERENT, URL_SAFE_PAD_INDIFFERENT},
};
use zeroize::Zeroizing;

use crate::{config_error::ConfigError, secret_check::is_guessable};

pub(super) const CREATE: &str = "create a key with `openssl rand -base64 32`";

/// A key that is not obviously bad.
pub(super) struct Key(Zeroizing<[u8; Self::LENGTH]>);

/// What is wrong with a text, without any part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Problem {
    Empty,
    TooMany,
    NotBase64,
    Guessable,
    Repeated,
}

impl Key {
    const LENGTH: usize = 32;
    /// More than 32 bytes in base64. The decoder rounds up.
    const MAX_TEXT: usize = 48;

    pub(super) fn new(bytes: [u8; Self::LENGTH]) -> Result<Self, Problem> {
        let bytes = Zeroizing::new(bytes);
        if is_guessable(&*bytes) { Err(Problem::Guessable) } else { Ok(Self(bytes)) }
    }

    pub(super) fn as_bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }

    /// Returns the text of the key, with a line feed.
    pub(super) fn to_line(&self) -> Zeroizing<String> {
        let mut line = Zeroizing::new(String::with_capacity(64));
        STANDARD.encode_string(self.0.as_slice(), &mut line);
        line.push('\n');
        line
    }

    fn decode(text: &[u8]) -> Result<Self, Problem> {
        let mut bytes = Zeroizing::new([0; Self::MAX_TEXT]);
        if text.len() > Self::MAX_TEXT {
            return Err(Problem::NotBase64);
        }
        // The errors of the decoder contain bytes of the text.
        let length = STANDARD_PAD_INDIFFERENT
            .decode_slice(text, &mut *bytes)
            .or_else(|_| URL_SAFE_PAD_INDIFFERENT.decode_slice(text, &mut *bytes))
            .map_err(|_| Problem::NotBase64)?;
        match bytes.split_first_chunk() {
            Some((key, _)) if length == Self::LENGTH => Self::new(*key),
            _ => Err(Problem::NotBase64),
        }
    }
}

/// Parses one key or two, separated by white space or commas.
pub(super) fn parse(text: &[u8]) -> Result<(Key, Option<Key>), Problem> {
    parse_parts(text.split(|byte| byte.is_ascii_whitespace() || *byte == b','))
}

/// Parses one key or two, on a line each.
pub(super) fn parse_lines(text: &[u8]) -> Result<(Key, Option<Key>), Problem> {
    parse_parts(text.split(|byte| *byte == b'\n'))
}

fn parse_parts<'a>(parts: impl Iterator<Item = &'a [u8]>) -> Result<(Key, Option<Key>), Problem> {
    let mut parts = parts.map(<[u8]>::trim_ascii).filter(|part| !part.is_empty());
    let current = Key::decode(parts.next().ok_or(Problem::Empty)?)?;
    let Some(previous) = parts.next() else { return Ok((current, None)) };
    if parts.next().is_some() {
        return Err(Problem::TooMany);
    }
    let previous = Key::decode(previous)?;
    match current.0 == previous.0 {
        true => Err(Problem::Repeated),
        false => Ok((current, Some(previous))),
    }
}

impl Problem {
    /// Returns the error for a text at this place.
    pub(super) fn at(self, place: &str) -> ConfigError {
        match self {
            Self::Empty => {
                ConfigError::missing(format!("{place} is empty: write a key to it; {CREATE}"))
            }
            Self::TooMany => ConfigError::invalid(format!(
                "{place} has more than two keys: keep the current one and the previous one"
            )),
            Self::NotBase64 => ConfigError::invalid(format!(
                "{place} has text that is not the base64 form of 32 bytes; {CREATE}"
            )),
            Self::Guessable => {
                ConfigError::key(format!("{place} is not random, so it can be guessed; {CREATE}"))
            }
            Self::Repeated => ConfigError::conflict(format!(
                "{place} has the same key twice: remove one, or replace one for a rotation"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "+/v7+/v7AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBk=";
    const TWO: &str = "MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1ub3BxcnN0dXY=";

    fn first(text: &str) -> Result<[u8; 32], Problem> {
        let (current, previous) = parse_lines(text.as_bytes())?;
        assert!(previous.is_none());
        Ok(*current.as_bytes())
    }

    #[test]
    fn key_is_read_in_each_form_of_base64() {
        let expected = first(ONE).unwrap();
        assert_eq!(expected[..3], [0xfb, 0xfb, 0xfb]);
        let url_safe = ONE.replace('+', "-").replace('/', "_");
        let bare = ONE.trim_end_matches('=');
        let bare_url_safe = url_safe.trim_end_matches('=');
        for text in [
            format!("{ONE}\n"),
            format!("\r\n {ONE} \r\n\n"),
            url_safe.clone(),
            bare.to_owned(),
            bare_url_safe.to_owned(),
        ] {
            assert_eq!(first(&text).unwrap(), expected, "{text:?}");
        }
    }

    #[test]
    fn two_keys_are_the_current_and_the_previous_one() {
        let keys = |result: Result<(Key, Option<Key>), Problem>| {
            let (current, previous) = result.unwrap();
            (*current.as_bytes(), previous.map(|key| *key.as_bytes()))
        };
        let expected = (first(ONE).unwrap(), Some(first(TWO).unwrap()));
        assert_eq!(keys(parse_lines(format!("{ONE}\n{TWO}\n").as_bytes())), expected);
        for separator in [" ", ",", ", ", "\n", "\t \r\n"] {
            assert_eq!(keys(parse(format!(" {ONE}{separator}{TWO} ").as_bytes())), expected);
        }
    }

    #[test]
    fn other_texts_are_errors_without_their_content() {
        let zeros = STANDARD.encode([0; 32]);
        let long = STANDARD.encode([b'a'; 33]);
        for (text, problem) in [
            (String::new(), Problem::Empty),
            (" \n\r\n".into(), Problem::Empty),
            (format!("{ONE}\n{TWO}\n{ONE}"), Problem::TooMany),
            (format!("{ONE} {TWO}"), Problem::NotBase64),
            (format!("{ONE}="), Problem::NotBase64),
            (ONE.replace('g', "!"), Problem::NotBase64),
            (ONE.replace("Bk=", "Bl="), Problem::NotBase64),
            (ONE[4..].into(), Problem::NotBase64),
            (long, Problem::NotBase64),
            ("hunter2".into(), Problem::NotBase64),
            ("1f".repeat(32), Problem::NotBase64),
            ("A".repeat(100_000), Problem::NotBase64),
            (format!("# a comment\n{ONE}"), Problem::NotBase64),
            (format!("\u{feff}{ONE}"), Problem::NotBase64),
            (zeros.clone(), Problem::Guessable),
            (format!("{ONE}\n{zeros}"), Problem::Guessable),
            (STANDARD.encode([b'a'; 32]), Problem::Guessable),
            (format!("{ONE}\n{ONE}"), Problem::Repeated),
        ] {
            let Err(found) = parse_lines(text.as_bytes()) else { panic!("accepted: {text:.80}") };
            assert_eq!(found, problem, "{text:.80}");
            let error = found.at("the file");
            let message = format!("{error:?} {error:#}");
            let shown = text.split_whitespace().filter(|part| part.len() > 3);
            assert!(!shown.into_iter().any(|part| message.contains(part)), "{message}");
        }
    }

    #[test]
    fn line_of_a_key_is_its_text() {
        let (key, _) = parse_lines(ONE.as_bytes()).unwrap();
        assert_eq!(*key.to_line(), format!("{ONE}\n"));
    }
}
