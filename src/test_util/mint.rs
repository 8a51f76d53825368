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
};

/// Signs tokens in the name of an issuer, with keys that it makes: for tests alone.
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
/// Clones share their keys. They are Ed25519 keys, and its clock is the system's, unless you say otherwise.
#[derive(Clone)]
pub struct TokenMint(Arc<Inner>);

struct Inner {
    issuer: Box<str>,
    algorithm: Algorithm,
    clock: Arc<dyn Clock>,
    keys: Mutex<Ring>,
}

/// The newest key is the last one, and signs.
#[derive(Clone)]
struct Ring {
    newest: Arc<SigningKey>,
    older: Vec<Arc<SigningKey>>,
    made: usize,
}

impl TokenMint {
    /// A mint with a new key, whose tokens have this `iss`.
    #[must_use]
    pub fn new(issuer: impl Into<Box<str>>) -> Self {
        let algorithm = Algorithm::EdDSA;
        let keys = Mutex::new(Ring::new(algorithm));
        Self(Arc::new(Inner {
            issuer: issuer.into(),
            algorithm,
            clock: Arc::new(SystemClock),
            keys,
        }))
    }

    /// Signs with this algorithm, and with a new key for it. Earlier clones keep theirs.
    ///
    /// # Panics
    ///
    /// If the algorithm is none that [`AwsLc`](crate::jwt::crypto::AwsLc) verifies.
    #[must_use]
    pub fn algorithm(self, algorithm: Algorithm) -> Self {
        let (issuer, clock) = (self.0.issuer.clone(), Arc::clone(&self.0.clock));
        let keys = Mutex::new(Ring::new(algorithm));
        Self(Arc::new(Inner { issuer, algorithm, clock, keys }))
    }

    /// Reads the time from here, as does its [`validator`](Self::validator). Earlier clones keep theirs.
    #[must_use]
    pub fn clock(self, clock: impl Clock) -> Self {
        let (issuer, keys) = (self.0.issuer.clone(), Mutex::new(self.ring().clone()));
        let (algorithm, clock) = (self.0.algorithm, Arc::new(clock));
        Self(Arc::new(Inner { issuer, algorithm, clock, keys }))
    }

    /// The `iss` of its tokens.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.0.issuer
    }

    /// The keys that its tokens verify with, as they are now. [`rotate`](Self::rotate) does not change what was
    /// given out; `StubIssuer` shows later keys, too.
    #[must_use]
    pub fn keys(&self) -> Keys {
        Keys::from_json(self.jwks()).unwrap_or_default() // it is one
    }

    /// The same as a JWK set in JSON, for a file or a server of yours. With `HS256` and its like, the secret is in it.
    #[must_use]
    pub fn jwks(&self) -> String {
        let ring = self.ring();
        let keys = ring.older.iter().chain([&ring.newest]).map(|key| key.jwk());
        json!({ "keys": keys.collect::<Vec<_>>() }).to_string()
    }

    /// A validator of its tokens for this audience, with its keys, issuer and clock. What else your service asks of
    /// a token is yours to add.
    ///
    /// ```
    /// # use tower_auth::test_util::TokenMint;
    /// let mint = TokenMint::new("https://issuer.example");
    /// let tokens = mint.validator("orders").access_token_profile().build()?;
    /// # let _ = tokens;
    /// # Ok::<(), tower_auth::ConfigError>(())
    /// ```
    pub fn validator(&self, audience: impl Into<Box<str>>) -> JwtAuthBuilder {
        let clock = Arc::clone(&self.0.clock);
        let builder = JwtAuth::builder(self.keys()).issuer(self.issuer()).audience(audience);
        builder.clock(move || clock.now())
    }

    /// Signs with a new key from now on. The older ones stay published.
    pub fn rotate(&self) {
        let mut ring = self.ring();
        let newest = Arc::new(SigningKey::generate(self.0.algorithm, name(ring.made + 1)));
        let older = std::mem::replace(&mut ring.newest, newest);
        ring.older.push(older);
        ring.made += 1;
    }

    /// Publishes the newest key alone. Tokens that were signed with an older one are good no longer, as soon as
    /// validators know.
    pub fn retire_old_keys(&self) {
        self.ring().older.clear();
    }

    pub(crate) fn now(&self) -> SystemTime {
        self.0.clock.now()
    }

    /// The key that signs, or one that pretends to be it.
    pub(crate) fn key(&self, strange: bool) -> Arc<SigningKey> {
        let key = Arc::clone(&self.ring().newest);
        if strange {
            return Arc::new(SigningKey::generate(self.0.algorithm, key.id.clone()));
        }
        key
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
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

impl Ring {
    fn new(algorithm: Algorithm) -> Self {
        let newest = Arc::new(SigningKey::generate(algorithm, name(1)));
        Self { newest, older: Vec::new(), made: 1 }
    }
}

/// The `kid`s, the same in each run.
fn name(number: usize) -> String {
    format!("key-{number}")
}
