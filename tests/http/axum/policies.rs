//! Policies on routers and routes, and policies without an authenticator.

use axum::{Router, routing::get};
use tower::ServiceBuilder;
use tower_auth::{AuthenticateLayer, Denial, RequireScopes, any_of, policy_fn};

use super::{Api, Issuer, greet, staff};

#[tokio::test]
async fn policy_on_router_applies_to_each_of_its_routes() {
    let issuer = Issuer::new();
    let app = Router::new()
        .route("/", get(greet))
        .nest("/a", Router::new().route("/b", get(greet)))
        .layer(RequireScopes::all(["admin"]))
        .route("/open", get(greet))
        .layer(AuthenticateLayer::new(issuer.auth()));
    let api = Api::serve(app).await;

    for path in ["/", "/a/b"] {
        assert_eq!(api.get_with_token(&issuer.token(), path).await.status, 403);
        assert_eq!(api.get_anonymous(path).await.status, 401);
    }
    assert_eq!(api.get_with_token(&issuer.token(), "/open").await.status, 200);
}

#[tokio::test]
async fn insufficient_scope_returns_403_with_all_required_scopes() {
    let issuer = Issuer::new();
    let app = Router::new()
        .route("/read", get(greet).layer(RequireScopes::all(["read", "write"])))
        .route("/all", get(greet).layer(RequireScopes::all(["read", "admin", "audit"])))
        .route("/any", get(greet).layer(RequireScopes::any(["audit", "admin"])))
        .route("/either", get(greet).layer(RequireScopes::any(["admin", "write"])))
        .route("/part", get(greet).layer(RequireScopes::any(["rea", "READ", "read:own"])))
        .layer(AuthenticateLayer::new(issuer.auth()));
    let api = Api::serve(app).await;

    for path in ["/read", "/either"] {
        assert_eq!(api.get_with_token(&issuer.token(), path).await.body, "hello user-1");
    }
    for (path, scope) in
        [("/all", "read admin audit"), ("/any", "audit admin"), ("/part", "rea READ read:own")]
    {
        let reply = api.get_with_token(&issuer.token(), path).await;
        let challenge =
            format!(r#"Bearer realm="api", error="insufficient_scope", scope="{scope}""#);
        assert_eq!(reply.status, 403);
        assert_eq!(reply.challenges(), [challenge]);
    }
}

#[tokio::test]
async fn basic_caller_without_scope_returns_403_without_challenge() {
    let issuer = Issuer::new();
    let app = Router::new()
        .route("/", get(greet).layer(RequireScopes::all(["read"])))
        .layer(AuthenticateLayer::new(any_of((issuer.auth(), staff()))));
    let api = Api::serve(app).await;

    let reply = api.get_as_staff("secret", "/").await;
    assert_eq!(reply.status, 403);
    assert!(reply.challenges().is_empty(), "{reply:?}");
}

#[tokio::test]
async fn custom_policy_reads_the_caller_and_the_request_head() {
    let issuer = Issuer::new();
    let own_page = policy_fn("own page", |caller, head| match head.uri.path().strip_prefix('/') {
        Some(name) if name == caller.subject() => Ok(()),
        _ => Err(Denial::forbidden()),
    });
    let app = Router::new()
        .route("/{user}", get(greet))
        .layer(own_page)
        .layer(AuthenticateLayer::new(issuer.auth()));
    let api = Api::serve(app).await;

    assert_eq!(api.get_with_token(&issuer.token(), "/user-1").await.status, 200);
    let reply = api.get_with_token(&issuer.token(), "/user-2").await;
    assert_eq!(reply.status, 403);
    assert!(reply.challenges().is_empty(), "{reply:?}");
}

#[tokio::test]
async fn policy_without_outer_authenticator_returns_500() {
    let issuer = Issuer::new();
    let wrong_order = ServiceBuilder::new()
        .layer(RequireScopes::all(["read"]))
        .layer(AuthenticateLayer::new(issuer.auth()));
    let app = Router::new()
        .route("/alone", get(async || "open").layer(RequireScopes::all(["read"])))
        .route("/inside_out", get(async || "open").layer(wrong_order));
    let api = Api::serve(app).await;

    for path in ["/alone", "/inside_out"] {
        for reply in
            [api.get_anonymous(path).await, api.get_with_token(&issuer.token(), path).await]
        {
            assert_eq!(reply.status, 500);
            assert_eq!(reply.body, "");
        }
    }
}
