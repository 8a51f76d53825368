//! The rate limit of each key.

use std::time::Duration;

use tower_auth::dpop::ProofError;
use tower_auth_test_support::dpop::DpopClient;

use super::{Fixture, SECOND, assert_admitted};

#[tokio::test(flavor = "multi_thread")]
async fn key_that_is_used_too_often_gets_429_and_others_are_not_affected() {
    let mut fixture = Fixture::with(|binding| binding.rate_limit(2, 5)).await;
    let token = fixture.token();
    for _ in 0..5 {
        assert_admitted(&fixture.get(&token, &fixture.proof(&token)));
    }
    for _ in 0..3 {
        let response = fixture.get(&token, &fixture.proof(&token));
        assert_eq!(response.status, 429);
        assert_eq!(response.header("retry-after"), "1");
        assert!(response.header_values("www-authenticate").is_empty());
        assert_eq!(fixture.reasons.take_last(), ProofError::RateLimited.to_string());
    }
    // Another token with the same key has the same limit, and another key has its own.
    let same_key = fixture.token();
    assert_eq!(fixture.get(&same_key, &fixture.proof(&same_key)).status, 429);
    let limited = std::mem::replace(&mut fixture.client, DpopClient::new("ES256"));
    let other = fixture.token();
    assert_admitted(&fixture.get(&other, &fixture.proof(&other)));

    fixture.client = limited;
    fixture.clock.advance(Duration::from_millis(499));
    assert_eq!(fixture.get(&token, &fixture.proof(&token)).status, 429);
    fixture.clock.advance(Duration::from_millis(1));
    assert_admitted(&fixture.get(&token, &fixture.proof(&token)));
    assert_eq!(fixture.get(&token, &fixture.proof(&token)).status, 429);
    fixture.clock.advance(SECOND);
    for expected in [200, 200, 429] {
        assert_eq!(fixture.get(&token, &fixture.proof(&token)).status, expected);
    }
}

/// Only the holder of the key can use up its limit.
#[tokio::test(flavor = "multi_thread")]
async fn invalid_proofs_and_tokens_do_not_count() {
    let fixture = Fixture::with(|binding| binding.rate_limit(1, 1)).await;
    let token = fixture.token();
    let other = DpopClient::new("ES256");
    for _ in 0..10 {
        let forged = other.0.token_with(&fixture.client.header(), &fixture.claims(&token));
        assert_eq!(fixture.get(&token, &forged).status, 401);
        assert_eq!(fixture.get(&format!("{token}x"), &fixture.proof(&token)).status, 401);
        let mut claims = fixture.claims(&token);
        claims["htm"] = "PUT".into();
        assert_eq!(fixture.get_with_claims(&token, &claims).status, 401);
    }
    assert_admitted(&fixture.get(&token, &fixture.proof(&token)));
}

/// A request that is over the limit does not use up its proof.
#[tokio::test(flavor = "multi_thread")]
async fn proof_of_a_limited_request_can_be_sent_again() {
    let fixture = Fixture::with(|binding| binding.rate_limit(1, 1)).await;
    let token = fixture.token();
    let proof = fixture.proof(&token);
    assert_admitted(&fixture.get(&token, &fixture.proof(&token)));
    assert_eq!(fixture.get(&token, &proof).status, 429);
    fixture.clock.advance(SECOND);
    assert_admitted(&fixture.get(&token, &proof));
}
