//! Where credentials go, and where they do not.

use std::net::SocketAddr;

use axum::{Router, response::Redirect, routing::get};
use http::Request;
use tokio::net::TcpListener;
use tower::{Layer as _, ServiceBuilder, ServiceExt as _};
use tower_auth::client::{AttachErrorKind, AttachLayer, BasicAuthorization, BearerToken};

use crate::{Api, BoxError, Issuer, Mood, ask, hyper_client, kind, ok};

fn layer() -> AttachLayer<BasicAuthorization> {
    AttachLayer::new(BasicAuthorization::new("alice", "open: sesame £").unwrap())
}

/// Asks with reqwest, for which every name is within this machine.
async fn ask_by_name(
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
async fn credentials_do_not_go_in_the_clear_unless_it_is_asked_for_by_name() {
    let api = Api::start(&Issuer::new(Mood::Issues)).await;
    let url = format!("http://api.example:{}/", api.port);
    assert_eq!(kind(ask_by_name(layer(), &url).await), AttachErrorKind::Plaintext);
    assert_eq!(api.hits(), 0);
    let layer = layer().dangerous_allow_plaintext();
    assert_eq!(ask_by_name(layer, &url).await.unwrap(), ok("alice"));
}

#[tokio::test]
async fn a_name_of_loopback_is_loopback() {
    let api = Api::start(&Issuer::new(Mood::Issues)).await;
    let url = format!("http://localhost:{}/", api.port);
    assert_eq!(ask_by_name(layer(), &url).await.unwrap(), ok("alice"));
}

#[tokio::test]
async fn a_request_to_another_origin_is_not_sent() {
    let issuer = Issuer::new(Mood::Issues);
    let (api, other) = (Api::start(&issuer).await, Api::start(&issuer).await);
    let client = layer().only_to(&api.url()).unwrap().layer(hyper_client());
    assert_eq!(ask(&client, &api.url()).await.unwrap(), ok("alice"));
    assert_eq!(kind(ask(&client, &other.url()).await), AttachErrorKind::OtherOrigin);
    assert_eq!((api.hits(), other.hits()), (1, 0));
}

#[tokio::test]
async fn each_of_several_layers_has_origins_of_its_own() {
    let issuer = Issuer::new(Mood::Issues);
    let (staff, robots, open) =
        (Api::start(&issuer).await, Api::start(&issuer).await, Api::start(&issuer).await);
    let robot = BearerToken::new(&issuer.jwt("robot")).unwrap();
    let client = ServiceBuilder::new()
        .layer(layer().only_to(&staff.url()).unwrap().pass_others())
        .layer(AttachLayer::new(robot).only_to(&robots.url()).unwrap().pass_others())
        .service(hyper_client());
    assert_eq!(ask(&client, &staff.url()).await.unwrap(), ok("alice"));
    assert_eq!(ask(&client, &robots.url()).await.unwrap(), ok("robot"));
    assert_eq!(ask(&client, &open.url()).await.unwrap().0, 401);
    assert!(open.last_authorization().is_empty());
}

/// What the documentation says of reqwest.
#[tokio::test]
async fn reqwest_leaves_credentials_behind_where_a_redirect_leads_to_another_origin() {
    let api = Api::start(&Issuer::new(Mood::Issues)).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (within, away) = (format!("http://127.0.0.1:{port}/b"), api.url());
    let app = Router::new()
        .route("/within", get(async move || Redirect::temporary(&within)))
        .route(
            "/b",
            get(async |headers: http::HeaderMap| headers.contains_key("authorization").to_string()),
        )
        .route("/away", get(async move || Redirect::temporary(&away)));
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });

    let url = |path| format!("http://127.0.0.1:{port}{path}");
    assert_eq!(ask_by_name(layer(), &url("/within")).await.unwrap(), ok("true"));
    assert_eq!(ask_by_name(layer(), &url("/away")).await.unwrap().0, 401);
    assert!(api.last_authorization().is_empty());
}
