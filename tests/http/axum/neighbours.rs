//! Together with the layers that people put next to it, outside and inside.

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

fn both(issuer: &Issuer) -> AuthenticateLayer<AnyOf<JwtAuth, BasicAuth<impl PasswordVerifier>>> {
    AuthenticateLayer::new(any_of(issuer.auth(), staff()))
}

/// Callers of every kind at once, of whom each has to get the right answer.
async fn a_crowd_gets_its_answers(api: &Api, issuer: &Issuer) {
    let (good, expired) = (issuer.token(), issuer.expired_token());
    let rounds = (0..8).map(async |_| {
        let (known, stale, nobody, alice, mallory) = tokio::join!(
            api.with(&good, "/"),
            api.with(&expired, "/"),
            api.anonymously("/"),
            api.as_staff("secret", "/"),
            api.as_staff("guess", "/"),
        );
        assert_eq!((known.status.as_u16(), &*known.body), (200, "hello user-1"));
        assert_eq!((alice.status.as_u16(), &*alice.body), (200, "hello alice"));
        for refused in [stale, nobody, mallory] {
            assert_eq!(refused.status, 401);
            assert_eq!(refused.challenges().len(), 2);
        }
    });
    join_all(rounds).await;
}

#[tokio::test]
async fn a_limit_of_one_request_at_a_time_outside() {
    let issuer = Issuer::new();
    let app = app().layer(both(&issuer)).layer(GlobalConcurrencyLimitLayer::new(1));
    a_crowd_gets_its_answers(&Api::serve(app).await, &issuer).await;
}

#[tokio::test]
async fn a_limit_of_one_request_at_a_time_inside() {
    let issuer = Issuer::new();
    let stack =
        ServiceBuilder::new().layer(both(&issuer)).layer(GlobalConcurrencyLimitLayer::new(1));
    a_crowd_gets_its_answers(&Api::serve(app().layer(stack)).await, &issuer).await;
}

#[tokio::test]
async fn a_buffer_outside() {
    let issuer = Issuer::new();
    let stack = ServiceBuilder::new()
        .layer(HandleErrorLayer::new(async |_: BoxError| StatusCode::IM_A_TEAPOT))
        .layer(BufferLayer::<Request>::new(2))
        .layer(both(&issuer));
    a_crowd_gets_its_answers(&Api::serve(app().layer(stack)).await, &issuer).await;
}

#[tokio::test]
async fn a_buffer_inside() {
    let issuer = Issuer::new();
    let stack = ServiceBuilder::new()
        .layer(HandleErrorLayer::new(async |_: BoxError| StatusCode::IM_A_TEAPOT))
        .layer(both(&issuer))
        .layer(BufferLayer::<Request>::new(2));
    a_crowd_gets_its_answers(&Api::serve(app().layer(stack)).await, &issuer).await;
}

#[tokio::test]
async fn a_timeout_outside_ends_a_verifier_that_never_answers() {
    let verifier = |_: BasicCredentials| pending::<Verdict>();
    let app = app()
        .layer(AuthenticateLayer::new(BasicAuth::new("staff", verifier).unwrap()))
        .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, Duration::ZERO));
    let api = Api::serve(app).await;

    assert_eq!(api.as_staff("secret", "/").await.status, 504);
    assert_eq!(api.anonymously("/").await.status, 401);
}

#[tokio::test]
async fn a_timeout_inside_starts_once_the_caller_is_known() {
    let wait = async || {
        pending::<()>().await;
        "never"
    };
    let stack = ServiceBuilder::new()
        .layer(AuthenticateLayer::new(staff()))
        .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, Duration::ZERO));
    let api = Api::serve(app().route("/slow", get(wait)).layer(stack)).await;

    assert_eq!(api.as_staff("secret", "/").await.body, "hello alice");
    assert_eq!(api.as_staff("secret", "/slow").await.status, 504);
    assert_eq!(api.as_staff("guess", "/slow").await.status, 401);
}

#[tokio::test]
async fn responses_are_compressed_outside_and_inside() {
    let issuer = Issuer::new();
    let text = "all the orders of this year, ".repeat(1_000);
    let long = text.clone();
    let orders = || Router::new().route("/", get(async move || long));
    let inside = ServiceBuilder::new().layer(both(&issuer)).layer(CompressionLayer::new());
    let outside = orders.clone()().layer(both(&issuer)).layer(CompressionLayer::new());

    for app in [outside, orders().layer(inside)] {
        let api = Api::serve(app).await;
        let request = api.get("/").bearer_auth(issuer.token()).header("accept-encoding", "gzip");
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()["content-encoding"], "gzip");
        let body = response.bytes().await.unwrap();
        assert!(body.starts_with(&[0x1f, 0x8b]), "this is not gzip");
        assert!(body.len() < text.len() / 10, "{} bytes", body.len());

        let plain = api.with(&issuer.token(), "/").await;
        assert!(plain.headers.get("content-encoding").is_none() && plain.body == text);
        let refused = api.get("/").header("accept-encoding", "gzip").send().await.unwrap();
        assert_eq!(refused.status(), 401);
        assert_eq!(refused.bytes().await.unwrap(), "");
    }
}

#[tokio::test]
async fn a_trace_inside_sees_that_the_credentials_are_sensitive() {
    let (issuer, seen) = (Issuer::new(), Arc::new(Mutex::new(Vec::new())));
    let log = Arc::clone(&seen);
    let trace =
        TraceLayer::new_for_http().on_request(move |request: &Request, _: &tracing::Span| {
            log.lock().unwrap().push(format!("{:?}", request.headers().get(AUTHORIZATION)));
        });
    let stack = ServiceBuilder::new()
        .layer(both(&issuer))
        .layer(MapResponseLayer::new(|response: Response<_>| response.map(Body::new)))
        .layer(trace);
    let api = Api::serve(app().layer(stack)).await;

    assert_eq!(api.with(&issuer.token(), "/").await.status, 200);
    assert_eq!(api.as_staff("secret", "/").await.status, 200);
    assert_eq!(api.with(&issuer.expired_token(), "/").await.status, 401);
    assert_eq!(*seen.lock().unwrap(), ["Some(Sensitive)", "Some(Sensitive)"]);
}

#[tokio::test]
async fn a_trace_outside_sees_every_refusal() {
    let (issuer, seen) = (Issuer::new(), Arc::new(Mutex::new(Vec::new())));
    let log = Arc::clone(&seen);
    let trace = TraceLayer::new_for_http().on_response(
        move |response: &Response<Body>, _: Duration, _: &tracing::Span| {
            log.lock().unwrap().push(response.status().as_u16());
        },
    );
    let api = Api::serve(app().layer(both(&issuer)).layer(trace)).await;

    api.anonymously("/").await;
    api.with(&issuer.token(), "/").await;
    api.as_staff("guess", "/").await;
    assert_eq!(*seen.lock().unwrap(), [401, 200, 401]);
}
