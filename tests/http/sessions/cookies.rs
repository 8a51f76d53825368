//! Requests with cookies that are not those of one session.

use axum::http::{
    HeaderValue, Method,
    header::{COOKIE, SET_COOKIE},
};
use tower_auth_test_support::{api::Reply, user_agent::UserAgent};

use super::{COOKIE_NAME, Service, Setup, checked, send_as_program};

fn removes_cookie(reply: &Reply) -> bool {
    let lines = reply.headers.get_all(SET_COOKIE).iter().map(|line| line.to_str().unwrap());
    let expired: Vec<_> = lines.filter(|line| line.contains("Max-Age=0")).collect();
    expired.len() == 1 && expired[0].starts_with("__Host-session=;")
}

async fn with_cookie(service: &Service, line: &str) -> Reply {
    checked(send_as_program(service, Method::GET, "/me", line).await)
}

#[tokio::test]
async fn two_session_cookies_are_rejected_and_removed() {
    let setup = Setup::new();
    let service = setup.serve().await;
    let [alice, bob] = [
        service.cookie(&service.browser_of("alice").await).unwrap(),
        service.cookie(&service.browser_of("bob").await).unwrap(),
    ];
    for [first, second] in [[&alice, &bob], [&bob, &alice], [&alice, &alice]] {
        let pair = format!("{COOKIE_NAME}={first}; {COOKIE_NAME}={second}");
        let reply = with_cookie(&service, &pair).await;
        assert_eq!(reply.status, 400, "{reply:?}");
        assert!(removes_cookie(&reply), "{reply:?}");
        let request = service.api.get("/me").header(COOKIE, format!("{COOKIE_NAME}={first}"));
        let reply = Reply::to(request.header(COOKIE, format!("{COOKIE_NAME}={second}"))).await;
        assert_eq!(reply.status, 400, "{reply:?}");
    }
    // No session was ended.
    assert_eq!(service.status_of(&alice).await, 200);
}

#[tokio::test]
async fn malformed_and_unknown_cookies_are_rejected_and_removed() {
    let setup = Setup::new();
    let service = setup.serve().await;
    let valid = service.cookie(&service.browser_of("alice").await).unwrap();
    let mut values = vec![
        "x".to_owned(),
        "AAAAAAAAAAAAAAAAAAAAAA".to_owned(),
        format!("{valid}="),
        format!("{valid}=="),
        format!("{valid}A"),
        format!("\"{valid}\""),
        format!("{valid}%00"),
        valid[..21].to_owned(),
        valid.to_ascii_lowercase(),
        "A".repeat(4_000),
        "null".to_owned(),
        "../../session".to_owned(),
        "*".to_owned(),
    ];
    // Other encodings of the same bits.
    let (head, last) = valid.split_at(21);
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let position = alphabet.find(last).unwrap();
    for offset in 1..16 {
        let other = &alphabet[position ^ offset..][..1];
        values.push(format!("{head}{other}"));
    }
    for value in values.into_iter().filter(|value| *value != valid) {
        let reply = with_cookie(&service, &format!("{COOKIE_NAME}={value}")).await;
        assert!([400, 401].contains(&reply.status.as_u16()), "{value}: {reply:?}");
        assert!(removes_cookie(&reply), "{value}: {reply:?}");
    }
    assert_eq!(service.status_of(&valid).await, 200);
}

#[tokio::test]
async fn other_cookies_and_other_spellings_are_no_credentials() {
    let setup = Setup::new();
    let service = setup.serve().await;
    let valid = service.cookie(&service.browser_of("alice").await).unwrap();
    for line in [
        format!("__host-session={valid}"),
        format!("__Host-session2={valid}"),
        format!("session={valid}"),
        format!("a=\"; {COOKIE_NAME}\"={valid}"),
        format!("={COOKIE_NAME}={valid}"),
        COOKIE_NAME.to_owned(),
        "theme=dark".to_owned(),
        String::new(),
    ] {
        let reply = with_cookie(&service, &line).await;
        assert_eq!(reply.status, 401, "{line}: {reply:?}");
        assert!(!reply.headers.contains_key(SET_COOKIE), "{line}: {reply:?}");
    }
    let reply = with_cookie(&service, &format!("a=b; {COOKIE_NAME}={valid}; c=d")).await;
    assert_eq!(reply.status, 200, "{reply:?}");
}

/// A cookie with bytes that are not ASCII.
#[tokio::test]
async fn cookie_that_is_not_text_is_rejected() {
    let setup = Setup::new();
    let service = setup.serve().await;
    let line = [COOKIE_NAME.as_bytes(), b"=\xff\xfe"].concat();
    let request = service.api.get("/me").header(COOKIE, HeaderValue::from_bytes(&line).unwrap());
    let reply = Reply::to(request).await;
    assert!([400, 401].contains(&reply.status.as_u16()), "{reply:?}");
    assert!(removes_cookie(&reply), "{reply:?}");
}

#[tokio::test]
async fn handlers_do_not_see_the_cookie() {
    use axum::{Router, http::HeaderMap, routing::get};
    use tower_auth::AuthenticateLayer;

    let setup = Setup::new();
    let login = setup.serve().await;
    let valid = login.cookie(&login.browser_of("alice").await).unwrap();
    let show = async |headers: HeaderMap| format!("{:?}", headers.get_all(COOKIE));
    let app = Router::new().route("/me", get(show));
    let service = Service::start(app.layer(AuthenticateLayer::new(setup.sessions.clone()))).await;
    let reply = with_cookie(&service, &format!("a=b; {COOKIE_NAME}={valid}")).await;
    assert_eq!(reply.status, 200);
    assert!(!reply.body.contains(&valid) && !reply.body.contains(COOKIE_NAME), "{}", reply.body);
}

#[tokio::test]
async fn cookie_of_another_secret_is_unknown() {
    let (setup, other) = (Setup::new(), Setup::new());
    let valid = {
        let service = other.serve().await;
        service.cookie(&service.browser_of("alice").await).unwrap()
    };
    let service = setup.serve().await;
    assert_eq!(service.status_of(&valid).await, 401);
    let browser = UserAgent::new();
    assert_eq!(service.status(&browser, "/me").await, 401);
}
