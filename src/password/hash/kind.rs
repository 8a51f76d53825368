use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD},
};
use password_hash::phc;

use crate::config_error::ConfigError;

/// The hash function of a stored hash, and its cost.
///
/// `Debug` of [`PasswordHash`](super::PasswordHash) prints it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HashKind {
    Argon2 {
        /// argon2id in the version of RFC 9106. Older versions fill the memory less well.
        current: bool,
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
        digest_length: usize,
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

// Limits of the cost of a hash: a login with a hash of extreme cost could stall the service. Each
// kind takes at most about 5 s on one core, whatever the parameters and the password are.
const MAX_MEMORY_KIB: u64 = 1024 * 1024;
const MAX_PASSES: u32 = 64;
const MAX_LANES: u32 = 16;
/// The limit of the memory times the number of times that it is filled.
const MAX_ARGON2_WORK_KIB: u64 = 4 * 1024 * 1024;
const MAX_SCRYPT_WORK_KIB: u64 = 2 * 1024 * 1024;
/// The time per byte is far longer for small blocks, whose reads are scattered, and for so large
/// ones that PBKDF2, which makes them, takes most of the time. Tools use `r = 8`.
const MAX_SCRYPT_BLOCKS: u64 = 1 << 22;
const MAX_SCRYPT_R: u32 = 64;
const MAX_BCRYPT_COST: u32 = 16;
const MAX_PBKDF2_ROUNDS: usize = 10_000_000;
/// Lower than for PBKDF2, because each round also hashes the password, which can be long.
const MAX_SHA_CRYPT_ROUNDS: u32 = 2_000_000;

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
            Some("5") => parse_sha_crypt(text, 32).ok_or_else(malformed)?,
            Some("6") => parse_sha_crypt(text, 64).ok_or_else(malformed)?,
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
        let (is_affordable, limit) = match self {
            // The lanes share the memory, so their number does not change the cost.
            Self::Argon2 { memory_kib, passes, lanes, .. } => {
                let memory = u64::from(memory_kib);
                let is_affordable = memory <= MAX_MEMORY_KIB
                    && passes <= MAX_PASSES
                    && lanes <= MAX_LANES
                    && memory.saturating_mul(passes.into()) <= MAX_ARGON2_WORK_KIB;
                (is_affordable, "1 GiB, 64 passes, 16 lanes, and 4 GiB for memory times passes")
            }
            Self::Bcrypt { cost } | Self::BcryptSha256 { cost } => {
                (cost <= MAX_BCRYPT_COST, "a bcrypt cost of 16")
            }
            // The memory is filled once for each of the `p` parallel parts.
            Self::Scrypt { log_n, r, p, .. } => {
                let block = u64::from(r).saturating_mul(128);
                let memory = 1_u64.checked_shl(log_n).and_then(|n| n.checked_mul(block));
                let memory_kib = memory.map_or(u64::MAX, |bytes| bytes.div_ceil(1024));
                let blocks = u64::from(p).checked_shl(log_n).unwrap_or(u64::MAX);
                let is_affordable = memory_kib <= MAX_MEMORY_KIB
                    && r <= MAX_SCRYPT_R
                    && p <= MAX_LANES
                    && blocks <= MAX_SCRYPT_BLOCKS
                    && memory_kib.saturating_mul(p.into()) <= MAX_SCRYPT_WORK_KIB;
                let limit = "1 GiB (128 * N * r), r = 64, p = 16, 4,194,304 for N times p, and \
                             2 GiB for memory times p";
                (is_affordable, limit)
            }
            // All rounds are repeated for each block of the digest.
            Self::Pbkdf2 { sha512, rounds, digest_length, .. } => {
                let blocks = digest_length.div_ceil(if sha512 { 64 } else { 32 });
                let rounds = usize::try_from(rounds).unwrap_or(usize::MAX).saturating_mul(blocks);
                (rounds <= MAX_PBKDF2_ROUNDS, "10,000,000 rounds times blocks of the digest")
            }
            Self::ShaCrypt { rounds } => (rounds <= MAX_SHA_CRYPT_ROUNDS, "2,000,000 rounds"),
            Self::Apr1 | Self::Sha1 | Self::Plain => (true, ""),
        };
        if is_affordable {
            return Ok(self);
        }
        Err(ConfigError::invalid(format!(
            "the cost of the hash exceeds the limit ({limit}): create a hash with a lower cost"
        )))
    }

    /// Returns whether the cost is lower than that of new hashes, or, for other kinds, than the
    /// default of the bcrypt crate or the value in OWASP's Password Storage Cheat Sheet.
    pub(crate) fn is_weak(self) -> bool {
        match self {
            Self::Argon2 { current, memory_kib, passes, .. } => {
                let default =
                    argon2::Params::DEFAULT_M_COST.saturating_mul(argon2::Params::DEFAULT_T_COST);
                !current || memory_kib < 7 * 1024 || memory_kib.saturating_mul(passes) < default
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
    let version = argon2::Version::try_from(hash.version?).ok()?;
    // The crate would replace missing costs with its defaults.
    let has_costs = ["m", "t", "p"].into_iter().all(|name| hash.params.get_decimal(name).is_some());
    // Such a hash also depends on a secret key, which is unknown here.
    if hash.params.get("keyid").is_some() {
        return None;
    }
    let params = argon2::Params::try_from(&hash).ok()?;
    has_costs.then_some(HashKind::Argon2 {
        current: text.starts_with("$argon2id$") && version == argon2::Version::V0x13,
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
    let complete = is_crypt_digest(digest, 32) && is_mcf(text) && !salt.is_empty();
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

/// Returns whether `text` is a digest of `length` bytes in crypt base64.
///
/// Its last character encodes the high bits of the last bytes. Another character there would encode
/// more bits than the digest has, so no password would match.
fn is_crypt_digest(text: &str, length: usize) -> bool {
    let spare_bits = (6 - length * 8 % 6) % 6;
    let is_canonical =
        |last| crypt_base64_value(last).is_some_and(|value| value < 64 >> spare_bits);
    text.len() == (length * 8).div_ceil(6)
        && text.bytes().all(|byte| crypt_base64_value(byte).is_some())
        && text.bytes().next_back().is_some_and(is_canonical)
}

/// Returns whether all characters are in the alphabet that the crates for hashes of crypt accept.
fn is_mcf(text: &str) -> bool {
    scrypt::mcf::PasswordHashRef::new(text).is_ok()
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
        let decode = |text: &str| {
            // Passlib's alphabet differs from that of PHC in one character.
            let is_valid = !text.contains('+');
            STANDARD_NO_PAD.decode(text.replace('.', "+")).ok().filter(|_| is_valid)
        };
        // The crate supports up to 64 bytes of salt.
        let is_valid_salt = decode(salt).is_some_and(|salt| (1..=64).contains(&salt.len()));
        let digest_length = if sha512 { 64 } else { 32 };
        let is_complete = decode(digest).is_some_and(|digest| digest.len() == digest_length);
        let is_valid = is_valid_salt
            && is_complete
            && fields.next().is_none()
            && rounds >= pbkdf2::Params::MIN_ROUNDS;
        return is_valid.then_some(HashKind::Pbkdf2 { crypt: true, sha512, rounds, digest_length });
    }
    // Also checks that the digest has the length that the parameters state.
    let params = pbkdf2::Params::try_from(&parse_phc(text)?).ok()?;
    let (rounds, digest_length) = (params.rounds(), params.output_len());
    Some(HashKind::Pbkdf2 { crypt: false, sha512, rounds, digest_length })
}

fn parse_sha_crypt(text: &str, digest_length: usize) -> Option<HashKind> {
    let mut fields = text.split('$').skip(2);
    let (mut salt, mut rounds) = (fields.next()?, 5_000);
    if let Some(given) = salt.strip_prefix("rounds=") {
        (rounds, salt) = (parse_decimal(given)?, fields.next()?);
    }
    let digest = fields.next()?;
    let complete = is_crypt_digest(digest, digest_length) && is_mcf(text);
    let valid = complete && (1..=16).contains(&salt.len()) && fields.next().is_none();
    (valid && (1_000..=999_999_999).contains(&rounds)).then_some(HashKind::ShaCrypt { rounds })
}

fn parse_apr1(text: &str) -> Option<HashKind> {
    let (salt, digest) = text.strip_prefix("$apr1$")?.split_once('$')?;
    let complete = is_crypt_digest(digest, 16);
    (complete && (1..=8).contains(&salt.len())).then_some(HashKind::Apr1)
}
