//! Login, use and logout.

use axum::http::header::{CACHE_CONTROL, SET_COOKIE};
use tower_auth_test_support::user_agent::UserAgent;

use super::{COOKIE_NAME, MINUTE, Service, Setup};

#[tokio::test]
async fn session_lasts_from_login_to_logout() {
    let setup = Setup::new();
    let service = setup.serve().await;
    let browser = UserAgent::new();
    assert_eq!(service.status(&browser, "/me").await, 401);
    service.log_in(&browser, "alice").await;
    let reply = service.get(&browser, "/me").await;
    assert_eq!((reply.status.as_u16(), &*reply.body), (200, "hello alice"));
    assert!(!reply.headers.contains_key(SET_COOKIE), "{reply:?}");
    let stolen = service.cookie(&browser).unwrap();
    let reply = service.post(&browser, "/logout").await;
    assert_eq!(reply.status, 204);
    assert_eq!(reply.headers[CACHE_CONTROL], "no-store");
    assert_eq!(service.cookie(&browser), None);
    assert_eq!(service.status(&browser, "/me").await, 401);
    assert_eq!(service.status_of(&stolen).await, 401, "the id is valid after the logout");
}

#[tokio::test]
async fn login_sets_a_cookie_with_the_strictest_attributes() {
    let service = Setup::new().serve().await;
    let reply = service.log_in(&UserAgent::new(), "alice").await;
    let lines: Vec<_> = reply.headers.get_all(SET_COOKIE).iter().collect();
    assert_eq!(lines.len(), 1);
    let line = lines[0].to_str().unwrap();
    let (pair, attributes) = line.split_once("; ").unwrap();
    assert_eq!(attributes, "Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=43200");
    // 128 bits in base64url.
    assert_eq!(pair.strip_prefix("__Host-session=").unwrap().len(), 22);
}

/// Session fixation: an attacker sets the cookie before the user logs in.
#[tokio::test]
async fn login_does_not_adopt_the_cookie_of_an_attacker() {
    let setup = Setup::new();
    let service = setup.serve().await;
    let unknown = "AAAAAAAAAAAAAAAAAAAAAA".to_owned();
    let valid = service.cookie(&service.browser_of("mallory").await).unwrap();
    for preset in [unknown, valid] {
        let victim = UserAgent::new();
        service.set_cookie(&victim, &preset);
        service.log_in(&victim, "alice").await;
        assert_ne!(service.cookie(&victim).unwrap(), preset);
        assert_eq!(service.get(&victim, "/me").await.body, "hello alice");
        assert_eq!(service.status_of(&preset).await, 401, "the preset session is still valid");
    }
}

#[tokio::test]
async fn each_login_has_a_new_id_and_ends_the_old_session() {
    let setup = Setup::new();
    let service = setup.serve().await;
    let browser = UserAgent::new();
    let mut ids = Vec::new();
    for name in ["alice", "alice", "bob", "alice"] {
        service.log_in(&browser, name).await;
        assert_eq!(service.get(&browser, "/me").await.body, format!("hello {name}"));
        let id = service.cookie(&browser).unwrap();
        assert!(!ids.contains(&id));
        for old in &ids {
            assert_eq!(service.status_of(old).await, 401, "an old session is still valid");
        }
        ids.push(id);
    }
    assert_eq!(service.sessions(&browser).await.len(), 1);
}

#[tokio::test]
async fn logins_in_two_browsers_do_not_affect_each_other() {
    let setup = Setup::new();
    let service = setup.serve().await;
    let (laptop, phone) = (service.browser_of("alice").await, service.browser_of("alice").await);
    assert_eq!(service.post(&laptop, "/logout").await.status, 204);
    assert_eq!(service.status(&laptop, "/me").await, 401);
    assert_eq!(service.status(&phone, "/me").await, 200);
}

#[tokio::test]
async fn second_logout_is_rejected_and_removes_the_cookie() {
    let setup = Setup::new();
    let service = setup.serve().await;
    let browser = service.browser_of("alice").await;
    let id = service.cookie(&browser).unwrap();
    assert_eq!(service.post(&browser, "/logout").await.status, 204);
    service.set_cookie(&browser, &id);
    assert_eq!(service.post(&browser, "/logout").await.status, 401);
    assert_eq!(service.cookie(&browser), None);
}

#[tokio::test]
async fn events_name_the_public_id_and_not_the_cookie() {
    let setup = Setup::new();
    let service = setup.serve().await;
    let browser = service.browser_of("alice").await;
    let (id, cookie) = (service.sessions(&browser).await, service.cookie(&browser).unwrap());
    service.post(&browser, "/logout").await;
    let events = setup.events.take();
    assert_eq!(events.len(), 2, "{events:?}");
    for (event, name) in events.iter().zip(["SessionStarted", "SessionEnded"]) {
        assert!(event.starts_with(name), "{event}");
        assert!(event.contains(&id[0]) && event.contains("alice"), "{event}");
        assert!(!event.contains(&cookie), "{event}");
    }
    for text in browser.seen(&service.url("/")) {
        let occurrences = text.matches(&*cookie).count();
        let expected = usize::from(text.contains(&format!("{COOKIE_NAME}={cookie}")));
        assert_eq!(occurrences, expected, "the id is outside of the cookie: {text}");
    }
}

#[tokio::test]
async fn public_id_is_not_accepted_as_a_cookie() {
    let setup = Setup::new();
    let service = setup.serve().await;
    let browser = service.browser_of("alice").await;
    let [public] = &*service.sessions(&browser).await else { panic!() };
    assert_eq!(service.status_of(public).await, 401);
}

#[tokio::test]
async fn session_is_recent_after_the_login_and_not_later() {
    let setup = Setup::new();
    let service: Service = setup.serve().await;
    let browser = service.browser_of("alice").await;
    assert_eq!(service.status(&browser, "/fresh").await, 200);
    setup.clock.advance(6 * MINUTE);
    let reply = service.get(&browser, "/fresh").await;
    assert!([401, 403].contains(&reply.status.as_u16()), "{reply:?}");
    assert_eq!(service.status(&browser, "/me").await, 200);
}
