use std::{fmt, sync::Arc, time::Duration};

use super::{
    builder::SessionsBuilder, known::KnownSessions, owner::SessionOwner, refresh::RefreshClosure,
    session_id::SessionHandle,
};
use crate::{
    clock::Clock,
    credentials::{cross_site::CrossSite, location::TokenLocation, set_cookie::SetCookie},
    header::Challenge,
    observe::observer::Observer,
    revocation::Revocations,
    store::{key::Purpose, record::RecordKey, sealed_store::SealedStore},
};

/// Authenticates the requests of browsers with a session.
///
/// Clones share everything.
#[derive(Clone)]
pub struct Sessions(pub(super) Arc<State>);

pub(super) struct State {
    pub(super) store: SealedStore,
    pub(super) revocations: Revocations,
    pub(super) cookie: SetCookie,
    pub(super) cookie_name: Box<str>,
    pub(super) location: TokenLocation,
    pub(super) challenge: Challenge,
    pub(super) cross_site: CrossSite,
    pub(super) idle: Duration,
    pub(super) absolute: Duration,
    /// The interval in which the last use of a session is written, in milliseconds.
    pub(super) slide_interval: u64,
    pub(super) refresh: Option<RefreshClosure>,
    pub(super) refresh_interval: Duration,
    pub(super) refresh_timeout: Duration,
    pub(super) staleness: Duration,
    pub(super) known: KnownSessions,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) observer: Observer,
}

impl Sessions {
    /// Returns the size of the cache.
    #[cfg(feature = "health")]
    pub(crate) fn cache_health(&self) -> crate::health::component::ComponentHealth {
        let known = &self.0.known;
        let state = crate::health::component::ComponentHealth::new(None);
        state.with("cached_sessions", known.len()).with("cached_bytes", known.weight())
    }

    /// Creates a builder. The sessions are kept in this store.
    ///
    /// ```
    /// use tower_auth::{session::Sessions, store::SealedStore};
    ///
    /// let sessions = Sessions::builder(SealedStore::memory()).build()?;
    /// # Ok::<(), tower_auth::ConfigError>(())
    /// ```
    pub fn builder(store: SealedStore) -> SessionsBuilder {
        SessionsBuilder::new(store)
    }

    /// Returns the revocations that apply to the sessions.
    #[must_use]
    pub fn revocations(&self) -> &Revocations {
        &self.0.revocations
    }

    /// Returns the rule for requests that another site may have caused.
    #[cfg(feature = "oidc-login")]
    pub(crate) fn cross_site(&self) -> &CrossSite {
        &self.0.cross_site
    }

    /// Returns the store of the sessions.
    #[cfg(feature = "oidc-login")]
    pub(crate) fn store(&self) -> &SealedStore {
        &self.0.store
    }
}

impl State {
    /// Returns the key of a session. Sessions with another name of the cookie have other keys: an
    /// application for administrators must not accept the sessions of customers.
    pub(super) fn key(&self, handle: &SessionHandle) -> RecordKey {
        let parts = [self.cookie_name.as_bytes(), handle.as_bytes()];
        self.store.key(Purpose::Session, "session", &parts)
    }

    /// Returns the key of the list of a user.
    pub(super) fn index_key(&self, owner: SessionOwner<'_>) -> RecordKey {
        let issuer = owner.issuer.unwrap_or_default();
        let parts = [self.cookie_name.as_bytes(), issuer.as_bytes(), owner.subject.as_bytes()];
        self.store.key(Purpose::Session, "owner", &parts)
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("cookie", &self.0.cookie_name).finish_non_exhaustive()
    }
}
