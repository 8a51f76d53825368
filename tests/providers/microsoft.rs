//! The older identity services of Microsoft: Azure AD B2C and AD FS.

use serde_json::json;
use tower_auth::{ConfigError, JwtAuth, jwt::TokenError};

use crate::{published::Jwks, sample::Sample};

fn b2c() -> Result<JwtAuth, ConfigError> {
    let policy = "https://acme.b2clogin.com/acme.onmicrosoft.com/B2C_1_signin/v2.0";
    let issuer = "https://acme.b2clogin.com/8eaef023-2b34-4da1-9baa-8bc8c9d6a490/v2.0/";
    let keys =
        Jwks::discover(issuer).discovery_url(format!("{policy}/.well-known/openid-configuration"));
    JwtAuth::builder(keys)
        .audience("6e74172b-be56-4843-9ff4-e66a39bb12e3")
        .require_claim_value("tfp", "B2C_1_signin")
        .require_claim("azp")
        .scopes_from("scp")
        .build()
}

fn adfs() -> Result<JwtAuth, ConfigError> {
    let keys = Jwks::discover("http://adfs.acme.example/adfs/services/trust")
        .discovery_url("https://adfs.acme.example/adfs/.well-known/openid-configuration");
    JwtAuth::builder(keys)
        .audience("https://orders.example")
        .require_claim("appid")
        .scopes_from("scp")
        .build()
}

#[tokio::test]
async fn only_b2c_access_tokens_of_the_policy_are_admitted() {
    let header = json!({
        "alg": "RS256", "kid": "X5eXk4xyojNFum1kl2Ytv8dlNP4-c57dO6QGTVBwaNk", "typ": "JWT",
    });
    let issuer = "https://acme.b2clogin.com/8eaef023-2b34-4da1-9baa-8bc8c9d6a490/v2.0/";
    let claims = json!({
        "iss": issuer, "exp": 0, "nbf": 0, "aud": "6e74172b-be56-4843-9ff4-e66a39bb12e3",
        "oid": "690222be-ff1a-4d56-abd1-7e4f7d38e474",
        "sub": "690222be-ff1a-4d56-abd1-7e4f7d38e474", "emails": ["jane@example.com"],
        "name": "Jane", "tfp": "B2C_1_signin", "nonce": "1bbe8a71", "scp": "orders.read",
        "azp": "11111111-1111-4111-8111-111111111111", "ver": "1.0", "iat": 0,
    });
    let sample = Sample::new(b2c().unwrap(), header, claims);
    assert!(sample.admit(json!({})).await.scopes().contains("orders.read"));

    sample.reject_usual_near_misses().await;
    let id_token = json!({ "azp": null, "scp": null, "auth_time": 1_700_000_000 });
    sample.reject(id_token, TokenError::MissingClaim("azp".into())).await;
    let other_policy = json!({ "tfp": "B2C_1_password_reset" });
    sample.reject(other_policy, TokenError::ClaimValue("tfp".into())).await;
    let of_client = json!({ "aud": "11111111-1111-4111-8111-111111111111" });
    sample.reject(of_client, TokenError::Audience).await;
    let other_tenant = issuer.replace("8eaef023", "72f988bf");
    sample.reject(json!({ "iss": other_tenant }), TokenError::Issuer).await;
}

#[tokio::test]
async fn only_adfs_access_tokens_for_the_api_are_admitted() {
    let header = json!({
        "typ": "JWT", "alg": "RS256", "x5t": "v0KYwHrNHkiDMAsRF58nBBaWsCs",
        "kid": "v0KYwHrNHkiDMAsRF58nBBaWsCs",
    });
    let claims = json!({
        "aud": "https://orders.example", "iss": "http://adfs.acme.example/adfs/services/trust",
        "iat": 0, "nbf": 0, "exp": 0, "sub": "SxjYzM1dmZ5cUJ3", "apptype": "Public",
        "appid": "11111111-1111-4111-8111-111111111111", "ver": "1.0", "scp": "openid orders",
        "authmethod": "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport",
        "auth_time": "2026-11-29T10:00:00.000Z",
    });
    let sample = Sample::new(adfs().unwrap(), header, claims);
    assert!(sample.admit(json!({})).await.scopes().contains("orders"));

    sample.reject_usual_near_misses().await;
    let id_token = json!({
        "iss": "https://adfs.acme.example/adfs", "aud": "11111111-1111-4111-8111-111111111111",
        "appid": null, "scp": null, "upn": "jane@acme.example", "sid": "S-1-5-21",
    });
    sample.reject(id_token, TokenError::Issuer).await;
    let userinfo = json!({ "aud": "urn:microsoft:userinfo" });
    sample.reject(userinfo, TokenError::Audience).await;
    sample.reject(json!({ "appid": null }), TokenError::MissingClaim("appid".into())).await;
}
