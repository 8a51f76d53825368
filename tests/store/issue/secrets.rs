//! Logins while the secret of the store is replaced.

use tower_auth::{issue::TokenIssuer, store::StoreSecret};

use super::fixture::{
    Fixture, generation, is_admitted, log_in, log_in_as, log_out, next, outcome, ready, refresh,
};
use crate::revocation::test_store::key;

const OLD: u8 = 7;
const NEW: u8 = 8;

/// Starts an instance with a current secret and, possibly, a previous one.
fn instance(fixture: &Fixture, current: u8, previous: Option<u8>) -> TokenIssuer {
    let secret = StoreSecret::new(key(current)).unwrap();
    let secret = match previous {
        Some(previous) => secret.previous(key(previous)).unwrap(),
        None => secret,
    };
    fixture.builder_with(secret, fixture.clock.clone()).build().unwrap()
}

#[test]
fn logins_survive_a_rotation_of_the_secret_and_logouts_hold_in_each_step() {
    let fixture = Fixture::new();
    let old = instance(&fixture, OLD, None);
    let mut kept = log_in(&old);
    let (mut ended, mut everywhere) = (Vec::new(), Vec::new());
    let steps = [
        vec![old, instance(&fixture, OLD, Some(NEW))],
        vec![instance(&fixture, OLD, Some(NEW)), instance(&fixture, NEW, Some(OLD))],
        vec![instance(&fixture, NEW, Some(OLD))],
    ];
    for (step, instances) in steps.iter().enumerate() {
        for round in 0..2 {
            for index in 0..instances.len() {
                let case = format!("step {step}, round {round}, instance {index}");
                let here = &instances[index];
                let there = &instances[instances.len() - 1 - index];
                // The login that started with the old secret, through all instances.
                fixture.advance(41);
                kept = next(here, &kept);
                assert!(is_admitted(there, &kept), "{case}");
                // A login that starts in this step.
                let pair = log_in(here);
                let newer = next(there, &pair);
                assert_eq!(next(here, &pair).refresh_token(), newer.refresh_token(), "{case}");
                log_out(there, &pair);
                ended.extend([pair, newer]);
                // And one of another user, who logs out everywhere.
                let carol = log_in_as(there, "carol");
                ready(here.logout_everywhere("carol")).unwrap();
                everywhere.push(carol);
                for pair in ended.iter().chain(&everywhere) {
                    for issuer in instances.iter() {
                        assert!(!is_admitted(issuer, pair), "{case}");
                        let refreshed = refresh(issuer, pair.refresh_token());
                        assert_eq!(outcome(&refreshed), "revoked", "{case}");
                    }
                }
                let carol = log_in_as(there, "carol");
                assert!(is_admitted(here, &carol), "{case}");
                everywhere.push(carol);
                ready(here.logout_everywhere("carol")).unwrap();
            }
        }
    }
    assert_eq!(generation(&kept), 10);
    assert_eq!(fixture.events.count("reverted"), 0);
    assert_eq!(fixture.events.count("reused"), 0);
}

/// A family whose record has only the previous name.
#[test]
fn logout_after_the_swap_ends_a_login_from_before_the_rotation() {
    let fixture = Fixture::new();
    let (first, second) = {
        let old = instance(&fixture, OLD, None);
        (log_in(&old), log_in(&old))
    };
    let new = instance(&fixture, NEW, Some(OLD));
    let other = instance(&fixture, OLD, Some(NEW));
    log_out(&new, &first);
    for issuer in [&new, &other] {
        assert!(!is_admitted(issuer, &first));
        assert_eq!(outcome(&refresh(issuer, first.refresh_token())), "revoked");
    }
    ready(new.logout_everywhere("alice")).unwrap();
    for issuer in [&new, &other] {
        assert!(!is_admitted(issuer, &second));
        assert_eq!(outcome(&refresh(issuer, second.refresh_token())), "revoked");
    }
}

#[test]
fn list_of_logins_is_complete_during_a_rotation() {
    let fixture = Fixture::new();
    let mut pairs = vec![log_in(&instance(&fixture, OLD, None))];
    let issuers = [instance(&fixture, OLD, Some(NEW)), instance(&fixture, NEW, Some(OLD))];
    for number in 1..52 {
        fixture.advance(1);
        pairs.push(log_in(&issuers[number % 2]));
    }
    let live = pairs.iter().filter(|pair| is_admitted(&issuers[0], pair)).count();
    assert_eq!(live, 50);
    assert!(!is_admitted(&issuers[0], &pairs[0]) && !is_admitted(&issuers[1], &pairs[1]));
}
