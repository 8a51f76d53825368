use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;

use super::{builder::MemoryBuilder, stored::Stored, table::Table};
use crate::{
    clock::Clock,
    observe::observer::Observer,
    store::{
        key::{Purpose, StoreKey},
        store::{Store, StoreFuture},
        ttl::Ttl,
    },
};

/// Keeps records in the memory of this process.
///
/// All records end with the process, so a revoked token is accepted again after a restart. Clones
/// share the records.
///
/// ```
/// use tower_auth::store::{Memory, Purpose};
///
/// let memory = Memory::builder().max_bytes(Purpose::Revocation, 256 << 20).build()?;
/// # Ok::<(), tower_auth::ConfigError>(())
/// ```
///
/// # Limits
///
/// The space of each [`Purpose`] is limited ([`max_bytes`](MemoryBuilder::max_bytes)). Expired
/// records are removed little by little, and all of them when space is needed. No record is evicted
/// while it is valid. If 80 % of the space of a purpose is used, the event
/// [`StoreNearlyFull`](crate::observe::Event::StoreNearlyFull) is reported. If there is no space:
///
/// - *Revocation*: coarser records replace others. All tokens of a subject that were issued until
///   now are rejected, or all tokens of an issuer. The record of a session is replaced, too, so
///   tokens that the issuer still issues for that session are accepted.
/// - *Replay*: the request gets 503.
/// - *Throttle*: attempts are counted without the store.
///
/// # Security
///
/// A caller who can log in and out without limit can fill the space for revocations. First, all
/// tokens of that caller are revoked together. With many accounts, all callers of their issuer have
/// to log in again. Choose the limit so that the event leaves you time to react.
#[derive(Clone)]
pub struct Memory(Arc<State>);

pub(super) struct State {
    pub(super) clock: Box<dyn Clock>,
    pub(super) observer: Observer,
    pub(super) revocation: Table,
    pub(super) replay: Table,
    pub(super) throttle: Table,
    pub(super) family: Table,
    pub(super) keys: Table,
    pub(super) session: Table,
    pub(super) webhook: Table,
    pub(super) dpop_proof: Table,
    pub(super) access_token: Table,
}

impl Memory {
    /// Creates an empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build_with_valid_limits()
    }

    /// Creates an empty store with a clock, for example a mock clock in tests.
    #[must_use]
    pub fn with_clock(clock: impl Clock) -> Self {
        Self::builder().clock(clock).build_with_valid_limits()
    }

    /// Creates a builder, to set limits and an observer.
    pub fn builder() -> MemoryBuilder {
        MemoryBuilder::new()
    }

    pub(super) fn of(state: State) -> Self {
        Self(Arc::new(state))
    }

    fn table(&self, key: &StoreKey) -> &Table {
        match key.purpose() {
            Purpose::Revocation => &self.0.revocation,
            Purpose::Replay => &self.0.replay,
            Purpose::Throttle => &self.0.throttle,
            Purpose::Family => &self.0.family,
            Purpose::Keys => &self.0.keys,
            Purpose::Session => &self.0.session,
            Purpose::Webhook => &self.0.webhook,
            Purpose::DpopProof => &self.0.dpop_proof,
            Purpose::AccessToken => &self.0.access_token,
        }
    }

    /// Returns how many bytes the records of a purpose take.
    #[cfg(test)]
    pub(super) fn used(&self, purpose: Purpose) -> usize {
        self.table(&StoreKey::new(purpose, [0; 32])).used()
    }

    /// The monotonic time in nanoseconds.
    fn elapsed(&self) -> u64 {
        nanos(self.0.clock.elapsed())
    }

    fn set(
        &self,
        key: &StoreKey,
        value: &[u8],
        ttl: Ttl,
        is_expected: impl Fn(Option<&Stored>) -> bool,
    ) -> StoreFuture<bool> {
        let now = self.elapsed();
        let expires_at = expiry(now, ttl);
        let table = self.table(key);
        let result = table.set(key, value, expires_at, now, is_expected);
        table.report(key, now, &self.0.observer);
        StoreFuture::ready(result)
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn expiry(now: u64, ttl: Ttl) -> u64 {
    now.saturating_add(nanos(ttl.as_duration()))
}

impl Store for Memory {
    fn get(&self, keys: &[StoreKey]) -> StoreFuture<Vec<Option<Bytes>>> {
        let now = self.elapsed();
        let found = keys.iter().map(|key| self.table(key).get(key, now)).collect();
        StoreFuture::ready(Ok(found))
    }

    fn put(&self, key: &StoreKey, value: Bytes, ttl: Ttl) -> StoreFuture<()> {
        self.set(key, &value, ttl, |_| true).map(|result| result.map(|_| ()))
    }

    fn insert(&self, key: &StoreKey, value: Bytes, ttl: Ttl) -> StoreFuture<bool> {
        self.set(key, &value, ttl, |current| current.is_none())
    }

    fn replace(&self, key: &StoreKey, current: Bytes, value: Bytes, ttl: Ttl) -> StoreFuture<bool> {
        self.set(key, &value, ttl, |found| found.is_some_and(|found| found.has_value(&current)))
    }

    fn add(&self, keys: &[StoreKey], delta: i64, ttl: Ttl) -> StoreFuture<Vec<i64>> {
        let now = self.elapsed();
        let expires_at = expiry(now, ttl);
        let mut counts = Vec::with_capacity(keys.len());
        for key in keys {
            let table = self.table(key);
            let result = table.add(key, delta, expires_at, now);
            table.report(key, now, &self.0.observer);
            match result {
                Ok(count) => counts.push(count),
                Err(error) => {
                    // A write that fails has no effect, also not on the keys before.
                    for key in keys.iter().take(counts.len()) {
                        let _ = self.table(key).add(key, delta.wrapping_neg(), expires_at, now);
                    }
                    return StoreFuture::ready(Err(error));
                }
            }
        }
        StoreFuture::ready(Ok(counts))
    }

    fn take(&self, key: &StoreKey) -> StoreFuture<Option<Bytes>> {
        StoreFuture::ready(Ok(self.table(key).take(key, self.elapsed())))
    }

    fn now(&self) -> StoreFuture<SystemTime> {
        StoreFuture::ready(Ok(self.0.clock.now().max(UNIX_EPOCH)))
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").finish_non_exhaustive()
    }
}
