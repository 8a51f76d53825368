//! What a known caller may do: on a router, on a route, and where nobody is known.

use axum::{Router, routing::get};
use tower::ServiceBuilder;
use tower_auth::{AuthenticateLayer, Denial, RequireScopes, any_of, policy_fn};

use super::{Api, Issuer, greet, staff};

#[tokio::test]
async fn scopes_are_required_of_every_route_in_a_router() {
    let issuer = Issuer::new();
    let app = Router::new()
        .route("/", get(greet))
        .nest("/a", Router::new().route("/b", get(greet)))
        .layer(RequireScopes::all(["admin"]))
        .route("/open", get(greet))
        .layer(AuthenticateLayer::new(issuer.auth()));
    let api = Api::serve(app).await;

    for path in ["/", "/a/b"] {
        assert_eq!(api.with(&issuer.token(), path).await.status, 403);
        assert_eq!(api.anonymously(path).await.status, 401);
    }
    assert_eq!(api.with(&issuer.token(), "/open").await.status, 200);
}

#[tokio::test]
async fn a_refusal_names_all_the_scopes_that_a_route_asks_for() {
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
        assert_eq!(api.with(&issuer.token(), path).await.body, "hello user-1");
    }
    for (path, scope) in
        [("/all", "read admin audit"), ("/any", "audit admin"), ("/part", "rea READ read:own")]
    {
        let reply = api.with(&issuer.token(), path).await;
        let challenge =
            format!(r#"Bearer realm="api", error="insufficient_scope", scope="{scope}""#);
        assert_eq!(reply.status, 403);
        assert_eq!(reply.challenges(), [challenge]);
    }
}

#[tokio::test]
async fn a_caller_whose_scheme_knows_no_scopes_is_refused_without_a_challenge() {
    let issuer = Issuer::new();
    let app = Router::new()
        .route("/", get(greet).layer(RequireScopes::all(["read"])))
        .layer(AuthenticateLayer::new(any_of(issuer.auth(), staff())));
    let api = Api::serve(app).await;

    let reply = api.as_staff("secret", "/").await;
    assert_eq!(reply.status, 403);
    assert!(reply.challenges().is_empty(), "{reply:?}");
}

#[tokio::test]
async fn a_policy_of_ones_own_sees_the_caller_and_the_request() {
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

    assert_eq!(api.with(&issuer.token(), "/user-1").await.status, 200);
    let reply = api.with(&issuer.token(), "/user-2").await;
    assert_eq!(reply.status, 403);
    assert!(reply.challenges().is_empty(), "{reply:?}");
}

#[tokio::test]
async fn a_policy_with_no_authenticator_outside_it_lets_nobody_through() {
    let issuer = Issuer::new();
    let inside_out = ServiceBuilder::new()
        .layer(RequireScopes::all(["read"]))
        .layer(AuthenticateLayer::new(issuer.auth()));
    let app = Router::new()
        .route("/alone", get(async || "open").layer(RequireScopes::all(["read"])))
        .route("/inside_out", get(async || "open").layer(inside_out));
    let api = Api::serve(app).await;

    for path in ["/alone", "/inside_out"] {
        for reply in [api.anonymously(path).await, api.with(&issuer.token(), path).await] {
            assert_eq!(reply.status, 500);
            assert_eq!(reply.body, "");
        }
    }
}
