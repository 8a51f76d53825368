//! Events of logins at a provider, as the default observer writes them.

use axum::body::Body;
use http::{Request, Response, StatusCode};
use tower::ServiceExt as _;
use tower_auth::{
    oidc_login::{Login, OidcLogin},
    session::Sessions,
    store::SealedStore,
};

use super::{ALONE, Log};

#[tokio::test]
async fn request_of_anyone_is_no_warning_and_an_outage_of_the_provider_is_one() {
    let _alone = ALONE.lock().await;
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).with_ansi(false).finish();
    let _guard = tracing::subscriber::set_default(subscriber);

    let sessions = Sessions::builder(SealedStore::memory()).build().unwrap();
    let login = OidcLogin::discover("https://issuer.example")
        .client_id("app")
        .redirect_uri("https://app.example/callback")
        .client(async |_| Err::<Response<bytes::Bytes>, _>("no route to host"))
        .then(async |login: Login| Ok(login.principal().build()))
        .sessions(sessions)
        .build()
        .unwrap();
    let get = |uri: &str| Request::get(uri).body(Body::empty()).unwrap();

    let reply = login.callback().oneshot(get("/callback?state=x&code=c0de")).await.unwrap();
    assert_eq!(reply.status(), StatusCode::BAD_REQUEST);
    assert_eq!(log.count_lines_with(&["INFO", "login failed", "/callback", "login cookie"]), 1);
    assert_eq!(log.count_lines_with(&["WARN"]), 0);

    let reply = login.login().oneshot(get("/login")).await.unwrap();
    assert_eq!(reply.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(log.count_lines_with(&["WARN", "login failed", "no route to host"]), 1);
    assert_eq!(log.count_lines_with(&["c0de"]), 0);
}
