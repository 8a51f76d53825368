//! Hosted identity services for companies: Auth0 and Okta.

use serde_json::json;
use tower_auth::{ConfigError, JwtAuth, jwt::TokenError};

use crate::{published::Jwks, sample::Sample};

fn auth0() -> Result<JwtAuth, ConfigError> {
    JwtAuth::builder(Jwks::discover("https://acme.eu.auth0.com/"))
        .audience("https://orders.example")
        .scopes_from_all(["scope", "permissions"])
        .build()
}

fn auth0_rfc9068() -> Result<JwtAuth, ConfigError> {
    JwtAuth::builder(Jwks::discover("https://acme.eu.auth0.com/"))
        .audience("https://orders.example")
        .access_token_profile()
        .scopes_from_all(["scope", "permissions"])
        .build()
}

fn okta() -> Result<JwtAuth, ConfigError> {
    JwtAuth::builder(Jwks::discover("https://acme.okta.com/oauth2/default"))
        .audience("api://orders")
        .token_type_if_present(["JWT", "at+jwt", "application/okta-internal-at+jwt"])
        .require_claim("cid")
        .subject_from(["uid", "cid"])
        .scopes_from("scp")
        .build()
}

#[tokio::test]
async fn only_auth0_access_tokens_for_the_api_are_admitted() {
    let header = json!({ "alg": "RS256", "typ": "JWT", "kid": "NEVDNTBG" });
    let claims = json!({
        "iss": "https://acme.eu.auth0.com/", "sub": "auth0|123456",
        "aud": ["https://orders.example", "https://acme.eu.auth0.com/userinfo"],
        "azp": "my_client_id", "exp": 0, "iat": 0, "scope": "openid profile orders:read",
        "permissions": ["orders:write"], "https://acme.example/plan": { "seats": 5, "price": 9.5 },
    });
    let sample = Sample::new(auth0().unwrap(), header, claims);
    let caller = sample.admit(json!({})).await;
    assert_eq!(caller.subject(), "auth0|123456");
    assert_eq!(caller.scopes().to_string(), "openid profile orders:read orders:write");
    let machine = json!({
        "sub": "my_client_id@clients", "aud": "https://orders.example",
        "gty": "client-credentials", "scope": "orders:read", "permissions": [],
    });
    assert_eq!(sample.admit(machine).await.subject(), "my_client_id@clients");

    sample.reject_usual_near_misses().await;
    let id_token = json!({
        "aud": "my_client_id", "azp": null, "scope": null, "permissions": null,
        "nickname": "jane", "email_verified": true, "nonce": "n", "sid": "s",
    });
    sample.reject(id_token, TokenError::Audience).await;
    let of_userinfo = json!({ "aud": ["https://acme.eu.auth0.com/userinfo"] });
    sample.reject(of_userinfo, TokenError::Audience).await;
    sample.reject(json!({ "aud": "https://orders.example/" }), TokenError::Audience).await;
    sample.reject(json!({ "iss": "https://evil.eu.auth0.com/" }), TokenError::Issuer).await;
}

#[tokio::test]
async fn only_auth0_tokens_of_the_rfc_9068_profile_are_admitted_if_required() {
    let header = json!({ "alg": "RS256", "typ": "at+jwt", "kid": "NEVDNTBG" });
    let claims = json!({
        "iss": "https://acme.eu.auth0.com/", "sub": "auth0|123456",
        "aud": ["https://orders.example", "https://acme.eu.auth0.com/userinfo"],
        "client_id": "my_client_id", "exp": 0, "iat": 0, "jti": "73WakrfVbNJBaAmhQtEeDv",
        "auth_time": 1_311_280_970, "scope": "openid profile orders:read",
    });
    let sample = Sample::new(auth0_rfc9068().unwrap(), header, claims);
    let caller = sample.admit(json!({ "permissions": ["orders:write"] })).await;
    assert_eq!(caller.scopes().to_string(), "openid profile orders:read orders:write");

    sample.reject_usual_near_misses().await;
    sample.reject_with_header(json!({ "typ": "JWT" }), json!({}), TokenError::Type).await;
    sample.reject(json!({ "jti": null }), TokenError::MissingClaim("jti".into())).await;
    sample.reject(json!({ "aud": "my_client_id" }), TokenError::Audience).await;
}

#[tokio::test]
async fn only_okta_access_tokens_for_the_api_are_admitted() {
    let header = json!({ "kid": "ZkvelLN_seik7w4pc_prCcfUf-h2hFfiwkDeCrs0iUc", "alg": "RS256" });
    let claims = json!({
        "ver": 1, "jti": "AT.MNAoEQ_jbKqoinrQo1D0XKjMX28U5d7ZszBceot7-Ts",
        "iss": "https://acme.okta.com/oauth2/default", "aud": "api://orders", "iat": 0, "exp": 0,
        "cid": "0oa1gjh63g214q0Hq0g4", "uid": "00uixa271s6x7qt8I0h7",
        "scp": ["openid", "orders.read"], "auth_time": 1_688_145_909, "sub": "jane@acme.example",
    });
    let sample = Sample::new(okta().unwrap(), header, claims);
    let caller = sample.admit(json!({})).await;
    assert_eq!(caller.subject(), "00uixa271s6x7qt8I0h7");
    assert_eq!(caller.scopes().to_string(), "openid orders.read");
    let service = json!({ "uid": null, "auth_time": null, "sub": "0oa1gjh63g214q0Hq0g4" });
    assert_eq!(sample.admit(service).await.subject(), "0oa1gjh63g214q0Hq0g4");

    sample.reject_usual_near_misses().await;
    // An ID token, also one for a client that has the name of the API.
    let id_token = json!({
        "sub": "00uixa271s6x7qt8I0h7", "aud": "0oa1gjh63g214q0Hq0g4", "cid": null, "uid": null,
        "scp": null, "jti": "ID.radCQMOQUmyvcTBmmIL0J6BaS60apUEiC7-vI7pOmkw", "amr": ["pwd"],
        "idp": "00oxxxxxx", "at_hash": "fPlsvVszI29LU2UhDyJ9vg", "email": "jane@acme.example",
    });
    sample.reject(id_token.clone(), TokenError::Audience).await;
    let mut for_the_api = id_token;
    for_the_api["aud"] = "api://orders".into();
    sample.reject(for_the_api, TokenError::MissingClaim("uid".into())).await;
    let of_user = json!({ "cid": null });
    sample.reject(of_user, TokenError::MissingClaim("cid".into())).await;
    for issuer in ["https://acme.okta.com", "https://acme.okta.com/oauth2/aus1"] {
        sample.reject(json!({ "iss": issuer }), TokenError::Issuer).await;
    }
    sample.reject(json!({ "aud": "https://acme.okta.com" }), TokenError::Audience).await;
}

#[tokio::test]
async fn type_of_okta_access_tokens_is_admitted() {
    let header = json!({
        "kid": "ZkvelLN_seik7w4pc_prCcfUf-h2hFfiwkDeCrs0iUc", "alg": "RS256",
        "typ": "application/okta-internal-at+jwt",
    });
    let claims = json!({
        "iss": "https://acme.okta.com/oauth2/default", "aud": "api://orders", "exp": 0,
        "cid": "0oa1gjh63g214q0Hq0g4", "sub": "0oa1gjh63g214q0Hq0g4", "scp": ["orders.read"],
    });
    let sample = Sample::new(okta().unwrap(), header, claims);
    assert_eq!(sample.admit(json!({})).await.subject(), "0oa1gjh63g214q0Hq0g4");
    sample.reject_usual_near_misses().await;
}
