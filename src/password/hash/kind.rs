use base64::{Engine as _, engine::general_purpose::STANDARD};
use password_hash::phc;

use crate::config_error::ConfigError;

/// How a password was hashed, and at what cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Argon2 {
        id: bool,
        memory_kib: u32,
        passes: u32,
        lanes: u32,
    },
    Bcrypt {
        cost: u32,
    },
    /// bcrypt of an HMAC-SHA-256 of the password, as passlib has it.
    BcryptSha256 {
        cost: u32,
    },
    /// `$scrypt$` of the PHC, or `$7$` of crypt.
    Scrypt {
        crypt: bool,
        log_n: u32,
        r: u32,
        p: u32,
    },
    /// With `i=` of the PHC, or as passlib writes it.
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

/// Which kinds are taken.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Accepted {
    pub(crate) apr1: bool,
    pub(crate) insecure: bool,
}

/// Work that is beyond all use would be a way to stop the service: by whoever writes hashes, and then by everybody.
const MAX_MEMORY_KIB: u64 = 1024 * 1024;
const MAX_PASSES: u32 = 64;
const MAX_LANES: u32 = 16;
const MAX_BCRYPT_COST: u32 = 16;
const MAX_ROUNDS: u32 = 10_000_000;

impl Kind {
    /// Reads what a hash says of itself. Whether it is whole is checked here, and not at the first login.
    pub(crate) fn of(text: &str, accepted: Accepted) -> Result<Self, ConfigError> {
        let malformed = || ConfigError::new("the hash is not whole: copy all of it");
        let kind = match text.split('$').nth(1).filter(|_| text.starts_with('$')) {
            Some("argon2id" | "argon2i" | "argon2d") => argon2(text).ok_or_else(malformed)?,
            Some("2a" | "2b" | "2y") => bcrypt(text).ok_or_else(malformed)?,
            Some("bcrypt-sha256") => bcrypt_sha256(text).ok_or_else(malformed)?,
            Some("scrypt") => scrypt(text).ok_or_else(malformed)?,
            Some("7") => scrypt_crypt(text).ok_or_else(malformed)?,
            Some("pbkdf2-sha256" | "pbkdf2-sha512") => pbkdf2(text).ok_or_else(malformed)?,
            Some("5") => sha_crypt(text, 43).ok_or_else(malformed)?,
            Some("6") => sha_crypt(text, 86).ok_or_else(malformed)?,
            Some("apr1") if accepted.apr1 => apr1(text).ok_or_else(malformed)?,
            Some("apr1") => {
                return Err(ConfigError::new(
                    "$apr1$ is MD5, and weak: make a new hash with `htpasswd -B`, or accept it by allow_apr1",
                ));
            }
            Some(_) => {
                return Err(ConfigError::new(
                    "the kind of the hash is not known: argon2, bcrypt, scrypt, pbkdf2 and SHA-crypt are",
                ));
            }
            None if !accepted.insecure => {
                return Err(ConfigError::new(
                    "what is there is {SHA}, DES or plain text: make a new hash with `htpasswd -B`, or accept \
                     it by the call that is named dangerous",
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
        kind.bounded()
    }

    fn bounded(self) -> Result<Self, ConfigError> {
        let sound = match self {
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
        if sound {
            return Ok(self);
        }
        Err(ConfigError::new("the hash costs more than any login should: make one that costs less"))
    }

    /// Whether it is weaker than what new hashes are made with, or than what OWASP's Password Storage Cheat Sheet has
    /// for its kind.
    pub(crate) fn is_weak(self) -> bool {
        match self {
            Self::Argon2 { id, memory_kib, passes, .. } => {
                let fresh =
                    argon2::Params::DEFAULT_M_COST.saturating_mul(argon2::Params::DEFAULT_T_COST);
                !id || memory_kib < 7 * 1024 || memory_kib.saturating_mul(passes) < fresh
            }
            Self::Bcrypt { cost } | Self::BcryptSha256 { cost } => cost < bcrypt::DEFAULT_COST,
            Self::Scrypt { log_n, r, .. } => log_n < 17 || r < 8,
            Self::Pbkdf2 { sha512, rounds, .. } => rounds < if sha512 { 210_000 } else { 600_000 },
            Self::ShaCrypt { .. } | Self::Apr1 | Self::Sha1 | Self::Plain => true,
        }
    }
}

/// The PHC's format allows digests of any length. Those that are written are at least 16 bytes long, and of a multiple of
/// four: so it shows, nearly always, where one was cut.
fn phc(text: &str) -> Option<phc::PasswordHash> {
    let hash = phc::PasswordHash::new(text).ok()?;
    let whole =
        hash.hash.as_ref().is_some_and(|digest| digest.len() >= 16 && digest.len() % 4 == 0);
    (whole && hash.salt.is_some()).then_some(hash)
}

fn argon2(text: &str) -> Option<Kind> {
    // Without a version it would be of 2015, and be taken for one of now.
    let hash = phc(text)?;
    argon2::Version::try_from(hash.version?).ok()?;
    // Nor is a cost that is left out what it is by default.
    let all = ["m", "t", "p"].into_iter().all(|name| hash.params.get_decimal(name).is_some());
    let params = argon2::Params::try_from(&hash).ok()?;
    all.then_some(Kind::Argon2 {
        id: text.starts_with("$argon2id$"),
        memory_kib: params.m_cost(),
        passes: params.t_cost(),
        lanes: params.p_cost(),
    })
}

fn bcrypt(text: &str) -> Option<Kind> {
    let cost = text.parse::<bcrypt::HashParts>().ok()?.get_cost();
    (4..=31).contains(&cost).then_some(Kind::Bcrypt { cost })
}

fn bcrypt_sha256(text: &str) -> Option<Kind> {
    let (_, plain) = prehashed(text)?;
    let Kind::Bcrypt { cost } = bcrypt(&plain)? else { return None };
    Some(Kind::BcryptSha256 { cost })
}

/// The salt of `$bcrypt-sha256$v=2,t=2b,r=12$SALT$DIGEST`, and the bcrypt hash that is in it.
pub(crate) fn prehashed(text: &str) -> Option<(&str, String)> {
    let (params, rest) = text.strip_prefix("$bcrypt-sha256$v=2,t=2b,r=")?.split_once('$')?;
    let (salt, digest) = rest.split_once('$')?;
    let cost = decimal(params)?;
    (salt.len() == 22).then(|| (salt, format!("$2b${cost:02}${salt}{digest}")))
}

fn scrypt(text: &str) -> Option<Kind> {
    let hash = phc(text)?;
    // The crate multiplies them before it looks at them, which panics where overflow does.
    hash.params.get_decimal("r")?.checked_mul(hash.params.get_decimal("p")?)?;
    let params = scrypt::Params::try_from(&hash).ok()?;
    let log_n = u32::from(params.log_n());
    (log_n > 0).then_some(Kind::Scrypt { crypt: false, log_n, r: params.r(), p: params.p() })
}

/// `$7$`, then a character for log₂ N, five each for r and p, and the salt; `$`, and the digest.
fn scrypt_crypt(text: &str) -> Option<Kind> {
    let (head, digest) = text.strip_prefix("$7$")?.split_once('$')?;
    let digits = |text: &str| {
        text.bytes()
            .rev()
            .try_fold(0_u32, |sum, byte| sum.checked_mul(64)?.checked_add(digit(byte)?))
    };
    let (log_n, rest) = head.split_at_checked(1)?;
    let (r, rest) = rest.split_at_checked(5)?;
    let (p, salt) = rest.split_at_checked(5)?;
    let (log_n, r, p) = (digits(log_n)?, digits(r)?, digits(p)?);
    let whole = is_crypt_base64(digest) && digest.len() == 43 && !salt.is_empty();
    (whole && log_n > 0 && r > 0 && p > 0).then_some(Kind::Scrypt { crypt: true, log_n, r, p })
}

/// The base64 of crypt.
fn digit(byte: u8) -> Option<u32> {
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
    text.bytes().all(|byte| digit(byte).is_some())
}

/// A number as tools write it: with no sign, and no zero before it.
fn decimal(text: &str) -> Option<u32> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    if plain { text.parse().ok() } else { None }
}

fn pbkdf2(text: &str) -> Option<Kind> {
    let sha512 = text.starts_with("$pbkdf2-sha512$");
    let mut fields = text.split('$').skip(2);
    let first = fields.next()?;
    if let Some(rounds) = decimal(first) {
        let (salt, digest) = (fields.next()?, fields.next()?);
        // The crate reads 64 bytes of salt.
        let salted = (1..=86).contains(&salt.len()) && salt.len() % 4 != 1 && is_crypt_base64(salt);
        let whole = is_crypt_base64(digest) && digest.len() == if sha512 { 86 } else { 43 };
        return (salted
            && whole
            && fields.next().is_none()
            && rounds >= pbkdf2::Params::MIN_ROUNDS)
            .then_some(Kind::Pbkdf2 { crypt: true, sha512, rounds });
    }
    // With its digest, which has to be as long as they say.
    let params = pbkdf2::Params::try_from(&phc(text)?).ok()?;
    Some(Kind::Pbkdf2 { crypt: false, sha512, rounds: params.rounds() })
}

fn sha_crypt(text: &str, digest_length: usize) -> Option<Kind> {
    let mut fields = text.split('$').skip(2);
    let (mut salt, mut rounds) = (fields.next()?, 5_000);
    if let Some(given) = salt.strip_prefix("rounds=") {
        (rounds, salt) = (decimal(given)?, fields.next()?);
    }
    let digest = fields.next()?;
    let whole = digest.len() == digest_length && is_crypt_base64(digest);
    let sound = whole && (1..=16).contains(&salt.len()) && fields.next().is_none();
    (sound && (1_000..=999_999_999).contains(&rounds)).then_some(Kind::ShaCrypt { rounds })
}

fn apr1(text: &str) -> Option<Kind> {
    let (salt, digest) = text.strip_prefix("$apr1$")?.split_once('$')?;
    let whole = digest.len() == 22 && is_crypt_base64(digest);
    (whole && (1..=8).contains(&salt.len())).then_some(Kind::Apr1)
}
