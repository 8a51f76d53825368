//! Sessions with other authenticators, optional layers, extractors and policies.

use axum::{
    Router,
    http::{HeaderMap, Method, StatusCode, header::CONTENT_TYPE},
    routing::get,
};
use serde_json::{Value, json};
use tower_auth::{
    AuthenticateLayer, Principal, RequireRoles, RequireScopes, Scheme, any_of,
    credentials::TokenLocation,
};
use tower_auth_test_support::{
    api::{Issuer, Reply, greet},
    user_agent::UserAgent,
};

use super::{COOKIE_NAME, Service, Setup};

/// A page for everyone, which greets users who are logged in.
async fn welcome(caller: Option<Principal>) -> String {
    caller.map_or("welcome".to_owned(), |caller| format!("hello {}", caller.subject()))
}

#[tokio::test]
async fn optional_layer_admits_anonymous_requests_but_no_invalid_session() {
    let setup = Setup::new();
    let optional = AuthenticateLayer::optional(setup.sessions.clone());
    let page = Router::new().route("/", get(welcome)).layer(optional);
    let service = Service::start(setup.app().merge(page)).await;
    let browser = UserAgent::new();
    assert_eq!(service.get(&browser, "/").await.body, "welcome");
    service.log_in(&browser, "alice").await;
    assert_eq!(service.get(&browser, "/").await.body, "hello alice");
    service.set_cookie(&browser, "AAAAAAAAAAAAAAAAAAAAAA");
    assert_eq!(service.status(&browser, "/").await, 401);
    // The rejection has removed the cookie, so the next request is anonymous.
    assert_eq!(service.get(&browser, "/").await.body, "welcome");
}

#[tokio::test]
async fn sessions_and_tokens_protect_one_route() {
    let (setup, issuer) = (Setup::new(), Issuer::new());
    for is_first in [true, false] {
        let (sessions, tokens) = (setup.sessions.clone(), issuer.auth());
        let route = Router::new().route("/both", get(greet).post(greet));
        let route = match is_first {
            true => route.layer(AuthenticateLayer::new(any_of((sessions, tokens)))),
            false => route.layer(AuthenticateLayer::new(any_of((tokens, sessions)))),
        };
        let service = Service::start(setup.app().merge(route)).await;
        let browser = service.browser_of("alice").await;
        assert_eq!(service.get(&browser, "/both").await.body, "hello alice");
        let reply = service.api.get_with_token(&issuer.token(), "/both").await;
        assert_eq!(reply.body, "hello user-1");
        // An invalid credential of one scheme is rejected, whatever the other one says.
        let reply = service.api.get_with_token(&issuer.expired_token(), "/both").await;
        assert_eq!(reply.status, 401);
        let request = service.api.get("/both").bearer_auth(issuer.token());
        let reply = Reply::to(request.header("cookie", format!("{COOKIE_NAME}=x"))).await;
        assert!(reply.status == 401 || reply.body == "hello user-1", "{reply:?}");
        assert!(!reply.body.contains("alice"));
        let reply = service.api.get_anonymous("/both").await;
        assert_eq!(reply.status, 401);
        let mut schemes: Vec<_> = reply
            .challenges()
            .iter()
            .map(|challenge| challenge.split(' ').next().unwrap().to_owned())
            .collect();
        schemes.sort_unstable();
        assert_eq!(schemes, ["Bearer", "Cookie"], "{reply:?}");
    }
}

/// The check of the session must not be avoided with a token in a form of another site.
#[tokio::test]
async fn cross_site_check_applies_to_the_cookie_and_not_to_the_token() {
    let (setup, issuer) = (Setup::new(), Issuer::new());
    let both = any_of((setup.sessions.clone(), issuer.auth()));
    let route = Router::new().route("/both", get(greet).post(greet));
    let route = route.layer(AuthenticateLayer::new(both));
    let service = Service::start(setup.app().merge(route)).await;
    let browser = service.browser_of("alice").await;
    let post = || {
        let request = service.api.request(Method::POST, "/both");
        request.header("sec-fetch-site", "cross-site")
    };
    assert_eq!(Reply::to(post().bearer_auth(issuer.token())).await.status, 200);
    let cookie = format!("{COOKIE_NAME}={}", service.cookie(&browser).unwrap());
    assert_eq!(Reply::to(post().header("cookie", cookie)).await.status, 403);
}

#[tokio::test]
async fn session_and_token_cookies_do_not_interfere() {
    let (setup, issuer) = (Setup::new(), Issuer::new());
    let tokens = issuer.builder().token_from(TokenLocation::cookie("__Host-token"));
    let both = any_of((setup.sessions.clone(), tokens.build().unwrap()));
    let show = async |caller: Principal, headers: HeaderMap| {
        assert_eq!(headers.get("cookie").map(|line| line.to_str().unwrap()), Some("theme=dark"));
        caller.subject().to_owned()
    };
    let route = Router::new().route("/both", get(show)).layer(AuthenticateLayer::new(both));
    let service = Service::start(setup.app().merge(route)).await;
    let id = service.cookie(&service.browser_of("alice").await).unwrap();
    let token = issuer.token();
    for (cookie, subject) in [
        (format!("{COOKIE_NAME}={id}; theme=dark"), "alice"),
        (format!("theme=dark; __Host-token={token}"), "user-1"),
    ] {
        let reply = Reply::to(service.api.get("/both").header("cookie", cookie)).await;
        assert_eq!(reply.body, subject, "{reply:?}");
    }
}

#[tokio::test]
async fn policies_decide_about_sessions_as_about_tokens() {
    let (setup, issuer) = (Setup::new(), Issuer::new());
    let routes = || {
        Router::new()
            .route("/t/read", get(greet).layer(RequireScopes::all("read")))
            .route("/t/delete", get(greet).layer(RequireScopes::all("delete")))
            .route("/t/admin", get(greet).layer(RequireRoles::all("admin")))
    };
    let tokens = routes().layer(AuthenticateLayer::new(issuer.auth()));
    let service = Service::start(setup.app().merge(tokens)).await;
    for (name, roles) in [("alice", json!(["admin"])), ("bob", json!([]))] {
        let browser = service.browser_of(name).await;
        let token = issuer.token_with(json!({ "sub": name, "roles": roles }));
        for path in ["/read", "/delete", "/admin"] {
            let by_session = service.get(&browser, path).await;
            let by_token = service.api.get_with_token(&token, &format!("/t{path}")).await;
            assert_eq!(by_session.status, by_token.status, "{name} {path}");
            assert_eq!(by_session.body, by_token.body, "{name} {path}");
        }
    }
    let reply = service.get(&service.browser_of("alice").await, "/delete").await;
    assert_eq!(reply.status, 403);
}

#[tokio::test]
async fn principal_of_a_session_is_that_of_the_login() {
    let setup = Setup::new();
    let service = setup.serve().await;
    let browser = service.browser_of("alice").await;
    let reply = service.get(&browser, "/claims").await;
    let claims: Value = serde_json::from_str(&reply.body).unwrap();
    assert_eq!(claims["sub"], "alice");
    assert_eq!(claims["email"], "alice@example.com");
    assert_eq!(claims["scopes"], json!(["read", "write"]));
    assert!(claims["session"].is_string());
}

#[tokio::test]
async fn principal_that_is_bound_to_a_key_gets_no_session() {
    use tower_auth::binding::Cnf;

    let setup = Setup::new();
    let cnf = Cnf::new(&json!({ "jkt": "x" })).unwrap();
    let bound = Principal::builder("alice", Scheme::BEARER).confirmation(cnf).build();
    let (head, ()) = http::Request::new(()).into_parts();
    let mut response = http::Response::new(());
    assert!(setup.sessions.start(&bound, &head, &mut response).await.is_err());
    assert!(response.headers().is_empty());
}

/// A session is not a token, so nothing may revoke or exchange it as one.
#[tokio::test]
async fn session_cannot_be_revoked_as_a_token() {
    let setup = Setup::new();
    let revocations = setup.sessions.revocations().clone();
    let revoke = async move |caller: Principal| match revocations.token(&caller).await {
        Ok(()) => StatusCode::NO_CONTENT,
        Err(_) => StatusCode::IM_A_TEAPOT,
    };
    let route = Router::new().route("/revoke", get(revoke));
    let route = route.layer(AuthenticateLayer::new(setup.sessions.clone()));
    let service = Service::start(setup.app().merge(route)).await;
    let browser = service.browser_of("alice").await;
    assert_eq!(service.status(&browser, "/revoke").await, 418);
    assert_eq!(service.status(&browser, "/me").await, 200);
}

#[tokio::test]
async fn grpc_request_without_a_session_gets_a_grpc_status() {
    let service = Setup::new().serve().await;
    let client = reqwest::Client::builder().no_proxy().http2_prior_knowledge().build().unwrap();
    let request = client.post(service.url("/me")).header(CONTENT_TYPE, "application/grpc");
    let reply = Reply::to(request).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.headers["grpc-status"], "16");
}
