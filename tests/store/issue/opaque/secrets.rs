//! Tokens while the secret of the store is replaced.

use tower_auth::{issue::TokenIssuer, jwt::TokenError, store::StoreSecret};

use super::{
    super::fixture::{Fixture, log_in, log_out},
    accepts, assert_rejected, verify,
};
use crate::revocation::test_store::key;

const OLD: u8 = 7;
const NEW: u8 = 8;

fn instance(fixture: &Fixture, current: u8, previous: Option<u8>) -> TokenIssuer {
    let secret = StoreSecret::new(key(current)).unwrap();
    let secret = match previous {
        Some(previous) => secret.previous(key(previous)).unwrap(),
        None => secret,
    };
    let builder = fixture.builder_with(secret, fixture.clock.clone());
    builder.opaque_access_tokens().build().unwrap()
}

#[test]
fn tokens_of_all_instances_are_accepted_in_each_step_of_a_rotation() {
    let fixture = Fixture::new();
    let old = instance(&fixture, OLD, None);
    log_in(&old);
    let both = instance(&fixture, OLD, Some(NEW));
    let swapped = instance(&fixture, NEW, Some(OLD));
    let new = instance(&fixture, NEW, None);
    for (step, instances) in
        [[&old, &both], [&both, &both], [&both, &swapped], [&swapped, &swapped], [&swapped, &new]]
            .iter()
            .enumerate()
    {
        let pairs = instances.map(log_in);
        for pair in &pairs {
            for issuer in instances {
                assert!(accepts(issuer, pair), "step {step}");
            }
        }
        log_out(instances[1], &pairs[0]);
        assert!(instances.iter().all(|issuer| !accepts(issuer, &pairs[0])), "step {step}");
        assert!(instances.iter().all(|issuer| accepts(issuer, &pairs[1])), "step {step}");
    }
}

#[test]
fn other_secret_does_not_accept_tokens() {
    let fixture = Fixture::new();
    let (old, new) = (instance(&fixture, OLD, None), instance(&fixture, NEW, None));
    let pair = log_in(&old);
    log_in(&new);
    assert_rejected(&verify(&new, pair.access_token()), &TokenError::UnknownToken);
}
