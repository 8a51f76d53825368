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
    let service = ServiceBuilder::new()
        .layer(AuthenticateLayer::optional(issuer.auth()))
        .layer(routes())
        .service(service_fn(show));
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
    ] {
        let response = tower_auth_test_support::raw::get(&api.address, path, &[]);
        assert_eq!(response.status, 401, "{path}");
    }
    let absolute_form =
        tower_auth_test_support::raw::get(&api.address, "http://x/health?a=/../b", &[]);
    assert_eq!(absolute_form.status, 200);
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
