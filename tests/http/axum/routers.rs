//! The layer on a router, on a nested router and on one method of a route.

use axum::{
    Router,
    routing::{get, post},
};
use tower_auth::AuthenticateLayer;

use super::{Api, Issuer, Reply, greet, staff};

#[tokio::test]
async fn layer_on_router_protects_each_of_its_routes() {
    let issuer = Issuer::new();
    let app = Router::new()
        .route("/", get(greet))
        .route("/orders/{id}", get(greet))
        .layer(AuthenticateLayer::new(issuer.auth()))
        .route("/health", get(|| async { "fine" }));
    let api = Api::serve(app).await;

    for path in ["/", "/orders/7"] {
        let missing = api.get_anonymous(path).await;
        assert_eq!(missing.status, 401);
        assert_eq!(missing.challenges(), [r#"Bearer realm="api""#]);

        let expired = api.get_with_token(&issuer.expired_token(), path).await;
        assert_eq!(expired.status, 401);
        assert_eq!(expired.challenges(), [r#"Bearer realm="api", error="invalid_token""#]);

        let valid = api.get_with_token(&issuer.token(), path).await;
        assert_eq!((valid.status.as_u16(), &*valid.body), (200, "hello user-1"));
    }
    assert_eq!(api.get_anonymous("/health").await.body, "fine");
}

#[tokio::test]
async fn layer_on_nested_router_protects_only_its_routes() {
    let issuer = Issuer::new();
    let admin = Router::new()
        .route("/users", get(greet))
        .nest("/deeper", Router::new().route("/still", get(greet)))
        .layer(AuthenticateLayer::new(issuer.auth()));
    let app = Router::new().route("/", get(|| async { "open" })).nest("/admin", admin);
    let api = Api::serve(app).await;

    for path in ["/admin/users", "/admin/deeper/still"] {
        assert_eq!(api.get_anonymous(path).await.status, 401);
        assert_eq!(api.get_with_token(&issuer.token(), path).await.body, "hello user-1");
    }
    assert_eq!(api.get_anonymous("/").await.body, "open");
}

#[tokio::test]
async fn layer_on_one_method_leaves_other_methods_open() {
    let issuer = Issuer::new();
    let guarded = post(greet).layer(AuthenticateLayer::new(issuer.auth()));
    let app = Router::new().route("/orders", get(|| async { "open" }).merge(guarded));
    let api = Api::serve(app).await;
    let post = || api.client.post(format!("http://{}/orders", api.address));

    assert_eq!(api.get_anonymous("/orders").await.body, "open");
    assert_eq!(Reply::to(post()).await.status, 401);
    assert_eq!(Reply::to(post().bearer_auth(issuer.token())).await.body, "hello user-1");
}

#[tokio::test]
async fn unknown_path_returns_401_to_anonymous_request() {
    let issuer = Issuer::new();
    let app = Router::new().route("/", get(greet)).layer(AuthenticateLayer::new(issuer.auth()));
    let api = Api::serve(app).await;

    assert_eq!(api.get_anonymous("/nowhere").await.status, 401);
    assert_eq!(api.get_with_token(&issuer.token(), "/nowhere").await.status, 404);
}

#[tokio::test]
async fn request_body_is_unchanged_after_async_verification() {
    let echo = async |body: String| body;
    let app = Router::new().route("/", post(echo)).layer(AuthenticateLayer::new(staff()));
    let api = Api::serve(app).await;
    let text = "an order of many words, ".repeat(10_000);

    let request = api.client.post(format!("http://{}/", api.address)).body(text.clone());
    let reply = Reply::to(request.basic_auth("alice", Some("secret"))).await;
    assert_eq!(reply.status, 200);
    assert!(reply.body == text, "the body was changed");
}
