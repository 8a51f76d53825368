//! Limits for addresses and users.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::throttle::{Attempt, Throttle};
use crate::{
    basic::credentials::BasicCredentials,
    observe::{event::Event, observer::Observer},
    rejection::RejectionKind,
};

/// A throttle that allows 3 failures in 30 s, by the address in a header, and its mock clock.
pub(in crate::throttle) struct Fixture {
    throttle: Arc<Throttle>,
    seconds: Arc<AtomicU64>,
}

impl Fixture {
    pub(in crate::throttle) fn new() -> Self {
        Self::with_limit(3, Duration::from_secs(30))
    }

    pub(in crate::throttle) fn with_limit(failures: u32, per: Duration) -> Self {
        let seconds = Arc::new(AtomicU64::new(1_000_000));
        let mock = Arc::clone(&seconds);
        let now =
            move || SystemTime::UNIX_EPOCH + Duration::from_secs(mock.load(Ordering::Relaxed));
        let throttle =
            Throttle::by_address(|head| head.headers.get("x-from")?.to_str().ok()?.parse().ok());
        Self { throttle: Arc::new(throttle.failures(failures, per).clock(now)), seconds }
    }

    pub(in crate::throttle) fn advance(&self, seconds: i64) {
        let now = self.seconds.load(Ordering::Relaxed);
        self.seconds.store(now.saturating_add_signed(seconds), Ordering::Relaxed);
    }

    pub(in crate::throttle) fn begin(
        &self,
        from: &str,
        user: &str,
        password: &str,
    ) -> Result<Attempt, Option<u64>> {
        let request = http::Request::builder().header("x-from", from).body(()).unwrap();
        let pair = STANDARD.encode(format!("{user}:{password}"));
        let credentials = BasicCredentials::decode(pair.as_bytes()).unwrap();
        let client = self.throttle.client(&request.into_parts().0);
        let admitted = self.throttle.admit(client, &credentials, None);
        admitted.map_err(|rejection| {
            assert_eq!(rejection.kind(), RejectionKind::TooManyRequests);
            rejection.retry_after().map(|wait| wait.as_secs())
        })
    }

    /// Sends the correct password.
    pub(in crate::throttle) fn log_in(&self, from: &str, user: &str) -> Result<(), Option<u64>> {
        self.begin(from, user, "correct").map(|attempt| attempt.finish(false))
    }

    /// Sends a wrong password.
    pub(in crate::throttle) fn guess(&self, from: &str, user: &str) -> Result<(), Option<u64>> {
        self.begin(from, user, "guess").map(|attempt| attempt.finish(true))
    }
}

#[test]
fn address_over_the_limit_gets_one_attempt_back_per_interval() {
    let fixture = Fixture::new();
    for user in ["a", "b", "c"] {
        assert_eq!(fixture.guess("10.0.0.1", user), Ok(()));
    }
    assert_eq!(fixture.guess("10.0.0.1", "d"), Err(Some(10)));
    assert!(fixture.log_in("10.0.0.2", "d").is_ok());
    fixture.advance(9);
    assert_eq!(fixture.guess("10.0.0.1", "d"), Err(Some(1)));
    fixture.advance(1);
    assert_eq!(fixture.guess("10.0.0.1", "d"), Ok(()));
    assert_eq!(fixture.guess("10.0.0.1", "d"), Err(Some(10)));
    fixture.advance(1_000);
    for _ in 0..2 {
        assert_eq!(fixture.guess("10.0.0.1", "e"), Ok(()));
    }
    assert!(fixture.log_in("10.0.0.1", "e").is_ok());
    // Correct passwords are not counted.
    assert!((0..10).all(|_| fixture.log_in("10.0.0.1", "e").is_ok()));
}

#[test]
fn guesses_from_many_addresses_do_not_lock_a_user_out() {
    let fixture = Fixture::new();
    let address = |number: u32| format!("10.0.{}.{}", number / 250, number % 250);
    let guesses = (0..500).filter(|number| fixture.guess(&address(*number), "alice").is_ok());
    assert_eq!(guesses.count(), 500, "one each");
    // The user is over the limit: an address that failed once may fail once more.
    assert_eq!(fixture.guess(&address(1), "alice"), Ok(()));
    assert!(matches!(fixture.guess(&address(1), "alice"), Err(Some(_))));
    // The user can log in from another address, also after a typing error.
    assert_eq!(fixture.guess("192.0.2.1", "alice"), Ok(()));
    assert!(fixture.log_in("192.0.2.1", "alice").is_ok());
    assert!(fixture.log_in(&address(1), "bob").is_ok());
}

#[test]
fn addresses_of_one_subscriber_share_a_limit() {
    let fixture = Fixture::new();
    for from in ["2001:db8::1", "2001:db8::2", "2001:db8:0:0:ffff::"] {
        assert_eq!(fixture.guess(from, "a"), Ok(()));
    }
    assert!(fixture.guess("2001:db8::9", "b").is_err());
    assert!(fixture.guess("2001:db8:0:1::9", "b").is_ok());
    for from in ["10.0.0.1", "::ffff:10.0.0.1", "10.0.0.1"] {
        assert_eq!(fixture.guess(from, "c"), Ok(()));
    }
    assert!(fixture.guess("10.0.0.1", "d").is_err());
    // Unknown addresses share one limit.
    for from in ["", "unknown", "10.0.0.1, 10.0.0.2"] {
        assert_eq!(fixture.guess(from, "e"), Ok(()));
    }
    assert!(fixture.guess("elsewhere", "f").is_err());
}

#[test]
fn first_client_without_a_known_address_is_reported() {
    let reports = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&reports);
    let observer = Observer::default().with_observer(move |event: &Event<'_>| {
        assert_eq!(
            (event.name(), event.request().unwrap().path()),
            ("client_address_unknown", "/login")
        );
        count.fetch_add(1, Ordering::Relaxed);
    });
    let (mut head, ()) = http::Request::get("/login").body(()).unwrap().into_parts();
    head.extensions.insert(observer);
    let known = Throttle::by_address(|_| Some([192, 0, 2, 1].into()));
    known.client(&head);
    assert_eq!(reports.load(Ordering::Relaxed), 0);
    let unknown = Throttle::by_address(|_| None);
    unknown.client(&head);
    unknown.client(&head);
    assert_eq!(reports.load(Ordering::Relaxed), 1);
}

#[test]
fn concurrent_failures_over_the_limit_extend_the_wait() {
    let fixture = Fixture::new();
    let begin = |number: usize| fixture.begin("10.0.0.1", "a", &number.to_string());
    let concurrent: Vec<_> = (0..50).map_while(|number| begin(number).ok()).collect();
    assert_eq!(concurrent.len(), 35);
    assert_eq!(begin(50).err(), Some(Some(1)));
    let other_address = fixture.begin("10.0.0.2", "a", "x");
    other_address.unwrap().finish(false);
    concurrent.into_iter().for_each(|attempt| attempt.finish(true));
    assert_eq!(fixture.guess("10.0.0.1", "b"), Err(Some(330)));
    fixture.advance(330);
    assert_eq!(fixture.guess("10.0.0.1", "b"), Ok(()));
    assert_eq!(fixture.guess("10.0.0.1", "b"), Err(Some(10)));
}

#[test]
fn equal_concurrent_attempts_count_once() {
    let fixture = Fixture::new();
    let begin = || fixture.begin("10.0.0.1", "a", "old password").unwrap();
    let concurrent: Vec<_> = (0..200).map(|_| begin()).collect();
    concurrent.into_iter().for_each(|attempt| attempt.finish(true));
    assert_eq!(fixture.guess("10.0.0.1", "a"), Ok(()));
    begin().finish(true);
    assert!(fixture.guess("10.0.0.1", "a").is_err());
}

#[test]
fn dropped_attempt_counts_as_a_failure() {
    let fixture = Fixture::new();
    for guess in ["a", "b", "c"] {
        drop(fixture.begin("10.0.0.1", "alice", guess).unwrap());
    }
    assert!(fixture.guess("10.0.0.1", "alice").is_err());
}

#[test]
fn clock_set_back_ends_the_wait() {
    let fixture = Fixture::new();
    (0..3).for_each(|_| fixture.guess("10.0.0.1", "a").unwrap());
    assert!(fixture.guess("10.0.0.1", "a").is_err());
    fixture.advance(-100_000);
    assert_eq!(fixture.guess("10.0.0.1", "a"), Ok(()));
}

#[test]
fn extreme_limits_do_not_overflow() {
    let day = Duration::from_secs(86_400);
    for (failures, per) in [(10, day), (1, Duration::ZERO), (u32::MAX, day), (0, Duration::MAX)] {
        let fixture = Fixture::with_limit(failures, per);
        let guesses = (0..20).take_while(|_| fixture.guess("10.0.0.1", "a").is_ok()).count();
        assert_eq!(guesses, 20.min(usize::try_from(failures.max(1)).unwrap()), "{per:?}");
    }
}
