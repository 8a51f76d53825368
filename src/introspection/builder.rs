mod claims;

use std::{fmt, future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};

use super::{
    admission::Admission,
    back_off::BackOff,
    cache::{ActiveTokens, InactiveTokens, KnownTokens},
    endpoint::Endpoint,
    introspection::Introspection,
    state::State,
    token_kind::TokenKinds,
};
use crate::{
    client::{
        error::BoxError, refreshing::RefreshingToken, source::TokenSource,
        token_endpoint::TokenEndpoint, token_endpoint_builder::TokenEndpointBuilder,
    },
    clock::{Clock, SystemClock},
    config_error::ConfigError,
    jwt::{claim_faults::ClaimFaults, jws::header::TokenTypes, validation::Validation},
    observe::{Observe, observer::Observer},
    throttle::throttle::Throttle,
    url::Redacted,
};

/// Builds an [`Introspection`].
///
/// Created by [`Introspection::builder`] and [`Introspection::discover`].
#[must_use = "call build() to create the verifier"]
pub struct IntrospectionBuilder {
    endpoint: TokenEndpointBuilder,
    own_token: Option<RefreshingToken>,
    has_client: bool,
    validation: Validation,
    any_audience: bool,
    token_kinds: TokenKinds,
    cache_bytes: u64,
    cache_for: Duration,
    negative_for: Duration,
    max_concurrent: usize,
    max_waiting: usize,
    max_response_bytes: usize,
    timeout: Duration,
    throttle: Option<Throttle>,
    clock: Arc<dyn Clock>,
    observer: Observer,
    #[cfg(feature = "revocation")]
    revocations: Option<crate::revocation::revocations::Revocations>,
}

const HOUR: Duration = Duration::from_secs(3600);
/// The most requests that are made at a time, or wait.
const MAX_REQUESTS: usize = 65_536;
/// The space of a few tokens, or of one with many claims.
const MIN_CACHE_BYTES: u64 = 4_096;

impl IntrospectionBuilder {
    pub(super) fn url(url: String) -> Self {
        Self::new(TokenEndpoint::url(url))
    }

    pub(super) fn discover(issuer: String) -> Self {
        let builder = Self::new(TokenEndpoint::discover(issuer.clone()));
        builder.issuer(issuer)
    }

    fn new(endpoint: TokenEndpointBuilder) -> Self {
        Self {
            endpoint: endpoint.introspection(),
            own_token: None,
            has_client: false,
            validation: Validation {
                issuers: Vec::new(),
                audiences: Vec::new(),
                audience_claims: vec!["aud".into()],
                // A response has no header. See `TokenKinds`.
                token_types: TokenTypes::AccessToken,
                leeway: Duration::from_secs(60),
                scope_claims: vec!["scope".into(), "scp".into()],
                merge_scopes: false,
                subject_claims: vec!["sub".into()],
                accept_numeric_subject: false,
                required_claims: Vec::new(),
                claim_values: Vec::new(),
                accept_future_issued_at: false,
                principal_maps: Vec::new(),
                custom_checks: Vec::new(),
                is_introspection: true,
                ignore_confirmation: false,
                faults: Arc::default(),
                #[cfg(feature = "revocation")]
                longest_life: None,
            },
            any_audience: false,
            token_kinds: TokenKinds { accepted: Vec::new(), any: false },
            cache_bytes: 16 * 1024 * 1024,
            cache_for: Duration::from_secs(30),
            negative_for: Duration::from_secs(5),
            max_concurrent: 64,
            max_waiting: 1024,
            max_response_bytes: 64 * 1024,
            timeout: Duration::from_secs(5),
            throttle: None,
            clock: Arc::new(SystemClock),
            observer: Observer::default(),
            #[cfg(feature = "revocation")]
            revocations: None,
        }
    }

    /// Authenticates this service at the endpoint with a client id and a secret, in `Authorization`
    /// (`client_secret_basic`, RFC 6749 §2.3.1).
    ///
    /// They are sent in the body instead, if the metadata of the issuer names only
    /// `client_secret_post`. The secret is zeroed when the verifier is dropped.
    pub fn client_secret(mut self, id: impl Into<String>, secret: impl Into<String>) -> Self {
        self.endpoint = self.endpoint.client_id(id).client_secret(secret);
        self.has_client = true;
        self
    }

    /// Sends the client id and the secret in the body (`client_secret_post`).
    ///
    /// For endpoints that do not support `Authorization`, and are not
    /// [discovered](Introspection::discover).
    pub fn client_secret_post(mut self) -> Self {
        self.endpoint = self.endpoint.client_secret_post();
        self
    }

    /// Authenticates this service at the endpoint with a signature (`private_key_jwt`, RFC 7523
    /// §2.2).
    ///
    /// The PEM file contains an Ed25519, P-256, P-384 or RSA private key, as for
    /// [`TokenEndpointBuilder::client_key`].
    ///
    /// [`TokenEndpointBuilder::client_key`]: crate::client::TokenEndpointBuilder::client_key
    pub fn private_key_jwt(mut self, id: impl Into<String>, pem: impl AsRef<[u8]>) -> Self {
        self.endpoint = self.endpoint.client_id(id).client_key(pem);
        self.has_client = true;
        self
    }

    /// Sets the `kid` of the key of [`private_key_jwt`](Self::private_key_jwt). Some issuers need
    /// it to find the public key.
    pub fn client_key_id(mut self, id: impl Into<String>) -> Self {
        self.endpoint = self.endpoint.client_key_id(id);
        self
    }

    /// Authenticates this service at the endpoint with a token of its own, in `Authorization:
    /// Bearer` (RFC 7662 §2.1).
    ///
    /// The token is used until it expires. If the endpoint responds with 401, a new one is
    /// requested once.
    ///
    /// ```
    /// use tower_auth::{
    ///     client::{ClientCredentials, TokenEndpoint},
    ///     introspection::{Introspection, IntrospectionBuilder},
    /// };
    ///
    /// fn with_own_token(endpoint: TokenEndpoint) -> IntrospectionBuilder {
    ///     Introspection::builder("https://issuer.example/introspect")
    ///         .token_source(ClientCredentials::new(endpoint).scopes("introspection"))
    ///         .audience("orders")
    /// }
    /// ```
    ///
    /// The token must not be bound to a key (DPoP): it is sent without a proof.
    pub fn token_source(mut self, source: impl TokenSource) -> Self {
        self.own_token = Some(RefreshingToken::new(source));
        self
    }

    /// Sends requests with another HTTP client.
    ///
    /// Required without the feature `jwks-reqwest`. The client is the same as for
    /// [`TokenEndpointBuilder::client`](crate::client::TokenEndpointBuilder::client).
    ///
    /// # Security
    ///
    /// The client must authenticate the server (TLS) and must not follow redirects. It should stop
    /// reading after [`max_response_bytes`](Self::max_response_bytes). Its errors are logged, so
    /// they must not contain the body of a request.
    pub fn client<F, Q, E>(mut self, client: F) -> Self
    where
        F: Fn(Request<Bytes>) -> Q + Send + Sync + 'static,
        Q: Future<Output = Result<Response<Bytes>, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        self.endpoint = self.endpoint.client(client);
        self
    }

    /// Allows an issuer and an endpoint with an http URL on another host than loopback.
    ///
    /// # Security
    ///
    /// An attacker on the network can read the tokens and the secrets, and decide which tokens are
    /// valid. Call this method only if another component encrypts the connection, such as a service
    /// mesh.
    pub fn dangerous_allow_http(mut self) -> Self {
        self.endpoint = self.endpoint.dangerous_allow_http();
        self
    }

    /// Sets the size of the cache of accepted tokens. The default is 16 MiB, and the minimum 4 KiB;
    /// 0 disables the cache.
    ///
    /// When it is full, rarely used tokens are evicted first. An entry has about 0.5 KiB and three
    /// times the size of the response. Attached [extensions] do not count.
    ///
    /// [extensions]: crate::PrincipalBuilder::extension
    pub fn cache_bytes(mut self, bytes: u64) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// Sets for how long an accepted token is not asked about again. The default is 30 s, the
    /// maximum 1 h; zero disables the cache.
    ///
    /// The `exp` of a token can end it earlier.
    ///
    /// # Security
    ///
    /// For this time, a token is accepted after its revocation at the server.
    pub fn cache_for(mut self, time: Duration) -> Self {
        self.cache_for = time;
        self
    }

    /// Sets for how long a rejected token is not asked about again. The default is 5 s, the maximum
    /// 1 h; zero disables this cache. It has at most 65,536 tokens.
    pub fn negative_for(mut self, time: Duration) -> Self {
        self.negative_for = time;
        self
    }

    /// Sets how many requests to the endpoint are made at a time. The default is 64.
    ///
    /// A quarter of them is reserved for tokens that were accepted in the last hour.
    pub fn max_concurrent(mut self, requests: usize) -> Self {
        self.max_concurrent = requests;
        self
    }

    /// Sets how many requests to the endpoint can wait for others to end: as many for tokens that
    /// were accepted in the last hour, and as many for others. The default is 1,024. Further
    /// requests get 503.
    pub fn max_waiting(mut self, requests: usize) -> Self {
        self.max_waiting = requests;
        self
    }

    /// Sets the maximum length of a response in bytes. The default is 64 KiB, the maximum 1 MiB.
    pub fn max_response_bytes(mut self, bytes: usize) -> Self {
        self.max_response_bytes = bytes;
        self
    }

    /// Sets how long a request can wait for the endpoint in total, with the search for its URL. The
    /// default is 5 s, the maximum 60 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Limits the requests with invalid tokens, by the address of the client: the same as the
    /// [limits](crate::throttle) of wrong passwords.
    ///
    /// A client over the limit gets 429 without a request to the endpoint, unless its token was
    /// accepted in the last hour. A token that was rejected less than
    /// [`negative_for`](Self::negative_for) ago does not count again.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_auth::{
    ///     introspection::IntrospectionBuilder, throttle::Throttle, transport::Forwarded,
    /// };
    ///
    /// fn limited(tokens: IntrospectionBuilder) -> IntrospectionBuilder {
    ///     let throttle = Throttle::new(Forwarded::direct());
    ///     tokens.throttle(throttle.failures(60, Duration::from_secs(60)))
    /// }
    /// ```
    ///
    /// The counts are those of this process, also with `Throttle::shared`. A client that continues
    /// to send an expired token is over the limit at some time.
    ///
    /// The throttle also limits how many tokens of an address are asked about at a time, with the
    /// default to 42. Tokens that were accepted in the last hour do not count.
    pub fn throttle(mut self, throttle: Throttle) -> Self {
        self.throttle = Some(throttle);
        self
    }

    /// Sets the clock. The default is the system clock. See [`clock`](crate::clock).
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Sets the observer of requests to the endpoint. The default is the [default
    /// observer](crate::observe::set_default).
    ///
    /// Requests to the service are observed by the observer of the
    /// [layer](crate::AuthenticateLayer::observer).
    pub fn observer(mut self, observer: impl Observe + 'static) -> Self {
        self.observer = Observer::default().with_observer(observer);
        self
    }

    /// Rejects tokens that were revoked in this service, also if they are cached.
    ///
    /// Tokens then need `iat`, `exp` and `jti`, and are rejected if they are valid for longer than
    /// [`longest_token_life`](crate::revocation::RevocationsBuilder::longest_token_life). A
    /// revocation takes effect at once in the instances that share the revocations, and a
    /// revocation at the server after [`cache_for`](Self::cache_for).
    #[cfg(feature = "revocation")]
    pub fn revocations(mut self, revocations: crate::revocation::Revocations) -> Self {
        self.revocations = Some(revocations);
        self
    }

    /// Checks the configuration and creates the verifier. It sends nothing.
    ///
    /// # Errors
    ///
    /// Returns an error
    ///
    /// - if no audience is configured, and
    ///   [`dangerous_any_audience`](Self::dangerous_any_audience) was not called;
    /// - if the issuer or the URL is not an https URL (or http for loopback);
    /// - if the client credentials are incomplete or cannot be used, or if there are several;
    /// - if there is no HTTP client;
    /// - if a value is out of range, or a claim name is invalid.
    #[cfg_attr(not(feature = "revocation"), allow(unused_mut))]
    pub fn build(mut self) -> Result<Introspection, ConfigError> {
        self.check_settings()?;
        #[cfg(feature = "revocation")]
        if self.revocations.is_some() {
            // Another response about the same token can have other members or another order.
            self.validation.required_claims.push("jti".into());
        }
        let validation = Validation {
            faults: Arc::new(ClaimFaults::new(self.observer.clone())),
            #[cfg(feature = "revocation")]
            longest_life: self.revocations.as_ref().map(|all| all.longest_token_life()),
            ..self.validation
        };
        let clock = crate::clock::SharedClock(Arc::clone(&self.clock));
        let own_token = self.own_token.map(|token| token.clock(clock.clone()));
        let endpoint = self.endpoint.clock(clock).timeout(self.timeout).build()?;
        Ok(Introspection(Arc::new(State {
            endpoint: Endpoint { endpoint, own_token },
            validation,
            token_kinds: self.token_kinds,
            max_response_bytes: self.max_response_bytes,
            timeout: self.timeout,
            active: ActiveTokens::new(self.cache_bytes, self.cache_for),
            inactive: InactiveTokens::new(self.negative_for),
            known: KnownTokens::new(),
            flights: Arc::default(),
            admission: Admission::new(self.max_concurrent, self.max_waiting),
            back_offs: <[BackOff; 2]>::default(),
            throttle: self.throttle.map(Arc::new),
            clock: self.clock,
            observer: self.observer,
            #[cfg(feature = "revocation")]
            revocations: self.revocations,
        })))
    }

    fn check_settings(&self) -> Result<(), ConfigError> {
        let Validation { issuers, audiences, leeway, .. } = &self.validation;
        let missing = |message: &'static str| Err(ConfigError::missing(message));
        let invalid = |message: &'static str| Err(ConfigError::invalid(message));
        let conflict = |message: &'static str| Err(ConfigError::conflict(message));
        match (audiences.is_empty(), self.any_audience) {
            (true, false) => {
                return missing(
                    "no audience: call audience with the `aud` of tokens for this service, or \
                     dangerous_any_audience",
                );
            }
            (false, true) => {
                return conflict(
                    "audience and dangerous_any_audience must not both be called: remove \
                     one",
                );
            }
            _ => {}
        }
        if issuers.iter().any(|name| name.is_empty())
            || audiences.iter().any(|name| name.is_empty())
        {
            return missing(
                "an issuer or an audience is an empty string: give its name or remove the call",
            );
        }
        if issuers.len() > 1 {
            return conflict(
                "an introspection endpoint has one issuer: call issuer once, and not together with \
                 discover",
            );
        }
        if self.has_client && self.own_token.is_some() {
            return conflict(
                "token_source and client credentials must not both be set: remove one call",
            );
        }
        if self.token_kinds.any && !self.token_kinds.accepted.is_empty() {
            return conflict(
                "dangerous_any_token_type already accepts every token type: remove it, or remove \
                 token_type",
            );
        }
        if *leeway > Duration::from_secs(300) {
            return invalid(
                "the leeway is above 300 s: lower it and synchronize the clocks with NTP",
            );
        }
        if self.cache_for > HOUR || self.negative_for > HOUR {
            return invalid("cache_for and negative_for must be at most 1 h");
        }
        if (1..MIN_CACHE_BYTES).contains(&self.cache_bytes) {
            return invalid("cache_bytes must be at least 4,096, or 0 for no cache");
        }
        let timeouts = Duration::from_millis(10)..=Duration::from_secs(60);
        if !timeouts.contains(&self.timeout) {
            return invalid("the timeout must be from 10 ms to 60 s");
        }
        if !(1..=MAX_REQUESTS).contains(&self.max_concurrent) || self.max_waiting > MAX_REQUESTS {
            return invalid(
                "max_concurrent must be from 1 to 65,536, and max_waiting at most 65,536",
            );
        }
        if !(1..=1024 * 1024).contains(&self.max_response_bytes) {
            return invalid("max_response_bytes must be from 1 to 1 MiB");
        }
        #[cfg(feature = "revocation")]
        if self.revocations.is_some() && self.validation.accept_future_issued_at {
            return conflict("revocations compare iat with the time of the revocation");
        }
        self.validation.check_paths(self.any_audience)
    }
}

/// Prints URLs without user information and query, and no secrets.
impl fmt::Debug for IntrospectionBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IntrospectionBuilder")
            .field("endpoint", &self.endpoint)
            .field("issuers", &Redacted::all(&self.validation.issuers))
            .field("audiences", &Redacted::all(&self.validation.audiences))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "builder_tests.rs"]
mod tests;
