use http::Request;
use http_body_util::Full;

use super::fixture::{App, Browser, ISSUER};
use crate::oidc_login::{Identity, OidcLogin};

async fn logged_in(app: &App) -> Browser {
    let mut browser = Browser::default();
    assert_eq!(app.log_in(&mut browser, "").await.status, 303);
    browser
}

#[tokio::test]
async fn logout_ends_the_session_and_that_of_the_provider() {
    let app = App::with(|login| login.after_logout("https://app.example/bye"));
    let mut browser = logged_in(&app).await;
    let old = browser.clone();
    let reply = browser.send(app.login.logout(), "POST", "/logout").await;
    assert_eq!((reply.status, browser.session()), (303, None));
    assert_eq!(app.user(&old).await, None);
    assert!(reply.location().starts_with(&format!("{ISSUER}/logout?")));
    let sent = reply.location_parameters();
    assert_eq!(sent["id_token_hint"].split('.').count(), 3);
    assert_eq!(sent["post_logout_redirect_uri"], "https://app.example/bye");
    assert_eq!(sent["client_id"], "app");
}

#[tokio::test]
async fn logout_without_a_session_is_redirected() {
    let app = App::with(|login| login.after_logout("/bye"));
    let mut browser = Browser::default();
    let reply = browser.send(app.login.logout(), "POST", "/logout").await;
    assert_eq!((reply.status, reply.location()), (303, "/bye"));
    browser.cookies.insert("__Host-session".into(), "AAAAAAAAAAAAAAAAAAAAAA".into());
    let reply = browser.send(app.login.logout(), "POST", "/logout").await;
    assert_eq!((reply.status, reply.location()), (303, "/bye"));
}

#[tokio::test]
async fn logout_by_another_site_is_rejected() {
    let app = App::new();
    let mut browser = logged_in(&app).await;
    for (name, value) in [
        ("sec-fetch-site", Some("cross-site")),
        ("sec-fetch-site", Some("same-site")),
        // A browser that does not send the header.
        ("sec-fetch-site", None),
    ] {
        let mut request = browser.request("POST", "/logout", Full::default());
        request.headers_mut().remove(name);
        if let Some(value) = value {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        request.headers_mut().insert("origin", "https://evil.example".parse().unwrap());
        // Also without a session, so that the response does not tell whether there is one.
        let mut anonymous = request.clone();
        anonymous.headers_mut().remove("cookie");
        for request in [request, anonymous] {
            let reply = browser.send_request(app.login.logout(), request).await;
            assert_eq!(reply.status, 403, "{value:?}");
            assert!(!reply.headers.contains_key("set-cookie"));
            assert!(reply.body.contains("cross-site requests are not allowed"));
            assert_eq!(app.take_events(), ["CrossSite"]);
        }
    }
    assert_eq!(app.user(&browser).await.as_deref(), Some("alice"));
}

#[tokio::test]
async fn outage_during_a_logout_keeps_the_session_and_its_cookie() {
    let app = App::new();
    for operations in 0..2 {
        let mut browser = logged_in(&app).await;
        app.store.fail_after(operations);
        let reply = browser.send(app.login.logout(), "POST", "/logout").await;
        app.store.repair();
        assert_eq!(reply.status, 503, "{operations}");
        assert!(reply.headers.contains_key("retry-after"));
        assert!(reply.body.contains("you are still logged in"));
        assert!(!reply.headers.contains_key("set-cookie"));
        assert_eq!(app.take_events(), ["Unavailable"]);
        assert_eq!(app.user(&browser).await.as_deref(), Some("alice"));
        let reply = browser.send(app.login.logout(), "POST", "/logout").await;
        assert_eq!((reply.status, app.user(&browser).await), (303, None));
    }
}

#[tokio::test]
async fn logout_by_a_script_returns_204() {
    let app = App::new();
    let mut browser = logged_in(&app).await;
    let mut request = browser.request("POST", "/logout", Full::default());
    request.headers_mut().insert("sec-fetch-mode", "cors".parse().unwrap());
    let reply = browser.send_request(app.login.logout(), request).await;
    assert_eq!((reply.status, browser.session()), (204, None));
    assert!(!reply.headers.contains_key("location"));
    // A client that is no browser is redirected.
    let request = Request::builder().method("POST").uri("/logout").body(Full::default()).unwrap();
    let reply = browser.send_request(app.login.logout(), request).await;
    assert_eq!((reply.status, reply.location()), (303, "/"));
}

/// An application with two providers that share the sessions.
#[tokio::test]
async fn id_token_is_not_sent_to_another_provider() {
    let app = App::new();
    let mut browser;
    let provider = app.provider.clone();
    let other = OidcLogin::discover("https://other.example")
        .client_id("app")
        .redirect_uri("https://app.example/other/callback")
        .client(move |request: Request<bytes::Bytes>| {
            let response = provider.respond_as("https://other.example", &request);
            async move { Ok::<_, std::io::Error>(response) }
        })
        .then(async |login| Ok(login.principal().build()))
        .sessions(app.sessions.clone())
        .build()
        .unwrap();
    let github = OidcLogin::oauth2("https://github.example/authorize", "https://github.example/t")
        .client_id("app")
        .redirect_uri("https://app.example/github/callback")
        .client(async |_: Request<bytes::Bytes>| {
            Err::<http::Response<bytes::Bytes>, _>(std::io::Error::other("no network"))
        })
        .identity(async |_| Ok::<_, std::io::Error>(Identity::new("github", "1")))
        .then(async |login| Ok(login.principal().build()))
        .sessions(app.sessions.clone())
        .build()
        .unwrap();
    for login in [other, github] {
        // A logout at a provider whose metadata is known.
        browser = logged_in(&app).await;
        let old = browser.clone();
        let reply = browser.send(login.logout(), "POST", "/logout").await;
        assert_eq!((reply.status, reply.location()), (303, "/"));
        assert_eq!(app.user(&old).await, None);
    }
    browser = logged_in(&app).await;
    let reply = browser.send(app.login.logout(), "POST", "/logout").await;
    assert!(reply.location().contains("id_token_hint="));
}
