//! What is no hash, or none that should be computed: found while building, and never with a panic.

use proptest::prelude::*;
use tower_auth::password::{HashedUsers, Htpasswd, PasswordHash};

use super::{Fixture, HORSE, Hashed, cheap, made_by};

/// Whose costs are next to none, so that it may be computed for every case of a property.
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
    bounds.iter().all(|(name, most)| {
        let Some((_, rest)) = shown.split_once(&format!(" {name}: ")) else { return true };
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u64>().unwrap() <= *most
    })
}

/// One of each tool, of the same password, without those that take anything for plain text.
fn one_of_each() -> Vec<Hashed> {
    let mut all = Fixture::read().hashes;
    all.retain(|made| made.password == HORSE && made.tool != "htpasswd -p");
    all
}

/// How many characters the digest of a hash has at the least, where a shorter one can be a whole one.
fn may_be_shorter(text: &str) -> bool {
    ["$argon2", "$scrypt$"].iter().any(|kind| text.starts_with(kind))
}

#[test]
fn a_hash_that_was_cut_is_refused_wherever_it_was() {
    for made in one_of_each() {
        let digest = made.hash.rfind('$').map_or(0, |at| at + 1);
        for length in 0..made.hash.len() {
            let cut = &made.hash[..length];
            let parsed =
                [PasswordHash::parse(cut), PasswordHash::parse_or_apr1(cut)].into_iter().flatten();
            for hash in parsed {
                // The digest of these may be of several lengths, and so only most cuts show.
                let at = length - digest;
                assert!(
                    may_be_shorter(&made.hash) && [22, 27, 32, 38].contains(&at),
                    "{hash:?} {cut}"
                );
            }
            if made.hash.starts_with("{SHA}") && length > 0 {
                assert!(
                    PasswordHash::dangerous_parse_insecure(cut).is_err() || length < 5,
                    "{cut}"
                );
            }
        }
        for more in ["$", ".", "x", " ", "\n", ":x", "=", "$$"] {
            let longer = format!("{}{more}", made.hash);
            assert!(PasswordHash::parse_or_apr1(&longer).is_err(), "{longer:?}");
        }
    }
}

/// Nothing that could only ever be wrong is taken, for its user would look for the fault elsewhere.
#[test]
fn a_character_that_is_none_of_the_alphabet_is_refused_in_salts_and_digests() {
    for made in one_of_each().iter().filter(|made| made.hash.starts_with('$')) {
        // Some are salted with any characters.
        let any_salt =
            ["$5$", "$6$", "$apr1$", "$7$"].iter().any(|kind| made.hash.starts_with(kind));
        let fields = made.hash.rsplit('$').take(if any_salt { 1 } else { 2 });
        let length = fields.map(|field| field.len() + 1).sum::<usize>() - 1;
        for at in made.hash.len() - length..made.hash.len() {
            for other in ["!", "-", "☃", "\0", " "] {
                let mut text = made.hash.clone();
                text.replace_range(at..=at, other);
                assert!(PasswordHash::parse_or_apr1(&text).is_err(), "{}: {text:?}", made.tool);
            }
        }
    }
}

#[test]
fn a_hash_has_a_salt() {
    for tool in [
        "mkpasswd sha512crypt",
        "openssl -6",
        "openssl -5",
        "openssl -apr1",
        "passlib pbkdf2_sha256",
    ] {
        let made = made_by(tool, HORSE);
        let mut fields: Vec<&str> = made.split('$').collect();
        let salt = fields.len() - 2;
        fields[salt] = "";
        assert!(PasswordHash::parse_or_apr1(&fields.join("$")).is_err(), "{made}");
        assert!(
            PasswordHash::parse_or_apr1(&made.replace(made.split('$').nth_back(1).unwrap(), ""))
                .is_err()
        );
    }
}

/// As RustCrypto writes it, with the parameters named.
#[test]
fn pbkdf2_with_named_parameters_is_as_long_as_it_says() {
    let made = made_by("passlib pbkdf2_sha256", HORSE).replace('.', "+");
    let named =
        |params: &str| PasswordHash::parse(&made.replacen("$1000$", &format!("${params}$"), 1));
    assert!(named("i=1000,l=32").unwrap().verify(HORSE));
    assert!(!named("i=1001,l=32").unwrap().verify(HORSE));
    assert!(named("i=1000").unwrap().verify(HORSE));
    for params in
        ["i=1000,l=31", "i=1000,l=64", "i=1000,l=16", "i=999,l=32", "i=10000001,l=32", "l=32,x=1"]
    {
        assert!(named(params).is_err(), "{params}");
    }
}

#[test]
fn kinds_that_are_not_taken_are_refused_whatever_is_allowed() {
    for (kind, text) in Fixture::read().others {
        assert!(PasswordHash::parse_or_apr1(&text).is_err(), "{kind}");
        // What starts with no dollar could be plain text.
        if text.starts_with('$') {
            assert!(PasswordHash::dangerous_parse_insecure(&text).is_err(), "{kind}");
        }
    }
    let bcrypt = made_by("bcrypt 2b", HORSE);
    for text in [
        bcrypt.replace("$2b$", "$2x$"),
        bcrypt.replace("$2b$", "$2$"),
        bcrypt.replace("$2b$", "$2B$"),
        bcrypt.replace("$2b$", "$$"),
        made_by("passlib bcrypt_sha256", HORSE).replace("v=2", "v=1"),
        made_by("passlib pbkdf2_sha256", HORSE).replace("$pbkdf2-sha256$", "$pbkdf2$"),
        cheap(HORSE).replace("$argon2id$", "$argon2$"),
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
fn monstrous_costs_and_odd_ones_are_refused_without_computing_anything() {
    let changed = |tool: &str, from: &str, to: &str| {
        let made = made_by(tool, HORSE);
        let text = made.replacen(from, to, 1);
        assert_ne!(text, made, "{tool} has no {from}");
        assert!(PasswordHash::parse(&text).is_err(), "{text}");
    };
    for memory in ["0", "7", "1048577", "4194304", "4294967295", "4294967296", "-1", "", "x", "064"]
    {
        changed("argon2-cffi argon2id", "m=64", &format!("m={memory}"));
    }
    for passes in ["0", "65", "4294967295", "99999999999999999999", "-1", ""] {
        changed("argon2-cffi argon2i", "t=1", &format!("t={passes}"));
    }
    for lanes in ["0", "17", "16777216", ""] {
        changed("argon2-cffi argon2d", "p=2", &format!("p={lanes}"));
    }
    changed("argon2-cffi argon2id", "v=19", "v=20");
    changed("argon2-cffi argon2id", "v=19$", "");
    changed("argon2-cffi argon2id", "m=64,", "");
    for cost in ["03", "00", "17", "31", "99", "4", "-1", "1e", "☃"] {
        changed("bcrypt 2b", "$04$", &format!("${cost}$"));
        changed("passlib bcrypt_sha256", "r=4$", &format!("r={}$", cost.replace('4', "")));
    }
    for log_n in ["0", "31", "63", "64", "255", "4294967295", "-1", ""] {
        changed("passlib scrypt", "ln=4", &format!("ln={log_n}"));
    }
    for (from, to) in [
        ("r=8", "r=0"),
        ("r=8", "r=4294967295"),
        ("p=1", "p=0"),
        ("p=1", "p=17"),
        ("p=1", "p=1073741823"),
    ] {
        changed("passlib scrypt", from, to);
    }
    for rounds in ["0", "1", "999", "10000001", "4294967295", "4294967296", "-1", "", "1e4"] {
        changed("passlib pbkdf2_sha256", "$1000$", &format!("${rounds}$"));
        changed("passlib sha512_crypt", "rounds=1001", &format!("rounds={rounds}"));
    }
    // N, r and p, as crypt writes them.
    for product in ["r=4294967295,p=2", "r=65536,p=65536", "r=268435456,p=16", "r=8388608,p=16"] {
        changed("passlib scrypt", "r=8,p=1", product);
    }
    let scrypt = made_by("mkpasswd scrypt", HORSE);
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

#[test]
fn what_is_said_of_a_bad_hash_holds_none_of_it() {
    for made in one_of_each() {
        let cut = &made.hash[..made.hash.len() - 5];
        let error = HashedUsers::new([("alice", cut)]).unwrap_err().to_string();
        assert!(error.contains("alice"), "{error}");
        let secrets = cut.rsplit('$').take(2).filter(|part| part.len() > 6);
        for secret in secrets {
            assert!(!error.contains(secret), "{error}");
        }
    }
    for users in [vec![("a:b", cheap(HORSE))], vec![("a\n", cheap(HORSE))]] {
        assert!(HashedUsers::new(users).is_err());
    }
    assert!(HashedUsers::new([("a", cheap(HORSE)), ("a", cheap(HORSE))]).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_text_panics(text in any::<String>(), password in any::<String>()) {
        for parsed in [
            PasswordHash::parse(&text),
            PasswordHash::parse_or_apr1(&text),
            PasswordHash::dangerous_parse_insecure(&text),
        ].into_iter().flatten() {
            let _ = parsed.verify(&password);
        }
    }

    #[test]
    fn no_text_in_the_shape_of_a_hash_panics(
        kind in "(argon2id|argon2i|argon2d|2a|2b|2y|bcrypt-sha256|scrypt|7|pbkdf2-sha256|pbkdf2-sha512|5|6|apr1)",
        parts in proptest::collection::vec("([a-z]{1,2}=[0-9]{1,10}[,$]?){0,4}|[./0-9A-Za-z+=☃]{0,90}", 0..5),
        password in ".{0,100}",
    ) {
        let text = format!("${kind}${}", parts.join("$"));
        if let Ok(hash) = PasswordHash::parse_or_apr1(&text) && is_cheap(&hash) {
            let _ = hash.verify(&password);
        }
    }

    /// Real ones, with some characters changed, put in or taken out.
    #[test]
    fn no_changed_hash_panics_or_takes_another_password(
        which in any::<prop::sample::Index>(),
        edits in proptest::collection::vec((any::<prop::sample::Index>(), 0..3, "[$,=./0-9A-Za-z☃\0]"), 1..4),
        password in ".{0,100}",
    ) {
        let all = one_of_each();
        let mut text: Vec<char> = which.get(&all).hash.chars().collect();
        for (at, edit, character) in edits {
            let at = at.index(text.len());
            let character = character.chars().next().unwrap();
            match edit {
                0 => text[at] = character,
                1 => text.insert(at, character),
                _ => drop(text.remove(at)),
            }
        }
        let text: String = text.into_iter().collect();
        if let Ok(hash) = PasswordHash::parse_or_apr1(&text) && is_cheap(&hash) {
            prop_assert!(!hash.verify(&password));
            let _ = hash.verify(HORSE);
        }
    }
}

#[test]
fn a_file_that_is_none_is_named() {
    let dir = tempfile::tempdir().unwrap();
    for path in [dir.path().to_owned(), dir.path().join("missing")] {
        let error = Htpasswd::open(&path).unwrap_err().to_string();
        assert!(error.contains(path.to_str().unwrap()), "{error}");
    }
}
