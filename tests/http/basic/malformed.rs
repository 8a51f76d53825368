//! Malformed and too costly hashes are rejected when they are parsed, without a panic.

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use proptest::prelude::*;
use tower_auth::{
    ConfigError,
    password::{HashedUsers, Htpasswd, PasswordHash},
};

use super::{Fixture, FixtureHash, PASSWORD, cheap_hash, fixture_hash};

/// Whether the hash is cheap enough to be verified in each case of a property test.
fn is_cheap(hash: &PasswordHash) -> bool {
    let shown = format!("{hash:?}");
    let bounds = [
        ("memory_kib", 1_024),
        ("passes", 4),
        ("cost", 4),
        ("log_n", 6),
        ("r", 16),
        ("p", 4),
        ("rounds", 5_000),
    ];
    bounds.iter().all(|(name, max)| {
        let Some((_, rest)) = shown.split_once(&format!(" {name}: ")) else { return true };
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u64>().unwrap() <= *max
    })
}

/// One hash per tool, all of the same password, without plain text.
fn one_hash_per_tool() -> Vec<FixtureHash> {
    let mut all = Fixture::read().hashes;
    all.retain(|record| record.password == PASSWORD && record.tool != "htpasswd -p");
    all
}

/// Whether the digest of this kind of hash may have several lengths.
fn has_variable_digest_length(text: &str) -> bool {
    ["$argon2", "$scrypt$"].iter().any(|kind| text.starts_with(kind))
}

#[test]
fn truncated_or_extended_hash_is_rejected() {
    for record in one_hash_per_tool() {
        let digest_start = record.hash.rfind('$').map_or(0, |index| index + 1);
        for length in 0..record.hash.len() {
            let truncated = &record.hash[..length];
            let parsed = [PasswordHash::parse(truncated), PasswordHash::parse_or_apr1(truncated)]
                .into_iter()
                .flatten();
            for hash in parsed {
                // A shorter digest of these kinds can be valid.
                let digest_length = length - digest_start;
                assert!(
                    has_variable_digest_length(&record.hash)
                        && [22, 27, 32, 38].contains(&digest_length),
                    "{hash:?} {truncated}"
                );
            }
            if record.hash.starts_with("{SHA}") && length > 0 {
                assert!(
                    PasswordHash::dangerous_parse_insecure(truncated).is_err() || length < 5,
                    "{truncated}"
                );
            }
        }
        for suffix in ["$", ".", "x", " ", "\n", ":x", "=", "$$"] {
            let longer = format!("{}{suffix}", record.hash);
            assert!(PasswordHash::parse_or_apr1(&longer).is_err(), "{longer:?}");
        }
    }
}

/// A hash that no password can match is an error, because its user would search for the fault
/// elsewhere.
#[test]
fn character_outside_the_alphabet_is_rejected_in_salts_and_digests() {
    for record in one_hash_per_tool().iter().filter(|record| record.hash.starts_with('$')) {
        // The salt of these kinds is used as it is, so a tool can have used other characters.
        let is_kind = |kinds: &[&str]| kinds.iter().any(|kind| record.hash.starts_with(kind));
        let any_salt = is_kind(&["$apr1$"]);
        let wide_salt = is_kind(&["$5$", "$6$", "$7$"]);
        let fields = record.hash.rsplit('$').take(if any_salt { 1 } else { 2 });
        let length = fields.map(|field| field.len() + 1).sum::<usize>() - 1;
        let digest = record.hash.rfind('$').unwrap();
        for index in record.hash.len() - length..record.hash.len() {
            for other in ["!", "-", "☃", "\0", " "] {
                if wide_salt && index < digest && other == "-" {
                    continue;
                }
                let mut text = record.hash.clone();
                text.replace_range(index..=index, other);
                assert!(PasswordHash::parse_or_apr1(&text).is_err(), "{}: {text:?}", record.tool);
            }
        }
    }
}

/// The last character of a digest has bits to spare. They must be zero, or no password matches.
#[test]
fn digest_with_spare_bits_is_rejected() {
    const ALPHABET: &str = "./+0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    for record in one_hash_per_tool() {
        let accepted = ALPHABET.chars().filter(|last| {
            let mut text = record.hash.clone();
            // `{SHA}` ends with padding.
            let index = text.trim_end_matches('=').len() - 1;
            text.replace_range(index..=index, &last.to_string());
            PasswordHash::dangerous_parse_insecure(&text).is_ok()
        });
        let digest_is_of_64_bytes = ["sha512", "openssl -6", "htpasswd -5"];
        let digest_is_of_16_bytes = ["apr1", "htpasswd -m"];
        let mut four_bits_to_spare = digest_is_of_64_bytes.iter().chain(&digest_is_of_16_bytes);
        let expected = match four_bits_to_spare.any(|tool| record.tool.contains(tool)) {
            true => 4,
            false => 16,
        };
        assert_eq!(accepted.count(), expected, "{}", record.tool);
    }
}

#[test]
fn hash_without_salt_is_rejected() {
    for tool in [
        "mkpasswd sha512crypt",
        "openssl -6",
        "openssl -5",
        "openssl -apr1",
        "passlib pbkdf2_sha256",
    ] {
        let hash = fixture_hash(tool, PASSWORD);
        let mut fields: Vec<&str> = hash.split('$').collect();
        let salt = fields.len() - 2;
        fields[salt] = "";
        assert!(PasswordHash::parse_or_apr1(&fields.join("$")).is_err(), "{hash}");
        assert!(
            PasswordHash::parse_or_apr1(&hash.replace(hash.split('$').nth_back(1).unwrap(), ""))
                .is_err()
        );
    }
}

/// RustCrypto writes PBKDF2 hashes with named parameters.
#[test]
fn pbkdf2_with_a_wrong_length_parameter_is_rejected() {
    let hash = fixture_hash("passlib pbkdf2_sha256", PASSWORD).replace('.', "+");
    let named =
        |params: &str| PasswordHash::parse(&hash.replacen("$1000$", &format!("${params}$"), 1));
    assert!(named("i=1000,l=32").unwrap().verify(PASSWORD));
    assert!(!named("i=1001,l=32").unwrap().verify(PASSWORD));
    assert!(named("i=1000").unwrap().verify(PASSWORD));
    for params in
        ["i=1000,l=31", "i=1000,l=64", "i=1000,l=16", "i=999,l=32", "i=10000001,l=32", "l=32,x=1"]
    {
        assert!(named(params).is_err(), "{params}");
    }
}

#[test]
fn unsupported_kinds_are_rejected_by_every_parse_function() {
    for (kind, text) in Fixture::read().others {
        assert!(PasswordHash::parse_or_apr1(&text).is_err(), "{kind}");
        // Text that does not start with a dollar sign could be plain text.
        if text.starts_with('$') {
            assert!(PasswordHash::dangerous_parse_insecure(&text).is_err(), "{kind}");
        }
    }
    let bcrypt = fixture_hash("bcrypt 2b", PASSWORD);
    for text in [
        bcrypt.replace("$2b$", "$2x$"),
        bcrypt.replace("$2b$", "$2$"),
        bcrypt.replace("$2b$", "$2B$"),
        bcrypt.replace("$2b$", "$$"),
        fixture_hash("passlib bcrypt_sha256", PASSWORD).replace("v=2", "v=1"),
        fixture_hash("passlib pbkdf2_sha256", PASSWORD).replace("$pbkdf2-sha256$", "$pbkdf2$"),
        cheap_hash(PASSWORD).replace("$argon2id$", "$argon2$"),
        "{SSHA}c2FsdHNhbHRzYWx0c2FsdHNhbHRzYWx0".to_owned(),
        "{CRYPT}x".to_owned(),
        "!".to_owned(),
        "*".to_owned(),
        "".to_owned(),
        "$".to_owned(),
        "$$$$$$".to_owned(),
    ] {
        assert!(PasswordHash::parse_or_apr1(&text).is_err(), "{text}");
    }
}

#[test]
fn excessive_and_malformed_costs_are_rejected() {
    let assert_rejected = |tool: &str, from: &str, to: &str| {
        let hash = fixture_hash(tool, PASSWORD);
        let text = hash.replacen(from, to, 1);
        assert_ne!(text, hash, "{tool} has no {from}");
        assert!(PasswordHash::parse(&text).is_err(), "{text}");
    };
    for memory in ["0", "7", "1048577", "4194304", "4294967295", "4294967296", "-1", "", "x", "064"]
    {
        assert_rejected("argon2-cffi argon2id", "m=64", &format!("m={memory}"));
    }
    for passes in ["0", "65", "4294967295", "99999999999999999999", "-1", ""] {
        assert_rejected("argon2-cffi argon2i", "t=1", &format!("t={passes}"));
    }
    for lanes in ["0", "17", "16777216", ""] {
        assert_rejected("argon2-cffi argon2d", "p=2", &format!("p={lanes}"));
    }
    assert_rejected("argon2-cffi argon2id", "v=19", "v=20");
    assert_rejected("argon2-cffi argon2id", "v=19$", "");
    assert_rejected("argon2-cffi argon2id", "m=64,", "");
    for cost in ["03", "00", "17", "31", "99", "4", "-1", "1e", "☃"] {
        assert_rejected("bcrypt 2b", "$04$", &format!("${cost}$"));
        assert_rejected("passlib bcrypt_sha256", "r=4$", &format!("r={}$", cost.replace('4', "")));
    }
    for log_n in ["0", "31", "63", "64", "255", "4294967295", "-1", ""] {
        assert_rejected("passlib scrypt", "ln=4", &format!("ln={log_n}"));
    }
    for (from, to) in [
        ("r=8", "r=0"),
        ("r=8", "r=4294967295"),
        ("p=1", "p=0"),
        ("p=1", "p=17"),
        ("p=1", "p=1073741823"),
    ] {
        assert_rejected("passlib scrypt", from, to);
    }
    for rounds in ["0", "1", "999", "10000001", "4294967295", "4294967296", "-1", "", "1e4"] {
        assert_rejected("passlib pbkdf2_sha256", "$1000$", &format!("${rounds}$"));
        assert_rejected("passlib sha512_crypt", "rounds=1001", &format!("rounds={rounds}"));
    }
    for product in ["r=4294967295,p=2", "r=65536,p=65536", "r=268435456,p=16", "r=8388608,p=16"] {
        assert_rejected("passlib scrypt", "r=8,p=1", product);
    }
    // N, r and p in the encoding of crypt(3).
    let scrypt = fixture_hash("mkpasswd scrypt", PASSWORD);
    let head = &scrypt[..14];
    for params in [
        "zU..../....",
        ".U..../....",
        "BU....zzzzz",
        "Bzzzzz/....",
        "B...../....",
        "BU.........",
        "BU!.../....",
    ] {
        let text = scrypt.replacen(head, &format!("$7${params}"), 1);
        assert!(PasswordHash::parse(&text).is_err(), "{text}");
    }
}

/// Each factor is below its limit, but the hash would take up to a minute.
#[test]
fn excessive_product_of_costs_is_rejected() {
    let replaced = |tool: &str, from: &str, to: &str| {
        let hash = fixture_hash(tool, PASSWORD);
        let text = hash.replacen(from, to, 1);
        assert_ne!(text, hash, "{tool} has no {from}");
        PasswordHash::parse(&text)
    };
    let limit_in_error = |hash: Result<PasswordHash, ConfigError>| {
        let error = hash.unwrap_err().to_string();
        assert!(error.contains("exceeds the limit") && error.contains("lower cost"), "{error}");
        error
    };
    let argon2 = |params: &str| replaced("argon2-cffi argon2id", "m=64,t=1,p=2", params);
    for params in
        ["m=1048576,t=64,p=1", "m=1048576,t=5,p=4", "m=65536,t=64,p=1", "m=65537,t=64,p=1"]
    {
        let is_at_the_limit = params == "m=65536,t=64,p=1";
        assert_eq!(argon2(params).is_ok(), is_at_the_limit, "{params}");
    }
    assert!(limit_in_error(argon2("m=1048576,t=64,p=1")).contains("4 GiB"));
    let scrypt = |params: &str| replaced("passlib scrypt", "ln=4,r=8,p=1", params);
    for params in ["ln=20,r=8,p=16", "ln=20,r=8,p=3", "ln=16,r=128,p=3", "ln=17,r=16,p=9"] {
        assert!(limit_in_error(scrypt(params)).contains("2 GiB"), "{params}");
    }
    // Blocks that are far smaller or larger than usual take several times as long per byte.
    for params in ["ln=23,r=1,p=1", "ln=19,r=1,p=16", "ln=1,r=4194304,p=1", "ln=1,r=65,p=1"] {
        assert!(limit_in_error(scrypt(params)).contains("r = 64"), "{params}");
    }
    for params in ["ln=22,r=1,p=1", "ln=18,r=1,p=16", "ln=17,r=64,p=2", "ln=20,r=8,p=2"] {
        assert!(scrypt(params).is_ok(), "{params}");
    }
    let sha_crypt = |rounds: &str| replaced("passlib sha512_crypt", "rounds=1001", rounds);
    assert!(sha_crypt("rounds=2000000").is_ok());
    assert!(limit_in_error(sha_crypt("rounds=2000001")).contains("2,000,000"));
    // PBKDF2 computes a longer digest in blocks.
    let pbkdf2 = |rounds: u32, digest_length: usize| {
        let digest = STANDARD_NO_PAD.encode(vec![0; digest_length]);
        PasswordHash::parse(&format!(
            "$pbkdf2-sha256$i={rounds},l={digest_length}$c2FsdHNhbHQ${digest}"
        ))
    };
    assert!(pbkdf2(10_000_000, 32).is_ok());
    assert!(pbkdf2(5_000_000, 64).is_ok());
    assert!(limit_in_error(pbkdf2(5_000_001, 64)).contains("10,000,000"));
    assert!(limit_in_error(replaced("bcrypt 2b", "$04$", "$17$")).contains("16"));
}

#[test]
fn recommended_costs_are_accepted() {
    for (tool, from, accepted) in [
        (
            "argon2-cffi argon2id",
            "m=64,t=1,p=2",
            &[
                // OWASP's Password Storage Cheat Sheet.
                "m=47104,t=1,p=1",
                "m=19456,t=2,p=1",
                "m=12288,t=3,p=1",
                "m=9216,t=4,p=1",
                "m=7168,t=5,p=1",
                // The second recommendation of RFC 9106, PHP and Spring Security.
                "m=65536,t=3,p=4",
                "m=65536,t=4,p=1",
                "m=16384,t=2,p=1",
                // The presets of libsodium.
                "m=65536,t=2,p=1",
                "m=262144,t=3,p=1",
                "m=1048576,t=4,p=1",
            ][..],
        ),
        (
            "passlib scrypt",
            "ln=4,r=8,p=1",
            &[
                "ln=17,r=8,p=1",
                "ln=16,r=8,p=2",
                "ln=15,r=8,p=3",
                "ln=14,r=8,p=5",
                "ln=13,r=8,p=10",
                // Node.js, Python's Werkzeug, the highest preset of libsodium.
                "ln=14,r=8,p=1",
                "ln=15,r=8,p=1",
                "ln=20,r=8,p=1",
            ],
        ),
        ("passlib pbkdf2_sha256", "$1000$", &["$600000$", "$1000000$"]),
        ("passlib pbkdf2_sha512", "$1000$", &["$210000$", "$1000000$"]),
        ("passlib sha512_crypt", "rounds=1001", &["rounds=5000", "rounds=656000"]),
        ("bcrypt 2b", "$04$", &["$10$", "$12$", "$14$", "$16$"]),
    ] {
        for params in accepted {
            let text = fixture_hash(tool, PASSWORD).replacen(from, params, 1);
            assert!(PasswordHash::parse(&text).is_ok(), "{text}");
        }
    }
    // The first recommendation of RFC 9106 needs 2 GiB for each concurrent login.
    let rfc9106 = cheap_hash(PASSWORD).replacen("m=64,t=1,p=2", "m=2097152,t=1,p=4", 1);
    assert!(PasswordHash::parse(&rfc9106).is_err());
}

#[test]
fn error_names_the_user_and_contains_no_part_of_the_hash() {
    for record in one_hash_per_tool() {
        let truncated = &record.hash[..record.hash.len() - 5];
        let error = HashedUsers::new([("alice", truncated)]).unwrap_err().to_string();
        assert!(error.contains("alice"), "{error}");
        let secrets = truncated.rsplit('$').take(2).filter(|part| part.len() > 6);
        for secret in secrets {
            assert!(!error.contains(secret), "{error}");
        }
    }
    for users in [vec![("a:b", cheap_hash(PASSWORD))], vec![("a\n", cheap_hash(PASSWORD))]] {
        assert!(HashedUsers::new(users).is_err());
    }
    assert!(HashedUsers::new([("a", cheap_hash(PASSWORD)), ("a", cheap_hash(PASSWORD))]).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn arbitrary_text_does_not_panic(text in any::<String>(), password in any::<String>()) {
        for parsed in [
            PasswordHash::parse(&text),
            PasswordHash::parse_or_apr1(&text),
            PasswordHash::dangerous_parse_insecure(&text),
        ].into_iter().flatten() {
            let _ = parsed.verify(&password);
        }
    }

    #[test]
    fn text_in_the_shape_of_a_hash_does_not_panic(
        kind in "(argon2id|argon2i|argon2d|2a|2b|2y|bcrypt-sha256|scrypt|7|pbkdf2-sha256|pbkdf2-sha512|5|6|apr1)",
        parts in proptest::collection::vec("([a-z]{1,2}=[0-9]{1,10}[,$]?){0,4}|[./0-9A-Za-z+=☃]{0,90}", 0..5),
        password in ".{0,100}",
    ) {
        let text = format!("${kind}${}", parts.join("$"));
        if let Ok(hash) = PasswordHash::parse_or_apr1(&text) && is_cheap(&hash) {
            let _ = hash.verify(&password);
        }
    }

    /// Replaces, inserts or removes some characters of real hashes.
    #[test]
    fn changed_hash_does_not_panic_or_accept_another_password(
        which in any::<prop::sample::Index>(),
        edits in proptest::collection::vec((any::<prop::sample::Index>(), 0..3, "[$,=./0-9A-Za-z☃\0]"), 1..4),
        password in ".{0,100}",
    ) {
        let all = one_hash_per_tool();
        let mut text: Vec<char> = which.get(&all).hash.chars().collect();
        for (index, edit, character) in edits {
            let index = index.index(text.len());
            let character = character.chars().next().unwrap();
            match edit {
                0 => text[index] = character,
                1 => text.insert(index, character),
                _ => drop(text.remove(index)),
            }
        }
        let text: String = text.into_iter().collect();
        if let Ok(hash) = PasswordHash::parse_or_apr1(&text) && is_cheap(&hash) {
            prop_assert!(!hash.verify(&password));
            let _ = hash.verify(PASSWORD);
        }
    }
}

#[test]
fn unreadable_file_is_named_in_the_error() {
    let dir = tempfile::tempdir().unwrap();
    for path in [dir.path().to_owned(), dir.path().join("missing")] {
        let error = Htpasswd::open(&path).unwrap_err().to_string();
        assert!(error.contains(path.to_str().unwrap()), "{error}");
    }
}
