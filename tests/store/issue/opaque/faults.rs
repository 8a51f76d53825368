//! Outages at each operation of the store.

use tower_auth::{
    issue::{IssueError, TokenIssuer},
    store::{Purpose, StoreErrorKind},
};

use super::{
    super::fixture::{Fixture, grant, log_in, log_out, next, outcome, ready, refresh},
    accepts, assert_unavailable, issuer, verify,
};
use crate::revocation::test_store::Fault;

const KINDS: [StoreErrorKind; 3] =
    [StoreErrorKind::Unavailable, StoreErrorKind::Unreadable, StoreErrorKind::Full];

/// Runs a case once for each operation that can fail and each way in which it can, until the fault
/// does not occur any more.
fn for_each_fault(at_least: usize, mut run: impl FnMut(&Fixture, &TokenIssuer, &dyn Fn(), &str)) {
    let mut faults = 0;
    for kind in KINDS {
        for takes_effect in [false, true] {
            for after in 0.. {
                let fixture = Fixture::new();
                let issuer = issuer(&fixture);
                log_in(&issuer);
                let fault = Fault { after, takes_effect, kind };
                let set = || _ = fixture.store.set_fault(Some(fault));
                run(&fixture, &issuer, &set, &format!("{fault:?}"));
                if fixture.store.set_fault(None).is_some() {
                    break;
                }
                faults += 1;
            }
        }
    }
    assert!(faults >= 6 * at_least, "{faults}");
}

fn access_records(fixture: &Fixture) -> usize {
    let records = fixture.store.snapshot();
    records.keys().filter(|key| key.purpose() == Purpose::AccessToken).count()
}

#[test]
fn failed_use_is_an_outage_and_never_admits() {
    for_each_fault(2, |fixture, issuer, fail, case| {
        let (pair, ended) = (log_in(issuer), log_in(issuer));
        log_out(issuer, &ended);
        fail();
        let result = verify(issuer, pair.access_token());
        match fixture.store.set_fault(None) {
            None => assert_unavailable(&result, case),
            Some(_) => assert!(result.is_ok(), "{case}"),
        }
        assert!(accepts(issuer, &pair), "{case}");
        fail();
        assert!(verify(issuer, ended.access_token()).is_err(), "{case}");
        fixture.store.set_fault(None);
        // For `for_each_fault`: whether a fault at this operation occurs.
        fail();
        let _ = verify(issuer, pair.access_token());
    });
}

#[test]
fn failed_login_and_token_of_a_client_can_be_repeated() {
    for_each_fault(3, |fixture, issuer, fail, case| {
        let caller = verify(issuer, log_in(issuer).access_token()).unwrap();
        fail();
        let result = ready(issuer.issue_to_client(&caller).into_future());
        let has_occurred = fixture.store.set_fault(None).is_none();
        assert_eq!(matches!(result, Err(IssueError::Unavailable(_))), has_occurred, "{case}");
        fail();
        let result = ready(issuer.issue(grant("alice")));
        if fixture.store.set_fault(None).is_none() {
            assert!(matches!(result, Err(IssueError::Unavailable(_))), "{case}: {result:?}");
            fail();
            let _ = ready(issuer.issue(grant("alice")));
        } else {
            assert!(accepts(issuer, &result.unwrap()), "{case}");
            fail();
        }
    });
}

#[test]
fn failed_refresh_logs_nobody_out_and_can_be_repeated() {
    for_each_fault(4, |fixture, issuer, fail, case| {
        let first = log_in(issuer);
        fail();
        let result = refresh(issuer, first.refresh_token());
        let left = fixture.store.set_fault(None);
        let expected = if left.is_none() { "unavailable" } else { "ok" };
        assert_eq!(outcome(&result), expected, "{case}");
        fixture.advance(20);
        let again = next(issuer, &first);
        assert!(accepts(issuer, &again) && accepts(issuer, &first), "{case}");
        fixture.store.set_fault(left);
    });
}

#[test]
fn access_token_is_kept_before_the_refresh_token_is_replaced() {
    let fixture = Fixture::new();
    let issuer = issuer(&fixture);
    let first = log_in(&issuer);
    fixture.store.take_operations();
    next(&issuer, &first);
    let operations = fixture.store.take_operations();
    let position = |name| operations.iter().position(|operation| *operation == name);
    assert!(position("insert").unwrap() < position("replace").unwrap(), "{operations:?}");
    assert_eq!(access_records(&fixture), 2);
}

#[test]
fn full_store_rejects_logins_and_keeps_tokens() {
    let fixture = Fixture::new();
    let issuer = issuer(&fixture);
    let pair = log_in(&issuer);
    let fault = Fault { after: 3, takes_effect: false, kind: StoreErrorKind::Full };
    fixture.store.set_fault(Some(fault));
    let result = ready(issuer.issue(grant("alice")));
    assert!(matches!(result, Err(IssueError::Unavailable(_))), "{result:?}");
    fixture.store.set_fault(None);
    assert!(accepts(&issuer, &pair));
}
