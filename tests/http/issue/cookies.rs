//! Refresh tokens in a cookie.

use futures_util::future::join_all;
use http::header::{COOKIE, SET_COOKIE};
use serde_json::{Value, json};
use tower_auth::store::StoreErrorKind;
use tower_auth_test_support::api::Reply;

use super::{Client, Jar, PASSWORD, Setup, Tokens, assert_error, checked, send_json};

const REMOVED: &str = "__Host-refresh=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0";

async fn serve(setup: &Setup) -> Client {
    setup.serve(setup.builder().cookie()).await
}

fn set_cookie(reply: &Reply) -> Option<&str> {
    reply.headers.get(SET_COOKIE).map(|value| value.to_str().unwrap())
}

/// Sends a request with this `Cookie`.
async fn send_with(client: &Client, path: &str, cookie: &str, parameters: &Value) -> Reply {
    checked(send_json(client.post(path).header(COOKIE, cookie), parameters).await)
}

#[tokio::test]
async fn login_sets_the_cookie_and_returns_no_refresh_token() {
    let setup = Setup::new();
    let (client, jar) = (serve(&setup).await, Jar::default());
    let reply = jar.log_in(&client).await;
    let json: Value = serde_json::from_str(&reply.body).unwrap();
    let names: Vec<_> = json.as_object().unwrap().keys().collect();
    assert_eq!(names, ["access_token", "expires_in", "scope", "token_type"]);
    let expected = format!(
        "__Host-refresh={}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=1209600",
        jar.value().unwrap()
    );
    assert_eq!(set_cookie(&reply), Some(&*expected));
    assert_eq!(client.status(&Tokens::of(&reply).access).await, 200);
    assert!(!reply.body.contains(&jar.value().unwrap()));
}

#[tokio::test]
async fn cookie_is_set_only_by_a_refresh_with_a_new_token() {
    let setup = Setup::new();
    let (client, jar) = (serve(&setup).await, Jar::default());
    jar.log_in(&client).await;
    let first = jar.value().unwrap();
    let reply = jar.refresh(&client).await;
    assert!(set_cookie(&reply).is_some());
    let second = jar.value().unwrap();
    assert_ne!(first, second);
    // Too early for a new one.
    setup.advance(10);
    let reply = jar.refresh(&client).await;
    assert_eq!((reply.status.as_u16(), set_cookie(&reply)), (200, None));
    // A tab that has lost the response gets the current one.
    let reply =
        send_with(&client, "/token/refresh", &format!("__Host-refresh={first}"), &json!({})).await;
    assert_eq!(reply.status, 200);
    assert!(set_cookie(&reply).unwrap().contains(&second));
    assert!(Tokens::of(&reply).refresh.is_empty());
}

#[tokio::test]
async fn racing_tabs_stay_logged_in_and_no_response_removes_the_cookie() {
    let setup = Setup::new();
    let (client, jar) = (serve(&setup).await, Jar::default());
    jar.log_in(&client).await;
    for round in 0..30 {
        let tabs = join_all((0..4).map(|_| jar.refresh(&client))).await;
        for reply in &tabs {
            assert_eq!(reply.status, 200, "{round}: {reply:?}");
            assert!(set_cookie(reply).is_none_or(|cookie| !cookie.contains("Max-Age=0")));
            assert_eq!(client.status(&Tokens::of(reply).access).await, 200);
        }
        setup.advance([1, 19, 41, 600, 39][round % 5]);
    }
}

#[tokio::test]
async fn refresh_that_lost_a_race_against_a_new_login_keeps_its_cookie() {
    let setup = Setup::new();
    let (client, jar) = (serve(&setup).await, Jar::default());
    jar.log_in(&client).await;
    let old = Jar::default();
    old.set(jar.value().as_deref());
    jar.send(&client, "/logout", &json!({})).await;
    jar.log_in(&client).await;
    // The request was sent with the old cookie, and its response arrives after the login.
    let late = old.refresh(&client).await;
    assert_error(&late, 400, "invalid_grant");
    jar.receive(&late);
    assert_eq!(jar.refresh(&client).await.status, 200);
}

#[tokio::test]
async fn rejected_refresh_never_sets_a_cookie() {
    let setup = Setup::new();
    let (client, jar) = (serve(&setup).await, Jar::default());
    jar.log_in(&client).await;
    let rejected = async |expected: (u16, &str), cookie: &str, parameters: Value| {
        let reply = send_with(&client, "/token/refresh", cookie, &parameters).await;
        assert_error(&reply, expected.0, expected.1);
        assert_eq!(set_cookie(&reply), None, "{reply:?}");
    };
    let token = jar.value().unwrap();
    let own = format!("__Host-refresh={token}");
    rejected((400, "invalid_grant"), "theme=dark", json!({})).await;
    rejected((400, "invalid_grant"), "__Host-refresh=", json!({})).await;
    rejected((400, "invalid_grant"), "__Host-refresh=x", json!({})).await;
    rejected((400, "invalid_grant"), "__Host-refresh=\u{e4}", json!({})).await;
    rejected((400, "invalid_request"), &format!("{own}; {own}"), json!({})).await;
    rejected((400, "invalid_request"), &own, json!({ "refresh_token": token })).await;
    rejected((400, "invalid_scope"), &own, json!({ "scope": "admin" })).await;
    rejected((400, "unsupported_grant_type"), &own, json!({ "grant_type": "x" })).await;
    rejected((400, "invalid_grant"), &own, json!({ "client_id": "other" })).await;
    setup.store.set_fault(StoreErrorKind::Unavailable);
    rejected((503, "temporarily_unavailable"), &own, json!({})).await;
    setup.store.set_fault(None);
    jar.refresh(&client).await;
    setup.advance(21);
    rejected((400, "invalid_grant"), &own, json!({})).await; // reused
    rejected((400, "invalid_grant"), &own, json!({})).await; // revoked
    for _ in 0..20 {
        let reply = send_with(&client, "/token/refresh", "__Host-refresh=x", &json!({})).await;
        assert_eq!(set_cookie(&reply), None, "{reply:?}");
    }
}

#[tokio::test]
async fn logout_ends_the_login_and_removes_the_cookie() {
    let setup = Setup::new();
    let (client, jar) = (serve(&setup).await, Jar::default());
    let login = jar.log_in(&client).await;
    let token = jar.value().unwrap();
    let reply = jar.send(&client, "/logout", &json!({})).await;
    assert_eq!((reply.status.as_u16(), &*reply.body), (204, ""));
    assert_eq!(set_cookie(&reply), Some(REMOVED));
    assert_eq!(client.status(&Tokens::of(&login).access).await, 401);
    jar.set(Some(&token));
    assert_error(&jar.refresh(&client).await, 400, "invalid_grant");
    // A login that has ended, a text that is no token, and no cookie.
    for cookie in [Some(&*token), Some("x"), None] {
        jar.set(cookie);
        let reply = jar.send(&client, "/logout", &json!({})).await;
        assert_eq!((reply.status.as_u16(), set_cookie(&reply)), (204, Some(REMOVED)));
    }
}

#[tokio::test]
async fn logout_during_an_outage_keeps_the_cookie() {
    let setup = Setup::new();
    let (client, jar) = (serve(&setup).await, Jar::default());
    let login = jar.log_in(&client).await;
    setup.store.set_fault(StoreErrorKind::Unavailable);
    let reply = jar.send(&client, "/logout", &json!({})).await;
    assert_error(&reply, 503, "temporarily_unavailable");
    assert_eq!(set_cookie(&reply), None);
    setup.store.set_fault(None);
    assert_eq!(jar.send(&client, "/logout", &json!({})).await.status, 204);
    assert_eq!(client.status(&Tokens::of(&login).access).await, 401);
}

#[tokio::test]
async fn logout_everywhere_removes_the_cookie() {
    let setup = Setup::new();
    let (client, jar) = (serve(&setup).await, Jar::default());
    let login = jar.log_in(&client).await;
    let reply = client.log_out_everywhere(&Tokens::of(&login).access).await;
    assert_eq!((reply.status.as_u16(), set_cookie(&reply)), (204, Some(REMOVED)));
    assert_error(&jar.refresh(&client).await, 400, "invalid_grant");
}

#[tokio::test]
async fn logout_with_two_cookies_returns_400_and_removes_them() {
    let setup = Setup::new();
    let client = serve(&setup).await;
    let cookie = "__Host-refresh=a; __Host-refresh=b";
    let reply = send_with(&client, "/logout", cookie, &json!({})).await;
    assert_error(&reply, 400, "invalid_request");
    assert_eq!(set_cookie(&reply), Some(REMOVED));
    let parameters = json!({ "refresh_token": "b" });
    let reply = send_with(&client, "/logout", "__Host-refresh=a", &parameters).await;
    assert_error(&reply, 400, "invalid_request");
    assert_eq!(set_cookie(&reply), None);
}

#[tokio::test]
async fn cookie_is_not_read_without_cookie_mode() {
    let setup = Setup::new();
    let client = setup.serve(setup.builder()).await;
    let tokens = client.tokens().await;
    let cookie = format!("__Host-refresh={}", tokens.refresh);
    for path in ["/token/refresh", "/logout"] {
        let reply = send_with(&client, path, &cookie, &json!({})).await;
        assert_error(&reply, 400, "invalid_request");
        assert_eq!(set_cookie(&reply), None);
    }
    let parameters = json!({ "username": "alice", "password": PASSWORD });
    let reply = send_with(&client, "/login", &cookie, &parameters).await;
    assert_eq!((reply.status.as_u16(), set_cookie(&reply)), (200, None));
    assert_eq!(client.refresh(&tokens.refresh).await.status, 200);
}
