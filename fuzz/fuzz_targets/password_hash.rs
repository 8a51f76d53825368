//! Any text as a stored hash: it is one, or a fault, and checking a password against it does no more than say no.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tower_auth::password::PasswordHash;

fuzz_target!(|text: &str| {
    let strong = PasswordHash::parse(text);
    let with_apr1 = PasswordHash::parse_or_apr1(text);
    let any = PasswordHash::dangerous_parse_insecure(text);
    assert!(strong.is_err() || with_apr1.is_ok());
    assert!(with_apr1.is_err() || any.is_ok());
    let Ok(hash) = any else { return };
    assert_eq!(hash.as_str(), text);
    // Its kind and cost are shown, and nothing of it.
    let shown = format!("{hash:?}");
    assert!(shown.starts_with("PasswordHash(") && !shown.contains('$'));
    if !text.starts_with(['$', '{']) {
        assert_eq!(shown, "PasswordHash(Plain)");
    }
    // What costs next to nothing.
    if !text.starts_with('$') || text.starts_with("$apr1$") {
        assert!(
            !hash.verify("no password is this long, nor ends in a star *") || text.ends_with('*')
        );
    }
});
