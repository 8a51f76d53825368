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
