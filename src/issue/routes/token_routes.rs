use std::{
    fmt,
    sync::{Arc, atomic::AtomicBool},
};

use http::request::Parts;

use super::{
    builder::TokenRoutesBuilder,
    clients::Clients,
    login::CheckedLogin,
    second_factor::SecondFactorFn,
    token_route::{Endpoint, TokenRoute},
};
#[cfg(feature = "axum")]
use crate::issue::issuer_metadata::IssuerMetadata;
use crate::{
    basic::{basic_auth::BasicAuth, login::LoginVerifier, verifier::PasswordVerifier},
    credentials::{cross_site::CrossSite, set_cookie::SetCookie},
    issue::{issuer_metadata::IssuerMetadataBuilder, token_issuer::TokenIssuer},
    jwt::jwt_auth::JwtAuth,
    observe::{observer::Observer, request_summary::RequestSummary},
};

/// The HTTP endpoints of a [`TokenIssuer`]: login, refresh, logout and revocation, and those for
/// services: token exchange, tokens of clients and introspection.
///
/// Each endpoint is a Tower service, for axum, hyper or any other framework. `into_router` (feature
/// `axum`) puts all of them into a router:
///
/// ```
/// # #[cfg(feature = "axum")] {
/// use axum::{Router, routing::get};
/// use tower_auth::{
///     AuthenticateLayer, BasicAuth, ConfigError, Principal,
///     basic::Users,
///     issue::{TokenIssuer, TokenRoutes},
///     throttle::Throttle,
///     transport::Forwarded,
/// };
///
/// fn app(issuer: TokenIssuer, users: Users) -> Result<Router, ConfigError> {
///     let throttle = Throttle::new(Forwarded::direct());
///     let staff = BasicAuth::new("staff", users)?.throttle(throttle)?;
///     let tokens = issuer.verifier();
///     let routes = TokenRoutes::builder(issuer, staff).build()?;
///     Ok(Router::new()
///         .route("/me", get(async |caller: Principal| caller.subject().to_owned()))
///         .layer(AuthenticateLayer::new(tokens))
///         // Outside the authentication layer: a user without tokens must be able to log in.
///         .merge(routes.into_router()))
/// }
/// # }
/// ```
///
/// With a refresh token in a cookie, and at other paths:
///
/// ```
/// use axum::Router;
/// use tower_auth::{
///     BasicAuth, ConfigError,
///     basic::PasswordVerifier,
///     issue::{TokenIssuer, TokenRoutes},
///     transport::Forwarded,
/// };
///
/// fn app<V: PasswordVerifier>(
///     issuer: TokenIssuer,
///     staff: BasicAuth<V>,
/// ) -> Result<Router, ConfigError> {
///     let routes = TokenRoutes::builder(issuer, staff)
///         .cookie()
///         .forwarded(Forwarded::from_proxies("10.0.0.0/8")?)
///         .build()?;
///     Ok(Router::new()
///         .route_service("/session/new", routes.login())
///         .route_service("/session/renew", routes.refresh())
///         .route_service("/session/end", routes.logout()))
/// }
/// ```
///
/// # Requests
///
/// The method is `POST`. The parameters are in the body, of up to 8 KiB (24 KiB for
/// [`token`](Self::token), [`exchange`](Self::exchange) and [`introspect`](Self::introspect)), as
/// a form (`application/x-www-form-urlencoded`) or as a JSON object (`application/json`) with
/// strings. A parameter without a value counts as omitted, and unknown parameters are ignored (RFC
/// 6749 §3.2).
///
/// - [`login`](Self::login): `username` and `password`; optional are `client_id`, `scope`, and
///   those of the [second factor](TokenRoutesBuilder::second_factor). 200 with tokens.
/// - [`refresh`](Self::refresh): `refresh_token` or the cookie; optional are `client_id`, `scope`
///   and `grant_type` (`refresh_token`). 200 with tokens.
/// - [`token`](Self::token): `grant_type`, which selects one of:
///   - `refresh_token`: as for [`refresh`](Self::refresh). A client that authenticates itself can
///     only use its own refresh tokens.
///   - `client_credentials`: optional are `scope`, by default all scopes of the client, and
///     `audience`. 200 with an access token for the client itself (RFC 6749 §4.4).
///   - `urn:ietf:params:oauth:grant-type:token-exchange`: as for [`exchange`](Self::exchange).
/// - [`exchange`](Self::exchange): `subject_token`, the access token of the user;
///   `subject_token_type`, `urn:ietf:params:oauth:token-type:access_token` or `..:jwt`; and one
///   `audience`. Optional are `scope`, by default all scopes of the token, `requested_token_type`
///   (one of the same types; `..:jwt` yields a JWT also if the other tokens are
///   [opaque](crate::issue#opaque-tokens)) and `grant_type`. The client is the actor, so
///   `actor_token` is rejected. 200 with an access token and `issued_token_type` (RFC 8693 §2.2.1).
/// - [`logout`](Self::logout): `refresh_token` or the cookie. 204, also for a login that has ended
///   and for a text that is no token.
/// - [`logout_everywhere`](Self::logout_everywhere): none; the access token is in `Authorization`.
///   It must be from a login, and not exchanged or issued to a client. 204, or, if the issuer knows
///   the API keys of the users, 200 with those that remain valid:
///   `{"api_keys":[{"id":"..","name":"..","expires_at":1700000000}]}`.
/// - [`revoke`](Self::revoke): `token`, a refresh token or an access token, also one for another
///   service. 200, also for an invalid token.
/// - [`introspect`](Self::introspect): `token`, an access token, of either form, that the client
///   accepts: its `aud` contains the id of the client, or an audience of this
///   [`resource_server`](TokenRoutesBuilder::resource_server). 200 with the claims of the token,
///   `"active":true` and `token_type`; with `{"active":false}` for every other text, also for a
///   refresh token (RFC 7662 §2.2).
///
/// Tokens are sent as RFC 6749 §5.1 defines: `access_token`, `token_type`, `expires_in`,
/// `refresh_token`, and `scope` if there is one. With [`cookie`](TokenRoutesBuilder::cookie), the
/// refresh token is in `Set-Cookie` instead.
///
/// # Clients
///
/// The grants for services and the introspection exist if
/// [`client_passwords`](TokenRoutesBuilder::client_passwords) or `client_keys` (feature `api-key`)
/// is called. A client sends its id and its secret with HTTP Basic, both encoded like values of a
/// form (RFC 6749 §2.3.1), or as `client_id` and `client_secret` in the body. An API key is such a
/// secret, with its owner as the id, or is sent alone in `X-API-Key` or `Authorization: Bearer`. A
/// cookie is never a credential of a client.
///
/// ```console
/// $ curl -u 'orders:s3cret' -d grant_type=client_credentials https://login.example/token
/// {"access_token":"eyJ…","expires_in":600,"scope":"stock:read","token_type":"Bearer"}
/// ```
///
/// # Errors
///
/// An error has the body `{"error":".."}`. RFC 6749 §5.2 defines this form, so a
/// [responder](crate::respond) does not change it.
///
/// - 400 `invalid_request`: a parameter is missing, sent twice or not text, the body is not valid,
///   a secret is in the query, or there is a token in the body and in the cookie.
/// - 400 `invalid_grant`: the refresh token is not valid (any more). With
///   [`cookie`](TokenRoutesBuilder::cookie), also if there is none: show the login form.
/// - 400 `invalid_request` of an exchange also means that the `subject_token` is not valid (any
///   more), or was not issued to this client (RFC 8693 §2.2.2).
/// - 400 `invalid_scope`: the user or the client does not have a requested scope.
/// - 400 `invalid_target`: no tokens are issued for the `audience`, or there is a `resource`.
/// - 400 `unauthorized_client`: the claims closure rejects the client.
/// - 400 `unsupported_grant_type`: the `grant_type` is unknown, or is one for services and there
///   are no clients.
/// - 401 `invalid_grant`: the user is unknown, or the password or the second factor is wrong.
/// - 401 `invalid_client`: the client is unknown, its credentials are wrong, or it has sent none.
/// - 401 `second_factor_required`: the password is right, and the member `methods` of the body
///   lists the second factors.
/// - 401 `invalid_token`: the access token is missing or not valid.
/// - 403 `access_denied`: another site may have caused the request, the user must not get tokens,
///   or the token is not from a login.
/// - 404, without a body: a login [without passwords](Self::without_passwords), or an introspection
///   without clients.
/// - 405, without a body: the method is not `POST`.
/// - 408, 413, 415 `invalid_request`: the body did not arrive within 10 s, is too long, or is
///   neither a form nor JSON.
/// - 429 `too_many_requests`: there were too many failures, or refreshes.
/// - 503 `temporarily_unavailable`: the store, the keys, the users or the second factor cannot be
///   reached. Tokens and cookies stay valid: try again.
///
/// 401 has a challenge for `Bearer`: for `Basic`, a browser would ask the user for a password
/// itself. Only a client that has used `Basic` gets a challenge for it (RFC 6749 §5.2). 429 and 503
/// have `Retry-After`. All responses have `Cache-Control: no-store`. Outside a tokio runtime, every
/// `POST` request gets 500 (`server_error`). The runtime must have a timer (`enable_time` or
/// `enable_all`), without which tokio panics.
///
/// # Cookies
///
/// Only a login, a refresh with a new refresh token and a logout set the cookie. A refresh never
/// removes it, whatever happens: its response can arrive after that of a later login. A logout
/// removes it after the login has ended, and keeps it if the store is unavailable.
///
/// # Security
///
/// - Deploy TLS in front of the routes: passwords and tokens are sent as text.
/// - Limit failed logins with [`BasicAuth::throttle`]. It also counts texts that are no refresh
///   tokens of this issuer, by the address of the client and in this process only, except for
///   tokens of a key that the issuer does not have (any more). Refresh tokens of this issuer are
///   accepted in any case: they cannot be guessed, so other clients behind the same address cannot
///   stop a user from refreshing.
/// - The time of a login does not reveal whether a user exists if the verifier has this property,
///   such as `password::HashVerifier` (feature `password-hash`).
/// - The `client_id` of a login or a refresh is not authenticated. Do not grant anything because of
///   it.
/// - A client can only exchange a token that was issued to it: its id is in the `aud` of the token,
///   or, in a token of this issuer, it is the `client_id` or the `sub`, which another issuer gives
///   to its own clients and users. So a token that leaks from one service cannot be
///   exchanged by another.
/// - A client can only ask about a token that was issued for it, so a token that leaks tells other
///   clients nothing. The number of such requests is not limited: each costs the verification of a
///   token, and one or two calls of the store.
/// - Passwords are erased from memory after the check. The buffers of the HTTP server are not.
/// - No event, log or error contains a password, a token or a second factor.
/// - Connections and the rate of requests must be limited in front of the service, as for other
///   public routes.
#[derive(Clone)]
pub struct TokenRoutes(Arc<RoutesState>);

pub(super) struct RoutesState {
    pub(super) issuer: TokenIssuer,
    /// Without it, users log in at a provider.
    pub(super) passwords: Option<Arc<dyn LoginVerifier<CheckedLogin>>>,
    /// Accepts the access tokens of the issuer for every service.
    pub(super) own_tokens: JwtAuth,
    /// The cookie of the refresh token. Without it, the token is in the body.
    pub(super) cookie: Option<SetCookie>,
    pub(super) cross_site: CrossSite,
    pub(super) second_factor: Option<SecondFactorFn>,
    /// Without any, there are no grants for services.
    pub(super) clients: Option<Clients>,
    pub(super) observer: Observer,
    pub(super) reported_fault: AtomicBool,
    #[cfg(feature = "axum")]
    pub(super) metadata: IssuerMetadata,
}

impl RoutesState {
    /// Returns what events contain of a request.
    pub(super) fn summary<'a>(&'a self, head: &'a Parts) -> Option<RequestSummary<'a>> {
        Some(RequestSummary::of(head, Some(self.cross_site.forwarded())))
    }

    fn metadata_builder(&self) -> IssuerMetadataBuilder {
        self.issuer.metadata().with_clients(self.clients.is_some())
    }
}

impl TokenRoutes {
    /// Creates a builder. `passwords` verifies the users, within the limits of its
    /// [`Throttle`](crate::throttle::Throttle). Its realm is not used.
    pub fn builder<V: PasswordVerifier>(
        issuer: TokenIssuer,
        passwords: BasicAuth<V>,
    ) -> TokenRoutesBuilder {
        TokenRoutesBuilder::new(issuer, Some(Arc::new(passwords)))
    }

    /// Creates a builder of routes without a login, for users who log in elsewhere, for example
    /// with `OidcLogin::tokens` (feature `oidc-login`).
    ///
    /// [`login`](Self::login) is then 404, and `into_router` (feature `axum`) does not have it.
    /// Texts that are no refresh tokens are not limited: limit the rate of requests in front of the
    /// service.
    ///
    /// ```
    /// use tower_auth::{ConfigError, issue::{TokenIssuer, TokenRoutes}};
    ///
    /// fn routes(issuer: TokenIssuer) -> Result<TokenRoutes, ConfigError> {
    ///     TokenRoutes::without_passwords(issuer).cookie().build()
    /// }
    /// ```
    pub fn without_passwords(issuer: TokenIssuer) -> TokenRoutesBuilder {
        TokenRoutesBuilder::new(issuer, None)
    }

    pub(super) fn new(state: RoutesState) -> Self {
        Self(Arc::new(state))
    }

    /// Returns the service that logs a user in with a password.
    #[must_use]
    pub fn login(&self) -> TokenRoute {
        TokenRoute::new(&self.0, Endpoint::Login)
    }

    /// Returns the service for all grants: `refresh_token`, `client_credentials` (RFC 6749 §4.4)
    /// and token exchange (RFC 8693).
    #[must_use]
    pub fn token(&self) -> TokenRoute {
        TokenRoute::new(&self.0, Endpoint::Token)
    }

    /// Returns the service that exchanges the token of a user for one of another service (RFC
    /// 8693).
    #[must_use]
    pub fn exchange(&self) -> TokenRoute {
        TokenRoute::new(&self.0, Endpoint::Exchange)
    }

    /// Returns the service that tells another service what a token says, or that it is not active
    /// (RFC 7662). Without clients, it is 404.
    #[must_use]
    pub fn introspect(&self) -> TokenRoute {
        TokenRoute::new(&self.0, Endpoint::Introspect)
    }

    /// Returns a builder of the metadata of the issuer, with the grants and the authentication of
    /// clients that these routes have. [`into_router`](Self::into_router) publishes it.
    ///
    /// ```
    /// use tower_auth::{
    ///     ConfigError,
    ///     issue::{IssuerMetadata, TokenRoutes},
    /// };
    ///
    /// fn metadata(routes: &TokenRoutes) -> Result<IssuerMetadata, ConfigError> {
    ///     routes.metadata().token_endpoint("https://login.example/session/token").build()
    /// }
    /// ```
    pub fn metadata(&self) -> IssuerMetadataBuilder {
        self.0.metadata_builder()
    }

    /// Returns the service that exchanges a refresh token for new tokens (RFC 6749 §6).
    #[must_use]
    pub fn refresh(&self) -> TokenRoute {
        TokenRoute::new(&self.0, Endpoint::Refresh)
    }

    /// Returns the service that ends the login of a refresh token.
    #[must_use]
    pub fn logout(&self) -> TokenRoute {
        TokenRoute::new(&self.0, Endpoint::Logout)
    }

    /// Returns the service that ends all logins of the user whose access token is in
    /// `Authorization`.
    #[must_use]
    pub fn logout_everywhere(&self) -> TokenRoute {
        TokenRoute::new(&self.0, Endpoint::LogoutEverywhere)
    }

    /// Returns the service that revokes an access token or the login of a refresh token (RFC 7009).
    #[must_use]
    pub fn revoke(&self) -> TokenRoute {
        TokenRoute::new(&self.0, Endpoint::Revoke)
    }

    /// Returns an axum router with all services: `/login`, `/token`, `/token/refresh`,
    /// `/token/exchange`, `/logout`, `/logout/all`, `/revoke` and, if there are clients,
    /// `/introspect`. It also has the keys of the issuer, at `/.well-known/jwks.json`, and its
    /// [metadata](Self::metadata), at `/.well-known/oauth-authorization-server`.
    ///
    /// Merge it with the other routes outside of their authentication layer. For other paths or
    /// metadata, and for an issuer whose URL has a path, use the services with `route_service`.
    ///
    /// ```
    /// use axum::Router;
    /// use tower_auth::issue::TokenRoutes;
    ///
    /// fn app(routes: TokenRoutes, api: Router) -> Router {
    ///     api.merge(routes.into_router())
    /// }
    /// ```
    #[cfg(feature = "axum")]
    pub fn into_router<S>(self) -> axum::Router<S>
    where
        S: Clone + Send + Sync + 'static,
    {
        let metadata = &self.0.metadata;
        let router = match self.0.passwords {
            Some(_) => axum::Router::new().route_service("/login", self.login()),
            None => axum::Router::new(),
        };
        let router = match self.0.clients {
            Some(_) => router.route_service("/introspect", self.introspect()),
            None => router,
        };
        router
            .route_service("/.well-known/jwks.json", self.0.issuer.jwks_document())
            .route_service(metadata.path(), metadata.clone())
            .route_service("/token", self.token())
            .route_service("/token/refresh", self.refresh())
            .route_service("/token/exchange", self.exchange())
            .route_service("/logout", self.logout())
            .route_service("/logout/all", self.logout_everywhere())
            .route_service("/revoke", self.revoke())
    }
}

impl fmt::Debug for TokenRoutes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenRoutes")
            .field("issuer", &self.0.issuer)
            .field("cookie", &self.0.cookie.is_some())
            .finish_non_exhaustive()
    }
}
