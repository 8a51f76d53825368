pub(crate) mod build;

use std::{fmt, sync::Arc, time::Duration};

use jsonwebtoken::Algorithm;

use crate::{
    bearer::token::MAX_TOKEN_BYTES,
    clock::{Clock, SystemClock},
    jwt::{
        crypto::Backend,
        jwt_auth::JwtAuth,
        keys::source::KeySource,
        validation::{TokenTypes, Validation},
    },
    principal::Principal,
};

/// Builds a [`JwtAuth`](crate::JwtAuth): see [`JwtAuth::builder`](crate::JwtAuth::builder).
#[must_use]
pub struct JwtAuthBuilder {
    keys: KeySource,
    algorithms: Option<Vec<Algorithm>>,
    backend: Option<Arc<dyn Backend>>,
    short_secrets: bool,
    any_issuer: bool,
    any_audience: bool,
    access_token_profile: bool,
    validation: Validation,
    realm: Option<String>,
    resource_metadata: Option<String>,
    asked_scopes: Option<Vec<Box<str>>>,
    #[cfg(feature = "token-cache")]
    cache: Option<super::TokenCache>,
    clock: Arc<dyn Clock>,
    max_token_bytes: usize,
}

impl JwtAuth {
    /// Starts from the keys that tokens may be signed with. An issuer and an audience have to follow.
    pub fn builder(keys: impl Into<KeySource>) -> JwtAuthBuilder {
        JwtAuthBuilder::new(keys.into())
    }
}

impl JwtAuthBuilder {
    pub(crate) fn new(keys: KeySource) -> Self {
        Self {
            keys,
            algorithms: None,
            backend: default_backend(),
            short_secrets: false,
            any_issuer: false,
            any_audience: false,
            access_token_profile: false,
            validation: Validation {
                issuers: Vec::new(),
                audiences: Vec::new(),
                token_types: TokenTypes::Usual,
                leeway: Duration::from_secs(60),
                scopes: vec!["scope".into()],
                subject: vec!["sub".into()],
                required: Vec::new(),
                checks: Vec::new(),
            },
            realm: None,
            resource_metadata: None,
            asked_scopes: None,
            #[cfg(feature = "token-cache")]
            cache: None,
            clock: Arc::new(SystemClock),
            max_token_bytes: MAX_TOKEN_BYTES,
        }
    }

    /// Accepts tokens of this issuer, whose `iss` is exactly this (RFC 7519 §4.1.1). Call it again for
    /// more issuers that sign with the same keys; those with keys of their own are
    /// [`Issuers`](super::Issuers).
    ///
    /// # Security
    ///
    /// Each of several issuers can speak for the others, since the keys are theirs together (RFC 8725
    /// §3.8).
    pub fn issuer(mut self, issuer: impl Into<Arc<str>>) -> Self {
        self.validation.issuers.push(issuer.into());
        self
    }

    /// Accepts tokens for this audience, whose `aud` is exactly this or holds it (RFC 7519 §4.1.3).
    /// Call it again for more names of this service.
    pub fn audience(mut self, audience: impl Into<Box<str>>) -> Self {
        self.validation.audiences.push(audience.into());
        self
    }

    /// Accepts these algorithms alone (RFC 8725 §3.1), of those that the keys are for. Without this
    /// call, each key is held to its own: see [`Keys`](super::Keys).
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.algorithms = Some(algorithms.into_iter().collect());
        self
    }

    /// Accepts tokens of this type alone (RFC 8725 §3.11), such as `at+jwt` for access tokens
    /// (RFC 9068 §2.1). Call it again for more types. It compares as a media type: without regard to
    /// case, and with or without `application/`.
    ///
    /// Without this call, tokens of type `JWT` and `at+jwt` are accepted, and those of none.
    pub fn token_type(mut self, typ: impl Into<Box<str>>) -> Self {
        let mut types = match self.validation.token_types {
            TokenTypes::Listed(types) => types,
            _ => Vec::new(),
        };
        types.push(typ.into());
        self.validation.token_types = TokenTypes::Listed(types);
        self
    }

    /// Accepts access tokens of the JWT profile alone (RFC 9068): of type `at+jwt`, and with `iss`, `exp`,
    /// `aud`, `sub`, `client_id`, `iat` and `jti` (§2.2, §4), none of them empty. What the issuer signs for
    /// other purposes, such as ID tokens, is refused.
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
        let claims = ["iss", "exp", "aud", "sub", "client_id", "iat", "jti"];
        claims.into_iter().fold(self, Self::require_claim)
    }

    /// How far the clocks of issuer and service may differ: 60 s by default, 300 s at most.
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.validation.leeway = leeway;
        self
    }

    /// Refuses tokens without this claim, or with null for it; any other value will do, except that `jti` and
    /// `client_id` have to be strings, and not empty. `exp` and a
    /// subject are required always, `iss` and `aud` unless said otherwise.
    pub fn require_claim(mut self, name: impl Into<Box<str>>) -> Self {
        let (name, required) = (name.into(), &mut self.validation.required);
        if !required.contains(&name) {
            required.push(name);
        }
        self
    }

    /// Takes the subject from the first of these claims that is there, in place of `sub`. Without any of
    /// them a token is refused.
    ///
    /// Some issuers leave `sub` out of the tokens that clients get for themselves:
    ///
    /// ```
    /// # use tower_auth::jwt::JwtAuthBuilder;
    /// # fn f(builder: JwtAuthBuilder) {
    /// let builder = builder.subject_from(["sub", "client_id"]);
    /// # }
    /// ```
    ///
    /// # Security
    ///
    /// Name only claims that the issuer alone decides on, and that never go from one caller to another, as
    /// e-mail addresses do. Of several, see to it that none can hold what another means: a client that may
    /// choose its `client_id` could choose a user's `sub` (RFC 9068 §5).
    pub fn subject_from<I>(mut self, claims: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<Box<str>>,
    {
        self.validation.subject = claims.into_iter().map(Into::into).collect();
        self
    }

    /// Reads the scopes from another claim than `scope`: from one of that name, or, given several
    /// names, from inside of nested objects. A string is split at its spaces; an array has one scope an
    /// item.
    ///
    /// ```
    /// # use tower_auth::jwt::JwtAuthBuilder;
    /// # fn f(builder: JwtAuthBuilder) {
    /// let keycloak = builder.scopes_from(["realm_access", "roles"]);
    /// # }
    /// # fn g(builder: JwtAuthBuilder) {
    /// let entra = builder.scopes_from(["scp"]);
    /// # }
    /// ```
    pub fn scopes_from<I>(mut self, path: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<Box<str>>,
    {
        self.validation.scopes = path.into_iter().map(Into::into).collect();
        self
    }

    /// Refuses tokens that do not pass a check of yours. It runs last, on tokens that are good
    /// otherwise; what it says goes to the operator, as
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
    ///     _ => Err("another tenant"),
    /// });
    /// # }
    /// ```
    pub fn check<F, E>(mut self, check: F) -> Self
    where
        F: Fn(&Principal) -> Result<(), E> + Send + Sync + 'static,
        E: Into<Box<str>>,
    {
        let check = move |caller: &Principal| check(caller).map_err(Into::into);
        self.validation.checks.push(Arc::new(check));
        self
    }

    /// Names the realm in the challenge (RFC 9110 §11.5).
    pub fn realm(mut self, realm: impl Into<String>) -> Self {
        self.realm = Some(realm.into());
        self
    }

    /// Tells clients in the challenge where this service's metadata is (RFC 9728 §5.1): an absolute
    /// http or https URL, such as that of a [`ResourceMetadata`](crate::ResourceMetadata).
    pub fn resource_metadata(mut self, url: impl Into<String>) -> Self {
        self.resource_metadata = Some(url.into());
        self
    }

    /// Tells clients in the challenge which scopes to ask the issuer for (RFC 6750 §3), where they come
    /// without a token or with one that is not good. It asks for nothing itself: see
    /// [`RequireScopes`](crate::RequireScopes).
    pub fn challenge_scopes<I>(mut self, scopes: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<Box<str>>,
    {
        self.asked_scopes = Some(scopes.into_iter().map(Into::into).collect());
        self
    }

    /// The longest token that is read, in bytes: 16 KiB by default. A longer one gets 431. Servers have
    /// limits of their own; that of hyper over HTTP/2 is 16 KiB for all headers together.
    pub fn max_token_bytes(mut self, bytes: usize) -> Self {
        self.max_token_bytes = bytes;
        self
    }

    /// Keeps tokens that were verified, so that each is verified once: see [`TokenCache`](super::TokenCache) for what
    /// that trades.
    #[cfg(feature = "token-cache")]
    pub fn cache(mut self, cache: super::TokenCache) -> Self {
        self.cache = Some(cache);
        self
    }

    /// Reads the time from here: see [`clock`](crate::clock).
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Verifies signatures here, in place of aws-lc-rs.
    pub fn backend(mut self, backend: impl Backend) -> Self {
        self.backend = Some(Arc::new(backend));
        self
    }

    /// Accepts tokens of any issuer that holds one of the keys, and tokens that name none.
    ///
    /// # Security
    ///
    /// Keys that several issuers share no longer tell who vouches for the caller, and subjects of
    /// different issuers cannot be told apart (RFC 8725 §3.8).
    pub fn dangerous_any_issuer(mut self) -> Self {
        self.any_issuer = true;
        self
    }

    /// Accepts tokens that are for somebody else, or for nobody in particular.
    ///
    /// # Security
    ///
    /// Every other service that gets tokens of this issuer can then use them here, in the name of their
    /// users (RFC 8725 §3.9, RFC 9700 §2.3).
    pub fn dangerous_any_audience(mut self) -> Self {
        self.any_audience = true;
        self
    }

    /// Accepts tokens of every type.
    ///
    /// # Security
    ///
    /// What the issuer signed for another purpose, such as a logout token or a proof of possession, then
    /// passes as an access token if its claims allow it (RFC 8725 §3.11).
    pub fn dangerous_any_token_type(mut self) -> Self {
        self.validation.token_types = TokenTypes::Any;
        self
    }

    /// Accepts HMAC secrets that are shorter than their hash, against RFC 7518 §3.2.
    ///
    /// # Security
    ///
    /// Whoever has one token can search for the secret offline, and then sign tokens for everybody.
    pub fn dangerous_allow_short_secrets(mut self) -> Self {
        self.short_secrets = true;
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
            .field("issuers", &self.validation.issuers)
            .field("audiences", &self.validation.audiences)
            .finish_non_exhaustive()
    }
}
