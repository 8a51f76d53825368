//! Decisions that take asking somebody else.

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

/// Looks the caller's group up, as in a database.
struct Groups;

impl AsyncPolicy for Groups {
    async fn evaluate(&self, caller: &Principal, head: &Parts) -> Result<(), Denial> {
        yield_now().await;
        match (caller.subject(), head.uri.path()) {
            ("user-1", "/member") => Ok(()),
            (_, "/away") => Err(Denial::unavailable().because("the directory is away")),
            (_, "/scope") => Err(Denial::insufficient_scope(["group"])),
            _ => Err(Denial::forbidden()),
        }
    }
}

#[tokio::test]
async fn it_is_waited_for_and_then_done_as_it_says() {
    let issuer = Issuer::new();
    let app = Router::new()
        .route("/{any}", get(greet))
        // Whoever is refused gives the permit back, or the next would wait for ever.
        .layer(ConcurrencyLimitLayer::new(1))
        .layer(AuthorizeLayer::from_async(Groups))
        .layer(RequireScopes::all(["read"]))
        .layer(AuthenticateLayer::optional(issuer.auth()));
    let api = Api::serve(app).await;
    for _ in 0..3 {
        for (path, status) in [("/member", 200), ("/other", 403), ("/away", 503), ("/scope", 403)] {
            assert_eq!(api.with(&issuer.token(), path).await.status, status, "{path}");
        }
    }
    let away = api.with(&issuer.token(), "/away").await;
    assert!(away.headers.contains_key("retry-after") && away.body.is_empty());
    let scope = r#"Bearer realm="api", error="insufficient_scope", scope="group""#;
    assert_eq!(api.with(&issuer.token(), "/scope").await.challenges(), [scope]);
    assert_eq!(api.anonymously("/member").await.status, 401);
}

#[tokio::test]
async fn a_preflight_that_may_pass_does_not_wait_for_it() {
    let app = Router::new()
        .route("/other", any(|| async {}))
        .layer(AuthorizeLayer::from_async(std::sync::Arc::new(Groups)))
        .layer(AuthenticateLayer::new(Issuer::new().auth()).allow_cors_preflight());
    let api = Api::serve(app).await;
    let request =
        api.request(reqwest::Method::OPTIONS, "/other").header("origin", "https://app.example");
    let request = request.header("access-control-request-method", "PUT");
    assert_eq!(super::Reply::to(request).await.status, 200);
}

#[tokio::test]
async fn without_an_authenticator_it_is_not_asked_at_all() {
    let app =
        Router::new().route("/member", get(|| async {})).layer(AuthorizeLayer::from_async(Groups));
    assert_eq!(Api::serve(app).await.anonymously("/member").await.status, 500);
}
