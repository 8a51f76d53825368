use std::time::Duration;

use http::{Request, Version};

use super::*;
use crate::{header::Scheme, respond::problem::ProblemJson};

fn head(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

const NAVIGATE: (&str, &str) = ("sec-fetch-mode", "navigate");
const DOCUMENT: (&str, &str) = ("sec-fetch-dest", "document");

fn page(uri: &str) -> Parts {
    head("GET", uri, &[NAVIGATE, DOCUMENT])
}

fn missing() -> Rejection {
    Rejection::new(RejectionKind::MissingCredentials)
}

fn location_of(responder: &LoginRedirect, rejection: &Rejection, head: &Parts) -> Option<String> {
    let response: Response<String> = responder.respond(rejection, head);
    let location = response.headers().get(LOCATION)?.to_str().unwrap().to_owned();
    assert_eq!(response.status(), 303);
    assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
    Some(location)
}

fn location(rejection: &Rejection, head: &Parts) -> Option<String> {
    location_of(&LoginRedirect::to("/login"), rejection, head)
}

fn insufficient(acr_values: &[&str], max_age: Option<u64>) -> Rejection {
    let max_age = max_age.map(Duration::from_secs);
    let denial = Denial::insufficient_user_authentication(acr_values.iter().copied(), max_age);
    denial.into_rejection(Scheme::COOKIE, None)
}

#[test]
fn navigation_without_credentials_is_redirected_with_its_page() {
    let expected = Some("/login?return_to=%2Forders%2F7%3Ftab%3Da%2526b".to_owned());
    assert_eq!(location(&missing(), &page("/orders/7?tab=a%26b")), expected);
    let invalid = Rejection::new(RejectionKind::InvalidCredentials);
    assert_eq!(location(&invalid, &page("/orders/7?tab=a%26b")), expected);
    let without_dest = head("GET", "/a", &[NAVIGATE]);
    assert_eq!(location(&missing(), &without_dest).as_deref(), Some("/login?return_to=%2Fa"));
}

#[test]
fn host_of_the_request_is_not_in_the_location() {
    let mut absolute = page("https://evil.example/orders");
    absolute.version = Version::HTTP_2;
    assert_eq!(location(&missing(), &absolute).as_deref(), Some("/login?return_to=%2Forders"));
    for uri in ["//evil.example", "/a//b", "/%2f%2fevil.example", "/a?b%0a=\"<"] {
        let Ok(_) = uri.parse::<http::Uri>() else { continue };
        assert_eq!(location(&missing(), &page(uri)).as_deref(), Some("/login"), "{uri}");
    }
}

#[test]
fn everything_but_a_navigation_gets_the_other_response() {
    for (method, headers) in [
        ("GET", &[][..]),
        ("GET", &[DOCUMENT]),
        ("GET", &[("sec-fetch-mode", "cors"), ("sec-fetch-dest", "empty")]),
        ("GET", &[("sec-fetch-mode", "same-origin")]),
        ("GET", &[("sec-fetch-mode", "websocket")]),
        ("GET", &[("sec-fetch-mode", "Navigate")]),
        ("GET", &[NAVIGATE, NAVIGATE]),
        ("GET", &[NAVIGATE, ("sec-fetch-mode", "cors")]),
        ("GET", &[NAVIGATE, ("sec-fetch-dest", "iframe")]),
        ("GET", &[NAVIGATE, ("sec-fetch-dest", "embed")]),
        ("GET", &[NAVIGATE, DOCUMENT, DOCUMENT]),
        ("GET", &[NAVIGATE, DOCUMENT, ("sec-purpose", "prefetch;prerender")]),
        ("HEAD", &[NAVIGATE, DOCUMENT]),
        ("POST", &[NAVIGATE, DOCUMENT]),
        ("PUT", &[NAVIGATE]),
    ] {
        let head = head(method, "/orders", headers);
        assert_eq!(location(&missing(), &head), None, "{method} {headers:?}");
        let response: Response<String> = LoginRedirect::to("/login").respond(&missing(), &head);
        assert_eq!(response.status(), 401);
    }
}

#[test]
fn rejection_that_a_login_does_not_fix_is_not_redirected() {
    for kind in [
        RejectionKind::MalformedRequest,
        RejectionKind::CredentialsTooLarge,
        RejectionKind::InsufficientScope,
        RejectionKind::InsufficientAuthentication,
        RejectionKind::Forbidden,
        RejectionKind::CrossSite,
        RejectionKind::HttpsRequired,
        RejectionKind::TooManyRequests,
        RejectionKind::Unavailable,
        RejectionKind::Misconfigured,
    ] {
        assert_eq!(location(&Rejection::new(kind), &page("/orders")), None, "{kind:?}");
        if kind != RejectionKind::InsufficientAuthentication {
            let step_up = LoginRedirect::to("/login").step_up();
            assert_eq!(location_of(&step_up, &Rejection::new(kind), &page("/orders")), None);
        }
    }
}

#[test]
fn login_page_itself_is_not_redirected() {
    assert_eq!(location(&missing(), &page("/login")), None);
    assert_eq!(location(&missing(), &page("/login?return_to=/a")), None);
    assert_eq!(
        location(&missing(), &page("/login/help")).as_deref(),
        Some("/login?return_to=%2Flogin%2Fhelp")
    );
}

#[test]
fn step_up_names_what_the_policy_requires() {
    let responder = LoginRedirect::to("/login").step_up();
    for (rejection, expected) in [
        (insufficient(&["gold", "silver"], Some(60)), "&acr_values=gold+silver&max_age=60"),
        (insufficient(&["gold"], None), "&acr_values=gold"),
        (insufficient(&[], Some(0)), "&max_age=0"),
        // Otherwise, the provider would log the user in again without a question.
        (insufficient(&[], None), "&max_age=0"),
        (Rejection::new(RejectionKind::InsufficientAuthentication), "&max_age=0"),
        (insufficient(&["a b"], None), "&max_age=0"),
        (insufficient(&[], Some(u64::MAX)), "&max_age=4294967295"),
        (missing(), ""),
    ] {
        let expected = format!("/login?return_to=%2Fa{expected}");
        assert_eq!(location_of(&responder, &rejection, &page("/a")), Some(expected));
    }
    let many: Vec<_> = (0..60).map(|number| format!("urn:acr:{number}")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    assert_eq!(location_of(&responder, &insufficient(&many, None), &page("/a")), None);
    let fetch = head("GET", "/a", &[("sec-fetch-mode", "cors")]);
    assert_eq!(location_of(&responder, &insufficient(&["gold"], None), &fetch), None);
}

#[test]
fn other_responder_renders_what_is_not_redirected() {
    let responder = LoginRedirect::to("/login").step_up().otherwise(ProblemJson::default());
    let response: Response<axum::body::Body> =
        responder.respond(&missing(), &head("GET", "/a", &[]));
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let response: Response<axum::body::Body> = responder.respond(&missing(), &page("/a"));
    assert_eq!(response.status(), 303);
}

#[test]
fn login_path_that_is_not_a_path_is_a_configuration_error() {
    for path in [
        "",
        "login",
        "//login",
        "https://login.example/",
        "/login?a=b",
        "/login#a",
        "/a/../b",
        "/é",
    ] {
        assert!(LoginRedirect::try_to(path).is_err(), "{path}");
    }
    assert!(LoginRedirect::try_to("/account/login").is_ok());
}

/// Requests a page of an application with a nested router, whose handler rejects every request.
async fn nested(uri: &str, headers: &[(&str, &str)]) -> Response<axum::body::Body> {
    use axum::{Router, routing::get};
    use tower::ServiceExt as _;

    use crate::{authenticate::AuthenticateLayer, test_util::AlwaysAs};

    async fn reject() -> Result<&'static str, Denial> {
        Err(Denial::insufficient_user_authentication(["gold"], None))
    }
    let alice = crate::Principal::builder("alice", Scheme::COOKIE).build();
    let responder = LoginRedirect::to("/login").step_up();
    let inner = Router::new()
        .route("/transfers", get(reject))
        .layer(AuthenticateLayer::new(AlwaysAs::new(alice)).responder(responder));
    let (head, ()) = (head("GET", uri, headers), ());
    let request = Request::from_parts(head, axum::body::Body::empty());
    Router::new().nest("/bank", inner).oneshot(request).await.unwrap()
}

#[tokio::test]
async fn rejection_of_a_handler_in_a_nested_router_returns_to_the_whole_path() {
    let response = nested("/bank/transfers?to=bob", &[NAVIGATE, DOCUMENT]).await;
    assert_eq!(response.status(), 303);
    assert_eq!(
        response.headers()[LOCATION],
        "/login?return_to=%2Fbank%2Ftransfers%3Fto%3Dbob&acr_values=gold"
    );
    let response = nested("/bank/transfers", &[("sec-fetch-mode", "cors")]).await;
    assert_eq!(response.status(), 401);
    assert!(!response.headers().contains_key(LOCATION));
}
