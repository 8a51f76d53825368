use std::time::Duration;

use futures_util::FutureExt;
use tower_auth::{RejectionKind, store::StoreErrorKind};

use super::fixture::*;

const SECOND: Duration = Duration::from_secs(1);

fn stale() -> Fixture {
    Fixture::with(|builder| builder.staleness(5 * SECOND))
}

#[test]
fn store_is_asked_once_within_the_staleness() {
    let fixture = stale();
    let session = fixture.start("alice");
    fixture.use_session(&session).unwrap();
    for _ in 0..3 {
        fixture.store.take_operations();
        for _ in 0..5 {
            assert!(fixture.is_live(&session));
            fixture.clock.advance(SECOND);
        }
        assert!(fixture.store.take_operations().len() <= 1);
    }
    fixture.store.take_operations();
    assert!(fixture.is_live(&session));
    assert_eq!(fixture.store.take_operations(), ["get"]);
}

#[test]
fn end_in_another_process_takes_effect_after_the_staleness() {
    for way in 0..3 {
        let fixture = stale();
        let other = fixture.process();
        let session = fixture.start("alice");
        let caller = fixture.use_session(&session).unwrap();
        match way {
            0 => end(&other, &caller).unwrap(),
            1 => other.end_all("alice").now_or_never().unwrap().unwrap(),
            _ => {
                assert!(other.end_one("alice", session.info.id()).now_or_never().unwrap().unwrap());
            }
        }
        fixture.clock.advance(5 * SECOND - Duration::from_millis(1));
        assert!(fixture.is_live(&session), "{way}");
        fixture.clock.advance(Duration::from_millis(1));
        assert!(!fixture.is_live(&session), "{way}");
    }
}

#[test]
fn end_in_this_process_takes_effect_at_once() {
    for way in 0..4 {
        let fixture = stale();
        let session = fixture.start("alice");
        let caller = fixture.use_session(&session).unwrap();
        match way {
            0 => end(&fixture.sessions, &caller).unwrap(),
            1 => fixture.sessions.end_all("alice").now_or_never().unwrap().unwrap(),
            2 => assert!(
                fixture
                    .sessions
                    .end_one("alice", session.info.id())
                    .now_or_never()
                    .unwrap()
                    .unwrap()
            ),
            _ => _ = start(&fixture.sessions, &caller, &head(Some(&session.cookie))).unwrap(),
        }
        assert!(!fixture.is_live(&session), "{way}");
    }
}

#[test]
fn times_are_checked_within_the_staleness() {
    let fixture =
        Fixture::with(|builder| builder.staleness(300 * SECOND).idle_timeout(60 * SECOND));
    let session = fixture.start("alice");
    fixture.use_session(&session).unwrap();
    fixture.clock.advance(60 * SECOND);
    assert!(!fixture.is_live(&session));
    let session = fixture.start("alice");
    fixture.use_session(&session).unwrap();
    fixture.clock.set(session.info.started_at() - 100 * SECOND);
    fixture.store.take_operations();
    assert!(fixture.is_live(&session));
    assert_eq!(fixture.store.take_operations(), ["get"], "the age of the answer is not known");
}

#[test]
fn absolute_lifetime_ends_within_the_staleness() {
    let lifetime = 3_600 * SECOND;
    let fixture =
        Fixture::with(|builder| builder.staleness(300 * SECOND).absolute_lifetime(lifetime));
    let session = fixture.start("alice");
    // No write is due at the end.
    fixture.clock.advance(10 * SECOND);
    for _ in 0..59 {
        assert!(fixture.is_live(&session));
        fixture.clock.advance(60 * SECOND);
    }
    assert!(fixture.is_live(&session));
    fixture.clock.advance(49 * SECOND);
    assert!(fixture.is_live(&session));
    fixture.clock.advance(SECOND);
    assert!(!fixture.is_live(&session));
}

/// The time of the store is needed to know whether the session has expired.
#[test]
fn outage_returns_503_also_within_the_staleness() {
    let fixture = stale();
    let session = fixture.start("alice");
    fixture.use_session(&session).unwrap();
    fixture.store.fail_with(Some(StoreErrorKind::Unavailable));
    assert_eq!(fixture.use_session(&session).unwrap_err(), RejectionKind::Unavailable);
    fixture.store.fail_with(None);
    assert!(fixture.is_live(&session));
}
