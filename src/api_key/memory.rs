use std::{
    collections::{HashMap, hash_map::Entry},
    fmt,
    hash::{BuildHasher as _, RandomState},
    sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::SystemTime,
};

use super::{
    info::StoredApiKey,
    store::{ApiKeyFuture, ApiKeyStore, Inserted},
};

/// Keeps API keys in the memory of this process, for tests and for services with few keys.
///
/// Of each owner, it keeps as many ended keys as the owner can have live ones. When a further key
/// is added, the oldest ended keys are removed, and count as unknown from then on.
pub struct MemoryApiKeys {
    hasher: RandomState,
    /// By id. There are several tables, so that one that grows does not stall all requests.
    keys: Box<[Table]>,
    /// The ids of each owner, in the order in which they were added. This lock is taken before
    /// those of the keys.
    owners: Box<[Mutex<Owners>]>,
}

type Table = RwLock<HashMap<Arc<str>, StoredApiKey>>;
type Owners = HashMap<Arc<str>, Vec<Arc<str>>>;

impl MemoryApiKeys {
    const TABLES: usize = 64;

    /// Creates an empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the table that has a key. Ids are random, so any function of them is a good hash.
    fn table_of(&self, id: &str) -> Option<&Table> {
        let sum =
            id.bytes().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        self.keys.get(sum % Self::TABLES)
    }

    fn read(&self, id: &str) -> Option<RwLockReadGuard<'_, HashMap<Arc<str>, StoredApiKey>>> {
        Some(self.table_of(id)?.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write(&self, id: &str) -> Option<RwLockWriteGuard<'_, HashMap<Arc<str>, StoredApiKey>>> {
        Some(self.table_of(id)?.write().unwrap_or_else(PoisonError::into_inner))
    }

    fn find_now(&self, id: &str) -> Option<StoredApiKey> {
        self.read(id)?.get(id).cloned()
    }

    /// Passes the ids of an owner to a closure, which runs alone for this owner.
    fn with_ids<T: Default>(&self, owner: &str, f: impl FnOnce(&mut Owners) -> T) -> T {
        // The lower bits also select the slot in a table.
        let number = usize::try_from(self.hasher.hash_one(owner) >> 32).unwrap_or_default();
        let Some(owners) = self.owners.get(number % Self::TABLES) else { return T::default() };
        f(&mut owners.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn insert_now(&self, key: StoredApiKey, most: usize) -> Inserted {
        let (id, owner) = (Arc::clone(&key.info.id), Arc::clone(&key.info.owner));
        let now = key.info.created_at;
        let is_live = |id: &Arc<str>| {
            self.read(id).is_some_and(|keys| keys.get(id).is_some_and(|key| key.info.is_live(now)))
        };
        let inserted = self.with_ids(&owner, |owners| {
            let ids = owners.entry(Arc::clone(&owner)).or_default();
            let live = ids.iter().filter(|id| is_live(id)).count();
            if live >= most {
                return Some(Inserted::TooMany);
            }
            match self.write(&id)?.entry(Arc::clone(&id)) {
                Entry::Occupied(_) => return Some(Inserted::IdExists),
                Entry::Vacant(entry) => entry.insert(key),
            };
            let mut surplus = (ids.len() - live).saturating_sub(most);
            ids.retain(|id| {
                let is_surplus = surplus > 0 && !is_live(id);
                if is_surplus {
                    surplus -= 1;
                    self.write(id).and_then(|mut keys| keys.remove(id));
                }
                !is_surplus
            });
            ids.push(id);
            Some(Inserted::Stored)
        });
        inserted.unwrap_or(Inserted::TooMany)
    }
}

impl Default for MemoryApiKeys {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            keys: (0..Self::TABLES).map(|_| RwLock::default()).collect(),
            owners: (0..Self::TABLES).map(|_| Mutex::default()).collect(),
        }
    }
}

impl ApiKeyStore for MemoryApiKeys {
    fn find(&self, id: &str) -> ApiKeyFuture<Option<StoredApiKey>> {
        ApiKeyFuture::ready(Ok(self.find_now(id)))
    }

    fn insert(&self, key: StoredApiKey, most: usize) -> ApiKeyFuture<Inserted> {
        ApiKeyFuture::ready(Ok(self.insert_now(key, most)))
    }

    fn list(&self, owner: &str) -> ApiKeyFuture<Vec<StoredApiKey>> {
        let keys: Vec<_> = self.with_ids(owner, |owners| {
            let ids = owners.get(owner).into_iter().flatten();
            ids.filter_map(|id| self.find_now(id)).collect()
        });
        ApiKeyFuture::ready(Ok(keys))
    }

    fn revoke(&self, id: &str, at: SystemTime) -> ApiKeyFuture<bool> {
        let mut keys = self.write(id);
        let key = keys.as_mut().and_then(|keys| keys.get_mut(id));
        let revoked_at = key.map(|key| &mut key.info.revoked_at).filter(|at| at.is_none());
        ApiKeyFuture::ready(Ok(revoked_at.map(|revoked_at| *revoked_at = Some(at)).is_some()))
    }

    fn expire(&self, id: &str, at: SystemTime) -> ApiKeyFuture<()> {
        if let Some(key) = self.write(id).as_mut().and_then(|keys| keys.get_mut(id)) {
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

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::{api_key::ApiKeyInfo, principal::Scopes, test_util::check_api_key_store};

    #[tokio::test(flavor = "multi_thread")]
    async fn memory_store_passes_the_checks_of_stores() {
        check_api_key_store(MemoryApiKeys::new()).await;
        let boxed: Box<dyn ApiKeyStore> = Box::new(Arc::new(MemoryApiKeys::new()));
        check_api_key_store(boxed).await;
    }

    #[test]
    fn oldest_ended_keys_of_an_owner_are_removed() {
        let store = MemoryApiKeys::new();
        for number in 0..20 {
            let at = UNIX_EPOCH + Duration::from_secs(number);
            let id: Arc<str> = number.to_string().into();
            let info = ApiKeyInfo {
                id: Arc::clone(&id),
                owner: "alice".into(),
                name: "".into(),
                scopes: Scopes::default(),
                created_at: at,
                expires_at: at + Duration::from_secs(100),
                revoked_at: None,
            };
            let inserted = store.insert_now(StoredApiKey { info, digest: [0; 32] }, 3);
            assert_eq!(inserted, Inserted::Stored);
            if number != 1 {
                assert!(store.revoke(&id, at).into_ready().unwrap().unwrap());
            }
        }
        let keys = store.list("alice").into_ready().unwrap().unwrap();
        let ids: Vec<_> = keys.iter().map(|key| &*key.info.id).collect();
        assert_eq!(ids, ["1", "16", "17", "18", "19"]);
        assert_eq!(store.keys.iter().map(|table| table.read().unwrap().len()).sum::<usize>(), 5);
    }
}
