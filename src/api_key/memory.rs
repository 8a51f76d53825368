use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use super::{
    info::StoredApiKey,
    store::{ApiKeyFuture, ApiKeyStore, Inserted},
};

/// Keeps API keys in the memory of this process, for tests and for services with few keys.
#[derive(Default)]
pub struct MemoryApiKeys(Mutex<HashMap<Box<str>, StoredApiKey>>);

impl MemoryApiKeys {
    /// Creates an empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn keys(&self) -> MutexGuard<'_, HashMap<Box<str>, StoredApiKey>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ApiKeyStore for MemoryApiKeys {
    fn find(&self, id: &str) -> ApiKeyFuture<Option<StoredApiKey>> {
        ApiKeyFuture::ready(Ok(self.keys().get(id).cloned()))
    }

    fn insert(&self, key: StoredApiKey, most: usize) -> ApiKeyFuture<Inserted> {
        let mut keys = self.keys();
        let (info, now) = (&key.info, key.info.created_at);
        let live =
            keys.values().filter(|other| other.info.owner == info.owner && other.info.is_live(now));
        let inserted = if keys.contains_key(&*info.id) {
            Inserted::IdExists
        } else if live.count() >= most {
            Inserted::TooMany
        } else {
            keys.insert(info.id.as_ref().into(), key);
            Inserted::Stored
        };
        ApiKeyFuture::ready(Ok(inserted))
    }

    fn list(&self, owner: &str) -> ApiKeyFuture<Vec<StoredApiKey>> {
        let keys = self.keys();
        let of_owner = keys.values().filter(|key| &*key.info.owner == owner);
        ApiKeyFuture::ready(Ok(of_owner.cloned().collect::<Vec<_>>()))
    }

    fn revoke(&self, id: &str, at: SystemTime) -> ApiKeyFuture<()> {
        if let Some(key) = self.keys().get_mut(id) {
            key.info.revoked_at.get_or_insert(at);
        }
        ApiKeyFuture::ready(Ok(()))
    }

    fn expire(&self, id: &str, at: SystemTime) -> ApiKeyFuture<()> {
        if let Some(key) = self.keys().get_mut(id) {
            key.info.expires_at = key.info.expires_at.min(at);
        }
        ApiKeyFuture::ready(Ok(()))
    }
}

impl fmt::Debug for MemoryApiKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryApiKeys").finish_non_exhaustive()
    }
}
