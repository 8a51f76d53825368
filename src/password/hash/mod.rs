pub(crate) mod apr1;
pub(crate) mod kind;
pub(crate) mod memory;

use std::{fmt, sync::Arc};

use argon2::{Argon2, PasswordHasher as _, PasswordVerifier as _};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::{Digest as _, Sha1};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use self::kind::{Kind, prehashed};
pub(crate) use self::{kind::Accepted, memory::Memory};
use crate::config_error::ConfigError;

/// The hash of a password, as it is stored.
///
/// | kind | looks like |
/// | --- | --- |
/// | argon2 | `$argon2id$v=19$m=19456,t=2,p=1$…` |
/// | bcrypt | `$2b$12$…`, `$2y$…`, `$2a$…`; for passwords of up to 72 bytes |
/// | bcrypt over HMAC-SHA-256 | `$bcrypt-sha256$v=2,t=2b,r=12$…`, as passlib writes it; for longer ones |
/// | scrypt | `$scrypt$ln=17,r=8,p=1$…`, `$7$…` |
/// | PBKDF2 | `$pbkdf2-sha256$i=600000,l=32$…`, `$pbkdf2-sha512$…`; also as passlib writes it |
/// | SHA-crypt | `$6$…`, `$5$…` |
///
/// ```
/// use tower_auth::password::PasswordHash;
///
/// let hash = PasswordHash::parse("$2y$05$bvIG6Nmid91Mu9RcmmWZfO5HJIMCT8riNW0hEp8f6/FuA2/mHZFpe")?;
/// assert!(hash.verify("password"));
/// assert!(hash.is_weak()); // a cost of 5 was enough once
/// # Ok::<(), tower_auth::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct PasswordHash(Arc<Inner>);

struct Inner {
    text: Zeroizing<Box<str>>,
    /// SHA-256 of the text, which takes its place where it is one thing among others.
    digest: Zeroizing<[u8; 32]>,
    kind: Kind,
    /// How often a password was hashed to be compared with it.
    #[cfg(test)]
    hashed: std::sync::atomic::AtomicUsize,
}

impl PasswordHash {
    /// The longest password that is hashed, in bytes; some kinds take time in proportion to it. A longer one is never
    /// right.
    pub const MAX_PASSWORD_BYTES: usize = 512;

    /// What bcrypt reads of a password, in bytes.
    const BCRYPT_BYTES: usize = 72;

    /// Hashes a password with argon2id, at the cost that OWASP recommends (19 MiB, two passes).
    ///
    /// It takes tens of milliseconds: not for an executor's thread.
    ///
    /// # Errors
    ///
    /// If the system has no randomness for the salt, or if the password is longer than
    /// [`MAX_PASSWORD_BYTES`](Self::MAX_PASSWORD_BYTES) or holds a zero character.
    pub fn new(password: &str) -> Result<Self, ConfigError> {
        if password.len() > Self::MAX_PASSWORD_BYTES {
            return Err(ConfigError::new("the password is too long: 512 bytes are enough"));
        }
        if password.contains('\0') {
            return Err(ConfigError::new("take the zero character out of the password"));
        }
        let hash = Argon2::default().hash_password(password.as_bytes());
        let hash = hash.map_err(|error| ConfigError::new(format!("cannot hash: {error}")))?;
        Self::parse(&hash.to_string())
    }

    /// Reads a hash of the kinds above.
    ///
    /// # Errors
    ///
    /// If it is of another kind, is not whole, or costs more than any login should: over 1 GiB of memory, a bcrypt
    /// cost over 16, or ten million rounds.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        Self::parse_as(text, Accepted::default())
    }

    /// [`parse`](Self::parse), and `$apr1$` as well, which htpasswd wrote by default for long.
    ///
    /// # Errors
    ///
    /// As [`parse`](Self::parse) does.
    ///
    /// # Security
    ///
    /// It is a thousand rounds of MD5. Whoever gets hold of the hash tries millions of passwords a second.
    pub fn parse_or_apr1(text: &str) -> Result<Self, ConfigError> {
        Self::parse_as(text, Accepted { apr1: true, insecure: false })
    }

    /// [`parse`](Self::parse), and `$apr1$`, `{SHA}` and plain text as well. What is none of these is taken for plain
    /// text.
    ///
    /// # Errors
    ///
    /// As [`parse`](Self::parse) does.
    ///
    /// # Security
    ///
    /// Whoever gets hold of it has the passwords, or nearly so: `{SHA}` is one round of SHA-1 without salt. And where the
    /// hash of another kind is taken for plain text, as that of DES is, it is itself the password.
    pub fn dangerous_parse_insecure(text: &str) -> Result<Self, ConfigError> {
        Self::parse_as(text, Accepted { apr1: true, insecure: true })
    }

    /// Of argon2id at the cost of new hashes. Nobody knows a password for it.
    pub(crate) fn decoy(text: &str) -> Self {
        let (memory_kib, passes) = (argon2::Params::DEFAULT_M_COST, argon2::Params::DEFAULT_T_COST);
        let kind = Kind::Argon2 { id: true, memory_kib, passes, lanes: 1 };
        Self::of_kind(text, kind)
    }

    pub(crate) fn parse_as(text: &str, accepted: Accepted) -> Result<Self, ConfigError> {
        Ok(Self::of_kind(text, Kind::of(text, accepted)?))
    }

    fn of_kind(text: &str, kind: Kind) -> Self {
        Self(Arc::new(Inner {
            text: Zeroizing::new(text.into()),
            digest: Zeroizing::new(Sha256::digest(text).into()),
            kind,
            #[cfg(test)]
            hashed: Default::default(),
        }))
    }

    /// Whether it is the hash of this password. For bcrypt, a password of more than 72 bytes never is: bcrypt reads no
    /// further, and would take another one that begins alike.
    ///
    /// Nor is it that of one with a zero character, which no client can send: bcrypt and PBKDF2 take it for padding.
    ///
    /// It takes as long as its cost says: not for an executor's thread.
    #[must_use]
    pub fn verify(&self, password: &str) -> bool {
        self.verify_in(&mut Memory::default(), password)
    }

    /// The same, with memory that may be used again.
    pub(crate) fn verify_in(&self, memory: &mut Memory, password: &str) -> bool {
        let (text, password) = (&**self.0.text, password.as_bytes());
        if password.len() > Self::MAX_PASSWORD_BYTES || password.contains(&0) {
            return false;
        }
        #[cfg(test)]
        self.0.hashed.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        match self.0.kind {
            Kind::Argon2 { .. } => memory.verify_argon2(password, text).unwrap_or(false),
            Kind::Bcrypt { .. } => {
                // It takes its time all the same, so that time does not tell the kind.
                let read = password.get(..Self::BCRYPT_BYTES).unwrap_or(password);
                bcrypt::verify(read, text).unwrap_or(false) & (read.len() == password.len())
            }
            Kind::BcryptSha256 { .. } => prehashed(text).is_some_and(|(salt, plain)| {
                let mut mac = hmac(salt.as_bytes());
                mac.update(password);
                let key = Zeroizing::new(STANDARD.encode(mac.finalize().into_bytes()));
                bcrypt::verify(key.as_bytes(), &plain).unwrap_or(false)
            }),
            Kind::Scrypt { crypt: true, .. } => scrypt::mcf::PasswordHashRef::new(text)
                .is_ok_and(|hash| scrypt::Scrypt::new().verify_password(password, hash).is_ok()),
            Kind::Scrypt { crypt: false, .. } => password_hash::phc::PasswordHash::new(text)
                .is_ok_and(|hash| scrypt::Scrypt::new().verify_password(password, &hash).is_ok()),
            Kind::Pbkdf2 { crypt: true, .. } => pbkdf2::mcf::PasswordHashRef::new(text)
                .is_ok_and(|hash| pbkdf2::Pbkdf2::SHA256.verify_password(password, hash).is_ok()),
            Kind::Pbkdf2 { crypt: false, .. } => password_hash::phc::PasswordHash::new(text)
                .is_ok_and(|hash| pbkdf2::Pbkdf2::SHA256.verify_password(password, &hash).is_ok()),
            Kind::ShaCrypt { .. } => {
                sha_crypt::ShaCrypt::SHA512.verify_password(password, text).is_ok()
            }
            Kind::Apr1 => text.rsplit_once('$').is_some_and(|(head, digest)| {
                let salt = head.strip_prefix("$apr1$").unwrap_or_default();
                apr1::digest(password, salt.as_bytes()).as_bytes().ct_eq(digest.as_bytes()).into()
            }),
            Kind::Sha1 => {
                let digest = STANDARD.encode(Sha1::digest(password));
                let stored = text.strip_prefix("{SHA}").unwrap_or_default();
                digest.as_bytes().ct_eq(stored.as_bytes()).into()
            }
            Kind::Plain => Sha1::digest(password).ct_eq(&Sha1::digest(text)).into(),
        }
    }

    /// Whether it costs less than what [`new`](Self::new) makes, or, of another kind, than what OWASP recommends first, and should be
    /// made anew at the user's next login: see [`HashVerifier::on_weak_hash`](super::HashVerifier::on_weak_hash).
    #[must_use]
    pub fn is_weak(&self) -> bool {
        self.0.kind.is_weak()
    }

    #[cfg(test)]
    pub(crate) fn times_hashed(&self) -> usize {
        self.0.hashed.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Whether there is more in it than the password.
    pub(crate) fn is_salted(&self) -> bool {
        !matches!(self.0.kind, Kind::Sha1 | Kind::Plain)
    }

    pub(crate) fn digest(&self) -> &[u8; 32] {
        &self.0.digest
    }

    /// The text of it, to be stored.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0.text
    }
}

pub(crate) fn hmac(key: &[u8]) -> Hmac<Sha256> {
    // A key of any length will do.
    Hmac::new_from_slice(key).unwrap_or_else(|_| Hmac::new(&Default::default()))
}

/// With its kind and cost, and without salt and digest.
impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PasswordHash({:?})", self.0.kind)
    }
}
