//! With which scheme, and where, bound and other tokens are sent (RFC 9449 §7).

use serde_json::json;
use tower_auth::{credentials::TokenLocation, dpop::ProofError, jwt::TokenError};
use tower_auth_test_support::dpop::DpopClient;

use super::{ALGORITHMS, Fixture, assert_admitted};

#[tokio::test(flavor = "multi_thread")]
async fn bound_token_sent_as_bearer_is_rejected() {
    let fixture = Fixture::new().await;
    let token = fixture.token();
    for scheme in ["Bearer", "bearer"] {
        let bearer = format!("{scheme} {token}");
        let proof = fixture.proof(&token);
        for headers in
            [&[("Authorization", &*bearer), ("DPoP", &proof)][..], &[("Authorization", &bearer)]]
        {
            let response = fixture.get_with(headers);
            assert_eq!(response.status, 401);
            let bearer = r#"Bearer realm="api", error="invalid_token""#;
            let dpop = format!(r#"DPoP realm="api", algs="{ALGORITHMS}""#);
            assert_eq!(response.header_values("www-authenticate"), [bearer, &dpop]);
            assert_eq!(fixture.reasons.take_last(), ProofError::Scheme.to_string());
        }
        assert_admitted(&fixture.get(&token, &proof));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unbound_token_is_accepted_as_bearer_only() {
    let fixture = Fixture::new().await;
    let token = fixture.mint.token("alice").audience("orders").sign();
    let bearer = format!("Bearer {token}");
    assert_admitted(&fixture.get_with(&[("Authorization", &bearer)]));
    assert_admitted(&fixture.get_with(&[("Authorization", &bearer), ("DPoP", "x")]));
    let response = fixture.get(&token, &fixture.proof(&token));
    assert_eq!(fixture.reasons.take_last(), TokenError::Unbound.to_string());
    let dpop = format!(r#"DPoP realm="api", algs="{ALGORITHMS}", error="invalid_token""#);
    assert_eq!(response.header_values("www-authenticate")[1], dpop);
}

#[tokio::test(flavor = "multi_thread")]
async fn token_of_another_key_is_rejected() {
    let fixture = Fixture::new().await;
    let other = DpopClient::new("ES256");
    let stolen = fixture.token_for(&other);
    let response = fixture.get(&stolen, &fixture.proof(&stolen));
    fixture.assert_rejected(&response, "invalid_token", ProofError::OtherKey, "stolen");
    // The proof of the owner is for another URL.
    let captured = other.proof("GET", &fixture.url("/other"), &stolen, fixture.now());
    fixture.assert_invalid_proof(&fixture.get(&stolen, &captured), ProofError::UrlPath, "captured");
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_jkt_is_rejected() {
    let fixture = Fixture::new().await;
    let thumbprint = fixture.client.thumbprint();
    for jkt in [
        json!(""),
        json!(null),
        json!(1),
        json!([thumbprint]),
        json!(format!("{thumbprint}=")),
        json!(&thumbprint[1..]),
        json!(format!(" {thumbprint}")),
    ] {
        let case = jkt.to_string();
        let token = fixture.token_with_cnf(json!({ "jkt": jkt }));
        let response = fixture.get(&token, &fixture.proof(&token));
        fixture.assert_rejected(&response, "invalid_token", ProofError::Confirmation, &case);
    }
    let token = fixture.token_with_cnf(json!({ "jwk": fixture.client.jwk() }));
    let response = fixture.get(&token, &fixture.proof(&token));
    assert_eq!(fixture.reasons.take_last(), TokenError::Unconfirmed.to_string());
    assert_eq!(response.status, 401);
}

/// A header or cookie has no scheme. The proof is required all the same.
#[tokio::test(flavor = "multi_thread")]
async fn token_in_another_place_is_accepted_with_a_proof() {
    let fixture = Fixture::with_tokens(
        |binding| binding,
        |tokens| tokens.token_from(TokenLocation::header("x-token")),
    )
    .await;
    let token = fixture.token();
    let proof = fixture.proof(&token);
    let missing = fixture.get_with(&[("X-Token", &token)]);
    assert_eq!(missing.status, 401);
    assert_eq!(fixture.reasons.take_last(), ProofError::Missing.to_string());
    assert_admitted(&fixture.get_with(&[("X-Token", &token), ("DPoP", &proof)]));
    let replayed = fixture.get_with(&[("X-Token", &token), ("DPoP", &proof)]);
    assert_eq!(replayed.status, 401);
}

/// Then no client is told to use `Bearer`.
#[tokio::test(flavor = "multi_thread")]
async fn required_binding_rejects_unbound_tokens_and_offers_only_dpop() {
    let fixture = Fixture::with_tokens(|it| it, |tokens| tokens.require_binding()).await;
    let unbound = fixture.mint.token("alice").audience("orders").sign();
    let bearer = format!("Bearer {unbound}");
    let response = fixture.get_with(&[("Authorization", &bearer)]);
    let dpop = format!(r#"DPoP realm="api", algs="{ALGORITHMS}", error="invalid_token""#);
    assert_eq!(response.header("www-authenticate"), dpop);
    let token = fixture.token();
    assert_admitted(&fixture.get(&token, &fixture.proof(&token)));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_authorization_headers_are_a_malformed_request() {
    let fixture = Fixture::new().await;
    let token = fixture.token();
    let response = fixture.get_with(&[
        ("Authorization", &format!("Bearer {token}")),
        ("Authorization", &format!("DPoP {token}")),
        ("DPoP", &fixture.proof(&token)),
    ]);
    assert_eq!(response.status, 400);
}
