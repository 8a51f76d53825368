//! The service without axum, over HTTP/1 and HTTP/2.

use futures_util::FutureExt as _;
use http::Version;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::net::TcpListener;
use tower::ServiceExt as _;

use super::{FORM, INVALID, Setup};

#[tokio::test]
async fn hyper_service_accepts_logouts_over_http_1_and_http_2() {
    let setup = Setup::new();
    let service = setup.builder().build().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = TowerToHyperService::new(service.clone());
            tokio::spawn(async move {
                let builder = auto::Builder::new(TokioExecutor::new());
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    let tokens = setup.tokens("orders");
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let client = reqwest::Client::builder().no_proxy();
        let client = match version {
            Version::HTTP_2 => client.http2_prior_knowledge(),
            _ => client.http1_only(),
        };
        let client = client.build().unwrap();
        let sid = format!("{version:?}");
        let access_token = setup.access_token("alice", &sid);
        assert!(tokens.verify(&access_token).await.is_ok());
        let form = format!("logout_token={}", setup.logout_token("alice").claim("sid", sid).sign());
        let post = async |form: &str| {
            let request = client.post(&url).header(FORM.0, FORM.1).body(form.to_owned());
            let response = request.send().await.unwrap();
            assert_eq!(response.version(), version);
            assert_eq!(response.headers()["cache-control"], "no-store");
            (response.status().as_u16(), response.text().await.unwrap())
        };
        assert_eq!(post(&form).await, (200, String::new()));
        assert!(tokens.verify(&access_token).await.is_err());
        assert_eq!(post(&form).await, (400, INVALID.to_owned()));
        assert_eq!(post(&"x".repeat(70_000)).await, (400, INVALID.to_owned()));
        let response = client.get(&url).send().await.unwrap();
        assert_eq!(response.status(), 405);
    }
}

#[test]
fn logout_outside_a_runtime_is_a_wiring_fault() {
    let setup = Setup::new();
    let service = setup.builder().build().unwrap();
    let form = format!("logout_token={}", setup.logout_token("alice").sign());
    let request = http::Request::post("/").header(FORM.0, FORM.1).body(form).unwrap();
    let response = service.oneshot(request).now_or_never().unwrap().unwrap();
    assert_eq!(response.status(), 500);
}
