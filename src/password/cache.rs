use std::{
    hash::{BuildHasherDefault, Hash, Hasher},
    sync::Arc,
    time::{Duration, SystemTime},
};

use quick_cache::{UnitWeighter, sync::Cache};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::hash::PasswordHash;
use crate::{
    basic::credentials::BasicCredentials,
    clock::{self, Clock},
    prehashed::PrehashedHasher,
};

/// A keyed digest of credentials and of the stored hash that they were checked against.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fingerprint([u8; 32]);

/// Uses the first eight bytes: the digest is keyed, so clients cannot cause collisions.
impl Hash for Fingerprint {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0.first_chunk().map_or(0, |first| u64::from_le_bytes(*first)));
    }
}

/// A cache of successful password checks. It never contains failed ones.
pub(crate) struct SuccessCache {
    /// The values are the times of the checks.
    entries: Cache<Fingerprint, SystemTime, UnitWeighter, BuildHasherDefault<PrehashedHasher>>,
    /// A random key, so that the entries reveal no passwords.
    key: Zeroizing<[u8; 32]>,
    ttl: Duration,
    clock: Arc<dyn Clock>,
    #[cfg(test)]
    pub(crate) fingerprint_count: std::sync::atomic::AtomicUsize,
}

impl SuccessCache {
    pub(crate) fn new(
        key: [u8; 32],
        capacity: usize,
        ttl: Duration,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let capacity = capacity.max(1);
        let weight = u64::try_from(capacity).unwrap_or(u64::MAX);
        let (hasher, lifecycle) = (BuildHasherDefault::default(), Default::default());
        Self {
            entries: Cache::with(capacity, weight, UnitWeighter, hasher, lifecycle),
            key: Zeroizing::new(key),
            ttl,
            clock,
            #[cfg(test)]
            fingerprint_count: Default::default(),
        }
    }

    /// Returns SHA-256 of the key combined with `hash`, the user id, a colon and the password.
    ///
    /// The input is unambiguous: the first part has a fixed length, and a user id contains no
    /// colon. If the stored hash changes, so does the fingerprint.
    pub(crate) fn fingerprint(
        &self,
        credentials: &BasicCredentials,
        hash: &PasswordHash,
    ) -> Fingerprint {
        #[cfg(test)]
        self.fingerprint_count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let mut key = *self.key;
        key.iter_mut().zip(hash.digest()).for_each(|(key, digest)| *key ^= digest);
        // A prefixed key is enough. HMAC would prevent length extension, which needs a known
        // digest, and these digests never leave the process.
        let digest = Sha256::new().chain_update(key).chain_update(credentials.pair()).finalize();
        Fingerprint(digest.into())
    }

    /// Returns whether there is an entry that has not expired.
    pub(crate) fn contains(&self, fingerprint: &Fingerprint) -> bool {
        let Some(checked_at) = self.entries.get(fingerprint) else { return false };
        if clock::is_within(checked_at, self.ttl, self.clock.now()) {
            return true;
        }
        self.entries.remove(fingerprint);
        false
    }

    /// Moves an entry to the fingerprint of a new hash.
    pub(crate) fn replace(&self, old: Fingerprint, new: Fingerprint) {
        if let Some((_, checked_at)) = self.entries.remove(&old) {
            self.entries.insert(new, checked_at);
        }
    }

    #[cfg(feature = "health")]
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    #[cfg(test)]
    pub(crate) fn clear(&self) {
        self.entries.clear();
    }

    pub(crate) fn insert(&self, fingerprint: Fingerprint) {
        if !self.ttl.is_zero() {
            self.entries.insert(fingerprint, self.clock.now());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::hash::BuildHasher as _;

    use base64::{Engine as _, engine::general_purpose::STANDARD};

    use super::*;
    use crate::clock::SystemClock;

    #[test]
    fn fingerprint_depends_on_key_user_id_password_and_hash() {
        let fingerprint = |key: u8, pair: &str, hash: &str| {
            let clock = Arc::new(SystemClock);
            let cache = SuccessCache::new([key; 32], 1, Duration::from_secs(1), clock);
            let credentials = BasicCredentials::decode(STANDARD.encode(pair).as_bytes()).unwrap();
            let hash = PasswordHash::dangerous_parse_insecure(hash).unwrap();
            cache.fingerprint(&credentials, &hash)
        };
        let all = [
            fingerprint(0, "alice:secret", "x"),
            fingerprint(0xff, "alice:secret", "x"),
            fingerprint(0xff, "alice:secret", "y"),
            fingerprint(0, "alicf:secret", "x"),
            fingerprint(0, "alice:secres", "x"),
            fingerprint(0, "alic:esecret", "x"),
            fingerprint(0, ":alice:secret", "x"),
            fingerprint(0, "alice:secret", "y"),
            fingerprint(0, "alice:secret", "xx"),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(!all.iter().skip(at + 1).any(|other| other == one), "{at}");
            let hash =
                |one: &Fingerprint| BuildHasherDefault::<PrehashedHasher>::default().hash_one(one);
            assert!(!all.iter().skip(at + 1).any(|other| hash(other) == hash(one)), "{at}");
        }
        assert!(all[0] == fingerprint(0, "alice:secret", "x"));
    }
}
