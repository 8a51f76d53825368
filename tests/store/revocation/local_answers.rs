//! Answers of the store are kept for a short time.

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt, future::join_all};
use tower_auth::{
    Principal,
    revocation::{Revocations, RevokeError},
    store::StoreErrorKind,
    test_util::TestClock,
};

use super::{
    test_store::{LIFE, TestStore},
    tokens::{ISSUER, caller, claims, clock, is_revoked, is_unavailable, with},
};

struct Fixture {
    clock: TestClock,
    store: TestStore,
    here: Revocations,
    other: Revocations,
    token: Principal,
}

fn fixture() -> Fixture {
    let clock = clock();
    let store = TestStore::new(&clock);
    let process = || store.process().build().unwrap();
    let (here, other) = (process(), process());
    let token = caller(&claims(&clock, "1"));
    // The epoch exists.
    for process in [&here, &other] {
        let first = caller(&claims(&clock, "first"));
        process.check(&first).now_or_never().unwrap().unwrap();
    }
    store.take_operations();
    Fixture { clock, store, here, other, token }
}

impl Fixture {
    fn check(&self) -> Result<(), tower_auth::Rejection> {
        self.here.check(&self.token).now_or_never().unwrap()
    }
}

#[test]
fn known_token_asks_the_store_once_per_staleness() {
    let fixture = fixture();
    assert!(fixture.check().is_ok());
    assert_eq!(fixture.store.take_operations(), ["get"], "one round trip for all records");
    fixture.clock.advance(Duration::from_millis(4_999));
    assert!(fixture.check().is_ok());
    assert!(fixture.store.take_operations().is_empty());
    fixture.clock.advance(Duration::from_millis(1));
    assert!(fixture.check().is_ok());
    assert_eq!(fixture.store.take_operations(), ["get"]);
    // A clock that was set back does not extend the time.
    fixture.clock.set(fixture.clock_start());
    assert!(fixture.check().is_ok());
    assert_eq!(fixture.store.take_operations(), ["get"]);
}

impl Fixture {
    fn clock_start(&self) -> std::time::SystemTime {
        clock_now(&clock())
    }
}

fn clock_now(clock: &TestClock) -> std::time::SystemTime {
    tower_auth::clock::Clock::now(clock)
}

#[test]
fn revocation_by_another_process_takes_effect_after_the_staleness() {
    let fixture = fixture();
    assert!(fixture.check().is_ok());
    fixture.other.token(&fixture.token).now_or_never().unwrap().unwrap();
    fixture.clock.advance(Duration::from_millis(4_999));
    assert!(fixture.check().is_ok());
    fixture.clock.advance(Duration::from_millis(1));
    assert!(is_revoked(&fixture.check()));
}

#[test]
fn revoked_token_is_remembered_longer_so_that_a_flood_does_not_reach_the_store() {
    let fixture = fixture();
    fixture.other.token(&fixture.token).now_or_never().unwrap().unwrap();
    assert!(is_revoked(&fixture.check()));
    fixture.store.take_operations();
    for _ in 0..1_000 {
        fixture.clock.advance(Duration::from_millis(500));
        assert!(is_revoked(&fixture.check()));
    }
    assert!(fixture.store.take_operations().is_empty());
}

#[test]
fn zero_staleness_asks_the_store_for_each_request() {
    let clock = clock();
    let store = TestStore::new(&clock);
    let here = store.process().staleness(Duration::ZERO).build().unwrap();
    let token = caller(&claims(&clock, "1"));
    let check = || here.check(&token).now_or_never().unwrap();
    check().unwrap();
    store.take_operations();
    for _ in 0..3 {
        assert!(check().is_ok());
        assert_eq!(store.take_operations(), ["get"]);
    }
}

#[tokio::test]
async fn thousand_equal_cold_tokens_ask_the_store_once() {
    let fixture = Arc::new(fixture());
    fixture.store.set_stepped(true);
    let checks = (0..1_000).map(|_| {
        let fixture = Arc::clone(&fixture);
        async move { fixture.here.check(&fixture.token).await }
    });
    let mut all = Box::pin(join_all(checks)) as std::pin::Pin<Box<dyn Future<Output = _>>>;
    assert!(fixture.store.step(&mut all, 1).0.is_none());
    assert_eq!(fixture.store.take_operations(), ["get"]);
    fixture.store.set_stepped(false);
    let results: Vec<Result<(), _>> = all.await;
    assert!(results.iter().all(Result::is_ok));
    assert!(fixture.store.take_operations().is_empty());
}

/// Otherwise, the last of many requests would wait for as many time limits of the store.
#[tokio::test]
async fn failure_is_shared_with_waiting_requests_and_the_next_request_asks_again() {
    let fixture = Arc::new(fixture());
    fixture.store.set_stepped(true);
    let checks = (0..100).map(|_| fixture.here.check(&fixture.token));
    let mut all = Box::pin(join_all(checks)) as std::pin::Pin<Box<dyn Future<Output = _>>>;
    fixture.store.fail_with(Some(StoreErrorKind::Unavailable));
    assert!(fixture.store.step(&mut all, 1).0.is_none());
    fixture.store.set_stepped(false);
    let results: Vec<Result<(), _>> = all.await;
    assert!(results.iter().all(is_unavailable));
    assert_eq!(fixture.store.take_operations(), ["get"]);
    fixture.store.fail_with(None);
    assert!(fixture.check().is_ok());
    assert_eq!(fixture.store.take_operations(), ["get"]);
}

#[tokio::test]
async fn dropped_request_passes_its_question_to_the_next_one() {
    let fixture = Arc::new(fixture());
    fixture.store.set_stepped(true);
    let check = || -> std::pin::Pin<Box<dyn Future<Output = _>>> {
        Box::pin(fixture.here.check(&fixture.token))
    };
    let (mut first, mut second) = (check(), check());
    assert!(fixture.store.step(&mut first, 1).0.is_none());
    assert!(fixture.store.step(&mut second, 1).0.is_none());
    assert_eq!(fixture.store.take_operations(), ["get"]);
    drop(first);
    fixture.store.set_stepped(false);
    assert!(second.await.is_ok());
    assert_eq!(fixture.store.take_operations(), ["get"]);
}

#[test]
fn unavailable_store_returns_503_with_retry_after_unless_unchecked_tokens_are_admitted() {
    let clock = clock();
    let store = TestStore::new(&clock);
    let process = || store.process().staleness(Duration::ZERO);
    let closed = process().build().unwrap();
    let open = process().dangerous_admit_unchecked().build().unwrap();
    let [one, other] = ["1", "2"].map(|jti| caller(&claims(&clock, jti)));
    let check = |process: &Revocations, token| process.check(token).now_or_never().unwrap();
    assert!(check(&closed, &one).is_ok() && check(&open, &one).is_ok());
    open.token(&one).now_or_never().unwrap().unwrap();
    store.fail_with(Some(StoreErrorKind::Unavailable));
    let rejection = check(&closed, &other).unwrap_err();
    assert_eq!(rejection.kind().status(), 503);
    assert_eq!(rejection.retry_after(), Some(Duration::from_secs(1)));
    assert!(check(&open, &other).is_ok());
    assert!(is_revoked(&check(&open, &one)), "this process has revoked it");
    assert!(is_unavailable(&check(&closed, &one)));
    // A record that cannot be read may be the work of an attacker.
    store.fail_with(Some(StoreErrorKind::Unreadable));
    assert!(is_unavailable(&check(&open, &other)));
}

#[test]
fn garbage_in_the_store_never_admits_a_token() {
    let clock = clock();
    let store = TestStore::new(&clock);
    let here = store.process().staleness(Duration::ZERO).dangerous_admit_unchecked();
    let here = here.build().unwrap();
    let token = caller(&claims(&clock, "1"));
    let check = || here.check(&token).now_or_never().unwrap();
    assert!(check().is_ok());
    here.token(&token).now_or_never().unwrap().unwrap();
    for garbage in [&b""[..], b"0", b"-1", b"9223372036854775808", &[0; 64]] {
        store.overwrite_all(garbage);
        assert!(check().is_err());
    }
}

#[test]
fn instant_of_another_length_that_is_sealed_correctly_rejects_every_token_of_the_subject() {
    for new in [&[][..], &[0; 7], &[0; 9]] {
        let clock = clock();
        let store = TestStore::new(&clock);
        let here = store.process().staleness(Duration::ZERO).build().unwrap();
        here.subject(ISSUER, "alice").now_or_never().unwrap().unwrap();
        clock.advance(Duration::from_secs(1));
        let token = caller(&claims(&clock, "1"));
        let bob = caller(&with(claims(&clock, "2"), "sub", "bob"));
        let check = |token| here.check(token).now_or_never().unwrap();
        assert!(check(&token).is_ok());
        assert_eq!(store.overwrite_instants(new), 1);
        assert!(is_revoked(&check(&token)), "{}", new.len());
        assert!(check(&bob).is_ok());
    }
}

/// Revocations that no longer fit into the memory of this process make earlier answers void.
#[test]
fn many_revocations_in_this_process_are_all_effective_at_once() {
    let fixture = fixture();
    let tokens: Vec<Principal> =
        (0..6_000).map(|n| caller(&claims(&fixture.clock, &n.to_string()))).collect();
    let check = |token| fixture.here.check(token).now_or_never().unwrap();
    assert!(tokens.iter().all(|token| check(token).is_ok()));
    for token in &tokens {
        fixture.here.token(token).now_or_never().unwrap().unwrap();
    }
    assert!(tokens.iter().all(|token| is_revoked(&check(token))));
}

#[test]
fn records_live_as_long_as_the_tokens_that_they_reject() {
    let fixture = fixture();
    let longest = |f: &Fixture| {
        let year = Duration::from_secs(365 * 24 * 3_600);
        f.store.lifetimes().into_iter().filter(|life| *life < year).max()
    };
    let margin = Duration::from_secs(605);
    assert_eq!(longest(&fixture), None, "the epoch lives long");
    fixture.here.token(&fixture.token).now_or_never().unwrap().unwrap();
    assert_eq!(longest(&fixture), Some(Duration::from_secs(600) + margin));
    fixture.here.session(ISSUER, "s").now_or_never().unwrap().unwrap();
    assert_eq!(longest(&fixture), Some(LIFE + margin));
    // A token that is longer than any valid one.
    let token = with(claims(&fixture.clock, "2"), "exp", 9_000_000_000_u64);
    fixture.here.token(&caller(&token)).now_or_never().unwrap().unwrap();
    assert_eq!(longest(&fixture), Some(LIFE + margin));
}

/// The write may have taken effect.
#[test]
fn failed_revocation_is_effective_in_this_process_while_the_store_is_down() {
    type Revoke = fn(&Revocations, &Principal) -> Result<(), RevokeError>;
    let ways: [(&str, Revoke); 4] = [
        ("token", |here, token| here.token(token).now_or_never().unwrap()),
        ("session", |here, _| here.session(ISSUER, "s").now_or_never().unwrap()),
        ("subject", |here, _| here.subject(ISSUER, "alice").now_or_never().unwrap()),
        ("issuer", |here, _| here.issuer(ISSUER).now_or_never().unwrap()),
    ];
    for (way, revoke) in ways {
        let clock = clock();
        let store = TestStore::new(&clock);
        let here = store.process().staleness(Duration::ZERO).dangerous_admit_unchecked();
        let here = here.build().unwrap();
        let token = caller(&claims(&clock, "1"));
        let other = caller(&with(claims(&clock, "2"), "iss", "https://other.example"));
        let check = |token| here.check(token).now_or_never().unwrap();
        assert!(check(&token).is_ok(), "{way}");
        store.fail_with(Some(StoreErrorKind::Unavailable));
        assert!(check(&token).is_ok(), "{way}");
        assert!(revoke(&here, &token).is_err(), "{way}");
        assert!(is_revoked(&check(&token)), "{way}");
        assert!(check(&other).is_ok(), "{way}");
    }
}

/// The clock is set back between two revocations of the same subject.
fn revoke_twice(clock: &TestClock, here: &Revocations) {
    here.subject(ISSUER, "alice").now_or_never().unwrap().unwrap();
    clock.set(clock_now(clock) - Duration::from_secs(100));
    here.subject(ISSUER, "alice").now_or_never().unwrap().unwrap();
}

#[test]
fn second_revocation_with_an_earlier_instant_does_not_replace_the_first_during_an_outage() {
    let clock = clock();
    let store = TestStore::new(&clock);
    let here = store.process().staleness(Duration::ZERO).dangerous_admit_unchecked();
    let here = here.build().unwrap();
    let token = caller(&claims(&clock, "1"));
    let check = || here.check(&token).now_or_never().unwrap();
    assert!(check().is_ok());
    revoke_twice(&clock, &here);
    store.fail_with(Some(StoreErrorKind::Unavailable));
    assert!(is_revoked(&check()));
}

#[test]
fn record_with_an_instant_ahead_of_now_lives_longer_by_the_difference() {
    let fixture = fixture();
    revoke_twice(&fixture.clock, &fixture.here);
    let year = Duration::from_secs(365 * 24 * 3_600);
    let lives = fixture.store.lifetimes().into_iter().filter(|life| *life < year);
    assert_eq!(lives.collect::<Vec<_>>(), [LIFE + Duration::from_secs(605 + 100)]);
}

/// The process remembers 4,096 revocations.
#[test]
fn repeated_revocation_is_remembered_as_long_as_its_repetition() {
    let clock = clock();
    let store = TestStore::new(&clock);
    let here = store.process().staleness(Duration::ZERO).dangerous_admit_unchecked();
    let here = here.build().unwrap();
    let token = |jti: &str| caller(&claims(&clock, jti));
    let revoke = |jti: &str| here.token(&token(jti)).now_or_never().unwrap().unwrap();
    revoke("repeated");
    revoke("repeated");
    (1..4_096).for_each(|number| revoke(&number.to_string()));
    store.fail_with(Some(StoreErrorKind::Unavailable));
    let check = |jti: &str| here.check(&token(jti)).now_or_never().unwrap();
    assert!(is_revoked(&check("repeated")));
    assert!(check("valid").is_ok());
}

/// The time of the store is rounded up to milliseconds.
#[test]
fn token_whose_iat_was_rounded_up_to_the_millisecond_of_the_revocation_is_rejected() {
    let fixture = fixture();
    let iat = super::tokens::seconds(clock_now(&fixture.clock)) as f64 + 0.001;
    let token = caller(&with(claims(&fixture.clock, "2"), "iat", iat));
    fixture.clock.advance(Duration::from_micros(800));
    fixture.here.subject(ISSUER, "alice").now_or_never().unwrap().unwrap();
    for process in [&fixture.here, &fixture.other] {
        assert!(is_revoked(&process.check(&token).now_or_never().unwrap()));
    }
}

#[test]
fn known_token_is_accepted_during_an_outage_until_the_staleness_has_passed() {
    let fixture = fixture();
    assert!(fixture.check().is_ok());
    fixture.store.fail_with(Some(StoreErrorKind::Unavailable));
    fixture.clock.advance(Duration::from_millis(4_999));
    assert!(fixture.check().is_ok());
    fixture.clock.advance(Duration::from_millis(1));
    assert!(is_unavailable(&fixture.check()));
}
