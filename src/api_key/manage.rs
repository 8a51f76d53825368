//! The life of a key: it is created, listed, rotated and revoked.

use std::{
    error::Error,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{
    api_keys::ApiKeys,
    created::{CreatedApiKey, NewApiKey},
    error::ApiKeyError,
    info::{ApiKeyInfo, StoredApiKey},
    key_text,
    store::Inserted,
    verify::digest_of,
};
use crate::{
    clock::saturating_add, header::grammar::is_scope_token, observe::event::Event,
    principal::Principal,
};

/// How recent the login of a caller must be who creates a key.
const RECENT_LOGIN: Duration = Duration::from_secs(5 * 60);

impl ApiKeys {
    /// Creates a key for a caller who has logged in within the last 5 minutes.
    ///
    /// The caller becomes the owner.
    ///
    /// # Errors
    ///
    /// Returns an error if the login is not recent, if the caller or the owner lacks a scope, if the
    /// owner has too many keys, or if the store is unavailable.
    pub async fn create(
        &self,
        caller: &Principal,
        request: NewApiKey,
    ) -> Result<CreatedApiKey, ApiKeyError> {
        self.check_login(caller)?;
        let missing = request.scopes.iter().find(|scope| !caller.scopes().contains(scope));
        if let Some(scope) = missing {
            return Err(ApiKeyError::InsufficientScope(scope.as_str().into()));
        }
        self.dangerous_create_for(caller.subject(), request).await
    }

    /// Creates a key for an owner, for example with a command of an operator.
    ///
    /// # Errors
    ///
    /// As for [`create`](Self::create), except for the login.
    ///
    /// # Security
    ///
    /// This does not check that the owner has logged in. A route must call
    /// [`create`](Self::create) instead.
    pub async fn dangerous_create_for(
        &self,
        owner: &str,
        request: NewApiKey,
    ) -> Result<CreatedApiKey, ApiKeyError> {
        let state = &*self.0;
        check(owner, &request)?;
        let lifetime = request.lifetime.unwrap_or(state.lifetime);
        if lifetime > state.lifetime || lifetime < Duration::from_secs(1) {
            return Err(ApiKeyError::Invalid("the lifetime is too long, or shorter than 1 s"));
        }
        let scopes = request.scopes.iter().collect();
        let found = state.owners.find(owner).await?.ok_or(ApiKeyError::OwnerInactive)?;
        if found.limit(&scopes) != scopes {
            let missing = scopes.iter().find(|scope| !found.limit(&scopes).contains(scope));
            return Err(ApiKeyError::InsufficientScope(missing.unwrap_or_default().into()));
        }
        let now = state.clock.now();
        let (key, id) = key_text::generate(&state.prefix);
        let info = ApiKeyInfo {
            id: id.into(),
            owner: owner.into(),
            name: request.name.into(),
            scopes,
            created_at: now,
            expires_at: saturating_add(now, lifetime),
            revoked_at: None,
        };
        let stored = StoredApiKey { info: info.clone(), digest: digest_of(key.as_bytes()) };
        match state.store.insert(stored, state.max_keys).await? {
            Inserted::Stored => {}
            Inserted::TooMany => return Err(ApiKeyError::TooMany),
            Inserted::IdExists => {
                return Err(
                    Box::<dyn Error + Send + Sync>::from("two keys have the same id").into()
                );
            }
        }
        state.observer.observe(&Event::ApiKeyCreated { owner, id: &info.id });
        Ok(CreatedApiKey { key, info })
    }

    /// Returns the keys of an owner, also those that have ended.
    ///
    /// # Errors
    ///
    /// Returns an error if the store is unavailable.
    pub async fn list(&self, owner: &str) -> Result<Vec<ApiKeyInfo>, ApiKeyError> {
        let keys = self.0.store.list(owner).await?;
        Ok(keys.into_iter().map(|key| key.info).collect())
    }

    /// Revokes a key of an owner, at once. A key that was revoked stays revoked.
    ///
    /// # Errors
    ///
    /// Returns an error if the owner has no key with this id, or if the store is unavailable.
    pub async fn revoke(&self, owner: &str, id: &str) -> Result<(), ApiKeyError> {
        let state = &*self.0;
        let found = state.store.find(id).await?.filter(|key| &*key.info.owner == owner);
        let info = found.ok_or(ApiKeyError::NotFound)?.info;
        state.store.revoke(id, state.clock.now()).await?;
        state.observer.observe(&Event::ApiKeyRevoked { owner, id: &info.id });
        Ok(())
    }

    fn check_login(&self, caller: &Principal) -> Result<(), ApiKeyError> {
        let now = self.0.clock.now();
        match caller.claim::<f64>("auth_time") {
            Ok(time) if is_recent(time, now) => Ok(()),
            _ => Err(ApiKeyError::LoginRequired),
        }
    }
}

fn is_recent(auth_time: f64, now: SystemTime) -> bool {
    const LEEWAY: f64 = 60.0;
    let Ok(now) = now.duration_since(UNIX_EPOCH) else { return false };
    let age = now.as_secs_f64() - auth_time;
    age >= -LEEWAY && age.floor() <= RECENT_LOGIN.as_secs_f64()
}

fn check(owner: &str, request: &NewApiKey) -> Result<(), ApiKeyError> {
    if owner.is_empty() {
        return Err(ApiKeyError::Invalid("a key needs an owner"));
    }
    if request.name.len() > 128 || request.name.chars().any(char::is_control) {
        return Err(ApiKeyError::Invalid(
            "the name of a key must have at most 128 bytes, and no control characters",
        ));
    }
    if request.scopes.len() > 64 || !request.scopes.iter().all(|scope| is_scope_token(scope)) {
        return Err(ApiKeyError::Invalid("a scope is malformed, or there are more than 64"));
    }
    Ok(())
}
