//! All challenges in one `WWW-Authenticate` line, for proxies that forward only one.

use axum::{Router, routing::get};
use tower_auth::{
    AuthenticateLayer, BasicAuth, Principal, Rejection, RejectionKind, RequireScopes, any_of,
    basic::Users,
    respond::{HttpStatus, JoinChallenges},
};
use tower_auth_test_support::api::{Api, Issuer};

const BASIC: &str = r#"Basic realm="staff", charset="UTF-8""#;

#[tokio::test]
async fn every_rejection_with_two_challenges_has_one_line() {
    let issuer = Issuer::new();
    let staff = BasicAuth::new("staff", Users::new([("alice", "secret")]).unwrap()).unwrap();
    let schemes = any_of((issuer.auth(), staff));
    let app = Router::new()
        .route("/extractor", get(async |_: Principal| "ok"))
        .route("/scope", get(async || "ok").layer(RequireScopes::all(["admin"])))
        .route(
            "/handler",
            get(async || Err::<(), _>(Rejection::new(RejectionKind::InvalidCredentials))),
        )
        .layer(
            AuthenticateLayer::optional(schemes)
                .responder(JoinChallenges::new(HttpStatus::default())),
        );
    let api = Api::serve(app).await;

    let plain = format!(r#"Bearer realm="api", {BASIC}"#);
    for path in ["/extractor", "/scope"] {
        let reply = api.get_anonymous(path).await;
        assert_eq!((reply.status.as_u16(), reply.challenges()), (401, vec![&*plain]), "{path}");
    }
    let invalid = format!(r#"Bearer realm="api", error="invalid_token", {BASIC}"#);
    let reply = api.get_with_token("a.b.c", "/scope").await;
    assert_eq!((reply.status.as_u16(), reply.challenges()), (401, vec![&*invalid]));
    let reply = api.get_anonymous("/handler").await;
    assert_eq!(reply.status, 401);
    assert_eq!(reply.challenges().len(), 1, "{reply:?}");
    // One challenge is not changed.
    let reply = api.get_with_token(&issuer.token(), "/scope").await;
    let scope = r#"Bearer realm="api", error="insufficient_scope", scope="admin""#;
    assert_eq!((reply.status.as_u16(), reply.challenges()), (403, vec![scope]));
}
