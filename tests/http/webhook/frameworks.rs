//! The layer in axum, hyper, tonic and plain tower services.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    task::{Context, Poll},
};

use axum::{Router, body::Body, handler::Handler as _, routing::post};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::net::TcpListener;
use tower::{Layer as _, Service, ServiceBuilder, ServiceExt as _, limit::ConcurrencyLimit};
use tower_auth::{
    AuthenticateLayer, Principal,
    test_util::{AlwaysAs, principal},
    webhook::{WebhookFormat, WebhookLayer},
};
use tower_auth_test_support::api::Api;

use super::{BODY, SECRET, Setup, sender::Message};

fn layer() -> WebhookLayer {
    WebhookLayer::builder(WebhookFormat::github())
        .secret(SECRET)
        .dangerous_allow_replays()
        .build()
        .unwrap()
}

async fn echo(caller: Principal, body: Bytes) -> (http::HeaderMap, Bytes) {
    let sender = caller.subject().parse().unwrap();
    ([(http::HeaderName::from_static("x-sender"), sender)].into_iter().collect(), body)
}

#[tokio::test]
async fn layer_works_at_each_place_of_axum() {
    let app = Router::new()
        .route("/handler", post(echo.layer(layer())))
        .route("/method", post(echo).layer(layer()))
        .route("/route", post(echo))
        .route_layer(layer());
    let inner = Router::new().route("/router", post(echo)).layer(layer());
    let stacked = ServiceBuilder::new()
        .layer(AuthenticateLayer::new(AlwaysAs::new(principal("gateway").build())))
        .layer(layer());
    let outer = Router::new().route("/stacked", post(echo)).layer(stacked);
    // The route layer is around `/handler` and `/method` as well, which then have two.
    let api = Api::serve(app.merge(inner).merge(outer)).await;
    for path in ["/handler", "/method", "/route", "/router", "/stacked"] {
        for (body, expected) in [(BODY, 200), (b"{}", 401)] {
            let message = Message::github(BODY, SECRET);
            let request = api.request(reqwest::Method::POST, path).body(body);
            let request =
                request.header("x-hub-signature-256", message.header("x-hub-signature-256"));
            let response = request.send().await.unwrap();
            assert_eq!(response.status(), expected, "{path}");
            if expected == 200 {
                assert_eq!(response.headers()["x-sender"], "github");
                assert_eq!(response.bytes().await.unwrap(), BODY);
            }
        }
    }
}

#[tokio::test]
async fn layer_works_with_hyper_over_http_1_and_http_2() {
    async fn handle(request: Request<Full<Bytes>>) -> Result<Response<Full<Bytes>>, Infallible> {
        assert_eq!(request.extensions().get::<Principal>().unwrap().subject(), "github");
        let body = request.into_body().collect().await.unwrap().to_bytes();
        Ok(Response::new(Full::new(body)))
    }
    let service = ServiceBuilder::new().layer(layer()).service_fn(handle);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = TowerToHyperService::new(service.clone());
            tokio::spawn(async move {
                let server = auto::Builder::new(TokioExecutor::new());
                server.serve_connection(TokioIo::new(stream), service).await.unwrap();
            });
        }
    });
    let builder = || reqwest::Client::builder().no_proxy();
    for client in [builder().http1_only(), builder().http2_prior_knowledge()] {
        let client = client.build().unwrap();
        let message = Message::github(BODY, SECRET);
        let post = || {
            client
                .post(format!("http://{address}/"))
                .header("x-hub-signature-256", message.header("x-hub-signature-256"))
        };
        let response = post().body(BODY).send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.bytes().await.unwrap(), BODY);
        let response = post().body("{}").send().await.unwrap();
        assert_eq!(response.status(), 401);
        assert_eq!(response.bytes().await.unwrap(), "");
    }
}

/// The types of the stack fit. Webhooks over gRPC are not common.
#[tokio::test]
async fn layer_fits_into_a_tonic_server() {
    let (_, health) = tonic_health::server::health_reporter();
    let stack = ServiceBuilder::new().layer(layer()).into_inner();
    let _router = tonic::transport::Server::builder().layer(stack).add_service(health);
}

/// Panics if it is called without having been polled ready.
#[derive(Default)]
struct StrictService {
    ready: bool,
}

impl Clone for StrictService {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Service<Request<Full<Bytes>>> for StrictService {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Ready<Result<Response<String>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Full<Bytes>>) -> Self::Future {
        assert!(self.ready, "called without having been polled ready");
        self.ready = false;
        ready(Ok(Response::new("served".into())))
    }
}

fn request(body: &'static [u8]) -> Request<Body> {
    let message = Message::github(BODY, SECRET);
    Request::post("/")
        .header("x-hub-signature-256", message.header("x-hub-signature-256"))
        .body(Body::from(body))
        .unwrap()
}

/// Polls a service until it is ready for a request of axum.
async fn ready_instance<S>(service: &mut S) -> &mut S
where
    S: Service<Request<Body>, Error: std::fmt::Debug>,
{
    service.ready().await.unwrap()
}

#[tokio::test]
async fn instance_that_was_polled_ready_serves_the_request() {
    let mut service = layer().layer(StrictService::default());
    for _ in 0..2 {
        let response = ready_instance(&mut service).await.call(request(BODY)).await.unwrap();
        assert_eq!(response.body(), "served");
    }
    // Two calls whose futures are polled later.
    let first = ready_instance(&mut service).await.call(request(BODY));
    let second = ready_instance(&mut service).await.call(request(BODY));
    assert_eq!(second.await.unwrap().status(), 200);
    assert_eq!(first.await.unwrap().status(), 200);
}

#[tokio::test]
async fn rejected_request_releases_the_permit_of_the_inner_service() {
    let mut service = layer().layer(ConcurrencyLimit::new(StrictService::default(), 1));
    for body in [b"{}", BODY, b"{}", BODY] {
        let response = ready_instance(&mut service).await.call(request(body)).await.unwrap();
        assert_eq!(response.status(), if body == BODY { 200 } else { 401 });
    }
}

#[tokio::test]
async fn service_is_not_ready_while_the_inner_service_is_not() {
    let mut service = layer().layer(ConcurrencyLimit::new(StrictService::default(), 1));
    let running = ready_instance(&mut service).await.call(request(BODY));
    assert!(futures_util::FutureExt::now_or_never(ready_instance(&mut service)).is_none());
    assert_eq!(running.await.unwrap().status(), 200);
    assert_eq!(ready_instance(&mut service).await.call(request(BODY)).await.unwrap().status(), 200);
}

#[tokio::test]
async fn error_of_the_inner_service_counts_as_a_failure() {
    let setup = Setup::new();
    let layer = setup.builder(WebhookFormat::github()).secret(SECRET).build().unwrap();
    let failing = tower::service_fn(async |_: Request<Full<Bytes>>| {
        Err::<Response<String>, _>(std::io::Error::other("the handler failed"))
    });
    assert!(layer.clone().layer(failing).oneshot(request(BODY)).await.is_err());
    assert_eq!(setup.events.take(), ["admitted github", "webhook github failed"]);
    let response = layer.layer(StrictService::default()).oneshot(request(BODY)).await.unwrap();
    assert_eq!(response.body(), "served");
}

/// The future of a call that is dropped before it is polled does nothing.
#[tokio::test]
async fn dropped_call_is_not_recorded() {
    let setup = Setup::new();
    let layer = setup.builder(WebhookFormat::github()).secret(SECRET).build().unwrap();
    let mut service = layer.layer(StrictService::default());
    drop(ready_instance(&mut service).await.call(request(BODY)));
    assert!(setup.events.take().is_empty());
    let response = ready_instance(&mut service).await.call(request(BODY)).await.unwrap();
    assert_eq!(response.body(), "served");
}

#[test]
fn request_outside_a_tokio_runtime_is_500() {
    let future = layer().layer(StrictService::default()).oneshot(request(BODY));
    assert_eq!(futures_util::FutureExt::now_or_never(future).unwrap().unwrap().status(), 500);
}
