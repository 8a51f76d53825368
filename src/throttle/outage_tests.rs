//! Shared limits while the store fails.

use futures_util::{FutureExt as _, future::join_all};

use super::{shared_fixture::SharedFixture, throttle::Throttle};
use crate::store::error::StoreErrorKind;

const A: &str = "192.0.2.1";
const B: &str = "192.0.2.2";

#[tokio::test]
async fn each_instance_allows_a_tenth_while_the_store_fails() {
    for fault in [StoreErrorKind::Unavailable, StoreErrorKind::Full, StoreErrorKind::Unreadable] {
        let fixture = SharedFixture::new(3);
        // Failures that the store has counted are not counted locally, too.
        for instance in 0..9 {
            assert_eq!(fixture.guess(instance, A, "alice").await, Ok(()));
        }
        fixture.store.set_fault(fault);
        for instance in 0..3 {
            assert_eq!(fixture.log_in(instance, A, "alice").await, Ok(()));
            assert_eq!(fixture.guess(instance, A, "alice").await, Ok(()));
            assert_eq!(fixture.guess(instance, A, "alice").await, Err(300), "{fault:?}");
            assert_eq!(fixture.log_in(instance, A, "alice").await, Err(300));
            assert_eq!(fixture.log_in(instance, B, "alice").await, Ok(()));
        }
        fixture.advance(299);
        assert_eq!(fixture.guess(0, A, "alice").await, Err(1));
        fixture.advance(1);
        assert_eq!(fixture.guess(0, A, "alice").await, Ok(()));
        assert_eq!(fixture.guess(0, A, "alice").await, Err(300));
        fixture.store.set_fault(None);
        assert_eq!(fixture.guess_all(A, "alice").await, 10, "the store has counted none of these");
    }
}

/// Otherwise, one burst during an outage would check as many passwords on each instance as a single
/// instance may check at a time.
#[tokio::test]
async fn concurrent_checks_are_divided_by_the_instances_while_the_store_fails() {
    let passwords: Vec<_> = (0..640).map(|guess| guess.to_string()).collect();
    for (instances, expected) in [(1, 42), (4, 4 * 10), (10, 10 * 4), (50, 50)] {
        let change = |throttle: Throttle| throttle.instances(u32::try_from(instances).unwrap());
        let fixture = SharedFixture::with(instances, change);
        fixture.store.set_fault(StoreErrorKind::Unavailable);
        let begin = |guess: usize| fixture.begin(guess, A, "alice", &passwords[guess]);
        let attempts = join_all((0..640).map(begin)).await;
        let attempts: Vec<_> = attempts.into_iter().filter_map(Result::ok).collect();
        assert_eq!(attempts.len(), expected, "{instances}");
        assert_eq!(fixture.log_in(0, A, "bob").await, Err(1));
        assert_eq!(fixture.log_in(0, B, "alice").await, Ok(()));
        for attempt in attempts {
            attempt.finish(false).await;
        }
        assert_eq!(fixture.log_in(0, A, "bob").await, Ok(()));
    }
}

#[tokio::test]
async fn equal_concurrent_attempts_are_one_check_while_the_store_fails() {
    let fixture = SharedFixture::new(1);
    fixture.store.set_fault(StoreErrorKind::Unavailable);
    for _ in 0..2 {
        let mut attempts = Vec::new();
        for user in ["alice", "bob", "carol", "dave"] {
            let begin = |_| fixture.begin(0, A, user, "correct");
            attempts.extend(join_all((0..64).map(begin)).await);
        }
        assert_eq!(fixture.log_in(0, A, "erin").await, Err(1));
        for attempt in attempts {
            attempt.unwrap().finish(false).await;
        }
    }
    assert_eq!(fixture.log_in(0, A, "erin").await, Ok(()));
}

#[tokio::test]
async fn local_limits_follow_the_number_of_instances() {
    for (instances, attempts, wait) in [(0, 10, 30), (1, 10, 30), (4, 2, 120), (1_000, 1, 30_000)] {
        let fixture = SharedFixture::with(1, |throttle| throttle.instances(instances));
        fixture.store.set_fault(StoreErrorKind::Unavailable);
        assert_eq!(fixture.guess_all(A, "alice").await, attempts, "{instances}");
        assert_eq!(fixture.log_in(0, A, "bob").await, Err(wait), "{instances}");
    }
}

#[tokio::test]
async fn equal_attempt_that_is_dropped_early_does_not_hide_a_local_failure() {
    let fixture = SharedFixture::new(1);
    fixture.store.pause();
    fixture.store.set_fault(StoreErrorKind::Full);
    let begin = || Box::pin(fixture.begin(0, A, "alice", "guess"));
    let (mut dropped, mut second) = (begin(), begin());
    assert!(dropped.as_mut().now_or_never().is_none());
    assert!(second.as_mut().now_or_never().is_none());
    drop(dropped);
    fixture.store.resume();
    second.await.unwrap().finish(true).await;
    assert_eq!(fixture.guess(0, A, "alice").await, Err(300));
}

#[tokio::test]
async fn lost_refund_costs_one_attempt_of_the_window() {
    let fixture = SharedFixture::new(1);
    let attempt = fixture.begin(0, A, "alice", "correct").await.unwrap();
    fixture.store.set_fault(StoreErrorKind::Unavailable);
    attempt.finish(false).await;
    fixture.store.set_fault(None);
    assert_eq!(fixture.guess_all(A, "alice").await, 9);
    fixture.advance(300);
    assert_eq!(fixture.guess_all(A, "alice").await, 10);
}
