use std::{sync::Arc, time::SystemTime};

use crate::principal::Scopes;

/// What is known about an API key, without its secret.
///
/// The principal of a request with a key has it as an extension:
///
/// ```
/// use tower_auth::{Principal, api_key::ApiKeyInfo};
///
/// fn key_of(caller: &Principal) -> Option<&str> {
///     caller.extension::<ApiKeyInfo>().map(|key| &*key.id)
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKeyInfo {
    /// The id, which is part of the key and not secret.
    pub id: Arc<str>,
    /// The subject for whom the key acts.
    pub owner: Arc<str>,
    /// What the owner calls the key.
    pub name: Arc<str>,
    /// The scopes that were granted when the key was created. A request has those that the owner
    /// still has.
    pub scopes: Scopes,
    /// When the key was created.
    pub created_at: SystemTime,
    /// When the key expires.
    pub expires_at: SystemTime,
    /// When the key was revoked, if it was.
    pub revoked_at: Option<SystemTime>,
}

/// A key as an [`ApiKeyStore`](super::ApiKeyStore) keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredApiKey {
    /// What is known about the key.
    pub info: ApiKeyInfo,
    /// SHA-256 of the whole key.
    pub digest: [u8; 32],
}

impl ApiKeyInfo {
    /// Returns whether the key can be used at this time: it is not revoked and has not expired.
    #[must_use]
    pub fn is_live(&self, now: SystemTime) -> bool {
        self.revoked_at.is_none() && now < self.expires_at
    }
}
