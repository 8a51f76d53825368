//! A store that is unavailable or full.

use tower_auth::{
    dpop::ProofError,
    store::{Memory, Purpose, SealedStore, StoreErrorKind},
    test_util::TestClock,
};
use tower_auth_test_support::{raw::RawResponse, store::SwitchedStore};

use super::{Fixture, assert_admitted, secret};

#[track_caller]
fn assert_unavailable(response: &RawResponse) {
    assert_eq!(response.status, 503);
    assert_eq!(response.header("retry-after"), "5");
    assert!(response.header_values("www-authenticate").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_of_the_store_returns_503() {
    let clock = TestClock::new();
    let store = SwitchedStore::new(clock.clone());
    let fixture = Fixture::with_store(clock, store.sealed(), |it| it, |it| it).await;
    let token = fixture.token();
    for kind in [StoreErrorKind::Unavailable, StoreErrorKind::Full, StoreErrorKind::Unreadable] {
        store.set_fault(kind);
        assert_unavailable(&fixture.get(&token, &fixture.proof(&token)));
        // What can be decided without the store is not 503.
        let mut claims = fixture.claims(&token);
        claims["htm"] = "POST".into();
        let response = fixture.get_with_claims(&token, &claims);
        fixture.assert_invalid_proof(&response, ProofError::Method, "method");
        store.set_fault(None);
        assert_admitted(&fixture.get(&token, &fixture.proof(&token)));
    }
    // The outcome is unknown.
    store.pause();
    let proof = fixture.proof(&token);
    assert_unavailable(&fixture.get(&token, &proof));
    store.resume();
}

/// Other clients are rejected with 503, and never admitted without a record.
#[tokio::test(flavor = "multi_thread")]
async fn full_store_rejects_and_accepts_again_when_records_have_expired() {
    let clock = TestClock::new();
    let memory = Memory::builder().clock(clock.clone()).max_bytes(Purpose::DpopProof, 1 << 20);
    let store = SealedStore::new(memory.build().unwrap(), secret());
    let limit = |it: tower_auth::dpop::DpopBindingBuilder| it.rate_limit(100_000, 100_000);
    let fixture = Fixture::with_store(clock, store, limit, |it| it).await;
    let token = fixture.token();
    let mut admitted = 0;
    let rejected = loop {
        let response = fixture.get(&token, &fixture.proof(&token));
        match response.status {
            200 => admitted += 1,
            _ => break response,
        }
        assert!(admitted < 20_000);
    };
    assert!(admitted > 2_000, "{admitted}");
    assert_unavailable(&rejected);
    fixture.clock.advance(super::SECOND * 66);
    assert_admitted(&fixture.get(&token, &fixture.proof(&token)));
}
