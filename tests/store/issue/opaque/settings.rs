//! Both forms of tokens side by side, and the settings of a verifier.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tower_auth::{
    Principal,
    jwt::{Issuers, TokenCache, TokenError},
    test_util::TokenMint,
};

use super::{
    super::fixture::{Fixture, log_in, log_out, next},
    accepts, assert_rejected, issuer, later, verify_with,
};

#[test]
fn instances_with_different_settings_accept_the_tokens_of_each_other() {
    let fixture = Fixture::new();
    let (before, after) = (fixture.issuer(), issuer(&fixture));
    let (jwt, opaque) = (log_in(&before), log_in(&after));
    assert_eq!(jwt.access_token().split('.').count(), 3);
    assert!(opaque.access_token().starts_with("at_"));
    // Each instance issues its own form at a refresh.
    let (jwt_next, opaque_next) = (next(&before, &opaque), next(&after, &jwt));
    assert_eq!(jwt_next.access_token().split('.').count(), 3);
    assert!(opaque_next.access_token().starts_with("at_"));
    for pair in [&jwt, &opaque, &jwt_next, &opaque_next] {
        assert!(accepts(&before, pair) && accepts(&after, pair));
    }
    log_out(&before, &opaque);
    log_out(&after, &jwt);
    for pair in [&jwt, &opaque, &jwt_next, &opaque_next] {
        assert!(!accepts(&before, pair) && !accepts(&after, pair));
    }
}

#[test]
fn cache_of_a_verifier_does_not_delay_the_end_of_a_token() {
    let fixture = Fixture::new();
    let (here, there) = (issuer(&fixture), issuer(&fixture));
    let cached = there.verifier_builder().cache(TokenCache::new(1 << 20)).build().unwrap();
    let pair = log_in(&here);
    for _ in 0..3 {
        assert!(verify_with(&cached, pair.access_token()).is_ok());
    }
    log_out(&here, &pair);
    assert_rejected(&verify_with(&cached, pair.access_token()), &TokenError::Revoked);
}

#[test]
fn maps_and_checks_of_a_verifier_apply() {
    let fixture = Fixture::new();
    let issuer = issuer(&fixture);
    let is_open = Arc::new(AtomicBool::new(true));
    let open = Arc::clone(&is_open);
    let verifier = issuer
        .verifier_builder()
        .map_principal(|caller: Principal| caller.to_builder().scopes(["mapped"]).build())
        .check(move |_| if open.load(Ordering::Relaxed) { Ok(()) } else { Err("closed") })
        .build()
        .unwrap();
    let pair = log_in(&issuer);
    let caller = verify_with(&verifier, pair.access_token()).unwrap();
    assert!(caller.scopes().iter().eq(["mapped"]));
    is_open.store(false, Ordering::Relaxed);
    let rejected = verify_with(&verifier, pair.access_token());
    assert_rejected(&rejected, &TokenError::Check("closed".into()));
}

#[test]
fn required_claims_of_a_verifier_apply() {
    let fixture = Fixture::new();
    let issuer = issuer(&fixture);
    let pair = log_in(&issuer);
    let build = || issuer.verifier_builder();
    let missing = build().require_claim("tenant").build().unwrap();
    let rejected = verify_with(&missing, pair.access_token());
    assert_rejected(&rejected, &TokenError::MissingClaim("tenant".into()));
    let other = build().require_claim_value("client_id", ["other"]).build().unwrap();
    let rejected = verify_with(&other, pair.access_token());
    assert_rejected(&rejected, &TokenError::ClaimValue("client_id".into()));
}

#[test]
fn issuers_pass_opaque_tokens_to_the_verifier_for_other_tokens() {
    let fixture = Fixture::new();
    let issuer = issuer(&fixture);
    let partner = TokenMint::new("https://partner.example").clock(fixture.clock.clone());
    let partner = partner.validator("orders").build().unwrap();
    let pair = log_in(&issuer);
    let jwt = log_in(&fixture.issuer());
    let without = Issuers::new([issuer.verifier(), partner.clone()]).unwrap();
    let with = Issuers::new([issuer.verifier(), partner]).unwrap().otherwise(issuer.verifier());
    for (issuers, accepts_opaque) in [(without, false), (with, true)] {
        let verify =
            |token: &str| later(tower_auth::bearer::TokenVerifier::verify(&issuers, token));
        assert_eq!(verify(pair.access_token()).is_ok(), accepts_opaque);
        assert!(verify(jwt.access_token()).is_ok());
    }
}
