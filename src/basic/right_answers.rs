use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use hmac::{Hmac, Mac as _};
use quick_cache::sync::Cache;
use sha2::Sha256;

use super::{BasicCredentials, PasswordHash};
use crate::clock::Clock;

/// What was sent, under which stored hash, in 32 bytes that tell nothing of either.
pub(super) type Fingerprint = [u8; 32];

/// Answers that were right, for a while. A wrong one is never here.
pub(super) struct RightAnswers {
    /// When each was found.
    found: Cache<Fingerprint, SystemTime>,
    /// With a key that is this process's own, so that whoever reads the table learns no password.
    mac: Hmac<Sha256>,
    keep: Duration,
    clock: Arc<dyn Clock>,
    /// How many fingerprints were made.
    #[cfg(test)]
    pub(super) made: std::sync::atomic::AtomicUsize,
}

impl RightAnswers {
    pub(super) fn new(
        key: &[u8; 32],
        entries: usize,
        keep: Duration,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            found: Cache::new(entries.max(1)),
            mac: super::hash::hmac(key),
            keep,
            clock,
            #[cfg(test)]
            made: Default::default(),
        }
    }

    /// Of user-id, password and stored hash, each with its length, so that no part can pass for another's. With another
    /// hash, as after a change of the password, it is another.
    pub(super) fn fingerprint(&self, sent: &BasicCredentials, hash: &PasswordHash) -> Fingerprint {
        #[cfg(test)]
        self.made.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let mut mac = self.mac.clone();
        for part in [sent.user_id(), sent.password(), hash.as_str()] {
            mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            mac.update(part.as_bytes());
        }
        mac.finalize().into_bytes().into()
    }

    pub(super) fn has(&self, fingerprint: &Fingerprint) -> bool {
        let Some(found) = self.found.get(fingerprint) else { return false };
        // A clock that was turned back makes nothing last longer.
        let age = self.clock.now().duration_since(found);
        if age.is_ok_and(|age| age < self.keep) {
            return true;
        }
        self.found.remove(fingerprint);
        false
    }

    pub(super) fn insert(&self, fingerprint: Fingerprint) {
        if !self.keep.is_zero() {
            self.found.insert(fingerprint, self.clock.now());
        }
    }
}
