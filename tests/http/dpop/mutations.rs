//! Changes of valid proofs.

use proptest::prelude::*;
use tower_auth::{
    Authenticator as _,
    dpop::DpopBinding,
    store::SealedStore,
    test_util::{TestClock, TokenMint},
    transport::Forwarded,
};
use tower_auth_test_support::{dpop::DpopClient, token::now};

/// Returns whether a request for `https://a.example/b` with this token and proof is accepted.
async fn is_accepted(tokens: &tower_auth::JwtAuth, token: &str, proof: &[u8]) -> bool {
    let head = http::Request::get("/b")
        .header("host", "a.example")
        .header("authorization", format!("DPoP {token}"))
        .header("dpop", proof)
        .body(());
    // Control characters cannot be sent.
    let Ok(request) = head else { return false };
    let (head, ()) = request.into_parts();
    tokens.authenticate(&head).unwrap().await.into_result().is_ok()
}

struct Setup {
    tokens: tower_auth::JwtAuth,
    token: String,
    client: DpopClient,
}

impl Setup {
    fn new(algorithm: &'static str) -> Self {
        let clock = TestClock::new();
        let mint = TokenMint::new("https://issuer.example");
        let binding = DpopBinding::builder(SealedStore::memory())
            .forwarded(Forwarded::direct().tls())
            .rate_limit(100_000, 100_000)
            .clock(clock);
        let tokens = mint.validator("orders").binding(binding.build().unwrap()).build().unwrap();
        let client = DpopClient::new(algorithm);
        let cnf = serde_json::json!({ "jkt": client.thumbprint() });
        let token = mint.token("alice").audience("orders").claim("cnf", cnf).sign();
        Self { tokens, token, client }
    }

    fn proof(&self) -> Vec<u8> {
        self.client.proof("GET", "https://a.example/b", &self.token, now()).into_bytes()
    }

    async fn is_accepted(&self, proof: &[u8]) -> bool {
        is_accepted(&self.tokens, &self.token, proof).await
    }
}

#[tokio::test]
async fn each_changed_bit_of_a_proof_is_rejected() {
    for algorithm in ["ES256", "EdDSA"] {
        let setup = Setup::new(algorithm);
        let proof = setup.proof();
        for position in 0..proof.len() {
            for bit in 0..8 {
                let mut changed = proof.clone();
                changed[position] ^= 1 << bit;
                assert!(!setup.is_accepted(&changed).await, "{algorithm} {position} {bit}");
            }
        }
        assert!(setup.is_accepted(&proof).await);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_changed_proof_is_rejected(
        position in any::<prop::sample::Index>(),
        removed in 0..4_usize,
        inserted in "[A-Za-z0-9._=-]{0,4}",
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let setup = Setup::new("ES256");
        let proof = setup.proof();
        let start = position.index(proof.len());
        let mut changed = proof.clone();
        changed.splice(start..(start + removed).min(proof.len()), inserted.bytes());
        if changed != proof {
            prop_assert!(!runtime.block_on(setup.is_accepted(&changed)));
        }
        prop_assert!(runtime.block_on(setup.is_accepted(&proof)));
    }
}
