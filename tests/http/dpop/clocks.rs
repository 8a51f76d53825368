//! Instances whose clocks differ.

use serde_json::json;
use tower_auth::{
    Authenticator as _, JwtAuth,
    clock::Clock as _,
    dpop::DpopBinding,
    store::{Memory, SealedStore},
    test_util::{TestClock, TokenMint},
    transport::Forwarded,
};
use tower_auth_test_support::dpop::DpopClient;

use super::{SECOND, secret};

/// The default leeway.
const LEEWAY: u32 = 5;

async fn is_accepted(tokens: &JwtAuth, token: &str, proof: &str) -> bool {
    let request = http::Request::get("/b")
        .header("host", "a.example")
        .header("authorization", format!("DPoP {token}"))
        .header("dpop", proof);
    let (head, ()) = request.body(()).unwrap().into_parts();
    tokens.authenticate(&head).unwrap().await.into_result().is_ok()
}

/// Otherwise, a proof could be used again at the instance whose clock is behind.
#[tokio::test]
async fn proof_is_accepted_once_by_instances_whose_clocks_differ_by_the_leeway() {
    for first_is_ahead in [true, false] {
        let ahead = TestClock::new();
        let behind = TestClock::at(ahead.now() - SECOND * LEEWAY);
        let start = ahead.now();
        let store = SealedStore::new(Memory::with_clock(ahead.clone()), secret());
        let mint = TokenMint::new("https://issuer.example").clock(behind.clone());
        let instance = |clock: &TestClock| {
            let binding = DpopBinding::builder(store.clone()).clock(clock.clone());
            let binding = binding.forwarded(Forwarded::direct().tls()).build().unwrap();
            let tokens = mint.validator("orders").clock(clock.clone()).binding(binding);
            tokens.build().unwrap()
        };
        let mut instances = [instance(&ahead), instance(&behind)];
        if !first_is_ahead {
            instances.reverse();
        }
        let client = DpopClient::new("ES256");
        let cnf = json!({ "jkt": client.thumbprint() });
        let token = mint.token("alice").audience("orders").claim("cnf", cnf).sign();
        let iat = start.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let proof = client.proof("GET", "https://a.example/b", &token, iat);
        assert!(is_accepted(&instances[0], &token, &proof).await);
        for millis in 0..80_000 {
            ahead.set(start + SECOND / 1_000 * millis);
            behind.set(start + SECOND / 1_000 * millis - SECOND * LEEWAY);
            // Each second, and each millisecond around the ends of the two windows.
            let is_near_an_end = [60_000, 65_000].iter().any(|end| millis.abs_diff(*end) < 5);
            if millis % 1_000 == 0 || is_near_an_end {
                for tokens in &instances {
                    assert!(!is_accepted(tokens, &token, &proof).await, "{millis}");
                }
            }
        }
    }
}
