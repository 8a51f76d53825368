//! Logins that have ended stay ended, whatever happens to the records of revocations.

use std::time::Duration;

use tower_auth::{clock::Clock, store::Purpose};

use super::fixture::{
    Fixture, ISSUER, is_admitted, log_in, log_out, next, outcome, ready, refresh,
};

const DAY: u64 = 86_400;

#[test]
fn expired_login_stays_ended_if_the_clock_is_set_back() {
    let fixture = Fixture::new();
    let issuer = fixture.issuer();
    let pair = log_in(&issuer);
    let start = fixture.clock.now();
    fixture.advance(14 * DAY);
    assert_eq!(outcome(&refresh(&issuer, pair.refresh_token())), "expired");
    fixture.clock.set(start);
    assert_eq!(outcome(&refresh(&issuer, pair.refresh_token())), "revoked");
}

/// The record of a revocation lasts as long as the logins of the instance that wrote it.
#[test]
fn ended_login_stays_ended_when_its_revocation_is_forgotten() {
    let fixture = Fixture::new();
    let longer = fixture.issuer();
    let day = Duration::from_secs(DAY);
    let shorter = fixture.builder().refresh_idle(day).absolute_lifetime(day).build().unwrap();
    let [revoked, stolen, logged_out] = [(); 3].map(|()| log_in(&longer));
    next(&longer, &stolen);
    log_out(&shorter, &logged_out);
    fixture.advance(21);
    assert_eq!(outcome(&refresh(&shorter, stolen.refresh_token())), "reused");
    ready(shorter.revocations().subject(ISSUER, "alice")).unwrap();
    assert_eq!(outcome(&refresh(&shorter, revoked.refresh_token())), "revoked");
    fixture.advance(2 * DAY);
    for pair in [&revoked, &stolen, &logged_out] {
        let refreshed = refresh(&longer, pair.refresh_token());
        // Either the record says so, or it has ended as well.
        assert!(["revoked", "expired"].contains(&outcome(&refreshed)), "{refreshed:?}");
    }
}

#[test]
fn refresh_of_an_ended_login_revokes_its_access_tokens_again() {
    let fixture = Fixture::new();
    let issuer = fixture.issuer();
    let pair = log_in(&issuer);
    log_out(&issuer, &pair);
    // Another process, which has not revoked the session itself.
    let other = fixture.issuer();
    let mut records = fixture.store.snapshot();
    // The record of a session has no value: it is as long as the key id, the nonce and the tag.
    records.retain(|key, (value, _)| key.purpose() != Purpose::Revocation || value.len() != 32);
    fixture.store.restore(&records);
    assert!(is_admitted(&other, &pair), "the record was not removed");
    assert_eq!(outcome(&refresh(&other, pair.refresh_token())), "revoked");
    assert!(!is_admitted(&other, &pair));
    assert!(!is_admitted(&fixture.issuer(), &pair));
}
