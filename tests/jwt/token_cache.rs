//! A cache of verified tokens changes what is computed, and nothing of what is answered.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tower_auth::{
    JwtAuth,
    jwt::{
        Algorithm, DecodingKey, Jwks, JwtAuthBuilder, TokenCache, TokenError,
        crypto::{AwsLc, Backend, InvalidKey, InvalidSignature, Verifier},
    },
    test_util::{StubIssuer, TestClock, TokenMint},
};
use tower_auth_test_support::ask::{ask, bearer};

const AUDIENCE: &str = "orders";

/// Verifies with aws-lc-rs, and counts how often.
#[derive(Clone, Default)]
struct Counting(Arc<AtomicUsize>);

struct Counted(Box<dyn Verifier>, Arc<AtomicUsize>);

impl Backend for Counting {
    fn prepare(
        &self,
        algorithm: Algorithm,
        key: &DecodingKey,
    ) -> Result<Box<dyn Verifier>, InvalidKey> {
        let inner = AwsLc::default().prepare(algorithm, key)?;
        Ok(Box::new(Counted(inner, Arc::clone(&self.0))))
    }
}

impl Verifier for Counted {
    fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.verify(message, signature)
    }
}

impl Counting {
    /// How many signatures were verified since the last call.
    fn taken(&self) -> usize {
        self.0.swap(0, Ordering::Relaxed)
    }
}

struct Service {
    clock: TestClock,
    mint: TokenMint,
    count: Counting,
}

impl Service {
    fn new(algorithm: Algorithm) -> Self {
        let clock = TestClock::new();
        let mint = TokenMint::new("https://issuer.example").algorithm(algorithm);
        Self { mint: mint.clock(clock.clone()), clock, count: Counting::default() }
    }

    fn builder(&self, cache: TokenCache) -> JwtAuthBuilder {
        self.mint.validator(AUDIENCE).backend(self.count.clone()).cache(cache)
    }

    fn token(&self) -> String {
        self.mint.token("alice").audience(AUDIENCE).sign()
    }
}

fn large() -> TokenCache {
    TokenCache::new(1 << 20)
}

#[test]
fn a_signature_is_verified_once() {
    for algorithm in [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA] {
        let service = Service::new(algorithm);
        let tokens = service.builder(large()).build().unwrap();
        let token = service.token();
        for _ in 0..5 {
            let caller = bearer(&tokens, &token).unwrap();
            assert_eq!(caller.subject(), "alice");
            assert!(caller.claims::<serde_json::Value>().unwrap()["exp"].is_number());
        }
        assert_eq!(service.count.taken(), 1);
        // Another token is another, though it says the same.
        bearer(&tokens, &service.token()).unwrap();
        assert_eq!(service.count.taken(), 1);
    }
    let service = Service::new(Algorithm::HS256);
    let token = service.token();
    for (cache, verified) in [(large(), 3), (large().cache_hmac(), 1)] {
        let tokens = service.builder(cache).build().unwrap();
        (0..3).for_each(|_| assert!(bearer(&tokens, &token).is_ok()));
        assert_eq!(service.count.taken(), verified);
    }
}

#[test]
fn what_was_refused_is_looked_at_every_time() {
    let service = Service::new(Algorithm::ES256);
    let tokens = service.builder(large()).build().unwrap();
    let strange = service.mint.token("alice").audience(AUDIENCE).signed_by_unknown_key().sign();
    let foreign = service.mint.token("alice").audience("other").sign();
    for _ in 0..3 {
        assert_eq!(bearer(&tokens, &strange).unwrap_err(), TokenError::Signature);
        assert_eq!(bearer(&tokens, &foreign).unwrap_err(), TokenError::Audience);
        assert!(service.count.taken() >= 2);
    }
    // Nor does a good one vouch for what looks like it.
    let token = service.token();
    bearer(&tokens, &token).unwrap();
    for odd in [format!("{token}A"), format!("A{token}"), token[..token.len() - 1].to_owned()] {
        assert!(bearer(&tokens, &odd).is_err());
    }
    let (_, end) = token.split_at(token.len() - 43);
    assert!(bearer(&tokens, end).is_err());
}

#[test]
fn it_is_never_kept_past_its_end_nor_the_caches() {
    let service = Service::new(Algorithm::ES256);
    let tokens = service.builder(large().ttl(Duration::from_secs(120))).build().unwrap();
    let token = service.token(); // good for 300 s, and 60 s of leeway
    let verified = |advance: u64| {
        service.clock.advance(Duration::from_secs(advance));
        let admitted = bearer(&tokens, &token).is_ok();
        (admitted, service.count.taken())
    };
    assert_eq!(verified(0), (true, 1));
    assert_eq!(verified(119), (true, 0));
    assert_eq!(verified(1), (true, 1));
    assert_eq!(verified(119), (true, 0));
    assert_eq!(verified(1), (true, 1));
    assert_eq!(verified(59), (true, 0));
    // Within the leeway it is good, and verified each time.
    assert_eq!(verified(1), (true, 1));
    assert_eq!(verified(59), (true, 1));
    assert_eq!(verified(1), (false, 1));
}

#[test]
fn checks_are_asked_every_time() {
    let service = Service::new(Algorithm::RS256);
    let withdrawn = Arc::new(Mutex::new(HashSet::new()));
    let known = Arc::clone(&withdrawn);
    let tokens = service.builder(large()).check(move |caller| {
        let gone = known.lock().unwrap().contains(caller.subject());
        if gone { Err("withdrawn") } else { Ok(()) }
    });
    let tokens = tokens.build().unwrap();
    let token = service.token();
    assert!(bearer(&tokens, &token).is_ok() && bearer(&tokens, &token).is_ok());
    withdrawn.lock().unwrap().insert("alice".to_owned());
    assert!(matches!(bearer(&tokens, &token), Err(TokenError::Check(_))));
    withdrawn.lock().unwrap().clear();
    assert!(bearer(&tokens, &token).is_ok());
    assert_eq!(service.count.taken(), 1);
}

#[tokio::test]
async fn a_key_that_is_withdrawn_ends_its_tokens_at_once() {
    let service = Service::new(Algorithm::EdDSA);
    let issuer = StubIssuer::new(&service.mint);
    let keys = Jwks::discover(service.mint.issuer()).client(issuer.clone());
    let keys = keys.refresh(Duration::from_secs(60));
    let tokens = JwtAuth::builder(keys).audience(AUDIENCE).clock(service.clock.clone());
    let tokens = tokens.backend(service.count.clone()).cache(large()).build().unwrap();

    let old = service.token();
    assert!(eventually(&tokens, &old).await);
    service.count.taken();
    assert!(eventually(&tokens, &old).await);
    assert_eq!(service.count.taken(), 0);

    issuer.rotate();
    issuer.retire_old_keys();
    service.clock.advance(Duration::from_secs(61));
    // A new token brings the new keys in.
    assert!(eventually(&tokens, &service.token()).await);
    assert!(!eventually(&tokens, &old).await);
}

async fn eventually(tokens: &JwtAuth, token: &str) -> bool {
    use tower_auth::Authenticator as _;

    let request = http::Request::builder().header("authorization", format!("Bearer {token}"));
    let head = request.body(()).unwrap().into_parts().0;
    tokens.authenticate(&head).unwrap().await.is_ok()
}

#[test]
fn a_validator_without_a_cache_keeps_nothing() {
    let service = Service::new(Algorithm::ES256);
    let tokens = service.mint.validator(AUDIENCE).backend(service.count.clone()).build().unwrap();
    let token = format!("Bearer {}", service.token());
    (0..3).for_each(|_| assert!(ask(&tokens, &token).unwrap().is_ok()));
    assert_eq!(service.count.taken(), 3);
}
