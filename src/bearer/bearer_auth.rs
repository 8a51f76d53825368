use std::{fmt, str, sync::Arc};

use http::request::Parts;

use super::{
    confirm::Sent,
    settings::BearerSettings,
    verifier::{TokenVerifier, Verification, reject_bound},
};
use crate::{
    authenticate::{Authentication, Authenticator, authenticator::conceal_authorization},
    binding::binding::Binding,
    config_error::ConfigError,
    credentials::{authorization::within_bounds, locate::locate, location::TokenLocation},
    header::{Challenge, Challenges, Scheme},
    principal::{MapPrincipal, Principal},
    url::Redacted,
};

/// Authenticates requests with a bearer token, which a [`TokenVerifier`] verifies.
///
/// [`JwtAuth`](crate::JwtAuth) is a `BearerAuth` for JWTs. This example accepts opaque tokens that
/// are stored in a database:
///
/// ```
/// use tower_auth::{
///     AuthenticateLayer, Challenge, ConfigError, Principal, Rejection, RejectionKind, Scheme,
///     bearer::{BearerAuth, TokenVerifier, Verification},
/// };
///
/// struct StoredTokens;
///
/// impl TokenVerifier for StoredTokens {
///     fn verify(&self, token: &str) -> Verification {
///         let token = token.to_owned();
///         Verification::pending(async move {
///             match find_owner(&token).await {
///                 Ok(Some(owner)) => Ok(Principal::builder(owner, Scheme::BEARER).build()),
///                 Ok(None) => Err(Rejection::new(RejectionKind::InvalidCredentials)),
///                 Err(error) => Err(Rejection::new(RejectionKind::Unavailable).because(error)),
///             }
///         })
///     }
/// }
/// # async fn find_owner(token: &str) -> Result<Option<String>, std::io::Error> { Ok(None) }
///
/// let challenge = Challenge::new(Scheme::BEARER).with_param("realm", "orders")?;
/// let tokens = BearerAuth::new(StoredTokens).challenge(challenge)?;
/// let layer = AuthenticateLayer::new(tokens);
/// # Ok::<(), ConfigError>(())
/// ```
///
/// Clones share the verifier.
///
/// # Security
///
/// A token that is empty, or that the request carries twice, is rejected with 400 (RFC 6750). A
/// token above 64 KiB is rejected with 431. A token that is bound to a key is rejected unless a
/// [`binding`](Self::binding) confirms it.
///
/// Compare stored tokens by their hash, so that neither the time of a comparison nor a copy of the
/// database reveals a token.
pub struct BearerAuth<V> {
    pub(crate) verifier: Arc<V>,
    pub(crate) settings: Arc<BearerSettings>,
}

impl<V: TokenVerifier> BearerAuth<V> {
    /// Creates an authenticator that reads tokens from `Authorization: Bearer`.
    ///
    /// It starts with the settings of the verifier, if that is a `BearerAuth`, an
    /// [`Issuers`](crate::jwt::Issuers) or a `Tenants`.
    #[must_use]
    pub fn new(verifier: V) -> Self {
        let settings = verifier.settings().cloned();
        let settings =
            settings.unwrap_or_else(|| BearerSettings::new(Challenge::new(Scheme::BEARER)));
        Self::with_settings(verifier, settings)
    }

    pub(crate) fn with_settings(verifier: V, settings: BearerSettings) -> Self {
        Self { verifier: Arc::new(verifier), settings: Arc::new(settings) }
    }

    /// Sets the challenge. The default is `Bearer` without parameters.
    ///
    /// Its scheme is also the scheme that is expected in `Authorization`. Its parameters are sent
    /// if a token is missing, is invalid or lacks scopes; `error_uri` only together with an error.
    ///
    /// # Errors
    ///
    /// Returns an error if the challenge has an `error` parameter, which would be sent even if a
    /// request has no token.
    ///
    /// # Security
    ///
    /// Browsers send credentials for the schemes `Basic`, `Digest`, `Negotiate` and `NTLM` on their
    /// own. A token in `Authorization` is then ambient, and the cross-site check applies to it, as
    /// to a [`cookie`](TokenLocation::cookie).
    pub fn challenge(mut self, challenge: Challenge) -> Result<Self, ConfigError> {
        challenge.with_param("error", "invalid_token")?;
        let settings = Arc::make_mut(&mut self.settings);
        *settings = settings.clone().with_challenge(challenge);
        Ok(self)
    }

    /// Reads tokens from this location. Call this method again for each further location.
    ///
    /// The first call replaces the default, [`TokenLocation::authorization`]. If a location is set
    /// twice, a token there counts as two, and its request is rejected with 500.
    #[must_use]
    pub fn token_from(mut self, location: TokenLocation) -> Self {
        Arc::make_mut(&mut self.settings).locations.push(location);
        self
    }

    /// Accepts tokens that are bound to a key if this binding confirms them. Call this method again
    /// for each further binding.
    ///
    /// With two bindings of the same scheme, requests with bound tokens are rejected with 500: the
    /// second one would reject each proof that the first one has accepted.
    #[must_use]
    pub fn binding(mut self, binding: impl Binding + 'static) -> Self {
        let settings = Arc::make_mut(&mut self.settings);
        let mut bindings = settings.bindings.clone();
        bindings.push(Arc::new(binding));
        *settings = settings.clone().with_bindings(bindings, settings.requires_binding);
        self
    }

    /// Rejects tokens that are not bound to a key. By default, the issuer decides which of its
    /// tokens are bound.
    ///
    /// Without a [`binding`](Self::binding), requests with a valid token are then rejected with
    /// 500.
    #[must_use]
    pub fn require_binding(mut self) -> Self {
        let settings = Arc::make_mut(&mut self.settings);
        *settings = settings.clone().with_bindings(settings.bindings.clone(), true);
        self
    }

    /// Changes the principal of each valid token, and keeps the settings.
    ///
    /// See [`TokenVerifier::map_principal`]. The closure runs for each request, before the
    /// [`binding`](Self::binding) confirms the key.
    ///
    /// ```
    /// use tower_auth::{Principal, bearer::{BearerAuth, TokenVerifier}};
    ///
    /// fn with_scopes<V: TokenVerifier>(tokens: BearerAuth<V>) -> BearerAuth<impl TokenVerifier> {
    ///     tokens.map_principal(|caller: Principal| match caller.subject() {
    ///         "batch" => caller.to_builder().scopes(["orders:read"]).build(),
    ///         _ => caller,
    ///     })
    /// }
    /// ```
    #[must_use]
    pub fn map_principal<F>(self, map: F) -> BearerAuth<MapPrincipal<Arc<V>, F>>
    where
        F: Fn(Principal) -> Principal + Send + Sync + 'static,
    {
        let verifier = Arc::new(MapPrincipal::new(self.verifier, map));
        BearerAuth { verifier, settings: self.settings }
    }

    /// Verifies a token without a request, for example one from a WebSocket message.
    ///
    /// The result is the same as for a request with this token. A token that is bound to a key is
    /// rejected, because there is no request that could prove the possession of the key.
    ///
    /// ```
    /// use tower_auth::JwtAuth;
    ///
    /// async fn log_in(tokens: &JwtAuth, message: &str) -> Option<String> {
    ///     let caller = tokens.verify(message).await.ok()?;
    ///     Some(caller.subject().to_owned())
    /// }
    /// ```
    ///
    /// # Security
    ///
    /// The result holds at the time of the call. Close a long connection when
    /// [`expires_at`](Principal::expires_at) has passed.
    pub fn verify(&self, token: &str) -> Verification {
        TokenVerifier::verify(self, token)
    }

    /// Verifies a token, and confirms that the caller has the key to which it is bound, if any.
    #[inline]
    fn authenticate_token(&self, token: &[u8], sent: Sent, head: &Parts) -> Authentication {
        let settings = &self.settings;
        match self.verifier.verify_request(token, head).into_ready() {
            Ok(result) => match settings.present(result, token, sent) {
                Ok(principal) if settings.is_plain(&principal, sent) => {
                    Authentication::ready(Ok(principal))
                }
                Ok(principal) => {
                    let evidence = |binding: &dyn Binding| binding.evidence(head);
                    settings.confirm(principal, evidence, token, sent)
                }
                Err(rejection) => Authentication::ready(Err(rejection)),
            },
            Err(pending) => {
                // The request is not available any more when the verification ends.
                let bindings = settings.bindings.iter();
                let evidence: Vec<_> = bindings.map(|binding| binding.evidence(head)).collect();
                let (settings, token) = (Arc::clone(settings), Box::<[u8]>::from(token));
                Authentication::pending(async move {
                    match settings.present(pending.await, &token, sent) {
                        Ok(principal) if !settings.is_plain(&principal, sent) => {
                            let mut evidence = evidence.into_iter();
                            let evidence = |_: &dyn Binding| evidence.next().flatten();
                            settings.confirm(principal, evidence, &token, sent).await
                        }
                        result => result.into(),
                    }
                })
            }
        }
    }

    /// Verifies a token as part of another verifier, and adds the challenge to the result.
    fn verify_with(&self, verify: impl FnOnce(&V) -> Verification, token: &[u8]) -> Verification {
        if let Err(error) = within_bounds(token, self.settings.max_token_bytes) {
            return Verification::ready(Err(error.into()));
        }
        match verify(&self.verifier).into_ready() {
            Ok(result) => Verification::ready(self.settings.present(result, token, Sent::OWN)),
            Err(pending) => {
                let settings = Arc::clone(&self.settings);
                let token = Box::<[u8]>::from(token);
                Verification::pending(
                    async move { settings.present(pending.await, &token, Sent::OWN) },
                )
            }
        }
    }
}

impl<V: TokenVerifier> Authenticator for BearerAuth<V> {
    fn authenticate(&self, head: &Parts) -> Option<Authentication> {
        let settings = &self.settings;
        let bound_scheme = settings.bound_scheme_of(head);
        let scheme = settings.sent_with(bound_scheme).scheme;
        let is_ambient = settings.is_scheme_ambient && bound_scheme.is_none();
        let located = locate(&settings.locations, head, scheme, is_ambient)?;
        if located.is_ambient
            && let Err(rejection) = settings.cross_site.check(head)
        {
            return Some(Authentication::ready(Err(rejection.of_scheme(scheme))));
        }
        let sent = match located.is_authorization {
            true => Sent { bound_scheme, is_authorization: true },
            false => Sent { bound_scheme: None, is_authorization: false },
        };
        let token = located.token.as_deref().map_err(|error| *error);
        Some(match token.and_then(|token| within_bounds(token, settings.max_token_bytes)) {
            Ok(token) => self.authenticate_token(token, sent, head),
            Err(error) => {
                let rejection = settings.reject_unreadable(error, sent).of_scheme(scheme);
                Authentication::ready(Err(rejection))
            }
        })
    }

    fn challenges(&self, _: &Parts) -> Challenges {
        self.settings.challenges.clone()
    }

    fn conceal(&self, head: &mut Parts) {
        conceal_authorization(&mut head.headers);
        self.settings.locations.iter().for_each(|location| location.conceal(head));
        self.settings.bindings.iter().for_each(|binding| binding.conceal(head));
    }
}

/// For [`Issuers`](crate::jwt::Issuers), `Tenants` and verifiers around this one. The locations and
/// the binding are not used.
impl<V: TokenVerifier> TokenVerifier for BearerAuth<V> {
    fn verify(&self, token: &str) -> Verification {
        self.verify_with(|verifier| verifier.verify(token).map(reject_bound), token.as_bytes())
    }

    fn verify_unconfirmed(&self, token: &str) -> Verification {
        self.verify_with(|verifier| verifier.verify_unconfirmed(token), token.as_bytes())
    }

    fn verify_request(&self, token: &[u8], head: &Parts) -> Verification {
        self.verify_with(|verifier| verifier.verify_request(token, head), token)
    }

    fn issuers(&self) -> &[Arc<str>] {
        self.verifier.issuers()
    }

    fn is_ready(&self) -> bool {
        self.verifier.is_ready()
    }

    fn settings(&self) -> Option<&BearerSettings> {
        Some(&self.settings)
    }

    #[cfg(feature = "health")]
    fn key_health(&self) -> Vec<crate::health::component::ComponentHealth> {
        self.verifier.key_health()
    }
}

impl<V> Clone for BearerAuth<V> {
    fn clone(&self) -> Self {
        Self { verifier: Arc::clone(&self.verifier), settings: Arc::clone(&self.settings) }
    }
}

impl<V: TokenVerifier> fmt::Debug for BearerAuth<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BearerAuth")
            .field("challenge", &self.settings.presented.challenge)
            .field("issuers", &Redacted::all(self.verifier.issuers()))
            .field("locations", &self.settings.locations)
            .finish_non_exhaustive()
    }
}
