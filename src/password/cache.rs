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

/// What was sent, under which stored hash, in 32 bytes that tell nothing of either.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fingerprint([u8; 32]);

/// Whoever does not know the key cannot choose any part of it.
impl Hash for Fingerprint {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0.first_chunk().map_or(0, |first| u64::from_le_bytes(*first)));
    }
}

/// Answers that were right, for a while. A wrong one is never here.
pub(crate) struct RightAnswers {
    /// When each was found.
    found: Cache<Fingerprint, SystemTime, UnitWeighter, BuildHasherDefault<PrehashedHasher>>,
    /// This process's own, so that whoever reads the table learns no password.
    key: Zeroizing<[u8; 32]>,
    keep: Duration,
    clock: Arc<dyn Clock>,
    /// How many fingerprints were made.
    #[cfg(test)]
    pub(crate) made: std::sync::atomic::AtomicUsize,
}

impl RightAnswers {
    pub(crate) fn new(
        key: [u8; 32],
        entries: usize,
        keep: Duration,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let entries = entries.max(1);
        let capacity = u64::try_from(entries).unwrap_or(u64::MAX);
        let (hasher, lifecycle) = (BuildHasherDefault::default(), Default::default());
        Self {
            found: Cache::with(entries, capacity, UnitWeighter, hasher, lifecycle),
            key: Zeroizing::new(key),
            keep,
            clock,
            #[cfg(test)]
            made: Default::default(),
        }
    }

    /// Of user-id, password and stored hash. No part can pass for another's: what is before the first has one length, and
    /// no user-id has a colon. With another hash, as after a change of the password, it is another.
    ///
    /// Hashed once, with the key before it. HMAC hashes twice, so that whoever sees a MAC cannot add to what it is of; but
    /// nobody sees these.
    pub(crate) fn fingerprint(&self, sent: &BasicCredentials, hash: &PasswordHash) -> Fingerprint {
        #[cfg(test)]
        self.made.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let mut key = *self.key;
        key.iter_mut().zip(hash.digest()).for_each(|(key, digest)| *key ^= digest);
        let digest = Sha256::new().chain_update(key).chain_update(sent.pair()).finalize();
        Fingerprint(digest.into())
    }

    pub(crate) fn has(&self, fingerprint: &Fingerprint) -> bool {
        let Some(found) = self.found.get(fingerprint) else { return false };
        if clock::is_within(found, self.keep, self.clock.now()) {
            return true;
        }
        self.found.remove(fingerprint);
        false
    }

    pub(crate) fn insert(&self, fingerprint: Fingerprint) {
        if !self.keep.is_zero() {
            self.found.insert(fingerprint, self.clock.now());
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
    fn each_part_is_in_a_fingerprint() {
        let fingerprint = |key: u8, pair: &str, hash: &str| {
            let clock = Arc::new(SystemClock);
            let right = RightAnswers::new([key; 32], 1, Duration::from_secs(1), clock);
            let sent = BasicCredentials::decode(STANDARD.encode(pair).as_bytes()).unwrap();
            let hash = PasswordHash::dangerous_parse_insecure(hash).unwrap();
            right.fingerprint(&sent, &hash)
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
