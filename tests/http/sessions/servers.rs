//! Sessions without axum: plain hyper services, over HTTP/1 and HTTP/2.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::net::TcpListener;
use tower::{Layer as _, service_fn};
use tower_auth::{AuthenticateLayer, Principal, session::Sessions};
use tower_auth_test_support::user_agent::UserAgent;

use super::{COOKIE_NAME, Setup, user};

/// Serves a login, a page and a logout.
async fn serve(sessions: Sessions) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let inner = sessions.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let sessions = inner.clone();
        async move {
            let (head, _) = request.into_parts();
            let mut response = Response::new(Full::<Bytes>::default());
            let caller = head.extensions.get::<Principal>();
            match (head.uri.path(), caller) {
                ("/login", _) => {
                    sessions.start(&user("alice"), &head, &mut response).await.unwrap();
                }
                ("/logout", Some(caller)) => {
                    sessions.end(caller, &mut response).await.unwrap();
                }
                (_, Some(caller)) => {
                    *response.body_mut() = Bytes::from(caller.subject().to_owned()).into();
                }
                _ => *response.body_mut() = "anonymous".into(),
            }
            Ok::<_, Infallible>(response)
        }
    });
    let service = AuthenticateLayer::optional(sessions).layer(service);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = TowerToHyperService::new(service.clone());
            tokio::spawn(async move {
                let builder = auto::Builder::new(TokioExecutor::new());
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    url
}

#[tokio::test]
async fn hyper_serves_sessions_over_http_1() {
    let setup = Setup::new();
    let url = serve(setup.sessions.clone()).await;
    let browser = UserAgent::new();
    let page = format!("{url}/");
    assert_eq!(browser.open(&page).await.body, "anonymous");
    assert_eq!(browser.submit(&page, &format!("{url}/login"), "").await.status, 200);
    assert_eq!(browser.open(&page).await.body, "alice");
    assert_eq!(browser.submit(&page, &format!("{url}/logout"), "").await.status, 200);
    assert_eq!(browser.open(&page).await.body, "anonymous");
}

#[tokio::test]
async fn hyper_serves_sessions_over_http_2_with_split_cookies() {
    let setup = Setup::new();
    let url = serve(setup.sessions.clone()).await;
    let browser = UserAgent::new();
    browser.submit(&url, &format!("{url}/login"), "").await;
    let id = browser.cookie(&url, COOKIE_NAME).unwrap();
    let client = reqwest::Client::builder().no_proxy().http2_prior_knowledge().build().unwrap();
    // HTTP/2 clients may send each pair in its own field.
    let request = client.get(format!("{url}/")).header("cookie", "a=b");
    let request = request.header("cookie", format!("{COOKIE_NAME}={id}")).header("cookie", "c=d");
    let response = request.send().await.unwrap();
    assert_eq!(response.version(), Version::HTTP_2);
    assert_eq!(response.text().await.unwrap(), "alice");
}
