//! Amazon Cognito.

use serde_json::{Value, json};
use tower_auth::{ConfigError, JwtAuth, jwt::TokenError};

use crate::{published::Jwks, sample::Sample};

const POOL: &str = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_EXAMPLE";

fn cognito() -> Result<JwtAuth, ConfigError> {
    let pool = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_EXAMPLE";
    JwtAuth::builder(Jwks::discover(pool))
        .audience("1example23456789")
        .audience_from("client_id")
        .require_claim_value("token_use", "access")
        .build()
}

fn cognito_resource() -> Result<JwtAuth, ConfigError> {
    let pool = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_EXAMPLE";
    JwtAuth::builder(Jwks::discover(pool))
        .audience("https://orders.example")
        .require_claim_value("token_use", "access")
        .build()
}

fn access_token() -> (Value, Value) {
    let header = json!({ "kid": "1234example=", "alg": "RS256" });
    let claims = json!({
        "sub": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee", "device_key": "eu-central-1_a-b-c",
        "cognito:groups": ["testgroup"], "iss": POOL, "version": 2,
        "client_id": "1example23456789", "origin_jti": "aaaaaaaa-0000-cccc-dddd-eeeeeeeeeeee",
        "event_id": "64f513be-32db-42b0-b78e-b02127b4f463", "token_use": "access",
        "scope": "phone openid profile orders/read", "auth_time": 1_676_312_777, "exp": 0, "iat": 0,
        "jti": "aaaaaaaa-1111-cccc-dddd-eeeeeeeeeeee", "username": "my-test-user",
    });
    (header, claims)
}

fn id_token() -> (Value, Value) {
    let header = json!({ "kid": "5678example=", "alg": "RS256" });
    let claims = json!({
        "sub": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee", "cognito:groups": ["testgroup"],
        "email_verified": true, "cognito:preferred_role": "arn:aws:iam::111122223333:role/r",
        "iss": POOL, "cognito:username": "my-test-user", "nonce": "abcdefg",
        "origin_jti": "aaaaaaaa-0000-cccc-dddd-eeeeeeeeeeee", "aud": "1example23456789",
        "identities": [{
            "userId": "amzn1.account.EXAMPLE", "providerName": "LoginWithAmazon",
            "issuer": null, "primary": "true", "dateCreated": "1642699117273",
        }],
        "event_id": "64f513be-32db-42b0-b78e-b02127b4f463", "token_use": "id",
        "auth_time": 1_676_312_777, "exp": 0, "iat": 0,
        "jti": "aaaaaaaa-1111-cccc-dddd-eeeeeeeeeeee", "email": "my-test-user@example.com",
    });
    (header, claims)
}

#[tokio::test]
async fn only_cognito_access_tokens_of_the_client_are_admitted() {
    let (header, claims) = access_token();
    let sample = Sample::new(cognito().unwrap(), header, claims);
    let caller = sample.admit(json!({})).await;
    assert_eq!(caller.subject(), "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee");
    assert!(caller.scopes().contains("orders/read"));

    sample.reject_usual_near_misses().await;
    sample.reject(json!({ "client_id": "2example23456789" }), TokenError::Audience).await;
    sample.reject(json!({ "client_id": null }), TokenError::Audience).await;
    // A token for another resource server.
    sample.reject(json!({ "aud": "https://invoices.example" }), TokenError::Audience).await;
    let not_access = TokenError::ClaimValue("token_use".into());
    sample.reject(json!({ "token_use": "id" }), not_access.clone()).await;
    sample.reject(json!({ "token_use": null }), not_access).await;
    let other_pool = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_OTHER";
    sample.reject(json!({ "iss": other_pool }), TokenError::Issuer).await;

    let (header, claims) = id_token();
    let sample = Sample::new(cognito().unwrap(), header, claims);
    sample.reject(json!({}), TokenError::Audience).await;
}

#[tokio::test]
async fn only_cognito_access_tokens_for_the_resource_are_admitted() {
    let (header, mut claims) = access_token();
    claims["aud"] = "https://orders.example".into();
    let sample = Sample::new(cognito_resource().unwrap(), header, claims);
    sample.admit(json!({})).await;
    sample.reject_usual_near_misses().await;
    sample.reject(json!({ "aud": null }), TokenError::Audience).await;
    sample.reject(json!({ "aud": "1example23456789" }), TokenError::Audience).await;
    let not_access = TokenError::ClaimValue("token_use".into());
    sample.reject(json!({ "token_use": "id" }), not_access).await;
}

/// Why the guide does not configure only the client id as the audience.
#[tokio::test]
async fn cognito_client_id_as_audience_admits_id_tokens_and_rejects_access_tokens() {
    let build = || JwtAuth::builder(Jwks::discover(POOL)).audience("1example23456789").build();
    let (header, claims) = id_token();
    Sample::new(build().unwrap(), header, claims).admit(json!({})).await;
    let (header, claims) = access_token();
    let sample = Sample::new(build().unwrap(), header, claims);
    sample.reject(json!({}), TokenError::Audience).await;
}
