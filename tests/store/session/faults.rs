//! A store that fails at the n-th operation.

use futures_util::FutureExt;
use tower_auth::{
    Rejection, RejectionKind,
    session::SessionError,
    store::StoreErrorKind::{self, Full, Unavailable, Unreadable},
};

use super::fixture::*;
use crate::revocation::test_store::Fault;

/// Runs an operation with a fault at each of its operations in the store. Returns how many there
/// are.
fn each_fault(kind: StoreErrorKind, mut run: impl FnMut(&Fixture, bool) -> bool) -> usize {
    for takes_effect in [false, true] {
        let mut after = 0;
        loop {
            let fixture = Fixture::new();
            fixture.start("alice");
            fixture.store.set_fault(Some(Fault { after, takes_effect, kind }));
            let has_failed = run(&fixture, takes_effect);
            if fixture.store.set_fault(None).is_some() {
                assert!(!has_failed);
                break;
            }
            after += 1;
            assert!(after < 50);
        }
        if takes_effect {
            return after;
        }
    }
    unreachable!()
}

fn is_503(error: SessionError) -> bool {
    let rejection = Rejection::from(error);
    assert!(rejection.retry_after().is_some());
    assert_eq!(rejection.kind(), RejectionKind::Unavailable);
    true
}

#[test]
fn login_that_fails_leaves_no_session_and_keeps_the_old_one() {
    for kind in [Unavailable, Full, Unreadable] {
        let mut old_ones = Vec::new();
        each_fault(kind, |fixture, takes_effect| {
            // The fixture has set the fault: start the old session without it.
            let fault = fixture.store.set_fault(None);
            let old = fixture.start("bob");
            let caller = fixture.use_session(&old).unwrap();
            fixture.store.set_fault(fault);
            let result = start(&fixture.sessions, &caller, &head(Some(&old.cookie)));
            let fault = fixture.store.set_fault(None);
            let has_failed = result.is_err();
            match result {
                Ok(new) => {
                    assert!(fixture.is_live(&new) && !fixture.is_live(&old));
                    let listed = fixture.sessions.list("bob").now_or_never().unwrap().unwrap();
                    assert_eq!(listed.len(), 1);
                }
                Err(error) => {
                    assert!(is_503(error));
                    let is_live = fixture.is_live(&old);
                    // Only a write whose outcome is unknown can end it.
                    assert!(is_live || takes_effect);
                    old_ones.push(is_live);
                    let listed = fixture.sessions.list("bob").now_or_never().unwrap().unwrap();
                    let old = listed.iter().filter(|info| info.id() == old.info.id()).count();
                    assert_eq!(old, usize::from(is_live));
                    assert_eq!(listed.len(), old, "the new one was removed");
                }
            }
            fixture.store.set_fault(fault);
            has_failed
        });
        let lost = old_ones.iter().filter(|is_live| !**is_live).count();
        assert!(lost <= 1, "{lost} of {}", old_ones.len());
    }
}

#[test]
fn end_that_returns_has_taken_effect() {
    for kind in [Unavailable, Full, Unreadable] {
        for way in 0..3 {
            each_fault(kind, |fixture, _| {
                let fault = fixture.store.set_fault(None);
                let session = fixture.start("bob");
                let caller = fixture.use_session(&session).unwrap();
                fixture.store.set_fault(fault);
                let result = match way {
                    0 => end(&fixture.sessions, &caller),
                    1 => fixture.sessions.end_all("bob").now_or_never().unwrap(),
                    _ => fixture
                        .sessions
                        .end_one("bob", session.info.id())
                        .now_or_never()
                        .unwrap()
                        .map(|is_ended| assert!(is_ended)),
                };
                let fault = fixture.store.set_fault(None);
                let has_failed = result.is_err();
                match result {
                    Ok(()) => {
                        assert!(!fixture.is_live(&session));
                        assert!(!is_live(&fixture.process(), &session));
                    }
                    Err(error) => assert!(is_503(error)),
                }
                // It can be repeated.
                fixture.sessions.end_all("bob").now_or_never().unwrap().unwrap();
                assert!(!fixture.is_live(&session));
                fixture.store.set_fault(fault);
                has_failed
            });
        }
    }
}

#[test]
fn request_during_a_fault_gets_503_or_its_caller() {
    for kind in [Unavailable, Full, Unreadable] {
        for ahead in [0, 61, 1_799] {
            each_fault(kind, |fixture, _| {
                let fault = fixture.store.set_fault(None);
                let session = fixture.start("bob");
                fixture.use_session(&session).unwrap();
                fixture.clock.advance(std::time::Duration::from_secs(ahead));
                fixture.store.set_fault(fault);
                for sessions in [&fixture.sessions, &fixture.process()] {
                    match use_session(sessions, &session) {
                        Ok(caller) => assert_eq!(caller.subject(), "bob"),
                        Err(kind) => assert_eq!(kind, RejectionKind::Unavailable),
                    }
                }
                let fault = fixture.store.set_fault(None);
                assert!(fixture.is_live(&session));
                fixture.store.set_fault(fault);
                false
            });
        }
    }
}
