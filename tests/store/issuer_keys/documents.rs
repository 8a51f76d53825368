//! The documents that an issuer publishes.

use std::time::Duration;

use axum::Router;
use http::{Method, Request};
use serde_json::{Value, json};
use tower::ServiceExt as _;
use tower_auth::{
    ConfigErrorKind,
    issue::{SigningKeys, TokenIssuer},
    store::SealedStore,
    test_util::TestClock,
};

use super::{DAY, builder, get_jwks, issuer, published, store_and_clock};

fn started() -> (TokenIssuer, TestClock) {
    let clock = TestClock::new();
    (issuer(&SealedStore::memory(), &clock, SigningKeys::eddsa()), clock)
}

#[tokio::test]
async fn key_set_has_public_keys_only_and_a_strong_etag() {
    let (issuer, _) = started();
    let response = get_jwks(&issuer, &[]).await;
    let headers = response.headers();
    assert_eq!(headers["content-type"], "application/jwk-set+json");
    assert_eq!(headers["cache-control"], "public, max-age=600");
    assert_eq!(headers["access-control-allow-origin"], "*");
    let etag = headers["etag"].to_str().unwrap().to_owned();
    assert!(etag.starts_with('"') && etag.ends_with('"'));
    let set: Value = serde_json::from_slice(response.body()).unwrap();
    for key in set["keys"].as_array().unwrap() {
        let mut members: Vec<_> = key.as_object().unwrap().keys().map(String::as_str).collect();
        members.sort_unstable();
        assert_eq!(members, ["alg", "crv", "kid", "kty", "use", "x"]);
    }

    for known in [etag.clone(), format!("\"other\", W/{etag}"), "*".into()] {
        let response = get_jwks(&issuer, &[("if-none-match", &known)]).await;
        assert_eq!((response.status().as_u16(), response.body().len()), (304, 0));
        assert_eq!(response.headers()["etag"], etag);
        assert_eq!(response.headers()["cache-control"], "public, max-age=600");
    }
    assert_eq!(get_jwks(&issuer, &[("if-none-match", "\"other\"")]).await.status(), 200);
    issuer.rotate_keys().await.unwrap();
    assert_eq!(get_jwks(&issuer, &[("if-none-match", &etag)]).await.status(), 200);
}

#[tokio::test]
async fn key_set_is_not_cached_beyond_its_next_change() {
    let (issuer, clock) = started();
    published(&issuer).await;
    clock.advance(Duration::from_secs(90 * DAY - 100));
    let max_age = async || {
        get_jwks(&issuer, &[]).await.headers()["cache-control"].to_str().unwrap().to_owned()
    };
    assert_eq!(max_age().await, "public, max-age=100");
    clock.advance(Duration::from_secs(99));
    assert_eq!(max_age().await, "public, max-age=1");
    clock.advance(Duration::from_secs(1));
    assert_eq!(max_age().await, "public, max-age=0");
    clock.advance(Duration::from_secs(60));
    assert_eq!(max_age().await, "public, max-age=600");
    // The next change: the first key is dropped 18 min after its successor has become active.
    clock.advance(Duration::from_secs(600));
    assert_eq!(max_age().await, "public, max-age=420");

    let keys = SigningKeys::eddsa().publish_ahead(Duration::from_secs(1_200));
    let short = super::issuer(&SealedStore::memory(), &clock, keys);
    let response = get_jwks(&short, &[]).await;
    assert_eq!(response.headers()["cache-control"], "public, max-age=300");
}

#[tokio::test]
async fn documents_are_served_by_a_router_with_get_head_and_options_only() {
    let (issuer, _) = started();
    let metadata = issuer.metadata().build().unwrap();
    let path = metadata.path().to_owned();
    let app: Router = Router::new()
        .route_service("/.well-known/jwks.json", issuer.jwks_document())
        .route_service(&path, metadata);
    for path in ["/.well-known/jwks.json", &*path] {
        for (method, status) in [
            (Method::GET, 200),
            (Method::HEAD, 200),
            (Method::OPTIONS, 204),
            (Method::POST, 405),
            (Method::DELETE, 405),
        ] {
            let request = Request::builder().method(&method).uri(path);
            let request = request.body(axum::body::Body::empty()).unwrap();
            let response = app.clone().oneshot(request).await.unwrap();
            assert_eq!(response.status(), status, "{method} {path}");
            assert_eq!(response.headers()["access-control-allow-origin"], "*");
            let allow = response.headers().get("allow").map(|allow| allow.to_str().unwrap());
            assert_eq!(allow, (status > 200).then_some("GET, HEAD, OPTIONS"));
        }
    }
}

#[tokio::test]
async fn metadata_names_the_endpoints_below_the_issuer() {
    let (issuer, _) = started();
    let metadata = issuer.metadata().scopes(["read", "write"]).build().unwrap();
    assert_eq!(metadata.path(), "/.well-known/oauth-authorization-server");
    let document: Value = serde_json::from_slice(metadata.document()).unwrap();
    assert_eq!(
        document,
        json!({
            "issuer": "https://login.example",
            "jwks_uri": "https://login.example/.well-known/jwks.json",
            "token_endpoint": "https://login.example/token",
            "revocation_endpoint": "https://login.example/revoke",
            "grant_types_supported": ["refresh_token"],
            "response_types_supported": [],
            "token_endpoint_auth_methods_supported": ["none"],
            "revocation_endpoint_auth_methods_supported": ["none"],
            "scopes_supported": ["read", "write"],
        })
    );
    let (store, clock) = store_and_clock();
    let nested = builder(&store, &clock).issuer("https://a.example/login/").build().unwrap();
    let metadata = nested.metadata().build().unwrap();
    assert_eq!(metadata.path(), "/.well-known/oauth-authorization-server/login");
    let document: Value = serde_json::from_slice(metadata.document()).unwrap();
    assert_eq!(document["issuer"], "https://a.example/login/");
    assert_eq!(document["jwks_uri"], "https://a.example/login/.well-known/jwks.json");
}

#[tokio::test]
async fn invalid_metadata_is_a_config_error() {
    let (issuer, _) = started();
    for (builder, kind) in [
        (issuer.metadata().token_endpoint("http://login.example/token"), ConfigErrorKind::Invalid),
        (issuer.metadata().revocation_endpoint("/revoke"), ConfigErrorKind::Invalid),
        (issuer.metadata().jwks_uri("https://me@login.example/"), ConfigErrorKind::Invalid),
        (issuer.metadata().scopes(["two words"]), ConfigErrorKind::Invalid),
        (issuer.metadata().member("issuer", "https://evil.example"), ConfigErrorKind::Conflict),
    ] {
        assert_eq!(builder.build().unwrap_err().kind(), kind);
    }
}
