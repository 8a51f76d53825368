//! What an observer learns of keys, tokens and password files.

use std::{
    fs, io,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use serde_json::json;
use tower_auth::{
    JwtAuth,
    bearer::TokenVerifier as _,
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
    token::{AUDIENCE, ISSUER, claims},
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

/// Every token of the issuer is affected, so one event is enough.
#[tokio::test]
async fn malformed_claim_is_reported_once_for_each_issuer_and_claim() {
    let (issuer, other) = (Issuer::new(), "https://other.example");
    let set = json!({ "keys": [issuer.0.jwk()] }).to_string();
    let (observer, events) = recorder();
    let tokens = JwtAuth::builder(Keys::from_json(set).unwrap()).observer(observer);
    let tokens = tokens.issuer([ISSUER, other]).audience(AUDIENCE);
    let tokens = tokens.scopes_from(["scope", "ext.scopes", "/ext/scp"]).build().unwrap();
    let verify = async |changes: serde_json::Value| {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove("scope");
        claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        tokens.verify(&issuer.0.token(&claims)).await
    };
    let malformed = |issuer: &str, claim: &str, expected: &str| {
        format!(
            "ClaimMalformed {{ issuer: Some({issuer:?}), claim: {claim:?}, expected: \"{expected}"
        )
    };
    let list = "a string or an array of strings";
    for scope in [json!(7), json!({ "a": "secret" }), json!([1, 2]), json!(["read", null])] {
        assert!(verify(json!({ "scope": scope })).await.is_err(), "{scope}");
    }
    assert_recorded(&events, &[&[&malformed(ISSUER, "scope", list)]]);
    assert!(verify(json!({ "scope": 7, "iss": other })).await.is_err());
    assert_recorded(&events, &[&[&malformed(other, "scope", list)]]);

    // The token is valid, but no policy can require such a scope.
    for _ in 0..2 {
        let caller = verify(json!({ "scope": ["read write", "list"] })).await.unwrap();
        assert!(!caller.scopes().contains("read") && caller.scopes().contains("list"));
    }
    assert_recorded(&events, &[&[&malformed(ISSUER, "scope", "an array with one scope")]]);

    // A path that is not a JSON Pointer, and one that does not lead into an object.
    for _ in 0..2 {
        let caller = verify(json!({ "ext": { "scopes": "admin" } })).await.unwrap();
        assert!(caller.scopes().is_empty());
        assert!(verify(json!({ "ext": "admin" })).await.is_err());
    }
    let nested = malformed(ISSUER, "ext.scopes", "at the top level");
    let pointer = malformed(ISSUER, "/ext/scp", "inside objects");
    assert_recorded(&events, &[&[&nested, "a JSON Pointer"], &[&pointer]]);

    // What is absent, of another issuer or not signed is no fault of the issuer.
    assert!(verify(json!({})).await.is_ok() && verify(json!({ "scope": null })).await.is_ok());
    assert!(verify(json!({ "exp": "a", "iss": "https://third.example" })).await.is_err());
    let mut forged = claims();
    forged["aud"] = json!(7);
    assert!(tokens.verify(&Issuer::new().0.token(&forged)).await.is_err());
    assert_recorded(&events, &[]);
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
async fn fetched_keys_are_in_use_when_their_change_is_reported() {
    let (issuer, stub) = (Issuer::new(), StubServer::start());
    stub.publish_keys([issuer.0.jwk()]);
    let tokens = Arc::new(OnceLock::<JwtAuth>::new());
    let is_ready = Arc::new(Mutex::new(Vec::new()));
    let (probed, results) = (Arc::clone(&tokens), Arc::clone(&is_ready));
    let observer = move |event: &Event<'_>| {
        if matches!(event, Event::KeySetChanged { .. }) {
            results.lock().unwrap().push(probed.get().unwrap().is_ready());
        }
    };
    let builder = JwtAuth::builder(Jwks::url(stub.url("/jwks"))).observer(observer);
    let built = builder.issuer(ISSUER).audience(AUDIENCE).build().unwrap();
    let tokens = tokens.get_or_init(|| built);
    assert!(tokens.verify(&issuer.token()).await.is_ok());
    assert_eq!(*is_ready.lock().unwrap(), [true]);
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
