use std::{fmt, time::Duration};

use zeroize::Zeroizing;

use super::info::ApiKeyInfo;
use crate::one_or_many::OneOrMany;

/// What a new API key may do.
///
/// ```
/// use std::time::Duration;
/// use tower_auth::api_key::NewApiKey;
///
/// let request = NewApiKey::new("nightly export")
///     .scopes(["orders:read"])
///     .lifetime(Duration::from_secs(30 * 24 * 60 * 60));
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct NewApiKey {
    pub(super) name: String,
    pub(super) scopes: Vec<String>,
    pub(super) lifetime: Option<Duration>,
}

impl NewApiKey {
    /// Creates a request for a key without scopes. The name is what the owner calls the key.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), scopes: Vec::new(), lifetime: None }
    }

    /// Sets the scopes of the key. The caller and the owner must have them.
    pub fn scopes<K>(mut self, scopes: impl OneOrMany<str, K>) -> Self {
        self.scopes = scopes.values().map(|scope| scope.as_ref().to_owned()).collect();
        self
    }

    /// Sets how long the key is valid. The default is that of the
    /// [builder](super::ApiKeysBuilder::lifetime), which is also the maximum.
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = Some(lifetime);
        self
    }
}

/// A new API key, which can be shown only now: only its hash is stored.
pub struct CreatedApiKey {
    pub(super) key: Zeroizing<String>,
    pub(super) info: ApiKeyInfo,
}

impl CreatedApiKey {
    /// Returns the key. Show it to the owner, and do not keep it.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Returns what is known about the key.
    #[must_use]
    pub fn info(&self) -> &ApiKeyInfo {
        &self.info
    }
}

/// Does not show the key.
impl fmt::Debug for CreatedApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreatedApiKey").field("info", &self.info).finish_non_exhaustive()
    }
}
