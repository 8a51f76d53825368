//! Asynchronous policies.

use axum::{
    Router,
    http::request::Parts,
    routing::{any, get},
};
use tokio::task::yield_now;
use tower::limit::ConcurrencyLimitLayer;
use tower_auth::{
    AuthenticateLayer, AuthorizeLayer, Denial, Principal, RequireScopes, authorize::AsyncPolicy,
};

use super::{Api, Issuer, greet};

/// Looks up the caller's group asynchronously, as in a database.
struct GroupPolicy;

impl AsyncPolicy for GroupPolicy {
    async fn evaluate(&self, caller: &Principal, head: &Parts) -> Result<(), Denial> {
        yield_now().await;
        match (caller.subject(), head.uri.path()) {
            ("user-1", "/member") => Ok(()),
            (_, "/away") => Err(Denial::unavailable().because("the directory is unavailable")),
            (_, "/scope") => Err(Denial::insufficient_scope(["group"])),
            _ => Err(Denial::forbidden()),
        }
    }
}

#[tokio::test]
async fn async_policy_decides_the_status_after_a_wait() {
    let issuer = Issuer::new();
    let app = Router::new()
        .route("/{any}", get(greet))
        // A rejection must release the permit, or the next request would wait forever.
        .layer(ConcurrencyLimitLayer::new(1))
        .layer(AuthorizeLayer::from_async(GroupPolicy))
        .layer(RequireScopes::all(["read"]))
        .layer(AuthenticateLayer::optional(issuer.auth()));
    let api = Api::serve(app).await;
    for _ in 0..3 {
        for (path, status) in [("/member", 200), ("/other", 403), ("/away", 503), ("/scope", 403)] {
            assert_eq!(api.get_with_token(&issuer.token(), path).await.status, status, "{path}");
        }
    }
    let outage = api.get_with_token(&issuer.token(), "/away").await;
    assert!(outage.headers.contains_key("retry-after") && outage.body.is_empty());
    let scope = r#"Bearer realm="api", error="insufficient_scope", scope="group""#;
    assert_eq!(api.get_with_token(&issuer.token(), "/scope").await.challenges(), [scope]);
    assert_eq!(api.get_anonymous("/member").await.status, 401);
}

#[tokio::test]
async fn allowed_preflight_skips_the_async_policy() {
    let app = Router::new()
        .route("/other", any(|| async {}))
        .layer(AuthorizeLayer::from_async(std::sync::Arc::new(GroupPolicy)))
        .layer(AuthenticateLayer::new(Issuer::new().auth()).allow_cors_preflight());
    let api = Api::serve(app).await;
    let request =
        api.request(reqwest::Method::OPTIONS, "/other").header("origin", "https://app.example");
    let request = request.header("access-control-request-method", "PUT");
    assert_eq!(super::Reply::to(request).await.status, 200);
}

#[tokio::test]
async fn async_policy_without_authenticator_returns_500() {
    let app = Router::new()
        .route("/member", get(|| async {}))
        .layer(AuthorizeLayer::from_async(GroupPolicy));
    assert_eq!(Api::serve(app).await.get_anonymous("/member").await.status, 500);
}
