use std::{
    error::Error,
    fmt,
    future::Future,
    sync::{Arc, Mutex},
    time::Duration,
};

use super::{
    access_token::TokenForm,
    claims::{AccessClaims, ClaimsFn, ClaimsRequest, claims_fn},
    issuer_metadata::check_endpoint,
    keys::{
        key_ring::{KeyRing, KeyRingConfig},
        signing_keys::SigningKeys,
    },
    opaque_tokens::OpaqueTokens,
    rate_limit::RefreshRates,
    token_issuer::{Lifetimes, State, TokenIssuer},
    verifier::{OwnTokens, verifier_builder},
};
#[cfg(feature = "api-key")]
use crate::api_key::ApiKeys;
use crate::{
    clock::{Clock, SharedClock, SystemClock},
    config_error::ConfigError,
    observe::{Observe, observer::Observer},
    one_or_many::OneOrMany,
    revocation::revocations::Revocations,
    store::sealed_store::SealedStore,
    url::{Transport, check_issuer},
};

/// Builds a [`TokenIssuer`].
///
/// Created by [`TokenIssuer::builder`]. All instances that share a store need the same settings.
///
/// ```
/// use std::time::Duration;
/// use tower_auth::{
///     ConfigError,
///     issue::{SigningKeys, TokenIssuer},
///     store::SealedStore,
/// };
///
/// fn issuer(store: SealedStore) -> Result<TokenIssuer, ConfigError> {
///     TokenIssuer::builder()
///         .issuer("https://login.example")
///         .audience(["orders", "invoices"])
///         .store(store)
///         .keys(SigningKeys::es256())
///         .access_lifetime(Duration::from_secs(5 * 60))
///         .refresh_idle(Duration::from_secs(7 * 24 * 60 * 60))
///         .build()
/// }
/// ```
#[must_use]
pub struct TokenIssuerBuilder {
    issuer: Option<String>,
    audience: Vec<String>,
    service_audiences: Vec<String>,
    exchanged_issuers: Vec<String>,
    client_id: Option<String>,
    lifetimes: Lifetimes,
    form: TokenForm,
    keys: SigningKeys,
    store: Option<SealedStore>,
    staleness: Option<Duration>,
    claims: Option<ClaimsFn>,
    clock: Arc<dyn Clock>,
    observer: Observer,
    #[cfg(feature = "api-key")]
    api_keys: Option<ApiKeys>,
}

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl TokenIssuerBuilder {
    pub(super) fn new() -> Self {
        Self {
            issuer: None,
            audience: Vec::new(),
            service_audiences: Vec::new(),
            exchanged_issuers: Vec::new(),
            client_id: None,
            lifetimes: Lifetimes {
                access: 10 * MINUTE,
                idle: 14 * DAY,
                absolute: 90 * DAY,
                grace: Duration::from_secs(20),
            },
            form: TokenForm::Jwt,
            keys: SigningKeys::eddsa(),
            store: None,
            staleness: None,
            claims: None,
            clock: Arc::new(SystemClock),
            observer: Observer::default(),
            #[cfg(feature = "api-key")]
            api_keys: None,
        }
    }

    /// Sets the `iss` of the tokens: an https URL (or http for loopback). It is required.
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    /// Sets the `aud` of the access tokens: the services that accept them. It is required. Another
    /// call adds names.
    pub fn audience<K>(mut self, audiences: impl OneOrMany<str, K>) -> Self {
        self.audience.extend(audiences.values().map(|name| name.as_ref().to_owned()));
        self
    }

    /// Adds names of services for which tokens are only issued between services: with
    /// [`exchange`](TokenIssuer::exchange) or [`issue_to_client`](TokenIssuer::issue_to_client).
    /// The tokens of a login are not valid there, so none of these can be an
    /// [`audience`](Self::audience). Another call adds names.
    ///
    /// ```
    /// use tower_auth::{issue::TokenIssuer, store::SealedStore};
    ///
    /// let issuer = TokenIssuer::builder()
    ///     .issuer("https://login.example")
    ///     .audience("orders")
    ///     .service_audiences(["invoices", "payments"])
    ///     .store(SealedStore::memory())
    ///     .build()?;
    /// # Ok::<(), tower_auth::ConfigError>(())
    /// ```
    pub fn service_audiences<K>(mut self, audiences: impl OneOrMany<str, K>) -> Self {
        let audiences = audiences.values().map(|name| name.as_ref().to_owned());
        self.service_audiences.extend(audiences);
        self
    }

    /// Also exchanges the tokens of these issuers (their `iss`). By default, only those of this
    /// issuer are exchanged. Another call adds issuers.
    ///
    /// # Security
    ///
    /// The subjects of that issuer become subjects of this one. So its operators can name any user
    /// of this issuer, and `alice` there is `alice` here. The claims closure can tell them apart,
    /// by [`ClaimsRequest::issuer`].
    ///
    /// The new token is not affected by a revocation at the other issuer: it is valid until its
    /// `exp`.
    pub fn exchange_tokens_of<K>(mut self, issuers: impl OneOrMany<str, K>) -> Self {
        let issuers = issuers.values().map(|issuer| issuer.as_ref().to_owned());
        self.exchanged_issuers.extend(issuers);
        self
    }

    /// Sets the API keys of the users, which remain valid after a logout: the result of
    /// [`logout_everywhere`](TokenIssuer::logout_everywhere) then lists them.
    #[cfg(feature = "api-key")]
    pub fn api_keys(mut self, api_keys: ApiKeys) -> Self {
        self.api_keys = Some(api_keys);
        self
    }

    /// Sets the `client_id` of clients that do not send one. The default is the first audience.
    ///
    /// It is also the actor of an [exchange](TokenIssuer::exchange) that names none.
    pub fn client_id(mut self, client_id: impl Into<String>) -> Self {
        self.client_id = Some(client_id.into());
        self
    }

    /// Sets where logins, revocations and, by default, the keys are stored. It is required.
    pub fn store(mut self, store: SealedStore) -> Self {
        self.store = Some(store);
        self
    }

    /// Sets the keys that sign access tokens. The default is [`SigningKeys::eddsa`].
    pub fn keys(mut self, keys: SigningKeys) -> Self {
        self.keys = keys;
        self
    }

    /// Issues access tokens that are random texts instead of JWTs: at logins, to clients and by
    /// exchange. Their claims are kept in the store. See [the module](crate::issue#opaque-tokens).
    ///
    /// [`verifier`](TokenIssuer::verifier) accepts both forms, whether this is called or not. So
    /// instances can have different settings during a deployment, and the JWTs from before are
    /// accepted until they expire.
    ///
    /// ```
    /// use tower_auth::{issue::TokenIssuer, store::SealedStore};
    ///
    /// let issuer = TokenIssuer::builder()
    ///     .issuer("https://login.example")
    ///     .audience("orders")
    ///     .store(SealedStore::memory())
    ///     .opaque_access_tokens()
    ///     .build()?;
    /// # Ok::<(), tower_auth::ConfigError>(())
    /// ```
    pub fn opaque_access_tokens(mut self) -> Self {
        self.form = TokenForm::Opaque;
        self
    }

    /// Sets how long an access token is valid. The default is 10 min, the maximum 1 day.
    ///
    /// A logout takes effect in services that do not share the store after this time.
    pub fn access_lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetimes.access = lifetime;
        self
    }

    /// Sets after which time without a refresh a login ends. The default is 14 days, the minimum
    /// [`access_lifetime`](Self::access_lifetime) and twice the [`grace`](Self::grace) period.
    pub fn refresh_idle(mut self, idle: Duration) -> Self {
        self.lifetimes.idle = idle;
        self
    }

    /// Sets after which time a login ends in any case. The default is 90 days, the maximum 365
    /// days. A shorter time than before also applies to logins that have already started.
    pub fn absolute_lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetimes.absolute = lifetime;
        self
    }

    /// Sets the grace period, in which a refresh token that was replaced is still accepted. The
    /// default is 20 s, the minimum 1 s and the maximum 60 s.
    ///
    /// Requests that take longer than half of it can log a user out.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.lifetimes.grace = grace;
        self
    }

    /// Adds claims to access tokens. The closure is called at each login, at each refresh, at each
    /// exchange, and for each token of a client.
    ///
    /// It returns `None` if the user must not get tokens any more: at a refresh, the login then
    /// ends. An error is an outage: the client gets 503 and stays logged in.
    ///
    /// ```
    /// use tower_auth::issue::{AccessClaims, ClaimsRequest, TokenIssuerBuilder};
    ///
    /// #[derive(serde::Serialize)]
    /// struct Roles {
    ///     roles: Vec<String>,
    /// }
    ///
    /// # struct Accounts;
    /// # impl Accounts {
    /// #     async fn roles_of(&self, _: &str) -> Result<Option<Vec<String>>, std::io::Error> {
    /// #         Ok(None)
    /// #     }
    /// # }
    /// # fn f(builder: TokenIssuerBuilder, accounts: &'static Accounts) {
    /// let builder = builder.claims(move |request: ClaimsRequest| async move {
    ///     let roles = accounts.roles_of(&request.subject).await?;
    ///     Ok::<_, std::io::Error>(roles.map(|roles| AccessClaims::new(&Roles { roles })))
    /// });
    /// # }
    /// ```
    pub fn claims<F, Q, E>(mut self, closure: F) -> Self
    where
        F: Fn(ClaimsRequest) -> Q + Send + Sync + 'static,
        Q: Future<Output = Result<Option<AccessClaims>, E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        self.claims = Some(claims_fn(closure));
        self
    }

    /// Sets how long an answer of the store about revocations is used. The default is 5 s. See
    /// [`RevocationsBuilder::staleness`](crate::revocation::RevocationsBuilder::staleness).
    pub fn staleness(mut self, staleness: Duration) -> Self {
        self.staleness = Some(staleness);
        self
    }

    /// Sets the clock. The default is the system clock. See [`clock`](crate::clock).
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Sets the observer of logins, logouts and keys. The default is the [default
    /// observer](crate::observe::set_default).
    pub fn observer(mut self, observer: impl Observe + 'static) -> Self {
        self.observer = Observer::default().with_observer(observer);
        self
    }

    /// Checks the configuration. It does not connect to the store.
    ///
    /// # Errors
    ///
    /// Returns an error if the issuer, the audience or the store is missing, if a service is named
    /// as both kinds of audience, or if a value is out of range.
    pub fn build(self) -> Result<TokenIssuer, ConfigError> {
        let missing = |text: &'static str| ConfigError::missing(text);
        let issuer = self
            .issuer
            .ok_or_else(|| missing("no issuer: call issuer with the https URL of this service"))?;
        check_endpoint("issuer", &issuer)?;
        check_issuer(Transport::Secure, &issuer)?;
        let Some(first) = self.audience.first() else {
            return Err(missing("no audience: call audience with the name of the service"));
        };
        let client_id = self.client_id.unwrap_or_else(|| first.clone());
        let mut audiences = self.audience.iter().chain(&self.service_audiences);
        if client_id.is_empty() || audiences.any(String::is_empty) {
            return Err(ConfigError::invalid("an audience and a client_id must not be empty"));
        }
        if let Some(name) = self.service_audiences.iter().find(|name| self.audience.contains(name))
        {
            return Err(ConfigError::conflict(format!(
                "{name:?} is in audience and in service_audiences, so the tokens of a login would be \
                 valid there: remove it from one of them"
            )));
        }
        if self.exchanged_issuers.iter().any(String::is_empty) {
            return Err(ConfigError::invalid(
                "exchange_tokens_of has an empty name: pass the `iss` of the other issuer",
            ));
        }
        if self.exchanged_issuers.contains(&issuer) {
            return Err(ConfigError::conflict(
                "exchange_tokens_of names this issuer, whose tokens are exchanged in any case: \
                 remove it from the call",
            ));
        }
        let store = self.store.ok_or_else(|| missing("no store: call store"))?;
        check_lifetimes(&self.lifetimes)?;
        let mut revocations = Revocations::builder(store.clone())
            .longest_token_life(self.lifetimes.absolute)
            .clock(SharedClock(Arc::clone(&self.clock)))
            .shared_observer(self.observer.clone());
        if let Some(staleness) = self.staleness {
            revocations = revocations.staleness(staleness);
        }
        let revocations = revocations.build()?;
        let keys = KeyRing::new(KeyRingConfig {
            keys: self.keys,
            store: &store,
            issuer: &issuer,
            access: self.lifetimes.access,
            absolute: self.lifetimes.absolute,
            clock: Arc::clone(&self.clock),
            observer: self.observer.clone(),
        })?;
        let opaque_tokens = OpaqueTokens::new(&store, &issuer);
        let tokens =
            OwnTokens { issuer: &issuer, audience: &self.audience, opaque: &opaque_tokens };
        let verifier =
            verifier_builder(tokens, &keys, &revocations, &self.clock, &self.observer).build()?;
        Ok(TokenIssuer(Arc::new(State {
            issuer: issuer.into(),
            audience: self.audience,
            service_audiences: self.service_audiences,
            exchanged_issuers: self.exchanged_issuers,
            client_id,
            lifetimes: self.lifetimes,
            form: self.form,
            opaque_tokens,
            store,
            revocations,
            keys,
            claims: self.claims,
            clock: self.clock,
            observer: self.observer,
            rates: Mutex::new(RefreshRates::new()),
            verifier,
            #[cfg(feature = "api-key")]
            api_keys: self.api_keys,
        })))
    }
}

fn check_lifetimes(lifetimes: &Lifetimes) -> Result<(), ConfigError> {
    let Lifetimes { access, idle, absolute, grace } = *lifetimes;
    let second = Duration::from_secs(1);
    if access < second || access > DAY {
        return Err(ConfigError::invalid("access_lifetime must be from 1 s to 1 day"));
    }
    if grace < second || grace > MINUTE {
        return Err(ConfigError::invalid("grace must be from 1 s to 60 s: the default is 20 s"));
    }
    // A refresh within twice the grace period does not renew the idle time.
    if idle < access + 2 * grace || idle > absolute {
        return Err(ConfigError::invalid(
            "refresh_idle must be at least access_lifetime and twice the grace period, and at most \
             absolute_lifetime",
        ));
    }
    if absolute > 365 * DAY {
        return Err(ConfigError::invalid("absolute_lifetime must be at most 365 days"));
    }
    Ok(())
}

impl fmt::Debug for TokenIssuerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenIssuerBuilder").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}
