//! The configuration of an issuer, and what a program passes to it.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, UNIX_EPOCH},
};

use serde_json::{Value, json};
use tower_auth::{
    issue::{
        AccessClaims, ClaimsRequest, Grant, IssueError, RefreshRequest, TokenIssuer,
        TokenIssuerBuilder,
    },
    store::SealedStore,
    test_util::principal,
};

use super::fixture::{Fixture, claims, grant, is_admitted, log_in, next, outcome, ready, refresh};

fn complete() -> TokenIssuerBuilder {
    TokenIssuer::builder()
        .issuer("https://login.example")
        .audience("orders")
        .store(SealedStore::memory())
}

#[test]
fn each_wrong_setting_is_an_error_that_says_what_to_do() {
    let second = Duration::from_secs(1);
    let day = 86_400 * second;
    complete().build().unwrap();
    let cases: Vec<(TokenIssuerBuilder, &str)> = vec![
        (TokenIssuer::builder(), "issuer"),
        (TokenIssuer::builder().issuer("https://login.example"), "audience"),
        (TokenIssuer::builder().issuer("https://login.example").audience("orders"), "store"),
        (complete().issuer("login.example"), "issuer must be an absolute https URL"),
        (complete().issuer("http://login.example"), "issuer must be an absolute https URL"),
        (complete().issuer(""), "issuer must be an absolute https URL"),
        (complete().audience(""), "audience"),
        (complete().client_id(""), "client_id"),
        (complete().access_lifetime(Duration::ZERO), "access_lifetime"),
        (complete().access_lifetime(day + second), "access_lifetime"),
        (complete().refresh_idle(Duration::ZERO), "refresh_idle"),
        // A refresh within twice the grace period does not renew the login.
        (complete().refresh_idle(Duration::from_secs(600 + 39)), "refresh_idle"),
        (complete().refresh_idle(91 * day), "refresh_idle"),
        (complete().absolute_lifetime(13 * day), "refresh_idle"),
        (complete().absolute_lifetime(366 * day), "absolute_lifetime"),
        (complete().grace(Duration::ZERO), "grace"),
        (complete().grace(61 * second), "grace"),
        (complete().staleness(301 * second), "staleness"),
        (complete().exchange_tokens_of("https://login.example"), "remove it from the call"),
    ];
    for (builder, expected) in cases {
        let error = builder.build().unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
        assert!(!error.contains("dangerous_allow_http"), "the builder has no such method: {error}");
    }
    complete().refresh_idle(Duration::from_secs(600 + 40)).build().unwrap();
    complete().absolute_lifetime(365 * day).refresh_idle(365 * day).build().unwrap();
}

#[test]
fn login_that_is_used_at_least_once_per_idle_time_does_not_end() {
    let fixture = Fixture::new();
    let issuer = fixture.builder().refresh_idle(Duration::from_secs(640)).build().unwrap();
    let mut pair = log_in(&issuer);
    for seconds in [1, 39, 600, 39, 600, 20, 20, 600, 639] {
        fixture.advance(seconds);
        pair = next(&issuer, &pair);
    }
    fixture.advance(640);
    assert_eq!(outcome(&refresh(&issuer, pair.refresh_token())), "expired");
}

#[test]
fn reserved_claim_names_are_rejected_and_write_nothing() {
    for name in [
        "iss",
        "sub",
        "aud",
        "exp",
        "nbf",
        "iat",
        "jti",
        "sid",
        "fst",
        "client_id",
        "scope",
        "auth_time",
        "acr",
        "amr",
        "cnf",
        "events",
        "nonce",
    ] {
        let fixture = Fixture::new();
        let custom = move |_: ClaimsRequest| async move {
            Ok::<_, std::io::Error>(Some(AccessClaims::new(&BTreeMap::from([(name, 1)]))))
        };
        let issuer = fixture.builder().claims(custom).build().unwrap();
        assert!(matches!(ready(issuer.issue(grant("alice"))), Err(IssueError::Invalid(_))));
        assert_wrote_no_login(&fixture, name);
    }
    for value in [json!([1]), json!("text"), json!(null)] {
        let fixture = Fixture::new();
        let custom = move |_: ClaimsRequest| {
            let claims = AccessClaims::new(&value);
            async move { Ok::<_, std::io::Error>(Some(claims)) }
        };
        let issuer = fixture.builder().claims(custom).build().unwrap();
        assert!(matches!(ready(issuer.issue(grant("alice"))), Err(IssueError::Invalid(_))));
    }
}

fn assert_wrote_no_login(fixture: &Fixture, case: &str) {
    let families = fixture.store.snapshot().into_keys();
    let families = families.filter(|key| key.purpose() == tower_auth::store::Purpose::Family);
    assert_eq!(families.count(), 0, "{case}");
}

#[test]
fn invalid_grants_write_nothing() {
    let fixture = Fixture::new();
    let issuer = fixture.issuer();
    let user = principal("alice").build();
    for grant in [
        Grant::new(&principal("").build()),
        Grant::new(&user).client_id(""),
        Grant::new(&user).scopes(["two words"]),
        Grant::new(&user).scopes([""]),
        Grant::new(&user).scopes(["\"quoted\""]),
        Grant::new(&user).scopes(["\u{e9}"]),
    ] {
        let result = ready(issuer.issue(grant));
        assert!(matches!(result, Err(IssueError::Invalid(_))), "{result:?}");
    }
    assert_wrote_no_login(&fixture, "grants");
}

#[test]
fn failing_claims_closure_is_an_outage_that_changes_nothing() {
    let fixture = Fixture::new();
    let is_failing = Arc::new(AtomicBool::new(true));
    let switch = Arc::clone(&is_failing);
    let custom = move |request: ClaimsRequest| {
        let fails = switch.load(Ordering::Relaxed);
        async move {
            match fails {
                true => Err(std::io::Error::other("no database")),
                false => Ok(Some(AccessClaims::new(&json!({ "refreshed": request.is_refresh })))),
            }
        }
    };
    let issuer = fixture.builder().claims(custom).build().unwrap();
    assert!(matches!(ready(issuer.issue(grant("alice"))), Err(IssueError::Unavailable(_))));
    assert_wrote_no_login(&fixture, "login");
    is_failing.store(false, Ordering::Relaxed);
    let pair = log_in(&issuer);
    assert_eq!(claims(&pair)["refreshed"], false);
    is_failing.store(true, Ordering::Relaxed);
    let before = fixture.store.snapshot();
    assert_eq!(outcome(&refresh(&issuer, pair.refresh_token())), "unavailable");
    assert_eq!(fixture.store.snapshot(), before);
    is_failing.store(false, Ordering::Relaxed);
    assert_eq!(claims(&next(&issuer, &pair))["refreshed"], true);
}

#[test]
fn claims_closure_that_rejects_the_user_ends_the_login() {
    let fixture = Fixture::new();
    let is_blocked = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&is_blocked);
    let custom = move |_: ClaimsRequest| {
        let is_blocked = switch.load(Ordering::Relaxed);
        async move { Ok::<_, std::io::Error>((!is_blocked).then(AccessClaims::none)) }
    };
    let issuer = fixture.builder().claims(custom).build().unwrap();
    let pair = log_in(&issuer);
    is_blocked.store(true, Ordering::Relaxed);
    assert!(matches!(ready(issuer.issue(grant("alice"))), Err(IssueError::NotAllowed)));
    assert_eq!(outcome(&refresh(&issuer, pair.refresh_token())), "revoked");
    is_blocked.store(false, Ordering::Relaxed);
    assert_eq!(outcome(&refresh(&issuer, pair.refresh_token())), "revoked");
    assert!(!is_admitted(&issuer, &pair));
    log_in(&issuer);
}

#[test]
fn token_of_another_client_is_rejected_and_the_login_continues() {
    let fixture = Fixture::new();
    let issuer = fixture.issuer();
    let pair = ready(issuer.issue(grant("alice").client_id("console"))).unwrap();
    assert_eq!(claims(&pair)["client_id"], "console");
    assert_eq!(outcome(&refresh(&issuer, pair.refresh_token())), "other client");
    let request = RefreshRequest::new(pair.refresh_token()).client_id("console");
    let refreshed = ready(issuer.refresh(request)).unwrap();
    assert_eq!(claims(&refreshed)["client_id"], "console");
    assert!(is_admitted(&issuer, &pair));
}

/// A thief cannot avoid the detection with a request that would fail anyway.
#[test]
fn reused_token_with_an_invalid_scope_ends_the_login() {
    let fixture = Fixture::new();
    let issuer = fixture.issuer();
    let stolen = log_in(&issuer);
    let live = next(&issuer, &stolen);
    fixture.advance(21);
    let request = RefreshRequest::new(stolen.refresh_token()).scopes(["admin"]);
    assert_eq!(outcome(&ready(issuer.refresh(request))), "reused");
    assert!(!is_admitted(&issuer, &live));
}

#[test]
fn invalid_scope_does_not_replace_the_token() {
    let fixture = Fixture::new();
    let issuer = fixture.issuer();
    let pair = log_in(&issuer);
    let before = fixture.store.snapshot();
    let request = RefreshRequest::new(pair.refresh_token()).scopes(["read", "admin"]);
    assert_eq!(outcome(&ready(issuer.refresh(request))), "invalid scope");
    assert_eq!(fixture.store.snapshot(), before);
    let request = RefreshRequest::new(pair.refresh_token()).scopes([""; 0]);
    let empty = ready(issuer.refresh(request)).unwrap();
    assert_eq!(claims(&empty).get("scope"), None::<&Value>);
}

/// Otherwise, a revocation would not be kept until the end of the login, and the verifier would
/// reject the new access tokens.
#[test]
fn shorter_absolute_lifetime_ends_logins_that_have_started() {
    let day = Duration::from_secs(86_400);
    let fixture = Fixture::new();
    let pair = log_in(&fixture.issuer());
    let shorter = fixture.builder().refresh_idle(day).absolute_lifetime(day).build().unwrap();
    fixture.advance(86_400 - 60);
    let last = next(&shorter, &pair);
    let end = claims(&last)["fst"].as_f64().unwrap() + day.as_secs_f64();
    assert!(claims(&last)["exp"].as_f64().unwrap() <= end);
    assert!(is_admitted(&shorter, &last));
    fixture.advance(60);
    assert_eq!(outcome(&refresh(&shorter, last.refresh_token())), "expired");
}

#[test]
fn log_out_everywhere_holds_for_logins_that_last_longer_than_those_of_the_instance() {
    let day = Duration::from_secs(86_400);
    let fixture = Fixture::new();
    let longer = fixture.issuer();
    let shorter = fixture.builder().refresh_idle(day).absolute_lifetime(day).build().unwrap();
    let pair = log_in(&longer);
    ready(shorter.logout_everywhere("alice")).unwrap();
    fixture.advance(2 * 86_400);
    assert_eq!(outcome(&refresh(&longer, pair.refresh_token())), "revoked");
}

#[test]
fn access_token_that_every_service_would_reject_is_not_issued() {
    let fixture = Fixture::new();
    let length = Arc::new(AtomicUsize::new(20_000));
    let current = Arc::clone(&length);
    let custom = move |_: ClaimsRequest| {
        let text = "x".repeat(current.load(Ordering::Relaxed));
        async move { Ok::<_, std::io::Error>(Some(AccessClaims::new(&json!({ "text": text })))) }
    };
    let issuer = fixture.builder().claims(custom).build().unwrap();
    let result = ready(issuer.issue(grant("alice")));
    assert!(matches!(result, Err(IssueError::Invalid(_))), "{result:?}");
    assert_wrote_no_login(&fixture, "too long");
    length.store(10_000, Ordering::Relaxed);
    let pair = log_in(&issuer);
    length.store(20_000, Ordering::Relaxed);
    let before = fixture.store.snapshot();
    assert_eq!(outcome(&refresh(&issuer, pair.refresh_token())), "unavailable");
    assert_eq!(fixture.store.snapshot(), before);
    length.store(10_000, Ordering::Relaxed);
    next(&issuer, &pair);
}

#[test]
fn claims_closure_limits_the_scopes_of_access_tokens() {
    let fixture = Fixture::new();
    let is_limited = Arc::new(AtomicBool::new(true));
    let switch = Arc::clone(&is_limited);
    let custom = move |_: ClaimsRequest| {
        let claims = match switch.load(Ordering::Relaxed) {
            true => AccessClaims::none().scopes(["read", "admin"]),
            false => AccessClaims::none(),
        };
        async move { Ok::<_, std::io::Error>(Some(claims)) }
    };
    let issuer = fixture.builder().claims(custom).build().unwrap();
    let pair = log_in(&issuer);
    assert_eq!(claims(&pair)["scope"], "read");
    let pair = next(&issuer, &pair);
    assert_eq!(claims(&pair)["scope"], "read");
    // Not an invalid scope: it was granted at the login.
    let request = RefreshRequest::new(pair.refresh_token()).scopes(["write"]);
    assert_eq!(claims(&ready(issuer.refresh(request)).unwrap()).get("scope"), None::<&Value>);
    is_limited.store(false, Ordering::Relaxed);
    fixture.advance(41);
    assert_eq!(claims(&next(&issuer, &pair))["scope"], "read write");
}

/// Otherwise, the login would count as recent for too long.
#[test]
fn auth_time_in_the_future_is_now() {
    let fixture = Fixture::new();
    let issuer = fixture.issuer();
    let now = claims(&log_in(&issuer))["iat"].as_u64().unwrap();
    let future = UNIX_EPOCH + Duration::from_secs(now + 3_600);
    let pair = ready(issuer.issue(grant("alice").auth_time(future))).unwrap();
    assert_eq!(claims(&pair)["auth_time"], now);
}
