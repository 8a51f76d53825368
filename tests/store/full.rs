//! Revocations while the memory store has no space for more records.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, UNIX_EPOCH},
};

use tower_auth::{
    JwtAuth, Principal,
    clock::Clock,
    observe::Event,
    revocation::{RevocationTarget, Revocations},
    store::{Memory, Purpose, SealedStore, StoreSecret},
    test_util::{TestClock, TokenMint},
};

const ISSUER: &str = "https://issuer.example";
const OTHER: &str = "https://other.example";

struct Service {
    clock: TestClock,
    mint: TokenMint,
    revocations: Revocations,
    tokens: JwtAuth,
    others: (TokenMint, JwtAuth),
    revoked: Arc<Mutex<Vec<RevocationTarget>>>,
}

impl Service {
    fn new() -> Self {
        let clock = TestClock::new();
        let memory = Memory::builder().clock(clock.clone()).max_bytes(Purpose::Revocation, 1 << 20);
        let secret = StoreSecret::new(*b"0123456789abcdefghijklmnopqrstuv").unwrap();
        let revoked = Arc::new(Mutex::new(Vec::new()));
        let observed = revoked.clone();
        let revocations = Revocations::builder(SealedStore::new(memory.build().unwrap(), secret))
            .longest_token_life(Duration::from_secs(36_000))
            .staleness(Duration::ZERO)
            .clock(clock.clone())
            .observer(move |event: &Event<'_>| {
                if let Event::Revoked { target, .. } = event {
                    observed.lock().unwrap().push(*target);
                }
            })
            .build()
            .unwrap();
        let service = |issuer: &str| {
            let mint = TokenMint::new(issuer).clock(clock.clone());
            let tokens = mint.validator("orders").revocations(revocations.clone());
            let tokens = tokens.build().unwrap();
            (mint, tokens)
        };
        let (mint, tokens) = service(ISSUER);
        let others = service(OTHER);
        Self { clock, mint, revocations, tokens, others, revoked }
    }

    fn token(&self, subject: &str, jti: &str) -> String {
        self.mint.token(subject).audience("orders").claim("jti", jti).sign()
    }

    async fn caller(&self, token: &str) -> Principal {
        self.tokens.verify(token).await.unwrap()
    }

    async fn accepts(&self, token: &str) -> bool {
        self.tokens.verify(token).await.is_ok()
    }

    /// Revokes sessions until a call revokes a group of this kind.
    async fn fill_until(&self, target: RevocationTarget) {
        for number in 0..10_000 {
            let sid = format!("{target:?} {number}");
            self.revoked.lock().unwrap().clear();
            self.revocations.session(ISSUER, &sid).await.unwrap();
            if target == RevocationTarget::Subject && number % 20 == 0 {
                let probe = format!("probe {number}");
                let caller = self.caller(&self.token(&probe, &probe)).await;
                self.revocations.token(&caller).await.unwrap();
            }
            if self.revoked.lock().unwrap().contains(&target) {
                return;
            }
        }
        panic!("the store never became full");
    }
}

#[tokio::test]
async fn logout_with_a_nearly_full_store_revokes_the_tokens_of_the_subject() {
    let service = Service::new();
    service.fill_until(RevocationTarget::Subject).await;
    let [one, two] = ["1", "2"].map(|jti| service.token("alice", jti));
    let bob = service.token("bob", "1");
    let caller = service.caller(&one).await;
    service.revocations.token(&caller).await.unwrap();
    assert!(!service.accepts(&one).await && !service.accepts(&two).await);
    assert!(service.accepts(&bob).await);
    service.clock.advance(Duration::from_secs(1));
    assert!(service.accepts(&service.token("alice", "3")).await);
}

#[tokio::test]
async fn token_that_was_issued_in_the_future_is_covered_by_the_coarser_record() {
    let service = Service::new();
    service.fill_until(RevocationTarget::Subject).await;
    let now = service.clock.now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let token = service.mint.token("alice").audience("orders").claim("iat", now + 30).sign();
    let caller = service.caller(&token).await;
    service.revocations.token(&caller).await.unwrap();
    assert!(!service.accepts(&token).await);
}

/// The record of a session would reject it, whatever the clocks say.
#[tokio::test]
async fn session_of_an_issuer_whose_clock_is_ahead_is_covered_by_the_coarser_record() {
    let service = Service::new();
    let now = service.clock.now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let token = service.mint.token("alice").audience("orders").claim("iat", now + 30);
    let token = token.claim("sid", "ahead").sign();
    assert!(service.accepts(&token).await);
    service.fill_until(RevocationTarget::Subject).await;
    while !service.revoked.lock().unwrap().contains(&RevocationTarget::Issuer) {
        service.revocations.session(ISSUER, "ahead").await.unwrap();
        assert!(!service.accepts(&token).await);
        let sid = format!("other {}", service.revoked.lock().unwrap().len());
        service.revocations.session(ISSUER, &sid).await.unwrap();
        assert!(!service.accepts(&token).await);
    }
}

#[tokio::test]
async fn logout_with_a_full_store_revokes_the_tokens_of_the_issuer() {
    let service = Service::new();
    let early = service.token("alice", "early");
    let caller = service.caller(&early).await;
    service.revocations.token(&caller).await.unwrap();
    let bob = service.token("bob", "1");
    let (other_mint, other_tokens) = &service.others;
    let other = other_mint.token("bob").audience("orders").sign();
    service.fill_until(RevocationTarget::Issuer).await;
    assert!(!service.accepts(&early).await);
    assert!(!service.accepts(&bob).await, "the record of the issuer is missing");
    assert!(other_tokens.verify(&other).await.is_ok());

    // There is space again, so the next logout is that of one token.
    service.clock.advance(Duration::from_secs(60));
    let [one, two] = ["one", "two"].map(|jti| service.token("alice", jti));
    let caller = service.caller(&one).await;
    service.revocations.token(&caller).await.unwrap();
    assert!(!service.accepts(&one).await && service.accepts(&two).await);
    assert!(!service.accepts(&early).await);
}
