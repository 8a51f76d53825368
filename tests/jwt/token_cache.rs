//! A token cache saves verifications and does not change results.

use std::{
    collections::HashSet,
    sync::{
        Arc, Barrier, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use tower_auth::{
    JwtAuth,
    jwt::{
        Algorithm, DecodingKey, Jwks, JwtAuthBuilder, KeySource, Keys, TokenCache, TokenError,
        crypto::{AwsLc, Backend, InvalidKey, InvalidSignature, Verifier},
    },
    test_util::{StubIssuer, TestClock, TokenMint},
};
use tower_auth_test_support::authenticate::{authenticate, authenticate_bearer};

const AUDIENCE: &str = "orders";

/// Verifies with aws-lc-rs and counts the verifications.
#[derive(Clone, Default)]
struct CountingBackend(Arc<AtomicUsize>);

struct CountingVerifier(Box<dyn Verifier>, Arc<AtomicUsize>);

impl Backend for CountingBackend {
    fn prepare(
        &self,
        algorithm: Algorithm,
        key: &DecodingKey,
    ) -> Result<Box<dyn Verifier>, InvalidKey> {
        let inner = AwsLc::default().prepare(algorithm, key)?;
        Ok(Box::new(CountingVerifier(inner, Arc::clone(&self.0))))
    }
}

impl Verifier for CountingVerifier {
    fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.verify(message, signature)
    }
}

impl CountingBackend {
    /// Returns the number of verifications since the last call.
    fn take_count(&self) -> usize {
        self.0.swap(0, Ordering::Relaxed)
    }
}

struct Fixture {
    clock: TestClock,
    mint: TokenMint,
    backend: CountingBackend,
}

impl Fixture {
    fn new(algorithm: Algorithm) -> Self {
        let clock = TestClock::new();
        let mint = TokenMint::new("https://issuer.example").algorithm(algorithm);
        Self { mint: mint.clock(clock.clone()), clock, backend: CountingBackend::default() }
    }

    fn builder(&self, cache: TokenCache) -> JwtAuthBuilder {
        self.mint.validator(AUDIENCE).backend(self.backend.clone()).cache(cache)
    }

    fn token(&self) -> String {
        self.mint.token("alice").audience(AUDIENCE).sign()
    }
}

fn large_cache() -> TokenCache {
    TokenCache::new(1 << 20)
}

#[test]
fn cached_token_is_verified_once() {
    for algorithm in [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA] {
        let fixture = Fixture::new(algorithm);
        let tokens = fixture.builder(large_cache()).build().unwrap();
        let token = fixture.token();
        for _ in 0..5 {
            let caller = authenticate_bearer(&tokens, &token).unwrap();
            assert_eq!(caller.subject(), "alice");
            assert!(caller.claims::<serde_json::Value>().unwrap()["exp"].is_number());
        }
        assert_eq!(fixture.backend.take_count(), 1);
        // A second token with the same claims is a separate entry.
        authenticate_bearer(&tokens, &fixture.token()).unwrap();
        assert_eq!(fixture.backend.take_count(), 1);
    }
    let fixture = Fixture::new(Algorithm::HS256);
    let token = fixture.token();
    for (cache, verified) in [(large_cache(), 3), (large_cache().cache_hmac(), 1)] {
        let tokens = fixture.builder(cache).build().unwrap();
        (0..3).for_each(|_| assert!(authenticate_bearer(&tokens, &token).is_ok()));
        assert_eq!(fixture.backend.take_count(), verified);
    }
}

#[test]
fn concurrent_requests_with_a_cached_token_share_deserialized_claims() {
    static COUNT: AtomicUsize = AtomicUsize::new(0);

    #[derive(serde::Deserialize)]
    #[serde(from = "serde_json::Value")]
    struct Counted(serde_json::Value);

    impl From<serde_json::Value> for Counted {
        fn from(claims: serde_json::Value) -> Self {
            COUNT.fetch_add(1, Ordering::Relaxed);
            Self(claims)
        }
    }

    let fixture = Fixture::new(Algorithm::ES256);
    let tokens = fixture.builder(large_cache()).build().unwrap();
    let token = fixture.token();
    let first = authenticate_bearer(&tokens, &token).unwrap().claims_as::<Counted>().unwrap();
    assert_eq!(first.0["sub"], "alice");
    let barrier = Barrier::new(64);
    thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| {
                barrier.wait();
                let caller = authenticate_bearer(&tokens, &token).unwrap();
                assert!(Arc::ptr_eq(&caller.claims_as::<Counted>().unwrap(), &first));
            });
        }
    });
    assert_eq!(COUNT.load(Ordering::Relaxed), 1);
    // Another token with the same claims has its own.
    let other = authenticate_bearer(&tokens, &fixture.token()).unwrap();
    assert!(!Arc::ptr_eq(&other.claims_as::<Counted>().unwrap(), &first));
}

#[test]
fn rejected_tokens_are_not_cached() {
    let fixture = Fixture::new(Algorithm::ES256);
    let tokens = fixture.builder(large_cache()).build().unwrap();
    let unknown_key = fixture.mint.token("alice").audience(AUDIENCE).signed_by_unknown_key().sign();
    let wrong_audience = fixture.mint.token("alice").audience("other").sign();
    for _ in 0..3 {
        assert_eq!(authenticate_bearer(&tokens, &unknown_key).unwrap_err(), TokenError::Signature);
        assert_eq!(
            authenticate_bearer(&tokens, &wrong_audience).unwrap_err(),
            TokenError::Audience
        );
        assert!(fixture.backend.take_count() >= 2);
    }
    // A cached token does not make similar tokens valid.
    let token = fixture.token();
    authenticate_bearer(&tokens, &token).unwrap();
    for similar in [format!("{token}A"), format!("A{token}"), token[..token.len() - 1].to_owned()] {
        assert!(authenticate_bearer(&tokens, &similar).is_err());
    }
    let (_, end) = token.split_at(token.len() - 43);
    assert!(authenticate_bearer(&tokens, end).is_err());
}

#[test]
fn entry_expires_with_the_token_or_the_ttl() {
    let fixture = Fixture::new(Algorithm::ES256);
    let tokens = fixture.builder(large_cache().ttl(Duration::from_secs(120))).build().unwrap();
    let token = fixture.token(); // valid for 300 s, plus 60 s of leeway
    let verify_after = |advance: u64| {
        fixture.clock.advance(Duration::from_secs(advance));
        let accepted = authenticate_bearer(&tokens, &token).is_ok();
        (accepted, fixture.backend.take_count())
    };
    assert_eq!(verify_after(0), (true, 1));
    assert_eq!(verify_after(119), (true, 0));
    assert_eq!(verify_after(1), (true, 1));
    assert_eq!(verify_after(119), (true, 0));
    assert_eq!(verify_after(1), (true, 1));
    assert_eq!(verify_after(59), (true, 0));
    // Within the leeway, the token is valid but not cached.
    assert_eq!(verify_after(1), (true, 1));
    assert_eq!(verify_after(59), (true, 1));
    assert_eq!(verify_after(1), (false, 1));
}

#[test]
fn custom_checks_run_on_cache_hits() {
    let fixture = Fixture::new(Algorithm::RS256);
    let blocked = Arc::new(Mutex::new(HashSet::new()));
    let in_check = Arc::clone(&blocked);
    let tokens = fixture.builder(large_cache()).check(move |caller| {
        let is_blocked = in_check.lock().unwrap().contains(caller.subject());
        if is_blocked { Err("blocked") } else { Ok(()) }
    });
    let tokens = tokens.build().unwrap();
    let token = fixture.token();
    assert!(
        authenticate_bearer(&tokens, &token).is_ok()
            && authenticate_bearer(&tokens, &token).is_ok()
    );
    blocked.lock().unwrap().insert("alice".to_owned());
    assert!(matches!(authenticate_bearer(&tokens, &token), Err(TokenError::Check(_))));
    blocked.lock().unwrap().clear();
    assert!(authenticate_bearer(&tokens, &token).is_ok());
    assert_eq!(fixture.backend.take_count(), 1);
}

#[tokio::test]
async fn revoked_key_rejects_cached_token() {
    let fixture = Fixture::new(Algorithm::EdDSA);
    let issuer = StubIssuer::new(&fixture.mint);
    let keys = Jwks::discover(fixture.mint.issuer()).client(issuer.clone());
    let keys = keys.refresh(Duration::from_secs(60));
    let tokens = JwtAuth::builder(keys).audience(AUDIENCE).clock(fixture.clock.clone());
    let tokens = tokens.backend(fixture.backend.clone()).cache(large_cache()).build().unwrap();

    let old = fixture.token();
    assert!(is_accepted(&tokens, &old).await);
    fixture.backend.take_count();
    assert!(is_accepted(&tokens, &old).await);
    assert_eq!(fixture.backend.take_count(), 0);

    issuer.rotate();
    issuer.retire_old_keys();
    fixture.clock.advance(Duration::from_secs(61));
    // A token with a new `kid` triggers a fetch.
    assert!(is_accepted(&tokens, &fixture.token()).await);
    assert!(!is_accepted(&tokens, &old).await);
}

#[tokio::test]
async fn changed_live_keys_reject_their_cached_tokens_and_not_those_of_fixed_keys() {
    let fixture = Fixture::new(Algorithm::EdDSA);
    // The fixed key has the algorithm and the `kid` of the first live one.
    let fixed = TokenMint::new(fixture.mint.issuer()).algorithm(Algorithm::EdDSA);
    let fixed = fixed.clock(fixture.clock.clone());
    let issuer = StubIssuer::new(&fixture.mint);
    let keys = Jwks::discover(fixture.mint.issuer()).client(issuer.clone());
    let keys = KeySource::from(keys.refresh(Duration::from_secs(60))).and(fixed.keys());
    let tokens = JwtAuth::builder(keys).audience(AUDIENCE).clock(fixture.clock.clone());
    let tokens = tokens.backend(fixture.backend.clone()).cache(large_cache()).build().unwrap();

    let of_live = fixture.token();
    let of_fixed = fixed.token("service").audience(AUDIENCE).sign();
    for token in [&of_live, &of_fixed] {
        assert!(is_accepted(&tokens, token).await);
        fixture.backend.take_count();
        for _ in 0..3 {
            assert!(is_accepted(&tokens, token).await);
        }
        assert_eq!(fixture.backend.take_count(), 0);
    }

    issuer.rotate();
    issuer.retire_old_keys();
    fixture.clock.advance(Duration::from_secs(61));
    assert!(is_accepted(&tokens, &fixture.token()).await);
    fixture.backend.take_count();
    assert!(is_accepted(&tokens, &of_fixed).await);
    assert_eq!(fixture.backend.take_count(), 0);
    assert!(!is_accepted(&tokens, &of_live).await);
}

/// Without usable live keys, only the fixed keys decide, also about cached tokens.
#[tokio::test]
async fn cached_token_of_a_live_key_is_rejected_after_max_stale() {
    let fixture = Fixture::new(Algorithm::RS256);
    let fixed = Keys::hs256(&[7; 32]);
    let issuer = StubIssuer::new(&fixture.mint);
    let keys = Jwks::discover(fixture.mint.issuer()).client(issuer.clone());
    let keys = keys.refresh(Duration::from_secs(60)).max_stale(Duration::ZERO);
    let tokens = JwtAuth::builder(KeySource::from(keys).and(fixed)).audience(AUDIENCE);
    let tokens = tokens.clock(fixture.clock.clone()).cache(large_cache()).build().unwrap();
    let token = fixture.token();
    assert!(is_accepted(&tokens, &token).await);
    issuer.outage(true);
    fixture.clock.advance(Duration::from_secs(61));
    assert!(!is_accepted(&tokens, &token).await);
}

async fn is_accepted(tokens: &JwtAuth, token: &str) -> bool {
    use tower_auth::Authenticator as _;

    let request = http::Request::builder().header("authorization", format!("Bearer {token}"));
    let head = request.body(()).unwrap().into_parts().0;
    tokens.authenticate(&head).unwrap().await.result().is_ok()
}

#[test]
fn without_cache_each_token_is_verified() {
    let fixture = Fixture::new(Algorithm::ES256);
    let tokens = fixture.mint.validator(AUDIENCE).backend(fixture.backend.clone()).build().unwrap();
    let token = format!("Bearer {}", fixture.token());
    (0..3).for_each(|_| assert!(authenticate(&tokens, &token).unwrap().is_ok()));
    assert_eq!(fixture.backend.take_count(), 3);
}
