//! Callbacks that do not belong to a login of this browser.

use axum::http::Method;
use tokio::task::JoinSet;
use tower_auth_test_support::user_agent::UserAgent;

use super::{SESSION, Setup, location, query_of, with_parameter};

/// Login CSRF: the attacker sends a link with an own code to the victim.
#[tokio::test]
async fn callback_of_another_browser_is_rejected() {
    let setup = Setup::new().await;
    let (attacker, victim) = (UserAgent::new(), UserAgent::new());
    let callback = setup.callback_of(&attacker).await;
    // The victim may also have a login of its own in flight.
    for _ in 0..2 {
        let reply = setup.service.call_back(&victim, &callback).await;
        setup.assert_failed(&victim, &reply, 400).await;
        assert!(setup.provider.received("/token").is_empty(), "the code was sent");
        setup.callback_of(&victim).await;
    }
    let events = setup.service.events.take();
    assert!(events.iter().any(|event| event.starts_with("LoginFailed InvalidState")), "{events:?}");
    setup.assert_no_secrets(&victim, &events);
    // Another browser cannot use up the login of the one that has started it.
    let reply = setup.service.call_back(&attacker, &callback).await;
    assert_eq!(reply.status, 303, "{reply:?}");
}

/// The victim is logged in as before.
#[tokio::test]
async fn rejected_callback_does_not_end_the_session_of_the_victim() {
    let setup = Setup::new().await;
    let victim = setup.browser().await;
    setup.provider.set_user("mallory");
    let callback = setup.callback_of(&UserAgent::new()).await;
    let reply = setup.service.call_back(&victim, &callback).await;
    assert_eq!(reply.status, 400);
    let reply = setup.service.fetch(&victim, "/api/me").await;
    assert!(reply.body.contains("user-1"), "{reply:?}");
}

/// The code of the attacker with the state of the victim (code injection).
#[tokio::test]
async fn code_of_another_login_is_rejected() {
    let setup = Setup::new().await;
    setup.provider.set_user("mallory");
    let stolen = query_of(&setup.callback_of(&UserAgent::new()).await)["code"].clone();
    setup.provider.set_user("user-1");
    let victim = UserAgent::new();
    let callback = setup.callback_of(&victim).await;
    let callback = with_parameter(&callback, "code", Some(&stolen));
    let reply = setup.service.call_back(&victim, &callback).await;
    assert_eq!(reply.status, 400, "{reply:?}");
    assert!(victim.cookie(&setup.service.url, SESSION).is_none());
}

#[tokio::test]
async fn replayed_callback_is_rejected_and_its_code_is_sent_once() {
    let setup = Setup::new().await;
    let browser = UserAgent::new();
    let url = setup.service.url("/login");
    let authorization = location(&browser.open(&url).await);
    // The attacker has a copy of the cookie as well.
    let copy = browser.cookies(&url);
    let callback = location(&browser.follow_link(&authorization).await);
    let reply = setup.service.call_back(&browser, &callback).await;
    assert_eq!(reply.status, 303, "{reply:?}");
    let session = browser.cookie(&setup.service.url, SESSION);
    for _ in 0..3 {
        for (name, cookie) in &copy {
            browser.set_cookie(&setup.service.url, name, &cookie.value);
        }
        let reply = setup.service.call_back(&browser, &callback).await;
        assert_eq!(reply.status, 400, "{reply:?}");
    }
    assert_eq!(setup.provider.uses_of_codes(), [1]);
    assert_eq!(browser.cookie(&setup.service.url, SESSION), session);
    assert_eq!(setup.service.fetch(&browser, "/api/me").await.status, 200);
    let events = setup.service.events.take();
    setup.assert_no_secrets(&browser, &events);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_64_equal_callbacks_wins() {
    let setup = Setup::new().await;
    let browser = UserAgent::new();
    let callback = setup.callback_of(&browser).await;
    let cookies = browser.cookies(&setup.service.url);
    let mut tasks = JoinSet::new();
    for _ in 0..64 {
        // Each has the cookies from before the first response.
        let (service, callback, cookies) =
            (setup.service.clone(), callback.clone(), cookies.clone());
        tasks.spawn(async move {
            let copy = UserAgent::new();
            for (name, cookie) in cookies {
                copy.set_cookie(&service.url, &name, &cookie.value);
            }
            let reply = service.call_back(&copy, &callback).await;
            let has_session = copy.cookie(&service.url, SESSION).is_some();
            assert_eq!(has_session, reply.status == 303, "{reply:?}");
            reply.status.as_u16()
        });
    }
    let statuses = tasks.join_all().await;
    let winners = statuses.iter().filter(|status| **status == 303).count();
    assert_eq!(winners, 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| [303, 400].contains(status)), "{statuses:?}");
    assert_eq!(setup.provider.uses_of_codes(), [1]);
}

#[tokio::test]
async fn changed_parameters_of_the_callback_are_rejected() {
    let setup = Setup::new().await;
    let duplicate = |url: &str, name: &str| format!("{url}&{name}={}", query_of(url)[name]);
    type Change<'a> = Box<dyn Fn(&str) -> String + 'a>;
    let with = |name: &'static str, value: Option<&'static str>| -> Change<'_> {
        Box::new(move |url| with_parameter(url, name, value))
    };
    let long = "x".repeat(8_000);
    let changes: [Change<'_>; 14] = [
        with("state", None),
        with("state", Some("")),
        with("state", Some("AAAAAAAAAAAAAAAAAAAAAA")),
        with("state", Some("../../../x")),
        with("state", Some("\u{0}\u{7f}\u{e9}")),
        with("code", None),
        with("code", Some("")),
        with("iss", None),
        with("iss", Some("")),
        with("iss", Some("https://evil.example")),
        Box::new(|url| with_parameter(url, "code", Some(&long))),
        Box::new(|url| with_parameter(url, "state", Some(&long))),
        Box::new(|url| duplicate(url, "state")),
        Box::new(|url| duplicate(url, "code")),
    ];
    for (number, change) in changes.iter().enumerate() {
        let browser = UserAgent::new();
        let callback = change(&setup.callback_of(&browser).await);
        let reply = setup.service.call_back(&browser, &callback).await;
        assert_eq!(reply.status, 400, "{number}: {reply:?}");
        assert!(browser.cookie(&setup.service.url, SESSION).is_none());
        assert!(setup.provider.received("/token").is_empty(), "{number}: the code was sent");
    }
    // Also with a trailing slash, because the comparison is exact.
    let browser = UserAgent::new();
    let callback = setup.callback_of(&browser).await;
    let other = format!("{}/", setup.provider.issuer());
    let callback = with_parameter(&callback, "iss", Some(&other));
    assert!(setup.service.call_back(&browser, &callback).await.status != 303);
}

#[tokio::test]
async fn callback_with_another_method_is_rejected() {
    let setup = Setup::new().await;
    let browser = UserAgent::new();
    let callback = setup.callback_of(&browser).await;
    for method in [Method::POST, Method::PUT, Method::HEAD] {
        let reply = browser.send(browser.request(method.clone(), &callback)).await;
        assert_eq!(reply.status, 405, "{method}: {reply:?}");
    }
    assert!(setup.provider.received("/token").is_empty());
    assert_eq!(setup.service.call_back(&browser, &callback).await.status, 303);
}

/// A cookie that is changed, cut or moved to another login.
#[tokio::test]
async fn forged_login_cookie_is_rejected() {
    let setup = Setup::new().await;
    let browser = UserAgent::new();
    let callback = setup.callback_of(&browser).await;
    let url = &setup.service.url;
    let [name] = &setup.service.login_cookies(&browser)[..] else { panic!() };
    let valid = browser.cookie(url, name).unwrap();
    let other = {
        let other = UserAgent::new();
        setup.callback_of(&other).await;
        let [name] = &setup.service.login_cookies(&other)[..] else { panic!() };
        other.cookie(url, name).unwrap()
    };
    let mut forged =
        vec![other, String::new(), "x".to_owned(), valid[..valid.len() - 1].to_owned()];
    for position in [0, valid.len() / 2, valid.len() - 2] {
        let mut bytes = valid.clone().into_bytes();
        bytes[position] = if bytes[position] == b'A' { b'B' } else { b'A' };
        forged.push(String::from_utf8(bytes).unwrap());
    }
    for value in forged {
        browser.set_cookie(url, name, &value);
        let reply = setup.service.call_back(&browser, &callback).await;
        setup.assert_failed(&browser, &reply, 400).await;
        assert!(setup.provider.received("/token").is_empty());
    }
}

/// The login cookie is valid for ten minutes.
#[tokio::test]
async fn login_that_took_too_long_is_rejected() {
    for (seconds, status) in [(599, 303), (601, 400)] {
        let setup = Setup::new().await;
        let browser = UserAgent::new();
        let callback = setup.callback_of(&browser).await;
        setup.clock.advance(std::time::Duration::from_secs(seconds));
        // The browser has kept the cookie.
        let reply = setup.service.call_back(&browser, &callback).await;
        assert_eq!(reply.status, status, "{seconds}: {reply:?}");
    }
}
