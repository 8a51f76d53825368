//! `Routes` in front of a hyper service without a router.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::net::TcpListener;
use tower::{ServiceBuilder, service_fn};
use tower_auth::{
    AuthenticateLayer, Principal, RequireScopes,
    authorize::{Methods, Routes, public},
};

use super::{Api, Issuer, Reply};

async fn show(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let caller = request.extensions().get::<Principal>().map_or("anonymous", Principal::subject);
    Ok(Response::new(Full::from(format!("{caller} at {}", request.uri().path()))))
}

fn routes() -> Routes {
    Routes::new()
        .route("/health", public())
        .route("/files/{*path}", RequireScopes::all(["read"]))
        .route("/files/secret/{name}", RequireScopes::all(["admin"]))
        .route("/orders/{id}", Methods::new().on([http::Method::GET], public()))
}

async fn serve(issuer: &Issuer) -> Api {
    let layers = ServiceBuilder::new().layer(AuthenticateLayer::optional(issuer.auth()));
    serve_hyper(layers.layer(routes()).service(service_fn(show))).await
}

async fn serve_hyper<S>(service: S) -> Api
where
    S: tower::Service<Request<Incoming>, Response = Response<Full<Bytes>>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = TowerToHyperService::new(service.clone());
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    Api { address, client: reqwest::Client::builder().no_proxy().build().unwrap() }
}

#[tokio::test]
async fn each_path_applies_its_policy_and_unknown_path_is_rejected() {
    let issuer = Issuer::new();
    let api = serve(&issuer).await;
    for (path, as_anonymous, as_user) in [
        ("/health", 200, 200),
        ("/orders/7", 200, 200),
        ("/files/a", 401, 200),
        ("/files/a/b", 401, 200),
        ("/files/secret/a", 401, 403),
        ("/", 401, 403),
        ("/health/", 401, 403),
        ("/Health", 401, 403),
        ("/orders/7/8", 401, 403),
    ] {
        assert_eq!(api.get_anonymous(path).await.status, as_anonymous, "{path}");
        assert_eq!(api.get_with_token(&issuer.token(), path).await.status, as_user, "{path}");
    }
    let posted = Reply::to(api.request(http::Method::POST, "/orders/7")).await;
    assert_eq!(posted.status, 401);
    assert_eq!(api.get_anonymous("/health").await.body, "anonymous at /health");
    assert_eq!(api.get_with_token(&issuer.token(), "/health").await.body, "user-1 at /health");
}

#[tokio::test(flavor = "multi_thread")]
async fn non_normalized_path_matches_no_route() {
    let api = serve(&Issuer::new()).await;
    // Sent raw, because HTTP clients normalize paths.
    for path in [
        "/health/../files/a",
        "/health/.",
        "//health",
        "/%68ealth",
        "/orders/%2e%2e",
        "/orders/a%2Fb",
        "/orders/..",
        "/orders/a;b",
        "/health%00",
        "/orders/a%5cb",
        "/orders/a%3f",
        "/orders/a%23b",
        "/orders/a%20",
        "/orders/%20a",
        "/orders/a%25",
        "/orders/%C0%AF",
        "/orders/a%0a",
        "/health%3F",
        "/health%23",
        "/health%20",
    ] {
        let response = tower_auth_test_support::raw::get(&api.address, path, &[]);
        assert_eq!(response.status, 401, "{path}");
    }
    let absolute_form =
        tower_auth_test_support::raw::get(&api.address, "http://x/health?a=/../b", &[]);
    assert_eq!(absolute_form.status, 200);
}

/// Decodes a path as often as possible, and parses the result again in the most lenient way.
fn lenient_path(path: &str) -> String {
    let mut path = path.as_bytes().to_vec();
    while let Some((at, byte)) = (0..path.len()).find_map(|at| {
        let digits = path.get(at..at + 3)?.strip_prefix(b"%")?;
        Some((at, u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?))
    }) {
        path.splice(at..at + 3, [byte]);
    }
    let overlong: [(&[u8], u8); 4] = [
        (b"\xc0\xaf", b'/'),
        (b"\xe0\x80\xaf", b'/'),
        (b"\xf0\x80\x80\xaf", b'/'),
        (b"\xc0\xae", b'.'),
    ];
    for (form, byte) in overlong {
        while let Some(at) = path.windows(form.len()).position(|window| window == form) {
            path.splice(at..at + form.len(), [byte]);
        }
    }
    let path = String::from_utf8_lossy(&path).replace('\\', "/");
    let end = path.find(['?', '#', ';', '\0', '\r', '\n']).unwrap_or(path.len());
    let dropped = |character: char| character.is_control() || character == '\u{fffd}';
    let mut segments = Vec::new();
    for segment in path[..end].replace(dropped, "").split('/') {
        match segment.trim_matches(|character: char| character.is_whitespace()) {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment.to_owned()),
        }
    }
    format!("/{}", segments.join("/"))
}

#[tokio::test(flavor = "multi_thread")]
async fn encoded_character_never_leads_a_lenient_service_to_another_route() {
    let lenient = async |request: Request<Incoming>| {
        Ok(Response::new(Full::from(lenient_path(request.uri().path()))))
    };
    let routes = Routes::new()
        .route("/admin", RequireScopes::all(["admin"]))
        .route("/admin/{*rest}", RequireScopes::all(["admin"]))
        .route("/{*rest}", public());
    let layers = ServiceBuilder::new().layer(AuthenticateLayer::optional(Issuer::new().auth()));
    let api = serve_hyper(layers.layer(routes).service(service_fn(lenient))).await;

    let bytes = (0..=255_u8).flat_map(|byte| [format!("%{byte:02X}"), format!("%{byte:02x}")]);
    let longer = ["%C0%AF", "%e0%80%af", "%F0%80%80%AF", "%c0%ae%c0%ae", "%C2%85", "%E2%80%A8"];
    let twice = ["%252F", "%253f", "%2523", "%2520", "%25%32%46", "%u003f", "%%33f"];
    let codes = bytes.chain(longer.iter().chain(&twice).map(|code| (*code).to_owned()));
    let mut open = 0;
    for code in codes {
        for path in ["/admin@", "/admin@x", "/@admin", "/x/@@/admin", "/x@../admin", "/admin@/x"] {
            let path = path.replace('@', &code);
            let response = tower_auth_test_support::raw::get(&api.address, &path, &[]);
            let is_admin = response.body == "/admin" || response.body.starts_with("/admin/");
            assert!(!is_admin && matches!(response.status, 200 | 401), "{path} {response:?}");
            open += usize::from(response.status == 200);
        }
    }
    // Harmless encoded characters, such as `%40`, are accepted.
    assert!(open > 50, "{open}");
    for (path, expected) in [("/a%20b", "/a b"), ("/caf%C3%A9/%40x", "/cafÃ©/@x")] {
        let response = tower_auth_test_support::raw::get(&api.address, path, &[]);
        assert_eq!(response.body, expected, "{path}");
    }
}

#[test]
fn routes_are_listed_with_their_policies() {
    assert_eq!(
        routes().to_string(),
        "/health  public\n\
         /files/{*path}  scope read\n\
         /files/secret/{name}  scope admin\n\
         /orders/{id}  {GET: public}\n"
    );
}
