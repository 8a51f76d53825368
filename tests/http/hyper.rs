//! The layers around a plain hyper service, over HTTP/1 and HTTP/2.

use std::{convert::Infallible, net::SocketAddr};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, Version};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    body::Incoming,
    client::conn as client,
    server::conn::{http1, http2},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceBuilder;
use tower_auth::{
    AuthenticateLayer, BasicAuth, JwtAuth, Principal, RequireScopes, Scheme, any_of, basic::Users,
    jwt::Keys,
};
use tower_auth_test_support::{
    raw,
    token::{AUDIENCE, ISSUER, Signer, claims, random},
};

/// The connection type of the hyper server.
#[derive(Clone, Copy, Debug)]
enum ServerKind {
    Http1,
    Http2,
    Either,
}

/// Each server, with the HTTP version of the client.
const COMBINATIONS: [(ServerKind, Version); 4] = [
    (ServerKind::Http1, Version::HTTP_11),
    (ServerKind::Http2, Version::HTTP_2),
    (ServerKind::Either, Version::HTTP_11),
    (ServerKind::Either, Version::HTTP_2),
];

/// A server for callers with the scope `echo`, by token or by password.
struct Server {
    address: SocketAddr,
    signer: Signer,
}

impl Server {
    async fn start(server_kind: ServerKind) -> Self {
        let signer = Signer::generate("HS256", "1");
        let keys = Keys::from_json(json!({ "keys": [signer.jwk()] }).to_string()).unwrap();
        let tokens = JwtAuth::builder(keys).issuer(ISSUER).audience(AUDIENCE).build().unwrap();
        let alice = Principal::builder("alice", Scheme::BASIC).scopes(["echo"]).build();
        let users = Users::new([("bob", "battery")]).unwrap().with(alice, "horse").unwrap();
        let staff = BasicAuth::new("staff", users).unwrap();
        let service = ServiceBuilder::new()
            .layer(AuthenticateLayer::new(any_of((tokens, staff))))
            .layer(RequireScopes::all(["echo"]))
            .service_fn(echo);

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (io, executor) = (TokioIo::new(stream), TokioExecutor::new());
                let service = TowerToHyperService::new(service.clone());
                tokio::spawn(async move {
                    // Connection errors are ignored here, because the client detects them.
                    match server_kind {
                        ServerKind::Http1 => {
                            drop(http1::Builder::new().serve_connection(io, service).await);
                        }
                        ServerKind::Http2 => {
                            drop(http2::Builder::new(executor).serve_connection(io, service).await);
                        }
                        ServerKind::Either => {
                            drop(auto::Builder::new(executor).serve_connection(io, service).await);
                        }
                    }
                });
            }
        });
        Self { address, signer }
    }

    fn bearer(&self, scope: &str) -> String {
        let mut claims = claims();
        claims["scope"] = scope.into();
        format!("Bearer {}", self.signer.token(&claims))
    }

    fn url(&self) -> String {
        format!("http://{}/", self.address)
    }
}

/// Returns the request body, and the subject of the caller in a header.
async fn echo(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let caller: Principal = request.extensions().get().cloned().unwrap();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let response = Response::builder().header("caller", caller.subject());
    Ok(response.body(Full::from(body)).unwrap())
}

fn basic(user_pass: &str) -> String {
    format!("Basic {}", STANDARD.encode(user_pass))
}

fn reqwest_client(version: Version) -> reqwest::Client {
    let builder = reqwest::Client::builder().no_proxy();
    match version {
        Version::HTTP_2 => builder.http2_prior_knowledge(),
        _ => builder.http1_only(),
    }
    .build()
    .unwrap()
}

fn challenges(headers: &HeaderMap) -> Vec<&str> {
    let lines = headers.get_all("www-authenticate").iter();
    lines.map(|line| line.to_str().unwrap()).collect()
}

const STAFF: &str = r#"Basic realm="staff", charset="UTF-8""#;

#[tokio::test]
async fn http_1_and_http_2_get_the_same_responses() {
    for (server_kind, version) in COMBINATIONS {
        let server = Server::start(server_kind).await;
        let client = reqwest_client(version);
        let valid = server.bearer("read echo");
        for (authorization, status, expected_challenges) in [
            (vec![valid.clone()], 200, &[][..]),
            (vec![basic("alice:horse")], 200, &[]),
            (vec![], 401, &["Bearer", STAFF]),
            (vec!["Digest x=y".into()], 401, &["Bearer", STAFF]),
            (vec![format!("{valid}x")], 401, &[r#"Bearer error="invalid_token""#, STAFF]),
            (vec![basic("alice:wrong")], 401, &["Bearer", STAFF]),
            (vec![basic("alice")], 401, &["Bearer", STAFF]),
            (
                vec![server.bearer("read")],
                403,
                &[r#"Bearer error="insufficient_scope", scope="echo""#],
            ),
            (vec![basic("bob:battery")], 403, &[]),
            (vec!["Bearer".into()], 400, &[r#"Bearer error="invalid_request""#, STAFF]),
            (
                vec![valid.clone(), valid.clone()],
                400,
                &[r#"Bearer error="invalid_request""#, STAFF],
            ),
            (
                vec![basic("alice:horse"), valid.clone()],
                400,
                &[r#"Bearer error="invalid_request""#, STAFF],
            ),
        ] {
            let mut request = client.get(server.url());
            for line in &authorization {
                request = request.header("authorization", line);
            }
            let response = request.send().await.unwrap();
            let case = format!("{server_kind:?}, {version:?}, {authorization:?}");
            assert_eq!(response.version(), version, "{case}");
            assert_eq!(response.status(), status, "{case}");
            assert_eq!(challenges(response.headers()), expected_challenges, "{case}");
            assert_eq!(response.headers().contains_key("caller"), status == 200, "{case}");
            assert!(response.bytes().await.unwrap().is_empty(), "{case}");
        }
    }
}

/// Sends the headers exactly as given.
async fn send_raw(
    server: &Server,
    method: &'static str,
    headers: Vec<(&'static str, String)>,
) -> raw::RawResponse {
    let address = server.address.to_string();
    let send = move || {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        raw::send(&address, method, "/", &headers, "")
    };
    tokio::task::spawn_blocking(send).await.unwrap()
}

#[tokio::test]
async fn header_and_scheme_names_are_case_insensitive() {
    for server_kind in [ServerKind::Http1, ServerKind::Either] {
        let server = Server::start(server_kind).await;
        let token = server.bearer("echo").replacen("Bearer ", "bEARER   ", 1);
        let response = send_raw(&server, "GET", vec![("AUTHORIZATION", token)]).await;
        assert_eq!((response.status, response.header("caller")), (200, "user-1"));
        let password = basic("alice:horse").replacen("Basic", "BASIC", 1);
        let response = send_raw(&server, "GET", vec![("authorization", password)]).await;
        assert_eq!((response.status, response.header("caller")), (200, "alice"));
    }
}

#[tokio::test]
async fn two_authorization_headers_of_any_case_return_400() {
    for server_kind in [ServerKind::Http1, ServerKind::Either] {
        let server = Server::start(server_kind).await;
        let valid = server.bearer("echo");
        for second in [valid.clone(), basic("alice:horse"), String::new()] {
            let lines = vec![("Authorization", valid.clone()), ("aUTHORIZATION", second)];
            let response = send_raw(&server, "GET", lines).await;
            assert_eq!(response.status, 400);
            assert_eq!(response.header("content-length"), "0");
            assert_eq!(response.header_values("caller"), [""; 0]);
        }
    }
}

#[tokio::test]
async fn rejected_head_has_the_headers_of_a_rejected_get_and_no_body() {
    for server_kind in [ServerKind::Http1, ServerKind::Either] {
        let server = Server::start(server_kind).await;
        let head = send_raw(&server, "HEAD", vec![]).await;
        let get = send_raw(&server, "GET", vec![]).await;
        assert_eq!((head.status, get.status), (401, 401));
        assert_eq!(head.header_values("www-authenticate"), get.header_values("www-authenticate"));
        assert_eq!(head.body, "");
    }
    for server_kind in [ServerKind::Http2, ServerKind::Either] {
        let server = Server::start(server_kind).await;
        let mut connection = Connection::open(&server, Version::HTTP_2).await;
        let response = connection.send("HEAD", None, Bytes::new()).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(challenges(response.headers()), ["Bearer", STAFF]);
        assert!(response.body().is_end_stream());
    }
}

/// A client that uses exactly one connection.
enum Connection {
    Http1(client::http1::SendRequest<Full<Bytes>>),
    Http2(client::http2::SendRequest<Full<Bytes>>),
}

impl Connection {
    async fn open(server: &Server, version: Version) -> Self {
        let io = TokioIo::new(TcpStream::connect(server.address).await.unwrap());
        if version == Version::HTTP_2 {
            let (sender, connection) =
                client::http2::handshake(TokioExecutor::new(), io).await.unwrap();
            tokio::spawn(connection);
            Self::Http2(sender)
        } else {
            let (sender, connection) = client::http1::handshake(io).await.unwrap();
            tokio::spawn(connection);
            Self::Http1(sender)
        }
    }

    async fn send(
        &mut self,
        method: &str,
        authorization: Option<&str>,
        body: Bytes,
    ) -> Response<Incoming> {
        let mut request = Request::builder().method(method).uri("http://example/");
        if let Some(line) = authorization {
            request = request.header("authorization", line);
        }
        let request = request.body(Full::from(body)).unwrap();
        match self {
            Self::Http1(sender) => {
                sender.ready().await.expect("the connection was closed");
                sender.send_request(request).await.unwrap()
            }
            Self::Http2(sender) => {
                sender.ready().await.expect("the connection was closed");
                sender.send_request(request).await.unwrap()
            }
        }
    }
}

#[tokio::test]
async fn connection_stays_usable_after_rejected_requests_with_a_body() {
    for (server_kind, version) in COMBINATIONS {
        let server = Server::start(server_kind).await;
        let (valid, unscoped) = (server.bearer("echo"), server.bearer(""));
        let mut connection = Connection::open(&server, version).await;
        for (authorization, status) in [
            (None, 401),
            (Some("Bearer a.b.c"), 401),
            (Some(&*unscoped), 403),
            (Some(&*valid), 200),
        ] {
            let body = Bytes::from_static(b"a body that a rejection leaves unread");
            let response = connection.send("POST", authorization, body.clone()).await;
            assert_eq!(response.status(), status, "{server_kind:?}, {version:?}");
            let expected = if status == 200 { body } else { Bytes::new() };
            assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), expected);
        }
    }
}

#[tokio::test]
async fn streamed_body_reaches_the_service_unchanged() {
    let body = Bytes::from(random(300_000));
    for (server_kind, version) in COMBINATIONS {
        let server = Server::start(server_kind).await;
        let token = server.bearer("echo");
        for authorization in [token, basic("alice:horse")] {
            // Chunked, without a content length.
            let chunks: Vec<_> = body
                .chunks(7_000)
                .map(|chunk| Ok::<_, Infallible>(body.slice_ref(chunk)))
                .collect();
            let stream = reqwest::Body::wrap_stream(tokio_stream::iter(chunks));
            let request = reqwest_client(version).put(server.url()).body(stream);
            let response = request.header("authorization", authorization).send().await.unwrap();
            assert_eq!(response.status(), StatusCode::OK);
            assert!(response.bytes().await.unwrap() == body, "{server_kind:?}, {version:?}");
        }
    }
}

#[tokio::test]
async fn large_bodies_of_rejected_requests_do_not_block_an_http_2_connection() {
    let body = Bytes::from(vec![b'x'; 1 << 20]);
    for server_kind in [ServerKind::Http2, ServerKind::Either] {
        let server = Server::start(server_kind).await;
        let mut connection = Connection::open(&server, Version::HTTP_2).await;
        for _ in 0..5 {
            let response = connection.send("POST", None, body.clone()).await;
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        }
        let valid = server.bearer("echo");
        let response = connection.send("POST", Some(&valid), body.clone()).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert!(response.into_body().collect().await.unwrap().to_bytes() == body);
    }
}
