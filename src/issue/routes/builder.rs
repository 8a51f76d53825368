use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    mem,
    sync::{Arc, atomic::AtomicBool},
};

use super::{
    attempt::LoginAttempt,
    clients::{ClientPasswords, Clients},
    login::CheckedLogin,
    second_factor::{SecondFactor, SecondFactorFn, second_factor_fn},
    token_routes::{RoutesState, TokenRoutes},
};
#[cfg(feature = "api-key")]
use crate::api_key::ApiKeys;
use crate::{
    basic::{basic_auth::BasicAuth, login::LoginVerifier, verifier::PasswordVerifier},
    bearer::verifier::TokenVerifier,
    config_error::ConfigError,
    credentials::cross_site::CrossSite,
    issue::token_issuer::TokenIssuer,
    jwt::jwt_auth::JwtAuth,
    observe::{Observe, observer::Observer},
    one_or_many::OneOrMany,
    transport::forwarded::Forwarded,
};

/// Builds [`TokenRoutes`].
///
/// Created by [`TokenRoutes::builder`] and [`TokenRoutes::without_passwords`].
///
/// ```
/// use tower_auth::{
///     BasicAuth, ConfigError,
///     basic::Users,
///     issue::{TokenIssuer, TokenRoutes},
///     transport::Forwarded,
/// };
///
/// fn routes(issuer: TokenIssuer, staff: BasicAuth<Users>) -> Result<TokenRoutes, ConfigError> {
///     TokenRoutes::builder(issuer, staff)
///         .cookie()
///         .forwarded(Forwarded::from_proxies("10.0.0.0/8")?)
///         .trusted_origin("https://console.app.example")
///         .hosts("app.example")
///         .build()
/// }
/// ```
#[must_use]
pub struct TokenRoutesBuilder {
    issuer: TokenIssuer,
    passwords: Option<Arc<dyn LoginVerifier<CheckedLogin>>>,
    has_cookie: bool,
    cross_site: CrossSite,
    second_factor: Option<SecondFactorFn>,
    client_passwords: Option<Arc<dyn ClientPasswords>>,
    #[cfg(feature = "api-key")]
    client_keys: Option<ApiKeys>,
    subject_tokens: Option<Arc<dyn TokenVerifier>>,
    resource_servers: BTreeMap<String, Vec<String>>,
    observer: Observer,
}

impl TokenRoutesBuilder {
    pub(super) fn new(
        issuer: TokenIssuer,
        passwords: Option<Arc<dyn LoginVerifier<CheckedLogin>>>,
    ) -> Self {
        Self {
            observer: issuer.0.observer.clone(),
            issuer,
            passwords,
            has_cookie: false,
            cross_site: CrossSite::default(),
            second_factor: None,
            client_passwords: None,
            #[cfg(feature = "api-key")]
            client_keys: None,
            subject_tokens: None,
            resource_servers: BTreeMap::new(),
        }
    }

    /// Keeps the refresh token of a browser in a cookie, which scripts cannot read.
    ///
    /// The cookie is `__Host-refresh`, with `HttpOnly`, `Secure` and `SameSite=Strict`. Responses
    /// then have no `refresh_token`. All routes reject requests that another site may have caused
    /// (403), also the login: otherwise, another site could log a user in to an account of the
    /// attacker (login CSRF).
    pub fn cookie(mut self) -> Self {
        self.has_cookie = true;
        self
    }

    /// Sets how the address of the client, the scheme and the host of a request are determined. The
    /// default is [`Forwarded::direct`]. Behind a proxy, set [`Forwarded::from_proxies`].
    ///
    /// The address is in events and in [`LoginAttempt`]. The scheme and the host are compared with
    /// `Origin`, for browsers that do not send `Sec-Fetch-Site`. The
    /// [`Throttle`](crate::throttle::Throttle) has its own setting.
    pub fn forwarded(mut self, forwarded: Forwarded) -> Self {
        self.cross_site.set_forwarded(forwarded);
        self
    }

    /// Accepts requests that pages of another origin cause, such as `https://admin.example`.
    ///
    /// It is compared byte for byte with `Origin`, so write it as browsers do: in lower case,
    /// without the default port and without a path. Another call adds origins. The origin must have
    /// the same registrable domain: with `SameSite=Strict`, browsers send the cookie only within
    /// one site.
    ///
    /// # Security
    ///
    /// Pages of this origin can do what the user can do, so trust only your own. An attacker in the
    /// network can change the pages of an `http` origin, so trust these only on loopback.
    pub fn trusted_origin<K>(mut self, origins: impl OneOrMany<str, K>) -> Self {
        self.cross_site.trust_origins(origins);
        self
    }

    /// Accepts only requests for these hosts. By default, any host is accepted. Another call adds
    /// hosts.
    ///
    /// `app.example` stands for every port, and `app.example:8443` for this one. A request for
    /// another host is rejected with 403.
    ///
    /// # Security
    ///
    /// This protects against DNS rebinding: the name of an attacker's page changes to the address
    /// of this service, so that the page appears to have the origin of the service.
    pub fn hosts<K>(mut self, hosts: impl OneOrMany<str, K>) -> Self {
        self.cross_site.accept_hosts(hosts);
        self
    }

    /// Checks a second factor after the password, or asks for one.
    ///
    /// ```
    /// use tower_auth::{
    ///     BasicAuth, ConfigError,
    ///     basic::PasswordVerifier,
    ///     issue::{AuthenticationInfo, LoginAttempt, SecondFactor, TokenIssuer, TokenRoutes},
    /// };
    ///
    /// # struct Codes;
    /// # impl Codes {
    /// #     async fn check(&self, user: &str, code: &str) -> Result<bool, std::io::Error> {
    /// Ok(true) }
    /// # }
    /// # static CODES: Codes = Codes;
    /// async fn check_code(attempt: LoginAttempt) -> SecondFactor {
    ///     let Some(code) = attempt.get("otp") else { return SecondFactor::required("otp") };
    ///     match CODES.check(attempt.user().subject(), code).await {
    ///         Ok(true) => SecondFactor::Accepted(
    ///             AuthenticationInfo::new().amr(["pwd", "otp"]).acr("urn:example:two-factor"),
    ///         ),
    ///         Ok(false) => SecondFactor::Rejected,
    ///         Err(error) => SecondFactor::unavailable(error),
    ///     }
    /// }
    ///
    /// fn routes<V: PasswordVerifier>(
    ///     issuer: TokenIssuer,
    ///     staff: BasicAuth<V>,
    /// ) -> Result<TokenRoutes, ConfigError> {
    ///     TokenRoutes::builder(issuer, staff).second_factor(check_code).build()
    /// }
    /// ```
    ///
    /// # Security
    ///
    /// - The closure must accept each code once, and compare it in constant time.
    /// - Wrong codes are limited only if the [`BasicAuth`](crate::BasicAuth) has a
    ///   [`Throttle`](crate::throttle::Throttle). It limits each address, and does not lock users
    ///   out. An attacker who knows a password and has many addresses could guess a short code, so
    ///   the closure must also limit the wrong codes of each user.
    pub fn second_factor<F, Q>(mut self, check: F) -> Self
    where
        F: Fn(LoginAttempt) -> Q + Send + Sync + 'static,
        Q: Future<Output = SecondFactor> + Send + 'static,
    {
        self.second_factor = Some(second_factor_fn(check));
        self
    }

    /// Sets the clients with a password (`client_secret`), for [`token`](TokenRoutes::token),
    /// [`exchange`](TokenRoutes::exchange) and [`introspect`](TokenRoutes::introspect). Failures
    /// are limited by the [`Throttle`](crate::throttle::Throttle) of the `BasicAuth`.
    ///
    /// The scopes of a client are those that its own tokens can have.
    ///
    /// ```
    /// use tower_auth::{
    ///     BasicAuth, ConfigError,
    ///     basic::{PasswordVerifier, Users},
    ///     issue::{TokenIssuer, TokenRoutes},
    /// };
    ///
    /// fn routes<V: PasswordVerifier>(
    ///     issuer: TokenIssuer,
    ///     staff: BasicAuth<V>,
    ///     services: Users,
    /// ) -> Result<TokenRoutes, ConfigError> {
    ///     let services = BasicAuth::new("services", services)?;
    ///     TokenRoutes::builder(issuer, staff).client_passwords(services).build()
    /// }
    /// ```
    ///
    /// # Security
    ///
    /// A client must not have the name of a user: its own tokens have its name as `sub`. Only the
    /// service that accepts the tokens of an audience may be a client with the name of this
    /// audience.
    pub fn client_passwords<V: PasswordVerifier>(mut self, clients: BasicAuth<V>) -> Self {
        self.client_passwords = Some(Arc::new(clients));
        self
    }

    /// Sets the API keys of clients, for [`token`](TokenRoutes::token),
    /// [`exchange`](TokenRoutes::exchange) and [`introspect`](TokenRoutes::introspect). The client
    /// is the owner of the key, with the scopes of the key.
    ///
    /// A key is sent in `X-API-Key`, as `Authorization: Bearer`, or as the `client_secret` of the
    /// owner.
    ///
    /// # Security
    ///
    /// A key yields tokens with its owner as `sub`, without a login. If users have keys, the
    /// [claims closure](super::super::TokenIssuerBuilder::claims) must return `None` for what a key
    /// must not do: [`is_client`](super::super::ClaimsRequest::is_client) and
    /// [`is_exchange`](super::super::ClaimsRequest::is_exchange) tell it. Such tokens have no
    /// `auth_time`.
    #[cfg(feature = "api-key")]
    pub fn client_keys(mut self, keys: ApiKeys) -> Self {
        self.client_keys = Some(keys);
        self
    }

    /// Sets the verifier of the tokens that clients exchange, for example of
    /// [`Issuers`](crate::jwt::Issuers). The default accepts the tokens of this issuer, with each
    /// of its audiences.
    ///
    /// The issuer must also exchange tokens of the others: see
    /// [`exchange_tokens_of`](crate::issue::TokenIssuerBuilder::exchange_tokens_of).
    ///
    /// # Security
    ///
    /// The verifier must check the revocation of tokens of other issuers. It must not add claims.
    pub fn subject_tokens(mut self, verifier: impl TokenVerifier + 'static) -> Self {
        self.subject_tokens = Some(Arc::new(verifier));
        self
    }

    /// Names the audiences whose tokens a client may ask about, at
    /// [`introspect`](TokenRoutes::introspect). By default, a client may ask about the tokens whose
    /// `aud` contains its id. Another call adds audiences.
    ///
    /// ```
    /// use tower_auth::{
    ///     BasicAuth, ConfigError,
    ///     basic::Users,
    ///     issue::{TokenIssuer, TokenRoutes},
    /// };
    ///
    /// fn routes(
    ///     issuer: TokenIssuer,
    ///     services: BasicAuth<Users>,
    /// ) -> Result<TokenRoutes, ConfigError> {
    ///     TokenRoutes::without_passwords(issuer)
    ///         .client_passwords(services)
    ///         .resource_server("gateway", ["orders", "invoices"])
    ///         .build()
    /// }
    /// ```
    pub fn resource_server<K>(
        mut self,
        client: impl Into<String>,
        audiences: impl OneOrMany<str, K>,
    ) -> Self {
        let served = self.resource_servers.entry(client.into()).or_default();
        served.extend(audiences.values().map(|name| name.as_ref().to_owned()));
        self
    }

    /// Sets the observer of rejected requests. The default is that of the
    /// [`TokenIssuer`](super::super::TokenIssuerBuilder::observer), which receives the logins,
    /// refreshes and logouts.
    pub fn observer(mut self, observer: impl Observe + 'static) -> Self {
        self.observer = Observer::default().with_observer(observer);
        self
    }

    /// Returns the clients, if there are any.
    fn clients(&mut self, own_tokens: &JwtAuth) -> Result<Option<Clients>, ConfigError> {
        let has_clients = self.client_passwords.is_some();
        #[cfg(feature = "api-key")]
        let has_clients = has_clients || self.client_keys.is_some();
        let given = self.subject_tokens.take();
        let resource_servers = mem::take(&mut self.resource_servers);
        let knows = |audience: &String| self.issuer.0.has_audience(audience);
        if !resource_servers.values().flatten().all(knows) {
            return Err(ConfigError::invalid(
                "resource_server names an audience that the issuer does not have: call audience or \
                 service_audiences of the TokenIssuer",
            ));
        }
        if resource_servers.contains_key("") {
            return Err(ConfigError::missing(
                "resource_server names a client that is an empty string: name the client, or \
                 remove the call",
            ));
        }
        if resource_servers.values().any(Vec::is_empty) {
            return Err(ConfigError::missing(
                "resource_server names no audience, so that client could not ask about any token: \
                 name its audiences, or remove the call",
            ));
        }
        if !has_clients && !resource_servers.is_empty() {
            return Err(ConfigError::conflict(
                "resource_server has no effect without clients: call client_passwords or \
                 client_keys, or remove it",
            ));
        }
        if !has_clients {
            return match given {
                None => Ok(None),
                Some(_) => Err(ConfigError::conflict(
                    "subject_tokens has no effect without clients: call client_passwords or \
                     client_keys, or remove it",
                )),
            };
        }
        let subject_tokens = given.unwrap_or_else(|| Arc::new(own_tokens.clone()));
        Ok(Some(Clients {
            passwords: self.client_passwords.take(),
            #[cfg(feature = "api-key")]
            keys: self.client_keys.take(),
            subject_tokens,
            resource_servers,
        }))
    }

    /// Checks the configuration.
    ///
    /// # Errors
    ///
    /// Returns an error if a trusted origin or a host is malformed, if there is one without
    /// [`cookie`](Self::cookie), if there are [`subject_tokens`](Self::subject_tokens) or a
    /// [`resource_server`](Self::resource_server) without clients, if a resource server has no name
    /// or an audience that the issuer does not have, or if there is a
    /// [`second_factor`](Self::second_factor) without passwords.
    pub fn build(mut self) -> Result<TokenRoutes, ConfigError> {
        self.cross_site.validate()?;
        if self.passwords.is_none() && self.second_factor.is_some() {
            return Err(ConfigError::conflict(
                "second_factor has no effect without passwords: remove it, or call \
                 TokenRoutes::builder",
            ));
        }
        if !self.has_cookie && self.cross_site.has_rules() {
            return Err(ConfigError::conflict(
                "trusted_origin and hosts have no effect without a cookie: call cookie, or remove \
                 them",
            ));
        }
        let cookie = match self.has_cookie {
            true => Some(self.issuer.refresh_cookie()?),
            false => None,
        };
        let own_tokens = self.issuer.service_verifier()?;
        let clients = self.clients(&own_tokens)?;
        Ok(TokenRoutes::new(RoutesState {
            #[cfg(feature = "axum")]
            metadata: self.issuer.metadata().with_clients(clients.is_some()).build()?,
            clients,
            own_tokens,
            issuer: self.issuer,
            passwords: self.passwords,
            cookie,
            cross_site: self.cross_site,
            second_factor: self.second_factor,
            observer: self.observer,
            reported_fault: AtomicBool::new(false),
        }))
    }
}

impl fmt::Debug for TokenRoutesBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenRoutesBuilder")
            .field("issuer", &self.issuer)
            .field("cookie", &self.has_cookie)
            .finish_non_exhaustive()
    }
}
