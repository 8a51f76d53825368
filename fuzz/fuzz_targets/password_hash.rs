//! Parses any text as a stored password hash. A wrong password does not verify, and nothing panics.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tower_auth::password::PasswordHash;

fuzz_target!(|text: &str| {
    let strong = PasswordHash::parse(text);
    let with_apr1 = PasswordHash::parse_or_apr1(text);
    let insecure = PasswordHash::dangerous_parse_insecure(text);
    assert!(strong.is_err() || with_apr1.is_ok());
    assert!(with_apr1.is_err() || insecure.is_ok());
    let Ok(hash) = insecure else { return };
    assert_eq!(hash.as_str(), text);
    // `Debug` shows the kind and the cost, but no part of the hash.
    let debug = format!("{hash:?}");
    assert!(debug.starts_with("PasswordHash(") && !debug.contains('$'));
    if !text.starts_with(['$', '{']) {
        assert_eq!(debug, "PasswordHash(Plain)");
    }
    assert!(is_affordable(&debug), "{debug}");
    // Verify only with fast hashes.
    if !text.starts_with('$') || text.starts_with("$apr1$") {
        assert!(
            !hash.verify("no password is this long, nor ends in a star *") || text.ends_with('*')
        );
    }
});

/// Checks the limits of memory times passes and of rounds, from the kind and the cost.
fn is_affordable(debug: &str) -> bool {
    let number = |name: &str| -> u64 {
        let Some((_, rest)) = debug.split_once(&format!(" {name}: ")) else { return 1 };
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap()
    };
    let scrypt_kib = (number("r") << number("log_n")) / 8 * number("p");
    number("memory_kib") * number("passes") <= 4 << 20
        && (!debug.contains("Scrypt") || scrypt_kib <= 2 << 20)
        && number("rounds") <= if debug.contains("ShaCrypt") { 2_000_000 } else { 10_000_000 }
        && number("cost") <= 16
}
