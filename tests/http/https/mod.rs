//! `HttpsLayer`: plain HTTP is rejected or redirected, and HSTS is sent only over TLS.

mod redirect;

use std::{
    convert::Infallible,
    future::ready,
    net::IpAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, routing::get};
use futures_util::FutureExt as _;
use http::{Request, Response};
use reqwest::RequestBuilder;
use tonic::transport::{Endpoint, Server, server::TcpIncoming};
use tonic_health::{
    pb::{HealthCheckRequest, health_client::HealthClient},
    server::health_reporter,
};
use tower::{Layer as _, Service, ServiceExt as _, limit::ConcurrencyLimit, service_fn};
use tower_auth::{
    AuthenticateLayer, BasicAuth, ConfigErrorKind, RejectionKind,
    basic::{BasicCredentials, Users, Verdict},
    credentials::TokenLocation,
    observe::{Event, Observe},
    respond::ProblemJson,
    transport::{Forwarded, HttpsLayer},
};
use tower_auth_test_support::{
    api::{Api, Reply},
    raw,
};

const HSTS: &str = "strict-transport-security";
const PROTO: &str = "x-forwarded-proto";
const FORWARDED_FOR: &str = "x-forwarded-for";
const HOUR: Duration = Duration::from_secs(3600);

/// The tests send requests as the proxy in front of the service.
fn behind_proxy() -> Forwarded {
    Forwarded::from_proxies(["127.0.0.1"]).unwrap()
}

async fn serve(layer: HttpsLayer) -> Api {
    let routes = get(async || "served").post(async || "served");
    Api::serve_with_addresses(Router::new().fallback(routes).layer(layer)).await
}

/// What a proxy sends for a client that used TLS.
fn over_tls(request: RequestBuilder) -> RequestBuilder {
    request.header(PROTO, "https").header(FORWARDED_FOR, "192.0.2.1")
}

fn over_plain_http(request: RequestBuilder) -> RequestBuilder {
    request.header(PROTO, "http").header(FORWARDED_FOR, "192.0.2.1")
}

#[tokio::test]
async fn plain_http_returns_403_before_any_authenticator() {
    let verified = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&verified);
    let staff = BasicAuth::new("staff", move |sent: BasicCredentials| {
        counted.fetch_add(1, Ordering::Relaxed);
        ready(Verdict::Verified(sent.to_principal().build()))
    });
    let app = Router::new()
        .route("/", get(async || "served"))
        .layer(AuthenticateLayer::new(staff.unwrap()))
        .layer(HttpsLayer::new(behind_proxy()));
    let api = Api::serve_with_addresses(app).await;
    let with_password = || api.get("/").basic_auth("alice", Some("secret"));

    for request in [with_password(), over_plain_http(with_password()), api.get("/")] {
        let reply = Reply::to(request).await;
        assert_eq!((reply.status.as_u16(), reply.body.as_str()), (403, ""));
        assert!(reply.challenges().is_empty());
    }
    assert_eq!(verified.load(Ordering::Relaxed), 0);
    assert_eq!(Reply::to(over_tls(with_password())).await.body, "served");
    assert_eq!(verified.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn only_a_trusted_proxy_can_report_tls() {
    for (forwarded, status) in [
        (behind_proxy(), 200),
        (Forwarded::direct(), 403),
        (Forwarded::from_proxies("10.0.0.0/8").unwrap(), 403),
        // Without a peer address, nothing is trusted.
        (behind_proxy().peer(|_| None), 403),
    ] {
        let api = serve(HttpsLayer::new(forwarded)).await;
        assert_eq!(Reply::to(over_tls(api.get("/"))).await.status, status);
    }
    let api = serve(HttpsLayer::new(Forwarded::direct().tls())).await;
    assert_eq!(api.get_anonymous("/").await.status, 200);
}

#[tokio::test]
async fn hsts_is_sent_over_tls_only() {
    let staff = BasicAuth::new("staff", Users::new([("alice", "secret")]).unwrap()).unwrap();
    let app = Router::new()
        .route("/private", get(async || "served").layer(AuthenticateLayer::new(staff)))
        .route("/own", get(async || ([(HSTS, "max-age=1")], "served")))
        .layer(HttpsLayer::new(behind_proxy()).redirect().except("/own").unwrap().hsts(HOUR));
    let api = Api::serve_with_addresses(app).await;

    for (path, status, hsts) in [
        ("/missing", 404, "max-age=3600"),
        ("/private", 401, "max-age=3600"),
        ("/own", 200, "max-age=1"),
    ] {
        let reply = Reply::to(over_tls(api.get(path))).await;
        assert_eq!(reply.status, status);
        let lines: Vec<_> = reply.headers.get_all(HSTS).iter().collect();
        assert_eq!(lines, [hsts], "{path}");
    }
    for (path, status) in [("/missing", 308), ("/private", 308), ("/private?", 403)] {
        let reply = Reply::to(over_plain_http(api.get(path)).header("host", "app.example")).await;
        assert_eq!(reply.status, status);
        assert!(!reply.headers.contains_key(HSTS), "{path}");
    }

    let api = serve(HttpsLayer::new(behind_proxy()).except("/probe").unwrap().hsts(HOUR)).await;
    let exempt = Reply::to(over_plain_http(api.get("/probe"))).await;
    assert_eq!((exempt.status.as_u16(), exempt.headers.get(HSTS)), (200, None));
    for (layer, expected) in [
        (HttpsLayer::new(behind_proxy()), None),
        (
            HttpsLayer::new(behind_proxy()).hsts_with_subdomains(HOUR),
            Some("max-age=3600; includeSubDomains"),
        ),
        (HttpsLayer::new(behind_proxy()).hsts(Duration::ZERO), Some("max-age=0")),
        (HttpsLayer::new(behind_proxy()).hsts(Duration::MAX), Some("max-age=18446744073709551615")),
    ] {
        let reply = Reply::to(over_tls(serve(layer).await.get("/"))).await;
        let hsts = reply.headers.get(HSTS).map(|value| value.to_str().unwrap());
        assert_eq!(hsts, expected);
    }
}

/// Sends one request with exactly this target and `Host`.
fn raw_response(api: &Api, method: &str, target: &str, host: &str) -> raw::RawResponse {
    raw::send_head(&api.address, &format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n"))
}

fn raw_status(api: &Api, method: &str, target: &str, host: &str) -> u16 {
    raw_response(api, method, target, host).status
}

#[tokio::test(flavor = "multi_thread")]
async fn exempt_path_is_compared_exactly() {
    let layer = HttpsLayer::new(Forwarded::direct());
    let api = serve(layer.except(["/healthz", "/ready"]).unwrap().except("/live").unwrap()).await;
    for path in ["/healthz", "/ready", "/live", "/healthz?verbose"] {
        assert_eq!(raw_status(&api, "GET", path, "app.example"), 200, "{path}");
        assert_eq!(raw_status(&api, "POST", path, "app.example"), 200, "{path}");
    }
    for path in ["/", "/healthz/", "/HEALTHZ", "//healthz", "/x/../healthz", "/%68ealthz", "*"] {
        assert_eq!(raw_status(&api, "GET", path, "app.example"), 403, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn exempt_path_rejects_credentials() {
    let layer = HttpsLayer::new(Forwarded::direct()).except("/healthz").unwrap();
    let api = serve(layer.token_from(TokenLocation::header("x-token"))).await;
    assert_eq!(raw::get(&api.address, "/healthz", &[("accept", "*/*")]).status, 200);
    for (name, value) in [
        ("authorization", "Basic YTpi"),
        ("cookie", "theme=dark"),
        ("proxy-authorization", "Basic YTpi"),
        ("x-token", "a.b.c"),
    ] {
        assert_eq!(raw::get(&api.address, "/healthz", &[(name, value)]).status, 403, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn loopback_is_accepted_only_by_option_and_without_a_proxy() {
    let layer = HttpsLayer::new(Forwarded::direct()).dangerous_allow_loopback().hsts(HOUR);
    let api = serve(layer).await;
    for host in ["localhost", "LOCALHOST:3000", "127.0.0.1:3000", "127.9.8.7", "[::1]:3000"] {
        let response = raw_response(&api, "GET", "/", host);
        assert_eq!(response.status, 200, "{host}");
        assert!(response.header_values(HSTS).is_empty());
    }
    for host in [
        "",
        "app.example",
        "localhost.evil.example",
        "evil.example:localhost",
        "user@localhost",
        "127.0.0.1.evil.example",
        "128.0.0.1",
        "0.0.0.0",
        "[::2]",
    ] {
        assert_eq!(raw_status(&api, "GET", "/", host), 403, "{host}");
    }
    for name in ["Forwarded", "Via", "X-Real-IP", FORWARDED_FOR, PROTO, "X-Forwarded-Port"] {
        let head = format!("localhost\r\n{name}: 1");
        assert_eq!(raw_status(&api, "GET", "/", &head), 403, "{name}");
    }
    for (address, status) in
        [(None, 403), (Some("192.0.2.1"), 403), (Some("::ffff:127.0.0.1"), 200), (Some("::1"), 200)]
    {
        let address: Option<IpAddr> = address.map(|address| address.parse().unwrap());
        let forwarded = Forwarded::direct().peer(move |_| address);
        let api = serve(HttpsLayer::new(forwarded).dangerous_allow_loopback()).await;
        assert_eq!(raw_status(&api, "GET", "/", "localhost"), status, "{address:?}");
    }
    let api = serve(HttpsLayer::new(Forwarded::direct())).await;
    assert_eq!(raw_status(&api, "GET", "/", "localhost"), 403);
}

#[test]
fn invalid_hosts_and_paths_are_config_errors() {
    let layer = || HttpsLayer::new(Forwarded::direct());
    for path in ["", "healthz", "*", "/a/../b", "//a", "/%61", "/a?b", "/a#b", "https://x/a"] {
        let error = layer().except([path]).unwrap_err();
        assert_eq!(error.kind(), ConfigErrorKind::Invalid);
        assert!(error.to_string().contains("starts with /"), "{error}");
    }
    for host in ["", "*.example", "https://app.example", "app.example:443", "app.example/", "a b"] {
        let error = layer().redirect_hosts([host]).unwrap_err();
        assert_eq!(error.kind(), ConfigErrorKind::Invalid);
        assert!(error.to_string().contains("app.example"), "{error}");
    }
    assert_eq!(layer().redirect_hosts([""; 0]).unwrap_err().kind(), ConfigErrorKind::Missing);
}

#[tokio::test]
async fn responder_renders_rejections_of_the_layer_and_inside_it() {
    let staff = BasicAuth::new("staff", Users::new([("alice", "secret")]).unwrap()).unwrap();
    let app = Router::new()
        .route("/", get(async || "served").layer(AuthenticateLayer::new(staff)))
        .layer(HttpsLayer::new(behind_proxy()).hsts(HOUR).responder(ProblemJson::default()));
    let api = Api::serve_with_addresses(app).await;
    let plain = Reply::to(api.get("/")).await;
    assert_eq!((plain.status.as_u16(), plain.headers.get(HSTS)), (403, None));
    assert!(plain.body.contains("https is required"), "{}", plain.body);
    let anonymous = Reply::to(over_tls(api.get("/"))).await;
    assert_eq!(anonymous.status, 401);
    assert_eq!(anonymous.headers[HSTS], "max-age=3600");
    assert_eq!(anonymous.headers["content-type"], "application/problem+json");
    assert_eq!(anonymous.challenges().len(), 1);
}

/// The kind of a rejection, and the client address if it is known.
type Seen = (RejectionKind, Option<IpAddr>);

/// Records each rejection.
#[derive(Clone, Default)]
struct Rejections(Arc<Mutex<Vec<Seen>>>);

impl Observe for Rejections {
    fn observed(&self, event: &Event<'_>) {
        match event {
            Event::Rejected { rejection, request: Some(request), .. } => {
                let seen = (rejection.kind(), request.client_address());
                self.0.lock().unwrap().push(seen);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn observer_receives_each_rejection_once_and_no_redirect() {
    let rejections = Rejections::default();
    let staff = BasicAuth::new("staff", Users::new([("alice", "secret")]).unwrap()).unwrap();
    let app = Router::new()
        .route("/private", get(async || "served").layer(AuthenticateLayer::new(staff)))
        .fallback(get(async || "served"))
        .layer(HttpsLayer::new(behind_proxy()).redirect().observer(rejections.clone()));
    let api = Api::serve_with_addresses(app).await;
    let plain = || over_plain_http(api.get("/")).header("host", "app.example");
    assert_eq!(Reply::to(plain()).await.status, 308);
    assert_eq!(Reply::to(over_tls(api.get("/"))).await.status, 200);
    assert_eq!(Reply::to(plain().header("cookie", "a=b")).await.status, 403);
    assert_eq!(Reply::to(over_tls(api.get("/private"))).await.status, 401);
    // The authentication layer has no `Forwarded`.
    let client = Some("192.0.2.1".parse().unwrap());
    let expected =
        [(RejectionKind::HttpsRequired, client), (RejectionKind::MissingCredentials, None)];
    assert_eq!(*rejections.0.lock().unwrap(), expected);
}

#[tokio::test]
async fn plain_grpc_call_returns_permission_denied() {
    for (forwarded, expected) in [
        (Forwarded::direct(), Err((tonic::Code::PermissionDenied, "https is required"))),
        (Forwarded::direct().tls(), Ok(())),
    ] {
        let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = incoming.local_addr().unwrap();
        let layer = HttpsLayer::new(forwarded).redirect().hsts(HOUR);
        let server = Server::builder().layer(layer).add_service(health_reporter().1);
        tokio::spawn(server.serve_with_incoming(incoming));
        let channel = Endpoint::new(format!("http://{address}")).unwrap().connect().await.unwrap();
        let checked = HealthClient::new(channel).check(HealthCheckRequest::default()).await;
        let checked = checked.as_ref().map(drop).map_err(|it| (it.code(), it.message()));
        assert_eq!(checked, expected);
    }
}

/// Inner bodies need not implement `Default` for the rejection, only for redirects.
type Served = Response<String>;

fn inner() -> impl Service<Request<()>, Response = Served, Error = Infallible, Future: Send> + Clone
{
    service_fn(|_: Request<()>| ready(Ok(Response::new("served".to_owned()))))
}

fn get_request(host: &str) -> Request<()> {
    Request::builder().header("host", host).body(()).unwrap()
}

#[tokio::test]
async fn rejection_and_redirect_release_the_permit() {
    let layer = HttpsLayer::new(Forwarded::direct()).redirect();
    let mut service = layer.layer(ConcurrencyLimit::new(inner(), 1));
    for (host, status) in [("app.example", 308), ("app.example:8080", 403)] {
        let response = service.ready().await.unwrap().call(get_request(host)).await.unwrap();
        assert_eq!(response.status(), status);
        // Another clone can get the permit.
        assert!(service.clone().ready().now_or_never().is_some(), "{host} holds the permit");
    }
}

#[tokio::test]
async fn dropped_request_releases_the_permit() {
    let pending = service_fn(|_: Request<()>| std::future::pending::<Result<Served, Infallible>>());
    let layer = HttpsLayer::new(Forwarded::direct().tls()).hsts(HOUR);
    let mut service = layer.layer(ConcurrencyLimit::new(pending, 1));
    let mut response = service.ready().await.unwrap().call(get_request("app.example")).boxed();
    assert!((&mut response).now_or_never().is_none());
    assert!(service.clone().ready().now_or_never().is_none());
    drop(response);
    assert!(service.clone().ready().now_or_never().is_some());
}
