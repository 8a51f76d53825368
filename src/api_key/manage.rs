//! The life of a key: it is created, listed, rotated and revoked.

use std::{
    error::Error,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{
    api_keys::{ApiKeys, State},
    created::{CreatedApiKey, NewApiKey},
    error::ApiKeyError,
    info::{ApiKeyInfo, StoredApiKey},
    key_text,
    store::Inserted,
    verify::digest_of,
};
use crate::{
    authorize::policies::authentication::RequireAuthentication,
    clock::saturating_add,
    header::grammar::is_scope_token,
    observe::event::Event,
    principal::{Principal, Scopes},
};

/// How recent the login of a caller must be who creates a key.
pub(super) const RECENT_LOGIN: Duration = Duration::from_secs(5 * 60);
const MAX_NAME_BYTES: usize = 128;
const MAX_SCOPES: usize = 64;
const MAX_SCOPE_BYTES: usize = 1024;

impl ApiKeys {
    /// Creates a key for a caller who has logged in within the last 5 minutes.
    ///
    /// The subject of the caller becomes the owner. The time of the login is the claim `auth_time`,
    /// as for [`RequireAuthentication`](crate::RequireAuthentication::max_age). A service that acts
    /// for the user (with the claim `act`) cannot create keys, and neither can an API key.
    ///
    /// ```
    /// use tower_auth::{
    ///     Principal, Rejection,
    ///     api_key::{ApiKeys, NewApiKey},
    /// };
    ///
    /// async fn create(caller: Principal, keys: ApiKeys) -> Result<String, Rejection> {
    ///     let request = NewApiKey::new("nightly export").scopes(["orders:read"]);
    ///     let created = keys.create(&caller, request).await?;
    ///     // The only time that the key can be shown.
    ///     Ok(created.key().to_owned())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if the login is not recent, if the caller or the owner lacks a scope, if
    /// the owner has too many keys, or if the store is unavailable.
    ///
    /// # Security
    ///
    /// Owners are identified by their subject alone. If the service accepts tokens of several
    /// issuers, create keys only for callers of the one whose subjects the
    /// [owners](super::KeyOwners) know. A closure of `map_principal` that replaces the claims must
    /// keep `act`.
    pub async fn create(
        &self,
        caller: &Principal,
        request: NewApiKey,
    ) -> Result<CreatedApiKey, ApiKeyError> {
        self.0.check_login(caller)?;
        check(caller.subject(), &request)?;
        check_scopes_of(caller, &request)?;
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
        let allowed = state.scopes_of_owner(owner, &scopes).await?;
        if let Some(missing) = scopes.iter().find(|scope| !allowed.contains(scope)) {
            return Err(ApiKeyError::InsufficientScope(missing.into()));
        }
        state.insert(owner, &request.name, scopes, lifetime, state.max_keys).await
    }

    /// Creates a key that replaces another one, which remains valid for the time of `overlap`.
    ///
    /// The new key has the name of the old one, its lifetime, and those of its scopes that the
    /// caller and the owner still have. The old key expires after `overlap`, unless it expires
    /// earlier. Until then, the owner can have one key more than
    /// [`max_keys`](super::ApiKeysBuilder::max_keys).
    ///
    /// If the store fails between the two steps, the old key is unchanged, and the new one, which
    /// was not shown, is in the list of keys.
    ///
    /// # Errors
    ///
    /// As for [`create`](Self::create). Returns an error if the key was revoked or has expired.
    pub async fn rotate(
        &self,
        caller: &Principal,
        id: &str,
        overlap: Duration,
    ) -> Result<CreatedApiKey, ApiKeyError> {
        let state = &*self.0;
        state.check_login(caller)?;
        let old = state.find_of(caller.subject(), id).await?;
        if !old.is_live(state.clock.now()) {
            return Err(ApiKeyError::Invalid("the key was revoked or has expired: create another"));
        }
        let scopes = state.scopes_of_owner(&old.owner, &old.scopes).await?;
        let scopes = scopes.iter().filter(|scope| caller.scopes().contains(scope)).collect();
        let lifetime = old.expires_at.duration_since(old.created_at).unwrap_or_default();
        let lifetime = lifetime.clamp(Duration::from_secs(1), state.lifetime);
        let most = state.max_keys.saturating_add(1);
        let created = state.insert(&old.owner, &old.name, scopes, lifetime, most).await?;
        state.store.expire(id, saturating_add(state.now(), overlap)).await?;
        Ok(created)
    }

    /// Returns the keys of an owner, also those that have ended, in the order of their creation.
    ///
    /// # Errors
    ///
    /// Returns an error if the store is unavailable.
    pub async fn list(&self, owner: &str) -> Result<Vec<ApiKeyInfo>, ApiKeyError> {
        let mut keys = self.0.keys_of(owner).await?;
        keys.sort_by(|one, two| (one.created_at, &one.id).cmp(&(two.created_at, &two.id)));
        Ok(keys)
    }

    /// Revokes a key of an owner, at once. A key that was revoked stays revoked.
    ///
    /// ```
    /// use http::StatusCode;
    /// use tower_auth::{
    ///     Principal, Rejection,
    ///     api_key::{ApiKeyError, ApiKeys},
    /// };
    ///
    /// # type Status = Result<StatusCode, Rejection>;
    /// async fn delete(caller: Principal, keys: ApiKeys, id: &str) -> Status {
    ///     match keys.revoke(caller.subject(), id).await {
    ///         Ok(()) => Ok(StatusCode::NO_CONTENT),
    ///         Err(ApiKeyError::NotFound) => Ok(StatusCode::NOT_FOUND),
    ///         Err(error) => Err(error.into()),
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if the owner has no key with this id, or if the store is unavailable.
    pub async fn revoke(&self, owner: &str, id: &str) -> Result<(), ApiKeyError> {
        let info = self.0.find_of(owner, id).await?;
        self.0.revoke(&info).await
    }

    /// Revokes all keys of an owner that exist at the time of the call.
    ///
    /// # Errors
    ///
    /// Returns an error if the store is unavailable. Then, some keys can be revoked: try again.
    pub async fn revoke_all(&self, owner: &str) -> Result<(), ApiKeyError> {
        for key in self.0.keys_of(owner).await? {
            if key.revoked_at.is_none() {
                self.0.revoke(&key).await?;
            }
        }
        Ok(())
    }
}

impl State {
    /// Returns the time in whole milliseconds, which every database can store.
    fn now(&self) -> SystemTime {
        let now = self.clock.now();
        let since_1970 = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        now.checked_sub(Duration::from_nanos((since_1970.subsec_nanos() % 1_000_000).into()))
            .unwrap_or(now)
    }

    fn check_login(&self, caller: &Principal) -> Result<(), ApiKeyError> {
        let is_user = caller.claim_json("act").is_none();
        if is_user && RequireAuthentication::is_recent(caller, RECENT_LOGIN, self.clock.now()) {
            return Ok(());
        }
        Err(ApiKeyError::LoginRequired)
    }

    /// Returns the key with this id, if it is one of the owner.
    async fn find_of(&self, owner: &str, id: &str) -> Result<ApiKeyInfo, ApiKeyError> {
        // The id comes from the request. That of a key has one form.
        if !key_text::is_id(id.as_bytes()) {
            return Err(ApiKeyError::NotFound);
        }
        let found = self.store.find(id).await?.filter(|key| &*key.info.owner == owner);
        Ok(found.ok_or(ApiKeyError::NotFound)?.info)
    }

    /// Returns the keys of exactly this owner: a database can compare texts without case.
    async fn keys_of(&self, owner: &str) -> Result<Vec<ApiKeyInfo>, ApiKeyError> {
        let keys = self.store.list(owner).await?.into_iter().map(|key| key.info);
        Ok(keys.filter(|key| &*key.owner == owner).collect())
    }

    /// Returns those of the scopes that an active owner has.
    async fn scopes_of_owner(&self, owner: &str, scopes: &Scopes) -> Result<Scopes, ApiKeyError> {
        let found = self.owners.find(owner).await?.ok_or(ApiKeyError::OwnerInactive)?;
        Ok(found.limit(scopes))
    }

    async fn insert(
        &self,
        owner: &str,
        name: &str,
        scopes: Scopes,
        lifetime: Duration,
        most: usize,
    ) -> Result<CreatedApiKey, ApiKeyError> {
        let now = self.now();
        let (key, id) = key_text::generate(&self.prefix);
        let info = ApiKeyInfo {
            id: id.into(),
            owner: owner.into(),
            name: name.into(),
            scopes,
            created_at: now,
            expires_at: saturating_add(now, lifetime),
            revoked_at: None,
        };
        let stored = StoredApiKey { info: info.clone(), digest: digest_of(key.as_bytes()) };
        match self.store.insert(stored, most).await? {
            Inserted::Stored => {}
            Inserted::TooMany => return Err(ApiKeyError::TooMany),
            Inserted::IdExists => {
                let error: Box<dyn Error + Send + Sync> =
                    "the store has a key with a new id".into();
                return Err(error.into());
            }
        }
        self.observer.observe(&Event::ApiKeyCreated { owner, id: &info.id });
        Ok(CreatedApiKey { key, info })
    }

    async fn revoke(&self, key: &ApiKeyInfo) -> Result<(), ApiKeyError> {
        if self.store.revoke(&key.id, self.now()).await? {
            self.observer.observe(&Event::ApiKeyRevoked { owner: &key.owner, id: &key.id });
        }
        Ok(())
    }
}

fn check(owner: &str, request: &NewApiKey) -> Result<(), ApiKeyError> {
    if owner.is_empty() {
        return Err(ApiKeyError::Invalid("a key needs an owner"));
    }
    if request.name.len() > MAX_NAME_BYTES || request.name.chars().any(char::is_control) {
        return Err(ApiKeyError::Invalid(
            "the name of a key must have at most 128 bytes, and no control characters",
        ));
    }
    let is_valid = |scope: &String| scope.len() <= MAX_SCOPE_BYTES && is_scope_token(scope);
    if request.scopes.len() > MAX_SCOPES || !request.scopes.iter().all(is_valid) {
        return Err(ApiKeyError::Invalid(
            "a scope is malformed or has more than 1024 bytes, or there are more than 64",
        ));
    }
    Ok(())
}

fn check_scopes_of(caller: &Principal, request: &NewApiKey) -> Result<(), ApiKeyError> {
    match request.scopes.iter().find(|scope| !caller.scopes().contains(scope)) {
        Some(missing) => Err(ApiKeyError::InsufficientScope(missing.as_str().into())),
        None => Ok(()),
    }
}
