//! Keys that change while the program runs, and the health path.

use std::{
    fs, iter,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tower_auth_test_support::{
    program::Program,
    raw,
    stub::{StubResponse, StubServer},
    token::{Signer, claims},
};

use crate::{PROGRAM, start};

const FILE: &str = r#"
listen = "127.0.0.1:0"
[profiles.p.bearer]
issuer = "https://issuer.example"
audience = "https://api.example"
jwks_file = "jwks.json"
cache = { max_bytes = 1000000 }
"#;

#[test]
fn key_that_is_withdrawn_from_the_file_is_rejected() {
    let (old, new) = (Signer::generate("ES256", "old"), Signer::generate("ES256", "new"));
    let ((_program, dir), address) = start(FILE, &old);
    let get = |signer: &Signer| {
        let bearer = format!("Bearer {}", signer.token(&claims()));
        raw::get(&address, "/p/", &[("Authorization", &bearer)]).status
    };
    assert_eq!(get(&old), 200);
    let write = |jwks: &str| {
        // As src/guide/keys.md recommends.
        fs::write(dir.path().join("new.json"), jwks).unwrap();
        fs::rename(dir.path().join("new.json"), dir.path().join("jwks.json")).unwrap();
    };
    write(&json!({ "keys": [new.jwk()] }).to_string());
    // The file is read every 8 s. An unknown `kid` does not wait for that.
    assert_eq!(get(&new), 200);
    assert_eq!(get(&old), 401);
}

/// `tests/jwks/rotation.rs` has the removal of a key, with a mock clock.
#[test]
fn file_is_read_again_within_ten_seconds() {
    let config = FILE.replace("[profiles.p", "health = \"/healthz\"\n[profiles.p");
    let ((program, _dir), address) = start(&config, &Signer::generate("ES256", "1"));
    program.wait_for_error("key set changed");
    let health = raw::get(&address, "/healthz", &[]).json();
    let keys = health["issuers"][0]["keys"].as_str().unwrap();
    let (_, next) = keys.split_once("next fetch in ").unwrap();
    let seconds: u64 = next.strip_suffix(" s").unwrap().parse().unwrap();
    assert!(keys.starts_with("1 keys, fresh") && seconds <= 10, "{keys}");
}

#[test]
fn health_shows_the_keys_of_each_issuer_and_no_error() {
    let (stub, key) = (StubServer::start(), Signer::generate("ES256", "1"));
    stub.publish_keys([key.jwk()]);
    let (url, broken) = (stub.url("/jwks"), stub.url("/broken?key=hunter2"));
    let config = format!(
        r#"
listen = "127.0.0.1:0"
health = "/state/keys"
[profiles.one.bearer]
audience = "a"
[[profiles.one.bearer.issuers]]
issuer = "https://issuer.example"
jwks_url = "{url}"
[[profiles.one.bearer.issuers]]
issuer = "https://other.example"
jwks_url = "{broken}"
[profiles.two]
realm = "r"
[profiles.two.basic]
users = []
"#
    );
    let ((program, _dir), address) = start(&config, &key);
    program.wait_for_error("keys cannot be fetched");
    program.wait_for_error("key set changed");
    let response = raw::get(&address, "/state/keys", &[]);
    assert_eq!(response.status, 503);
    let health = response.json();
    assert_eq!(health["ready"], false);
    let issuers: Vec<_> = health["issuers"].as_array().unwrap().iter().collect();
    let state = |issuer: &Value| {
        (issuer["profile"].clone(), issuer["issuers"].clone(), issuer["ready"].clone())
    };
    assert_eq!(
        issuers.iter().map(|issuer| state(issuer)).collect::<Vec<_>>(),
        [
            (json!("one"), json!(["https://issuer.example"]), json!(true)),
            (json!("one"), json!(["https://other.example"]), json!(false)),
        ]
    );
    assert!(issuers[0]["keys"].as_str().unwrap().starts_with("1 keys, fresh"));
    let body = response.body;
    assert!(!body.contains("hunter2") && !body.contains("127.0.0.1"), "{body}");

    stub.set_response("/broken", StubResponse::Document(json!({ "keys": [] }).to_string()));
    let one = config.replace(&broken, &url);
    let ((program, _dir), address) = start(&one, &key);
    while program.wait_for_error("key set changed").matches("key set changed").count() < 2 {}
    assert_eq!(raw::get(&address, "/state/keys", &[]).status, 200);
    assert_eq!(raw::get(&address, "/healthz", &[]).status, 404);

    // An issuer that has withdrawn all keys.
    let url = stub.url("/broken");
    let ((_program, _dir), address) = start(&config.replace(&broken, &url), &key);
    let fetched = || {
        let response = raw::get(&address, "/state/keys", &[]);
        let issuer = response.json()["issuers"][1].take();
        let is_fetched = issuer["keys"].as_str().unwrap().starts_with("0 keys, fresh");
        is_fetched.then_some((response.status, issuer["ready"].clone()))
    };
    let deadline = Instant::now() + Duration::from_secs(20);
    let state = iter::repeat_with(fetched).find(|it| it.is_some() || Instant::now() > deadline);
    assert_eq!(state.flatten(), Some((503, json!(false))));
}

#[test]
fn profile_without_tokens_is_healthy() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    let config = "listen = \"127.0.0.1:0\"\nhealth = \"/healthz\"\n[profiles.p]\nrealm = \"r\"\n\
                  [profiles.p.basic]\nusers = []\n";
    fs::write(&path, config).unwrap();
    let mut program = Program::start(PROGRAM, &[path.to_str().unwrap()]);
    let response = raw::get(&program.address(), "/healthz", &[]);
    assert_eq!((response.status, response.json()), (200, json!({ "ready": true, "issuers": [] })));
}
