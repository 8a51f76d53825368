use std::{
    fmt,
    hash::{BuildHasher as _, BuildHasherDefault, Hash, Hasher, RandomState},
    time::{Duration, SystemTime},
};

use jsonwebtoken::{Algorithm, AlgorithmFamily};
use quick_cache::{
    Equivalent, Weighter,
    sync::{Cache, DefaultLifecycle},
};

use crate::{clock, config_error::ConfigError, prehashed::PrehashedHasher, principal::Principal};

/// Configures a cache of verified tokens, for
/// [`JwtAuthBuilder::cache`](super::JwtAuthBuilder::cache).
///
/// ```
/// # use tower_auth::{ConfigError, JwtAuth, jwt::Keys};
/// use tower_auth::jwt::TokenCache;
///
/// # fn f(keys: Keys) -> Result<JwtAuth, ConfigError> {
/// JwtAuth::builder(keys)
///     .issuer("https://issuer.example")
///     .audience("orders")
///     .cache(TokenCache::new(16 * 1024 * 1024))
///     .build()
/// # }
/// ```
///
/// A cached token is accepted without another verification, as long as all of these conditions
/// hold:
///
/// - Its `exp` has not passed. The leeway does not apply to cached tokens.
/// - It was added less than [`ttl`](Self::ttl) ago.
/// - The key set that verified it has not changed. A change invalidates all tokens of that set at
///   once. Tokens of fixed keys that are [combined](super::KeySource::and) with a live key set stay
///   cached.
/// - The [custom checks](super::JwtAuthBuilder::check) accept it. They run on every request.
///
/// Only accepted tokens are cached. A lookup compares the whole token.
///
/// # Security
///
/// Tokens and claims stay in memory longer, so a memory dump of the process contains more of them.
/// A caller who has a token can learn from the response time whether it was used recently.
///
/// The cache does not delay revocation: revocations (feature `revocation`) are checked for cached
/// tokens as well. A token that the issuer revokes on its own, without a change of its keys, is
/// accepted until `exp` with or without a cache.
#[derive(Clone, Debug)]
#[must_use]
pub struct TokenCache {
    max_bytes: u64,
    ttl: Duration,
    hmac: bool,
}

impl TokenCache {
    /// The approximate size of an entry in bytes, without the token and its claims.
    const ENTRY_OVERHEAD: u64 = 512;

    /// Creates a cache of at most `max_bytes` bytes of tokens and claims.
    ///
    /// When the cache is full, rarely used entries are evicted first. An entry counts with a
    /// reserve for the [types](crate::Principal::claims_as) into which its claims are deserialized.
    /// Attached [extensions](crate::PrincipalBuilder::extension) do not count.
    pub fn new(max_bytes: u64) -> Self {
        Self { max_bytes, ttl: Duration::from_secs(300), hmac: false }
    }

    /// Sets the maximum time that a token is cached. The default is 5 min.
    pub fn ttl(self, ttl: Duration) -> Self {
        Self { ttl, ..self }
    }

    /// Also caches tokens with HS256, HS384 and HS512.
    ///
    /// By default, these are not cached, because a lookup can cost as much as the HMAC.
    pub fn cache_hmac(self) -> Self {
        Self { hmac: true, ..self }
    }

    /// Checks the settings.
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        if self.max_bytes <= Self::ENTRY_OVERHEAD || self.ttl.is_zero() {
            return Err(ConfigError::invalid(
                "the token cache has no space for a token, or a ttl of zero: set both, or remove \
                 the call of cache",
            ));
        }
        Ok(())
    }

    pub(crate) fn build(&self) -> VerifiedTokens {
        let Self { max_bytes, ttl, hmac } = *self;
        let items = usize::try_from(max_bytes / (2 * Self::ENTRY_OVERHEAD)).unwrap_or(usize::MAX);
        let tokens = Cache::with(
            items.clamp(1, 1 << 20),
            max_bytes,
            TokenWeighter,
            BuildHasherDefault::default(),
            DefaultLifecycle::default(),
        );
        VerifiedTokens { tokens, hasher: RandomState::new(), ttl, hmac }
    }
}

/// The cache of verified tokens.
pub(crate) struct VerifiedTokens {
    tokens: Cache<CacheKey, CachedToken, TokenWeighter, BuildHasherDefault<PrehashedHasher>>,
    /// Randomly seeded, so that clients cannot construct tokens with colliding hashes.
    hasher: RandomState,
    ttl: Duration,
    hmac: bool,
}

#[derive(Clone)]
struct CachedToken {
    principal: Principal,
    /// The generation of the key set that verified the token.
    generation: u64,
    cached_at: SystemTime,
    valid_until: SystemTime,
}

/// A token and the hash of its last bytes.
struct CacheKey {
    hash: u64,
    token: Box<[u8]>,
}

/// A borrowed [`CacheKey`].
struct LookupKey<'a> {
    hash: u64,
    token: &'a [u8],
}

#[derive(Clone)]
struct TokenWeighter;

impl VerifiedTokens {
    /// The number of bytes that are hashed, from the end of the token.
    ///
    /// They are part of the signature, in which different tokens differ. Hashing the whole token
    /// would double the cost of a lookup.
    const HASHED_BYTES: usize = 43;

    /// Returns the principal of a cached token that was verified with current keys and has not
    /// expired.
    ///
    /// `is_current` is called with the generation of the key set that verified the token. Removes
    /// an entry that is expired or belongs to other keys.
    #[inline]
    pub(crate) fn get(
        &self,
        token: &[u8],
        is_current: impl FnOnce(u64) -> bool,
        now: SystemTime,
    ) -> Option<Principal> {
        let key = LookupKey { hash: self.hash(token), token };
        let cached = self.tokens.get(&key)?;
        let is_valid = is_current(cached.generation)
            && clock::is_between(cached.cached_at, now, cached.valid_until);
        if is_valid {
            return Some(cached.principal);
        }
        self.tokens.remove(&key);
        None
    }

    /// Adds a token that was accepted.
    pub(crate) fn insert(
        &self,
        token: &[u8],
        algorithm: Algorithm,
        principal: &Principal,
        generation: u64,
        now: SystemTime,
    ) {
        if !self.hmac && algorithm.family() == AlgorithmFamily::Hmac {
            return;
        }
        let Some(expires_at) = principal.expires_at() else { return };
        let valid_until =
            now.checked_add(self.ttl).map_or(expires_at, |ttl_end| ttl_end.min(expires_at));
        if valid_until <= now {
            return;
        }
        let key = CacheKey { hash: self.hash(token), token: token.into() };
        let principal = principal.clone();
        let token = CachedToken { principal, generation, cached_at: now, valid_until };
        self.tokens.insert(key, token);
    }

    /// Returns the number of tokens and their approximate size in bytes.
    #[cfg(feature = "health")]
    pub(crate) fn size(&self) -> (usize, u64) {
        (self.tokens.len(), self.tokens.weight())
    }

    fn hash(&self, token: &[u8]) -> u64 {
        let start = token.len().saturating_sub(Self::HASHED_BYTES);
        self.hasher.hash_one(token.get(start..).unwrap_or_default())
    }
}

impl Weighter<CacheKey, CachedToken> for TokenWeighter {
    fn weight(&self, key: &CacheKey, cached: &CachedToken) -> u64 {
        let bytes = key.token.len() + cached.principal.heap_bytes();
        u64::try_from(bytes).unwrap_or(u64::MAX).saturating_add(TokenCache::ENTRY_OVERHEAD)
    }
}

impl Hash for CacheKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl Hash for LookupKey<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl PartialEq for CacheKey {
    fn eq(&self, other: &Self) -> bool {
        self.token == other.token
    }
}

impl Eq for CacheKey {}

impl Equivalent<CacheKey> for LookupKey<'_> {
    fn equivalent(&self, key: &CacheKey) -> bool {
        *self.token == *key.token
    }
}

impl fmt::Debug for VerifiedTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedTokens").field("tokens", &self.tokens.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread};

    use proptest::prelude::*;

    use super::*;
    use crate::header::Scheme;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn after(seconds: u64) -> SystemTime {
        NOW + Duration::from_secs(seconds)
    }

    fn caller(name: &str, end: u64) -> Principal {
        Principal::builder(name, Scheme::BEARER).expires_at(after(end)).build()
    }

    fn subject(tokens: &VerifiedTokens, token: &[u8], generation: u64, at: u64) -> Option<String> {
        let found = tokens.get(token, |current| current == generation, after(at))?;
        Some(found.subject().to_owned())
    }

    #[test]
    fn tokens_with_equal_hashes_are_told_apart() {
        let tokens = TokenCache::new(1 << 20).build();
        let end = "s".repeat(VerifiedTokens::HASHED_BYTES);
        let (one, other) = (format!("a.b.{end}"), format!("a.c.{end}"));
        tokens.insert(one.as_bytes(), Algorithm::RS256, &caller("one", 900), 1, after(0));
        assert_eq!(subject(&tokens, one.as_bytes(), 1, 0).as_deref(), Some("one"));
        assert_eq!(subject(&tokens, other.as_bytes(), 1, 0), None);
        assert_eq!(subject(&tokens, end.as_bytes(), 1, 0), None);
        assert_eq!(subject(&tokens, b"", 1, 0), None);
        // Both tokens have the same hash.
        tokens.insert(other.as_bytes(), Algorithm::RS256, &caller("other", 900), 1, after(0));
        assert_eq!(subject(&tokens, one.as_bytes(), 1, 0).as_deref(), Some("one"));
        assert_eq!(subject(&tokens, other.as_bytes(), 1, 0).as_deref(), Some("other"));
    }

    #[test]
    fn expired_entry_or_changed_keys_reject_cached_token() {
        let tokens = TokenCache::new(1 << 20).ttl(Duration::from_secs(100)).build();
        let insert = |end| tokens.insert(b"t", Algorithm::ES256, &caller("x", end), 7, after(10));
        insert(900);
        assert!(subject(&tokens, b"t", 7, 109).is_some());
        assert!(subject(&tokens, b"t", 7, 110).is_none());
        insert(900);
        assert!(subject(&tokens, b"t", 8, 20).is_none());
        assert!(subject(&tokens, b"t", 7, 20).is_none(), "the entry was removed");
        insert(60);
        assert!(subject(&tokens, b"t", 7, 59).is_some());
        assert!(subject(&tokens, b"t", 7, 60).is_none());
        insert(900);
        assert!(subject(&tokens, b"t", 7, 9).is_none(), "the clock was set back");
        insert(10);
        assert_eq!(tokens.tokens.len(), 0);
        let forever = Principal::builder("x", Scheme::BEARER).build();
        tokens.insert(b"t", Algorithm::ES256, &forever, 7, after(10));
        assert_eq!(tokens.tokens.len(), 0);
    }

    #[test]
    fn hmac_tokens_are_cached_only_if_enabled() {
        for (cache, entries) in
            [(TokenCache::new(1 << 20), 1), (TokenCache::new(1 << 20).cache_hmac(), 4)]
        {
            let tokens = cache.build();
            for (token, algorithm) in [
                (b"1", Algorithm::HS256),
                (b"2", Algorithm::HS384),
                (b"3", Algorithm::HS512),
                (b"4", Algorithm::EdDSA),
            ] {
                tokens.insert(token, algorithm, &caller("x", 900), 1, after(0));
            }
            assert_eq!(tokens.tokens.len(), entries);
        }
    }

    #[test]
    fn cache_never_exceeds_its_maximum_size() {
        let tokens = TokenCache::new(100_000).build();
        for number in 0..5_000 {
            let token = format!("{number}.{}", "x".repeat(number % 700));
            tokens.insert(token.as_bytes(), Algorithm::RS256, &caller("x", 900), 1, after(0));
            assert!(tokens.tokens.weight() <= 100_000);
        }
        assert!(tokens.tokens.len() > 20);
        let huge = vec![b'x'; 200_000];
        tokens.insert(&huge, Algorithm::RS256, &caller("x", 900), 1, after(0));
        assert!(tokens.tokens.weight() <= 100_000);
    }

    #[test]
    fn concurrent_lookups_return_only_the_matching_caller_and_keys() {
        let tokens = Arc::new(TokenCache::new(60_000).build());
        let threads = (0..4_u64).map(|seed| {
            let tokens = Arc::clone(&tokens);
            thread::spawn(move || {
                let mut state = seed + 1;
                for _ in 0..20_000 {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let (number, generation) = ((state >> 33) % 200, (state >> 50) % 3);
                    // All tokens have the same hash.
                    let token = format!("{number}.{}", "s".repeat(43));
                    let name = format!("{number} with keys {generation}");
                    match tokens.get(token.as_bytes(), |current| current == generation, after(1)) {
                        Some(found) => assert_eq!(found.subject(), name),
                        None => tokens.insert(
                            token.as_bytes(),
                            Algorithm::RS256,
                            &caller(&name, 900),
                            generation,
                            after(1),
                        ),
                    }
                }
            })
        });
        for thread in threads.collect::<Vec<_>>() {
            thread.join().unwrap();
        }
    }

    /// An operation on a cache or its clock.
    #[derive(Clone, Debug)]
    enum Step {
        Insert { token: usize, end: u64 },
        Lookup { token: usize },
        NewKeys,
        AdvanceClock { seconds: i64 },
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (0..TOKENS, 0..400_u64).prop_map(|(token, end)| Step::Insert { token, end }),
            5 => (0..TOKENS).prop_map(|token| Step::Lookup { token }),
            1 => Just(Step::NewKeys),
            2 => (-30..90_i64).prop_map(|seconds| Step::AdvanceClock { seconds }),
        ]
    }

    const TOKENS: usize = 6;

    proptest! {
        /// A returned entry belongs to this token and these keys, and is not expired. The test
        /// does not require a hit, because a cache can evict entries at any time.
        #[test]
        fn random_steps_return_only_valid_entries(
            steps in prop::collection::vec(step(), 0..80),
            max_bytes in 1_000..20_000_u64,
        ) {
            let ttl = 100;
            let tokens = TokenCache::new(max_bytes).ttl(Duration::from_secs(ttl)).build();
            // All tokens have the same hash.
            let encode = |token| format!("{token}.{}", "s".repeat(VerifiedTokens::HASHED_BYTES));
            let (mut now, mut generation) = (100_u64, 0_u64);
            // For each token: the subject, the keys, and the time from which and until which it
            // is valid.
            let mut model: [Option<(String, u64, u64, u64)>; TOKENS] = Default::default();
            for (number, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Insert { token, end } => {
                        let name = format!("{number}");
                        let caller = caller(&name, end);
                        tokens.insert(
                            encode(token).as_bytes(), Algorithm::RS256, &caller, generation, after(now),
                        );
                        let until = end.min(now + ttl);
                        if until > now {
                            model[token] = Some((name, generation, now, until));
                        }
                    }
                    Step::Lookup { token } => {
                        let found = subject(&tokens, encode(token).as_bytes(), generation, now);
                        if let Some(found) = found {
                            let (name, keys, from, until) = model[token].as_ref().unwrap();
                            prop_assert_eq!(&found, name);
                            prop_assert!(*keys == generation && *from <= now && now < *until);
                        }
                    }
                    Step::NewKeys => generation += 1,
                    Step::AdvanceClock { seconds } => now = now.saturating_add_signed(seconds),
                }
                prop_assert!(tokens.tokens.weight() <= max_bytes);
            }
        }
    }
}
