//! The pattern for secret scanners, checked with `grep -E`.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use tower_auth::{
    api_key::{ApiKeys, MemoryApiKeys, NewApiKey},
    bearer::TokenVerifier as _,
};
use tower_auth_test_support::ROOT;

use super::now;

/// The pattern of the docs, for keys with any prefix.
const ANY_PREFIX: &str = r"\b[a-z][a-z0-9_]{0,19}_[0-9A-Za-z]{16}_[0-9A-Za-z]{33}\b";

fn keys(prefix: &str) -> ApiKeys {
    let keys = ApiKeys::builder(prefix, MemoryApiKeys::new()).dangerous_trust_owners();
    keys.max_keys(1000).build().unwrap()
}

fn create(keys: &ApiKeys, count: usize) -> Vec<String> {
    let create = || now(keys.dangerous_create_for("alice", NewApiKey::new(""))).unwrap();
    (0..count).map(|_| create().key().to_owned()).collect()
}

/// Returns the parts of the text that match.
fn grep(pattern: &str, text: &str) -> Vec<String> {
    let mut grep = Command::new("grep");
    let mut grep = grep.args(["-oE", pattern]).stdin(Stdio::piped()).stdout(Stdio::piped());
    grep = grep.env("LC_ALL", "C");
    let mut child = grep.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn pattern_matches_each_key_of_the_service_and_no_others() {
    let (service, other) = (keys("acme_live"), keys("acme"));
    assert_eq!(service.pattern(), r"\bacme_live_[0-9A-Za-z]{16}_[0-9A-Za-z]{33}\b");
    let (own, others) = (create(&service, 1000), create(&other, 1000));
    let text = format!("{}\n{}\n", own.join("\n"), others.join("\n"));
    assert_eq!(grep(&service.pattern(), &text), own);
    assert_eq!(grep(&other.pattern(), &text), others);
    assert_eq!(grep(ANY_PREFIX, &text), [&own[..], &others].concat());
    // In the middle of a line, but not as a part of a longer word.
    let key = &own[0];
    let text = format!(r#"{{"key": "{key}"}} x{key} {key}0 _{key} {key}_ KEY={key};"#);
    assert_eq!(grep(&service.pattern(), &text), [&**key, &**key]);
}

#[test]
fn pattern_matches_no_malformed_key() {
    let service = keys("acme");
    let key = create(&service, 1).remove(0);
    for position in 0..key.len() {
        let mut changed = key.clone();
        changed.replace_range(position..=position, "-");
        assert!(grep(&service.pattern(), &changed).is_empty(), "{position}");
    }
}

#[test]
fn checksum_tells_keys_from_texts_that_match() {
    let service = keys("acme");
    for key in create(&service, 100) {
        let digit = if key.ends_with('0') { "1" } else { "0" };
        let changed = format!("{}{digit}", &key[..key.len() - 1]);
        assert_eq!(grep(&service.pattern(), &changed).len(), 1);
        let rejection = now(service.verify(&changed)).unwrap_err();
        let reason = super::reason(&rejection);
        assert_eq!(reason, tower_auth::api_key::InvalidApiKey::Malformed);
    }
}

#[test]
fn repository_contains_no_text_that_looks_like_a_key() {
    let mut git = Command::new("git");
    let git = git.args(["grep", "--text", "--untracked", "-nE", ANY_PREFIX]).current_dir(ROOT);
    let output = git.output().unwrap();
    // 1: no match. 128: not a repository, for example in an unpacked archive.
    let found = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(matches!(output.status.code(), Some(1 | 128)), "{found}");
}
