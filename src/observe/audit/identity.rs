use std::{fmt, net::IpAddr, sync::Arc};

use aws_lc_rs::{digest, hmac};

use super::line::escape_into;
use crate::{config_error::ConfigError, secret_check::is_guessable};

/// Longer names are shortened. A hash keeps them apart.
const MAX_NAME: usize = 256;
/// How much of a longer name is written.
const PREFIX: usize = 64;
/// So many bytes of a hash are written: 128 bits.
const HASH_BYTES: usize = 16;
const MIN_SECRET: usize = 32;

/// Writes subjects and addresses, as they are or as keyed hashes.
#[derive(Clone)]
pub(super) struct Identities {
    key: Option<Arc<hmac::Key>>,
}

/// What a hash is of. An address and a subject with the same text have different hashes.
#[derive(Clone, Copy)]
enum Kind {
    Subject,
    Address,
}

impl Identities {
    pub(super) fn plain() -> Self {
        Self { key: None }
    }

    pub(super) fn hashed(secret: &[u8]) -> Result<Self, ConfigError> {
        const CREATE: &str = "create one with `openssl rand -base64 32`";
        if secret.len() < MIN_SECRET {
            return Err(ConfigError::key(format!(
                "the secret of the hashes in the audit log is shorter than {MIN_SECRET} bytes: \
                 {CREATE}"
            )));
        }
        if is_guessable(secret) {
            return Err(ConfigError::key(format!(
                "the secret of the hashes in the audit log is not random, so it can be guessed: \
                 {CREATE}"
            )));
        }
        Ok(Self { key: Some(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, secret))) })
    }

    /// Returns whether free text is left out, because it could contain an identity.
    pub(super) fn are_hashed(&self) -> bool {
        self.key.is_some()
    }

    pub(super) fn subject<'a>(&self, subject: &'a str) -> Identity<'a> {
        match self.hash_of(subject) {
            Some(hash) => Identity::Hash(hash),
            None => Identity::Name(subject),
        }
    }

    pub(super) fn address(&self, address: IpAddr) -> Identity<'static> {
        match self.hash_of_address(address) {
            Some(hash) => Identity::Hash(hash),
            None => Identity::Address(address),
        }
    }

    pub(super) fn hash_of(&self, subject: &str) -> Option<Hash> {
        self.hash(Kind::Subject, subject.as_bytes())
    }

    pub(super) fn hash_of_address(&self, address: IpAddr) -> Option<Hash> {
        match address {
            IpAddr::V4(address) => self.hash(Kind::Address, &address.octets()),
            IpAddr::V6(address) => self.hash(Kind::Address, &address.octets()),
        }
    }

    fn hash(&self, kind: Kind, value: &[u8]) -> Option<Hash> {
        let label: &[u8] = match kind {
            Kind::Subject => b"tower-auth audit subject\0",
            Kind::Address => b"tower-auth audit address\0",
        };
        let mut context = hmac::Context::with_key(self.key.as_deref()?);
        context.update(label);
        context.update(value);
        let tag = context.sign();
        Some(Hash(tag.as_ref().first_chunk().copied().unwrap_or_default()))
    }

    /// Returns the forms in which lines can contain the subject.
    ///
    /// Hashes could have been switched on later, so the name is always one of them.
    pub(super) fn forms(&self, subject: &str) -> SubjectForms {
        let name = Some(Identity::Name(subject));
        let hash = self.hash_of(subject).map(Identity::Hash);
        let escaped = |form: Identity<'_>| {
            let mut escaped = Vec::new();
            escape_into(&mut escaped, &form.to_string());
            escaped
        };
        let values = name.into_iter().chain(hash).map(escaped).collect();
        SubjectForms { values, text: subject.as_bytes().to_vec() }
    }
}

/// The forms in which lines can contain a subject.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SubjectForms {
    /// As the value of a member, in JSON without quotes.
    pub(super) values: Vec<Vec<u8>>,
    /// As it is, for paths with percent-encoding.
    pub(super) text: Vec<u8>,
}

/// A subject, an address, or another name that the configuration or an issuer has chosen.
pub(super) enum Identity<'a> {
    Name(&'a str),
    Address(IpAddr),
    Hash(Hash),
}

impl fmt::Display for Identity<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) if name.len() <= MAX_NAME => f.write_str(name),
            Self::Name(name) => {
                let end = (0..=PREFIX).rev().find(|end| name.is_char_boundary(*end));
                let prefix = name.get(..end.unwrap_or_default()).unwrap_or_default();
                let digest = digest::digest(&digest::SHA256, name.as_bytes());
                let hash = Hash(digest.as_ref().first_chunk().copied().unwrap_or_default());
                write!(f, "{prefix}…sha256:{}", Hex(&hash))
            }
            Self::Address(address) => address.fmt(f),
            Self::Hash(hash) => hash.fmt(f),
        }
    }
}

/// A keyed hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hash([u8; HASH_BYTES]);

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hmac:{}", Hex(self))
    }
}

struct Hex<'a>(&'a Hash);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz";

    fn hashed() -> Identities {
        Identities::hashed(SECRET).unwrap()
    }

    #[test]
    fn hash_is_hmac_sha256_of_label_and_subject() {
        // Computed with `openssl dgst -sha256 -hmac`.
        let hash = hashed().subject("alice").to_string();
        assert_eq!(hash, "hmac:844f6135bbfeb8aa390861072181417b");
    }

    #[test]
    fn hashes_depend_on_the_secret_the_kind_and_the_value() {
        let other = Identities::hashed(b"another secret with 32 or more bytes").unwrap();
        let address = IpAddr::from(*b"abcd");
        let texts = [
            hashed().subject("abcd").to_string(),
            hashed().subject("abce").to_string(),
            hashed().address(address).to_string(),
            hashed().address(IpAddr::from(*b"abcdabcdabcdabcd")).to_string(),
            other.subject("abcd").to_string(),
            Identities::plain().subject("abcd").to_string(),
            Identities::plain().address(address).to_string(),
        ];
        for (index, text) in texts.iter().enumerate() {
            assert!(!texts[..index].contains(text), "{text}");
        }
        assert_eq!(texts[5..], ["abcd", "97.98.99.100"]);
    }

    #[test]
    fn weak_secret_is_an_error_without_its_text() {
        for secret in ["short hunter2", &"abababab".repeat(8), &"x".repeat(32)] {
            let Err(error) = Identities::hashed(secret.as_bytes()) else { panic!("{secret}") };
            let message = format!("{error:?} {error:#}");
            assert!(message.contains("openssl rand") && !message.contains(secret), "{message}");
        }
    }

    #[test]
    fn long_names_are_shortened_and_remain_different() {
        let name = |name: &str| Identity::Name(name).to_string();
        let longest = "é".repeat(MAX_NAME / 2);
        assert_eq!(name(&longest), longest);
        let (one, two) = (name(&format!("{longest}1")), name(&format!("{longest}2")));
        assert_ne!(one, two);
        assert!(one.len() < 120 && one.starts_with("éé") && one.contains("é…sha256:"), "{one}");
        let odd = name(&format!("a{longest}"));
        assert!(odd.starts_with("aé") && odd.len() < 120, "{odd}");
    }

    #[test]
    fn forms_of_a_subject_are_its_name_and_its_hash() {
        let forms = hashed().forms("a\"b");
        let hash = hashed().hash_of("a\"b").unwrap().to_string();
        assert_eq!(forms.values, [br#"a\"b"#.to_vec(), hash.into_bytes()]);
        assert_eq!(forms.text, b"a\"b");
        assert_eq!(Identities::plain().forms("bob").values, [b"bob"]);
    }
}
