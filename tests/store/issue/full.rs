//! Logouts while the store has no space.

use tower_auth::{
    observe::Event,
    revocation::RevocationTarget,
    store::{Memory, Purpose, SealedStore, StoreErrorKind, StoreSecret},
};

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use super::fixture::{
    Fixture, ISSUER, builder, is_admitted, log_in, log_in_as, log_out, next, outcome, ready,
    refresh,
};
use crate::revocation::{
    test_store::{Fault, key},
    tokens::clock,
};

/// The coarser record is that of the subject, and not that of all subjects.
#[test]
fn logout_with_a_nearly_full_store_ends_only_logins_of_the_subject() {
    let clock = clock();
    let memory = Memory::builder().clock(clock.clone()).max_bytes(Purpose::Revocation, 1 << 20);
    let secret = StoreSecret::new(key(7)).unwrap();
    let revoked = Arc::new(Mutex::new(Vec::new()));
    let observed = Arc::clone(&revoked);
    let issuer = builder(SealedStore::new(memory.build().unwrap(), secret), clock.clone())
        .staleness(Duration::ZERO)
        .observer(move |event: &Event<'_>| {
            if let Event::Revoked { target, .. } = event {
                observed.lock().unwrap().push(*target);
            }
        })
        .build()
        .unwrap();
    let bob = log_in_as(&issuer, "bob");
    let (alice, phone) = (log_in(&issuer), log_in(&issuer));
    let has_become_full = (0..10_000).any(|number| {
        if number % 20 != 0 {
            ready(issuer.revocations().session(ISSUER, &number.to_string())).unwrap();
            return false;
        }
        let probe = log_in_as(&issuer, &format!("probe {number}"));
        revoked.lock().unwrap().clear();
        log_out(&issuer, &probe);
        assert!(!is_admitted(&issuer, &probe));
        revoked.lock().unwrap().iter().any(|target| *target != RevocationTarget::Session)
    });
    assert!(has_become_full, "the store never became full");
    assert!(is_admitted(&issuer, &bob), "a logout has ended the logins of others");
    log_out(&issuer, &alice);
    for pair in [&alice, &phone] {
        assert!(!is_admitted(&issuer, pair));
        assert_eq!(outcome(&refresh(&issuer, pair.refresh_token())), "revoked");
    }
    assert!(is_admitted(&issuer, &bob));
    next(&issuer, &bob);
    // The login starts after the instant of the revocation, and ahead of the clock.
    ready(issuer.logout_everywhere("carol")).unwrap();
    let carol = log_in_as(&issuer, "carol");
    log_out(&issuer, &carol);
    assert!(!is_admitted(&issuer, &carol));
    clock.advance(Duration::from_secs(1));
    let new = log_in(&issuer);
    assert!(is_admitted(&issuer, &new));
}

/// The record of an ended login is a few bytes longer.
#[test]
fn logout_succeeds_if_there_is_no_space_for_the_record_of_the_ended_login() {
    let mut last = None;
    for after in 0.. {
        let fixture = Fixture::new();
        let issuer = fixture.issuer();
        let pair = log_in(&issuer);
        let kind = StoreErrorKind::Full;
        fixture.store.set_fault(Some(Fault { after, takes_effect: false, kind }));
        let result = ready(issuer.logout(pair.refresh_token()));
        if fixture.store.set_fault(None).is_some() {
            break;
        }
        last = Some((result.is_ok(), is_admitted(&issuer, &pair)));
    }
    // The last operation writes that record.
    assert_eq!(last, Some((true, false)));
}
