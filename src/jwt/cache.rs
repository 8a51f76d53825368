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

use crate::{clock, prehashed::PrehashedHasher, principal::Principal};

/// A cache of tokens that were verified: see [`JwtAuthBuilder::cache`](super::JwtAuthBuilder::cache).
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
/// A token that was verified once is not verified again, but looked up, for as long as
///
/// - its `exp` has not come, without leeway, and it has not been here for longer than [`ttl`](Self::ttl);
/// - the keys are those with which it was verified: a key set that changes ends all that it has verified, at once;
/// - the checks of [`check`](super::JwtAuthBuilder::check) let it through, which are asked every time.
///
/// Nothing but tokens that were admitted enters. A look-up compares the whole token.
///
/// # Security
///
/// It trades memory, and that tokens and claims stay there for as long: a dump of the process's memory shows more of
/// them. Whoever can tell a millisecond from a microsecond learns that a token was used here lately, if they have the token.
/// What an issuer withdraws without a change of its keys was good until `exp` before, and is so with it.
#[derive(Clone, Debug)]
#[must_use]
pub struct TokenCache {
    max_bytes: u64,
    ttl: Duration,
    hmac: bool,
}

impl TokenCache {
    /// What an entry takes beside the token and its claims, about, in bytes.
    const OVERHEAD: u64 = 512;

    /// Keeps so many bytes of tokens and claims, at most; the least used go first.
    pub fn new(max_bytes: u64) -> Self {
        Self { max_bytes, ttl: Duration::from_secs(300), hmac: false }
    }

    /// The longest that a token is kept, 5 min by default.
    pub fn ttl(self, ttl: Duration) -> Self {
        Self { ttl, ..self }
    }

    /// Keeps tokens under HS256, HS384 and HS512, too. By default they are not kept, since to look one up can cost as much as its
    /// HMAC.
    pub fn cache_hmac(self) -> Self {
        Self { hmac: true, ..self }
    }

    pub(crate) fn build(&self) -> VerifiedTokens {
        let Self { max_bytes, ttl, hmac } = *self;
        let items = usize::try_from(max_bytes / (2 * Self::OVERHEAD)).unwrap_or(usize::MAX);
        let tokens = Cache::with(
            items.clamp(1, 1 << 20),
            max_bytes,
            Weight,
            BuildHasherDefault::default(),
            DefaultLifecycle::default(),
        );
        VerifiedTokens { tokens, hasher: RandomState::new(), ttl, hmac }
    }
}

/// The tokens themselves.
pub(crate) struct VerifiedTokens {
    tokens: Cache<Key, Verified, Weight, BuildHasherDefault<PrehashedHasher>>,
    /// Of this process alone, so that nobody can choose tokens that are all in one place.
    hasher: RandomState,
    ttl: Duration,
    hmac: bool,
}

#[derive(Clone)]
struct Verified {
    principal: Principal,
    /// The keys that it was verified with.
    generation: u64,
    since: SystemTime,
    until: SystemTime,
}

/// A token, with a hash of its end.
struct Key {
    hash: u64,
    token: Box<[u8]>,
}

struct Sought<'a> {
    hash: u64,
    token: &'a [u8],
}

#[derive(Clone)]
struct Weight;

impl VerifiedTokens {
    /// How much of a token is hashed: the end of its signature, in which tokens differ if they do at all. A hash of it
    /// all would cost as much as all the rest.
    const HASHED_BYTES: usize = 43;

    /// Who sent this token, if it was verified with these keys and still counts.
    pub(crate) fn get(&self, token: &[u8], generation: u64, now: SystemTime) -> Option<Principal> {
        let sought = Sought { hash: self.hash(token), token };
        let found = self.tokens.get(&sought)?;
        let counts =
            found.generation == generation && clock::is_between(found.since, now, found.until);
        if counts {
            return Some(found.principal);
        }
        self.tokens.remove(&sought);
        None
    }

    /// Keeps a token that was admitted.
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
        let Some(end) = principal.expires_at() else { return };
        let until = now.checked_add(self.ttl).map_or(end, |ttl| ttl.min(end));
        if until <= now {
            return;
        }
        let key = Key { hash: self.hash(token), token: token.into() };
        let principal = principal.clone();
        self.tokens.insert(key, Verified { principal, generation, since: now, until });
    }

    fn hash(&self, token: &[u8]) -> u64 {
        let start = token.len().saturating_sub(Self::HASHED_BYTES);
        self.hasher.hash_one(token.get(start..).unwrap_or_default())
    }
}

impl Weighter<Key, Verified> for Weight {
    fn weight(&self, key: &Key, verified: &Verified) -> u64 {
        let bytes = key.token.len() + verified.principal.heap_bytes();
        u64::try_from(bytes).unwrap_or(u64::MAX).saturating_add(TokenCache::OVERHEAD)
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl Hash for Sought<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.token == other.token
    }
}

impl Eq for Key {}

impl Equivalent<Key> for Sought<'_> {
    fn equivalent(&self, key: &Key) -> bool {
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
        let found = tokens.get(token, generation, after(at))?;
        Some(found.subject().to_owned())
    }

    #[test]
    fn a_token_is_found_whole_or_not_at_all() {
        let tokens = TokenCache::new(1 << 20).build();
        let end = "s".repeat(VerifiedTokens::HASHED_BYTES);
        let (one, other) = (format!("a.b.{end}"), format!("a.c.{end}"));
        tokens.insert(one.as_bytes(), Algorithm::RS256, &caller("one", 900), 1, after(0));
        assert_eq!(subject(&tokens, one.as_bytes(), 1, 0).as_deref(), Some("one"));
        assert_eq!(subject(&tokens, other.as_bytes(), 1, 0), None);
        assert_eq!(subject(&tokens, end.as_bytes(), 1, 0), None);
        assert_eq!(subject(&tokens, b"", 1, 0), None);
        // Both, under one hash.
        tokens.insert(other.as_bytes(), Algorithm::RS256, &caller("other", 900), 1, after(0));
        assert_eq!(subject(&tokens, one.as_bytes(), 1, 0).as_deref(), Some("one"));
        assert_eq!(subject(&tokens, other.as_bytes(), 1, 0).as_deref(), Some("other"));
    }

    #[test]
    fn it_ends_with_its_keys_its_time_and_the_token() {
        let tokens = TokenCache::new(1 << 20).ttl(Duration::from_secs(100)).build();
        let insert = |end| tokens.insert(b"t", Algorithm::ES256, &caller("x", end), 7, after(10));
        insert(900);
        assert!(subject(&tokens, b"t", 7, 109).is_some());
        assert!(subject(&tokens, b"t", 7, 110).is_none());
        insert(900);
        assert!(subject(&tokens, b"t", 8, 20).is_none());
        assert!(subject(&tokens, b"t", 7, 20).is_none(), "it is gone");
        insert(60);
        assert!(subject(&tokens, b"t", 7, 59).is_some());
        assert!(subject(&tokens, b"t", 7, 60).is_none());
        insert(900);
        assert!(subject(&tokens, b"t", 7, 9).is_none(), "the clock was turned back");
        insert(10);
        assert_eq!(tokens.tokens.len(), 0);
        let forever = Principal::builder("x", Scheme::BEARER).build();
        tokens.insert(b"t", Algorithm::ES256, &forever, 7, after(10));
        assert_eq!(tokens.tokens.len(), 0);
    }

    #[test]
    fn hmac_enters_only_where_it_is_asked_for() {
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
    fn its_bytes_are_bounded() {
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
    fn many_threads_never_get_each_others_callers_nor_those_of_other_keys() {
        let tokens = Arc::new(TokenCache::new(60_000).build());
        let threads = (0..4_u64).map(|seed| {
            let tokens = Arc::clone(&tokens);
            thread::spawn(move || {
                let mut state = seed + 1;
                for _ in 0..20_000 {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let (number, generation) = ((state >> 33) % 200, (state >> 50) % 3);
                    // All end alike.
                    let token = format!("{number}.{}", "s".repeat(43));
                    let name = format!("{number} under {generation}");
                    match tokens.get(token.as_bytes(), generation, after(1)) {
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

    /// What may happen to a cache.
    #[derive(Clone, Debug)]
    enum Step {
        Keep { token: usize, end: u64 },
        Ask { token: usize },
        NewKeys,
        Turn { seconds: i64 },
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (0..TOKENS, 0..400_u64).prop_map(|(token, end)| Step::Keep { token, end }),
            5 => (0..TOKENS).prop_map(|token| Step::Ask { token }),
            1 => Just(Step::NewKeys),
            2 => (-30..90_i64).prop_map(|seconds| Step::Turn { seconds }),
        ]
    }

    const TOKENS: usize = 6;

    proptest! {
        /// Whatever is given back was kept for this very token, under these keys, and for a time that is not over. It is
        /// never asked that something is found: a cache may forget.
        #[test]
        fn nothing_comes_back_but_what_still_counts(
            steps in prop::collection::vec(step(), 0..80),
            max_bytes in 1_000..20_000_u64,
        ) {
            let ttl = 100;
            let tokens = TokenCache::new(max_bytes).ttl(Duration::from_secs(ttl)).build();
            // All have one hash.
            let name = |token| format!("{token}.{}", "s".repeat(VerifiedTokens::HASHED_BYTES));
            let (mut now, mut generation) = (100_u64, 0_u64);
            // Who was kept, with which keys, and from when until when.
            let mut kept: [Option<(String, u64, u64, u64)>; TOKENS] = Default::default();
            for (number, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Keep { token, end } => {
                        let who = format!("{number}");
                        let caller = caller(&who, end);
                        tokens.insert(
                            name(token).as_bytes(), Algorithm::RS256, &caller, generation, after(now),
                        );
                        let until = end.min(now + ttl);
                        if until > now {
                            kept[token] = Some((who, generation, now, until));
                        }
                    }
                    Step::Ask { token } => {
                        let found = subject(&tokens, name(token).as_bytes(), generation, now);
                        if let Some(found) = found {
                            let (who, keys, from, until) = kept[token].as_ref().unwrap();
                            prop_assert_eq!(&found, who);
                            prop_assert!(*keys == generation && *from <= now && now < *until);
                        }
                    }
                    Step::NewKeys => generation += 1,
                    Step::Turn { seconds } => now = now.saturating_add_signed(seconds),
                }
                prop_assert!(tokens.tokens.weight() <= max_bytes);
            }
        }
    }
}
