//! Identities of workloads and proxies: Kubernetes, SPIFFE and Cloudflare Access.

use http::{Method, Request};
use serde_json::{Value, json};
use tower_auth::{
    Authenticator, ConfigError, JwtAuth, Principal, RejectionKind, credentials::TokenLocation,
    jwt::TokenError,
};

use crate::{
    published::{Jwks, RSA},
    sample::Sample,
};

fn kubernetes() -> Result<JwtAuth, ConfigError> {
    let cluster = "https://oidc.eks.eu-central-1.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE";
    JwtAuth::builder(Jwks::discover(cluster))
        .audience("orders")
        .require_claim_value("sub", ["system:serviceaccount:shop:web"])
        .build()
}

fn spiffe() -> Result<JwtAuth, ConfigError> {
    JwtAuth::builder(Jwks::discover("https://spire.acme.example"))
        .audience("spiffe://acme.example/orders")
        .token_type_if_present(["JWT", "JOSE"])
        .check(|caller: &Principal| match caller.subject().starts_with("spiffe://acme.example/") {
            true => Ok(()),
            false => Err("another trust domain"),
        })
        .build()
}

fn spiffe_bundle() -> Result<JwtAuth, ConfigError> {
    JwtAuth::builder(Jwks::url("https://spire.acme.example/bundle").allow_use("jwt-svid"))
        .dangerous_any_issuer()
        .audience("spiffe://acme.example/orders")
        .token_type_if_present(["JWT", "JOSE"])
        .check(|caller: &Principal| match caller.subject().starts_with("spiffe://acme.example/") {
            true => Ok(()),
            false => Err("another trust domain"),
        })
        .build()
}

fn cloudflare_access() -> Result<JwtAuth, ConfigError> {
    JwtAuth::builder(Jwks::url("https://acme.cloudflareaccess.com/cdn-cgi/access/certs"))
        .issuer("https://acme.cloudflareaccess.com")
        .audience("32eafc7626e974616deaf0dc3ce63d7bcbed58a2731e84d06bc3cdf1b53c4228")
        .require_claim_value("type", "app")
        .subject_from(["sub", "common_name"])
        .token_from(TokenLocation::proxy_header("Cf-Access-Jwt-Assertion"))
        .build()
}

#[tokio::test]
async fn only_the_listed_service_accounts_of_the_cluster_are_admitted() {
    let header = json!({ "alg": "RS256", "kid": "a7d1c2b0" });
    let issuer = "https://oidc.eks.eu-central-1.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE";
    let claims = json!({
        "aud": ["orders"], "exp": 0, "iat": 0, "iss": issuer,
        "jti": "ea28ed49-2e11-4280-9ec5-bc3d1d84661a",
        "kubernetes.io": {
            "namespace": "shop",
            "node": { "name": "127.0.0.1", "uid": "58456cb0-dd00-45ed-b797-5578fdceaced" },
            "pod": { "name": "web-69cbfb9798-jv9gn", "uid": "778a530c-b3f4-47c0-9cd5-ab018fb64f33" },
            "serviceaccount": { "name": "web", "uid": "a087d5a0-e1dd-43ec-93ac-f13d89cd13af" },
            "warnafter": 1_700_081_020,
        },
        "nbf": 0, "sub": "system:serviceaccount:shop:web",
    });
    let sample = Sample::new(kubernetes().unwrap(), header, claims);
    let caller = sample.admit(json!({})).await;
    assert_eq!(caller.subject(), "system:serviceaccount:shop:web");
    assert_eq!(caller.claim::<String>("/kubernetes.io/pod/name").unwrap(), "web-69cbfb9798-jv9gn");

    sample.reject_usual_near_misses().await;
    for other in ["system:serviceaccount:shop:default", "system:serviceaccount:web:web"] {
        sample.reject(json!({ "sub": other }), TokenError::ClaimValue("sub".into())).await;
    }
    // The token for the API server, which is in every pod.
    sample.reject(json!({ "aud": ["https://kubernetes.default.svc"] }), TokenError::Audience).await;
    let other_cluster = issuer.replace("EXAMPLED", "EXAMPLEE");
    sample.reject(json!({ "iss": other_cluster }), TokenError::Issuer).await;
    // A token from a secret, without an end and an audience.
    let legacy = json!({ "iss": "kubernetes/serviceaccount", "aud": null, "exp": null });
    sample.reject(legacy, TokenError::Issuer).await;
}

fn jwt_svid() -> (Value, Value) {
    let header = json!({ "alg": "ES256", "kid": "GgkW3TNn", "typ": "JWT" });
    let claims = json!({
        "aud": ["spiffe://acme.example/orders"], "exp": 0, "iat": 0,
        "iss": "https://spire.acme.example", "sub": "spiffe://acme.example/ns/shop/sa/web",
    });
    (header, claims)
}

async fn only_own_workloads_are_admitted(sample: &Sample<JwtAuth>) {
    let caller = sample.admit(json!({})).await;
    assert_eq!(caller.subject(), "spiffe://acme.example/ns/shop/sa/web");
    sample.reject_with_header(json!({ "typ": "at+jwt" }), json!({}), TokenError::Type).await;
    for other in [
        "spiffe://other.example/ns/shop/sa/web",
        "spiffe://acme.example.attacker.example/web",
        "spiffe://acme.example",
        "SPIFFE://acme.example/web",
        "web",
    ] {
        let reason = TokenError::Check("another trust domain".into());
        sample.reject(json!({ "sub": other }), reason).await;
    }
    let other_service = json!({ "aud": ["spiffe://acme.example/invoices"] });
    sample.reject(other_service, TokenError::Audience).await;
    sample.reject(json!({ "aud": [] }), TokenError::Audience).await;
}

#[tokio::test]
async fn only_workloads_of_the_trust_domain_are_admitted() {
    let (mut header, claims) = jwt_svid();
    for typ in [json!("JWT"), json!("JOSE")] {
        header["typ"] = typ;
        let sample = Sample::new(spiffe().unwrap(), header.clone(), claims.clone());
        only_own_workloads_are_admitted(&sample).await;
        sample.reject_usual_near_misses().await;
    }
    header.as_object_mut().unwrap().remove("typ");
    let sample = Sample::new(spiffe().unwrap(), header, claims);
    only_own_workloads_are_admitted(&sample).await;
}

#[tokio::test]
async fn keys_of_a_spiffe_bundle_verify_only_workloads_of_the_trust_domain() {
    let (header, mut claims) = jwt_svid();
    // Without `jwt_issuer` in SPIRE, tokens have no issuer.
    claims.as_object_mut().unwrap().remove("iss");
    let sample = Sample::new(spiffe_bundle().unwrap(), header, claims);
    only_own_workloads_are_admitted(&sample).await;
}

fn cloudflare_token() -> (Value, Value) {
    let header = json!({ "alg": "RS256", "kid": "9338abe1baf2fe492f646a736f25afbf", "typ": "JWT" });
    let claims = json!({
        "aud": ["32eafc7626e974616deaf0dc3ce63d7bcbed58a2731e84d06bc3cdf1b53c4228"],
        "email": "user@example.com", "exp": 0, "iat": 0, "nbf": 0,
        "iss": "https://acme.cloudflareaccess.com", "type": "app",
        "identity_nonce": "6ei69kawdKzMIAPF", "sub": "7335d417-61da-459d-899c-0a01c76a2f94",
        "country": "US", "custom": { "groups": ["eng"] },
    });
    (header, claims)
}

#[tokio::test]
async fn only_cloudflare_tokens_of_the_application_are_admitted() {
    let (header, claims) = cloudflare_token();
    let sample = Sample::new(cloudflare_access().unwrap(), header, claims);
    let caller = sample.admit(json!({})).await;
    assert_eq!(caller.subject(), "7335d417-61da-459d-899c-0a01c76a2f94");
    let service_token = json!({
        "aud": "32eafc7626e974616deaf0dc3ce63d7bcbed58a2731e84d06bc3cdf1b53c4228", "sub": "",
        "common_name": "e367826f93b8d71185e03fe518aff3b4.access", "email": null,
        "identity_nonce": null, "country": null, "nbf": null,
    });
    let caller = sample.admit(service_token).await;
    assert_eq!(caller.subject(), "e367826f93b8d71185e03fe518aff3b4.access");

    sample.reject_usual_near_misses().await;
    sample.reject(json!({ "sub": "" }), TokenError::MissingClaim("sub".into())).await;
    // Another application of the same team.
    sample
        .reject(json!({ "aud": ["97e2aae120121f902df8bc99fc345913"] }), TokenError::Audience)
        .await;
    // The token of the session with the team, not with the application.
    sample.reject(json!({ "type": "org" }), TokenError::ClaimValue("type".into())).await;
    let other_team = json!({ "iss": "https://evil.cloudflareaccess.com" });
    sample.reject(other_team, TokenError::Issuer).await;
}

#[tokio::test]
async fn cloudflare_token_is_read_only_from_the_header_of_cloudflare() {
    let (header, mut claims) = cloudflare_token();
    claims["exp"] = 4_102_444_800_u64.into();
    let token = RSA.token_with(&header, &claims);
    let tokens = cloudflare_access().unwrap();
    let request = |name, value| Request::builder().header(name, value).body(()).unwrap();
    let (head, ()) = request("cf-access-jwt-assertion", token.clone()).into_parts();
    let result = tokens.authenticate(&head).unwrap().await.into_result();
    assert_eq!(result.unwrap().subject(), "7335d417-61da-459d-899c-0a01c76a2f94");
    let (head, ()) = request("authorization", format!("Bearer {token}")).into_parts();
    assert!(tokens.authenticate(&head).is_none());
    // Another website causes a request with the cookie of Cloudflare.
    let (mut head, ()) = request("cf-access-jwt-assertion", token).into_parts();
    head.method = Method::POST;
    head.headers.insert("sec-fetch-site", "cross-site".parse().unwrap());
    let result = tokens.authenticate(&head).unwrap().await.into_result();
    assert_eq!(result.unwrap_err().kind(), RejectionKind::CrossSite);
}
