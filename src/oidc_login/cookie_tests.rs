use std::time::Duration;

use super::{
    authorization_request::LoginRequest,
    step_up::StepUp,
    test_provider::{Browser, TestProvider},
};
use crate::session::return_to::ReturnTo;

fn names(browser: &Browser) -> Vec<String> {
    browser.0.iter().map(|(name, _)| name.clone()).collect()
}

#[tokio::test]
async fn login_cookie_is_for_this_host_and_ten_minutes() {
    let provider = TestProvider::new();
    for (builder, same_site) in
        [(provider.builder(), "Lax"), (provider.builder().form_post(), "None")]
    {
        let login = builder.build().unwrap();
        let mut browser = Browser::default();
        let begun = browser.begin(&login, LoginRequest::default()).await.unwrap();
        let cookie = begun.cookies[0].to_str().unwrap();
        assert!(cookie.starts_with("__Host-login-"), "{cookie}");
        let attributes = format!("; Path=/; Secure; HttpOnly; SameSite={same_site}; Max-Age=600");
        assert!(cookie.ends_with(&attributes), "{cookie}");
        let response = provider.authorize(&begun.location);
        let removed = login.0.expired_cookies(response.state.as_deref(), &browser.head());
        let [removed] = &*removed else { panic!("{removed:?}") };
        let name = &names(&browser)[0];
        assert_eq!(
            removed.to_str().unwrap(),
            format!("{name}=; Path=/; Secure; HttpOnly; SameSite={same_site}; Max-Age=0")
        );
        for state in [None, Some("other"), Some("")] {
            assert!(login.0.expired_cookies(state, &browser.head()).is_empty());
        }
        assert!(
            login
                .0
                .expired_cookies(response.state.as_deref(), &Browser::default().head())
                .is_empty()
        );
    }
}

#[tokio::test]
async fn cookies_of_20_abandoned_logins_are_bounded() {
    let provider = TestProvider::new();
    let login = provider.login();
    let mut browser = Browser::default();
    browser.0.push(("__Host-session".into(), "s".into()));
    let mut begun = Vec::new();
    for number in 1..=20 {
        begun.push(browser.begin(&login, LoginRequest::default()).await.unwrap());
        provider.clock().advance(Duration::from_secs(1));
        assert_eq!(browser.0.len(), 1 + number.min(5));
    }
    assert_eq!(names(&browser)[0], "__Host-session");
    // The five newest ones can be completed.
    for (number, begun) in begun.iter().enumerate() {
        let result = browser.complete(&login, provider.authorize(&begun.location)).await;
        assert_eq!(result.is_ok(), number >= 15, "{number}");
    }
}

#[tokio::test]
async fn cookies_of_expired_logins_are_removed() {
    let provider = TestProvider::new();
    let login = provider.login();
    let mut browser = Browser::default();
    for _ in 0..3 {
        browser.begin(&login, LoginRequest::default()).await.unwrap();
    }
    provider.clock().advance(Duration::from_secs(600));
    browser.begin(&login, LoginRequest::default()).await.unwrap();
    assert_eq!(browser.0.len(), 1);
}

#[tokio::test]
async fn unreadable_cookies_are_removed_before_logins() {
    let provider = TestProvider::new();
    let login = provider.login();
    let mut browser = Browser::default();
    let begun = browser.begin(&login, LoginRequest::default()).await.unwrap();
    for number in 0..30 {
        browser.0.insert(0, (format!("__Host-login-{number}"), "x".into()));
    }
    browser.begin(&login, LoginRequest::default()).await.unwrap();
    assert_eq!(browser.0.len(), 5);
    browser.complete(&login, provider.authorize(&begun.location)).await.unwrap();
}

#[tokio::test]
async fn login_at_another_provider_keeps_its_cookie() {
    let provider = TestProvider::new();
    let shared = super::test_provider::sessions(provider.clock(), crate::store::Memory::new());
    let first = provider.builder().sessions(shared.clone()).build().unwrap();
    let other = provider.builder().sessions(shared).client_id("other").build().unwrap();
    let mut browser = Browser::default();
    let begun = browser.begin(&first, LoginRequest::default()).await.unwrap();
    browser.begin(&other, LoginRequest::default()).await.unwrap();
    browser.complete(&first, provider.authorize(&begun.location)).await.unwrap();
}

#[tokio::test]
async fn cookies_of_longest_logins_are_bounded_by_bytes() {
    let provider = TestProvider::new();
    let login = provider.login();
    let mut browser = Browser::default();
    for _ in 0..5 {
        let request = LoginRequest {
            return_to: ReturnTo::parse(&format!("/{}", "a".repeat(1023))).unwrap(),
            step_up: StepUp { acr_values: Some("a".repeat(512)), max_age: Some(u64::MAX) },
            login_hint: Some("a".repeat(256)),
            replaces: Some("a".repeat(128)),
        };
        let begun = browser.begin(&login, request).await.unwrap();
        for cookie in &begun.cookies {
            assert!(cookie.len() < 4096, "{}", cookie.len());
        }
        let sizes = browser.0.iter().map(|(name, value)| name.len() + value.len());
        assert!(sizes.sum::<usize>() <= 6 * 1024);
    }
    assert_eq!(browser.0.len(), 2);
}

#[tokio::test]
async fn changed_cookie_is_rejected() {
    let provider = TestProvider::new();
    let login = provider.login();
    let mut browser = Browser::default();
    let begun = browser.begin(&login, LoginRequest::default()).await.unwrap();
    let value = browser.0[0].1.clone();
    for position in 0..value.len() {
        let mut changed = value.clone().into_bytes();
        changed[position] = if changed[position] == b'A' { b'B' } else { b'A' };
        browser.0[0].1 = String::from_utf8(changed).unwrap();
        let result = browser.complete(&login, provider.authorize(&begun.location)).await;
        assert!(result.is_err(), "{position}");
    }
    browser.0[0].1 = value;
    browser.complete(&login, provider.authorize(&begun.location)).await.unwrap();
}
