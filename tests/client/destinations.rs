//! Origins to which credentials are sent.

use std::net::SocketAddr;

use axum::{Router, response::Redirect, routing::get};
use http::Request;
use tokio::net::TcpListener;
use tower::{Layer as _, ServiceBuilder, ServiceExt as _};
use tower_auth::client::{AttachErrorKind, AttachLayer, BasicAuthorization, BearerToken};

use crate::{Api, BoxError, Issuer, IssuerMode, error_kind, hyper_client, ok, send_get};

fn layer() -> AttachLayer<BasicAuthorization> {
    AttachLayer::new(BasicAuthorization::new("alice", "open: sesame £").unwrap())
}

/// Sends a GET request with reqwest, which resolves the example host names to loopback.
async fn send_get_by_name(
    layer: AttachLayer<BasicAuthorization>,
    url: &str,
) -> Result<(u16, String), BoxError> {
    let here: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let client = reqwest::Client::builder().no_proxy().resolve("api.example", here);
    let client = ServiceBuilder::new()
        .layer(layer)
        .filter(|request: Request<reqwest::Body>| reqwest::Request::try_from(request))
        .service(client.resolve("other.example", here).build().unwrap());
    let request = Request::get(url).body(reqwest::Body::default()).unwrap();
    let response = client.oneshot(request).await?;
    Ok((response.status().as_u16(), response.text().await?))
}

#[tokio::test]
async fn plaintext_request_is_not_sent_unless_allowed() {
    let api = Api::start(&Issuer::new(IssuerMode::Issue)).await;
    let url = format!("http://api.example:{}/", api.port);
    assert_eq!(error_kind(send_get_by_name(layer(), &url).await), AttachErrorKind::Plaintext);
    assert_eq!(api.hits(), 0);
    let layer = layer().dangerous_allow_plaintext();
    assert_eq!(send_get_by_name(layer, &url).await.unwrap(), ok("alice"));
}

#[tokio::test]
async fn http_request_to_localhost_is_sent() {
    let api = Api::start(&Issuer::new(IssuerMode::Issue)).await;
    let url = format!("http://localhost:{}/", api.port);
    assert_eq!(send_get_by_name(layer(), &url).await.unwrap(), ok("alice"));
}

#[tokio::test]
async fn request_to_another_origin_is_not_sent() {
    let issuer = Issuer::new(IssuerMode::Issue);
    let (api, other) = (Api::start(&issuer).await, Api::start(&issuer).await);
    let client = layer().only_to(&api.url()).unwrap().layer(hyper_client());
    assert_eq!(send_get(&client, &api.url()).await.unwrap(), ok("alice"));
    assert_eq!(error_kind(send_get(&client, &other.url()).await), AttachErrorKind::OtherOrigin);
    assert_eq!((api.hits(), other.hits()), (1, 0));
}

#[tokio::test]
async fn several_layers_attach_to_their_own_origins() {
    let issuer = Issuer::new(IssuerMode::Issue);
    let (staff, robots, open) =
        (Api::start(&issuer).await, Api::start(&issuer).await, Api::start(&issuer).await);
    let robot = BearerToken::new(&issuer.jwt("robot")).unwrap();
    let client = ServiceBuilder::new()
        .layer(layer().only_to(&staff.url()).unwrap().pass_others())
        .layer(AttachLayer::new(robot).only_to(&robots.url()).unwrap().pass_others())
        .service(hyper_client());
    assert_eq!(send_get(&client, &staff.url()).await.unwrap(), ok("alice"));
    assert_eq!(send_get(&client, &robots.url()).await.unwrap(), ok("robot"));
    assert_eq!(send_get(&client, &open.url()).await.unwrap().0, 401);
    assert!(open.last_authorization().is_empty());
}

/// The documentation of `client` promises this for reqwest.
#[tokio::test]
async fn reqwest_drops_credentials_on_redirect_to_another_origin() {
    let api = Api::start(&Issuer::new(IssuerMode::Issue)).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (same_origin, other_origin) = (format!("http://127.0.0.1:{port}/b"), api.url());
    let app = Router::new()
        .route("/same-origin", get(async move || Redirect::temporary(&same_origin)))
        .route(
            "/b",
            get(async |headers: http::HeaderMap| headers.contains_key("authorization").to_string()),
        )
        .route("/other-origin", get(async move || Redirect::temporary(&other_origin)));
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });

    let url = |path| format!("http://127.0.0.1:{port}{path}");
    assert_eq!(send_get_by_name(layer(), &url("/same-origin")).await.unwrap(), ok("true"));
    assert_eq!(send_get_by_name(layer(), &url("/other-origin")).await.unwrap().0, 401);
    assert!(api.last_authorization().is_empty());
}
