//! How many logins a subject can have, and how often a login can be refreshed.

use std::{collections::HashSet, time::Duration};

use futures_util::future::join_all;
use tower_auth::{
    issue::RefreshError,
    store::{SealedStore, StoreSecret},
};

use super::fixture::{
    Fixture, builder, generation, grant, is_admitted, log_in, log_in_as, log_out, next, outcome,
    ready, refresh,
};
use crate::{backchannel::flaky::Flaky, revocation::test_store::key};

/// Returns a store whose operations take turns with other tasks.
fn yielding_store() -> SealedStore {
    SealedStore::new(Flaky::new(), StoreSecret::new(key(7)).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_parallel_refreshes_get_one_generation_and_one_successor() {
    for store in [SealedStore::memory(), yielding_store()] {
        let clock = tower_auth::clock::SystemClock;
        let [here, other] = [0, 1].map(|_| builder(store.clone(), clock).build().unwrap());
        let mut pair = here.issue(grant("alice")).await.unwrap();
        for round in 1..=2 {
            let requests = (0..64).map(|number| {
                let issuer = if number % 2 == 0 { here.clone() } else { other.clone() };
                let token = pair.refresh_token().to_owned();
                tokio::spawn(async move { issuer.refresh(&*token).await })
            });
            let answers = join_all(requests).await;
            let answers: Vec<_> = answers.into_iter().map(|answer| answer.unwrap()).collect();
            let pairs: Vec<_> = answers.into_iter().map(|answer| answer.unwrap()).collect();
            let tokens: HashSet<&str> = pairs.iter().map(|pair| pair.refresh_token()).collect();
            assert_eq!(tokens.len(), 1, "{tokens:?}");
            // A generation is not replaced before its minimum age.
            assert_eq!(generation(&pairs[0]), 1);
            let access: HashSet<&str> = pairs.iter().map(|pair| pair.access_token()).collect();
            assert_eq!(access.len(), 64, "each has its own jti");
            for answer in &pairs {
                assert!(other.verifier().verify(answer.access_token()).await.is_ok(), "{round}");
            }
            pair = pairs[0].clone();
        }
    }
}

#[test]
fn fifty_first_login_ends_the_oldest_live_one() {
    let fixture = Fixture::new();
    let issuer = fixture.issuer();
    let mut pairs = Vec::new();
    for _ in 0..50 {
        fixture.advance(1);
        pairs.push(log_in(&issuer));
    }
    let bob = log_in_as(&issuer, "bob");
    // A login that has ended makes space.
    log_out(&issuer, &pairs[0]);
    fixture.advance(1);
    pairs.push(log_in(&issuer));
    assert!(pairs[1..].iter().all(|pair| is_admitted(&issuer, pair)));
    fixture.advance(1);
    pairs.push(log_in(&issuer));
    assert!(!is_admitted(&issuer, &pairs[1]));
    assert_eq!(outcome(&refresh(&issuer, pairs[1].refresh_token())), "revoked");
    for pair in &mut pairs[2..] {
        assert!(is_admitted(&issuer, pair));
        *pair = next(&issuer, pair);
    }
    assert!(is_admitted(&issuer, &bob));
    // It is the oldest login that ends, and not the one that was used least recently.
    fixture.advance(86_400);
    next(&issuer, &pairs[2]);
    pairs.push(log_in(&issuer));
    assert!(!is_admitted(&issuer, &pairs[2]) && is_admitted(&issuer, &pairs[3]));
    // Logins that have expired make space, too.
    fixture.advance(15 * 86_400);
    let new: Vec<_> = (0..50).map(|_| log_in(&issuer)).collect();
    assert!(new.iter().all(|pair| is_admitted(&issuer, pair)));
}

#[tokio::test]
async fn sixty_four_logins_at_once_leave_fifty() {
    let store = yielding_store();
    let clock = tower_auth::clock::SystemClock;
    let [here, other] = [0, 1].map(|_| builder(store.clone(), clock).build().unwrap());
    let logins = (0..64).map(|number| {
        let issuer = if number % 2 == 0 { &here } else { &other };
        issuer.issue(grant("alice"))
    });
    let pairs: Vec<_> = join_all(logins).await.into_iter().map(|pair| pair.unwrap()).collect();
    let mut live = 0;
    for pair in &pairs {
        let refreshed = here.refresh(pair.refresh_token()).await;
        let is_live = refreshed.is_ok();
        assert!(is_live || matches!(refreshed, Err(RefreshError::Revoked)), "{refreshed:?}");
        assert_eq!(here.verifier().verify(pair.access_token()).await.is_ok(), is_live);
        live += usize::from(is_live);
    }
    assert_eq!(live, 50);
    here.logout_everywhere("alice").await.unwrap();
    for pair in &pairs {
        assert!(here.verifier().verify(pair.access_token()).await.is_err());
    }
}

#[test]
fn more_than_120_refreshes_of_a_login_in_a_minute_are_rejected_until_later() {
    let fixture = Fixture::new();
    let issuer = fixture.issuer();
    let (mut pair, other) = (log_in(&issuer), log_in(&issuer));
    for _ in 0..120 {
        pair = next(&issuer, &pair);
    }
    fixture.store.take_operations();
    let Err(RefreshError::TooManyRequests { retry_after }) = refresh(&issuer, pair.refresh_token())
    else {
        panic!("accepted");
    };
    assert_eq!(fixture.store.take_operations(), [""; 0]);
    assert!(!retry_after.is_zero() && retry_after <= Duration::from_secs(1), "{retry_after:?}");
    next(&issuer, &other);
    // A logout is not limited.
    fixture.clock.advance(retry_after);
    pair = next(&issuer, &pair);
    assert_eq!(outcome(&refresh(&issuer, pair.refresh_token())), "too many requests");
    log_out(&issuer, &pair);
    assert!(!is_admitted(&issuer, &pair));
    // Forged tokens do not count.
    for _ in 0..200 {
        let forged = format!("{}x", &other.refresh_token()[..other.refresh_token().len() - 1]);
        assert_eq!(outcome(&refresh(&issuer, &forged)), "malformed");
    }
    next(&issuer, &other);
    assert!(ready(issuer.logout(other.refresh_token())).is_ok());
}

#[test]
fn list_of_logins_lasts_as_long_as_the_longest_of_them() {
    let day = Duration::from_secs(86_400);
    let fixture = Fixture::new();
    let issuer = fixture.issuer();
    let shorter = fixture.builder().refresh_idle(day).absolute_lifetime(day).build().unwrap();
    let oldest = log_in(&issuer);
    log_in(&shorter);
    fixture.advance(2 * 86_400);
    for _ in 0..50 {
        log_in(&issuer);
    }
    assert_eq!(outcome(&refresh(&issuer, oldest.refresh_token())), "revoked");
}

#[test]
fn login_that_has_ended_makes_space_although_it_is_not_the_oldest() {
    let fixture = Fixture::new();
    let issuer = fixture.issuer();
    let mut pairs = Vec::new();
    for _ in 0..50 {
        fixture.advance(1);
        pairs.push(log_in(&issuer));
    }
    log_out(&issuer, &pairs.remove(10));
    pairs.push(log_in(&issuer));
    assert!(pairs.iter().all(|pair| is_admitted(&issuer, pair)));
}
