mod ambient;
mod binding;
pub(crate) mod build;
mod claims;

use std::{fmt, sync::Arc, time::Duration};

use jsonwebtoken::Algorithm;

use crate::{
    binding::binding::Binding,
    clock::{Clock, SystemClock},
    credentials::{cross_site::CrossSite, location::TokenLocation},
    jwt::{
        crypto::Backend, jws::header::TokenTypes, keys::source::KeySource, validation::Validation,
    },
    observe::{Observe, observer::Observer},
    one_or_many::OneOrMany,
    principal::Principal,
    url::Redacted,
};

/// Builds a [`JwtAuth`](crate::JwtAuth).
///
/// Created by [`JwtAuth::builder`](crate::JwtAuth::builder).
#[must_use]
pub struct JwtAuthBuilder {
    keys: KeySource,
    algorithms: Option<Vec<Algorithm>>,
    backend: Option<Arc<dyn Backend>>,
    allow_short_secrets: bool,
    any_issuer: bool,
    any_audience: bool,
    any_token_type: bool,
    access_token_profile: bool,
    validation: Validation,
    realm: Option<String>,
    resource_metadata: Option<String>,
    challenge_scopes: Option<Vec<Box<str>>>,
    challenge_params: Vec<(&'static str, String)>,
    #[cfg(feature = "token-cache")]
    cache: Option<super::TokenCache>,
    clock: Arc<dyn Clock>,
    observer: Observer,
    max_token_bytes: usize,
    locations: Vec<TokenLocation>,
    bindings: Vec<Arc<dyn Binding>>,
    requires_binding: bool,
    cross_site: CrossSite,
    #[cfg(feature = "revocation")]
    revocations: Option<crate::revocation::revocations::Revocations>,
    #[cfg(feature = "issue")]
    references: Option<Arc<dyn crate::jwt::reference::ReferenceTokens>>,
}

impl JwtAuthBuilder {
    /// The default size limit of a token in bytes.
    pub(crate) const MAX_TOKEN_BYTES: usize = 16 * 1024;

    pub(crate) fn new(keys: KeySource) -> Self {
        Self {
            keys,
            algorithms: None,
            backend: default_backend(),
            allow_short_secrets: false,
            any_issuer: false,
            any_audience: false,
            any_token_type: false,
            access_token_profile: false,
            validation: Validation {
                issuers: Vec::new(),
                audiences: Vec::new(),
                audience_claims: vec!["aud".into()],
                token_types: TokenTypes::AccessToken,
                leeway: Duration::from_secs(60),
                scope_claims: vec!["scope".into()],
                merge_scopes: false,
                subject_claims: vec!["sub".into()],
                accept_numeric_subject: false,
                required_claims: Vec::new(),
                claim_values: Vec::new(),
                accept_future_issued_at: false,
                principal_maps: Vec::new(),
                custom_checks: Vec::new(),
                is_introspection: false,
                ignore_confirmation: false,
                faults: Arc::default(),
                #[cfg(feature = "revocation")]
                longest_life: None,
            },
            realm: None,
            resource_metadata: None,
            challenge_scopes: None,
            challenge_params: Vec::new(),
            #[cfg(feature = "token-cache")]
            cache: None,
            clock: Arc::new(SystemClock),
            observer: Observer::default(),
            max_token_bytes: Self::MAX_TOKEN_BYTES,
            locations: Vec::new(),
            bindings: Vec::new(),
            requires_binding: false,
            cross_site: CrossSite::default(),
            #[cfg(feature = "revocation")]
            revocations: None,
            #[cfg(feature = "issue")]
            references: None,
        }
    }

    /// Accepts tokens whose `iss` is exactly one of these strings (RFC 7519 §4.1.1).
    ///
    /// Another call adds issuers. All of them sign with the same keys. For issuers with different
    /// keys, use [`Issuers`](super::Issuers).
    ///
    /// # Security
    ///
    /// Issuers that share keys can issue tokens in each other's name (RFC 8725 §3.8).
    pub fn issuer<K>(mut self, issuers: impl OneOrMany<str, K>) -> Self {
        self.validation.issuers.extend(issuers.values().map(|issuer| Arc::from(issuer.as_ref())));
        self
    }

    /// Accepts tokens whose `aud` is one of these names of the service, or an array that contains
    /// one (RFC 7519 §4.1.3). Another call adds names.
    pub fn audience<K>(mut self, audiences: impl OneOrMany<str, K>) -> Self {
        self.validation.audiences.extend(audiences.values().map(|name| Box::from(name.as_ref())));
        self
    }

    /// Accepts only these signature algorithms (RFC 8725 §3.1).
    ///
    /// A key that names its own algorithm is used only if that algorithm is in this list. By
    /// default, each key determines its algorithm: see [`Keys`](super::Keys).
    pub fn algorithms<K>(mut self, algorithms: impl OneOrMany<Algorithm, K>) -> Self {
        self.algorithms = Some(algorithms.values().map(|algorithm| *algorithm.as_ref()).collect());
        self
    }

    /// Accepts only tokens of one of these types (`typ`, RFC 8725 §3.11), such as `at+jwt` for
    /// access tokens (RFC 9068 §2.1).
    ///
    /// Another call adds types. Types are compared as media types: the comparison ignores case, and
    /// the prefix `application/` is optional.
    ///
    /// By default, tokens of type `JWT` or `at+jwt` and tokens without `typ` are accepted.
    pub fn token_type<K>(self, accepted: impl OneOrMany<str, K>) -> Self {
        self.add_types(accepted, false)
    }

    /// Like [`token_type`](Self::token_type), but accepts tokens without `typ` as well.
    ///
    /// ```
    /// # use tower_auth::jwt::JwtAuthBuilder;
    /// # fn f(builder: JwtAuthBuilder) {
    /// let builder = builder.token_type_if_present(["JWT", "JOSE"]);
    /// # }
    /// ```
    pub fn token_type_if_present<K>(self, accepted: impl OneOrMany<str, K>) -> Self {
        self.add_types(accepted, true)
    }

    fn add_types<K>(mut self, accepted: impl OneOrMany<str, K>, if_present: bool) -> Self {
        let (mut types, was_optional) = match self.validation.token_types {
            TokenTypes::Listed { types, is_optional } => (types, is_optional),
            _ => (Vec::new(), false),
        };
        types.extend(accepted.values().map(|typ| Box::from(typ.as_ref())));
        let is_optional = was_optional || if_present;
        self.validation.token_types = TokenTypes::Listed { types, is_optional };
        self
    }

    /// Accepts only access tokens of the JWT profile (RFC 9068).
    ///
    /// The `typ` must be `at+jwt`. The claims `iss`, `exp`, `aud`, `sub`, `client_id`, `iat` and
    /// `jti` are required (§2.2, §4); `sub`, `client_id` and `jti` must not be empty. Tokens for
    /// other purposes, such as ID tokens, are rejected.
    ///
    /// ```
    /// # use tower_auth::{ConfigError, JwtAuth, jwt::Keys};
    /// # fn f(keys: Keys) -> Result<JwtAuth, ConfigError> {
    /// JwtAuth::builder(keys)
    ///     .issuer("https://issuer.example")
    ///     .audience("orders")
    ///     .access_token_profile()
    ///     .build()
    /// # }
    /// ```
    pub fn access_token_profile(mut self) -> Self {
        self.access_token_profile = true;
        self.require_claim(["iss", "exp", "aud", "sub", "client_id", "iat", "jti"])
    }

    /// Sets the tolerance for clock skew between the token issuer and this service.
    ///
    /// The default is 60 s, the maximum 300 s. It applies to `exp`, `nbf` and `iat`.
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.validation.leeway = leeway;
        self
    }

    /// Changes the principal of each valid token, for example to add scopes that depend on a claim.
    ///
    /// The closure runs each time a token is verified, before the [custom checks](Self::check). Its
    /// result is cached with the token, so it does not run again for a cached token. It must
    /// therefore depend on the principal only. Call this method again for each further change.
    ///
    /// ```
    /// # use tower_auth::{Principal, jwt::JwtAuthBuilder};
    /// # fn f(builder: JwtAuthBuilder) {
    /// #[derive(serde::Deserialize)]
    /// struct Roles {
    ///     roles: Vec<String>,
    /// }
    ///
    /// let builder = builder.map_principal(|caller: Principal| match caller.claims::<Roles>() {
    ///     Ok(claims) => caller.to_builder().scopes(claims.roles).build(),
    ///     Err(_) => caller,
    /// });
    /// # }
    /// ```
    ///
    /// # Security
    ///
    /// - A token that is bound to a key remains bound to it, whatever the closure returns.
    /// - The size of attached [extensions](crate::PrincipalBuilder::extension) does not count
    ///   towards the limit of the cache.
    /// - The `exp` of the token limits how long it is accepted and cached. The closure cannot set a
    ///   later [`expires_at`](Principal::expires_at).
    /// - [`Issuers`](super::Issuers) and `Tenants` reject the token if the closure changes the
    ///   issuer.
    pub fn map_principal<F>(mut self, map: F) -> Self
    where
        F: Fn(Principal) -> Principal + Send + Sync + 'static,
    {
        self.validation.principal_maps.push(Arc::new(map));
        self
    }

    /// Adds a custom check. A token is rejected if the check returns an error.
    ///
    /// The check runs last, on tokens that are otherwise valid, and on every request, even for a
    /// cached token. The returned reason is only for the operator, as
    /// [`TokenError::Check`](super::TokenError::Check).
    ///
    /// ```
    /// # use tower_auth::{Principal, jwt::JwtAuthBuilder};
    /// # fn f(builder: JwtAuthBuilder) {
    /// #[derive(serde::Deserialize)]
    /// struct Tenant<'a> {
    ///     tenant: &'a str,
    /// }
    ///
    /// let builder = builder.check(|caller: &Principal| match caller.claims::<Tenant<'_>>() {
    ///     Ok(claims) if claims.tenant == "acme" => Ok(()),
    ///     _ => Err("the tenant is not accepted"),
    /// });
    /// # }
    /// ```
    pub fn check<F, E>(mut self, check: F) -> Self
    where
        F: Fn(&Principal) -> Result<(), E> + Send + Sync + 'static,
        E: Into<Box<str>>,
    {
        let check = move |caller: &Principal| check(caller).map_err(Into::into);
        self.validation.custom_checks.push(Arc::new(check));
        self
    }

    /// Sets the `realm` parameter of the challenge (RFC 9110 §11.5).
    pub fn realm(mut self, realm: impl Into<String>) -> Self {
        self.realm = Some(realm.into());
        self
    }

    /// Sets the `resource_metadata` parameter of the challenge: the URL of the metadata of this
    /// service (RFC 9728 §5.1).
    ///
    /// It must be an absolute http or https URL, such as the URL of a
    /// [`ResourceMetadata`](crate::ResourceMetadata).
    pub fn resource_metadata(mut self, url: impl Into<String>) -> Self {
        self.resource_metadata = Some(url.into());
        self
    }

    /// Sets the `scope` parameter of the challenge: the scopes that a client should request from
    /// the token issuer (RFC 6750 §3).
    ///
    /// The challenge is sent for missing and for invalid tokens. This method does not require any
    /// scope; use [`RequireScopes`](crate::RequireScopes) for that.
    pub fn challenge_scopes<K>(mut self, scopes: impl OneOrMany<str, K>) -> Self {
        self.challenge_scopes = Some(scopes.values().map(|scope| scope.as_ref().into()).collect());
        self
    }

    /// Adds a parameter to the challenge, for clients that expect more than RFC 6750 defines.
    ///
    /// It is sent with every challenge for a token: if there is none, if it is invalid, and if it
    /// lacks scopes. `error_uri` is sent only together with an error (RFC 6750 §3).
    ///
    /// ```
    /// # use tower_auth::jwt::JwtAuthBuilder;
    /// // Docker's registry protocol.
    /// # fn docker(builder: JwtAuthBuilder) -> JwtAuthBuilder {
    /// builder.realm("https://auth.example/token").challenge_param("service", "registry.example")
    /// # }
    /// // Microsoft Entra ID.
    /// # fn entra(builder: JwtAuthBuilder) -> JwtAuthBuilder {
    /// builder.challenge_param(
    ///     "authorization_uri",
    ///     "https://login.microsoftonline.com/common/oauth2/authorize",
    /// )
    /// # }
    /// ```
    ///
    /// [`build`](Self::build) rejects a parameter that has a method of its own, such as `realm`, or
    /// that describes a single rejection, such as `error`.
    pub fn challenge_param(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.challenge_params.push((name, value.into()));
        self
    }

    /// Reads tokens from this location. Call this method again for each further location.
    ///
    /// The first call replaces the default, [`TokenLocation::authorization`].
    ///
    /// ```
    /// # use tower_auth::jwt::JwtAuthBuilder;
    /// use tower_auth::credentials::TokenLocation;
    ///
    /// # fn f(builder: JwtAuthBuilder) {
    /// let builder = builder
    ///     .token_from(TokenLocation::authorization())
    ///     .token_from(TokenLocation::header("X-Access-Token"));
    /// # }
    /// ```
    pub fn token_from(mut self, location: TokenLocation) -> Self {
        self.locations.push(location);
        self
    }

    /// Sets the maximum length of a token in bytes. The default is 16 KiB.
    ///
    /// Longer tokens are rejected with 431. HTTP servers have their own limits. For example, hyper
    /// limits all headers of an HTTP/2 request to 16 KiB in total. [`build`](Self::build) returns
    /// an error for zero.
    pub fn max_token_bytes(mut self, bytes: usize) -> Self {
        self.max_token_bytes = bytes;
        self
    }

    /// Caches verified tokens, so that the signature of each token is verified only once.
    ///
    /// See [`TokenCache`](super::TokenCache) for the trade-offs. By default, there is no cache.
    #[cfg(feature = "token-cache")]
    pub fn cache(mut self, cache: super::TokenCache) -> Self {
        self.cache = Some(cache);
        self
    }

    /// Sets the clock, for example a mock clock in tests. The default is the system clock.
    ///
    /// See [`clock`](crate::clock).
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Sets the observer to that of another part, which can be the default.
    #[cfg(any(feature = "issue", feature = "oidc-login"))]
    pub(crate) fn shared_observer(self, observer: Observer) -> Self {
        Self { observer, ..self }
    }

    /// Sets the observer of the keys and of malformed claims: which keys are not used, and, for
    /// fetched keys, which have changed and what failed. The default is the [default
    /// observer](crate::observe::set_default).
    ///
    /// Requests are observed by the observer of the
    /// [layer](crate::AuthenticateLayer::observer).
    pub fn observer(mut self, observer: impl Observe + 'static) -> Self {
        self.observer = Observer::default().with_observer(observer);
        self
    }

    /// Rejects tokens that were revoked, also if they are cached.
    ///
    /// Tokens then need an `iat`, and are rejected if they are valid for longer than
    /// [`longest_token_life`](crate::revocation::RevocationsBuilder::longest_token_life).
    ///
    /// Several `JwtAuth`s can share the revocations, for example for several issuers:
    ///
    /// ```
    /// use tower_auth::{
    ///     ConfigError, JwtAuth,
    ///     jwt::{Issuers, Keys},
    ///     revocation::Revocations,
    /// };
    ///
    /// fn issuers(keys: [Keys; 2], revocations: &Revocations) -> Result<Issuers, ConfigError> {
    ///     let names = ["https://one.example", "https://two.example"];
    ///     let verifiers = names.into_iter().zip(keys).map(|(name, keys)| {
    ///         let tokens = JwtAuth::builder(keys).issuer(name).audience("orders");
    ///         tokens.revocations(revocations.clone()).build()
    ///     });
    ///     Issuers::new(verifiers.collect::<Result<Vec<_>, _>>()?)
    /// }
    /// ```
    #[cfg(feature = "revocation")]
    pub fn revocations(mut self, revocations: crate::revocation::Revocations) -> Self {
        self.revocations = Some(revocations);
        self
    }

    /// Sets the signature backend. The default is aws-lc-rs, if that feature is enabled.
    pub fn backend(mut self, backend: impl Backend) -> Self {
        self.backend = Some(Arc::new(backend));
        self
    }

    /// Accepts tokens with any `iss`, and tokens without `iss`.
    ///
    /// # Security
    ///
    /// If several issuers share the keys, the service cannot know which of them issued a token.
    /// Equal subjects of different issuers are then indistinguishable (RFC 8725 §3.8).
    pub fn dangerous_any_issuer(mut self) -> Self {
        self.any_issuer = true;
        self
    }

    /// Accepts tokens with any `typ`.
    ///
    /// # Security
    ///
    /// A token that the issuer signed for another purpose, such as a logout token or a proof of
    /// possession, is then accepted as an access token if its claims are valid (RFC 8725 §3.11).
    pub fn dangerous_any_token_type(mut self) -> Self {
        self.any_token_type = true;
        self
    }

    /// Accepts HMAC secrets that are shorter than the hash, contrary to RFC 7518 §3.2.
    ///
    /// # Security
    ///
    /// An attacker with one token can find a short secret by offline brute force, and then sign
    /// tokens for any caller.
    pub fn dangerous_allow_short_secrets(mut self) -> Self {
        self.allow_short_secrets = true;
        self
    }
}

#[cfg(feature = "aws-lc-rs")]
fn default_backend() -> Option<Arc<dyn Backend>> {
    Some(Arc::new(super::crypto::AwsLc::default()))
}

#[cfg(not(feature = "aws-lc-rs"))]
fn default_backend() -> Option<Arc<dyn Backend>> {
    None
}

impl fmt::Debug for JwtAuthBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtAuthBuilder")
            .field("keys", &self.keys)
            .field("issuers", &Redacted::all(&self.validation.issuers))
            .field("audiences", &Redacted::all(&self.validation.audiences))
            .finish_non_exhaustive()
    }
}
