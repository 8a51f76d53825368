//! Responders, principals, policies and rejections of handlers.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{HeaderValue, Response, StatusCode, request::Parts},
    routing::post,
};
use tower::ServiceExt as _;
use tower_auth::{
    AuthenticateLayer, Principal, Rejection, RejectionKind, Scheme,
    authorize::RequireSubject,
    observe::Event,
    respond::ProblemJson,
    test_util::{AlwaysAs, principal},
    transport::Forwarded,
    webhook::WebhookFormat,
};
use tower_auth_test_support::api::{Api, staff};

use super::{BODY, SECRET, Service, Setup, sender::Message};

fn teapot(rejection: &Rejection, _: &Parts) -> Response<Body> {
    let mut response = Response::new(Body::from(rejection.to_string()));
    *response.status_mut() = StatusCode::IM_A_TEAPOT;
    response
}

#[tokio::test]
async fn own_responder_renders_rejections_of_the_layer_and_of_handlers() {
    let setup = Setup::new();
    let layer = setup.builder(WebhookFormat::standard()).secret(SECRET).build().unwrap();
    let handler = post(async || Err::<(), _>(Rejection::new(RejectionKind::Forbidden)));
    let app = Router::new().route("/hook", handler.layer(layer.responder(teapot)));
    let service = Service(Api::serve(app).await);
    let message = setup.message("msg_1");
    let reply = service.send(&message).await;
    assert_eq!((reply.status.as_u16(), &*reply.body), (418, "access denied"));
    let reply = service.send(&message.with_body(b"{}")).await;
    assert_eq!((reply.status.as_u16(), &*reply.body), (418, "the credentials are not valid"));
}

#[tokio::test]
async fn responder_of_an_outer_layer_renders_rejections() {
    let setup = Setup::new();
    let layer = setup.builder(WebhookFormat::standard()).secret(SECRET).max_body(64);
    let outer = AuthenticateLayer::new(AlwaysAs::new(principal("gateway").build()));
    let app = setup.handler.app().layer(layer.build().unwrap());
    let app = app.layer(outer.responder(ProblemJson::default()));
    let service = Service(Api::serve(app).await);
    let message = setup.message("msg_1");
    for (message, expected) in [
        (message.clone().with_body(b"{}"), 401),
        (message.clone().with("webhook-timestamp", "x"), 400),
        (message.clone().with_body(&[b'x'; 65]), 413),
    ] {
        let reply = service.send(&message).await;
        assert_eq!(reply.status, expected);
        assert_eq!(reply.headers["content-type"], "application/problem+json");
        assert!(reply.challenges().is_empty(), "{reply:?}");
    }
    assert_eq!(service.send(&message).await.headers["x-sender"], "standard");
}

#[tokio::test]
async fn sender_replaces_the_principal_of_an_outer_layer() {
    let setup = Setup::new();
    let layer = setup.builder(WebhookFormat::github()).secret(SECRET).sender("acme");
    let handler = post(async |caller: Principal| {
        assert_eq!(caller.scheme(), Scheme::WEBHOOK);
        assert!(caller.challenge().is_none());
        caller.subject().to_owned()
    });
    let app = Router::new()
        .route("/hook", handler.layer(layer.build().unwrap()))
        .layer(AuthenticateLayer::new(AlwaysAs::new(principal("gateway").build())));
    let service = Service(Api::serve(app).await);
    assert_eq!(service.send(&Message::github(BODY, SECRET)).await.body, "acme");
}

#[tokio::test]
async fn policy_inside_decides_by_the_sender() {
    let setup = Setup::new();
    for (subject, expected, calls) in [("other", 403, 0), ("standard", 200, 1)] {
        let layer = setup.builder(WebhookFormat::standard()).secret(SECRET).build().unwrap();
        let app = setup.handler.app().layer(RequireSubject::any([subject])).layer(layer);
        let service = Service(Api::serve(app).await);
        let reply = service.send(&setup.message("msg_1")).await;
        assert_eq!((reply.status.as_u16(), setup.handler.calls()), (expected, calls));
        assert!(reply.challenges().is_empty());
    }
}

/// A preflight of an outer layer must not bypass the policies inside.
#[tokio::test]
async fn signed_options_request_is_subject_to_policies() {
    let setup = Setup::new();
    let layer = setup.builder(WebhookFormat::standard()).secret(SECRET).build().unwrap();
    let app = Router::new()
        .route("/hook", axum::routing::any(async || "handled"))
        .layer(RequireSubject::any(["other"]))
        .layer(layer)
        // Lets the request through because it looks like a preflight.
        .layer(AuthenticateLayer::new(staff()).allow_cors_preflight());
    let service = Service(Api::serve(app).await);
    let message = setup
        .message("msg_1")
        .and("origin", "https://evil.example")
        .and("access-control-request-method", "POST");
    let request = service.0.request(reqwest::Method::OPTIONS, "/hook").body(BODY);
    let request =
        message.headers.iter().fold(request, |request, (name, value)| request.header(name, value));
    assert_eq!(request.send().await.unwrap().status(), 403);
}

#[tokio::test]
async fn rejection_of_a_handler_counts_as_a_failure() {
    let setup = Setup::new();
    for kind in [
        RejectionKind::Unavailable,
        RejectionKind::InvalidCredentials,
        RejectionKind::MalformedRequest,
    ] {
        let layer = setup.builder(WebhookFormat::standard()).secret(SECRET).build().unwrap();
        let handler = post(async move || Err::<(), _>(Rejection::new(kind)));
        let service = Service(Api::serve(Router::new().route("/hook", handler.layer(layer))).await);
        for _ in 0..2 {
            let reply = service.send(&setup.message("msg_1")).await;
            assert_eq!(reply.status, kind.status());
            assert!(reply.challenges().is_empty(), "{reply:?}");
            assert!(setup.events.take().contains(&"webhook standard failed".to_owned()));
        }
    }
}

/// The caller is the sender, who has no challenge.
#[tokio::test]
async fn rejection_of_a_handler_does_not_get_the_challenge_of_an_outer_layer() {
    let setup = Setup::new();
    let layer = setup.builder(WebhookFormat::standard()).secret(SECRET).build().unwrap();
    let handler = post(async || Err::<(), _>(Rejection::new(RejectionKind::InvalidCredentials)));
    let app = Router::new()
        .route("/hook", handler.layer(layer))
        .layer(AuthenticateLayer::new(AlwaysAs::new(principal("gateway").build())));
    let reply = Service(Api::serve(app).await).send(&setup.message("msg_1")).await;
    assert_eq!(reply.status, 401);
    assert!(reply.challenges().is_empty(), "{reply:?}");
}

#[tokio::test]
async fn event_of_a_rejection_has_the_scheme_if_there_was_a_signature() {
    let setup = Setup::new();
    let schemes: Arc<Mutex<Vec<_>>> = Arc::default();
    let observed = Arc::clone(&schemes);
    let layer = setup.builder(WebhookFormat::standard()).secret(SECRET).observer(
        move |event: &Event<'_>| observed.lock().unwrap().push((event.name(), event.scheme())),
    );
    let service = setup.serve_layer(layer.build().unwrap()).await;
    let message = setup.message("msg_1");
    assert_eq!(service.status(&message.clone().without("webhook-signature")).await, 401);
    assert_eq!(service.status(&message.with_body(b"{}")).await, 401);
    let expected = [("rejected", None), ("rejected", Some(Scheme::WEBHOOK))];
    assert_eq!(*schemes.lock().unwrap(), expected);
}

#[tokio::test]
async fn events_have_the_client_address_if_it_is_known() {
    let setup = Setup::new();
    let addresses: Arc<Mutex<Vec<_>>> = Arc::default();
    let observed = Arc::clone(&addresses);
    let layer = setup
        .builder(WebhookFormat::standard())
        .secret(SECRET)
        .observer(move |event: &Event<'_>| {
            let address = event.request().and_then(|request| request.client_address());
            observed.lock().unwrap().push((event.name(), address));
        })
        .forwarded(Forwarded::direct());
    let message = setup.message("msg_1");
    let mut request = axum::http::Request::post("/hook");
    for (name, value) in &message.headers {
        request = request.header(name, value);
    }
    let client = std::net::SocketAddr::from(([192, 0, 2, 1], 1234));
    let request = request.extension(axum::extract::ConnectInfo(client));
    let app = setup.handler.app().layer(layer.build().unwrap());
    let response = app.oneshot(request.body(Body::from(BODY)).unwrap()).await.unwrap();
    assert_eq!(response.status(), 200);
    let address = Some(client.ip());
    assert_eq!(*addresses.lock().unwrap(), [("admitted", address), ("webhook", address)]);
}

#[tokio::test]
async fn response_with_a_grpc_status_other_than_0_counts_as_a_failure() {
    let setup = Setup::new();
    for (status, outcome) in
        [("14", "failed"), ("5", "failed"), ("", "failed"), ("00", "failed"), ("0", "handled")]
    {
        let layer = setup.builder(WebhookFormat::standard()).secret(SECRET).build().unwrap();
        let handler = post(async move || [("grpc-status", status)]);
        let service = Service(Api::serve(Router::new().route("/hook", handler.layer(layer))).await);
        assert_eq!(service.status(&setup.message("msg_1")).await, 200);
        assert_eq!(setup.events.take().last().unwrap(), &format!("webhook standard {outcome}"));
    }
}

/// As a responder for gRPC does.
#[tokio::test]
async fn rejection_that_is_rendered_with_200_counts_as_a_failure() {
    let setup = Setup::new();
    let layer = setup.builder(WebhookFormat::standard()).secret(SECRET).build().unwrap();
    let ok = |_: &Rejection, _: &Parts| Response::new(Body::empty());
    let app = setup.handler.app().layer(AuthenticateLayer::new(staff()).responder(ok)).layer(layer);
    let service = Service(Api::serve(app).await);
    assert_eq!(service.status(&setup.message("msg_1")).await, 200);
    assert_eq!(setup.events.take().last().unwrap(), "webhook standard failed");
    assert_eq!(setup.handler.calls(), 0);
}

#[tokio::test]
async fn head_reaches_the_handler_unchanged() {
    let setup = Setup::new();
    let layer = setup.builder(WebhookFormat::github()).secret(SECRET).build().unwrap();
    let handler = post(async |request: Request| {
        let signature = &request.headers()["x-hub-signature-256"];
        assert!(signature.is_sensitive());
        assert_eq!(request.headers()["content-length"], HeaderValue::from(BODY.len()));
        assert_eq!(request.headers()["content-encoding"], "x-custom");
        assert_eq!(request.uri(), "/hook?a=b");
        request.headers()["x-github-event"].to_str().unwrap().to_owned()
    });
    let api = Api::serve(Router::new().route("/hook", handler.layer(layer))).await;
    let message = Message::github(BODY, SECRET);
    let reply = api
        .request(reqwest::Method::POST, "/hook?a=b")
        .header("x-github-event", "push")
        .header("content-encoding", "x-custom")
        .header("x-hub-signature-256", message.header("x-hub-signature-256"))
        .body(BODY)
        .send()
        .await
        .unwrap();
    assert_eq!(reply.text().await.unwrap(), "push");
}

#[tokio::test]
async fn secret_and_signature_do_not_appear_in_debug_output() {
    let setup = Setup::new();
    let builder = setup.builder(WebhookFormat::stripe()).secret(SECRET);
    let debug = format!("{builder:?}");
    let layer = builder.build().unwrap();
    let debug = format!("{debug}{layer:?}");
    assert!(!debug.contains("MDEy") && !debug.contains("0123456789"), "{debug}");
}
