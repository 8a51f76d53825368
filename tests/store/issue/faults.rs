//! Outages at each operation of the store.

use tower_auth::{
    issue::{IssueError, TokenIssuer, TokenPair},
    store::{Purpose, StoreErrorKind},
};

use super::fixture::{
    Fixture, GRACE, generation, grant, is_admitted, log_in, log_out, next, outcome, ready, refresh,
};
use crate::revocation::test_store::Fault;

const KINDS: [StoreErrorKind; 3] =
    [StoreErrorKind::Unavailable, StoreErrorKind::Unreadable, StoreErrorKind::Full];

/// Runs a case once for each operation that can fail and each way in which it can.
fn for_each_fault(mut run: impl FnMut(&Fixture, &TokenIssuer, &dyn Fn(), &str) -> bool) {
    let mut faults = 0;
    for kind in KINDS {
        for takes_effect in [false, true] {
            for after in 0.. {
                let fixture = Fixture::new();
                let issuer = fixture.issuer();
                // Reads the keys and creates the epoch.
                log_in(&issuer);
                let fault = Fault { after, takes_effect, kind };
                let set = || {
                    fixture.store.set_fault(Some(fault));
                };
                let has_occurred = run(&fixture, &issuer, &set, &format!("{fault:?}"));
                if !has_occurred {
                    break;
                }
                faults += 1;
            }
        }
    }
    assert!(faults >= 6 * 3, "{faults}");
}

fn clear(fixture: &Fixture) -> bool {
    fixture.store.set_fault(None).is_none()
}

#[test]
fn failed_login_grants_nothing_and_can_be_repeated() {
    for_each_fault(|fixture, issuer, fail, case| {
        fail();
        let result = ready(issuer.issue(grant("alice")));
        let has_occurred = clear(fixture);
        assert_eq!(result.is_err(), has_occurred, "{case}");
        if let Err(error) = &result {
            assert!(matches!(error, IssueError::Unavailable(_)), "{case}: {error:?}");
        }
        let pair = log_in(issuer);
        assert!(is_admitted(issuer, &pair), "{case}");
        next(issuer, &pair);
        has_occurred
    });
}

#[derive(Clone, Copy, Debug)]
enum Refresh {
    Rotates,
    Answers,
    AnswersOlder,
    Adopts,
}

#[test]
fn failed_refresh_logs_nobody_out_and_can_be_repeated() {
    for kind in [Refresh::Rotates, Refresh::Answers, Refresh::AnswersOlder, Refresh::Adopts] {
        for_each_fault(|fixture, issuer, fail, case| {
            let first = log_in(issuer);
            let (pair, expected) = match kind {
                Refresh::Rotates => (first, 1),
                Refresh::Answers => (next(issuer, &first), 1),
                Refresh::AnswersOlder => {
                    next(issuer, &first);
                    (first, 1)
                }
                Refresh::Adopts => {
                    let pair = next(issuer, &first);
                    fixture.store.lose_last_write();
                    (pair, 1)
                }
            };
            fail();
            let result = refresh(issuer, pair.refresh_token());
            let has_occurred = clear(fixture);
            let expected_outcome = if has_occurred { "unavailable" } else { "ok" };
            assert_eq!(outcome(&result), expected_outcome, "{kind:?} {case}");
            fixture.advance(GRACE.as_secs());
            let again = next(issuer, &pair);
            assert_eq!(generation(&again), expected, "{kind:?} {case}");
            assert!(is_admitted(issuer, &again), "{kind:?} {case}");
            has_occurred
        });
    }
}

#[test]
fn failed_logout_can_be_repeated_and_a_successful_one_holds() {
    for_each_fault(|fixture, issuer, fail, case| {
        let (first, other) = (log_in(issuer), log_in(issuer));
        let pair = next(issuer, &first);
        fail();
        let result = ready(issuer.logout(first.refresh_token()));
        let has_occurred = clear(fixture);
        if result.is_err() {
            assert!(has_occurred, "{case}");
            log_out(issuer, &pair);
        }
        assert_ended(issuer, &[&first, &pair], case);
        assert!(is_admitted(issuer, &other), "{case}");
        next(issuer, &other);
        has_occurred
    });
}

#[test]
fn failed_logout_everywhere_can_be_repeated_and_a_successful_one_holds() {
    for_each_fault(|fixture, issuer, fail, case| {
        let (first, other) = (log_in(issuer), log_in(issuer));
        fail();
        let result = ready(issuer.logout_everywhere("alice"));
        let has_occurred = clear(fixture);
        if result.is_err() {
            assert!(has_occurred, "{case}");
            ready(issuer.logout_everywhere("alice")).unwrap();
        }
        assert_ended(issuer, &[&first, &other], case);
        let new = log_in(issuer);
        assert!(is_admitted(issuer, &new), "{case}");
        has_occurred
    });
}

#[test]
fn reused_token_is_never_accepted_and_always_reported_despite_a_failure() {
    for_each_fault(|fixture, issuer, fail, case| {
        let stolen = log_in(issuer);
        let live = next(issuer, &stolen);
        fixture.advance(GRACE.as_secs() + 1);
        fail();
        let result = refresh(issuer, stolen.refresh_token());
        let has_occurred = clear(fixture);
        assert!(["reused", "unavailable"].contains(&outcome(&result)), "{case} {result:?}");
        let again = refresh(issuer, stolen.refresh_token());
        assert!(["reused", "revoked"].contains(&outcome(&again)), "{case} {again:?}");
        assert_ended(issuer, &[&stolen, &live], case);
        assert!(fixture.events.count("reused") >= 1, "{case}");
        has_occurred
    });
}

fn assert_ended(issuer: &TokenIssuer, pairs: &[&TokenPair], case: &str) {
    for pair in pairs {
        assert!(!is_admitted(issuer, pair), "{case}");
        let refreshed = refresh(issuer, pair.refresh_token());
        assert_eq!(outcome(&refreshed), "revoked", "{case}");
    }
}

#[test]
fn outage_is_unavailable_for_each_operation() {
    for kind in KINDS {
        let fixture = Fixture::new();
        let issuer = fixture.issuer();
        let pair = log_in(&issuer);
        fixture.store.fail_with(Some(kind));
        assert_eq!(outcome(&refresh(&issuer, pair.refresh_token())), "unavailable");
        assert!(matches!(ready(issuer.issue(grant("bob"))), Err(IssueError::Unavailable(_))));
        let logout = ready(issuer.logout(pair.refresh_token()));
        assert!(matches!(logout, Err(IssueError::Unavailable(_))), "{logout:?}");
        let logout = ready(issuer.logout_everywhere("alice"));
        assert!(matches!(logout, Err(IssueError::Unavailable(_))), "{logout:?}");
        fixture.store.fail_with(None);
    }
}

#[test]
fn records_that_cannot_be_read_grant_nothing_and_a_logout_holds() {
    let fixture = Fixture::new();
    let issuer = fixture.issuer();
    let pair = log_in(&issuer);
    let before = fixture.store.snapshot();
    fixture.store.overwrite_all(b"damaged");
    assert_eq!(outcome(&refresh(&issuer, pair.refresh_token())), "unavailable");
    assert!(ready(issuer.issue(grant("alice"))).is_err());
    assert!(ready(issuer.logout(pair.refresh_token())).is_err());
    fixture.store.restore(&before);
    log_out(&issuer, &pair);
    assert_ended(&issuer, &[&pair], "repaired");
}

#[test]
fn log_out_everywhere_holds_although_the_list_of_logins_cannot_be_read() {
    let fixture = Fixture::new();
    let issuer = fixture.issuer();
    let pair = log_in(&issuer);
    let mut records = fixture.store.snapshot();
    for (key, (value, _)) in &mut records {
        if key.purpose() == Purpose::Family {
            *value = b"damaged".as_slice().into();
        }
    }
    fixture.store.restore(&records);
    // The caller has to know that a login could have started ahead of this clock.
    assert!(ready(issuer.logout_everywhere("alice")).is_err());
    assert!(!is_admitted(&issuer, &pair));
}
