//! Identity servers that companies run themselves: Keycloak, Ory Hydra, Zitadel, authentik and Dex.

use http::Request;
use serde_json::{Value, json};
use tower_auth::{ConfigError, JwtAuth, Policy, Principal, RequireRoles, jwt::TokenError};

use crate::{published::Jwks, sample::Sample};

fn keycloak() -> Result<JwtAuth, ConfigError> {
    JwtAuth::builder(Jwks::discover("https://sso.example/realms/acme"))
        .audience("orders")
        .require_claim_value("typ", "Bearer")
        .build()
}

fn hydra() -> Result<JwtAuth, ConfigError> {
    JwtAuth::builder(Jwks::discover("https://hydra.example/"))
        .audience(["https://orders.example", "shop-web"])
        .audience_from(["aud", "client_id"])
        .require_claim("client_id")
        .scopes_from("scp")
        .build()
}

fn zitadel() -> Result<JwtAuth, ConfigError> {
    JwtAuth::builder(Jwks::discover("https://acme.zitadel.cloud"))
        .audience("69234237810729019")
        .require_claim("jti")
        .build()
}

fn authentik() -> Result<JwtAuth, ConfigError> {
    JwtAuth::builder(Jwks::discover("https://auth.example/application/o/orders/"))
        .audience("gIYLfXwXJkcKzLtjNyRl7UoqfTmGuGHXIzqdsTB7")
        .require_claim(["azp", "uid"])
        .build()
}

fn dex() -> Result<JwtAuth, ConfigError> {
    JwtAuth::builder(Jwks::discover("https://dex.example/dex")).audience("orders").build()
}

fn allows(policy: &impl Policy, caller: &Principal) -> bool {
    let (head, ()) = Request::new(()).into_parts();
    matches!(policy.evaluate(caller, &head).into_ready(), Ok(decision) if decision.is_ok())
}

#[tokio::test]
async fn only_keycloak_access_tokens_for_the_client_are_admitted() {
    let header = json!({
        "alg": "RS256", "typ": "JWT", "kid": "bMWP9GYcT9PpSPKhkBWD9mOZeHq1YQKHq4JXTaxzd-o",
    });
    let claims = json!({
        "exp": 0, "iat": 0, "auth_time": 1_695_715_698, "iss": "https://sso.example/realms/acme",
        "jti": "onrtac:dda2e10f-f908-45c9-81a7-088fc80d9b02", "aud": ["orders", "account"],
        "sub": "e9a5e235-31ac-4bf8-943d-76df95d548a3", "typ": "Bearer", "azp": "shop-web",
        "sid": "e892de3b-7054-4967-bbef-677b62c32aa0", "acr": "1",
        "allowed-origins": ["https://shop.example"],
        "realm_access": { "roles": ["offline_access", "auditor"] },
        "resource_access": { "orders": { "roles": ["manager"] }, "account": { "roles": [] } },
        "scope": "openid profile email", "email_verified": false, "preferred_username": "jane",
    });
    let sample = Sample::new(keycloak().unwrap(), header, claims);
    let caller = sample.admit(json!({ "aud": "orders" })).await;
    assert_eq!(caller.subject(), "e9a5e235-31ac-4bf8-943d-76df95d548a3");
    assert!(allows(&RequireRoles::any("auditor").from_claim("/realm_access/roles"), &caller));
    let client_role = |role| RequireRoles::any(role).from_claim("/resource_access/orders/roles");
    assert!(allows(&client_role("manager"), &caller) && !allows(&client_role("auditor"), &caller));

    sample.reject_usual_near_misses().await;
    for typ in ["ID", "Refresh", "Offline", "Logout", "Serialized-ID", "DPoP"] {
        sample.reject(json!({ "typ": typ }), TokenError::ClaimValue("typ".into())).await;
    }
    // Without a mapper, the audience is "account", or there is none.
    for aud in [json!("account"), json!(["account"]), json!("shop-web"), json!(null)] {
        sample.reject(json!({ "aud": aud }), TokenError::Audience).await;
    }
    for realm in ["master", "Acme", "acme2"] {
        let other = json!({ "iss": format!("https://sso.example/realms/{realm}") });
        sample.reject(other, TokenError::Issuer).await;
    }
}

#[tokio::test]
async fn only_hydra_access_tokens_for_the_audience_or_client_are_admitted() {
    let header = json!({ "alg": "RS256", "kid": "0f9a3c1e-access", "typ": "JWT" });
    let claims = json!({
        "aud": [], "client_id": "shop-web", "exp": 0, "ext": { "seats": 5 }, "iat": 0,
        "iss": "https://hydra.example/", "jti": "1c3b8a7e-5d0c-4b4f-9f3e-0c1a2b3d4e5f", "nbf": 0,
        "scp": ["openid", "orders.read"], "sub": "7146dd0b-f243-43ba-815c-7a00216b4823",
    });
    let sample = Sample::new(hydra().unwrap(), header, claims);
    let caller = sample.admit(json!({})).await;
    assert_eq!(caller.scopes().to_string(), "openid orders.read");
    sample.admit(json!({ "aud": ["https://orders.example"], "client_id": "other" })).await;

    sample.reject_usual_near_misses().await;
    sample.reject(json!({ "client_id": "other" }), TokenError::Audience).await;
    sample.reject(json!({ "aud": ["https://invoices.example"] }), TokenError::Audience).await;
    let id_token = json!({
        "aud": ["shop-web"], "client_id": null, "ext": null, "scp": null, "nbf": null,
        "at_hash": "v6Wm", "auth_time": 1_700_000_000, "rat": 1_700_000_000, "acr": "0", "amr": [],
        "nonce": "n", "sid": "5d2f",
    });
    let missing = TokenError::MissingClaim("client_id".into());
    sample.reject_with_header(json!({ "kid": "5d7e2b4a-id" }), id_token, missing).await;
}

#[tokio::test]
async fn only_zitadel_access_tokens_for_the_project_are_admitted() {
    let header = json!({ "alg": "RS256", "kid": "284157862213632001", "typ": "JWT" });
    let claims = json!({
        "aud": ["69234237810729234", "69234237810729019"], "azp": "69234237810729234",
        "client_id": "69234237810729234", "exp": 0, "iat": 0, "iss": "https://acme.zitadel.cloud",
        "jti": "V2_284157862213632002-at_284157862213697538", "nbf": 0, "sub": "77776025198584418",
        "urn:zitadel:iam:org:project:roles": { "admin": { "178204173316174381": "acme.example" } },
        "urn:zitadel:iam:user:metadata": [{ "key": "VmFsdWU=" }],
        "urn:zitadel:iam:user:resourceowner:id": "178204173316174381",
    });
    let sample = Sample::new(zitadel().unwrap(), header, claims);
    let caller = sample.admit(json!({})).await;
    let roles = |role| RequireRoles::any(role).from_claim_keys("urn:zitadel:iam:org:project:roles");
    assert!(allows(&roles("admin"), &caller));
    assert!(!allows(&roles("178204173316174381"), &caller) && !allows(&roles("user"), &caller));

    sample.reject_usual_near_misses().await;
    // An ID token has the project in `aud` as well.
    let id_token = json!({
        "jti": null, "amr": ["password", "pwd"], "auth_time": 1_311_280_969, "nonce": "n",
        "at_hash": "Hk", "sid": "V1_2841", "c_hash": "x", "preferred_username": "jane@acme.example",
    });
    sample.reject(id_token, TokenError::MissingClaim("jti".into())).await;
    sample.reject(json!({ "aud": ["69234237810729234"] }), TokenError::Audience).await;
    sample.reject(json!({ "iss": "https://other.zitadel.cloud" }), TokenError::Issuer).await;
}

#[tokio::test]
async fn only_authentik_access_tokens_of_the_provider_are_admitted() {
    const CLIENT: &str = "gIYLfXwXJkcKzLtjNyRl7UoqfTmGuGHXIzqdsTB7";
    let header = json!({ "alg": "RS256", "kid": "c0ffee00", "typ": "JWT" });
    let claims = json!({
        "iss": "https://auth.example/application/o/orders/", "aud": CLIENT, "exp": 0, "iat": 0,
        "sub": "b7c9a1f0e2d3", "auth_time": 1_700_000_000, "amr": ["pwd", "mfa"],
        "acr": "goauthentik.io/providers/oauth2/default", "sid": "a6f1", "email_verified": true,
        "email": "jane@acme.example", "preferred_username": "jane", "groups": ["staff"],
        "azp": CLIENT, "uid": "mMkzxz6wZ9D8lBBdx0FyF6eAXLpUdrZ0f6Kq5OJ4",
    });
    let sample = Sample::new(authentik().unwrap(), header, claims);
    assert_eq!(sample.admit(json!({})).await.subject(), "b7c9a1f0e2d3");

    sample.reject_usual_near_misses().await;
    let id_token = json!({ "azp": null, "uid": null, "nonce": "n", "at_hash": "Hk" });
    sample.reject(id_token, TokenError::MissingClaim("azp".into())).await;
    let other = json!({ "aud": "other", "azp": "other" });
    sample.reject(other, TokenError::Audience).await;
    for issuer in ["https://auth.example/application/o/wiki/", "https://auth.example/"] {
        sample.reject(json!({ "iss": issuer }), TokenError::Issuer).await;
    }
}

#[tokio::test]
async fn only_dex_tokens_for_the_client_are_admitted() {
    let claims: Value = json!({
        "iss": "https://dex.example/dex", "sub": "CgcyMzQyNzQ5EgZnaXRodWI", "exp": 0, "iat": 0,
        "aud": ["orders", "shop-web"], "azp": "shop-web", "email": "jane@acme.example",
        "email_verified": true, "groups": ["acme:staff"], "name": "Jane", "nonce": "n",
        "at_hash": "fPlsvVszI29LU2UhDyJ9vg",
        "federated_claims": { "connector_id": "github", "user_id": "2342749" },
    });
    let header = json!({ "alg": "RS256", "kid": "6b1f0a8d2c" });
    let sample = Sample::new(dex().unwrap(), header, claims);
    assert_eq!(sample.admit(json!({})).await.subject(), "CgcyMzQyNzQ5EgZnaXRodWI");
    sample.admit(json!({ "aud": "orders", "azp": null })).await;
    // ID tokens of the code flow, and of a token exchange. Nothing tells them from access tokens.
    sample.admit(json!({ "c_hash": "LDktKdoQak3Pk0cnXxCltA" })).await;
    sample.admit(json!({ "at_hash": null })).await;

    sample.reject_usual_near_misses().await;
    sample.reject(json!({ "aud": "shop-web", "azp": null }), TokenError::Audience).await;
    // The client that obtained the token is not its audience.
    let other = json!({ "aud": ["wiki", "shop-web"], "azp": "orders" });
    sample.reject(other, TokenError::Audience).await;
    sample.reject(json!({ "iss": "https://dex.example" }), TokenError::Issuer).await;
}
