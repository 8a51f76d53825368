//! What this process remembers about the tokens of recent requests.

use std::{
    hash::RandomState,
    time::{Duration, SystemTime},
};

use quick_cache::{
    UnitWeighter, Weighter,
    sync::{Cache, DefaultLifecycle},
};

use super::token_digest::TokenDigest;
use crate::{jwt::error::TokenError, principal::Principal};

/// The approximate size of an entry in bytes, without the claims.
const ENTRY_OVERHEAD: u64 = 512;

/// How many tokens the tables without claims have. When one is full, rarely used ones are evicted.
///
/// Clients can add inactive tokens, but only the authorization server makes tokens active.
const MAX_INACTIVE: usize = 65_536;
const MAX_KNOWN: usize = 65_536;

/// For how long a token that was active is known.
const KNOWN_FOR: Duration = Duration::from_secs(3600);

/// The callers of active tokens.
pub(super) struct ActiveTokens {
    tokens: Cache<TokenDigest, ActiveToken, ActiveWeighter, RandomState>,
    lifetime: Duration,
}

/// The tokens that were rejected a short time ago.
pub(super) struct InactiveTokens {
    tokens: Option<Table<(TokenError, Duration)>>,
    lifetime: Duration,
}

/// The tokens that were active some time ago.
pub(super) struct KnownTokens(Table<Duration>);

type Table<V> = Cache<TokenDigest, V, UnitWeighter, RandomState>;

#[derive(Clone)]
struct ActiveToken {
    principal: Principal,
    /// When the endpoint was asked, on the clock of [`Clock::elapsed`].
    ///
    /// [`Clock::elapsed`]: crate::clock::Clock::elapsed
    asked_at: Duration,
}

#[derive(Clone)]
struct ActiveWeighter;

impl Weighter<TokenDigest, ActiveToken> for ActiveWeighter {
    fn weight(&self, _: &TokenDigest, cached: &ActiveToken) -> u64 {
        let bytes = u64::try_from(cached.principal.heap_bytes()).unwrap_or(u64::MAX);
        bytes.saturating_add(ENTRY_OVERHEAD)
    }
}

/// Returns whether an instant is less than `age` ago. One in the future dates from before a mock
/// clock was set back.
fn is_recent(instant: Duration, age: Duration, now: Duration) -> bool {
    now.checked_sub(instant).is_some_and(|elapsed| elapsed < age)
}

fn new_table<V: Clone>(capacity: usize) -> Table<V> {
    let weight = u64::try_from(capacity).unwrap_or(u64::MAX);
    Cache::with(capacity, weight, UnitWeighter, RandomState::new(), Default::default())
}

impl ActiveTokens {
    /// Creates a table of at most `max_bytes` bytes, whose entries are used for `lifetime`.
    ///
    /// Returns `None` if nothing is cached.
    pub(super) fn new(max_bytes: u64, lifetime: Duration) -> Option<Self> {
        if max_bytes == 0 || lifetime.is_zero() {
            return None;
        }
        let items = usize::try_from(max_bytes / (2 * ENTRY_OVERHEAD)).unwrap_or(usize::MAX);
        let items = items.clamp(1, 1 << 20);
        let (hasher, lifecycle) = (RandomState::new(), DefaultLifecycle::default());
        let tokens = Cache::with(items, max_bytes, ActiveWeighter, hasher, lifecycle);
        Some(Self { tokens, lifetime })
    }

    /// Returns the caller of a token, until its expiry and the end of the entry.
    #[inline]
    pub(super) fn get(
        &self,
        token: &TokenDigest,
        elapsed: Duration,
        now: impl FnOnce() -> SystemTime,
    ) -> Option<Principal> {
        let cached = self.tokens.get(token)?;
        let is_live = || cached.principal.expires_at().is_none_or(|end| now() < end);
        if is_recent(cached.asked_at, self.lifetime, elapsed) && is_live() {
            return Some(cached.principal);
        }
        self.tokens.remove(token);
        None
    }

    pub(super) fn insert(&self, token: TokenDigest, principal: Principal, asked_at: Duration) {
        self.tokens.insert(token, ActiveToken { principal, asked_at });
    }

    pub(super) fn remove(&self, token: &TokenDigest) {
        self.tokens.remove(token);
    }

    /// Returns the number of tokens and their approximate size in bytes.
    #[cfg(any(test, feature = "health"))]
    pub(super) fn size(&self) -> (usize, u64) {
        (self.tokens.len(), self.tokens.weight())
    }
}

impl InactiveTokens {
    pub(super) fn new(lifetime: Duration) -> Self {
        Self { tokens: (!lifetime.is_zero()).then(|| new_table(MAX_INACTIVE)), lifetime }
    }

    /// Returns why a token was rejected.
    pub(super) fn get(&self, token: &TokenDigest, elapsed: Duration) -> Option<TokenError> {
        let (reason, asked_at) = self.tokens.as_ref()?.get(token)?;
        is_recent(asked_at, self.lifetime, elapsed).then_some(reason)
    }

    pub(super) fn insert(&self, token: TokenDigest, reason: TokenError, asked_at: Duration) {
        if let Some(tokens) = &self.tokens {
            tokens.insert(token, (reason, asked_at));
        }
    }
}

impl KnownTokens {
    pub(super) fn new() -> Self {
        Self(new_table(MAX_KNOWN))
    }

    pub(super) fn contains(&self, token: &TokenDigest, elapsed: Duration) -> bool {
        self.0.get(token).is_some_and(|seen_at| is_recent(seen_at, KNOWN_FOR, elapsed))
    }

    pub(super) fn insert(&self, token: TokenDigest, elapsed: Duration) {
        self.0.insert(token, elapsed);
    }

    pub(super) fn remove(&self, token: &TokenDigest) {
        self.0.remove(token);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::Scheme;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn after(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn digest(number: u32) -> TokenDigest {
        let mut bytes = [0; 32];
        // Equal at the start: only the end differs.
        bytes[28..].copy_from_slice(&number.to_be_bytes());
        TokenDigest::from_bytes(bytes)
    }

    fn caller(name: &str, end: Option<u64>) -> Principal {
        let builder = Principal::builder(name, Scheme::BEARER);
        match end {
            Some(end) => builder.expires_at(NOW + after(end)).build(),
            None => builder.build(),
        }
    }

    fn subject(tokens: &ActiveTokens, token: u32, elapsed: u64, now: u64) -> Option<String> {
        let found = tokens.get(&digest(token), after(elapsed), || NOW + after(now))?;
        Some(found.subject().to_owned())
    }

    #[test]
    fn entry_ends_after_its_lifetime_and_at_the_expiry_of_the_token() {
        let tokens = || ActiveTokens::new(1 << 20, after(30)).unwrap();
        for (end, asked_at, elapsed, now, is_live) in [
            (None, 100, 129, 5000, true),
            (None, 100, 130, 5000, false),
            (Some(10), 100, 100, 9, true),
            (Some(10), 100, 100, 10, false),
            (Some(10), 100, 100, 11, false),
            // A clock that was set back never makes an entry last longer.
            (None, 100, 99, 0, false),
        ] {
            let tokens = tokens();
            tokens.insert(digest(1), caller("a", end), after(asked_at));
            let found = subject(&tokens, 1, elapsed, now);
            assert_eq!(found.is_some(), is_live, "{end:?} {asked_at} {elapsed} {now}");
            // What has ended does not come back.
            assert_eq!(subject(&tokens, 1, asked_at, 0).is_some(), is_live);
        }
    }

    #[test]
    fn tokens_with_the_same_start_of_their_digests_are_different() {
        let tokens = ActiveTokens::new(1 << 20, after(30)).unwrap();
        tokens.insert(digest(1), caller("a", None), after(0));
        tokens.insert(digest(2), caller("b", None), after(0));
        assert_eq!(subject(&tokens, 1, 1, 0).as_deref(), Some("a"));
        assert_eq!(subject(&tokens, 2, 1, 0).as_deref(), Some("b"));
        assert_eq!(subject(&tokens, 3, 1, 0), None);
    }

    #[test]
    fn cache_is_off_without_bytes_or_lifetime() {
        assert!(ActiveTokens::new(0, after(30)).is_none());
        assert!(ActiveTokens::new(1 << 20, Duration::ZERO).is_none());
        let inactive = InactiveTokens::new(Duration::ZERO);
        inactive.insert(digest(1), TokenError::Inactive, after(0));
        assert_eq!(inactive.get(&digest(1), after(0)), None);
    }

    #[test]
    fn rejected_token_is_remembered_for_its_lifetime() {
        let inactive = InactiveTokens::new(after(5));
        inactive.insert(digest(1), TokenError::Audience, after(100));
        assert_eq!(inactive.get(&digest(1), after(104)), Some(TokenError::Audience));
        for elapsed in [99, 105] {
            assert_eq!(inactive.get(&digest(1), after(elapsed)), None, "{elapsed}");
        }
        assert_eq!(inactive.get(&digest(2), after(100)), None);
    }

    #[test]
    fn token_is_known_for_an_hour() {
        let known = KnownTokens::new();
        known.insert(digest(1), after(100));
        assert!(known.contains(&digest(1), after(3699)));
        assert!(!known.contains(&digest(1), after(3700)));
        assert!(!known.contains(&digest(2), after(100)));
        known.remove(&digest(1));
        assert!(!known.contains(&digest(1), after(100)));
    }

    #[test]
    fn tables_are_bounded() {
        let active = ActiveTokens::new(1 << 20, after(30)).unwrap();
        let (inactive, known) = (InactiveTokens::new(after(5)), KnownTokens::new());
        let large = caller(&"x".repeat(2000), None);
        for number in 0..200_000 {
            active.insert(digest(number), large.clone(), after(0));
            inactive.insert(digest(number), TokenError::Inactive, after(0));
            known.insert(digest(number), after(0));
        }
        let (tokens, bytes) = active.size();
        assert!(bytes <= 1 << 20 && tokens <= (1 << 20) / 2512, "{tokens} tokens, {bytes} bytes");
        assert!(tokens > 100, "{tokens}");
        let inactive = inactive.tokens.unwrap();
        assert!(inactive.len() <= MAX_INACTIVE && inactive.len() > MAX_INACTIVE / 2);
        assert!(known.0.len() <= MAX_KNOWN && known.0.len() > MAX_KNOWN / 2);
    }
}
