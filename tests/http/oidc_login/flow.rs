//! The usual login, and the logout.

use axum::http::{
    Method,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE},
};
use tower_auth::{Rejection, RejectionKind, oidc_login::Login};
use tower_auth_test_support::{oidc_stub::CLIENT_ID, user_agent::UserAgent};

use super::{SESSION, Setup, assert_is_error_page, location, only, query_of, set_cookies};

#[tokio::test]
async fn login_returns_to_the_page_that_needed_it() {
    let setup = Setup::new().await;
    let browser = UserAgent::new();
    let reply = browser.visit(&setup.service.url("/deep/a%20b?tab=2&x=%26")).await;
    assert_eq!(reply.status, 200, "{reply:?} {:?}", setup.service.events.take());
    let expected = format!("/deep/a%20b?tab=2&x=%26 for user-1 of {}", setup.provider.issuer());
    assert_eq!(reply.body, expected);
    assert!(setup.service.login_cookies(&browser).is_empty(), "the login cookie remains");
    assert_eq!(setup.provider.received("/token").len(), 1);
    let reply = browser.visit(&setup.service.url("/account")).await;
    assert_eq!(reply.status, 200);
    assert_eq!(setup.provider.received("/authorize").len(), 1, "the session is used");
    let events = setup.service.events.take();
    setup.assert_no_secrets(&browser, &events);
}

#[tokio::test]
async fn authorization_request_has_the_required_parameters_and_no_others() {
    let setup = Setup::new().await;
    let browser = UserAgent::new();
    let reply = browser.open(&setup.service.url("/login?return_to=/account&evil=1")).await;
    assert_eq!(reply.status, 303);
    assert_eq!(reply.headers["cache-control"], "no-store");
    let location = location(&reply);
    assert!(location.starts_with(&format!("{}/authorize?", setup.provider.issuer())), "{location}");
    let mut query = query_of(&location);
    assert_eq!(query.remove("client_id").as_deref(), Some(CLIENT_ID));
    assert_eq!(query.remove("response_type").as_deref(), Some("code"));
    assert_eq!(query.remove("scope").as_deref(), Some("openid"));
    assert_eq!(query.remove("redirect_uri"), Some(setup.service.url("/callback")));
    assert_eq!(query.remove("code_challenge_method").as_deref(), Some("S256"));
    // SHA-256 in base64url.
    assert_eq!(query.remove("code_challenge").unwrap().len(), 43);
    // At least 128 bits.
    assert!(query.remove("state").unwrap().len() >= 22);
    assert!(query.remove("nonce").unwrap().len() >= 22);
    assert!(query.is_empty(), "{query:?}");
    let [cookie] = set_cookies(&reply)[..] else { panic!("{reply:?}") };
    assert!(cookie.starts_with("__Host-login-"), "{cookie}");
    assert!(cookie.ends_with("; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=600"), "{cookie}");
    for name in ["state", "nonce"] {
        let value = query_of(&location)[name].clone();
        assert!(!cookie.contains(&value), "{name} is readable in the cookie");
    }
}

#[tokio::test]
async fn two_logins_share_no_random_values() {
    let setup = Setup::new().await;
    let browser = UserAgent::new();
    let url = setup.service.url("/login");
    let [one, two] = [
        query_of(&location(&browser.open(&url).await)),
        query_of(&location(&browser.open(&url).await)),
    ];
    for name in ["state", "nonce", "code_challenge"] {
        assert_ne!(one[name], two[name], "{name}");
    }
}

#[tokio::test]
async fn code_is_exchanged_with_client_authentication_and_the_verifier() {
    let setup = Setup::new().await;
    setup.browser().await;
    let request = only(setup.provider.received("/token"));
    assert!(request.headers[AUTHORIZATION].to_str().unwrap().starts_with("Basic "));
    assert_eq!(request.headers[CONTENT_TYPE], "application/x-www-form-urlencoded");
    assert_eq!(request.headers[ACCEPT], "application/json");
    assert_eq!(request.parameters["grant_type"], "authorization_code");
    assert_eq!(request.parameters["redirect_uri"], setup.service.url("/callback"));
    // 256 bits in base64url.
    assert_eq!(request.parameters["code_verifier"].len(), 43);
    assert!(!request.parameters.contains_key("client_secret"));
    assert!(!request.parameters.contains_key("nonce"));
}

#[tokio::test]
async fn policies_read_the_claims_of_the_id_token() {
    let setup = Setup::new().await;
    let browser = setup.browser().await;
    for path in ["/staff", "/read", "/fresh"] {
        let reply = browser.open(&setup.service.url(path)).await;
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
    }
}

#[tokio::test]
async fn fetch_without_a_session_gets_401_and_no_redirect() {
    let setup = Setup::new().await;
    let browser = UserAgent::new();
    for path in ["/api/me", "/account", "/fresh"] {
        let reply = setup.service.fetch(&browser, path).await;
        assert_eq!(reply.status, 401, "{reply:?}");
        assert!(reply.challenges()[0].starts_with("Cookie"), "{reply:?}");
    }
    // A form of the service cannot be sent again after the login.
    let reply = setup.service.post(&browser, "/account").await;
    assert_eq!(reply.status, 401, "{reply:?}");
    let reply = browser.fetch(Method::HEAD, &setup.service.url("/account")).await;
    assert_eq!(reply.status, 401, "{reply:?}");
}

#[tokio::test]
async fn dead_session_on_a_navigation_leads_to_a_new_login() {
    let setup = Setup::new().await;
    let browser = setup.browser().await;
    let old = browser.cookie(&setup.service.url, SESSION).unwrap();
    setup.service.sessions.end_all((setup.provider.issuer(), "user-1")).await.unwrap();
    let reply = browser.visit(&setup.service.url("/account?x=1")).await;
    assert!(reply.body.starts_with("/account?x=1 for user-1"), "{reply:?}");
    assert_ne!(browser.cookie(&setup.service.url, SESSION).unwrap(), old);
}

#[tokio::test]
async fn login_changes_the_session_id_and_ends_the_old_session() {
    let setup = Setup::new().await;
    let browser = setup.browser().await;
    let old = browser.cookie(&setup.service.url, SESSION).unwrap();
    setup.provider.set_user("user-2");
    let reply = browser.visit(&setup.service.url("/login?return_to=/account")).await;
    assert!(reply.body.contains("user-2"), "{reply:?}");
    assert_ne!(browser.cookie(&setup.service.url, SESSION).unwrap(), old);
    let thief = UserAgent::new();
    thief.set_cookie(&setup.service.url, SESSION, &old);
    assert_eq!(setup.service.fetch(&thief, "/api/me").await.status, 401);
}

#[tokio::test]
async fn two_tabs_can_log_in_at_the_same_time() {
    let setup = Setup::new().await;
    let browser = UserAgent::new();
    let one = setup.service.callback_of(&browser, "/login?return_to=/deep/1").await;
    let two = setup.service.callback_of(&browser, "/login?return_to=/deep/2").await;
    assert_eq!(setup.service.login_cookies(&browser).len(), 2);
    for (callback, page) in [(one, "/deep/1"), (two, "/deep/2")] {
        let reply = setup.service.call_back(&browser, &callback).await;
        assert_eq!(location(&reply), page);
        let reply = browser.open(&setup.service.url(page)).await;
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    assert!(setup.service.login_cookies(&browser).is_empty());
}

#[tokio::test]
async fn logout_ends_the_session_here_and_leads_to_the_provider() {
    let setup = Setup::new().await;
    let browser = setup.browser().await;
    let id = browser.cookie(&setup.service.url, SESSION).unwrap();
    for method in [Method::GET, Method::HEAD, Method::PUT] {
        let request = browser.request(method, &setup.service.url("/logout"));
        let reply = browser.send(request.header("sec-fetch-site", "same-origin")).await;
        assert_eq!(reply.status, 405, "{reply:?}");
        assert_eq!(reply.headers["allow"], "POST");
    }
    let reply = browser.submit("https://evil.example/", &setup.service.url("/logout"), "").await;
    assert_eq!(reply.status, 403, "{reply:?}");
    assert_eq!(setup.service.fetch(&browser, "/api/me").await.status, 200);
    let reply = setup.service.post(&browser, "/logout").await;
    let url = location(&reply);
    assert!(url.starts_with(&setup.provider.url("/end?")), "{url}");
    let query = query_of(&url);
    assert!(query["id_token_hint"].split('.').count() == 3, "{query:?}");
    assert!(browser.cookie(&setup.service.url, SESSION).is_none());
    let thief = UserAgent::new();
    thief.set_cookie(&setup.service.url, SESSION, &id);
    assert_eq!(setup.service.fetch(&thief, "/api/me").await.status, 401);
    // A second tab can log out as well.
    let reply = setup.service.post(&browser, "/logout").await;
    assert!(reply.status.is_redirection(), "{reply:?}");
}

#[tokio::test]
async fn back_channel_logout_ends_the_session_of_the_provider() {
    let setup = Setup::new().await;
    let (one, other) = (setup.browser().await, {
        setup.provider.set_user("user-2");
        setup.browser().await
    });
    let revocations = setup.service.sessions.revocations();
    revocations.session(setup.provider.issuer(), "sid-of-user-1").await.unwrap();
    assert_eq!(setup.service.fetch(&one, "/api/me").await.status, 401);
    assert_eq!(setup.service.fetch(&other, "/api/me").await.status, 200);
    revocations.subject(setup.provider.issuer(), "user-2").await.unwrap();
    assert_eq!(setup.service.fetch(&other, "/api/me").await.status, 401);
}

#[tokio::test]
async fn closure_can_refuse_an_account() {
    for (kind, status) in [(RejectionKind::Forbidden, 403), (RejectionKind::Unavailable, 503)] {
        let setup = Setup::with(|login| {
            login.then(move |login: Login| async move {
                Err(Rejection::new(kind).because(format!("unknown user {}", login.subject())))
            })
        })
        .await;
        let browser = UserAgent::new();
        let callback = setup.callback_of(&browser).await;
        let reply = setup.service.call_back(&browser, &callback).await;
        setup.assert_failed(&browser, &reply, status).await;
        assert!(!reply.body.contains("user-1"), "{reply:?}");
        assert!(setup.service.login_cookies(&browser).is_empty());
    }
}

#[tokio::test]
async fn user_who_cancels_sees_a_page_with_403() {
    let setup = Setup::new().await;
    setup.provider.change_callback(|parameters| {
        parameters.retain(|(name, _)| name != "code");
        parameters.push(("error".to_owned(), "access_denied".to_owned()));
    });
    let browser = UserAgent::new();
    let callback = setup.callback_of(&browser).await;
    let reply = setup.service.call_back(&browser, &callback).await;
    setup.assert_failed(&browser, &reply, 403).await;
    assert_is_error_page(&reply);
    assert!(setup.service.login_cookies(&browser).is_empty());
    assert!(setup.provider.received("/token").is_empty());
    let events = setup.service.events.take();
    assert!(events.iter().any(|event| event.starts_with("LoginFailed Denied")), "{events:?}");
}

#[tokio::test]
async fn userinfo_adds_claims_but_replaces_none() {
    let setup = Setup::with(|login| {
        login.userinfo().then(|login: Login| async move {
            let email: String = login.claim("email").unwrap_or_default();
            let roles: Vec<String> = login.claim("roles").unwrap_or_default();
            assert_eq!((&*email, &*roles), ("user-1@example.com", &["staff".to_owned()][..]));
            Ok(login.principal().build())
        })
    })
    .await;
    setup.provider.change_user_info(|info| info["roles"] = "admin".into());
    setup.browser().await;
    let request = only(setup.provider.received("/userinfo"));
    assert!(request.headers[AUTHORIZATION].to_str().unwrap().starts_with("Bearer "));
    assert!(request.parameters.is_empty());
}
