//! Each ID token here breaks one rule.

use std::time::{Duration, SystemTime};

use jsonwebtoken::Algorithm;
use serde_json::json;

use super::{
    authorization_request::LoginRequest,
    login_error::{LoginError, LoginErrorKind},
    test_provider::{CLIENT, TestProvider, log_in, reason, with_acr, with_max_age},
};
use crate::{
    authorize::{policies::authentication::RequireAuthentication, policy::Policy as _},
    clock::Clock as _,
    test_util::{TestToken, TokenMint},
};

const YEAR: Duration = Duration::from_secs(365 * 86_400);

/// Logs in with an ID token that is changed.
async fn with(change: impl Fn(TestToken) -> TestToken + Send + 'static) -> Result<(), LoginError> {
    let provider = TestProvider::new();
    provider.id_token(change);
    log_in(&provider, &provider.login(), LoginRequest::default()).await.map(drop)
}

/// Checks that an ID token is rejected, and the reason for it.
async fn rejected(hint: &str, change: impl Fn(TestToken) -> TestToken + Send + 'static) {
    let error = with(change).await.expect_err(hint);
    assert_eq!(error.kind(), LoginErrorKind::Provider, "{hint}: {}", reason(&error));
    assert!(reason(&error).contains(hint), "{hint}: {}", reason(&error));
}

#[tokio::test]
async fn valid_id_token_is_accepted() {
    with(|token| token).await.unwrap();
    with(|token| token.claim("azp", CLIENT).claim("aud", [CLIENT])).await.unwrap();
    // EdDSA has no `typ` here.
    with(|token| token.header("typ", "application/jwt")).await.unwrap();
}

#[tokio::test]
async fn id_token_with_a_wrong_signature_type_or_algorithm_is_rejected() {
    rejected("signature", |token| token.signed_by_unknown_key()).await;
    rejected("typ", |token| token.typ("at+jwt")).await;
    rejected("typ", |token| token.typ("logout+jwt")).await;
    rejected("alg", |token| token.header("alg", "none")).await;
    rejected("kid and alg", |token| token.header("alg", "HS256")).await;
    rejected("kid and alg", |token| token.header("alg", "RS256")).await;
    rejected("crit", |token| token.header("crit", ["b64"])).await;
}

#[tokio::test]
async fn id_token_of_another_issuer_is_rejected() {
    rejected("issuer", |token| token.claim("iss", "https://id.example/")).await;
    rejected("issuer", |token| token.claim("iss", "https://evil.example")).await;
    rejected("\"iss\" is missing", |token| token.without("iss")).await;
}

#[tokio::test]
async fn id_token_for_another_client_is_rejected() {
    rejected("audience", |token| token.claim("aud", "other")).await;
    rejected("audience", |token| token.without("aud")).await;
    rejected("another client", |token| token.claim("aud", [CLIENT, "other"])).await;
    rejected("azp", |token| token.claim("azp", "other")).await;
    rejected("azp", |token| token.claim("azp", [CLIENT])).await;
    rejected("azp", |token| token.claim("azp", ())).await;
}

#[tokio::test]
async fn id_token_outside_its_validity_period_is_rejected() {
    rejected("expired", |token| token.expired()).await;
    rejected("\"exp\" is missing", |token| token.without("exp")).await;
    rejected("\"iat\" is missing", |token| token.without("iat")).await;
    rejected("not valid yet", |token| token.issued_at(SystemTime::now() + YEAR)).await;
    rejected("10 minutes", |token| {
        token.issued_at(SystemTime::now() - Duration::from_secs(700)).expires_in(YEAR)
    })
    .await;
    rejected("not valid yet", |token| token.not_before(SystemTime::now() + YEAR)).await;
}

#[tokio::test]
async fn id_token_with_another_nonce_is_rejected() {
    rejected("nonce", |token| token.claim("nonce", "AAAAAAAAAAAAAAAAAAAAAA")).await;
    rejected("nonce", |token| token.claim("nonce", "")).await;
    rejected("nonce", |token| token.claim("nonce", 1)).await;
    rejected("\"nonce\" is missing", |token| token.without("nonce")).await;
}

#[tokio::test]
async fn security_event_token_is_not_an_id_token() {
    rejected("events", |token| token.claim("events", json!({ "urn:x": {} }))).await;
    rejected("typ", |token| {
        let logout = "http://schemas.openid.net/event/backchannel-logout";
        token.claim("events", json!({ logout: {} }))
    })
    .await;
}

#[tokio::test]
async fn subject_that_is_missing_empty_or_too_long_is_rejected() {
    rejected("\"sub\" is missing", |token| token.without("sub")).await;
    rejected("\"sub\" is missing", |token| token.claim("sub", "")).await;
    rejected("malformed", |token| token.claim("sub", 7)).await;
    rejected("255", |token| token.claim("sub", "a".repeat(256))).await;
    with(|token| token.claim("sub", "a".repeat(255))).await.unwrap();
}

#[tokio::test]
async fn at_hash_of_another_access_token_is_rejected() {
    // The left half of the hash of `at-1`.
    const SHA256: &str = "R8PYaIQdcYEdkSc9TeGyiQ";
    const SHA512: &str = "4J8UayM9qUGnNqHaqK2rpChA_M6CMUIfl5gcZqvthBE";
    for (algorithm, hash) in [(Algorithm::ES256, SHA256), (Algorithm::EdDSA, SHA512)] {
        let provider = TestProvider::with_mint(|mint: TokenMint| mint.algorithm(algorithm));
        let login = provider.login();
        provider.id_token(move |token| token.claim("at_hash", hash));
        log_in(&provider, &login, LoginRequest::default()).await.unwrap();
        let other = if hash == SHA256 { SHA512 } else { SHA256 };
        for wrong in [json!(other), json!(""), json!(null), json!(1)] {
            provider.id_token(move |token| token.claim("at_hash", wrong.clone()));
            let error = log_in(&provider, &login, LoginRequest::default()).await.err().unwrap();
            assert!(reason(&error).contains("at_hash"), "{}", reason(&error));
        }
    }
}

#[tokio::test]
async fn clock_skew_up_to_the_leeway_is_accepted() {
    for (skew, is_accepted) in [(59, true), (61, false)] {
        let skew = Duration::from_secs(skew);
        let ahead = with(move |token| token.issued_at(SystemTime::now() + skew)).await;
        assert_eq!(ahead.is_ok(), is_accepted, "{skew:?}");
        // A token that has just expired for the provider.
        let behind = with(move |token| {
            token.issued_at(SystemTime::now() - skew).expires_in(Duration::from_secs(0))
        });
        assert_eq!(behind.await.is_ok(), is_accepted, "{skew:?}");
    }
}

#[tokio::test]
async fn step_up_requires_one_of_its_classes() {
    let request = || with_acr("gold silver");
    let provider = TestProvider::new();
    let login = provider.login();
    for (acr, is_accepted) in
        [(json!("gold"), true), (json!("silver"), true), (json!("gold silver"), false)]
            .into_iter()
            .chain([(json!("bronze"), false), (json!(""), false), (json!(["gold"]), false)])
    {
        provider.id_token({
            let acr = acr.clone();
            move |token| token.claim("acr", acr.clone())
        });
        match log_in(&provider, &login, request()).await {
            Ok(_) => assert!(is_accepted, "{acr}"),
            Err(error) => {
                assert!(!is_accepted, "{acr}");
                assert_eq!(error.kind(), LoginErrorKind::Insufficient);
            }
        }
    }
    provider.id_token(|token| token);
    let error = log_in(&provider, &login, request()).await.err().unwrap();
    assert_eq!(error.kind(), LoginErrorKind::Insufficient);
}

#[tokio::test]
async fn class_that_the_application_prefers_is_not_required() {
    let provider = TestProvider::new();
    let login = provider.builder().acr_values(["gold"]).build().unwrap();
    provider.id_token(|token| token.acr("bronze"));
    log_in(&provider, &login, LoginRequest::default()).await.unwrap();
}

#[tokio::test]
async fn max_age_requires_a_recent_authentication() {
    let provider = TestProvider::new();
    let now = SystemTime::now();
    for (age, max_age, expected) in [
        (0, 0, None),
        (50, 0, None),
        (70, 0, Some(LoginErrorKind::Insufficient)),
        (350, 300, None),
        (370, 300, Some(LoginErrorKind::Insufficient)),
    ] {
        let configured = provider.builder().max_age(Duration::from_secs(max_age)).build().unwrap();
        provider.id_token(move |token| token.auth_time(now - Duration::from_secs(age)));
        let result = log_in(&provider, &configured, LoginRequest::default()).await;
        assert_eq!(result.err().map(|error| error.kind()), expected, "{age} {max_age}");
    }
    // The shorter one of both applies.
    let login = provider.builder().max_age(Duration::from_secs(3600)).build().unwrap();
    provider.id_token(move |token| token.auth_time(now - Duration::from_secs(600)));
    let request = with_max_age(60);
    let error = log_in(&provider, &login, request).await.err().unwrap();
    assert_eq!(error.kind(), LoginErrorKind::Insufficient);
}

/// The policy of the page has no leeway for old logins. With a session that it rejects, the browser
/// would be sent to the provider again and again.
#[tokio::test]
async fn step_up_accepts_only_what_the_page_accepts() {
    let provider = TestProvider::new();
    let clock = provider.clock();
    let head = http::Request::new(()).into_parts().0;
    for (auth_time, max_age, is_accepted) in [
        // An age of 0 s asks for a new login, which no page can require to be that recent.
        (-50, 0, true),
        (-130, 0, false),
        (-299, 300, true),
        (-302, 300, false),
        (-350, 300, false),
        (50, 300, true),
        // The leeway of the login is longer than that of the policy.
        (70, 300, false),
    ] {
        let login = provider.builder().leeway(Duration::from_secs(120));
        let login = login.clock(clock.clone()).build().unwrap();
        let age = Duration::from_secs(i64::unsigned_abs(auth_time));
        let now = clock.now();
        let at = if auth_time < 0 { now - age } else { now + age };
        provider.id_token(move |token| token.auth_time(at));
        match log_in(&provider, &login, with_max_age(max_age)).await {
            Ok(completed) => {
                assert!(is_accepted, "{auth_time} {max_age}");
                if max_age == 0 {
                    continue;
                }
                let policy = RequireAuthentication::max_age(Duration::from_secs(max_age));
                let policy = policy.clock(clock.clone());
                let user = completed.login.principal().build();
                let decision = policy.evaluate(&user, &head).into_ready().unwrap();
                assert!(decision.is_ok(), "{auth_time} {max_age}");
            }
            Err(error) => {
                assert!(!is_accepted, "{auth_time} {max_age}: {}", reason(&error));
                assert_eq!(error.kind(), LoginErrorKind::Insufficient);
            }
        }
    }
}

#[tokio::test]
async fn max_age_requires_an_auth_time_that_is_not_in_the_future() {
    let provider = TestProvider::new();
    let login = provider.login();
    let request = || with_max_age(60);
    let error = log_in(&provider, &login, request()).await.err().unwrap();
    assert!(reason(&error).contains("auth_time"));
    provider.id_token(|token| token.claim("auth_time", "now"));
    let error = log_in(&provider, &login, LoginRequest::default()).await.err().unwrap();
    assert!(reason(&error).contains("auth_time"));
    provider.id_token(|token| token.auth_time(SystemTime::now() + Duration::from_secs(90)));
    let error = log_in(&provider, &login, LoginRequest::default()).await.err().unwrap();
    assert!(reason(&error).contains("in the future"));
}

#[tokio::test]
async fn user_can_take_long_after_the_authentication() {
    let provider = TestProvider::new();
    let login = provider.login();
    let mut browser = super::test_provider::Browser::default();
    let request = with_max_age(0);
    let begun = browser.begin(&login, request).await.unwrap();
    let authenticated_at = SystemTime::now();
    provider.id_token(move |token| token.auth_time(authenticated_at));
    // For example, for a second factor.
    provider.clock().advance(Duration::from_secs(9 * 60));
    browser.complete(&login, provider.authorize(&begun.location)).await.unwrap();
}

#[tokio::test]
async fn only_listed_algorithms_are_accepted() {
    let provider = TestProvider::new();
    let login = provider.builder().algorithms([Algorithm::ES256]).build().unwrap();
    let error = log_in(&provider, &login, LoginRequest::default()).await.err().unwrap();
    assert_eq!(error.kind(), LoginErrorKind::Provider);
    let login = provider.builder().algorithms([Algorithm::EdDSA]).build().unwrap();
    log_in(&provider, &login, LoginRequest::default()).await.unwrap();
}
