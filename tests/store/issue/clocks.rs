//! Clocks that differ, or that are set back.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tower_auth::{
    clock::Clock,
    issue::TokenIssuer,
    store::{SealedStore, Store, StoreFuture, StoreKey, StoreSecret, Ttl},
    test_util::TestClock,
};

use super::fixture::{
    Fixture, GRACE, builder, generation, grant, is_admitted, log_in, next, outcome, ready, refresh,
};
use crate::revocation::test_store::{TestStore, key};

fn shift(time: SystemTime, seconds: i64) -> SystemTime {
    let by = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 { time - by } else { time + by }
}

/// Both instances accept the tokens of both, and a logout ends them.
#[tokio::test]
async fn instances_whose_clocks_are_30_s_apart_accept_each_others_tokens() {
    for skew in [-30, 30] {
        let fixture = Fixture::new();
        let clock = TestClock::at(shift(fixture.clock.now(), skew));
        let secret = StoreSecret::new(key(7)).unwrap();
        let issuers =
            [fixture.issuer(), fixture.builder_with(secret, clock.clone()).build().unwrap()];
        let [here, other] = &issuers;
        for (first, second) in [(here, other), (other, here)] {
            // With a fraction of a second, and directly after a revocation.
            for clock in [&fixture.clock, &clock] {
                clock.advance(Duration::from_millis(700));
            }
            first.logout_everywhere("alice").await.unwrap();
            let mut pair = second.issue(grant("alice")).await.unwrap();
            for _ in 0..5 {
                for issuer in &issuers {
                    let verified = issuer.verifier().verify(pair.access_token()).await;
                    assert!(verified.is_ok(), "{skew} {verified:?}");
                }
                for clock in [&fixture.clock, &clock] {
                    clock.advance(Duration::from_secs(45));
                }
                let old = pair;
                pair = first.refresh(old.refresh_token()).await.unwrap();
                let tab = second.refresh(old.refresh_token()).await.unwrap();
                assert_eq!(tab.refresh_token(), pair.refresh_token(), "{skew}");
            }
            second.logout_everywhere("alice").await.unwrap();
            for issuer in &issuers {
                assert!(issuer.verifier().verify(pair.access_token()).await.is_err(), "{skew}");
                assert_eq!(outcome(&issuer.refresh(pair.refresh_token()).await), "revoked");
            }
        }
    }
}

#[test]
fn store_clock_that_was_set_back_4_s_rejects_nobody() {
    let fixture = Fixture::new();
    let issuer = fixture.issuer();
    let first = log_in(&issuer);
    fixture.advance(100);
    let second = next(&issuer, &first);
    ready(issuer.logout_everywhere("bob")).unwrap();
    fixture.clock.set(shift(fixture.clock.now(), -4));
    // The age counts as zero.
    assert_eq!(next(&issuer, &second).refresh_token(), second.refresh_token());
    assert_eq!(next(&issuer, &first).refresh_token(), second.refresh_token());
    let bob = ready(issuer.issue(grant("bob"))).unwrap();
    assert!(is_admitted(&issuer, &bob));
    next(&issuer, &bob);
    fixture.advance(45);
    assert_eq!(generation(&next(&issuer, &second)), 2);
}

#[test]
fn store_clock_that_was_set_back_6_s_is_an_outage_and_no_theft() {
    let fixture = Fixture::new();
    let issuer = fixture.issuer();
    let first = log_in(&issuer);
    fixture.advance(100);
    let second = next(&issuer, &first);
    fixture.clock.set(shift(fixture.clock.now(), -6));
    for pair in [&first, &second] {
        assert_eq!(outcome(&refresh(&issuer, pair.refresh_token())), "unavailable");
    }
    assert_eq!(fixture.events.count("reused"), 0);
    fixture.advance(1);
    assert_eq!(next(&issuer, &first).refresh_token(), second.refresh_token());
    fixture.advance(50);
    assert_eq!(generation(&next(&issuer, &second)), 2);
}

/// A store whose clock is the one of each instance.
#[derive(Clone)]
struct LocalTime(TestStore, TestClock);

impl Store for LocalTime {
    fn get(&self, keys: &[StoreKey]) -> StoreFuture<Vec<Option<Bytes>>> {
        self.0.get(keys)
    }

    fn put(&self, key: &StoreKey, value: Bytes, ttl: Ttl) -> StoreFuture<()> {
        self.0.put(key, value, ttl)
    }

    fn insert(&self, key: &StoreKey, value: Bytes, ttl: Ttl) -> StoreFuture<bool> {
        self.0.insert(key, value, ttl)
    }

    fn replace(&self, key: &StoreKey, current: Bytes, value: Bytes, ttl: Ttl) -> StoreFuture<bool> {
        self.0.replace(key, current, value, ttl)
    }

    fn add(&self, keys: &[StoreKey], delta: i64, ttl: Ttl) -> StoreFuture<Vec<i64>> {
        self.0.add(keys, delta, ttl)
    }

    fn take(&self, key: &StoreKey) -> StoreFuture<Option<Bytes>> {
        self.0.take(key)
    }

    fn now(&self) -> StoreFuture<SystemTime> {
        StoreFuture::ready(Ok(self.1.now()))
    }
}

#[test]
fn log_out_everywhere_covers_a_login_whose_instance_is_ahead() {
    for ahead in [1, 3, 30] {
        let fixture = Fixture::new();
        let instance = |seconds| -> TokenIssuer {
            let clock = TestClock::at(shift(fixture.clock.now(), seconds));
            let store = LocalTime(fixture.store.clone(), clock.clone());
            let store = SealedStore::new(store, StoreSecret::new(key(7)).unwrap());
            builder(store, clock).staleness(Duration::ZERO).build().unwrap()
        };
        let (here, there) = (instance(0), instance(ahead));
        let pair = log_in(&there);
        ready(here.logout_everywhere("alice")).unwrap();
        for issuer in [&here, &there] {
            assert!(!is_admitted(issuer, &pair), "{ahead}");
            assert_eq!(outcome(&refresh(issuer, pair.refresh_token())), "revoked", "{ahead}");
        }
        let new = log_in(&there);
        assert!(is_admitted(&here, &new), "{ahead}");
        next(&there, &new);
    }
}

#[test]
fn clock_set_back_over_the_end_of_the_grace_period_does_not_accept_more_generations() {
    let fixture = Fixture::new();
    let issuer = fixture.issuer();
    let first = log_in(&issuer);
    let second = next(&issuer, &first);
    fixture.advance(2 * GRACE.as_secs());
    let third = next(&issuer, &second);
    fixture.clock.set(shift(fixture.clock.now(), -4));
    assert_eq!(next(&issuer, &second).refresh_token(), third.refresh_token());
    assert_eq!(outcome(&refresh(&issuer, first.refresh_token())), "reused");
}
