//! Tokens whose `kid` is not in the key set.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use tower_auth::{
    jwks::FetchError,
    jwt::{Jwks, KeySource, Keys},
};
use tower_auth_test_support::{
    raw::RawResponse,
    stub::{StubResponse, StubServer, wait_until},
    token::{Signer, claims},
};

use crate::{Service, signers};

fn long_claims() -> serde_json::Value {
    let mut claims = claims();
    claims["exp"] = 4_102_444_800_u64.into();
    claims
}

fn assert_unavailable(response: &RawResponse) {
    assert_eq!(response.status, 503);
    assert!(response.header("retry-after").parse::<u64>().unwrap() >= 1);
}

#[tokio::test]
async fn kid_that_was_guessed_is_accepted_after_the_cooldown() {
    let (stub, [known, guessed]) = (StubServer::start(), signers(["known", "guessed"]));
    stub.publish_keys([known.jwk()]);
    let service = Service::start(&stub).await;
    let token = guessed.token(&claims());
    assert_eq!(service.status(&token).await, 401);
    assert_eq!(stub.hits("/jwks"), 2);
    // The issuer publishes a key with this id. The set without it is less than 30 s old.
    stub.publish_keys([known.jwk(), guessed.jwk()]);
    for _ in 0..3 {
        service.clock.advance(9);
        assert_eq!(service.status(&token).await, 401);
    }
    assert_eq!(stub.hits("/jwks"), 2);
    service.clock.advance(3);
    assert_eq!(service.status(&token).await, 200);
    assert_eq!(stub.hits("/jwks"), 3);
}

#[tokio::test]
async fn request_waits_for_a_fetch_that_is_allowed_within_two_seconds() {
    let (stub, [known, new]) = (StubServer::start(), signers(["known", "new"]));
    stub.publish_keys([known.jwk()]);
    let service = Service::start(&stub).await;
    let token = new.token(&claims());
    assert_eq!(service.status(&token).await, 401);
    stub.publish_keys([known.jwk(), new.jwk()]);
    service.clock.advance(27);
    assert_eq!(service.status(&token).await, 401, "more than 2 s");
    service.clock.advance(2);
    let (statuses, known) = tokio::join!(
        futures_util::future::join_all((0..20).map(|_| service.status(&token))),
        async { service.status(&known.token(&claims())).await }
    );
    assert_eq!((statuses, known), (vec![200; 20], 200));
    assert_eq!(stub.hits("/jwks"), 3);
}

#[tokio::test]
async fn unknown_kid_after_a_failed_fetch_returns_503_with_retry_after() {
    let (stub, [known, unknown]) = (StubServer::start(), signers(["known", "unknown"]));
    stub.publish_keys([known.jwk()]);
    let jwks = Jwks::url(stub.url("/jwks")).refresh(Duration::from_secs(10));
    let service = Service::with(jwks).await;
    let [known_token, token] = [&known, &unknown].map(|key| key.token(&long_claims()));
    assert_eq!(service.status(&token).await, 401);
    stub.set_response("/jwks", StubResponse::Status(500));
    // The cooldown of the first guess lasts, and the scheduled fetches fail.
    for failures in 1..=4 {
        service.clock.advance(9);
        assert_eq!(service.status(&known_token).await, 200);
        wait_until("a failure", async || service.health().failures() >= failures).await;
        assert_unavailable(&service.get(&token).await);
        assert_eq!(service.status(&known_token).await, 200);
    }
    // The issuer is back, and has published the key in the meantime.
    stub.publish_keys([known.jwk(), unknown.jwk()]);
    service.clock.advance(10);
    assert_eq!(service.status(&token).await, 200);
}

#[tokio::test]
async fn unknown_kid_before_the_first_successful_fetch_returns_503() {
    let (stub, [key, unknown]) = (StubServer::start(), signers(["1", "2"]));
    stub.set_response("/jwks", StubResponse::Status(500));
    let jwks = Jwks::url(stub.url("/jwks"));
    let service = Service::with(KeySource::from(jwks).and(Keys::hs256(&[7; 32]))).await;
    let fixed = Signer::secret("HS256", None, &[7; 32]).token(&long_claims());
    for _ in 0..4 {
        assert_unavailable(&service.get(&unknown.token(&long_claims())).await);
        assert_eq!(service.status(&fixed).await, 200);
        service.clock.advance(10);
    }
    stub.publish_keys([key.jwk()]);
    service.clock.advance(30);
    assert_eq!(service.status(&key.token(&long_claims())).await, 200);
    assert_eq!(service.status(&unknown.token(&long_claims())).await, 401);
    assert_eq!(service.status(&fixed).await, 200);
}

#[tokio::test]
async fn guessed_kids_start_one_fetch_per_cooldown() {
    let (stub, [known, other]) = (StubServer::start(), signers(["known", "other"]));
    stub.publish_keys([known.jwk()]);
    // No scheduled fetch within the test.
    let jwks = Jwks::url(stub.url("/jwks")).refresh(Duration::from_secs(86_400));
    let service = Service::with(jwks).await;
    assert_eq!(service.status(&known.token(&long_claims())).await, 200);
    for guess in 0..60 {
        let kid = if guess % 3 == 0 { "repeated".to_owned() } else { guess.to_string() };
        let header = serde_json::json!({ "alg": "ES256", "kid": kid });
        assert_eq!(service.status(&other.token_with(&header, &long_claims())).await, 401);
        service.clock.advance(5);
    }
    assert_eq!(stub.hits("/jwks"), 1 + 60 * 5 / 30);
}

#[tokio::test]
async fn panicking_source_is_not_called_for_every_request() {
    let (calls, [key]) = (Arc::new(AtomicUsize::new(0)), signers(["1"]));
    let counted = Arc::clone(&calls);
    let fetch = move |_: Request<()>| {
        assert!(counted.fetch_add(1, Ordering::SeqCst) > 1_000, "a fault in the source");
        std::future::ready(Ok::<_, FetchError>(Response::new(Bytes::new())))
    };
    let service = Service::with(Jwks::url("own://keys").client(fetch)).await;
    let token = key.token(&claims());
    // The back-off grows to more than 2 s, and the requests no longer wait for its end.
    for _ in 0..20 {
        assert_unavailable(&service.get(&token).await);
    }
    assert!(calls.load(Ordering::SeqCst) <= 4, "{calls:?}");
    let error = service.health().last_error().unwrap().to_string();
    assert!(error.contains("panicked"), "{error}");
    service.clock.advance(31);
    assert_unavailable(&service.get(&token).await);
}
