//! WebSockets: the three ways to authenticate, the cross-site check, and the expiry of the token.

mod handlers;

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use axum::{
    Router,
    body::Body,
    extract::WebSocketUpgrade,
    http::{Method, Request, StatusCode},
    routing::{any, get},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::{SinkExt as _, StreamExt as _};
use hyper::{client::conn::http2, ext::Protocol, server::conn::http1};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    service::TowerToHyperService,
};
use serde_json::json;
use tokio::{
    io::DuplexStream,
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_tungstenite::{
    WebSocketStream, client_async, connect_async,
    tungstenite::{
        self, ClientRequestBuilder, Message,
        error::{ProtocolError, SubProtocolError},
        protocol::Role,
    },
};
use tower_auth::{
    AuthenticateLayer, JwtAuth, Principal, RequireScopes, clock::Clock as _,
    credentials::TokenLocation, test_util::TestClock,
};
use tower_auth_test_support::ROOT;

use super::{Api, Issuer};

const HOUR: Duration = Duration::from_secs(3600);
const PROTOCOL: &str = "sec-websocket-protocol";

/// Sockets in memory, and a mock clock. The paused time of tokio advances only while both ends of a
/// socket wait.
struct Service {
    app: Router,
    issuer: Issuer,
    clock: TestClock,
}

impl Service {
    fn new() -> Self {
        let (issuer, clock) = (Issuer::new(), TestClock::new());
        let tokens = issuer.builder().clock(clock.clone());
        let in_handshake = tokens
            .token_from(TokenLocation::authorization())
            .token_from(TokenLocation::websocket_protocol());
        let in_handshake = AuthenticateLayer::new(in_handshake.build().unwrap());
        let time = clock.clone();
        let chat = async move |caller: Principal, upgrade: WebSocketUpgrade| {
            upgrade
                .protocols(["chat.v1"])
                .on_upgrade(|socket| handlers::serve(socket, caller, time))
        };
        let (time, tokens) = (clock.clone(), issuer.builder().clock(clock.clone()));
        let tokens: JwtAuth = tokens.build().unwrap();
        let verifier = tokens.clone();
        let first = async move |upgrade: WebSocketUpgrade| {
            upgrade.on_upgrade(|socket| handlers::serve_first_message(socket, verifier, time))
        };
        let app = Router::new()
            .route("/chat", get(chat))
            .layer(RequireScopes::all("chat"))
            .layer(in_handshake)
            .route("/first", get(first))
            .route("/first/now", get(handlers::chat_without_handshake))
            .with_state(tokens);
        Self { app, issuer, clock }
    }

    /// Returns a token with this scope that expires `lifetime` from now.
    fn token(&self, scope: &str, lifetime: Duration) -> String {
        let expiry = self.clock.now() + lifetime;
        let expiry = expiry.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        self.issuer.token_with(json!({ "scope": scope, "exp": expiry }))
    }

    async fn connect(
        &self,
        path: &str,
        configure: impl FnOnce(ClientRequestBuilder) -> ClientRequestBuilder,
    ) -> Result<WebSocketStream<DuplexStream>, tungstenite::Error> {
        let (client, server) = tokio::io::duplex(1 << 16);
        let service = TowerToHyperService::new(self.app.clone());
        let server = http1::Builder::new().serve_connection(TokioIo::new(server), service);
        tokio::spawn(server.with_upgrades());
        let request = ClientRequestBuilder::new(format!("ws://app.example{path}").parse().unwrap());
        client_async(configure(request), client).await.map(|(socket, _)| socket)
    }
}

async fn send<S>(socket: &mut WebSocketStream<S>, text: &str)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    socket.send(Message::text(text)).await.unwrap();
}

/// Receives a text, or the code and the reason with which the server closes the socket.
async fn receive<S>(socket: &mut WebSocketStream<S>) -> Result<String, (u16, String)>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    match socket.next().await.unwrap().unwrap() {
        Message::Text(text) => Ok(text.to_string()),
        Message::Close(Some(frame)) => Err((frame.code.into(), frame.reason.to_string())),
        other => panic!("{other:?}"),
    }
}

fn closed(reason: &str) -> Result<String, (u16, String)> {
    Err((4401, reason.to_owned()))
}

fn status<T>(result: Result<T, tungstenite::Error>) -> u16 {
    match result {
        Ok(_) => 101,
        Err(tungstenite::Error::Http(response)) => response.status().as_u16(),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test(start_paused = true)]
async fn socket_is_closed_when_the_token_expires() {
    let service = Service::new();
    let bearer = format!("Bearer {}", service.token("chat", HOUR));
    let authenticated =
        |request: ClientRequestBuilder| request.with_header("Authorization", bearer);
    let mut socket = service.connect("/chat", authenticated).await.unwrap();

    service.clock.advance(HOUR - Duration::from_secs(1));
    assert!(timeout(HOUR, socket.next()).await.is_err());
    send(&mut socket, "hi").await;
    assert_eq!(receive(&mut socket).await.unwrap(), "user-1: hi");
    service.clock.advance(Duration::from_secs(1));
    assert_eq!(receive(&mut socket).await, closed("the token has expired"));
}

#[tokio::test(start_paused = true)]
async fn client_that_does_not_read_is_disconnected_at_expiry() {
    let service = Service::new();
    let bearer = format!("Bearer {}", service.token("chat", HOUR));
    let authenticated =
        |request: ClientRequestBuilder| request.with_header("Authorization", bearer);
    let mut socket = service.connect("/chat", authenticated).await.unwrap();
    // The server blocks while it sends replies, until it no longer reads.
    let text = Message::text("x".repeat(1 << 16));
    while timeout(HOUR, socket.send(text.clone())).await.is_ok() {}
    service.clock.advance(HOUR);
    sleep(Duration::from_secs(60)).await;
    let sent = timeout(HOUR, socket.send(text)).await;
    sent.expect("the server still has the connection").unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn token_within_the_leeway_closes_the_socket_at_once() {
    let service = Service::new();
    let token = service.token("chat", HOUR);
    service.clock.advance(HOUR + Duration::from_secs(30));
    let mut socket = service.connect("/first", |request| request).await.unwrap();
    send(&mut socket, &token).await;
    assert_eq!(receive(&mut socket).await, closed("the token has expired"));
}

#[tokio::test(start_paused = true)]
async fn first_message_authenticates_the_socket() {
    let service = Service::new();
    let connect_to = async |path| {
        let mut socket = service.connect(path, |request| request).await.unwrap();
        send(&mut socket, &service.token("chat", HOUR)).await;
        send(&mut socket, "hi").await;
        assert_eq!(receive(&mut socket).await.unwrap(), "user-1: hi");
        socket
    };
    connect_to("/first/now").await;
    let mut socket = connect_to("/first").await;
    service.clock.advance(HOUR);
    assert_eq!(receive(&mut socket).await, closed("the token has expired"));

    let not_valid = "the token is not valid for this service";
    for (first, reason) in [
        (Some(service.issuer.expired_token()), not_valid),
        (Some(service.token("read", HOUR)), not_valid),
        (Some("hi".to_owned()), not_valid),
        (Some(String::new()), not_valid),
        // After ten seconds:
        (None, "the first message must be a token"),
    ] {
        let mut socket = service.connect("/first", |request| request).await.unwrap();
        if let Some(first) = &first {
            send(&mut socket, first).await;
        }
        assert_eq!(receive(&mut socket).await, closed(reason), "{first:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn first_message_of_more_than_64_kib_is_not_read() {
    let service = Service::new();
    for (length, is_read) in [(1 << 16, true), ((1 << 16) + 1, false)] {
        let mut socket = service.connect("/first/now", |request| request).await.unwrap();
        // Fails if the server has closed the socket at the header of the frame.
        let _ = socket.send(Message::text("x".repeat(length))).await;
        let end = socket.next().await;
        let is_verified = matches!(end, Some(Ok(Message::Close(Some(frame))))
            if frame.reason == "the token is not valid for this service");
        assert_eq!(is_verified, is_read, "{length}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_an_offered_protocol_other_than_the_token_is_selected() {
    let service = Service::new();
    let token = URL_SAFE_NO_PAD.encode(service.token("chat", HOUR));
    let entry = format!("base64url.bearer.authorization.k8s.io.{token}");
    let connect = |protocols: &[&str]| {
        let protocols: Vec<_> = protocols.iter().map(|it| it.to_string()).collect();
        service.connect("/chat", |request| {
            protocols.into_iter().fold(request, ClientRequestBuilder::with_sub_protocol)
        })
    };
    let mut socket = connect(&[&entry, "chat.v1"]).await.unwrap();
    send(&mut socket, "hi").await;
    assert_eq!(receive(&mut socket).await.unwrap(), "user-1: hi");
    service.clock.advance(HOUR);
    assert_eq!(receive(&mut socket).await, closed("the token has expired"));

    let service = Service::new();
    let token = URL_SAFE_NO_PAD.encode(service.token("chat", HOUR));
    let entry = format!("base64url.bearer.authorization.k8s.io.{token}");
    for other in [None, Some("chat.v2")] {
        let offered = |request: ClientRequestBuilder| {
            let request = request.with_sub_protocol(&entry);
            other.into_iter().fold(request, ClientRequestBuilder::with_sub_protocol)
        };
        match service.connect("/chat", offered).await.unwrap_err() {
            // The server has selected none.
            tungstenite::Error::Protocol(ProtocolError::SecWebSocketSubProtocolError(
                SubProtocolError::NoSubProtocol,
            )) => {}
            error => panic!("{error}"),
        }
    }
}

/// Accepts a token in a cookie, and in `Authorization`.
async fn serve_with_cookie(issuer: &Issuer) -> Api {
    let tokens = issuer
        .builder()
        .token_from(TokenLocation::authorization())
        .token_from(TokenLocation::cookie("__Host-token"))
        .trusted_origin("https://admin.example");
    let app = Router::new()
        .route("/chat", any(handlers::chat))
        .route("/", get(async || "served"))
        .layer(AuthenticateLayer::new(tokens.build().unwrap()));
    Api::serve(app).await
}

/// The headers of a handshake, and the expected status.
fn handshakes(issuer: &Issuer, host: &str) -> Vec<(Vec<(&'static str, String)>, u16)> {
    let (token, own) = (issuer.token(), format!("http://{host}"));
    let cookie = ("cookie", format!("theme=dark; __Host-token={token}"));
    let bearer = ("authorization", format!("Bearer {token}"));
    let origin = |origin: &str| ("origin", origin.to_owned());
    let site = |site: &str| ("sec-fetch-site", site.to_owned());
    vec![
        (vec![cookie.clone(), origin(&own)], 200),
        (vec![cookie.clone(), origin(&own), site("same-origin")], 200),
        (vec![cookie.clone(), origin("https://admin.example"), site("cross-site")], 200),
        (vec![cookie.clone(), origin("https://evil.example")], 403),
        (vec![cookie.clone(), origin(&own.replace("http:", "https:"))], 403),
        (vec![cookie.clone(), origin(&format!("{own}0"))], 403),
        (vec![cookie.clone(), origin("null")], 403),
        (vec![cookie.clone(), origin("https://sibling.example"), site("same-site")], 403),
        (vec![cookie], 403),
        (vec![bearer.clone()], 200),
        (vec![bearer, origin("https://evil.example"), site("cross-site")], 200),
        (vec![origin(&own)], 401),
        (vec![], 401),
    ]
}

#[tokio::test]
async fn handshake_with_a_cookie_needs_the_origin_of_the_service() {
    let issuer = Issuer::new();
    let api = serve_with_cookie(&issuer).await;
    for (headers, expected) in handshakes(&issuer, &api.address) {
        let uri = format!("ws://{}/chat", api.address).parse().unwrap();
        let request = ClientRequestBuilder::new(uri);
        let request = headers
            .iter()
            .fold(request, |request, (name, value)| request.with_header(*name, value));
        let expected = if expected == 200 { 101 } else { expected };
        assert_eq!(status(connect_async(request).await), expected, "{headers:?}");
    }
}

#[tokio::test]
async fn extended_connect_with_a_cookie_needs_the_origin_of_the_service() {
    let issuer = Issuer::new();
    let api = serve_with_cookie(&issuer).await;
    let stream = TokioIo::new(TcpStream::connect(&api.address).await.unwrap());
    let (mut sender, connection) =
        http2::handshake::<_, _, Body>(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(connection);
    let url = |path: &str| format!("http://{}{path}", api.address);
    // After the first response, the client knows that the server supports extended CONNECT.
    let get = Request::get(url("/")).body(Body::empty()).unwrap();
    assert_eq!(sender.send_request(get).await.unwrap().status(), StatusCode::UNAUTHORIZED);

    for (headers, expected) in handshakes(&issuer, &api.address) {
        let connect = Request::builder()
            .method(Method::CONNECT)
            .uri(url("/chat"))
            .extension(Protocol::from_static("websocket"))
            .header("sec-websocket-version", "13")
            .header(PROTOCOL, "chat.v1");
        let connect = headers.iter().fold(connect, |it, (name, value)| it.header(*name, value));
        let response = sender.send_request(connect.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), expected, "{headers:?}");
        if response.status() != StatusCode::OK {
            continue;
        }
        assert_eq!(response.headers()[PROTOCOL], "chat.v1");
        let upgraded = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
        let mut socket = WebSocketStream::from_raw_socket(upgraded, Role::Client, None).await;
        send(&mut socket, "hi").await;
        assert_eq!(receive(&mut socket).await.unwrap(), "user-1: hi");
    }
}

#[test]
fn guide_shows_the_tested_handlers() {
    let read = |path: &str| fs::read_to_string(Path::new(ROOT).join(path)).unwrap();
    let guide = read("src/guide/websockets.md");
    let handlers = read("tests/http/axum/websocket/handlers.rs").replace("pub async", "async");
    let handlers: Vec<_> = handlers.split("\n\n").filter(|item| item.contains("fn ")).collect();
    assert_eq!(handlers.len(), 6);
    for item in handlers {
        assert!(
            guide.contains(item.trim_end()),
            "src/guide/websockets.md lacks this item:\n{item}"
        );
    }
}
