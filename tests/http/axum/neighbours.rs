//! The layers combined with common tower middleware, outside and inside.

use std::{
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    BoxError, Router,
    body::Body,
    error_handling::HandleErrorLayer,
    extract::Request,
    http::{Response, StatusCode, header::AUTHORIZATION},
    routing::get,
};
use futures_util::future::join_all;
use tower::{
    ServiceBuilder, buffer::BufferLayer, limit::GlobalConcurrencyLimitLayer, util::MapResponseLayer,
};
use tower_auth::{
    AuthenticateLayer, BasicAuth, JwtAuth, any_of,
    authenticate::AnyOf,
    basic::{BasicCredentials, PasswordVerifier, Verdict},
};
use tower_http::{compression::CompressionLayer, timeout::TimeoutLayer, trace::TraceLayer};

use super::{Api, Issuer, greet, staff};

fn app() -> Router {
    Router::new().route("/", get(greet))
}

fn jwt_or_basic(
    issuer: &Issuer,
) -> AuthenticateLayer<AnyOf<(JwtAuth, BasicAuth<impl PasswordVerifier>)>> {
    AuthenticateLayer::new(any_of((issuer.auth(), staff())))
}

/// Sends concurrent requests of every kind and checks each response.
async fn assert_concurrent_responses(api: &Api, issuer: &Issuer) {
    let (valid_token, expired_token) = (issuer.token(), issuer.expired_token());
    let rounds = (0..8).map(async |_| {
        let (user, expired, anonymous, alice, wrong_password) = tokio::join!(
            api.get_with_token(&valid_token, "/"),
            api.get_with_token(&expired_token, "/"),
            api.get_anonymous("/"),
            api.get_as_staff("secret", "/"),
            api.get_as_staff("guess", "/"),
        );
        assert_eq!((user.status.as_u16(), &*user.body), (200, "hello user-1"));
        assert_eq!((alice.status.as_u16(), &*alice.body), (200, "hello alice"));
        for rejected in [expired, anonymous, wrong_password] {
            assert_eq!(rejected.status, 401);
            assert_eq!(rejected.challenges().len(), 2);
        }
    });
    join_all(rounds).await;
}

#[tokio::test]
async fn outer_concurrency_limit_of_one_serves_all_requests() {
    let issuer = Issuer::new();
    let app = app().layer(jwt_or_basic(&issuer)).layer(GlobalConcurrencyLimitLayer::new(1));
    assert_concurrent_responses(&Api::serve(app).await, &issuer).await;
}

#[tokio::test]
async fn inner_concurrency_limit_of_one_serves_all_requests() {
    let issuer = Issuer::new();
    let stack = ServiceBuilder::new()
        .layer(jwt_or_basic(&issuer))
        .layer(GlobalConcurrencyLimitLayer::new(1));
    assert_concurrent_responses(&Api::serve(app().layer(stack)).await, &issuer).await;
}

#[tokio::test]
async fn outer_buffer_serves_all_requests() {
    let issuer = Issuer::new();
    let stack = ServiceBuilder::new()
        .layer(HandleErrorLayer::new(async |_: BoxError| StatusCode::IM_A_TEAPOT))
        .layer(BufferLayer::<Request>::new(2))
        .layer(jwt_or_basic(&issuer));
    assert_concurrent_responses(&Api::serve(app().layer(stack)).await, &issuer).await;
}

#[tokio::test]
async fn inner_buffer_serves_all_requests() {
    let issuer = Issuer::new();
    let stack = ServiceBuilder::new()
        .layer(HandleErrorLayer::new(async |_: BoxError| StatusCode::IM_A_TEAPOT))
        .layer(jwt_or_basic(&issuer))
        .layer(BufferLayer::<Request>::new(2));
    assert_concurrent_responses(&Api::serve(app().layer(stack)).await, &issuer).await;
}

#[tokio::test]
async fn outer_timeout_cancels_a_pending_verifier() {
    let verifier = |_: BasicCredentials| pending::<Verdict>();
    let app = app()
        .layer(AuthenticateLayer::new(BasicAuth::new("staff", verifier).unwrap()))
        .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, Duration::ZERO));
    let api = Api::serve(app).await;

    assert_eq!(api.get_as_staff("secret", "/").await.status, 504);
    assert_eq!(api.get_anonymous("/").await.status, 401);
}

#[tokio::test]
async fn inner_timeout_excludes_authentication() {
    let never_responds = async || {
        pending::<()>().await;
        "never"
    };
    let stack = ServiceBuilder::new()
        .layer(AuthenticateLayer::new(staff()))
        .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, Duration::ZERO));
    let api = Api::serve(app().route("/slow", get(never_responds)).layer(stack)).await;

    assert_eq!(api.get_as_staff("secret", "/").await.body, "hello alice");
    assert_eq!(api.get_as_staff("secret", "/slow").await.status, 504);
    assert_eq!(api.get_as_staff("guess", "/slow").await.status, 401);
}

#[tokio::test]
async fn outer_and_inner_compression_compress_responses() {
    let issuer = Issuer::new();
    let text = "all the orders of this year, ".repeat(1_000);
    let long = text.clone();
    let orders = || Router::new().route("/", get(async move || long));
    let inside = ServiceBuilder::new().layer(jwt_or_basic(&issuer)).layer(CompressionLayer::new());
    let outside = orders.clone()().layer(jwt_or_basic(&issuer)).layer(CompressionLayer::new());

    for app in [outside, orders().layer(inside)] {
        let api = Api::serve(app).await;
        let request = api.get("/").bearer_auth(issuer.token()).header("accept-encoding", "gzip");
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()["content-encoding"], "gzip");
        let body = response.bytes().await.unwrap();
        assert!(body.starts_with(&[0x1f, 0x8b]), "not a gzip body");
        assert!(body.len() < text.len() / 10, "{} bytes", body.len());

        let plain = api.get_with_token(&issuer.token(), "/").await;
        assert!(plain.headers.get("content-encoding").is_none() && plain.body == text);
        let rejected = api.get("/").header("accept-encoding", "gzip").send().await.unwrap();
        assert_eq!(rejected.status(), 401);
        assert_eq!(rejected.bytes().await.unwrap(), "");
    }
}

#[tokio::test]
async fn inner_trace_layer_sees_sensitive_authorization_header() {
    let (issuer, seen) = (Issuer::new(), Arc::new(Mutex::new(Vec::new())));
    let log = Arc::clone(&seen);
    let trace =
        TraceLayer::new_for_http().on_request(move |request: &Request, _: &tracing::Span| {
            log.lock().unwrap().push(format!("{:?}", request.headers().get(AUTHORIZATION)));
        });
    let stack = ServiceBuilder::new()
        .layer(jwt_or_basic(&issuer))
        .layer(MapResponseLayer::new(|response: Response<_>| response.map(Body::new)))
        .layer(trace);
    let api = Api::serve(app().layer(stack)).await;

    assert_eq!(api.get_with_token(&issuer.token(), "/").await.status, 200);
    assert_eq!(api.get_as_staff("secret", "/").await.status, 200);
    assert_eq!(api.get_with_token(&issuer.expired_token(), "/").await.status, 401);
    assert_eq!(*seen.lock().unwrap(), ["Some(Sensitive)", "Some(Sensitive)"]);
}

#[tokio::test]
async fn outer_trace_layer_sees_every_rejection() {
    let (issuer, seen) = (Issuer::new(), Arc::new(Mutex::new(Vec::new())));
    let log = Arc::clone(&seen);
    let trace = TraceLayer::new_for_http().on_response(
        move |response: &Response<Body>, _: Duration, _: &tracing::Span| {
            log.lock().unwrap().push(response.status().as_u16());
        },
    );
    let api = Api::serve(app().layer(jwt_or_basic(&issuer)).layer(trace)).await;

    api.get_anonymous("/").await;
    api.get_with_token(&issuer.token(), "/").await;
    api.get_as_staff("guess", "/").await;
    assert_eq!(*seen.lock().unwrap(), [401, 200, 401]);
}
