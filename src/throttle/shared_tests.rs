//! Limits that instances share.

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt as _, future::join_all};

use super::shared_fixture::SharedFixture;
use crate::store::{Memory, Purpose, SealedStore, StoreErrorKind, StoreSecret};

const A: &str = "192.0.2.1";
const B: &str = "192.0.2.2";

#[tokio::test]
async fn instances_share_a_limit_until_the_window_ends() {
    let fixture = SharedFixture::new(3);
    fixture.advance(100);
    for guess in 0..10 {
        assert_eq!(fixture.guess(guess, A, &format!("user {guess}")).await, Ok(()));
    }
    for instance in 0..3 {
        assert_eq!(fixture.guess(instance, A, "x").await, Err(200));
        assert_eq!(fixture.log_in(instance, A, "alice").await, Err(200));
        assert_eq!(fixture.log_in(instance, B, "alice").await, Ok(()));
    }
    fixture.advance(199);
    assert_eq!(fixture.log_in(0, A, "alice").await, Err(1));
    fixture.advance(1);
    assert_eq!(fixture.guess_all(A, "alice").await, 10);
}

#[tokio::test]
async fn correct_passwords_are_not_counted() {
    let fixture = SharedFixture::new(2);
    for login in 0..50 {
        assert_eq!(fixture.log_in(login, A, "alice").await, Ok(()));
    }
    assert_eq!(fixture.guess_all(A, "alice").await, 10);
}

#[tokio::test]
async fn attempt_takes_one_operation_and_success_one_more() {
    let fixture = SharedFixture::new(1);
    fixture.guess(0, "2001:db8::1", "alice").await.unwrap();
    assert_eq!((fixture.store.adds(), fixture.store.keys().len()), (1, 5));
    fixture.log_in(0, A, "alice").await.unwrap();
    assert_eq!((fixture.store.adds(), fixture.store.keys().len()), (3, 5 + 2 * 3));
}

#[tokio::test]
async fn rejected_attempts_count_neither_for_the_user_nor_for_neighbors() {
    let fixture = SharedFixture::new(2);
    let blocked = "2001:db8:0:1::1";
    assert_eq!(fixture.guess_all(blocked, "bob").await, 10);
    for second in 0..200 {
        // Beyond the memory of a rejection, so that the store is asked.
        fixture.advance(i64::from(second % 2 == 0));
        assert!(fixture.guess(second, blocked, "alice").await.is_err());
    }
    // Otherwise, the user would be over the limit of 20, and this address have two attempts.
    assert_eq!(fixture.guess_all("2001:db8:0:2::1", "alice").await, 10);
    assert_eq!(fixture.guess_all("2001:db8:0:3::1", "carol").await, 10);
}

#[tokio::test]
async fn user_over_the_limit_is_rejected_only_from_addresses_that_failed() {
    let fixture = SharedFixture::new(3);
    for guess in 0..50 {
        let from = format!("10.0.0.{guess}");
        assert_eq!(fixture.guess(guess, &from, "alice").await, Ok(()), "the first of an address");
    }
    assert_eq!(fixture.guess_all("10.0.0.1", "alice").await, 1, "two in all");
    assert_eq!(fixture.log_in(0, "10.0.0.1", "alice").await, Err(300));
    assert_eq!(fixture.log_in(0, "10.0.0.1", "bob").await, Ok(()));
    // The user can log in from another address, also after a typing error.
    assert_eq!(fixture.guess(1, A, "alice").await, Ok(()));
    assert_eq!(fixture.log_in(2, A, "alice").await, Ok(()));
}

#[tokio::test]
async fn networks_of_ipv6_have_4_and_16_times_the_limit() {
    let fixture = SharedFixture::new(4);
    let mut admitted = [0, 0];
    for guess in 0..400 {
        let (user, same_56) = (format!("user {guess}"), format!("2001:db8:0:{:x}::1", guess % 256));
        admitted[0] += usize::from(fixture.guess(guess, &same_56, &user).await.is_ok());
        let same_48 = format!("2001:db8:1:{:x}::1", guess * 100);
        admitted[1] += usize::from(fixture.guess(guess, &same_48, &user).await.is_ok());
    }
    assert_eq!(admitted, [40, 160]);
    assert_eq!(fixture.guess_all("2001:db8:2::1", "a").await, 10);
    for guess in 0..10 {
        let from = ["10.0.0.1", "::ffff:10.0.0.1"][guess % 2];
        assert_eq!(fixture.guess(guess, from, &format!("user {guess}")).await, Ok(()));
    }
    assert!(fixture.guess(0, "10.0.0.1", "x").await.is_err());
}

#[tokio::test]
async fn unknown_addresses_share_one_limit() {
    let fixture = SharedFixture::new(2);
    assert_eq!(fixture.guess_all("unknown", "alice").await, 10);
    assert!(fixture.log_in(0, "", "bob").await.is_err());
    assert!(fixture.log_in(0, "::", "bob").await.is_ok());
    assert!(fixture.log_in(0, "0.0.0.0", "bob").await.is_ok());
}

#[tokio::test]
async fn dropped_attempt_counts_as_a_failure() {
    let fixture = SharedFixture::new(1);
    for guess in 0..10 {
        drop(fixture.begin(0, A, "alice", &guess.to_string()).await.unwrap());
    }
    assert_eq!(fixture.log_in(0, A, "alice").await, Err(300));
}

/// Lets the tasks of dropped requests run.
async fn run_tasks() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn request_that_is_dropped_while_the_store_is_asked_counts() {
    let fixture = SharedFixture::new(1);
    fixture.store.pause();
    for guess in 0..10 {
        let guess = guess.to_string();
        let mut begin = Box::pin(fixture.begin(0, A, "alice", &guess));
        assert!(begin.as_mut().now_or_never().is_none());
    }
    fixture.store.resume();
    run_tasks().await;
    assert_eq!(fixture.store.adds(), 10);
    assert_eq!(fixture.log_in(0, A, "alice").await, Err(300));
}

/// Otherwise, a client that disconnects early could start any number of operations of the store.
#[tokio::test]
async fn dropped_requests_keep_their_place_in_flight_until_the_store_has_answered() {
    let fixture = SharedFixture::new(1);
    fixture.store.pause();
    let mut asked = 0;
    for guess in 0..100 {
        let guess = guess.to_string();
        let mut begin = Box::pin(fixture.begin(0, A, "alice", &guess));
        match begin.as_mut().now_or_never() {
            None => asked += 1,
            Some(rejected) => assert_eq!(rejected.err(), Some(1)),
        }
    }
    assert_eq!(asked, 42);
    fixture.store.resume();
    run_tasks().await;
    fixture.advance(300);
    assert_eq!(fixture.guess_all(A, "alice").await, 10);
}

/// Otherwise, an address over the limit could use up the limits of a user and of neighbors.
#[tokio::test]
async fn rejected_request_that_is_dropped_while_the_store_is_asked_does_not_count() {
    let fixture = SharedFixture::new(1);
    let (blocked, neighbor) = ("2001:db8:0:1::1", "2001:db8:0:2::1");
    assert_eq!(fixture.guess_all(blocked, "bob").await, 10);
    for round in 0..10 {
        fixture.advance(1);
        fixture.store.pause();
        for guess in 0..30 {
            let guess = format!("{round} {guess}");
            let mut begin = Box::pin(fixture.begin(0, blocked, "alice", &guess));
            assert!(begin.as_mut().now_or_never().is_none());
        }
        fixture.store.resume();
        run_tasks().await;
    }
    assert_eq!(fixture.store.adds(), 10 + 2 + 10 * 30 * 2);
    assert_eq!(fixture.guess_all(neighbor, "alice").await, 10);
}

#[tokio::test]
async fn concurrent_guesses_over_4_instances_do_not_exceed_the_limit() {
    let fixture = SharedFixture::new(4);
    let passwords: Vec<_> = (0..64).map(|guess| guess.to_string()).collect();
    let begin = |guess: usize| fixture.begin(guess, A, "alice", &passwords[guess]);
    let attempts: Vec<_> =
        join_all((0..64).map(begin)).await.into_iter().filter_map(Result::ok).collect();
    assert_eq!(attempts.len(), 10);
    for attempt in attempts {
        attempt.finish(true).await;
    }
    assert_eq!(fixture.guess(0, A, "bob").await, Err(300));
    assert_eq!(fixture.guess_all(B, "bob").await, 10);
}

#[tokio::test]
async fn equal_concurrent_attempts_count_once() {
    let fixture = SharedFixture::new(1);
    for round in 0..10 {
        let password = round.to_string();
        let begin = |_| fixture.begin(0, A, "alice", &password);
        let attempts = join_all((0..64).map(begin)).await;
        assert_eq!(fixture.store.adds(), round + 1);
        // One failure is enough.
        for (number, attempt) in attempts.into_iter().enumerate() {
            attempt.unwrap().finish(number == 17).await;
        }
        assert_eq!(fixture.store.adds(), round + 1);
    }
    assert!(fixture.guess(0, A, "alice").await.is_err());
}

/// Otherwise, an address over the limit could have a password checked forever, by requests that
/// overlap, and its other attempts would all reach the store.
#[tokio::test]
async fn equal_attempts_that_follow_a_failure_count_again() {
    for is_dropped in [false, true] {
        let fixture = SharedFixture::new(1);
        let begin = || fixture.begin(0, A, "alice", "guess");
        let (mut last, mut admitted) = (begin().await.unwrap(), 1);
        while admitted < 100
            && let Ok(next) = begin().await
        {
            admitted += 1;
            let ended = std::mem::replace(&mut last, next);
            if is_dropped { drop(ended) } else { ended.finish(true).await }
        }
        last.finish(true).await;
        // Two that overlap count once.
        assert!((10..=20).contains(&admitted), "{admitted}");
        assert_eq!(fixture.log_in(0, A, "bob").await, Err(300));
        // Nothing remains in flight.
        fixture.advance(300);
        assert_eq!(fixture.guess_all(A, "alice").await, 10);
    }
}

#[tokio::test]
async fn equal_concurrent_correct_passwords_are_subtracted_once() {
    let fixture = SharedFixture::new(2);
    let begin = |request| fixture.begin(request, A, "alice", "correct");
    for attempt in join_all((0..64).map(begin)).await {
        attempt.unwrap().finish(false).await;
    }
    assert_eq!(fixture.store.adds(), 2 * 2, "two instances");
    assert_eq!(fixture.guess_all(A, "alice").await, 10);
}

#[tokio::test]
async fn equal_attempts_continue_if_the_first_is_dropped() {
    let fixture = SharedFixture::new(1);
    fixture.store.pause();
    let begin = || Box::pin(fixture.begin(0, A, "alice", "correct"));
    let (mut first, mut second) = (begin(), begin());
    assert!(first.as_mut().now_or_never().is_none());
    assert!(second.as_mut().now_or_never().is_none());
    drop(first);
    fixture.store.resume();
    second.await.unwrap().finish(false).await;
    assert_eq!(fixture.store.adds(), 1, "the dropped attempt counts as a failure");
}

#[tokio::test]
async fn too_many_concurrent_correct_passwords_are_rejected_for_a_second() {
    let fixture = SharedFixture::new(1);
    let mut attempts = Vec::new();
    for user in 0..10 {
        attempts.push(fixture.begin(0, A, &user.to_string(), "correct").await.unwrap());
    }
    assert_eq!(fixture.log_in(0, A, "late").await, Err(1));
    for attempt in attempts {
        attempt.finish(false).await;
    }
    assert_eq!(fixture.log_in(0, A, "late").await, Ok(()));
}

#[tokio::test]
async fn address_over_the_limit_reaches_the_store_once_a_second() {
    let fixture = SharedFixture::new(1);
    assert_eq!(fixture.guess_all(A, "alice").await, 10);
    let adds = fixture.store.adds();
    for guess in 0..100 {
        assert_eq!(fixture.guess(0, A, &guess.to_string()).await, Err(300));
    }
    assert_eq!(fixture.store.adds(), adds);
    fixture.advance(1);
    assert_eq!(fixture.guess(0, A, "x").await, Err(299));
    assert_eq!(fixture.store.adds(), adds + 2);
    // A rejection is not remembered in the next window.
    fixture.advance(299);
    assert_eq!(fixture.guess(0, A, "x").await, Ok(()));
}

#[tokio::test]
async fn refund_that_is_dropped_is_completed() {
    let fixture = SharedFixture::new(1);
    let attempt = fixture.begin(0, A, "alice", "correct").await.unwrap();
    fixture.store.pause();
    assert!(Box::pin(attempt.finish(false)).as_mut().now_or_never().is_none());
    fixture.store.resume();
    run_tasks().await;
    assert_eq!(fixture.guess_all(A, "alice").await, 10);
}

#[tokio::test]
async fn late_refund_does_not_raise_the_limit_of_the_next_window() {
    let fixture = SharedFixture::new(2);
    let mut attempts = Vec::new();
    for user in 0..10 {
        attempts.push(fixture.begin(user, A, &user.to_string(), "correct").await.unwrap());
    }
    // The next window, and one after the counters have expired.
    for seconds in [300, 1_000] {
        fixture.advance(seconds);
        for attempt in attempts.drain(..5) {
            attempt.finish(false).await;
        }
        assert_eq!(fixture.guess_all(A, "alice").await, 10);
    }
}

#[tokio::test]
async fn clock_that_is_set_back_continues_in_the_earlier_window() {
    let fixture = SharedFixture::new(2);
    assert_eq!(fixture.guess_all(A, "alice").await, 10);
    fixture.advance(300);
    assert_eq!(fixture.guess_all(A, "alice").await, 10);
    fixture.advance(-300);
    assert_eq!(fixture.guess(0, A, "alice").await, Err(300));
    fixture.advance(-3_000_000);
    assert_eq!(fixture.guess_all(A, "alice").await, 10);
    assert_eq!(fixture.guess(0, A, "alice").await, Err(300), "never longer than a window");
}

#[tokio::test]
async fn extreme_limits_do_not_overflow() {
    let day = Duration::from_secs(86_400);
    for (failures, per) in [(10, day), (1, Duration::ZERO), (u32::MAX, day), (0, Duration::MAX)] {
        for fault in [None, Some(StoreErrorKind::Unavailable)] {
            let change = |throttle: super::Throttle| {
                throttle.failures(failures, per).instances(if failures == 1 { u32::MAX } else { 1 })
            };
            let fixture = SharedFixture::with(1, change);
            fixture.store.set_fault(fault);
            let mut admitted = 0;
            while admitted < 20 && fixture.guess(0, A, "alice").await.is_ok() {
                admitted += 1;
            }
            assert_eq!(admitted, 20.min(failures.max(1)), "{failures} {per:?} {fault:?}");
        }
    }
}

#[tokio::test]
async fn windows_of_different_lengths_are_counted_separately() {
    let fixture = SharedFixture::new(1);
    // Both windows have the same number.
    assert_eq!(fixture.guess_all(A, "alice").await, 10);
    let other = super::Throttle::by_address(|_| None).shared(fixture.sealed.clone());
    let other = Arc::new(other.failures(10, Duration::from_millis(299_990))).to_shared().unwrap();
    let client = crate::basic::client_address::ClientAddress::new(A.parse().ok());
    let sent = crate::basic::BasicCredentials::new("alice", "x").unwrap();
    other.admit(client, &sent, None).await.unwrap().finish(true).await;
}

/// The keys of counters are the only data of callers in the store.
#[tokio::test]
async fn keys_of_counters_are_distinct_and_depend_on_the_secret() {
    let fixture = SharedFixture::new(1);
    for (from, user) in [(A, "alice"), (B, "alice"), (A, "bob"), ("2001:db8::", "alice"), ("", "")]
    {
        fixture.guess(0, from, user).await.unwrap();
    }
    let keys = fixture.store.keys();
    let distinct: std::collections::HashSet<_> = keys.iter().collect();
    // Networks: A, B, three of IPv6, unknown. Users: 3. Pairs: 5.
    assert_eq!((keys.len(), distinct.len()), (4 * 3 + 5, 6 + 3 + 5));
    let name = |secret: &[u8; 32]| {
        let secret = StoreSecret::new(*secret).unwrap();
        let store = SealedStore::new(Memory::new(), secret);
        store.key(Purpose::Throttle, "user", &[b"alice"]).current
    };
    assert_ne!(
        name(b"0123456789abcdefghijklmnopqrstuv"),
        name(b"0123456789abcdefghijklmnopqrstuw")
    );
}

/// A port of a simulation: bursts of guesses at one account, over any number of instances.
#[tokio::test]
async fn no_burst_over_any_number_of_instances_exceeds_the_limit() {
    for (instances, concurrent) in [(1, 256), (2, 16), (2, 64), (10, 64), (50, 256)] {
        let fixture = SharedFixture::new(instances);
        for window in 0..3 {
            let mut admitted = 0;
            for second in 0..20 {
                let begin = async |guess: usize| {
                    let password = format!("{second} {guess}");
                    let attempt = fixture.begin(guess * 7, A, "alice", &password).await?;
                    tokio::task::yield_now().await;
                    attempt.finish(true).await;
                    Ok::<_, u64>(())
                };
                let guesses = join_all((0..concurrent).map(begin)).await;
                admitted += guesses.into_iter().filter(Result::is_ok).count();
                fixture.advance(15);
            }
            assert_eq!(admitted, 10, "{instances} {concurrent} {window}");
        }
        assert_eq!(fixture.log_in(0, B, "alice").await, Ok(()));
    }
}
