use base64::{Engine as _, engine::general_purpose::STANDARD};
use password_hash::phc;

use crate::config_error::ConfigError;

/// The hash function of a stored hash, and its cost.
///
/// `Debug` of [`PasswordHash`](super::PasswordHash) prints it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HashKind {
    Argon2 {
        id: bool,
        memory_kib: u32,
        passes: u32,
        lanes: u32,
    },
    Bcrypt {
        cost: u32,
    },
    /// bcrypt of the HMAC-SHA-256 of the password, in the format of passlib.
    BcryptSha256 {
        cost: u32,
    },
    /// `$scrypt$` in the PHC format, or `$7$` of crypt.
    Scrypt {
        crypt: bool,
        log_n: u32,
        r: u32,
        p: u32,
    },
    /// In the PHC format with `i=`, or in the format of passlib.
    Pbkdf2 {
        crypt: bool,
        sha512: bool,
        rounds: u32,
    },
    /// `$5$` and `$6$`.
    ShaCrypt {
        rounds: u32,
    },
    /// `$apr1$`.
    Apr1,
    /// `{SHA}`.
    Sha1,
    Plain,
}

/// Which insecure kinds are accepted, in addition to the others.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AcceptedKinds {
    pub(crate) apr1: bool,
    pub(crate) insecure: bool,
}

// Limits of the cost of a hash: a login with a hash of extreme cost could stall the service.
const MAX_MEMORY_KIB: u64 = 1024 * 1024;
const MAX_PASSES: u32 = 64;
const MAX_LANES: u32 = 16;
const MAX_BCRYPT_COST: u32 = 16;
const MAX_ROUNDS: u32 = 10_000_000;

impl HashKind {
    /// Parses the kind and the cost of a hash.
    ///
    /// Also checks that the hash is complete, so that an incomplete one is reported before the
    /// first login.
    pub(crate) fn parse(text: &str, accepted: AcceptedKinds) -> Result<Self, ConfigError> {
        let malformed =
            || ConfigError::invalid("incomplete or malformed hash: copy the complete hash");
        let kind = match text.split('$').nth(1).filter(|_| text.starts_with('$')) {
            Some("argon2id" | "argon2i" | "argon2d") => parse_argon2(text).ok_or_else(malformed)?,
            Some("2a" | "2b" | "2y") => parse_bcrypt(text).ok_or_else(malformed)?,
            Some("bcrypt-sha256") => parse_bcrypt_sha256(text).ok_or_else(malformed)?,
            Some("scrypt") => parse_scrypt(text).ok_or_else(malformed)?,
            Some("7") => parse_scrypt_crypt(text).ok_or_else(malformed)?,
            Some("pbkdf2-sha256" | "pbkdf2-sha512") => parse_pbkdf2(text).ok_or_else(malformed)?,
            Some("5") => parse_sha_crypt(text, 43).ok_or_else(malformed)?,
            Some("6") => parse_sha_crypt(text, 86).ok_or_else(malformed)?,
            Some("apr1") if accepted.apr1 => parse_apr1(text).ok_or_else(malformed)?,
            Some("apr1") => {
                return Err(ConfigError::invalid(
                    "$apr1$ is a weak hash (MD5): make a new one with `htpasswd -B`, or accept it \
                     with allow_apr1 or parse_or_apr1",
                ));
            }
            Some(_) => {
                return Err(ConfigError::invalid(
                    "unknown kind of hash: use argon2, bcrypt, scrypt, PBKDF2 or SHA-crypt",
                ));
            }
            None if !accepted.insecure => {
                return Err(ConfigError::invalid(
                    "insecure {SHA} hash, DES hash or plain text: make a new hash with \
                     `htpasswd -B`, or accept it with dangerous_allow_insecure or \
                     dangerous_parse_insecure",
                ));
            }
            None => match text.strip_prefix("{SHA}") {
                Some(digest) if STANDARD.decode(digest).is_ok_and(|digest| digest.len() == 20) => {
                    Self::Sha1
                }
                Some(_) => return Err(malformed()),
                None if text.is_empty() || text.starts_with('{') => return Err(malformed()),
                None => Self::Plain,
            },
        };
        kind.check_cost()
    }

    fn check_cost(self) -> Result<Self, ConfigError> {
        let affordable = match self {
            Self::Argon2 { memory_kib, passes, lanes, .. } => {
                u64::from(memory_kib) <= MAX_MEMORY_KIB
                    && passes <= MAX_PASSES
                    && lanes <= MAX_LANES
            }
            Self::Bcrypt { cost } | Self::BcryptSha256 { cost } => cost <= MAX_BCRYPT_COST,
            Self::Scrypt { log_n, r, p, .. } => {
                let block = u64::from(r).saturating_mul(128);
                let memory = 1_u64.checked_shl(log_n).and_then(|n| n.checked_mul(block));
                memory.is_some_and(|bytes| bytes / 1024 <= MAX_MEMORY_KIB) && p <= MAX_LANES
            }
            Self::Pbkdf2 { rounds, .. } | Self::ShaCrypt { rounds } => rounds <= MAX_ROUNDS,
            Self::Apr1 | Self::Sha1 | Self::Plain => true,
        };
        if affordable {
            return Ok(self);
        }
        Err(ConfigError::invalid(
            "the cost of the hash exceeds the limit: create a hash with a lower cost",
        ))
    }

    /// Returns whether the cost is lower than that of new hashes, or, for other kinds, than the
    /// default of the bcrypt crate or the value in OWASP's Password Storage Cheat Sheet.
    pub(crate) fn is_weak(self) -> bool {
        match self {
            Self::Argon2 { id, memory_kib, passes, .. } => {
                let default =
                    argon2::Params::DEFAULT_M_COST.saturating_mul(argon2::Params::DEFAULT_T_COST);
                !id || memory_kib < 7 * 1024 || memory_kib.saturating_mul(passes) < default
            }
            Self::Bcrypt { cost } | Self::BcryptSha256 { cost } => cost < bcrypt::DEFAULT_COST,
            Self::Scrypt { log_n, r, .. } => log_n < 17 || r < 8,
            Self::Pbkdf2 { sha512, rounds, .. } => rounds < if sha512 { 210_000 } else { 600_000 },
            Self::ShaCrypt { .. } | Self::Apr1 | Self::Sha1 | Self::Plain => true,
        }
    }
}

/// Parses a hash in the PHC format, and rejects one that is incomplete.
///
/// The format allows digests of any length. In practice, they have at least 16 bytes and a multiple
/// of four, so this check detects most truncated hashes.
fn parse_phc(text: &str) -> Option<phc::PasswordHash> {
    let hash = phc::PasswordHash::new(text).ok()?;
    let complete =
        hash.hash.as_ref().is_some_and(|digest| digest.len() >= 16 && digest.len() % 4 == 0);
    (complete && hash.salt.is_some()).then_some(hash)
}

fn parse_argon2(text: &str) -> Option<HashKind> {
    // A hash without a version is of version 0x10, but the crate would assume 0x13.
    let hash = parse_phc(text)?;
    argon2::Version::try_from(hash.version?).ok()?;
    // The crate would replace missing costs with its defaults.
    let has_costs = ["m", "t", "p"].into_iter().all(|name| hash.params.get_decimal(name).is_some());
    let params = argon2::Params::try_from(&hash).ok()?;
    has_costs.then_some(HashKind::Argon2 {
        id: text.starts_with("$argon2id$"),
        memory_kib: params.m_cost(),
        passes: params.t_cost(),
        lanes: params.p_cost(),
    })
}

fn parse_bcrypt(text: &str) -> Option<HashKind> {
    let cost = text.parse::<bcrypt::HashParts>().ok()?.get_cost();
    (4..=31).contains(&cost).then_some(HashKind::Bcrypt { cost })
}

fn parse_bcrypt_sha256(text: &str) -> Option<HashKind> {
    let (_, plain) = split_bcrypt_sha256(text)?;
    let HashKind::Bcrypt { cost } = parse_bcrypt(&plain)? else { return None };
    Some(HashKind::BcryptSha256 { cost })
}

/// Returns the salt of `$bcrypt-sha256$v=2,t=2b,r=12$SALT$DIGEST`, and the bcrypt hash in it.
pub(crate) fn split_bcrypt_sha256(text: &str) -> Option<(&str, String)> {
    let (params, rest) = text.strip_prefix("$bcrypt-sha256$v=2,t=2b,r=")?.split_once('$')?;
    let (salt, digest) = rest.split_once('$')?;
    let cost = parse_decimal(params)?;
    (salt.len() == 22).then(|| (salt, format!("$2b${cost:02}${salt}{digest}")))
}

fn parse_scrypt(text: &str) -> Option<HashKind> {
    let hash = parse_phc(text)?;
    // The crate multiplies r and p without a check, which panics in builds with overflow checks.
    hash.params.get_decimal("r")?.checked_mul(hash.params.get_decimal("p")?)?;
    let params = scrypt::Params::try_from(&hash).ok()?;
    let log_n = u32::from(params.log_n());
    (log_n > 0).then_some(HashKind::Scrypt { crypt: false, log_n, r: params.r(), p: params.p() })
}

/// Parses `$7$`, one character for log₂ N, five each for r and p, the salt, `$` and the digest.
fn parse_scrypt_crypt(text: &str) -> Option<HashKind> {
    let (head, digest) = text.strip_prefix("$7$")?.split_once('$')?;
    let parse_number = |text: &str| {
        text.bytes().rev().try_fold(0_u32, |sum, byte| {
            sum.checked_mul(64)?.checked_add(crypt_base64_value(byte)?)
        })
    };
    let (log_n, rest) = head.split_at_checked(1)?;
    let (r, rest) = rest.split_at_checked(5)?;
    let (p, salt) = rest.split_at_checked(5)?;
    let (log_n, r, p) = (parse_number(log_n)?, parse_number(r)?, parse_number(p)?);
    let complete = is_crypt_base64(digest) && digest.len() == 43 && !salt.is_empty();
    (complete && log_n > 0 && r > 0 && p > 0).then_some(HashKind::Scrypt {
        crypt: true,
        log_n,
        r,
        p,
    })
}

/// Decodes a character of crypt base64.
fn crypt_base64_value(byte: u8) -> Option<u32> {
    Some(match byte {
        b'.' => 0,
        b'/' => 1,
        b'0'..=b'9' => u32::from(byte - b'0') + 2,
        b'A'..=b'Z' => u32::from(byte - b'A') + 12,
        b'a'..=b'z' => u32::from(byte - b'a') + 38,
        _ => return None,
    })
}

fn is_crypt_base64(text: &str) -> bool {
    text.bytes().all(|byte| crypt_base64_value(byte).is_some())
}

/// Parses a decimal number without sign and leading zeros.
fn parse_decimal(text: &str) -> Option<u32> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    if plain { text.parse().ok() } else { None }
}

fn parse_pbkdf2(text: &str) -> Option<HashKind> {
    let sha512 = text.starts_with("$pbkdf2-sha512$");
    let mut fields = text.split('$').skip(2);
    let first = fields.next()?;
    if let Some(rounds) = parse_decimal(first) {
        let (salt, digest) = (fields.next()?, fields.next()?);
        // The crate supports up to 64 bytes of salt, which are 86 characters.
        let valid_salt =
            (1..=86).contains(&salt.len()) && salt.len() % 4 != 1 && is_crypt_base64(salt);
        let complete = is_crypt_base64(digest) && digest.len() == if sha512 { 86 } else { 43 };
        return (valid_salt
            && complete
            && fields.next().is_none()
            && rounds >= pbkdf2::Params::MIN_ROUNDS)
            .then_some(HashKind::Pbkdf2 { crypt: true, sha512, rounds });
    }
    // Also checks that the digest has the length that the parameters state.
    let params = pbkdf2::Params::try_from(&parse_phc(text)?).ok()?;
    Some(HashKind::Pbkdf2 { crypt: false, sha512, rounds: params.rounds() })
}

fn parse_sha_crypt(text: &str, digest_length: usize) -> Option<HashKind> {
    let mut fields = text.split('$').skip(2);
    let (mut salt, mut rounds) = (fields.next()?, 5_000);
    if let Some(given) = salt.strip_prefix("rounds=") {
        (rounds, salt) = (parse_decimal(given)?, fields.next()?);
    }
    let digest = fields.next()?;
    let complete = digest.len() == digest_length && is_crypt_base64(digest);
    let valid = complete && (1..=16).contains(&salt.len()) && fields.next().is_none();
    (valid && (1_000..=999_999_999).contains(&rounds)).then_some(HashKind::ShaCrypt { rounds })
}

fn parse_apr1(text: &str) -> Option<HashKind> {
    let (salt, digest) = text.strip_prefix("$apr1$")?.split_once('$')?;
    let complete = digest.len() == 22 && is_crypt_base64(digest);
    (complete && (1..=8).contains(&salt.len())).then_some(HashKind::Apr1)
}
