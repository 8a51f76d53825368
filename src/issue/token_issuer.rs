use std::{
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use super::{
    access_token::TokenForm,
    builder::TokenIssuerBuilder,
    claims::{AccessClaims, ClaimsFn, ClaimsRequest},
    error::{IssueError, Unavailable},
    family::Family,
    keys::key_ring::KeyRing,
    opaque_tokens::OpaqueTokens,
    rate_limit::RefreshRates,
};
use crate::{
    clock::Clock,
    jwt::jwt_auth::JwtAuth,
    observe::observer::Observer,
    revocation::revocations::Revocations,
    store::{
        error::{StoreError, StoreErrorKind},
        key::Purpose,
        record::{Record, RecordKey},
        sealed_store::SealedStore,
        ttl::Ttl,
    },
};

/// Issues access and refresh tokens, and accepts them.
///
/// See [the module](crate::issue) for an example. Clones share everything.
#[derive(Clone)]
pub struct TokenIssuer(pub(super) Arc<State>);

pub(super) struct State {
    pub(super) issuer: Box<str>,
    pub(super) audience: Vec<String>,
    /// Further audiences, for the tokens of services.
    pub(super) service_audiences: Vec<String>,
    /// Other issuers whose tokens are exchanged.
    pub(super) exchanged_issuers: Vec<String>,
    pub(super) client_id: String,
    pub(super) lifetimes: Lifetimes,
    /// The form of new access tokens. Both forms are accepted.
    pub(super) form: TokenForm,
    pub(super) opaque_tokens: OpaqueTokens,
    pub(super) store: SealedStore,
    pub(super) revocations: Revocations,
    pub(super) keys: KeyRing,
    pub(super) claims: Option<ClaimsFn>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) observer: Observer,
    pub(super) rates: Mutex<RefreshRates>,
    pub(super) verifier: JwtAuth,
    #[cfg(feature = "api-key")]
    pub(super) api_keys: Option<crate::api_key::ApiKeys>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Lifetimes {
    pub(crate) access: Duration,
    pub(crate) idle: Duration,
    pub(crate) absolute: Duration,
    pub(crate) grace: Duration,
}

impl TokenIssuer {
    /// Reads the signing keys if they are due.
    #[cfg(feature = "health")]
    pub(crate) fn read_keys(
        &self,
    ) -> crate::later::Later<Result<(), super::keys::keys_error::KeysError>> {
        self.0.keys.current().map(|keys| keys.map(drop))
    }

    /// Returns the store of the families.
    #[cfg(feature = "oidc-login")]
    pub(crate) fn store(&self) -> &SealedStore {
        &self.0.store
    }

    /// Creates a builder. Also call [`issuer`](TokenIssuerBuilder::issuer),
    /// [`audience`](TokenIssuerBuilder::audience) and [`store`](TokenIssuerBuilder::store).
    ///
    /// ```
    /// use tower_auth::{issue::TokenIssuer, store::SealedStore};
    ///
    /// let issuer = TokenIssuer::builder()
    ///     .issuer("https://login.example")
    ///     .audience("orders")
    ///     .store(SealedStore::memory())
    ///     .build()?;
    /// # Ok::<(), tower_auth::ConfigError>(())
    /// ```
    pub fn builder() -> TokenIssuerBuilder {
        TokenIssuerBuilder::new()
    }

    /// Returns the revocations of this issuer, for example to revoke the token of a caller.
    ///
    /// ```
    /// use tower_auth::{Principal, issue::TokenIssuer, revocation::RevokeError};
    ///
    /// async fn revoke(issuer: &TokenIssuer, caller: &Principal) -> Result<(), RevokeError> {
    ///     issuer.revocations().token(caller).await
    /// }
    /// ```
    #[must_use]
    pub fn revocations(&self) -> &Revocations {
        &self.0.revocations
    }
}

impl State {
    /// Returns the key of the record of a family.
    pub(super) fn family_key(&self, sid: &str) -> RecordKey {
        self.store.key(Purpose::Family, "family", &[self.issuer.as_bytes(), sid.as_bytes()])
    }

    /// Reads families, in one round trip.
    pub(super) async fn read_families(
        &self,
        keys: &[RecordKey],
    ) -> Result<Vec<Option<(Family, Record)>>, StoreError> {
        let found = self.store.get(keys).await?;
        found.into_iter().map(select).collect()
    }

    /// Writes the record of a family that has ended, whatever the record is now.
    ///
    /// If the store has no space for the longer record, the old one remains. The family is rejected
    /// nevertheless: it has expired, or a revocation was stored before.
    pub(super) async fn put_ended(
        &self,
        sid: &str,
        ended: &Family,
        now: u64,
    ) -> Result<(), StoreError> {
        let key = self.family_key(sid).withdrawing_access();
        let ttl = ttl_until(ended.absolute_end, now);
        match self.store.put(&key, &ended.encode(), ttl).await {
            Err(error) if error.kind() == StoreErrorKind::Full => Ok(()),
            result => result,
        }
    }

    /// Describes a login to the claims closure.
    pub(super) fn claims_request(&self, family: &Family, is_refresh: bool) -> ClaimsRequest {
        ClaimsRequest {
            subject: family.subject.clone(),
            issuer: self.issuer.to_string(),
            client_id: family.client_id.clone(),
            audience: family.audience.clone(),
            scopes: family.scopes.clone(),
            is_refresh,
            is_exchange: false,
            is_client: false,
        }
    }

    /// Returns whether tokens are issued for an audience.
    pub(super) fn has_audience(&self, audience: &str) -> bool {
        self.audience.iter().chain(&self.service_audiences).any(|known| known == audience)
    }

    /// Calls the claims closure. Returns `None` if the subject must not get tokens.
    pub(super) async fn claims_for(
        &self,
        request: impl FnOnce() -> ClaimsRequest,
    ) -> Result<Option<AccessClaims>, IssueError> {
        let Some(closure) = &self.claims else { return Ok(Some(AccessClaims::none())) };
        let claims = closure(request()).await;
        claims.map_err(|error| IssueError::Unavailable(Unavailable::new(error)))
    }
}

/// Returns how long a record is kept: until an instant and a minute.
pub(super) fn ttl_until(end: u64, now: u64) -> Ttl {
    const MARGIN: u64 = 60_000;
    Ttl::new(Duration::from_millis(end.saturating_sub(now).saturating_add(MARGIN)))
}

/// During a rotation of the store's secret, a family can have two records.
fn select(records: Vec<Record>) -> Result<Option<(Family, Record)>, StoreError> {
    let mut selected: Option<(Family, Record)> = None;
    for record in records {
        let family = Family::decode(&record.value).ok_or_else(|| {
            StoreError::new(StoreErrorKind::Unreadable)
                .with_source("the record of a login is not in a known form")
        })?;
        let is_preferred = selected.as_ref().is_none_or(|(other, _)| {
            other.is_live() && (!family.is_live() || family.generation > other.generation)
        });
        if is_preferred {
            selected = Some((family, record));
        }
    }
    Ok(selected)
}

impl fmt::Debug for TokenIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenIssuer").field("issuer", &self.0.issuer).finish_non_exhaustive()
    }
}
