use std::{
    fmt,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use jsonwebtoken::Algorithm;

use super::{
    backchannel::{BackchannelLogout, State},
    revocations::Revocations,
};
use crate::{
    clock::{Clock, SystemClock},
    config_error::ConfigError,
    jwt::{
        builder::JwtAuthBuilder, crypto::Backend, keys::source::KeySource,
        logout_event::LOGOUT_TOKEN_TYPE,
    },
    observe::{Observe, observer::Observer},
    one_or_many::OneOrMany,
};

/// Builds a [`BackchannelLogout`].
///
/// Created by [`BackchannelLogout::builder`].
///
/// ```
/// use std::time::Duration;
/// use tower_auth::jwt::{Algorithm, Keys};
/// use tower_auth::revocation::{BackchannelLogout, Revocations};
///
/// # fn f(keys: Keys, revocations: Revocations) -> Result<(), tower_auth::ConfigError> {
/// let logout = BackchannelLogout::builder(keys)
///     .issuer("https://issuer.example")
///     .client_id(["orders-web", "orders-app"])
///     .algorithms([Algorithm::RS256])
///     .leeway(Duration::from_secs(10))
///     .revocations(revocations)
///     .build()?;
/// # Ok(()) }
/// ```
#[must_use]
pub struct BackchannelLogoutBuilder {
    tokens: JwtAuthBuilder,
    has_issuer: bool,
    client_ids: Vec<Box<str>>,
    revocations: Option<Revocations>,
    clock: Arc<dyn Clock>,
    observer: Observer,
}

impl BackchannelLogoutBuilder {
    pub(crate) fn new(keys: KeySource) -> Self {
        let mut discovered = Vec::new();
        // `build` returns the error.
        let _ = keys.apply_discovered_issuer(&mut discovered);
        Self {
            tokens: JwtAuthBuilder::new(keys)
                .token_type_if_present([LOGOUT_TOKEN_TYPE, "JWT"])
                .subject_from(["sub", "sid"])
                .require_claim(["iat", "jti"]),
            has_issuer: !discovered.is_empty(),
            client_ids: Vec::new(),
            revocations: None,
            clock: Arc::new(SystemClock),
            observer: Observer::default(),
        }
    }

    /// Accepts logout tokens whose `iss` is exactly one of these strings. Another call adds
    /// issuers. With `Jwks::discover`, the issuer is known.
    pub fn issuer<K>(mut self, issuers: impl OneOrMany<str, K>) -> Self {
        let issuers: Vec<String> = issuers.values().map(|name| name.as_ref().to_owned()).collect();
        self.has_issuer |= !issuers.is_empty();
        self.tokens = self.tokens.issuer(issuers);
        self
    }

    /// Sets the client id that this service has at the provider, which is the `aud` of logout
    /// tokens. Another call adds client ids. It is required.
    ///
    /// It is normally not the [audience](crate::jwt::JwtAuthBuilder::audience) of access tokens,
    /// but that of ID tokens.
    pub fn client_id<K>(mut self, client_ids: impl OneOrMany<str, K>) -> Self {
        self.client_ids.extend(client_ids.values().map(|name| Box::from(name.as_ref())));
        self
    }

    /// Sets where logouts are recorded. It is required.
    ///
    /// The verifiers of access tokens must have [the same](crate::jwt::JwtAuthBuilder::revocations)
    /// revocations, or revocations that share the store.
    pub fn revocations(mut self, revocations: Revocations) -> Self {
        self.revocations = Some(revocations);
        self
    }

    /// Accepts only these signature algorithms. By default, each key determines its algorithm.
    pub fn algorithms<K>(mut self, algorithms: impl OneOrMany<Algorithm, K>) -> Self {
        self.tokens = self.tokens.algorithms(algorithms);
        self
    }

    /// Sets the tolerance for clock skew between the provider and this service. The default is
    /// 60 s, the maximum 300 s.
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.tokens = self.tokens.leeway(leeway);
        self
    }

    /// Sets the clock, for example a mock clock in tests. The default is the system clock. See
    /// [`clock`](crate::clock).
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Sets the observer of rejected logout tokens, as
    /// [`Event::Rejected`](crate::observe::Event::Rejected), and of the keys. The default is the
    /// observer of the enclosing [`AuthenticateLayer`](crate::AuthenticateLayer), or else the
    /// [default observer](crate::observe::set_default).
    ///
    /// The reason of a rejection is its [source](std::error::Error::source): a
    /// [`TokenError`](crate::jwt::TokenError) if the request contains a token. The observer of the
    /// [revocations](super::RevocationsBuilder::observer) receives the logouts.
    pub fn observer(mut self, observer: impl Observe + 'static) -> Self {
        let observer = Arc::new(observer);
        self.tokens = self.tokens.observer(Arc::clone(&observer));
        self.observer = Observer::default().with_observer(observer);
        self
    }

    /// Like [`observer`](Self::observer), for an observer that other parts use as well.
    #[cfg(feature = "oidc-login")]
    pub(crate) fn shared_observer(mut self, observer: Observer) -> Self {
        self.tokens = self.tokens.shared_observer(observer.clone());
        self.observer = observer;
        self
    }

    /// Sets the signature backend. The default is aws-lc-rs, if that feature is enabled.
    pub fn backend(mut self, backend: impl Backend) -> Self {
        self.tokens = self.tokens.backend(backend);
        self
    }

    /// Checks the configuration and prepares the keys.
    ///
    /// # Errors
    ///
    /// Returns an error
    ///
    /// - if there is no issuer, no client id or no revocations;
    /// - if the keys are not usable, or there is no signature backend;
    /// - if the leeway is above 300 s.
    pub fn build(self) -> Result<BackchannelLogout, ConfigError> {
        if !self.has_issuer {
            return Err(ConfigError::missing(
                "no issuer: call issuer with the `iss` of the logout tokens",
            ));
        }
        if self.client_ids.is_empty() {
            return Err(ConfigError::missing(
                "no client id: call client_id with the id of this service at the provider, which \
                 is the `aud` of the logout tokens",
            ));
        }
        let revocations = self.revocations.ok_or_else(|| {
            ConfigError::missing(
                "no revocations: call revocations with those of the JwtAuth that verifies the \
                 access tokens",
            )
        })?;
        let clock = Arc::clone(&self.clock);
        let tokens = self.tokens.audience(&self.client_ids).clock(move || clock.now()).build()?;
        Ok(BackchannelLogout::new(State {
            tokens,
            client_ids: self.client_ids,
            revocations,
            clock: self.clock,
            observer: self.observer,
            reported_fault: AtomicBool::new(false),
        }))
    }
}

impl fmt::Debug for BackchannelLogoutBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackchannelLogoutBuilder")
            .field("tokens", &self.tokens)
            .field("client_ids", &self.client_ids)
            .finish_non_exhaustive()
    }
}
