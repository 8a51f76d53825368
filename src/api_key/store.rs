use std::{error::Error, sync::Arc, time::SystemTime};

use super::info::StoredApiKey;
use crate::later::Later;

/// The result of an operation of an [`ApiKeyStore`], now or later.
pub type ApiKeyFuture<T> = Later<Result<T, Box<dyn Error + Send + Sync>>>;

/// Keeps the hashes of API keys, for example in a database.
///
/// [`MemoryApiKeys`](super::MemoryApiKeys) keeps them in memory. Each operation is atomic. An error
/// means that the store is not available: the caller gets 503.
pub trait ApiKeyStore: Send + Sync + 'static {
    /// Returns the key with this id.
    fn find(&self, id: &str) -> ApiKeyFuture<Option<StoredApiKey>>;

    /// Adds a key, if its id does not exist and the owner has fewer than `most` keys that are
    /// [live](super::ApiKeyInfo::is_live) at its `created_at`.
    fn insert(&self, key: StoredApiKey, most: usize) -> ApiKeyFuture<Inserted>;

    /// Returns the keys of an owner in any order, also those that have ended.
    ///
    /// A store can delete ended keys, of each owner the oldest first, and must keep at least as
    /// many as the owner can have live ones. A deleted key counts as unknown.
    fn list(&self, owner: &str) -> ApiKeyFuture<Vec<StoredApiKey>>;

    /// Sets `revoked_at` of a key, unless it is set. Returns whether this call has set it. An
    /// unknown id has no effect.
    fn revoke(&self, id: &str, at: SystemTime) -> ApiKeyFuture<bool>;

    /// Sets `expires_at` of a key, if it is later. An unknown id has no effect.
    fn expire(&self, id: &str, at: SystemTime) -> ApiKeyFuture<()>;
}

/// The result of [`ApiKeyStore::insert`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// The key was added.
    Stored,
    /// There is a key with this id.
    IdExists,
    /// The owner has too many live keys.
    TooMany,
}

macro_rules! forward {
    ($pointer:ident) => {
        impl<S: ApiKeyStore + ?Sized> ApiKeyStore for $pointer<S> {
            fn find(&self, id: &str) -> ApiKeyFuture<Option<StoredApiKey>> {
                (**self).find(id)
            }

            fn insert(&self, key: StoredApiKey, most: usize) -> ApiKeyFuture<Inserted> {
                (**self).insert(key, most)
            }

            fn list(&self, owner: &str) -> ApiKeyFuture<Vec<StoredApiKey>> {
                (**self).list(owner)
            }

            fn revoke(&self, id: &str, at: SystemTime) -> ApiKeyFuture<bool> {
                (**self).revoke(id, at)
            }

            fn expire(&self, id: &str, at: SystemTime) -> ApiKeyFuture<()> {
                (**self).expire(id, at)
            }
        }
    };
}

forward!(Arc);
forward!(Box);
