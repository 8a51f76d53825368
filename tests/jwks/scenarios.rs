//! The scenarios of `jwks_scenarios.jsonl` that need no real provider. The test names contain the
//! names of the scenarios.

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG};
use serde_json::json;
use tower_auth_test_support::{
    stub::{StubResponse, StubServer, wait_until},
    token::claims,
};

use crate::{Service, signers};

#[tokio::test]
async fn lazy_first_load_and_second_request_cached() {
    let (stub, [key]) = (StubServer::start(), signers(["1"]));
    stub.publish_keys([key.jwk()]);
    let issuer = stub.publish_metadata("");
    let service = Service::discovering(&issuer).await;
    let mut claims = claims();
    claims["iss"] = issuer.into();
    assert_eq!(service.status(&key.token(&claims)).await, 200);
    assert_eq!(stub.hits("/jwks"), 1);
    assert_eq!(service.status(&key.token(&claims)).await, 200);
    assert_eq!(stub.hits("/jwks"), 1);
}

#[tokio::test]
async fn unknown_kid_no_refetch_when_policy_says_so() {
    let (stub, [key]) = (StubServer::start(), signers(["1"]));
    stub.publish_keys([key.jwk()]);
    let service = Service::start(&stub).await;
    assert_eq!(service.status(&key.token(&claims())).await, 200);
    for forged in signers(["a", "b", "c", "d"]) {
        assert_eq!(service.status(&forged.token(&claims())).await, 401);
    }
    assert_eq!(stub.hits("/jwks"), 2);
}

/// Not even for an unknown key or when the keys are due for a refresh.
#[tokio::test]
async fn malformed_token_triggers_no_fetch() {
    let (stub, [key, other]) = (StubServer::start(), signers(["1", "2"]));
    stub.publish_keys([key.jwk()]);
    let service = Service::start(&stub).await;
    let malformed =
        [format!("{} x", key.token(&claims())), format!("{},x", other.token(&claims()))];
    let send_malformed = async || {
        // Many requests, so that a fetch that the first one starts would reach the issuer before
        // the last response.
        for token in malformed.iter().cycle().take(40) {
            assert_eq!(service.status(token).await, 400);
        }
    };
    assert_eq!(service.status(&key.token(&claims())).await, 200);
    for seconds in [0, 520] {
        service.clock.advance(seconds);
        send_malformed().await;
        assert_eq!(stub.hits("/jwks"), 1, "after {seconds} s");
    }
    assert_eq!(service.status(&key.token(&claims())).await, 200);
    wait_until("a fetch of the keys that are due", async || stub.hits("/jwks") == 2).await;
}

#[tokio::test]
async fn rotation_new_kid_picked_up() {
    let (stub, [old, new]) = (StubServer::start(), signers(["old", "new"]));
    stub.publish_keys([old.jwk()]);
    let service = Service::start(&stub).await;
    assert_eq!(service.status(&old.token(&claims())).await, 200);
    stub.publish_keys([old.jwk(), new.jwk()]);
    assert_eq!(service.status(&new.token(&claims())).await, 200);
    assert_eq!(service.status(&old.token(&claims())).await, 200);
    assert_eq!(stub.hits("/jwks"), 2);
}

#[tokio::test]
async fn jwks_content_type_is_ignored() {
    for content_type in ["application/jwk-set+json", "application/json", "text/plain"] {
        let (stub, [key]) = (StubServer::start(), signers(["1"]));
        stub.set_header(CONTENT_TYPE, content_type);
        stub.publish_keys([key.jwk()]);
        let service = Service::start(&stub).await;
        assert_eq!(service.status(&key.token(&claims())).await, 200, "{content_type}");
    }
}

#[tokio::test]
async fn discovery_issuer_mismatch_returns_503() {
    let (stub, [key]) = (StubServer::start(), signers(["1"]));
    stub.publish_keys([key.jwk()]);
    let issuer = stub.url("");
    for other in [format!("{issuer}/"), format!("{issuer}/x"), issuer.to_uppercase()] {
        let metadata = json!({ "issuer": other, "jwks_uri": stub.url("/jwks") });
        stub.set_response(
            "/.well-known/openid-configuration",
            StubResponse::Document(metadata.to_string()),
        );
        let service = Service::discovering(&issuer).await;
        let mut claims = claims();
        for iss in [&issuer, &other] {
            claims["iss"] = iss.as_str().into();
            assert_eq!(service.status(&key.token(&claims)).await, 503, "{other}");
        }
        let error = service.health().last_error().unwrap().to_string();
        assert!(error.contains("the metadata names the issuer"), "{error}");
    }
    assert_eq!(stub.hits("/jwks"), 0);
}

#[tokio::test]
async fn discovery_path_oidc_and_rfc_8414_urls_are_tried_in_order() {
    let paths = [
        "/tenant1/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server/tenant1",
        "/.well-known/openid-configuration/tenant1",
    ];
    for (position, path) in paths.iter().enumerate() {
        let (stub, [key]) = (StubServer::start(), signers(["1"]));
        stub.publish_keys([key.jwk()]);
        let issuer = stub.url("/tenant1");
        let metadata = json!({ "issuer": issuer, "jwks_uri": stub.url("/jwks") });
        stub.set_response(path, StubResponse::Document(metadata.to_string()));
        let service = Service::discovering(&issuer).await;
        let mut claims = claims();
        claims["iss"] = issuer.into();
        assert_eq!(service.status(&key.token(&claims)).await, 200, "{path}");
        assert_eq!(stub.requested_paths()[..=position], paths[..=position]);
    }
}

#[tokio::test]
async fn refresh_interval_background_fetch_starts_when_keys_are_due() {
    let (stub, [key]) = (StubServer::start(), signers(["1"]));
    stub.publish_keys([key.jwk()]);
    let service = Service::start(&stub).await;
    assert_eq!(service.status(&key.token(&claims())).await, 200);
    service.clock.advance(400);
    assert_eq!(service.status(&key.token(&claims())).await, 200);
    assert_eq!(stub.hits("/jwks"), 1, "the keys are not due yet");
    service.clock.advance(120);
    assert_eq!(service.status(&key.token(&claims())).await, 200);
    wait_until("a refresh in the background", async || stub.hits("/jwks") == 2).await;
}

#[tokio::test]
async fn max_age_and_etag_of_the_key_set_are_used() {
    let (stub, [key]) = (StubServer::start(), signers(["1"]));
    stub.publish_keys([key.jwk()]);
    stub.set_header(CACHE_CONTROL, "public, max-age=100");
    stub.set_header(ETAG, "\"v1\"");
    let service = Service::start(&stub).await;
    let mut claims = claims();
    claims["exp"] = 4_102_444_800_u64.into();
    let token = key.token(&claims);
    assert_eq!(service.status(&token).await, 200);
    for fetches in 2..5 {
        service.clock.advance(90);
        assert_eq!(service.status(&token).await, 200);
        wait_until("a refresh", async || {
            stub.hits("/jwks") == fetches && service.health().age().unwrap().as_secs() < 60
        })
        .await;
    }
    assert_eq!(stub.not_modified(), 3);
    assert_eq!(service.health().key_ids().collect::<Vec<_>>(), ["1"]);
}
