//! Extractors in handlers, and their rejections.

use axum::{Router, routing::get};
use serde::Deserialize;
use serde_json::json;
use tower_auth::{AuthenticateLayer, Principal, any_of, extract::Claims};
use tower_auth_test_support::token::claims;

use super::{Api, Issuer, greet, staff};

#[derive(Deserialize)]
struct TenantClaims {
    tenant: String,
}

async fn tenant(Claims(claims): Claims<TenantClaims>) -> String {
    claims.tenant.clone()
}

async fn is_authenticated(caller: Option<Principal>) -> String {
    caller.is_some().to_string()
}

fn routes() -> Router {
    Router::new()
        .route("/principal", get(greet))
        .route("/option", get(is_authenticated))
        .route("/claims", get(tenant))
}

#[tokio::test]
async fn extractors_return_the_principal_and_the_claims() {
    let issuer = Issuer::new();
    let api = Api::serve(routes().layer(AuthenticateLayer::new(issuer.auth()))).await;
    let mut claims = claims();
    claims["tenant"] = "acme".into();
    let token = issuer.0.token(&claims);

    assert_eq!(api.get_with_token(&token, "/principal").await.body, "hello user-1");
    assert_eq!(api.get_with_token(&token, "/option").await.body, "true");
    assert_eq!(api.get_with_token(&token, "/claims").await.body, "acme");
}

#[tokio::test]
async fn claims_of_wrong_type_return_403_without_challenge() {
    let issuer = Issuer::new();
    let api = Api::serve(routes().layer(AuthenticateLayer::new(issuer.auth()))).await;

    for tenant in [json!(null), json!(7), json!(["acme"]), json!({ "name": "acme" })] {
        let mut claims = claims();
        claims["tenant"] = tenant;
        let reply = api.get_with_token(&issuer.0.token(&claims), "/claims").await;
        assert_eq!(reply.status, 403);
        assert!(reply.challenges().is_empty(), "{reply:?}");
        assert_eq!(reply.body, "");
    }
    assert_eq!(api.get_with_token(&issuer.token(), "/claims").await.status, 403);
}

#[tokio::test]
async fn claims_extractor_returns_403_to_basic_caller() {
    let issuer = Issuer::new();
    let layer = AuthenticateLayer::new(any_of((issuer.auth(), staff())));
    let api = Api::serve(routes().layer(layer)).await;

    assert_eq!(api.get_as_staff("secret", "/principal").await.body, "hello alice");
    let reply = api.get_as_staff("secret", "/claims").await;
    assert_eq!(reply.status, 403);
    assert!(reply.challenges().is_empty(), "{reply:?}");
}

#[tokio::test]
async fn extractors_return_401_with_challenge_to_anonymous_request() {
    let issuer = Issuer::new();
    let api = Api::serve(routes().layer(AuthenticateLayer::optional(issuer.auth()))).await;

    assert_eq!(api.get_anonymous("/option").await.body, "false");
    for path in ["/principal", "/claims"] {
        let reply = api.get_anonymous(path).await;
        assert_eq!(reply.status, 401);
        assert_eq!(reply.challenges(), [r#"Bearer realm="api""#]);
    }
}

#[tokio::test]
async fn extractors_return_500_without_authenticate_layer() {
    let api = Api::serve(routes()).await;
    let token = Issuer::new().token();

    for path in ["/principal", "/option", "/claims"] {
        for reply in [api.get_anonymous(path).await, api.get_with_token(&token, path).await] {
            assert_eq!(reply.status, 500, "{path}");
            assert!(reply.challenges().is_empty() && reply.body.is_empty(), "{reply:?}");
        }
    }
}
