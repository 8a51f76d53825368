use std::{future::Future, pin::Pin, time::Duration};

use futures_util::FutureExt;
use tower_auth::store::StoreErrorKind;

use super::fixture::*;
use crate::revocation::test_store::Fault;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

#[test]
fn session_that_is_not_used_ends_after_30_minutes() {
    let fixture = Fixture::new();
    for known in [false, true] {
        let session = fixture.start("alice");
        if known {
            fixture.use_session(&session).unwrap();
        }
        fixture.clock.advance(30 * MINUTE - SECOND);
        assert!(is_live(&fixture.process_with(|builder| builder.staleness(SECOND)), &session));
        fixture.clock.advance(30 * MINUTE);
        assert!(!fixture.is_live(&session), "known: {known}");
    }
}

#[test]
fn session_that_is_used_ends_after_12_hours() {
    let fixture = Fixture::new();
    let session = fixture.start("alice");
    for _ in 0..24 * 2 - 1 {
        fixture.clock.advance(15 * MINUTE);
        assert!(fixture.is_live(&session));
    }
    fixture.clock.advance(15 * MINUTE - SECOND);
    assert!(fixture.is_live(&session));
    fixture.clock.advance(SECOND);
    assert!(!fixture.is_live(&session));
    assert_eq!(fixture.store.snapshot().len(), 1, "only the epoch");
}

#[test]
fn record_that_outlives_the_session_is_not_used() {
    // The record is kept a minute longer than the session.
    let fixture = Fixture::new();
    for known in [false, true] {
        let session = fixture.start("alice");
        if known {
            fixture.use_session(&session).unwrap();
        }
        fixture.clock.advance(30 * MINUTE);
        let records = fixture.store.snapshot().len();
        assert!(!fixture.is_live(&session), "known: {known}");
        assert_eq!(fixture.store.snapshot().len(), records);
        fixture.clock.advance(MINUTE);
        fixture.store.take_operations();
        assert!(!fixture.is_live(&session));
        fixture.clock.advance(12 * HOUR);
    }
}

#[test]
fn last_use_is_written_once_a_minute() {
    let fixture = Fixture::new();
    let (other, session) = (fixture.process(), fixture.start("alice"));
    let started = session.info.started_at();
    let mut writes = Vec::new();
    for second in 0..300 {
        fixture.store.take_operations();
        let caller = fixture.use_session(&session).unwrap();
        use_session(&other, &session).unwrap();
        let seen = caller.extension::<tower_auth::session::SessionInfo>().unwrap().last_seen();
        assert!(seen >= started + Duration::from_secs(second) - MINUTE, "{second}");
        let operations = fixture.store.take_operations();
        if operations.contains(&"replace") {
            writes.push(second);
        }
        fixture.clock.advance(SECOND);
    }
    assert_eq!(writes, [60, 120, 180, 240]);
}

#[test]
fn short_idle_timeout_is_extended_in_time() {
    let fixture = Fixture::with(|builder| builder.idle_timeout(MINUTE));
    let session = fixture.start("alice");
    for _ in 0..10 {
        fixture.clock.advance(31 * SECOND);
        assert!(fixture.is_live(&session));
    }
    fixture.clock.advance(MINUTE);
    assert!(!fixture.is_live(&session));
}

#[test]
fn shorter_settings_apply_to_existing_sessions() {
    let fixture = Fixture::new();
    let session = fixture.start("alice");
    let strict = fixture.process_with(|builder| builder.idle_timeout(5 * MINUTE));
    fixture.clock.advance(4 * MINUTE);
    assert!(is_live(&strict, &session));
    fixture.clock.advance(5 * MINUTE);
    assert!(!is_live(&strict, &session));
    assert!(fixture.is_live(&session));
    let strict = fixture.process_with(|builder| builder.absolute_lifetime(HOUR));
    for _ in 0..3 {
        fixture.clock.advance(16 * MINUTE);
        assert!(is_live(&strict, &session));
    }
    fixture.clock.advance(16 * MINUTE);
    assert!(!is_live(&strict, &session));
    assert!(fixture.is_live(&session));
}

#[test]
fn write_that_fails_does_not_affect_the_request() {
    for kind in [StoreErrorKind::Unavailable, StoreErrorKind::Full] {
        let mut failed_writes = 0;
        for after in 0..8 {
            let fixture = Fixture::new();
            let session = fixture.start("alice");
            fixture.use_session(&session).unwrap();
            fixture.clock.advance(2 * MINUTE);
            fixture.store.set_fault(Some(Fault { after, takes_effect: false, kind }));
            let is_admitted = fixture.use_session(&session).is_ok();
            let is_pending = fixture.store.set_fault(None).is_some();
            let listed = fixture.sessions.list("alice").now_or_never().unwrap().unwrap();
            if !is_admitted || is_pending || listed[0].last_seen() > session.info.last_seen() {
                continue;
            }
            failed_writes += 1;
            fixture.store.take_operations();
            assert!(fixture.is_live(&session));
            assert!(!fixture.store.take_operations().contains(&"replace"), "not at once");
            fixture.clock.advance(6 * SECOND);
            assert!(fixture.is_live(&session));
            assert!(fixture.store.take_operations().contains(&"replace"));
            fixture.clock.advance(29 * MINUTE);
            assert!(fixture.is_live(&session));
        }
        assert_eq!(failed_writes, 1);
    }
}

#[test]
fn request_that_is_dropped_lets_the_next_one_write() {
    let fixture = Fixture::new();
    let session = fixture.start("alice");
    fixture.use_session(&session).unwrap();
    fixture.clock.advance(2 * MINUTE);
    fixture.store.set_stepped(true);
    let mut request: Pin<Box<dyn Future<Output = _>>> =
        Box::pin(use_later(&fixture.sessions, &session.cookie));
    for steps in [0, 2] {
        assert!(fixture.store.step(&mut request, steps).0.is_none());
    }
    // It waits for its write.
    drop(request);
    fixture.store.set_stepped(false);
    fixture.store.take_operations();
    assert!(fixture.is_live(&session));
    assert!(fixture.store.take_operations().contains(&"replace"));
}

#[test]
fn records_are_kept_only_as_long_as_they_are_needed() {
    let fixture = Fixture::new();
    let session = fixture.start("alice");
    let longest = |fixture: &Fixture| {
        let mut lifetimes = fixture.store.lifetimes();
        lifetimes.sort_unstable();
        lifetimes.truncate(lifetimes.len() - 1); // of the epoch
        lifetimes
    };
    assert_eq!(longest(&fixture), [31 * MINUTE, 12 * HOUR]);
    fixture.clock.advance(20 * MINUTE);
    fixture.use_session(&session).unwrap();
    assert_eq!(longest(&fixture), [31 * MINUTE, 12 * HOUR - 20 * MINUTE]);
    while fixture.clock_is_before(session.info.expires_at() - 10 * MINUTE) {
        fixture.clock.advance(10 * MINUTE);
        fixture.use_session(&session).unwrap();
    }
    assert_eq!(longest(&fixture), [10 * MINUTE, 10 * MINUTE]);
}

#[test]
fn clock_that_is_set_back_does_not_end_or_extend_a_session() {
    let fixture = Fixture::new();
    fixture.clock.advance(HOUR);
    let session = fixture.start("alice");
    fixture.use_session(&session).unwrap();
    fixture.clock.set(session.info.started_at() - 30 * MINUTE);
    for sessions in [&fixture.sessions, &fixture.process()] {
        assert!(is_live(sessions, &session));
    }
    fixture.clock.set(session.info.started_at() + 31 * MINUTE);
    assert!(!fixture.is_live(&session));
}

#[test]
fn session_with_a_shorter_idle_timeout_is_extended_in_time_by_other_processes() {
    let fixture = Fixture::with(|builder| builder.idle_timeout(MINUTE));
    let other = fixture.process_with(|builder| builder.idle_timeout(30 * MINUTE));
    let session = fixture.start("alice");
    for _ in 0..10 {
        fixture.clock.advance(31 * SECOND);
        assert!(is_live(&other, &session));
    }
}
