pub(crate) mod apr1;
pub(crate) mod kind;
pub(crate) mod memory;

use std::{fmt, str::FromStr, sync::Arc};

use argon2::PasswordVerifier as _;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::{Digest as _, Sha1};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use self::{
    kind::{AcceptedKinds, HashKind, split_bcrypt_sha256},
    memory::Argon2Memory,
};
use crate::config_error::ConfigError;

/// A stored password hash.
///
/// | kind | format |
/// | --- | --- |
/// | argon2 | `$argon2id$v=19$m=19456,t=2,p=1$…` |
/// | bcrypt | `$2b$12$…`, `$2y$…`, `$2a$…`; passwords of up to 72 bytes |
/// | bcrypt over HMAC-SHA-256 | `$bcrypt-sha256$v=2,t=2b,r=12$…` (passlib); longer passwords |
/// | scrypt | `$scrypt$ln=17,r=8,p=1$…`, `$7$…` |
/// | PBKDF2 | `$pbkdf2-sha256$i=600000,l=32$…`, `$pbkdf2-sha512$…`; also as passlib writes it |
/// | SHA-crypt | `$6$…`, `$5$…` |
///
/// ```
/// use tower_auth::password::PasswordHash;
///
/// let hash = PasswordHash::parse("$2y$05$bvIG6Nmid91Mu9RcmmWZfO5HJIMCT8riNW0hEp8f6/FuA2/mHZFpe")?;
/// assert!(hash.verify("password"));
/// assert!(hash.is_weak()); // a cost of 5 is too low today
/// # Ok::<(), tower_auth::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct PasswordHash(Arc<HashData>);

struct HashData {
    text: Zeroizing<Box<str>>,
    /// SHA-256 of the text.
    digest: Zeroizing<[u8; 32]>,
    kind: HashKind,
    /// How often a password was checked against this hash.
    #[cfg(test)]
    check_count: std::sync::atomic::AtomicUsize,
}

impl PasswordHash {
    /// The length limit of passwords in bytes: 512. Longer passwords never match.
    ///
    /// Some hash functions take time in proportion to the length of the password.
    pub const MAX_PASSWORD_BYTES: usize = 512;

    /// How many bytes of a password bcrypt reads.
    const BCRYPT_BYTES: usize = 72;

    /// Hashes a password with argon2id, at the cost that OWASP recommends (19 MiB, two passes).
    ///
    /// This takes tens of milliseconds. Do not call it on a thread of the async runtime.
    ///
    /// # Errors
    ///
    /// - If the password is longer than [`MAX_PASSWORD_BYTES`](Self::MAX_PASSWORD_BYTES), or
    ///   contains a NUL character.
    /// - If the random source of the system fails, or there is not enough memory.
    pub fn new(password: &str) -> Result<Self, ConfigError> {
        Self::new_with_memory(&mut Argon2Memory::default(), password)
    }

    /// Like [`new`](Self::new), with reusable memory.
    pub(crate) fn new_with_memory(
        memory: &mut Argon2Memory,
        password: &str,
    ) -> Result<Self, ConfigError> {
        if password.len() > Self::MAX_PASSWORD_BYTES {
            return Err(ConfigError::invalid("password must not be longer than 512 bytes"));
        }
        if password.contains('\0') {
            return Err(ConfigError::invalid("password must not contain a NUL character"));
        }
        let hash = memory.hash(password.as_bytes()).map_err(|error| {
            ConfigError::io(
                "cannot hash the password: make memory and the random numbers of the system \
                 available",
            )
            .with_source(error)
        })?;
        Self::parse(&hash.to_string())
    }

    /// Parses a hash of one of the kinds above.
    ///
    /// # Errors
    ///
    /// - If the hash is of another kind, or is incomplete.
    /// - If no password can match it, for example because its salt cannot be decoded, or because it
    ///   also depends on a secret key (argon2 with `keyid`).
    /// - If it is too expensive. A hash may take about 5 s on one core, at most:
    ///
    /// | kind | limits |
    /// | --- | --- |
    /// | argon2 | 1 GiB of memory, 64 passes, 16 lanes; memory times passes: 4 GiB |
    /// | scrypt | 1 GiB of memory (128 · N · r), r = 64, p = 16; N · p: 2²²; memory · p: 2 GiB |
    /// | bcrypt | a cost of 16 |
    /// | PBKDF2 | 10 million rounds times blocks of the digest |
    /// | SHA-crypt | 2 million rounds |
    ///
    /// The settings that OWASP recommends and the defaults of common libraries are below these
    /// limits, and so are the second recommendation of RFC 9106 (64 MiB, three passes) and the
    /// highest presets of libsodium. The first recommendation of RFC 9106 is not, because each
    /// concurrent login would need 2 GiB.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        Self::parse_as(text, AcceptedKinds::default())
    }

    /// Parses a hash as [`parse`](Self::parse) does, and also accepts `$apr1$`.
    ///
    /// `$apr1$` is a former default of `htpasswd`.
    ///
    /// # Errors
    ///
    /// As for [`parse`](Self::parse).
    ///
    /// # Security
    ///
    /// `$apr1$` is 1000 rounds of MD5. An attacker who obtains the hash can try millions of
    /// passwords per second.
    pub fn parse_or_apr1(text: &str) -> Result<Self, ConfigError> {
        Self::parse_as(text, AcceptedKinds { apr1: true, insecure: false })
    }

    /// Parses a hash as [`parse`](Self::parse) does, and also accepts `$apr1$`, `{SHA}` and plain
    /// text.
    ///
    /// Any text that is not a hash is a plain-text password, unless it is empty or starts with `$`
    /// or `{`.
    ///
    /// # Errors
    ///
    /// As for [`parse`](Self::parse).
    ///
    /// # Security
    ///
    /// An attacker who obtains the stored text has the password, or finds it quickly: `{SHA}` is
    /// one round of SHA-1 without salt. A DES hash counts as plain text, so the hash itself is then
    /// the password.
    pub fn dangerous_parse_insecure(text: &str) -> Result<Self, ConfigError> {
        Self::parse_as(text, AcceptedKinds { apr1: true, insecure: true })
    }

    /// Wraps an argon2id hash of the cost of [`new`](Self::new), without parsing it.
    pub(crate) fn of_default_cost(text: &str) -> Self {
        let (memory_kib, passes) = (argon2::Params::DEFAULT_M_COST, argon2::Params::DEFAULT_T_COST);
        Self::from_parts(text, HashKind::Argon2 { current: true, memory_kib, passes, lanes: 1 })
    }

    pub(crate) fn parse_as(text: &str, accepted: AcceptedKinds) -> Result<Self, ConfigError> {
        Ok(Self::from_parts(text, HashKind::parse(text, accepted)?))
    }

    fn from_parts(text: &str, kind: HashKind) -> Self {
        Self(Arc::new(HashData {
            text: Zeroizing::new(text.into()),
            digest: Zeroizing::new(Sha256::digest(text).into()),
            kind,
            #[cfg(test)]
            check_count: Default::default(),
        }))
    }

    /// Returns whether this is the hash of `password`.
    ///
    /// - With bcrypt, passwords of more than 72 bytes never match. bcrypt ignores the rest, so it
    ///   would accept any password with the same beginning.
    /// - Passwords with a NUL character never match, because bcrypt and PBKDF2 treat NUL as
    ///   padding. Clients cannot send them in HTTP Basic.
    ///
    /// This takes as long as the cost of the hash requires. Do not call it on a thread of the async
    /// runtime.
    #[must_use]
    pub fn verify(&self, password: &str) -> bool {
        self.verify_with_memory(&mut Argon2Memory::default(), password)
    }

    /// Like [`verify`](Self::verify), with reusable memory.
    pub(crate) fn verify_with_memory(&self, memory: &mut Argon2Memory, password: &str) -> bool {
        let password = password.as_bytes();
        if password.len() > Self::MAX_PASSWORD_BYTES || password.contains(&0) {
            return false;
        }
        #[cfg(test)]
        self.0.check_count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.compute(memory, password).unwrap_or(false)
    }

    /// Returns `None` if the hash cannot be computed: there is not enough memory, or no password
    /// can match it, which [`parse`](Self::parse) prevents.
    fn compute(&self, memory: &mut Argon2Memory, password: &[u8]) -> Option<bool> {
        let text = &**self.0.text;
        match self.0.kind {
            HashKind::Argon2 { .. } => memory.verify(password, text),
            HashKind::Bcrypt { .. } => {
                // Hash overlong passwords as well, so that response times do not reveal the kind.
                let read = password.get(..Self::BCRYPT_BYTES).unwrap_or(password);
                Some(bcrypt::verify(read, text).ok()? & (read.len() == password.len()))
            }
            HashKind::BcryptSha256 { .. } => {
                let (salt, plain) = split_bcrypt_sha256(text)?;
                let mut mac = hmac(salt.as_bytes());
                mac.update(password);
                let key = Zeroizing::new(STANDARD.encode(mac.finalize().into_bytes()));
                bcrypt::verify(key.as_bytes(), &plain).ok()
            }
            HashKind::Scrypt { crypt: true, .. } => {
                let hash = scrypt::mcf::PasswordHashRef::new(text).ok()?;
                matches(scrypt::Scrypt::new().verify_password(password, hash))
            }
            HashKind::Scrypt { crypt: false, .. } => {
                let hash = password_hash::phc::PasswordHash::new(text).ok()?;
                matches(scrypt::Scrypt::new().verify_password(password, &hash))
            }
            HashKind::Pbkdf2 { crypt: true, .. } => {
                let hash = pbkdf2::mcf::PasswordHashRef::new(text).ok()?;
                matches(pbkdf2::Pbkdf2::SHA256.verify_password(password, hash))
            }
            HashKind::Pbkdf2 { crypt: false, .. } => {
                let hash = password_hash::phc::PasswordHash::new(text).ok()?;
                matches(pbkdf2::Pbkdf2::SHA256.verify_password(password, &hash))
            }
            HashKind::ShaCrypt { .. } => {
                matches(sha_crypt::ShaCrypt::SHA512.verify_password(password, text))
            }
            HashKind::Apr1 => {
                let (salt, digest) = text.strip_prefix("$apr1$")?.split_once('$')?;
                let computed = apr1::digest(password, salt.as_bytes());
                Some(computed.as_bytes().ct_eq(digest.as_bytes()).into())
            }
            HashKind::Sha1 => {
                let digest = STANDARD.encode(Sha1::digest(password));
                Some(digest.as_bytes().ct_eq(text.strip_prefix("{SHA}")?.as_bytes()).into())
            }
            HashKind::Plain => Some(Sha1::digest(password).ct_eq(&Sha1::digest(text)).into()),
        }
    }

    /// Returns whether the hash should be replaced by a stronger one.
    ///
    /// A hash is weak if its cost is lower than that of [`new`](Self::new) for argon2id, 12 for
    /// bcrypt, or OWASP's recommendation for scrypt and PBKDF2. Other kinds are always weak, also
    /// argon2i, argon2d and version 1.0 of argon2id.
    ///
    /// See [`HashVerifier::renew_hashes`](super::HashVerifier::renew_hashes).
    #[must_use]
    pub fn is_weak(&self) -> bool {
        self.0.kind.is_weak()
    }

    /// Returns whether both have the same memory.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    #[cfg(test)]
    pub(crate) fn check_count(&self) -> usize {
        self.0.check_count.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Returns whether the text contains a salt.
    pub(crate) fn is_salted(&self) -> bool {
        !matches!(self.0.kind, HashKind::Sha1 | HashKind::Plain)
    }

    pub(crate) fn digest(&self) -> &[u8; 32] {
        &self.0.digest
    }

    /// Returns the text to store.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0.text
    }
}

/// Distinguishes a wrong password from a hash that cannot be computed.
fn matches(result: password_hash::Result<()>) -> Option<bool> {
    match result {
        Ok(()) => Some(true),
        Err(password_hash::Error::PasswordInvalid) => Some(false),
        Err(_) => None,
    }
}

pub(crate) fn hmac(key: &[u8]) -> Hmac<Sha256> {
    // HMAC accepts keys of any length, so this never fails.
    Hmac::new_from_slice(key).unwrap_or_else(|_| Hmac::new(&Default::default()))
}

/// Parses a hash, as [`PasswordHash::parse`] does.
impl FromStr for PasswordHash {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        Self::parse(text)
    }
}

/// Returns the text to store.
impl AsRef<str> for PasswordHash {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

/// Prints kind and cost, but not salt and digest.
impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PasswordHash({:?})", self.0.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cheap hashes of `correct horse battery staple`, one of each kind.
    const HASHES: [&str; 10] = [
        "$argon2id$v=19$m=64,t=1,p=2$6u4P5W3BRYHU4Jk1aBhSsw$ybpdgX49cJJowQF1OWy3Mmt+szk0T6jfuivHk+sLr88",
        "$2b$04$id7e.QJpVEMszuC.BrljyuLpq4.Z4cDqXgkELJUuhwImbhaG3mNOi",
        "$bcrypt-sha256$v=2,t=2b,r=4$KQlmDwHSd6NcDl2OrqI2Pu$mSgnx6u/hAF1oPEb9bAaO0wQygJM.xq",
        "$scrypt$ln=4,r=8,p=1$xzgHYOw9Zwzh3HsvRWjNWQ$8jgiz7+6ssCHTbP3SHRoX0by69XNFhYcvKv+OMsKPyA",
        "$pbkdf2-sha256$1000$q9Wa09p7z5mTstYao5RyTg$bpdCWEZrsBVSj5dhDNv9BkhvFrLDeU7dSuG7vORxf1M",
        "$pbkdf2-sha256$i=1000,l=32$q9Wa09p7z5mTstYao5RyTg$bpdCWEZrsBVSj5dhDNv9BkhvFrLDeU7dSuG7vORxf1M",
        "$6$rounds=1000$sayvhFNA18abYGiC$/qF718CZRKiA0ZlxrCmZn6kXZym0ikRWHsjmbWR3Rdim1ACuYkh8S1zTdmsmnDC05ayNxLJjUBu36MzjWsxCC/",
        "$5$rounds=1000$GTxHSJKotMR18hI6$E45l6DOeuSUGY7zTTfHWrW8Rd6tqkmMUAMp5JPfzX.4",
        "$apr1$2D7fDbV5$Cc74gVFz9zAEge08S3ayr.",
        "{SHA}q/eq1kOINtvlJqojGr3i0O73TUI=",
    ];

    fn compute(text: &str) -> Option<Option<bool>> {
        let hash = PasswordHash::dangerous_parse_insecure(text).ok()?;
        Some(hash.compute(&mut Argon2Memory::default(), b"correct horse battery staple"))
    }

    /// A hash that is accepted, but cannot be computed, would reject its user without a reason, and
    /// faster than other hashes.
    #[test]
    fn hash_that_cannot_be_computed_is_rejected() {
        for text in HASHES {
            assert_eq!(compute(text), Some(Some(true)), "{text}");
            for at in 0..text.len() {
                for other in ["!", "☃", " ", "+", ".", "-", "=", "z", "$", ""] {
                    let mut changed = text.to_owned();
                    changed.replace_range(at..=at, other);
                    assert_ne!(compute(&changed), Some(None), "{changed}");
                }
            }
        }
        // `$7$` with a low cost, r = 1 and p = 1.
        let scrypt = format!("$7$2/..../....saltsalt${}", "z".repeat(42) + ".");
        assert_eq!(compute(&scrypt), Some(Some(false)));
        for other in ["!", "☃", " ", "_", "*"] {
            assert_eq!(compute(&scrypt.replace("saltsalt", &format!("salt{other}"))), None);
        }
        for params in ["v=19$i=1000,l=32", "i=1000,l=32,x=1"] {
            assert_eq!(compute(&HASHES[5].replace("i=1000,l=32", params)), None, "{params}");
        }
        assert_eq!(compute(&HASHES[0].replace("p=2$", "p=2,keyid=Hj5+dsK0$")), None);
    }
}
