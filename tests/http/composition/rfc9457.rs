//! Problem documents (RFC 9457), combined with gRPC responses.

use std::{
    error::Error as _,
    sync::{Arc, Mutex},
};

use axum::{Router, body::Body, http::Response, routing::any};
use reqwest::Method;
use serde_json::{Value, json};
use tower::util::MapResponseLayer;
use tower_auth::{
    AuthenticateLayer, GuardedRouter, Rejection, RejectionKind, RequireScopes,
    respond::{GrpcStatus, ProblemJson},
};

use super::{Api, Issuer, Reply, greet};

async fn serve(issuer: &Issuer) -> (Api, Arc<Mutex<Vec<Rejection>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let recorded = Arc::clone(&seen);
    let outer = MapResponseLayer::new(move |response: Response<Body>| {
        recorded.lock().unwrap().extend(response.extensions().get::<Rejection>().cloned());
        response
    });
    let app: Router = GuardedRouter::new()
        .route("/admin", any(greet), RequireScopes::all(["admin"]))
        .into_router(
            AuthenticateLayer::new(issuer.auth())
                .responder(GrpcStatus::default().or(ProblemJson::default())),
        )
        .layer(outer);
    (Api::serve(app).await, seen)
}

#[tokio::test]
async fn problem_document_has_the_status_of_the_response() {
    let issuer = Issuer::new();
    let (api, seen) = serve(&issuer).await;
    for (token, path, status, title, detail) in [
        (None, "/admin", 401, "Unauthorized", "credentials are required"),
        (None, "/nowhere", 401, "Unauthorized", "credentials are required"),
        (
            Some(issuer.expired_token()),
            "/admin",
            401,
            "Unauthorized",
            "the credentials are not valid",
        ),
        (Some("a b".into()), "/admin", 400, "Bad Request", "malformed request"),
        (Some(issuer.token()), "/admin", 403, "Forbidden", "the granted scopes are insufficient"),
    ] {
        let request = api.get(path);
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let reply = Reply::to(request).await;
        assert_eq!(reply.status, status);
        assert_eq!(reply.headers["content-type"], "application/problem+json");
        assert_eq!(
            serde_json::from_str::<Value>(&reply.body).unwrap(),
            json!({ "type": "about:blank", "title": title, "status": status, "detail": detail })
        );
        assert_eq!(reply.challenges().len(), 1);
    }
    // Only outer layers see the reasons.
    let seen = seen.lock().unwrap();
    let reason = |index: usize| seen[index].source().unwrap().to_string();
    assert_eq!(seen.len(), 5);
    assert_eq!(seen[4].kind(), RejectionKind::InsufficientScope);
    assert!(reason(2).contains("expired") && reason(4).contains("admin"), "{seen:?}");
}

#[tokio::test]
async fn grpc_request_gets_grpc_status_instead_of_problem_document() {
    let issuer = Issuer::new();
    let (api, _) = serve(&issuer).await;
    for (token, status) in [(None, "16"), (Some(issuer.token()), "7")] {
        let request = api.request(Method::POST, "/admin");
        let request = request.header("content-type", "application/grpc-web+proto");
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let reply = Reply::to(request).await;
        assert_eq!((reply.status.as_u16(), &*reply.body), (200, ""));
        assert_eq!(reply.headers["grpc-status"], status);
    }
}
