//! The layers around a bare hyper service, over HTTP/1 and HTTP/2.

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

/// What hyper's server is made with.
#[derive(Clone, Copy, Debug)]
enum Speaks {
    Http1,
    Http2,
    Either,
}

/// Each server, with what a client may speak to it.
const PAIRS: [(Speaks, Version); 4] = [
    (Speaks::Http1, Version::HTTP_11),
    (Speaks::Http2, Version::HTTP_2),
    (Speaks::Either, Version::HTTP_11),
    (Speaks::Either, Version::HTTP_2),
];

/// A service for callers with the scope `echo`, by token or by password.
struct Server {
    address: SocketAddr,
    signer: Signer,
}

impl Server {
    async fn start(speaks: Speaks) -> Self {
        let signer = Signer::generate("HS256", "1");
        let keys = Keys::from_json(json!({ "keys": [signer.jwk()] }).to_string()).unwrap();
        let tokens = JwtAuth::builder(keys).issuer(ISSUER).audience(AUDIENCE).build().unwrap();
        let alice = Principal::builder("alice", Scheme::BASIC).scopes(["echo"]).build();
        let users = Users::new([("bob", "battery")]).unwrap().with(alice, "horse").unwrap();
        let staff = BasicAuth::new("staff", users).unwrap();
        let service = ServiceBuilder::new()
            .layer(AuthenticateLayer::new(any_of(tokens, staff)))
            .layer(RequireScopes::all(["echo"]))
            .service_fn(echo);

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (io, executor) = (TokioIo::new(stream), TokioExecutor::new());
                let service = TowerToHyperService::new(service.clone());
                tokio::spawn(async move {
                    // A connection's end is the client's to judge.
                    match speaks {
                        Speaks::Http1 => {
                            drop(http1::Builder::new().serve_connection(io, service).await);
                        }
                        Speaks::Http2 => {
                            drop(http2::Builder::new(executor).serve_connection(io, service).await);
                        }
                        Speaks::Either => {
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

/// Sends the body back, and who sent it.
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
async fn every_version_of_http_gets_the_same_answers() {
    for (speaks, version) in PAIRS {
        let server = Server::start(speaks).await;
        let client = reqwest_client(version);
        let good = server.bearer("read echo");
        for (authorization, status, asked) in [
            (vec![good.clone()], 200, &[][..]),
            (vec![basic("alice:horse")], 200, &[]),
            (vec![], 401, &["Bearer", STAFF]),
            (vec!["Digest x=y".into()], 401, &["Bearer", STAFF]),
            (vec![format!("{good}x")], 401, &[r#"Bearer error="invalid_token""#, STAFF]),
            (vec![basic("alice:wrong")], 401, &["Bearer", STAFF]),
            (vec![basic("alice")], 401, &["Bearer", STAFF]),
            (
                vec![server.bearer("read")],
                403,
                &[r#"Bearer error="insufficient_scope", scope="echo""#],
            ),
            (vec![basic("bob:battery")], 403, &[]),
            (vec!["Bearer".into()], 400, &[r#"Bearer error="invalid_request""#, STAFF]),
            (vec![good.clone(), good.clone()], 400, &[r#"Bearer error="invalid_request""#, STAFF]),
            (
                vec![basic("alice:horse"), good.clone()],
                400,
                &[r#"Bearer error="invalid_request""#, STAFF],
            ),
        ] {
            let mut request = client.get(server.url());
            for line in &authorization {
                request = request.header("authorization", line);
            }
            let answer = request.send().await.unwrap();
            let case = format!("{speaks:?}, {version:?}, {authorization:?}");
            assert_eq!(answer.version(), version, "{case}");
            assert_eq!(answer.status(), status, "{case}");
            assert_eq!(challenges(answer.headers()), asked, "{case}");
            assert_eq!(answer.headers().contains_key("caller"), status == 200, "{case}");
            assert!(answer.bytes().await.unwrap().is_empty(), "{case}");
        }
    }
}

/// Sends these lines as they are.
async fn raw(
    server: &Server,
    method: &'static str,
    headers: Vec<(&'static str, String)>,
) -> raw::Answer {
    let address = server.address.to_string();
    let send = move || {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        raw::send(&address, method, "/", &headers, "")
    };
    tokio::task::spawn_blocking(send).await.unwrap()
}

#[tokio::test]
async fn names_of_fields_and_schemes_are_known_in_any_case() {
    for speaks in [Speaks::Http1, Speaks::Either] {
        let server = Server::start(speaks).await;
        let token = server.bearer("echo").replacen("Bearer ", "bEARER   ", 1);
        let answer = raw(&server, "GET", vec![("AUTHORIZATION", token)]).await;
        assert_eq!((answer.status, answer.one("caller")), (200, "user-1"));
        let password = basic("alice:horse").replacen("Basic", "BASIC", 1);
        let answer = raw(&server, "GET", vec![("authorization", password)]).await;
        assert_eq!((answer.status, answer.one("caller")), (200, "alice"));
    }
}

#[tokio::test]
async fn two_lines_are_malformed_however_they_are_spelt() {
    for speaks in [Speaks::Http1, Speaks::Either] {
        let server = Server::start(speaks).await;
        let good = server.bearer("echo");
        for second in [good.clone(), basic("alice:horse"), String::new()] {
            let lines = vec![("Authorization", good.clone()), ("aUTHORIZATION", second)];
            let answer = raw(&server, "GET", lines).await;
            assert_eq!(answer.status, 400);
            assert_eq!(answer.one("content-length"), "0");
            assert_eq!(answer.all("caller"), [""; 0]);
        }
    }
}

#[tokio::test]
async fn a_refused_head_has_the_headers_of_a_refused_get_and_no_body() {
    for speaks in [Speaks::Http1, Speaks::Either] {
        let server = Server::start(speaks).await;
        let head = raw(&server, "HEAD", vec![]).await;
        let get = raw(&server, "GET", vec![]).await;
        assert_eq!((head.status, get.status), (401, 401));
        assert_eq!(head.all("www-authenticate"), get.all("www-authenticate"));
        assert_eq!(head.body, "");
    }
    for speaks in [Speaks::Http2, Speaks::Either] {
        let server = Server::start(speaks).await;
        let mut connection = Connection::open(&server, Version::HTTP_2).await;
        let answer = connection.send("HEAD", None, Bytes::new()).await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(challenges(answer.headers()), ["Bearer", STAFF]);
        assert!(answer.body().is_end_stream());
    }
}

/// One connection, and no other behind it.
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
                sender.ready().await.expect("the connection is still there");
                sender.send_request(request).await.unwrap()
            }
            Self::Http2(sender) => {
                sender.ready().await.expect("the connection is still there");
                sender.send_request(request).await.unwrap()
            }
        }
    }
}

#[tokio::test]
async fn a_connection_serves_on_after_refusals_of_requests_with_a_body() {
    for (speaks, version) in PAIRS {
        let server = Server::start(speaks).await;
        let (good, poor) = (server.bearer("echo"), server.bearer(""));
        let mut connection = Connection::open(&server, version).await;
        for (authorization, status) in
            [(None, 401), (Some("Bearer a.b.c"), 401), (Some(&*poor), 403), (Some(&*good), 200)]
        {
            let body = Bytes::from_static(b"a body that a refusal leaves unread");
            let answer = connection.send("POST", authorization, body.clone()).await;
            assert_eq!(answer.status(), status, "{speaks:?}, {version:?}");
            let expected = if status == 200 { body } else { Bytes::new() };
            assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), expected);
        }
    }
}

#[tokio::test]
async fn a_body_reaches_the_service_as_it_was_sent() {
    let body = Bytes::from(random(300_000));
    for (speaks, version) in PAIRS {
        let server = Server::start(speaks).await;
        let token = server.bearer("echo");
        for authorization in [token, basic("alice:horse")] {
            // In chunks, with no length told in advance.
            let chunks: Vec<_> = body
                .chunks(7_000)
                .map(|chunk| Ok::<_, Infallible>(body.slice_ref(chunk)))
                .collect();
            let stream = reqwest::Body::wrap_stream(tokio_stream::iter(chunks));
            let request = reqwest_client(version).put(server.url()).body(stream);
            let answer = request.header("authorization", authorization).send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::OK);
            assert!(answer.bytes().await.unwrap() == body, "{speaks:?}, {version:?}");
        }
    }
}

#[tokio::test]
async fn large_bodies_of_refused_requests_do_not_stop_an_http_2_connection() {
    let body = Bytes::from(vec![b'x'; 1 << 20]);
    for speaks in [Speaks::Http2, Speaks::Either] {
        let server = Server::start(speaks).await;
        let mut connection = Connection::open(&server, Version::HTTP_2).await;
        for _ in 0..5 {
            let answer = connection.send("POST", None, body.clone()).await;
            assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        }
        let good = server.bearer("echo");
        let answer = connection.send("POST", Some(&good), body.clone()).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert!(answer.into_body().collect().await.unwrap().to_bytes() == body);
    }
}
