use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use jsonwebtoken::Algorithm;
use serde_json::json;

use super::key::SigningKey;
use crate::{
    clock::{Clock, SystemClock},
    jwt::{builder::JwtAuthBuilder, jwt_auth::JwtAuth, keys::keys::Keys},
    one_or_many::OneOrMany,
};

/// A test token issuer: generates keys and signs tokens with them. For tests only.
///
/// ```
/// use tower_auth::{JwtAuth, test_util::TokenMint};
///
/// let mint = TokenMint::new("https://issuer.example");
/// let tokens = JwtAuth::builder(mint.keys()).issuer(mint.issuer()).audience("orders").build()?;
/// let token = mint.token("alice").audience("orders").scopes(["orders:read"]).sign();
/// # let _ = (tokens, token);
/// # Ok::<(), tower_auth::ConfigError>(())
/// ```
///
/// Clones share their keys. By default, the keys are Ed25519 keys and the clock is the system
/// clock.
#[derive(Clone)]
pub struct TokenMint(Arc<MintState>);

struct MintState {
    issuer: Box<str>,
    algorithm: Algorithm,
    clock: Arc<dyn Clock>,
    keys: Mutex<KeyRing>,
}

/// All published keys. The newest one signs.
#[derive(Clone)]
struct KeyRing {
    newest: Arc<SigningKey>,
    older: Vec<Arc<SigningKey>>,
    generated: usize,
}

impl TokenMint {
    /// Creates a token issuer with a new key. Its tokens have this `iss`.
    #[must_use]
    pub fn new(issuer: impl Into<Box<str>>) -> Self {
        let algorithm = Algorithm::EdDSA;
        let keys = Mutex::new(KeyRing::new(algorithm));
        Self(Arc::new(MintState {
            issuer: issuer.into(),
            algorithm,
            clock: Arc::new(SystemClock),
            keys,
        }))
    }

    /// Sets the algorithm, and generates a new key for it. Existing clones do not change.
    ///
    /// # Panics
    ///
    /// Panics if [`AwsLc`](crate::jwt::crypto::AwsLc) does not support the algorithm.
    #[must_use]
    #[track_caller]
    pub fn algorithm(self, algorithm: Algorithm) -> Self {
        let (issuer, clock) = (self.0.issuer.clone(), Arc::clone(&self.0.clock));
        let keys = Mutex::new(KeyRing::new(algorithm));
        Self(Arc::new(MintState { issuer, algorithm, clock, keys }))
    }

    /// Sets the clock, which [`validator`](Self::validator) uses as well. Existing clones do not
    /// change.
    #[must_use]
    pub fn clock(self, clock: impl Clock) -> Self {
        let (issuer, keys) = (self.0.issuer.clone(), Mutex::new(self.ring().clone()));
        let (algorithm, clock) = (self.0.algorithm, Arc::new(clock));
        Self(Arc::new(MintState { issuer, algorithm, clock, keys }))
    }

    /// Returns the `iss` of the tokens.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.0.issuer
    }

    /// Returns the current keys for verification.
    ///
    /// [`rotate`](Self::rotate) does not change keys that were returned before. To test rotation,
    /// use `StubIssuer`.
    #[must_use]
    pub fn keys(&self) -> Keys {
        Keys::from_json(self.jwks()).unwrap_or_default() // the JSON is always valid
    }

    /// Returns the current keys as a JWK set in JSON, for a file or a custom server.
    ///
    /// For HMAC algorithms such as `HS256`, the JSON contains the secret.
    #[must_use]
    pub fn jwks(&self) -> String {
        let ring = self.ring();
        let keys = ring.older.iter().chain([&ring.newest]).map(|key| key.jwk());
        json!({ "keys": keys.collect::<Vec<_>>() }).to_string()
    }

    /// Returns a builder for a [`JwtAuth`](crate::JwtAuth) that verifies these tokens, with the
    /// current keys, the issuer, the clock and these audiences.
    ///
    /// Add the other requirements of your service:
    ///
    /// ```
    /// # use tower_auth::test_util::TokenMint;
    /// let mint = TokenMint::new("https://issuer.example");
    /// let tokens = mint.validator("orders").access_token_profile().build()?;
    /// # let _ = tokens;
    /// # Ok::<(), tower_auth::ConfigError>(())
    /// ```
    pub fn validator<K>(&self, audiences: impl OneOrMany<str, K>) -> JwtAuthBuilder {
        let clock = Arc::clone(&self.0.clock);
        let builder = JwtAuth::builder(self.keys()).issuer(self.issuer()).audience(audiences);
        builder.clock(move || clock.now())
    }

    /// Generates a new signing key. Older keys stay published.
    pub fn rotate(&self) {
        let mut ring = self.ring();
        let newest = Arc::new(SigningKey::generate(self.0.algorithm, key_id(ring.generated + 1)));
        let older = std::mem::replace(&mut ring.newest, newest);
        ring.older.push(older);
        ring.generated += 1;
    }

    /// Stops publishing all keys except the newest one.
    ///
    /// A `JwtAuth` rejects tokens of older keys once it has fetched the new key set.
    pub fn retire_old_keys(&self) {
        self.ring().older.clear();
    }

    pub(crate) fn now(&self) -> SystemTime {
        self.0.clock.now()
    }

    pub(crate) fn signing_key(&self) -> Arc<SigningKey> {
        Arc::clone(&self.ring().newest)
    }

    /// Returns another key with the `kid` of the signing key.
    pub(crate) fn wrong_key(&self) -> Arc<SigningKey> {
        let id = self.signing_key().id.clone();
        Arc::new(SigningKey::generate(self.0.algorithm, id))
    }

    fn ring(&self) -> MutexGuard<'_, KeyRing> {
        self.0.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for TokenMint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenMint")
            .field("issuer", &self.0.issuer)
            .field("key", &self.ring().newest)
            .finish_non_exhaustive()
    }
}

impl KeyRing {
    #[track_caller]
    fn new(algorithm: Algorithm) -> Self {
        let newest = Arc::new(SigningKey::generate(algorithm, key_id(1)));
        Self { newest, older: Vec::new(), generated: 1 }
    }
}

/// Returns a `kid` that is the same in each test run.
fn key_id(number: usize) -> String {
    format!("key-{number}")
}
