//! A store that is emptied or restored from an older copy does not admit what was revoked.

use std::time::Duration;

use futures_util::FutureExt;
use tower_auth::{
    Principal, Rejection,
    jwt::TokenError,
    revocation::Revocations,
    store::{StoreErrorKind, StoreSecret},
    test_util::TestClock,
};

use super::{
    test_store::{Events, TestStore, key},
    tokens::{caller, claims, clock, is_revoked, is_unavailable, seconds, with},
};

struct Fixture {
    clock: TestClock,
    store: TestStore,
}

fn fixture() -> Fixture {
    let clock = clock();
    Fixture { store: TestStore::new(&clock), clock }
}

impl Fixture {
    fn process(&self) -> (Revocations, Events) {
        let events = Events::default();
        let process = self.store.process().staleness(Duration::ZERO).observer(events.clone());
        (process.build().unwrap(), events)
    }

    fn token(&self, jti: &str) -> Principal {
        caller(&claims(&self.clock, jti))
    }
}

fn check(process: &Revocations, token: &Principal) -> Result<(), Rejection> {
    process.check(token).now_or_never().unwrap()
}

fn revoke(process: &Revocations, token: &Principal) {
    process.token(token).now_or_never().unwrap().unwrap();
}

/// Each way to lose the record of a revocation that both processes have seen.
#[test]
fn loss_of_records_rejects_earlier_tokens_once_and_later_ones_are_accepted() {
    type Lose = fn(&Fixture, &super::test_store::Snapshot);
    let ways: [(&str, Lose); 4] = [
        ("emptied", |fixture, _| fixture.store.clear()),
        ("restored", |fixture, snapshot| fixture.store.restore(snapshot)),
        ("without counter", |fixture, _| {
            assert_eq!(fixture.store.remove(|value| value == b"1" || value.len() == 32), 2);
        }),
        ("without epoch", |fixture, _| {
            // Id, instants, key id, nonce and tag; the record of the token is shorter.
            assert_eq!(fixture.store.remove(|value| value.len() > 1), 2);
        }),
    ];
    for (way, lose) in ways {
        let fixture = fixture();
        let ((writer, writer_events), (reader, reader_events)) =
            (fixture.process(), fixture.process());
        let (token, innocent) = (fixture.token("1"), fixture.token("2"));
        assert!(check(&writer, &token).is_ok() && check(&reader, &token).is_ok());
        let snapshot = fixture.store.snapshot();
        revoke(&writer, &token);
        assert!(is_revoked(&check(&reader, &token)), "{way}");
        assert!(check(&reader, &innocent).is_ok(), "{way}");
        fixture.clock.advance(Duration::from_secs(10));
        writer_events.take();
        lose(&fixture, &snapshot);
        // Also by a process that only reads.
        for process in [&reader, &writer] {
            assert!(is_revoked(&check(process, &token)), "{way}");
            assert!(is_revoked(&check(process, &innocent)), "{way}");
        }
        fixture.clock.advance(Duration::from_secs(1));
        let new = fixture.token("3");
        for _ in 0..3 {
            for process in [&reader, &writer] {
                assert!(is_revoked(&check(process, &token)), "{way}");
                assert!(check(process, &new).is_ok(), "{way}");
            }
        }
        assert_eq!(reader_events.take(), ["reverted"], "{way}");
        assert_eq!(writer_events.take(), ["reverted"], "{way}");
        // Revocation works as before.
        revoke(&reader, &new);
        assert!(is_revoked(&check(&writer, &new)), "{way}");
        assert_eq!((reader_events.take(), writer_events.take()), (vec!["revoked"], vec![]));
    }
}

#[test]
fn idle_process_does_not_reject_tokens_that_were_issued_after_the_loss() {
    let fixture = fixture();
    let ((busy, _), (idle, idle_events)) = (fixture.process(), fixture.process());
    let revoked = fixture.token("1");
    revoke(&busy, &revoked);
    assert!(is_revoked(&check(&idle, &revoked)));
    fixture.clock.advance(Duration::from_secs(10));
    fixture.store.clear();
    assert!(is_revoked(&check(&busy, &revoked)));
    fixture.clock.advance(Duration::from_secs(1));
    let new = fixture.token("2");
    assert!(check(&busy, &new).is_ok());
    fixture.clock.advance(Duration::from_secs(3_000));
    assert!(check(&idle, &new).is_ok());
    assert!(is_revoked(&check(&idle, &revoked)));
    assert_eq!(idle_events.take(), ["reverted"]);
    assert!(check(&busy, &new).is_ok());
}

/// The copy has a floor that was raised after an earlier loss.
#[test]
fn floor_of_an_older_copy_does_not_cover_later_revocations() {
    let fixture = fixture();
    let (process, events) = fixture.process();
    assert!(check(&process, &fixture.token("1")).is_ok());
    fixture.store.clear();
    assert!(is_revoked(&check(&process, &fixture.token("1"))));
    fixture.clock.advance(Duration::from_secs(10));
    let copy = fixture.store.snapshot();
    let (other, _) = fixture.process();
    let revoked = fixture.token("2");
    revoke(&process, &revoked);
    assert!(is_revoked(&check(&other, &revoked)));
    fixture.clock.advance(Duration::from_secs(10));
    events.take();
    fixture.store.restore(&copy);
    for process in [&process, &other] {
        assert!(is_revoked(&check(process, &revoked)));
    }
    assert_eq!(events.take(), ["reverted"]);
}

#[test]
fn write_detects_the_loss_of_records_too() {
    let fixture = fixture();
    let (process, events) = fixture.process();
    let (token, other) = (fixture.token("1"), fixture.token("2"));
    assert!(check(&process, &other).is_ok());
    fixture.store.clear();
    revoke(&process, &token);
    assert_eq!(events.take(), ["reverted", "revoked"]);
    assert!(is_revoked(&check(&process, &other)));
}

#[test]
fn second_loss_is_detected_again() {
    let fixture = fixture();
    let (process, events) = fixture.process();
    for jti in ["1", "2", "3"] {
        let token = fixture.token(jti);
        assert!(check(&process, &token).is_ok());
        fixture.store.clear();
        assert!(is_revoked(&check(&process, &token)));
        assert_eq!(events.take(), ["reverted"]);
        fixture.clock.advance(Duration::from_secs(1));
    }
}

/// The counter alone does not show it: the write increments the older one, too.
#[test]
fn record_that_is_lost_before_its_revocation_returns_is_not_reported_as_written() {
    for is_subject in [false, true] {
        let (mut losses, mut is_finished, mut steps) = (0, false, 0);
        while !is_finished {
            let fixture = fixture();
            let (process, _) = fixture.process();
            let token = fixture.token("1");
            assert!(check(&process, &token).is_ok());
            let before = fixture.store.snapshot();
            fixture.store.set_stepped(true);
            type Task<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + 'a>>;
            let mut task: Task<'_, _> = match is_subject {
                true => Box::pin(process.subject(super::tokens::ISSUER, "alice")),
                false => Box::pin(process.token(&token)),
            };
            // The store is restored after this many steps.
            is_finished = (0..steps).any(|_| fixture.store.step(&mut task, 1).0.is_some());
            steps += 1;
            if is_finished {
                continue;
            }
            let is_lost = fixture.store.snapshot() != before;
            losses += usize::from(is_lost);
            fixture.store.restore(&before);
            fixture.store.set_stepped(false);
            let result = fixture.store.step(&mut task, 0).0.unwrap();
            let is_rejected = is_revoked(&check(&process, &token));
            assert!(is_rejected || result.is_err(), "{is_subject}, restored after {steps} steps");
        }
        assert!(losses > 1);
    }
}

/// A store that is restored to the time before the floor was raised.
#[test]
fn lost_floor_is_detected() {
    let fixture = fixture();
    let (process, events) = fixture.process();
    let token = fixture.token("1");
    assert!(check(&process, &token).is_ok());
    let before = fixture.store.snapshot();
    revoke(&process, &token);
    fixture.store.restore(&before);
    assert!(is_revoked(&check(&process, &token)));
    fixture.store.restore(&before);
    assert!(is_revoked(&check(&process, &token)));
    assert_eq!(events.take(), ["revoked", "reverted", "reverted"]);
}

/// The clock of an issuer can be ahead of the store's.
#[test]
fn floor_covers_known_tokens_from_an_issuer_whose_clock_is_ahead() {
    let fixture = fixture();
    let (process, _) = fixture.process();
    let ahead = seconds(tower_auth::clock::Clock::now(&fixture.clock)) + 50;
    let token = caller(&with(claims(&fixture.clock, "1"), "iat", ahead));
    assert!(check(&process, &token).is_ok());
    fixture.store.clear();
    assert!(is_revoked(&check(&process, &token)));
    fixture.clock.advance(Duration::from_secs(60));
    assert!(is_revoked(&check(&process, &token)));
    assert!(check(&process, &fixture.token("2")).is_ok());
}

/// Its record could expire before it, and it would raise the floor far into the future.
#[test]
fn token_that_is_issued_far_in_the_future_is_rejected() {
    let fixture = fixture();
    let (process, _) = fixture.process();
    let now = seconds(tower_auth::clock::Clock::now(&fixture.clock));
    let token = |ahead: u64| {
        let token = with(claims(&fixture.clock, "1"), "iat", now + ahead);
        caller(&with(token, "exp", now + ahead + 60))
    };
    assert!(check(&process, &token(300)).is_ok());
    let rejection = check(&process, &token(301)).unwrap_err();
    assert_eq!(super::tokens::reason(&rejection), Some(TokenError::NotYetValid));
}

#[test]
fn floor_covers_known_tokens_if_the_clock_was_set_back() {
    let fixture = fixture();
    let (process, _) = fixture.process();
    let token = fixture.token("1");
    assert!(check(&process, &token).is_ok());
    revoke(&process, &token);
    let now = tower_auth::clock::Clock::now(&fixture.clock);
    fixture.clock.set(now - Duration::from_secs(400));
    fixture.store.clear();
    // Another token, because the public check rejects this one while it is in the future.
    assert!(is_revoked(&check(&process, &fixture.token("2"))));
    fixture.clock.advance(Duration::from_secs(200));
    assert!(is_revoked(&check(&process, &token)));
}

#[test]
fn loss_that_cannot_be_recorded_returns_503() {
    let fixture = fixture();
    let builder = fixture.store.process().staleness(Duration::ZERO).dangerous_admit_unchecked();
    let process = builder.build().unwrap();
    let token = fixture.token("1");
    assert!(check(&process, &token).is_ok());
    fixture.store.clear();
    // The store fails after the first read.
    fixture.store.set_stepped(true);
    let mut task = Box::pin(process.check(&token)) as std::pin::Pin<Box<dyn Future<Output = _>>>;
    assert!(fixture.store.step(&mut task, 0).0.is_none());
    assert!(fixture.store.step(&mut task, 1).0.is_none());
    fixture.store.fail_with(Some(StoreErrorKind::Unavailable));
    fixture.store.set_stepped(false);
    let result = fixture.store.step(&mut task, 0).0.unwrap();
    assert!(is_unavailable(&result));
    assert!(is_unavailable(&check(&process, &token)), "not admitted unchecked");
    fixture.store.fail_with(None);
    assert!(is_revoked(&check(&process, &token)));
}

/// Polls a check until it waits for the store a second time, to raise the floor after a loss, and
/// lets the store fail then.
fn fail_to_raise_the_floor(fixture: &Fixture, process: &Revocations, token: &Principal) {
    fixture.store.set_stepped(true);
    let mut task = Box::pin(process.check(token)) as std::pin::Pin<Box<dyn Future<Output = _>>>;
    assert!(fixture.store.step(&mut task, 0).0.is_none());
    assert!(fixture.store.step(&mut task, 2).0.is_none());
    fixture.store.fail_with(Some(StoreErrorKind::Unavailable));
    fixture.store.set_stepped(false);
    assert!(is_unavailable(&fixture.store.step(&mut task, 0).0.unwrap()));
    fixture.store.fail_with(None);
}

#[test]
fn floor_that_is_raised_after_an_outage_does_not_cover_tokens_issued_after_the_loss() {
    let fixture = fixture();
    let (process, _) = fixture.process();
    let token = fixture.token("1");
    assert!(check(&process, &token).is_ok());
    fixture.store.clear();
    fail_to_raise_the_floor(&fixture, &process, &token);
    fixture.clock.advance(Duration::from_secs(5));
    let later = fixture.token("2");
    fixture.clock.advance(Duration::from_secs(5));
    assert!(is_revoked(&check(&process, &token)));
    assert!(check(&process, &later).is_ok());
}

#[test]
fn floor_of_a_second_loss_covers_tokens_issued_after_the_first_one() {
    let fixture = fixture();
    let (process, _) = fixture.process();
    let token = fixture.token("1");
    assert!(check(&process, &token).is_ok());
    fixture.store.clear();
    assert!(is_revoked(&check(&process, &token)));
    fixture.clock.advance(Duration::from_secs(10));
    let (revoked, innocent) = (fixture.token("2"), fixture.token("3"));
    revoke(&process, &revoked);
    fixture.store.clear();
    fail_to_raise_the_floor(&fixture, &process, &innocent);
    for token in [&revoked, &innocent] {
        assert!(is_revoked(&check(&process, token)));
    }
}

/// The clock was set back, so that the process remembers an earlier instant of the loss.
#[test]
fn floor_that_another_process_raised_higher_counts_whenever_the_store_fails() {
    for steps in 0..=8 {
        let fixture = fixture();
        let slow = fixture.store.process().staleness(Duration::ZERO).dangerous_admit_unchecked();
        let (slow, (fast, _)) = (slow.build().unwrap(), fixture.process());
        let start = tower_auth::clock::Clock::now(&fixture.clock);
        let at = |before: u64| fixture.clock.set(start - Duration::from_secs(before));
        at(100);
        let token = fixture.token("1");
        at(0);
        assert!(check(&slow, &token).is_ok() && check(&fast, &token).is_ok());
        at(60);
        fixture.store.clear();
        fail_to_raise_the_floor(&fixture, &slow, &token);
        at(50);
        let between = fixture.token("2");
        at(40);
        assert!(is_revoked(&check(&fast, &token)));
        at(0);
        fixture.store.set_stepped(true);
        let mut task = Box::pin(slow.check(&between)) as std::pin::Pin<Box<dyn Future<Output = _>>>;
        assert!(fixture.store.step(&mut task, 0).0.is_none());
        let result = fixture.store.step(&mut task, steps).0;
        fixture.store.fail_with(Some(StoreErrorKind::Unavailable));
        fixture.store.set_stepped(false);
        let result: Result<(), _> = result.or_else(|| fixture.store.step(&mut task, 0).0).unwrap();
        assert!(result.is_err(), "failed after {steps} steps");
        fixture.store.fail_with(None);
        let (fresh, _) = fixture.process();
        for process in [&slow, &fast, &fresh] {
            assert!(is_revoked(&check(process, &between)), "failed after {steps} steps");
        }
    }
}

#[test]
fn loss_that_another_request_detects_makes_kept_answers_void_at_once() {
    let fixture = fixture();
    let process = fixture.store.process().staleness(Duration::from_secs(5)).build().unwrap();
    let (known, other) = (fixture.token("1"), fixture.token("2"));
    assert!(check(&process, &known).is_ok());
    fixture.store.clear();
    assert!(check(&process, &known).is_ok(), "the answer is kept");
    assert!(is_revoked(&check(&process, &other)));
    assert!(is_revoked(&check(&process, &known)));
}

#[test]
fn token_below_the_floor_is_rejected_by_a_process_that_admits_unchecked_tokens() {
    let fixture = fixture();
    let builder = fixture.store.process().staleness(Duration::ZERO).dangerous_admit_unchecked();
    let process = builder.build().unwrap();
    let (seen, unseen) = (fixture.token("1"), fixture.token("2"));
    assert!(check(&process, &seen).is_ok());
    fixture.store.clear();
    assert!(is_revoked(&check(&process, &seen)));
    fixture.clock.advance(Duration::from_secs(1));
    let later = fixture.token("3");
    fixture.store.fail_with(Some(StoreErrorKind::Unavailable));
    for token in [&seen, &unseen] {
        assert!(is_revoked(&check(&process, token)));
    }
    assert!(check(&process, &later).is_ok());
}

#[test]
fn fresh_process_rejects_tokens_of_this_crate_that_predate_the_epoch_but_not_foreign_ones() {
    let fixture = fixture();
    let now = seconds(tower_auth::clock::Clock::now(&fixture.clock));
    let own = |jti, fst: u64| caller(&with(claims(&fixture.clock, jti), "fst", fst));
    let (process, events) = fixture.process();
    assert!(check(&process, &fixture.token("1")).is_ok());
    assert!(check(&process, &own("2", now)).is_ok());
    assert!(is_revoked(&check(&process, &own("3", now - 1))));
    // Of another issuer, which uses the name for something else.
    assert!(check(&process, &own("4", now + 2)).is_ok());
    assert!(events.take().is_empty());
    // The counter shows that there was an epoch.
    revoke(&process, &fixture.token("5"));
    assert!(fixture.store.remove(|value| value.len() > 1) >= 2);
    let (fresh, events) = fixture.process();
    assert!(is_revoked(&check(&fresh, &fixture.token("5"))));
    assert_eq!(events.take(), ["reverted"]);
}

/// During a rotation, the records of the previous secret still count.
#[test]
fn rotation_of_the_secret_keeps_revocations_and_the_epoch() {
    let fixture = fixture();
    let (old, new) = (key(1), key(2));
    let secret = |key| StoreSecret::new(key).unwrap();
    let process = |secret| {
        let process = fixture.store.process_with(secret).staleness(Duration::ZERO);
        let events = Events::default();
        (process.observer(events.clone()).build().unwrap(), events)
    };
    let tokens = ["1", "2", "3", "4"].map(|jti| fixture.token(jti));
    let [before, during, after, valid] = &tokens;
    let alice = |process: &Revocations, name| {
        process.subject(super::tokens::ISSUER, name).now_or_never().unwrap().unwrap();
    };
    let (first, _) = process(secret(old));
    revoke(&first, before);
    alice(&first, "bob");
    // All instances know the new secret, then all use it.
    let (second, second_events) = process(secret(old).previous(new).unwrap());
    let (third, third_events) = process(secret(new).previous(old).unwrap());
    revoke(&third, during);
    for process in [&second, &third] {
        assert!(is_revoked(&check(process, before)));
        assert!(is_revoked(&check(process, during)));
        assert!(check(process, valid).is_ok());
    }
    // A record that is raised after the change must not depend on the old secret.
    alice(&third, "bob");
    let (last, last_events) = process(secret(new));
    revoke(&last, after);
    for process in [&third, &last] {
        assert!(is_revoked(&check(process, during)));
        assert!(is_revoked(&check(process, after)));
        assert!(check(process, valid).is_ok());
        let bob = caller(&with(claims(&fixture.clock, "5"), "sub", "bob"));
        assert!(is_revoked(&check(process, &bob)));
    }
    for events in [second_events, third_events, last_events] {
        assert!(!events.take().contains(&"reverted"));
    }
    // Lost records are detected with the new secret.
    fixture.store.clear();
    assert!(is_revoked(&check(&third, valid)));
}
