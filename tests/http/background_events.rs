//! What an observer learns of keys, tokens and password files.

use std::{
    fs, io,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::json;
use tower_auth::{
    JwtAuth,
    client::{RefreshingToken, Token},
    clock::Clock as _,
    jwt::{Jwks, Keys},
    observe::Event,
    password::{Htpasswd, UserStore as _},
    test_util::TestClock,
};
use tower_auth_test_support::{
    api::Issuer,
    stub::{StubResponse, StubServer},
    token::{AUDIENCE, ISSUER},
};

type Events = Arc<Mutex<Vec<String>>>;

/// Returns an observer, and the list in which it records the events.
fn recorder() -> (impl Fn(&Event<'_>) + Send + Sync + 'static, Events) {
    let events = Events::default();
    let list = Arc::clone(&events);
    (move |event: &Event<'_>| list.lock().unwrap().push(format!("{event:?}")), events)
}

#[track_caller]
fn assert_recorded(events: &Events, expected: &[&[&str]]) {
    let events = std::mem::take(&mut *events.lock().unwrap());
    assert_eq!(events.len(), expected.len(), "{events:?}");
    for (event, words) in events.iter().zip(expected) {
        assert!(words.iter().all(|word| event.contains(word)), "{event} has not all of {words:?}");
    }
}

#[test]
fn observer_of_jwt_auth_learns_of_unused_keys() {
    let short = json!({ "kty": "oct", "kid": "short", "alg": "HS256", "k": "c2VjcmV0" });
    let set = json!({ "keys": [Issuer::new().0.jwk(), short] }).to_string();
    let (observer, events) = recorder();
    let builder = JwtAuth::builder(Keys::from_json(set).unwrap()).observer(observer);
    builder.issuer(ISSUER).audience(AUDIENCE).build().unwrap();
    assert_recorded(&events, &[&["KeySkipped", "short"]]);
}

#[tokio::test]
async fn observer_of_jwt_auth_learns_of_fetches() {
    let (issuer, stub) = (Issuer::new(), StubServer::start());
    let (observer, events) = recorder();
    let tokens = JwtAuth::builder(Jwks::url(stub.url("/jwks"))).observer(observer);
    let tokens = tokens.issuer(ISSUER).audience(AUDIENCE).build().unwrap();
    stub.publish_keys([issuer.0.jwk()]);
    assert!(tokens.verify(&issuer.token()).await.is_ok());
    let changed = &["KeySetChanged", r#"added: ["1"]"#, "removed: []"][..];
    assert_recorded(&events, &[changed, &["KeysFetched", "failures: 0"]]);

    let (observer, events) = recorder();
    let tokens = JwtAuth::builder(Jwks::url(stub.url("/jwks"))).observer(observer);
    let tokens = tokens.issuer(ISSUER).audience(AUDIENCE).build().unwrap();
    stub.set_response("/jwks", StubResponse::Status(500));
    assert!(tokens.verify(&issuer.token()).await.is_err());
    assert_recorded(&events, &[&["KeyFetchFailed", "500", "failures: 1", "keys_usable: false"]]);
}

#[tokio::test]
async fn observer_of_a_refreshing_token_learns_of_failed_fetches() {
    let (observer, events) = recorder();
    let token = RefreshingToken::new(async || Err::<Token, _>(io::Error::other("issuer is down")));
    assert!(token.observer(observer).header_value().await.is_err());
    assert_recorded(&events, &[&["TokenFetchFailed", "issuer is down"]]);
}

#[tokio::test]
async fn observer_of_a_password_file_learns_once_that_it_cannot_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let (path, clock) = (dir.path().join("htpasswd"), TestClock::new());
    fs::write(&path, "").unwrap();
    let (observer, events) = recorder();
    let users = Htpasswd::builder(&path).clock(clock.clone()).observer(observer).open().unwrap();
    fs::write(&path, "no colon\n").unwrap();
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(clock.now()).unwrap();
    for _ in 0..3 {
        clock.advance(Duration::from_secs(2));
        assert!(users.find("alice").await.unwrap().is_none());
    }
    assert_recorded(&events, &[&["PasswordFileFailed", "line 1"]]);
}
