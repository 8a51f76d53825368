//! Sign-in of consumers, and Google service accounts.

use serde_json::json;
use tower_auth::{ConfigError, JwtAuth, jwt::TokenError};

use crate::{published::Jwks, sample::Sample};

fn google() -> Result<JwtAuth, ConfigError> {
    JwtAuth::builder(Jwks::url("https://www.googleapis.com/oauth2/v3/certs"))
        .issuer(["https://accounts.google.com", "accounts.google.com"])
        .audience("1234987819200.apps.googleusercontent.com")
        .require_claim_value("hd", "acme.example")
        .build()
}

fn google_service_account() -> Result<JwtAuth, ConfigError> {
    JwtAuth::builder(Jwks::discover("https://accounts.google.com"))
        .audience("https://orders.example")
        .require_claim_value("sub", ["107517467455664443765"])
        .build()
}

fn apple() -> Result<JwtAuth, ConfigError> {
    JwtAuth::builder(Jwks::discover("https://appleid.apple.com"))
        .audience("com.example.orders")
        .build()
}

const GOOGLE_KEY: &str = "b9ac601d131fd4ffd556ff032aab188880cde3b9";

#[tokio::test]
async fn only_google_id_tokens_of_the_client_and_domain_are_admitted() {
    let header = json!({ "alg": "RS256", "kid": GOOGLE_KEY, "typ": "JWT" });
    let claims = json!({
        "iss": "https://accounts.google.com", "nbf": 0, "iat": 0, "exp": 0,
        "azp": "1234987819200-android.apps.googleusercontent.com",
        "aud": "1234987819200.apps.googleusercontent.com", "sub": "10769150350006150715113082367",
        "at_hash": "HK6E_P6Dh8Y93mRNtsDB1Q", "hd": "acme.example", "email": "jsmith@acme.example",
        "email_verified": true, "name": "J. Smith", "picture": "https://lh3.example/photo.jpg",
        "given_name": "J.", "family_name": "Smith", "nonce": "0394852-3190485-2490358",
        "jti": "161803398874def",
    });
    let sample = Sample::new(google().unwrap(), header, claims);
    let caller = sample.admit(json!({})).await;
    assert_eq!(caller.subject(), "10769150350006150715113082367");
    sample.admit(json!({ "iss": "accounts.google.com", "email_verified": "true" })).await;

    sample.reject_usual_near_misses().await;
    let other = json!({ "aud": "9999.apps.googleusercontent.com" });
    sample.reject(other, TokenError::Audience).await;
    let other_domain = TokenError::ClaimValue("hd".into());
    sample.reject(json!({ "hd": "evil.example" }), other_domain.clone()).await;
    // A consumer account can have an e-mail address of any domain, but it has no `hd`.
    sample.reject(json!({ "hd": null }), other_domain).await;
    sample.reject(json!({ "iss": "https://cloud.google.com/iap" }), TokenError::Issuer).await;
}

#[tokio::test]
async fn only_the_listed_google_service_accounts_are_admitted() {
    let header = json!({ "alg": "RS256", "kid": GOOGLE_KEY, "typ": "JWT" });
    let claims = json!({
        "aud": "https://orders.example", "azp": "107517467455664443765",
        "email": "scheduler@acme-prod.iam.gserviceaccount.com", "email_verified": true, "exp": 0,
        "iat": 0, "iss": "https://accounts.google.com", "sub": "107517467455664443765",
        "google": { "compute_engine": { "project_number": 739_419_398_126_u64 } },
    });
    let sample = Sample::new(google_service_account().unwrap(), header, claims);
    assert_eq!(sample.admit(json!({})).await.subject(), "107517467455664443765");

    sample.reject_usual_near_misses().await;
    // Every Google Cloud project can obtain such a token for this audience.
    let other_project = json!({
        "sub": "118000000000000000000", "azp": "118000000000000000000",
        "email": "scheduler@attacker.iam.gserviceaccount.com",
    });
    sample.reject(other_project, TokenError::ClaimValue("sub".into())).await;
    sample.reject(json!({ "aud": "https://orders.example/" }), TokenError::Audience).await;
}

#[tokio::test]
async fn only_apple_id_tokens_of_the_client_are_admitted() {
    let header = json!({ "kid": "fh6Bs8C", "alg": "RS256" });
    let claims = json!({
        "iss": "https://appleid.apple.com", "aud": "com.example.orders", "exp": 0, "iat": 0,
        "sub": "001940.7a1141aa001c469ea1563c6bae99c37d.0307", "nonce": "n", "c_hash": "7X3slvtu",
        "email": "aq32k2vzcw@privaterelay.appleid.com", "email_verified": "true",
        "is_private_email": "true", "auth_time": 1_589_184_685, "nonce_supported": true,
        "real_user_status": 2,
    });
    let sample = Sample::new(apple().unwrap(), header, claims);
    let caller = sample.admit(json!({})).await;
    assert_eq!(caller.subject(), "001940.7a1141aa001c469ea1563c6bae99c37d.0307");
    sample.admit(json!({ "email_verified": true, "is_private_email": false })).await;

    sample.reject_usual_near_misses().await;
    sample.reject(json!({ "aud": "com.example.other" }), TokenError::Audience).await;
    sample.reject(json!({ "aud": "com.example.Orders" }), TokenError::Audience).await;
    // A notification to the server about a user.
    let notification = json!({
        "sub": null, "jti": "abede", "events": "{\"type\":\"consent-revoked\",\"sub\":\"001940.7\"}",
    });
    sample.reject(notification, TokenError::MissingClaim("sub".into())).await;
}
