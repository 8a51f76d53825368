//! `AttachLayer::dpop` over real sockets, with services that check the proofs with `DpopBinding`.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    extract::Request as Incoming,
    middleware::{Next, from_fn},
    response::Redirect,
    routing::{any, get},
};
use bytes::Bytes;
use futures_util::{future::join_all, stream};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::json;
use tokio::net::TcpListener;
use tonic::transport::{Endpoint, Server, server::TcpIncoming};
use tonic_health::{
    pb::{HealthCheckRequest, health_client::HealthClient},
    server::health_reporter,
};
use tower::{Layer as _, ServiceBuilder, ServiceExt as _};
use tower_auth::{
    AuthenticateLayer, JwtAuth, Principal, Scheme,
    client::{AttachLayer, DpopToken},
    dpop::{DpopBinding, DpopKey},
    jwt::Keys,
};
use tower_auth_test_support::{
    store::SwitchedStore,
    stub::ShiftedClock,
    token::{AUDIENCE, ISSUER, Signer, claims},
};

/// An issuer of bound tokens, and the service for them.
struct Fixture {
    signer: Signer,
    key: DpopKey,
    clock: ShiftedClock,
}

impl Fixture {
    fn new() -> Self {
        let clock = ShiftedClock::default();
        let key = DpopKey::new().unwrap().clock(clock.clock());
        Self { signer: Signer::generate("HS256", "1"), key, clock }
    }

    fn token(&self) -> DpopToken {
        let mut claims = claims();
        claims["exp"] = (claims["exp"].as_u64().unwrap() + 10_000).into();
        claims["cnf"] = json!({ "jkt": self.key.thumbprint() });
        DpopToken::new(&self.signer.token(&claims)).unwrap()
    }

    fn layer(&self) -> AttachLayer<DpopToken> {
        AttachLayer::new(self.token())
    }

    fn authenticator(&self, has_nonces: bool) -> JwtAuth {
        let store = SwitchedStore::new(self.clock.clock()).sealed();
        let binding = DpopBinding::builder(store).clock(self.clock.clock());
        let binding = if has_nonces { binding.nonces() } else { binding };
        let keys = Keys::from_json(json!({ "keys": [self.signer.jwk()] }).to_string()).unwrap();
        let tokens = JwtAuth::builder(keys).issuer(ISSUER).audience(AUDIENCE);
        let tokens = tokens.binding(binding.build().unwrap()).require_binding();
        tokens.clock(self.clock.clock()).build().unwrap()
    }

    /// Starts a service. Returns its URL, and the status of each response.
    async fn start(&self, has_nonces: bool) -> (String, Arc<Mutex<Vec<StatusCode>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let statuses = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&statuses);
        let app = Router::new()
            .route(
                "/orders/{id}",
                any(async |caller: Principal, body: String| {
                    assert_eq!(caller.scheme(), Scheme::DPOP);
                    body
                }),
            )
            .route("/old", get(async || Redirect::temporary("/orders/7")))
            .layer(AuthenticateLayer::new(self.authenticator(has_nonces)))
            .layer(from_fn(move |request: Incoming, next: Next| {
                let seen = Arc::clone(&seen);
                async move {
                    let response = next.run(request).await;
                    seen.lock().unwrap().push(response.status());
                    response
                }
            }));
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        (url, statuses)
    }
}

type Body = BoxBody<Bytes, std::convert::Infallible>;

fn full(body: &'static str) -> Body {
    Full::from(body).boxed()
}

fn post(url: &str, body: Body) -> Request<Body> {
    Request::post(format!("{url}/orders/1?a=b")).body(body).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn service_accepts_each_of_64_concurrent_requests() {
    for has_nonces in [false, true] {
        let fixture = Fixture::new();
        let (url, statuses) = fixture.start(has_nonces).await;
        let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
        let layer = fixture.layer().dpop(fixture.key.clone());
        let service = layer.resend(|body: &Full<Bytes>| Some(body.clone())).layer(client);
        let send = async |number: usize| {
            let request = Request::put(format!("{url}/orders/{number}?a=b"));
            let request = request.body(Full::from(number.to_string())).unwrap();
            let response = service.clone().oneshot(request).await.unwrap();
            assert_eq!(response.status(), 200, "{:?}", response.headers());
            let body = response.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body, number.to_string());
        };
        join_all((0..64).map(&send)).await;
        let sent = statuses.lock().unwrap().len();
        assert!(if has_nonces { sent > 64 } else { sent == 64 }, "{sent}");
        // The nonce is known now.
        send(64).await;
        assert_eq!(statuses.lock().unwrap().len(), sent + 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nonces_of_a_service_are_followed_over_time() {
    let fixture = Fixture::new();
    let (url, statuses) = fixture.start(true).await;
    let client = Client::builder(TokioExecutor::new()).build_http::<Body>();
    let layer = fixture.layer().dpop(fixture.key.clone()).resend(|_: &Body| Some(full("b")));
    let service = layer.layer(client);
    for _ in 0..20 {
        let response = service.clone().oneshot(post(&url, full("b"))).await.unwrap();
        assert_eq!(response.status(), 200);
        fixture.clock.advance(40);
    }
    // The service sends the next nonce before the last one expires.
    assert_eq!(statuses.lock().unwrap().iter().filter(|status| **status == 401).count(), 1);
    fixture.clock.advance(1_000);
    let response = service.clone().oneshot(post(&url, full("b"))).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(statuses.lock().unwrap().iter().filter(|status| **status == 401).count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn stream_is_not_sent_again_and_the_response_tells_why() {
    let fixture = Fixture::new();
    let (url, statuses) = fixture.start(true).await;
    let client = Client::builder(TokioExecutor::new()).build_http::<Body>();
    let service = fixture.layer().dpop(fixture.key.clone()).layer(client);
    let streaming = || {
        let frame = http_body::Frame::data(Bytes::from_static(b"part"));
        BodyExt::boxed(StreamBody::new(stream::iter([Ok(frame)])))
    };
    let response = service.clone().oneshot(post(&url, streaming())).await.unwrap();
    assert_eq!(response.status(), 401);
    let challenge = response.headers()["www-authenticate"].to_str().unwrap();
    assert!(challenge.contains("use_dpop_nonce"), "{challenge}");
    assert_eq!(statuses.lock().unwrap().len(), 1);
    let response = service.oneshot(post(&url, streaming())).await.unwrap();
    assert_eq!(response.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn token_is_rejected_with_a_proof_of_another_key() {
    let fixture = Fixture::new();
    let (url, _) = fixture.start(false).await;
    let client = Client::builder(TokioExecutor::new()).build_http::<Body>();
    let thief = DpopKey::new().unwrap();
    let service = fixture.layer().dpop(thief).layer(client);
    assert_eq!(service.oneshot(post(&url, full("b"))).await.unwrap().status(), 401);
}

/// The documentation of `AttachLayer::dpop` promises this.
#[tokio::test(flavor = "multi_thread")]
async fn redirect_inside_of_the_layer_is_rejected() {
    let fixture = Fixture::new();
    let (url, statuses) = fixture.start(false).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let service = ServiceBuilder::new()
        .layer(fixture.layer().dpop(fixture.key.clone()))
        .map_response(http::Response::<reqwest::Body>::from)
        .filter(|request: Request<Bytes>| reqwest::Request::try_from(request))
        .service(client);
    let request = |path: &str| Request::get(format!("{url}{path}")).body(Bytes::new()).unwrap();
    assert_eq!(service.clone().oneshot(request("/old")).await.unwrap().status(), 401);
    assert_eq!(*statuses.lock().unwrap(), [307, 401]);
    assert_eq!(service.oneshot(request("/orders/7")).await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_client_sends_proofs_for_its_channel() {
    for has_nonces in [false, true] {
        let fixture = Fixture::new();
        let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address: SocketAddr = incoming.local_addr().unwrap();
        let server = Server::builder()
            .layer(AuthenticateLayer::new(fixture.authenticator(has_nonces)))
            .add_service(health_reporter().1);
        tokio::spawn(server.serve_with_incoming(incoming));
        let origin = format!("http://{address}");
        let channel = Endpoint::new(origin.clone()).unwrap().connect().await.unwrap();
        let layer = fixture.layer().only_to(&origin).unwrap().dpop(fixture.key.clone());
        let mut client = HealthClient::new(layer.layer(channel));
        let response = client.check(HealthCheckRequest::default()).await;
        if has_nonces {
            // The body of a call cannot be sent again. The next call has the nonce.
            assert_eq!(response.unwrap_err().code(), tonic::Code::Unauthenticated);
        } else {
            response.unwrap();
        }
        client.check(HealthCheckRequest::default()).await.unwrap();
    }
}
