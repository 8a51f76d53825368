//! Hashes that other tools made, verified.

use std::thread;

use tower_auth::password::PasswordHash;

use super::{Fixture, HORSE, Hashed, SNOW, made_by};

/// bcrypt reads 72 bytes, and whoever made the hash of more did not say so.
fn is_cut(made: &Hashed) -> bool {
    let bcrypt = ["$2a$", "$2b$", "$2y$"].iter().any(|kind| made.hash.starts_with(kind));
    bcrypt && made.password.len() > 72
}

/// As much as it takes for this one.
fn parse(made: &Hashed) -> PasswordHash {
    let parsed = match &*made.tool {
        "htpasswd -m" | "openssl -apr1" => {
            assert!(PasswordHash::parse(&made.hash).is_err(), "{}", made.tool);
            PasswordHash::parse_or_apr1(&made.hash)
        }
        "htpasswd -s" | "htpasswd -p" => {
            assert!(PasswordHash::parse_or_apr1(&made.hash).is_err(), "{}", made.tool);
            PasswordHash::dangerous_parse_insecure(&made.hash)
        }
        _ => PasswordHash::parse(&made.hash),
    };
    parsed.unwrap_or_else(|error| panic!("{} of {:?}: {error}", made.tool, made.password))
}

/// Plain text that is empty is nobody's password, and what looks like a hash is none of plain text.
fn is_no_plain_text(made: &Hashed) -> bool {
    made.tool == "htpasswd -p" && (made.hash.is_empty() || made.hash.starts_with('$'))
}

/// What a user may have meant, and what an attacker would try.
fn near_misses(password: &str) -> Vec<String> {
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

fn check(made: &Hashed) {
    let what = format!("{} of {:?}", made.tool, made.password);
    if is_no_plain_text(made) {
        assert!(PasswordHash::dangerous_parse_insecure(&made.hash).is_err(), "{what}");
        return;
    }
    let hash = parse(made);
    assert_eq!(hash.verify(&made.password), !is_cut(made), "{what}");
    let mut others = near_misses(&made.password);
    if made.tool == "mkpasswd scrypt" {
        others.truncate(2); // it takes 32 MiB at the least
    }
    if is_cut(made) {
        others.retain(|other| other.len() != 72); // what it is the hash of
    }
    for other in others {
        assert!(!hash.verify(&other), "{what} is that of {other:?}");
    }
}

#[test]
fn the_hashes_of_every_tool_are_of_their_password_and_of_no_other() {
    let made = Fixture::read().hashes;
    assert!(made.len() > 140);
    // Two cores are there, at the least.
    let (some, others) = made.split_at(made.len() / 2);
    thread::scope(|scope| {
        scope.spawn(|| some.iter().for_each(check));
        others.iter().for_each(check);
    });
}

#[test]
fn the_hashes_that_tools_make_by_default_are_of_their_password() {
    for made in Fixture::read().defaults {
        let hash = PasswordHash::parse(&made.hash).unwrap();
        assert!(hash.verify(HORSE), "{}", made.tool);
        assert!(!hash.verify(SNOW), "{}", made.tool);
    }
}

#[test]
fn only_what_owasp_recommends_is_not_weak() {
    for made in Fixture::read().defaults {
        let is_good = made.tool == "argon2-cffi by default";
        let hash = PasswordHash::parse(&made.hash).unwrap();
        assert_eq!(hash.is_weak(), !is_good, "{}", made.tool);
    }
    for made in Fixture::read().hashes {
        assert!(is_no_plain_text(&made) || parse(&made).is_weak(), "{}", made.tool);
    }
    assert!(!PasswordHash::new(HORSE).unwrap().is_weak());
}

/// The hash is that of the first 72 bytes, which are right; all the same, it is another password.
#[test]
fn bcrypt_refuses_what_it_would_not_read_to_its_end() {
    for tool in ["htpasswd -B", "mkpasswd bcrypt", "mkpasswd bcrypt-a", "bcrypt 2b", "bcrypt 2a"] {
        let hash = PasswordHash::parse(&made_by(tool, &"x".repeat(72))).unwrap();
        assert!(hash.verify(&"x".repeat(72)), "{tool}");
        assert!(!hash.verify(&"x".repeat(73)), "{tool}");
        assert!(!hash.verify(&format!("{}anything", "x".repeat(72))), "{tool}");
    }
    // A cut within a character is none within a password.
    let snow = format!("{}☃", "x".repeat(70));
    let hash = PasswordHash::parse(&made_by("bcrypt 2b", &"x".repeat(72))).unwrap();
    assert!(!hash.verify(&snow));
}

#[test]
fn a_new_hash_is_of_its_password_and_is_never_made_twice() {
    for password in [HORSE, SNOW, "", &"☃".repeat(170)] {
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
fn debug_shows_the_kind_and_the_cost_and_no_more() {
    let made = made_by("bcrypt 2b", HORSE);
    let shown = format!("{:?}", PasswordHash::parse(&made).unwrap());
    assert_eq!(shown, "PasswordHash(Bcrypt { cost: 4 })");
    for made in Fixture::read().hashes.iter().filter(|made| !is_no_plain_text(made)) {
        let shown = format!("{:?}", parse(made));
        let secrets = made.hash.rsplit('$').take(2).filter(|part| part.len() > 8);
        for secret in secrets {
            assert!(!shown.contains(secret), "{}: {shown}", made.tool);
        }
    }
}
