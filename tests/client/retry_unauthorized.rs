//! Requests whose token a server rejects.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use axum::{Router, routing::post};
use bytes::Bytes;
use futures_util::{FutureExt as _, future::join_all};
use http::{
    HeaderValue, Request, Response, StatusCode,
    header::{AUTHORIZATION, HeaderName},
};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio::net::TcpListener;
use tower::{
    Layer as _, Service, ServiceBuilder, ServiceExt as _, buffer::Buffer, limit::ConcurrencyLimit,
};
use tower_auth::{
    AuthenticateLayer, Principal,
    client::{AttachErrorKind, AttachLayer, RefreshingToken},
};
use tower_auth_test_support::stub::wait_until;

use crate::{Issuer, IssuerMode, error_kind};

/// A service in this process that rejects some tokens. It panics if it is called without
/// `poll_ready` since the last call. A clone starts as not ready, as tower allows.
#[derive(Default)]
struct Server {
    state: Arc<Mutex<ServerState>>,
    ready: bool,
}

#[derive(Default)]
struct ServerState {
    rejected: Vec<HeaderValue>,
    rejects_all: bool,
    /// Rejects as gRPC does.
    is_grpc: bool,
    requests: Vec<Request<String>>,
}

impl Clone for Server {
    fn clone(&self) -> Self {
        Self { state: Arc::clone(&self.state), ready: false }
    }
}

impl Service<Request<String>> for Server {
    type Response = Response<()>;
    type Error = Infallible;
    type Future = Ready<Result<Response<()>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<String>) -> Self::Future {
        assert!(self.ready, "called without poll_ready");
        self.ready = false;
        let mut state = self.state.lock().unwrap();
        let mut response = Response::new(());
        let token = request.headers().get(AUTHORIZATION);
        if state.rejects_all || token.is_none_or(|token| state.rejected.contains(token)) {
            if state.is_grpc {
                let name = HeaderName::from_static("grpc-status");
                response.headers_mut().insert(name, HeaderValue::from_static("16"));
            } else {
                *response.status_mut() = StatusCode::UNAUTHORIZED;
            }
        }
        state.requests.push(request);
        ready(Ok(response))
    }
}

struct Fixture {
    issuer: Issuer,
    token: RefreshingToken,
    server: Server,
}

impl Fixture {
    fn new() -> Self {
        let issuer = Issuer::new(IssuerMode::Issue);
        let token = RefreshingToken::new(issuer.source()).clock(issuer.clock.clock());
        Self { issuer, token, server: Server::default() }
    }

    fn layer(&self) -> AttachLayer<RefreshingToken> {
        AttachLayer::new(self.token.clone())
    }

    /// Sends a request whose body can be sent again.
    async fn send(&self) -> StatusCode {
        self.send_with(Some).await
    }

    async fn send_with(&self, clone_body: impl Fn(String) -> Option<String>) -> StatusCode {
        let layer = self.layer().retry_unauthorized(|body: &String| clone_body(body.clone()));
        layer.layer(self.server.clone()).oneshot(request()).await.unwrap().status()
    }

    /// Lets the server reject the current token, which is older than the cooldown.
    async fn revoke(&self) {
        let value = self.token.header_value().await.unwrap();
        self.server.state.lock().unwrap().rejected.push(value);
        self.issuer.clock.advance(5);
    }

    fn requests(&self) -> usize {
        self.server.state.lock().unwrap().requests.len()
    }
}

fn request() -> Request<String> {
    Request::post("https://api.example/orders?a=b").body("body".to_owned()).unwrap()
}

#[tokio::test]
async fn rejected_token_is_replaced_and_the_same_request_is_sent_again() {
    #[derive(Clone, Debug, PartialEq)]
    struct Extension(u8);

    let fixture = Fixture::new();
    fixture.revoke().await;
    let layer = fixture.layer().only_to("https://api.example").unwrap();
    let layer = layer.retry_unauthorized(|body: &String| Some(body.clone()));
    let mut sent = request();
    sent.extensions_mut().insert(Extension(7));
    sent.headers_mut().insert("x-id", HeaderValue::from_static("1"));
    let response = layer.layer(fixture.server.clone()).oneshot(sent).await.unwrap();
    assert_eq!(response.status(), 200);

    let state = fixture.server.state.lock().unwrap();
    let [first, second] = &state.requests[..] else { panic!("{:?}", state.requests) };
    assert_ne!(first.headers()[AUTHORIZATION], second.headers()[AUTHORIZATION]);
    for request in [first, second] {
        assert_eq!((request.method(), request.uri()), (&http::Method::POST, first.uri()));
        assert_eq!(
            (request.body().as_str(), request.headers()["x-id"].as_bytes()),
            ("body", &b"1"[..])
        );
        assert_eq!(request.extensions().get(), Some(&Extension(7)));
        assert!(request.headers()[AUTHORIZATION].is_sensitive());
    }
    assert_eq!(fixture.issuer.fetches(), 2);
}

#[tokio::test]
async fn request_with_a_valid_token_is_sent_once() {
    let fixture = Fixture::new();
    assert_eq!(fixture.send().await, 200);
    assert_eq!((fixture.requests(), fixture.issuer.fetches()), (1, 1));
}

#[tokio::test]
async fn body_that_cannot_be_sent_again_returns_401_and_the_next_request_has_a_new_token() {
    let fixture = Fixture::new();
    fixture.revoke().await;
    assert_eq!(fixture.send_with(|_| None).await, 401);
    assert_eq!((fixture.requests(), fixture.issuer.fetches()), (1, 1));
    assert_eq!(fixture.send_with(|_| None).await, 200);
    assert_eq!((fixture.requests(), fixture.issuer.fetches()), (2, 2));
}

#[tokio::test]
async fn server_that_rejects_every_token_causes_one_fetch_per_cooldown() {
    let fixture = Fixture::new();
    fixture.server.state.lock().unwrap().rejects_all = true;
    for _ in 0..5 {
        assert_eq!(fixture.send().await, 401);
    }
    // The token is younger than the cooldown.
    assert_eq!((fixture.requests(), fixture.issuer.fetches()), (5, 1));
    for round in 1..4 {
        fixture.issuer.clock.advance(5);
        for _ in 0..5 {
            assert_eq!(fixture.send().await, 401);
        }
        assert_eq!((fixture.requests(), fixture.issuer.fetches()), (5 + round * 6, 1 + round));
    }
}

#[tokio::test]
async fn concurrent_rejections_cause_one_fetch() {
    let fixture = Fixture::new();
    fixture.revoke().await;
    let statuses = join_all((0..64).map(|_| fixture.send())).await;
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    assert_eq!(fixture.issuer.fetches(), 2);
}

#[tokio::test]
async fn late_rejection_of_an_earlier_token_does_not_discard_the_current_one() {
    let fixture = Fixture::new();
    let old = fixture.token.header_value().await.unwrap();
    fixture.revoke().await;
    // Another request replaces the token while this one is at the server.
    let (token, clock) = (fixture.token.clone(), fixture.issuer.clock.clone());
    let inner = ServiceBuilder::new()
        .then(move |response: Result<Response<()>, Infallible>| {
            let (token, clock) = (token.clone(), clock.clone());
            async move {
                if response.as_ref().unwrap().status() == 401 {
                    token.invalidate();
                    token.header_value().await.unwrap();
                    clock.advance(5);
                }
                response
            }
        })
        .service(fixture.server.clone());
    let layer = fixture.layer().retry_unauthorized(|body: &String| Some(body.clone()));
    let service = layer.layer(tower::util::BoxCloneService::new(inner));
    assert_eq!(service.oneshot(request()).await.unwrap().status(), 200);
    assert_ne!(fixture.token.header_value().await.unwrap(), old);
    assert_eq!(fixture.issuer.fetches(), 2);
}

#[tokio::test]
async fn failed_fetch_returns_the_response_of_the_server() {
    let fixture = Fixture::new();
    fixture.revoke().await;
    fixture.issuer.set_mode(IssuerMode::Fail);
    assert_eq!(fixture.send().await, 401);
    assert_eq!((fixture.requests(), fixture.issuer.fetches()), (1, 2));
}

#[tokio::test]
async fn unauthenticated_grpc_response_discards_the_token() {
    let fixture = Fixture::new();
    fixture.server.state.lock().unwrap().is_grpc = true;
    fixture.revoke().await;
    fixture.send_with(|_| None).await;
    fixture.send_with(|_| None).await;
    assert_eq!((fixture.requests(), fixture.issuer.fetches()), (2, 2));
}

#[tokio::test]
async fn request_with_its_own_authorization_is_passed_through() {
    let fixture = Fixture::new();
    fixture.server.state.lock().unwrap().rejects_all = true;
    let layer = fixture.layer().only_to("https://other.example").unwrap();
    let layer = layer.retry_unauthorized(|body: &String| Some(body.clone()));
    let mut sent = request();
    sent.headers_mut().insert(AUTHORIZATION, HeaderValue::from_static("Basic YTpi"));
    let response = layer.layer(fixture.server.clone()).oneshot(sent).await.unwrap();
    assert_eq!(response.status(), 401);
    assert_eq!((fixture.requests(), fixture.issuer.fetches()), (1, 0));
}

#[tokio::test]
async fn request_to_another_origin_gets_no_token() {
    let fixture = Fixture::new();
    let layer = fixture.layer().only_to("https://other.example").unwrap();
    let service = layer.clone().retry_unauthorized(|body: &String| Some(body.clone()));
    let result = service.layer(fixture.server.clone()).oneshot(request()).await;
    assert_eq!(error_kind(result), AttachErrorKind::OtherOrigin);
    let service = layer.pass_others().retry_unauthorized(|body: &String| Some(body.clone()));
    let response = service.layer(fixture.server.clone()).oneshot(request()).await.unwrap();
    assert_eq!(response.status(), 401);
    assert_eq!((fixture.requests(), fixture.issuer.fetches()), (1, 0));
    assert!(
        !fixture.server.state.lock().unwrap().requests[0].headers().contains_key(AUTHORIZATION)
    );
}

#[tokio::test]
async fn ready_service_is_the_one_called_for_both_requests() {
    async fn assert_retries<S>(mut service: S, fixture: &Fixture)
    where
        S: Service<Request<String>, Response = Response<()>, Error = crate::BoxError> + Clone,
    {
        for _ in 0..3 {
            fixture.revoke().await;
            let response = service.ready().await.unwrap().call(request()).await.unwrap();
            assert_eq!(response.status(), 200);
        }
        assert!(service.clone().ready().now_or_never().is_some(), "a permit was not released");
        fixture.revoke().await;
        let clones = (0..20).map(|_| service.clone().oneshot(request()));
        for response in join_all(clones).await {
            assert_eq!(response.unwrap().status(), 200);
        }
    }
    let fixture = Fixture::new();
    let layer = fixture.layer().retry_unauthorized(|body: &String| Some(body.clone()));
    let server = || fixture.server.clone();
    assert_retries(layer.layer(server()), &fixture).await;
    assert_retries(layer.layer(ConcurrencyLimit::new(server(), 1)), &fixture).await;
    assert_retries(layer.layer(Buffer::new(server(), 1)), &fixture).await;
    assert_retries(ConcurrencyLimit::new(layer.layer(server()), 1), &fixture).await;
}

#[tokio::test]
async fn unsent_request_releases_its_permit() {
    let fixture = Fixture::new();
    fixture.issuer.set_mode(IssuerMode::Fail);
    let layer = fixture.layer().retry_unauthorized(|body: &String| Some(body.clone()));
    let mut service = layer.layer(ConcurrencyLimit::new(fixture.server.clone(), 1));
    for _ in 0..3 {
        let result = service.ready().await.unwrap().call(request()).await;
        assert_eq!(error_kind(result), AttachErrorKind::Source);
        assert!(service.clone().ready().now_or_never().is_some());
    }
    fixture.issuer.set_mode(IssuerMode::Hang);
    fixture.issuer.clock.advance(5);
    let mut pending = service.ready().await.unwrap().call(request()).boxed();
    assert!((&mut pending).now_or_never().is_none());
    assert!(service.clone().ready().now_or_never().is_none(), "a pending request keeps its permit");
    drop(pending);
    assert!(service.clone().ready().now_or_never().is_some());
}

#[tokio::test]
async fn body_arrives_twice_over_a_socket() {
    let fixture = Fixture::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let bodies = Arc::new(Mutex::new(Vec::new()));
    let list = Arc::clone(&bodies);
    let echo = async move |caller: Principal, body: String| {
        list.lock().unwrap().push(body);
        match caller.subject() {
            "token-1" => Err(StatusCode::UNAUTHORIZED),
            subject => Ok(subject.to_owned()),
        }
    };
    let app = Router::new()
        .route("/", post(echo))
        .layer(AuthenticateLayer::new(fixture.issuer.validator()));
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    fixture.token.header_value().await.unwrap();
    fixture.issuer.clock.advance(5);

    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let layer = fixture.layer().retry_unauthorized(|body: &Full<Bytes>| Some(body.clone()));
    let request = Request::post(&url).body(Full::from("hello")).unwrap();
    let response = layer.layer(client).oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "token-2");
    assert_eq!(*bodies.lock().unwrap(), ["hello", "hello"]);

    // With reqwest.
    let client = ServiceBuilder::new()
        .layer(fixture.layer().retry_unauthorized(|body: &Bytes| Some(body.clone())))
        .map_response(Response::<reqwest::Body>::from)
        .filter(|request: Request<Bytes>| reqwest::Request::try_from(request))
        .service(reqwest::Client::builder().no_proxy().build().unwrap());
    let request = Request::post(&url).body(Bytes::from("hello")).unwrap();
    assert_eq!(client.oneshot(request).await.unwrap().status(), 200);
    wait_until("all bodies", async || bodies.lock().unwrap().len() == 3).await;
}
