//! The scenarios of `jwks_scenarios.jsonl` that need no real provider, each by its name.

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG};
use serde_json::json;
use tower_auth_test_support::{
    stub::{Answer, Stub, until},
    token::claims,
};

use crate::{Service, keys};

#[tokio::test]
async fn lazy_first_load_and_second_request_cached() {
    let (stub, [key]) = (Stub::start(), keys(["1"]));
    stub.publish([key.jwk()]);
    let issuer = stub.describe("");
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
    let (stub, [key]) = (Stub::start(), keys(["1"]));
    stub.publish([key.jwk()]);
    let service = Service::start(&stub).await;
    assert_eq!(service.status(&key.token(&claims())).await, 200);
    for forged in keys(["a", "b", "c", "d"]) {
        assert_eq!(service.status(&forged.token(&claims())).await, 401);
    }
    assert_eq!(stub.hits("/jwks"), 2);
}

/// Where another set may know more, and with keys that are due to be fetched again.
#[tokio::test]
async fn nothing_is_fetched_for_what_is_no_token() {
    let (stub, [key, other]) = (Stub::start(), keys(["1", "2"]));
    stub.publish([key.jwk()]);
    let service = Service::start(&stub).await;
    let none = [format!("{} x", key.token(&claims())), format!("{},x", other.token(&claims()))];
    let refused = async || {
        // Over and over: a fetch that the first had begun would have come to the issuer long before the last is answered.
        for odd in none.iter().cycle().take(40) {
            assert_eq!(service.status(odd).await, 400);
        }
    };
    assert_eq!(service.status(&key.token(&claims())).await, 200);
    for seconds in [0, 520] {
        service.clock.by(seconds);
        refused().await;
        assert_eq!(stub.hits("/jwks"), 1, "after {seconds} s");
    }
    assert_eq!(service.status(&key.token(&claims())).await, 200);
    until("keys that are due are fetched", async || stub.hits("/jwks") == 2).await;
}

#[tokio::test]
async fn rotation_new_kid_picked_up() {
    let (stub, [old, new]) = (Stub::start(), keys(["old", "new"]));
    stub.publish([old.jwk()]);
    let service = Service::start(&stub).await;
    assert_eq!(service.status(&old.token(&claims())).await, 200);
    stub.publish([old.jwk(), new.jwk()]);
    assert_eq!(service.status(&new.token(&claims())).await, 200);
    assert_eq!(service.status(&old.token(&claims())).await, 200);
    assert_eq!(stub.hits("/jwks"), 2);
}

#[tokio::test]
async fn jwks_content_type() {
    for content_type in ["application/jwk-set+json", "application/json", "text/plain"] {
        let (stub, [key]) = (Stub::start(), keys(["1"]));
        stub.header(CONTENT_TYPE, content_type);
        stub.publish([key.jwk()]);
        let service = Service::start(&stub).await;
        assert_eq!(service.status(&key.token(&claims())).await, 200, "{content_type}");
    }
}

#[tokio::test]
async fn discovery_issuer_mismatch() {
    let (stub, [key]) = (Stub::start(), keys(["1"]));
    stub.publish([key.jwk()]);
    let issuer = stub.url("");
    for odd in ["/", "/x", ""] {
        let other = if odd.is_empty() { issuer.to_uppercase() } else { format!("{issuer}{odd}") };
        let metadata = json!({ "issuer": other, "jwks_uri": stub.url("/jwks") });
        stub.set("/.well-known/openid-configuration", Answer::Document(metadata.to_string()));
        let service = Service::discovering(&issuer).await;
        let mut claims = claims();
        for iss in [&issuer, &other] {
            claims["iss"] = iss.as_str().into();
            assert_eq!(service.status(&key.token(&claims)).await, 503, "{other}");
        }
        let error = service.health().last_error().unwrap().to_string();
        assert!(error.contains("the metadata is of the issuer"), "{error}");
    }
    assert_eq!(stub.hits("/jwks"), 0);
}

#[tokio::test]
async fn discovery_path_oidc_and_both_forms_of_rfc_8414() {
    let places = [
        "/tenant1/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server/tenant1",
        "/.well-known/openid-configuration/tenant1",
    ];
    for (position, place) in places.iter().enumerate() {
        let (stub, [key]) = (Stub::start(), keys(["1"]));
        stub.publish([key.jwk()]);
        let issuer = stub.url("/tenant1");
        let metadata = json!({ "issuer": issuer, "jwks_uri": stub.url("/jwks") });
        stub.set(place, Answer::Document(metadata.to_string()));
        let service = Service::discovering(&issuer).await;
        let mut claims = claims();
        claims["iss"] = issuer.into();
        assert_eq!(service.status(&key.token(&claims)).await, 200, "{place}");
        assert_eq!(stub.asked()[..=position], places[..=position]);
    }
}

#[tokio::test]
async fn refresh_interval_background() {
    let (stub, [key]) = (Stub::start(), keys(["1"]));
    stub.publish([key.jwk()]);
    let service = Service::start(&stub).await;
    assert_eq!(service.status(&key.token(&claims())).await, 200);
    service.clock.by(400);
    assert_eq!(service.status(&key.token(&claims())).await, 200);
    assert_eq!(stub.hits("/jwks"), 1, "it is too early");
    service.clock.by(120);
    assert_eq!(service.status(&key.token(&claims())).await, 200);
    until("a refresh in the background", async || stub.hits("/jwks") == 2).await;
}

#[tokio::test]
async fn max_age_and_etag_are_honoured() {
    let (stub, [key]) = (Stub::start(), keys(["1"]));
    stub.publish([key.jwk()]);
    stub.header(CACHE_CONTROL, "public, max-age=100");
    stub.header(ETAG, "\"v1\"");
    let service = Service::start(&stub).await;
    let mut claims = claims();
    claims["exp"] = 4_102_444_800_u64.into();
    let token = key.token(&claims);
    assert_eq!(service.status(&token).await, 200);
    for fetches in 2..5 {
        service.clock.by(90);
        assert_eq!(service.status(&token).await, 200);
        until("a refresh", async || {
            stub.hits("/jwks") == fetches && service.health().age().unwrap().as_secs() < 60
        })
        .await;
    }
    assert_eq!(stub.not_modified(), 3);
    assert_eq!(service.health().key_ids().collect::<Vec<_>>(), ["1"]);
}
