//! Verification of hashes that other tools made.

use std::thread;

use tower_auth::password::PasswordHash;

use super::{Fixture, FixtureHash, PASSWORD, UNICODE_PASSWORD, fixture_hash};

/// bcrypt uses only 72 bytes. Some tools truncate longer passwords without an error.
fn is_truncated(record: &FixtureHash) -> bool {
    let bcrypt = ["$2a$", "$2b$", "$2y$"].iter().any(|kind| record.hash.starts_with(kind));
    bcrypt && record.password.len() > 72
}

/// Parses with the strictest function that accepts this kind of hash.
fn parse(record: &FixtureHash) -> PasswordHash {
    let parsed = match &*record.tool {
        "htpasswd -m" | "openssl -apr1" => {
            assert!(PasswordHash::parse(&record.hash).is_err(), "{}", record.tool);
            PasswordHash::parse_or_apr1(&record.hash)
        }
        "htpasswd -s" | "htpasswd -p" => {
            assert!(PasswordHash::parse_or_apr1(&record.hash).is_err(), "{}", record.tool);
            PasswordHash::dangerous_parse_insecure(&record.hash)
        }
        _ => PasswordHash::parse(&record.hash),
    };
    parsed.unwrap_or_else(|error| panic!("{} of {:?}: {error}", record.tool, record.password))
}

/// Whether this is plain text that cannot be a password: empty, or in the shape of a hash.
fn is_invalid_plain_text(record: &FixtureHash) -> bool {
    record.tool == "htpasswd -p" && (record.hash.is_empty() || record.hash.starts_with('$'))
}

/// Returns wrong passwords that are similar to the given one.
fn similar_passwords(password: &str) -> Vec<String> {
    let mut others = vec![
        String::new(),
        format!("{password} "),
        format!(" {password}"),
        format!("{password}\0"),
        format!("{password}\0{password}"),
        format!("{password}{password}"),
        password.to_uppercase(),
        password.replace('ä', "a\u{308}"),
        password.chars().rev().skip(1).collect::<String>().chars().rev().collect(),
        password.chars().skip(1).collect(),
        "x".repeat(71),
        "x".repeat(72),
        "x".repeat(73),
        "x".repeat(513),
    ];
    others.retain(|other| other != password);
    others
}

fn assert_verifies_only_its_password(record: &FixtureHash) {
    let label = format!("{} of {:?}", record.tool, record.password);
    if is_invalid_plain_text(record) {
        assert!(PasswordHash::dangerous_parse_insecure(&record.hash).is_err(), "{label}");
        return;
    }
    let hash = parse(record);
    assert_eq!(hash.verify(&record.password), !is_truncated(record), "{label}");
    let mut others = similar_passwords(&record.password);
    if record.tool == "mkpasswd scrypt" {
        others.truncate(2); // each check uses at least 32 MiB
    }
    if is_truncated(record) {
        others.retain(|other| other.len() != 72); // the truncated password
    }
    for other in others {
        assert!(!hash.verify(&other), "{label} accepts {other:?}");
    }
}

#[test]
fn hashes_of_every_tool_accept_only_their_password() {
    let records = Fixture::read().hashes;
    assert!(records.len() > 140);
    // Two threads shorten the test.
    let (first_half, second_half) = records.split_at(records.len() / 2);
    thread::scope(|scope| {
        scope.spawn(|| first_half.iter().for_each(assert_verifies_only_its_password));
        second_half.iter().for_each(assert_verifies_only_its_password);
    });
}

#[test]
fn default_hashes_of_tools_accept_their_password() {
    for record in Fixture::read().defaults {
        let hash = PasswordHash::parse(&record.hash).unwrap();
        assert!(hash.verify(PASSWORD), "{}", record.tool);
        assert!(!hash.verify(UNICODE_PASSWORD), "{}", record.tool);
    }
}

#[test]
fn hashes_below_the_owasp_recommendation_are_weak() {
    for record in Fixture::read().defaults {
        let is_recommended = record.tool == "argon2-cffi by default";
        let hash = PasswordHash::parse(&record.hash).unwrap();
        assert_eq!(hash.is_weak(), !is_recommended, "{}", record.tool);
    }
    for record in Fixture::read().hashes {
        assert!(is_invalid_plain_text(&record) || parse(&record).is_weak(), "{}", record.tool);
    }
    assert!(!PasswordHash::new(PASSWORD).unwrap().is_weak());
}

#[test]
fn hash_below_the_recommended_cost_of_its_kind_is_weak() {
    let (salt, digest) = ("q9Wa09p7z5mTstYao5RyTg", "bpdCWEZrsBVSj5dhDNv9BkhvFrLDeU7dSuG7vORxf1M");
    let bcrypt = "id7e.QJpVEMszuC.BrljyuLpq4.Z4cDqXgkELJUuhwImbhaG3mNOi";
    let long_digest = format!("{}Q", "A".repeat(85));
    for (prefix, digest, is_weak) in [
        ("$argon2id$v=19$m=19456,t=2,p=1$", digest, false),
        ("$argon2id$v=19$m=19456,t=2,p=4$", digest, false),
        ("$argon2id$v=19$m=38912,t=1,p=1$", digest, false),
        ("$argon2id$v=19$m=65536,t=3,p=4$", digest, false),
        ("$argon2id$v=19$m=19455,t=2,p=1$", digest, true),
        ("$argon2id$v=19$m=19456,t=1,p=1$", digest, true),
        ("$argon2id$v=19$m=7167,t=10,p=1$", digest, true),
        ("$argon2id$v=16$m=19456,t=2,p=1$", digest, true),
        ("$argon2i$v=19$m=19456,t=2,p=1$", digest, true),
        ("$argon2d$v=19$m=19456,t=2,p=1$", digest, true),
        ("$scrypt$ln=17,r=8,p=1$", digest, false),
        ("$scrypt$ln=16,r=8,p=1$", digest, true),
        ("$scrypt$ln=17,r=7,p=1$", digest, true),
        ("$pbkdf2-sha256$i=600000,l=32$", digest, false),
        ("$pbkdf2-sha256$i=599999,l=32$", digest, true),
        ("$pbkdf2-sha512$210000$", &long_digest, false),
        ("$pbkdf2-sha512$209999$", &long_digest, true),
    ] {
        let hash = PasswordHash::parse(&format!("{prefix}{salt}${digest}")).unwrap();
        assert_eq!(hash.is_weak(), is_weak, "{prefix}");
    }
    for (prefix, rest, is_weak) in [
        ("$2b$12$", bcrypt, false),
        ("$2y$11$", bcrypt, true),
        (
            "$bcrypt-sha256$v=2,t=2b,r=12$",
            "KQlmDwHSd6NcDl2OrqI2Pu$mSgnx6u/hAF1oPEb9bAaO0wQygJM.xq",
            false,
        ),
        (
            "$bcrypt-sha256$v=2,t=2b,r=11$",
            "KQlmDwHSd6NcDl2OrqI2Pu$mSgnx6u/hAF1oPEb9bAaO0wQygJM.xq",
            true,
        ),
        (
            "$5$rounds=1000000$",
            "GTxHSJKotMR18hI6$E45l6DOeuSUGY7zTTfHWrW8Rd6tqkmMUAMp5JPfzX.4",
            true,
        ),
    ] {
        let hash = PasswordHash::parse(&format!("{prefix}{rest}")).unwrap();
        assert_eq!(hash.is_weak(), is_weak, "{prefix}");
    }
}

/// The first 72 bytes are right, but the whole password is another one.
#[test]
fn bcrypt_rejects_passwords_over_72_bytes() {
    for tool in ["htpasswd -B", "mkpasswd bcrypt", "mkpasswd bcrypt-a", "bcrypt 2b", "bcrypt 2a"] {
        let hash = PasswordHash::parse(&fixture_hash(tool, &"x".repeat(72))).unwrap();
        assert!(hash.verify(&"x".repeat(72)), "{tool}");
        assert!(!hash.verify(&"x".repeat(73)), "{tool}");
        assert!(!hash.verify(&format!("{}anything", "x".repeat(72))), "{tool}");
    }
    // Byte 72 is inside a character.
    let too_long = format!("{}☃", "x".repeat(70));
    let hash = PasswordHash::parse(&fixture_hash("bcrypt 2b", &"x".repeat(72))).unwrap();
    assert!(!hash.verify(&too_long));
}

#[test]
fn new_hash_accepts_its_password_and_is_unique() {
    for password in [PASSWORD, UNICODE_PASSWORD, "", &"☃".repeat(170)] {
        let hash = PasswordHash::new(password).unwrap();
        assert!(hash.verify(password));
        assert!(!hash.verify(&format!("{password}x")));
        assert_ne!(hash.as_str(), PasswordHash::new(password).unwrap().as_str());
        let stored = PasswordHash::parse(hash.as_str()).unwrap();
        assert!(stored.verify(password));
    }
    assert!(PasswordHash::new(&"x".repeat(PasswordHash::MAX_PASSWORD_BYTES + 1)).is_err());
}

#[test]
fn debug_shows_only_kind_and_cost() {
    let hash = fixture_hash("bcrypt 2b", PASSWORD);
    let shown = format!("{:?}", PasswordHash::parse(&hash).unwrap());
    assert_eq!(shown, "PasswordHash(Bcrypt { cost: 4 })");
    for record in Fixture::read().hashes.iter().filter(|record| !is_invalid_plain_text(record)) {
        let shown = format!("{:?}", parse(record));
        let secrets = record.hash.rsplit('$').take(2).filter(|part| part.len() > 8);
        for secret in secrets {
            assert!(!shown.contains(secret), "{}: {shown}", record.tool);
        }
    }
}

#[test]
fn from_str_accepts_the_hashes_that_parse_accepts() {
    for record in Fixture::read().hashes {
        let parsed = record.hash.parse::<PasswordHash>();
        assert_eq!(parsed.is_ok(), PasswordHash::parse(&record.hash).is_ok(), "{}", record.tool);
        if let Ok(hash) = parsed {
            assert_eq!(AsRef::<str>::as_ref(&hash), record.hash);
            assert!(hash.verify(&record.password) || is_truncated(&record), "{}", record.tool);
        }
    }
}
