use axum::{Router, body::Body, routing::get};
use http::Request;
use tower::ServiceExt as _;

use super::fixture::App;
use crate::{
    authenticate::AuthenticateLayer, principal::Principal, session::login_redirect::LoginRedirect,
};

async fn status(app: &Router, method: &str, path: &str) -> u16 {
    let request = Request::builder().method(method).uri(path).header("host", "app.example");
    let response = app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    response.status().as_u16()
}

#[tokio::test]
async fn router_has_the_configured_paths() {
    let app = App::with(|login| {
        login
            .login_path("/account/login")
            .logout_path("/account/logout")
            .redirect_uri("https://app.example/account/callback")
    });
    let router = app.login.clone().into_router();
    assert_eq!(status(&router, "GET", "/account/login").await, 303);
    assert_eq!(status(&router, "GET", "/account/callback").await, 400);
    assert_eq!(status(&router, "POST", "/account/logout").await, 303);
    for path in ["/login", "/logout", "/callback", "/account", "/"] {
        assert_eq!(status(&router, "GET", path).await, 404, "{path}");
    }
}

#[tokio::test]
async fn page_leads_to_the_login_and_back() {
    use super::fixture::Browser;

    let app = App::new();
    let pages = Router::new()
        .route("/orders", get(async |caller: Principal| caller.subject().to_owned()))
        .layer(AuthenticateLayer::new(app.sessions.clone()).responder(LoginRedirect::to("/login")));
    let pages = pages.merge(app.login.clone().into_router());
    let mut browser = Browser::default();
    let request = browser.request("GET", "/orders?page=2", Body::empty());
    let response = pages.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), 303);
    let login = response.headers()["location"].to_str().unwrap();
    let (_, query) = login.split_once('?').unwrap();
    let reply = app.log_in(&mut browser, query).await;
    assert_eq!(reply.location(), "/orders?page=2");
    let request = browser.request("GET", reply.location(), Body::empty());
    assert_eq!(pages.oneshot(request).await.unwrap().status(), 200);
}

#[cfg(feature = "issue")]
#[tokio::test]
async fn router_of_tokens_has_no_login_of_its_own() {
    use crate::issue::{TokenIssuer, TokenRoutes};

    let mut issuer = None;
    let app = App::build(|login, sessions| {
        let built = TokenIssuer::builder().issuer("https://app.example").audience("orders");
        let built = built.store(sessions.store().clone()).build().unwrap();
        issuer = Some(built.clone());
        login.tokens(built).logout_path("/provider/logout")
    });
    let tokens = TokenRoutes::without_passwords(issuer.unwrap()).cookie().build().unwrap();
    let router = app.login.clone().into_router().merge(tokens.into_router());
    assert_eq!(status(&router, "GET", "/login").await, 303);
    assert_eq!(status(&router, "POST", "/provider/logout").await, 303);
    assert_eq!(status(&router, "POST", "/logout").await, 204);
}
