//! `AttachLayer::dpop` with a service in this process that checks the proofs and asks for nonces.

use std::{
    collections::HashSet,
    convert::Infallible,
    future::{Ready, ready},
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use aws_lc_rs::digest::{SHA256, digest};
use futures_util::future::join_all;
use http::{
    HeaderValue, Request, Response, StatusCode,
    header::{AUTHORIZATION, WWW_AUTHENTICATE},
};
use serde_json::Value;
use tower::{Layer as _, Service, ServiceExt as _, limit::ConcurrencyLimit};
use tower_auth::{
    client::{
        AttachDpopLayer, AttachErrorKind, AttachLayer, BasicAuthorization, BearerToken, DpopToken,
        RefreshingToken, Token,
    },
    dpop::DpopKey,
};
use tower_auth_test_support::{provider::token_part, token::encode};

use crate::{BoxError, Issuer, IssuerMode, error_kind};

/// A service that panics if it is called without `poll_ready` since the last call. A clone starts
/// as not ready, as tower allows.
#[derive(Default)]
struct Server {
    state: Arc<Mutex<ServerState>>,
    ready: bool,
}

#[derive(Default)]
struct ServerState {
    /// The nonce that proofs must have.
    nonce: Option<String>,
    /// Replaces the nonce after each request, with a number.
    rotates: bool,
    /// Rejects each nonce, and sends this one.
    never_satisfied: bool,
    /// Sends no nonce when it asks for one.
    hides_nonce: bool,
    rejected: Vec<HeaderValue>,
    /// Rejects as gRPC does.
    is_grpc: bool,
    requests: Vec<(Request<String>, Value)>,
}

impl ServerState {
    fn respond(&mut self, request: Request<String>) -> Response<()> {
        let proofs: Vec<_> = request.headers().get_all("dpop").iter().collect();
        let [proof] = &*proofs else { panic!("{} proofs", proofs.len()) };
        assert!(proof.is_sensitive() && request.headers()[AUTHORIZATION].is_sensitive());
        let claims = token_part(proof.to_str().unwrap(), 1);
        let token = request.headers()[AUTHORIZATION].to_str().unwrap();
        let ath = encode(digest(&SHA256, token.strip_prefix("DPoP ").unwrap().as_bytes()));
        assert_eq!(claims["ath"], ath);
        assert_eq!(claims["htm"], request.method().as_str());

        let mut response = Response::new(());
        let is_right = claims["nonce"].as_str() == self.nonce.as_deref();
        let challenge = match self.nonce {
            Some(_) if !is_right || self.never_satisfied => {
                Some(r#"Bearer realm="a, b", DPoP algs="ES256", error="use_dpop_nonce""#)
            }
            _ if self.rejected.contains(&request.headers()[AUTHORIZATION]) => {
                Some(r#"DPoP error="invalid_token""#)
            }
            _ => None,
        };
        let headers = response.headers_mut();
        if let Some(challenge) = challenge {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
            if self.is_grpc {
                headers.insert("grpc-status", HeaderValue::from_static("16"));
            } else {
                *response.status_mut() = StatusCode::UNAUTHORIZED;
            }
        }
        // More than any test sends. A loop fails instead of running forever.
        assert!(self.requests.len() < 500);
        self.requests.push((request, claims));
        if self.rotates {
            self.nonce = Some(format!("nonce-{}", self.requests.len()));
        }
        if let (Some(nonce), false) = (&self.nonce, self.hides_nonce) {
            response.headers_mut().insert("dpop-nonce", nonce.parse().unwrap());
        }
        response
    }

    /// Returns the nonces of the proofs, in order.
    fn nonces(&self) -> Vec<Option<&str>> {
        self.requests.iter().map(|(_, claims)| claims["nonce"].as_str()).collect()
    }
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
        ready(Ok(self.state.lock().unwrap().respond(request)))
    }
}

impl Server {
    fn asking_for(nonce: &str) -> Self {
        let server = Self::default();
        server.state.lock().unwrap().nonce = Some(nonce.to_owned());
        server
    }

    fn set(&self, change: impl FnOnce(&mut ServerState)) {
        change(&mut self.state.lock().unwrap());
    }
}

fn request() -> Request<String> {
    let request = Request::post("https://API.example:443/orders?a=b").header("x-id", "1");
    request.body("body".to_owned()).unwrap()
}

fn layer() -> AttachDpopLayer<DpopToken> {
    AttachLayer::new(DpopToken::new("abc").unwrap()).dpop(DpopKey::new().unwrap())
}

#[allow(clippy::ptr_arg)] // the type of the body
fn copy(body: &String) -> Option<String> {
    Some(body.clone())
}

/// Returns a token that is fetched from the issuer, with the scheme `DPoP`.
fn refreshing(issuer: &Issuer) -> RefreshingToken {
    let fetching = issuer.clone();
    let source = move || {
        let issuer = fetching.clone();
        async move {
            let _ = issuer.issue().await?;
            Ok::<_, BoxError>(Token::dpop(issuer.jwt(&issuer.fetches().to_string())))
        }
    };
    RefreshingToken::new(source).clock(issuer.clock.clock())
}

async fn status<F>(layer: &AttachDpopLayer<DpopToken, F>, server: &Server) -> StatusCode
where
    AttachDpopLayer<DpopToken, F>: tower::Layer<
            Server,
            Service: Service<Request<String>, Response = Response<()>, Error: std::fmt::Debug>,
        >,
{
    layer.layer(server.clone()).oneshot(request()).await.unwrap().status()
}

#[tokio::test]
async fn proof_is_for_the_method_and_the_url_without_its_query() {
    let server = Server::default();
    assert_eq!(status(&layer(), &server).await, 200);
    let state = server.state.lock().unwrap();
    let [(request, claims)] = &state.requests[..] else { panic!("{:?}", state.requests) };
    assert_eq!(claims["htu"], "https://api.example/orders");
    assert_eq!(claims["htm"], "POST");
    assert_eq!(claims.get("nonce"), None);
    assert_eq!(request.uri(), self::request().uri());
    assert_eq!(request.headers()[AUTHORIZATION], "DPoP abc");
    assert_eq!((request.headers()["x-id"].as_bytes(), &**request.body()), (&b"1"[..], "body"));
}

#[tokio::test]
async fn request_is_sent_once_more_if_the_server_asks_for_a_nonce() {
    for is_grpc in [false, true] {
        let server = Server::asking_for("n1");
        server.set(|state| state.is_grpc = is_grpc);
        let layer = layer().resend(copy);
        for _ in 0..2 {
            let response = layer.layer(server.clone()).oneshot(request()).await.unwrap();
            assert_eq!(response.status(), 200);
            assert!(!response.headers().contains_key("grpc-status"));
        }
        // The second request has the nonce from the start, also in another service of the layer.
        server.set(|state| {
            assert_eq!(state.nonces(), [None, Some("n1"), Some("n1")]);
            for (request, _) in &state.requests {
                assert_eq!((&**request.body(), request.uri()), ("body", self::request().uri()));
                assert_eq!(request.headers().get_all(AUTHORIZATION).iter().count(), 1);
            }
            state.nonce = Some("n2".to_owned());
        });
        assert_eq!(status(&layer, &server).await, 200);
        assert_eq!(server.state.lock().unwrap().nonces()[3..], [Some("n1"), Some("n2")]);
    }
}

#[tokio::test]
async fn nonce_of_each_response_is_used_for_the_next_request() {
    let server = Server::asking_for("nonce-0");
    server.set(|state| state.rotates = true);
    let layer = layer().resend(copy);
    // The first is rejected for its nonce. Its response has another one.
    for _ in 0..4 {
        assert_eq!(status(&layer, &server).await, 200);
    }
    let state = server.state.lock().unwrap();
    let expected = ["nonce-1", "nonce-2", "nonce-3", "nonce-4"].map(Some);
    assert_eq!(state.nonces(), [&[None], &expected[..]].concat());
}

#[tokio::test]
async fn server_that_is_never_satisfied_gets_two_attempts() {
    let server = Server::asking_for("n1");
    server.set(|state| state.never_satisfied = true);
    let layer = layer().resend(copy);
    for round in 1..4 {
        assert_eq!(status(&layer, &server).await, 401);
        assert_eq!(server.state.lock().unwrap().requests.len(), 2 * round);
    }
}

#[tokio::test]
async fn request_for_a_nonce_without_a_nonce_is_returned() {
    let server = Server::asking_for("n1");
    server.set(|state| state.hides_nonce = true);
    assert_eq!(status(&layer().resend(copy), &server).await, 401);
    assert_eq!(server.state.lock().unwrap().requests.len(), 1);
}

#[tokio::test]
async fn body_that_cannot_be_sent_again_returns_401_and_the_next_request_has_the_nonce() {
    for clones in [false, true] {
        let server = Server::asking_for("n1");
        let (once, never) = (layer(), layer().resend(|_: &String| None));
        let send = async || match clones {
            true => status(&never, &server).await,
            false => status(&once, &server).await,
        };
        assert_eq!(send().await, 401);
        assert_eq!(server.state.lock().unwrap().requests.len(), 1);
        assert_eq!(send().await, 200);
        assert_eq!(server.state.lock().unwrap().nonces(), [None, Some("n1")]);
    }
}

#[tokio::test]
async fn each_of_64_concurrent_requests_has_its_own_jti() {
    let server = Server::asking_for("n1");
    let layer = layer().resend(copy);
    let statuses = join_all((0..64).map(|_| status(&layer, &server))).await;
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    let state = server.state.lock().unwrap();
    let ids: HashSet<_> =
        state.requests.iter().map(|(_, claims)| claims["jti"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), state.requests.len());
    assert!((65..=128).contains(&ids.len()), "{}", ids.len());
}

#[tokio::test]
async fn nonces_of_origins_are_separate() {
    let server = Server::asking_for("n1");
    let layer = layer().resend(copy);
    let send = async |url: &str| {
        let request = Request::get(url).body(String::new()).unwrap();
        layer.layer(server.clone()).oneshot(request).await.unwrap()
    };
    for url in [
        "https://api.example/a",
        "https://other.example/a",
        "https://api.example:8443/a",
        "https://API.example:443/b",
    ] {
        assert_eq!(send(url).await.status(), 200);
    }
    let state = server.state.lock().unwrap();
    let n1 = Some("n1");
    assert_eq!(state.nonces(), [None, n1, None, n1, None, n1, n1]);
}

#[tokio::test]
async fn bearer_token_is_not_sent_as_dpop() {
    let server = Server::default();
    let issuer = Issuer::new(IssuerMode::Issue);
    let key = DpopKey::new().unwrap();
    let bearer = AttachLayer::new(BearerToken::new("abc").unwrap()).dpop(key.clone());
    let result = bearer.layer(server.clone()).oneshot(request()).await;
    assert_eq!(error_kind(result), AttachErrorKind::Source);
    let basic = AttachLayer::new(BasicAuthorization::new("a", "b").unwrap()).dpop(key.clone());
    let result = basic.layer(server.clone()).oneshot(request()).await;
    assert_eq!(error_kind(result), AttachErrorKind::Source);
    let fetched = AttachLayer::new(RefreshingToken::new(issuer.source())).dpop(key);
    let result = fetched.layer(server.clone()).oneshot(request()).await;
    assert_eq!(error_kind(result), AttachErrorKind::Source);
    assert!(server.state.lock().unwrap().requests.is_empty());
}

#[tokio::test]
async fn rejected_token_is_replaced_if_the_server_also_asks_for_a_nonce() {
    let issuer = Issuer::new(IssuerMode::Issue);
    let token = refreshing(&issuer);
    let server = Server::asking_for("n1");
    let layer = AttachLayer::new(token.clone()).dpop(DpopKey::new().unwrap());
    let layer = layer.retry_unauthorized(copy);
    let revoked = token.header_value().await.unwrap();
    assert!(revoked.to_str().unwrap().starts_with("DPoP "));
    server.set(|state| state.rejected.push(revoked));
    issuer.clock.advance(5);
    let response = layer.layer(server.clone()).oneshot(request()).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(issuer.fetches(), 2);
    let n1 = Some("n1");
    assert_eq!(server.state.lock().unwrap().nonces(), [None, n1, n1]);

    // A token that is younger than the cooldown is kept, so the request is not sent again.
    server.set(|state| state.rejected.push(state.requests[2].0.headers()[AUTHORIZATION].clone()));
    let response = layer.layer(server.clone()).oneshot(request()).await.unwrap();
    assert_eq!((response.status().as_u16(), issuer.fetches()), (401, 2));
    assert_eq!(server.state.lock().unwrap().requests.len(), 4);
}

#[tokio::test]
async fn rejected_token_without_retry_unauthorized_is_returned() {
    let issuer = Issuer::new(IssuerMode::Issue);
    let token = refreshing(&issuer);
    let server = Server::default();
    let value = token.header_value().await.unwrap();
    server.set(|state| state.rejected.push(value));
    issuer.clock.advance(5);
    let layer = AttachLayer::new(token).dpop(DpopKey::new().unwrap()).resend(copy);
    let response = layer.layer(server.clone()).oneshot(request()).await.unwrap();
    assert_eq!((response.status().as_u16(), issuer.fetches()), (401, 1));
}

#[tokio::test]
async fn url_without_a_host_needs_a_single_origin() {
    let server = Server::default();
    let relative = || Request::post("/shop.Orders/List").body(String::new()).unwrap();
    let attach = || AttachLayer::new(DpopToken::new("abc").unwrap());
    let key = DpopKey::new().unwrap();
    let two = attach().only_to("https://a.example").unwrap().only_to("https://b.example").unwrap();
    for layer in [attach(), two] {
        let service = layer.dpop(key.clone()).layer(server.clone());
        assert_eq!(error_kind(service.oneshot(relative()).await), AttachErrorKind::Proof);
    }
    assert!(server.state.lock().unwrap().requests.is_empty());
    let one = attach().only_to("https://A.example:8443").unwrap().dpop(key);
    assert_eq!(one.layer(server.clone()).oneshot(relative()).await.unwrap().status(), 200);
    let state = server.state.lock().unwrap();
    assert_eq!(state.requests[0].1["htu"], "https://a.example:8443/shop.Orders/List");
    assert_eq!(state.requests[0].0.uri(), "/shop.Orders/List");
}

#[tokio::test]
async fn plaintext_other_origins_and_own_credentials_get_no_token() {
    let server = Server::default();
    let attach = AttachLayer::new(DpopToken::new("abc").unwrap());
    let layer = attach.only_to("https://api.example").unwrap().dpop(DpopKey::new().unwrap());
    let send = async |url: &str| {
        let request = Request::get(url).body(String::new()).unwrap();
        layer.layer(server.clone()).oneshot(request).await
    };
    assert_eq!(error_kind(send("https://b.example/").await), AttachErrorKind::OtherOrigin);
    assert_eq!(error_kind(send("http://api.example/").await), AttachErrorKind::OtherOrigin);
    let plaintext = self::layer().layer(server.clone());
    let request = Request::get("http://api.example/").body(String::new()).unwrap();
    assert_eq!(error_kind(plaintext.oneshot(request).await), AttachErrorKind::Plaintext);
    assert!(server.state.lock().unwrap().requests.is_empty());

    let own = Request::get("https://b.example/").header(AUTHORIZATION, "Basic YTpi");
    let echo = tower::service_fn(async |request: Request<String>| {
        assert_eq!(request.headers()[AUTHORIZATION], "Basic YTpi");
        assert!(!request.headers().contains_key("dpop"));
        Ok::<_, Infallible>(Response::new(()))
    });
    layer.layer(echo).oneshot(own.body(String::new()).unwrap()).await.unwrap();
}

/// The permit of the request that is sent again must not be lost.
#[tokio::test]
async fn concurrency_limit_of_one_does_not_stop_the_second_attempt() {
    let server = Server::asking_for("n1");
    let service = layer().resend(copy).layer(ConcurrencyLimit::new(server, 1));
    for _ in 0..3 {
        assert_eq!(service.clone().oneshot(request()).await.unwrap().status(), 200);
    }
}

#[test]
fn debug_output_contains_no_secrets() {
    let layer = layer().resend(copy);
    let service = layer.layer(());
    let text = format!("{layer:?} {service:?} {:?}", DpopToken::new("abc").unwrap());
    assert!(!text.contains("abc") && text.contains("ES256"), "{text}");
    assert!(DpopToken::new("a b").is_err());
}
