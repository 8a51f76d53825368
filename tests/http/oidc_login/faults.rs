//! A provider that fails, hangs, or sends too much.

use std::time::{Duration, Instant};

use tower_auth_test_support::{oidc_stub::Fault, user_agent::UserAgent};

use super::{Setup, assert_is_error_page, location};

const JSON: &str = "application/json";

fn large() -> String {
    format!("{{\"x\": \"{}\"}}", "x".repeat(2 << 20))
}

#[tokio::test]
async fn hanging_provider_gives_503_within_the_timeout() {
    for path in ["/token", "/jwks", "/userinfo"] {
        let setup = Setup::with(|login| login.timeout(Duration::from_secs(1)).userinfo()).await;
        let browser = UserAgent::new();
        if path == "/jwks" {
            // The keys are fetched once, and are kept.
            setup.provider.set_fault(path, Fault::Hang);
        }
        let callback = setup.callback_of(&browser).await;
        setup.provider.set_fault(path, Fault::Hang);
        let started = Instant::now();
        let reply = setup.service.call_back(&browser, &callback).await;
        assert!(started.elapsed() < Duration::from_secs(10), "{path}: {:?}", started.elapsed());
        setup.assert_failed(&browser, &reply, 503).await;
        let events = setup.service.events.take();
        let is_failure = |event: &String| event.starts_with("LoginFailed Unavailable");
        assert!(events.iter().any(is_failure), "{path}: {events:?}");
        setup.assert_no_secrets(&browser, &events);
        setup.provider.set_fault(path, None);
        setup.clock.advance(Duration::from_secs(60));
        // Nothing is poisoned.
        setup.browser().await;
    }
}

#[tokio::test]
async fn login_during_an_outage_gives_503_and_works_afterwards() {
    for fault in [
        Fault::Hang,
        Fault::Status(500),
        Fault::Status(404),
        Fault::Body(JSON, "{".to_owned()),
        Fault::Body(JSON, "{}".to_owned()),
        Fault::Body("text/html", "<html>".to_owned()),
        Fault::Body(JSON, large()),
        Fault::Drop,
        Fault::Redirect("http://127.0.0.1:1/".to_owned()),
    ] {
        let setup = Setup::with(|login| login.timeout(Duration::from_secs(2))).await;
        for path in ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"]
        {
            setup.provider.set_fault(path, fault.clone());
        }
        let browser = UserAgent::new();
        let reply = browser.open(&setup.service.url("/login?return_to=/account")).await;
        assert!([502, 503].contains(&reply.status.as_u16()), "{fault:?}: {reply:?}");
        assert_is_error_page(&reply);
        assert!(setup.service.login_cookies(&browser).is_empty(), "{fault:?}");
        let events = setup.service.events.take();
        assert!(events.iter().any(|event| event.starts_with("LoginFailed")), "{events:?}");
        setup.provider.behave();
        setup.clock.advance(Duration::from_secs(60));
        setup.browser().await;
    }
}

#[tokio::test]
async fn faults_of_the_token_endpoint_start_no_session() {
    let redirect = Fault::Redirect("http://127.0.0.1:1/token".to_owned());
    let error = |description: &str| {
        format!(r#"{{"error":"invalid_grant","error_description":"{description}"}}"#)
    };
    for (fault, status) in [
        (Fault::Status(500), 503),
        (Fault::Status(503), 503),
        (Fault::Status(429), 503),
        (Fault::Status(404), 502),
        (Fault::Status(204), 502),
        (redirect, 502),
        (Fault::Body(JSON, "{}".to_owned()), 502),
        (Fault::Body(JSON, "[]".to_owned()), 502),
        (Fault::Body(JSON, "nonsense".to_owned()), 502),
        (Fault::Body("text/html", "<h1>Login</h1>".to_owned()), 502),
        (Fault::Body(JSON, large()), 502),
        // The status of the response is 200.
        (Fault::Body(JSON, error("no")), 502),
        (Fault::Body(JSON, error(&"x".repeat(1 << 20))), 502),
        (Fault::Drop, 503),
    ] {
        let setup = Setup::new().await;
        let browser = UserAgent::new();
        let callback = setup.callback_of(&browser).await;
        setup.provider.set_fault("/token", fault.clone());
        let reply = setup.service.call_back(&browser, &callback).await;
        assert!([502, 503].contains(&reply.status.as_u16()), "{fault:?}: {reply:?}");
        let expected = reply.status.as_u16();
        if expected != status {
            // Both are right for a server that is broken; only a hang and a 5xx must be 503.
            assert_eq!(status, 502, "{fault:?}: {reply:?}");
        }
        setup.assert_failed(&browser, &reply, expected).await;
        assert!(setup.provider.received("/token").len() <= 2, "the code was sent again and again");
        let events = setup.service.events.take();
        assert!(events.iter().all(|event| event.len() < 2_000), "{events:?}");
        setup.assert_no_secrets(&browser, &events);
        assert!(setup.service.login_cookies(&browser).is_empty());
    }
}

/// The code is sent to the token endpoint once, and never to where it redirects.
#[tokio::test]
async fn redirect_of_the_token_endpoint_is_not_followed() {
    let setup = Setup::new().await;
    let other = super::OidcStub::start(setup.clock.clone()).await;
    let browser = UserAgent::new();
    let callback = setup.callback_of(&browser).await;
    setup.provider.set_fault("/token", Fault::Redirect(other.url("/token")));
    let reply = setup.service.call_back(&browser, &callback).await;
    assert_eq!(reply.status, 502);
    assert!(other.received("/token").is_empty());
}

#[tokio::test]
async fn error_description_of_1_mib_is_cut_escaped_and_not_shown() {
    let setup = Setup::new().await;
    let browser = UserAgent::new();
    let callback = setup.callback_of(&browser).await;
    let state = super::query_of(&callback)["state"].clone();
    // hyper accepts heads of about 400 KiB, so 1 MiB never arrives. Both must be handled.
    for length in [100, 30 * 1024, 1 << 20] {
        let description = format!("<script>alert(1)</script>\r\nINFO forged{}", "é".repeat(length));
        let mut url = reqwest::Url::parse(&setup.service.url("/callback")).unwrap();
        url.query_pairs_mut()
            .append_pair("state", &state)
            .append_pair("iss", setup.provider.issuer())
            .append_pair("error", "server_error")
            .append_pair("error_description", &description)
            .append_pair("error_uri", "javascript:alert(1)");
        // A new login for each attempt, because the state is used up.
        let request = browser.request(axum::http::Method::GET, url.as_str());
        let Ok(response) = request.header("sec-fetch-mode", "navigate").build() else { continue };
        let Ok(response) = reqwest::Client::new().execute(response).await else { continue };
        assert!(response.status().is_client_error() || response.status().is_server_error());
        let body = response.text().await.unwrap();
        assert!(body.len() < 4_096 && !body.contains("alert") && !body.contains("forged"));
    }
    setup.service.events.take();
    for length in [100, 20 * 1024] {
        let description = format!("<script>alert(1)</script>\r\nINFO forged{}", "x".repeat(length));
        setup.provider.change_callback(move |parameters| {
            parameters.retain(|(name, _)| name != "code");
            parameters.push(("error".into(), "server_error\r\nforged".into()));
            parameters.push(("error_description".into(), description.clone()));
            parameters.push(("error_uri".into(), "javascript:alert(1)".into()));
        });
        let browser = UserAgent::new();
        let callback = setup.callback_of(&browser).await;
        let reply = setup.service.call_back(&browser, &callback).await;
        setup.assert_failed(&browser, &reply, reply.status.as_u16()).await;
        assert!(reply.status.as_u16() >= 400);
        assert!(!reply.body.contains("alert") && !reply.body.contains("forged"), "{reply:?}");
        for event in setup.service.events.take() {
            assert!(event.len() < 1_000, "{}", event.len());
            assert!(!event.contains(['\r', '\n']), "{event:?}");
        }
    }
    let events = setup.service.events.take();
    setup.assert_no_secrets(&browser, &events);
}

#[tokio::test]
async fn metadata_of_another_issuer_is_rejected() {
    let setup = Setup::new().await;
    setup.provider.change_metadata(|metadata| metadata["issuer"] = "https://evil.example".into());
    let browser = UserAgent::new();
    let reply = browser.open(&setup.service.url("/login")).await;
    assert!([502, 503].contains(&reply.status.as_u16()), "{reply:?}");
    setup.provider.behave();
    setup.clock.advance(Duration::from_secs(60));
    setup.browser().await;
}

#[tokio::test]
async fn endpoints_that_are_not_secure_are_rejected() {
    for name in ["authorization_endpoint", "token_endpoint"] {
        for url in ["http://evil.example/x", "javascript:alert(1)", "/relative", "", "https://"] {
            let setup = Setup::new().await;
            setup.provider.change_metadata(move |metadata| metadata[name] = url.into());
            let browser = UserAgent::new();
            let reply = browser.open(&setup.service.url("/login")).await;
            if reply.status == 303 {
                assert!(!location(&reply).starts_with(url) || url.is_empty(), "{name} {url}");
                // The token endpoint is needed only later.
                assert_eq!(name, "token_endpoint", "{url}: {reply:?}");
                let authorization = location(&reply);
                let callback = location(&browser.follow_link(&authorization).await);
                let reply = setup.service.call_back(&browser, &callback).await;
                assert!(reply.status.is_server_error(), "{url}: {reply:?}");
            } else {
                assert!(reply.status.is_server_error(), "{name} {url}: {reply:?}");
            }
        }
    }
}
