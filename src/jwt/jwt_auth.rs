use std::{fmt, sync::Arc, time::SystemTime};

use http::request::Parts;
use jsonwebtoken::Algorithm;

use super::{
    claims::{Claims, ScopeClaim},
    error::TokenError,
    jws::{
        compact::{self, Buffer, Compact},
        header::Header,
        header_memo::KnownHeader,
    },
    keys::{prepared::PreparedKeys, skipped::SkippedKey, source::KeyStore},
    validation::{ValidClaims, Validation},
};
use crate::{
    authenticate::{Authentication, Authenticator},
    bearer::token::{self as bearer, value_from_head},
    clock::Clock,
    header::{Challenge, Challenges, Scheme},
    principal::{Principal, PrincipalBuilder, Scopes, shared_text::SharedText},
    rejection::{Rejection, RejectionKind},
};

/// Authenticates requests with a JWT in `Authorization: Bearer`.
///
/// See [the module](crate::jwt) for an example and for what is verified. Clones share their keys
/// and their token cache.
#[derive(Clone)]
pub struct JwtAuth(pub(crate) Arc<JwtVerifier>);

/// The keys, rules and challenges that all clones of a [`JwtAuth`] share.
pub(crate) struct JwtVerifier {
    pub(crate) keys: KeyStore,
    pub(crate) validation: Validation,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) max_token_bytes: usize,
    pub(crate) challenge: Challenge,
    pub(crate) challenges: Challenges,
    pub(crate) invalid_token_challenges: Challenges,
    #[cfg(feature = "token-cache")]
    pub(crate) cache: Option<super::cache::VerifiedTokens>,
}

impl JwtAuth {
    /// Returns the members of the current key set that are not used, with the reason for each.
    #[must_use]
    pub fn skipped_keys(&self) -> Vec<SkippedKey> {
        match &self.0.keys {
            KeyStore::Given(keys) => keys.skipped.clone(),
            #[cfg(feature = "jwks")]
            KeyStore::Live(live) => live.health().skipped().to_vec(),
        }
    }

    /// Returns the state of fetched keys, for example for a readiness probe.
    ///
    /// Returns `None` if the keys are configured in the program.
    #[cfg(feature = "jwks")]
    #[must_use]
    pub fn health(&self) -> Option<crate::jwks::Health> {
        match &self.0.keys {
            KeyStore::Given(_) => None,
            KeyStore::Live(live) => Some(live.health()),
        }
    }

    pub(crate) fn issuers(&self) -> &[Arc<str>] {
        &self.0.validation.issuers
    }

    /// Authenticates a token from the cache or by verification.
    ///
    /// `token` is the value after `Bearer`. Its size is checked here because [`Issuers`] and
    /// `Tenants` apply their own limit when they extract a token.
    ///
    /// [`Issuers`]: crate::jwt::Issuers
    pub(crate) fn authenticate_token(&self, token: &[u8]) -> Authentication {
        let now = self.0.clock.now();
        // Reading stale keys triggers a refresh, so reject malformed tokens first.
        if self.0.keys.is_refresh_due(now)
            && let Err(error) = bearer::token(token, self.0.max_token_bytes)
        {
            return Authentication::ready(Err(error.into()));
        }
        #[cfg(feature = "token-cache")]
        if let Some(cached) = self.0.lookup_cached(token, now) {
            return Authentication::ready(cached);
        }
        match bearer::within_bounds(token, self.0.max_token_bytes) {
            Ok(token) => self.verify_or_refresh(token, now),
            Err(error) => Authentication::ready(Err(error.into())),
        }
    }

    pub(crate) fn reject(&self, error: TokenError) -> Rejection {
        self.0.reject(error)
    }

    /// Verifies a token with the current keys.
    ///
    /// With live keys, waits for a refresh if there are no usable keys, or if verification failed
    /// and a newer key set might contain the key of the token.
    ///
    /// The token syntax is checked only after a failure: a value that is not a single token cannot
    /// be decoded, so it cannot pass verification.
    fn verify_or_refresh(&self, token: &[u8], now: SystemTime) -> Authentication {
        let verifier = &self.0;
        match &verifier.keys {
            KeyStore::Given(keys) => Authentication::ready(
                verifier
                    .verify_and_cache(token, keys, now)
                    .map_err(|failure| verifier.reject_token(token, failure.error)),
            ),
            #[cfg(feature = "jwks")]
            KeyStore::Live(live) => {
                // Read this before the keys, so that a fetch which ends later counts as an update.
                let seen = live.fetch_counts();
                let failure = match live.current(now).as_deref().and_then(Option::as_ref) {
                    None => None,
                    Some(current) => match verifier.verify_and_cache(token, &current.keys, now) {
                        Ok(principal) => return Authentication::ready(Ok(principal)),
                        Err(VerifyError { error, unknown_key: None }) => {
                            let rejection = verifier.reject_token(token, error);
                            return Authentication::ready(Err(rejection));
                        }
                        Err(failure) => Some(failure),
                    },
                };
                // A malformed token must not trigger a fetch.
                let token = match bearer::single_token(token) {
                    Ok(token) => Box::from(token),
                    Err(error) => return Authentication::ready(Err(error.into())),
                };
                let verifier = Arc::clone(verifier);
                Authentication::pending(async move {
                    verifier.verify_after_refresh(token, seen, failure).await
                })
            }
        }
    }
}

impl Authenticator for JwtAuth {
    fn authenticate(&self, head: &Parts) -> Option<Authentication> {
        Some(match value_from_head(head)? {
            Ok(value) => self.authenticate_token(value),
            Err(rejection) => Authentication::ready(Err(rejection)),
        })
    }

    fn challenges(&self, _: &Parts) -> Challenges {
        self.0.challenges.clone()
    }
}

impl JwtVerifier {
    /// Returns the outcome for a token that is cached with the current keys, or `None`.
    ///
    /// The custom checks run on each request, also for cached tokens.
    #[cfg(feature = "token-cache")]
    fn lookup_cached(&self, token: &[u8], now: SystemTime) -> Option<Result<Principal, Rejection>> {
        let cache = self.cache.as_ref()?;
        let principal = match &self.keys {
            KeyStore::Given(keys) => cache.get(token, keys.generation, now)?,
            #[cfg(feature = "jwks")]
            KeyStore::Live(live) => {
                let current = live.current(now)?;
                cache.get(token, current.as_ref()?.keys.generation, now)?
            }
        };
        let checked = self.run_custom_checks(&principal).map_err(|error| self.reject(error));
        Some(checked.map(|()| principal))
    }

    /// Verifies a token and adds it to the cache, if there is one.
    fn verify_and_cache(
        &self,
        token: &[u8],
        keys: &PreparedKeys,
        now: SystemTime,
    ) -> Result<Principal, VerifyError> {
        let (principal, algorithm) = self.verify_uncached(token, keys, now)?;
        #[cfg(feature = "token-cache")]
        if let Some(cache) = &self.cache {
            cache.insert(token, algorithm, &principal, keys.generation, now);
        }
        let _ = algorithm;
        Ok(principal)
    }

    fn run_custom_checks(&self, principal: &Principal) -> Result<(), TokenError> {
        self.validation
            .custom_checks
            .iter()
            .try_for_each(|check| check(principal))
            .map_err(TokenError::Check)
    }

    /// Verifies the signature, then parses and checks the claims.
    ///
    /// The payload is not read before the signature is verified (RFC 8725).
    fn verify_uncached(
        &self,
        token: &[u8],
        keys: &PreparedKeys,
        now: SystemTime,
    ) -> Result<(Principal, Algorithm), VerifyError> {
        let token = Compact::parse(token)?;
        let mut buffer = Buffer::new();
        let signature = compact::decode(token.signature, &mut buffer);
        let known = keys.header_memo.get(token.header);
        let is_verified = |known: &KnownHeader| {
            let signature = signature.as_ref();
            signature.is_ok_and(|signature| {
                keys.verify_with_known_header(known, token.signed, signature)
            })
        };
        let algorithm = match known {
            Some(known) if is_verified(known) => known.algorithm,
            Some(known) if known.is_only_key => {
                return Err(signature.err().unwrap_or(TokenError::Signature).into());
            }
            known => {
                let mut buffer = Buffer::new();
                let header = Header::parse(compact::decode(token.header, &mut buffer)?)?;
                self.validation.check_header(&header)?;
                let (algorithm, key_id) = (header.algorithm, header.key_id.as_deref());
                let tried = known.map(|known| known.key);
                let verified =
                    keys.verify_signature(algorithm, key_id, token.signed, signature?, tried);
                let key = verified.map_err(|error| VerifyError {
                    error,
                    unknown_key: (!keys.contains_key_id(key_id)).then(|| key_id.map(Box::from)),
                })?;
                keys.remember_header(token.header, algorithm, key_id, key);
                algorithm
            }
        };

        let payload = compact::decode_payload(token.payload, &mut buffer)?;
        let mut claims = Claims::default();
        claims.read(payload, self.validation.claim_names())?;
        let ValidClaims { subject, issuer, expires_at } =
            self.validation.check_claims(&claims, now)?;
        let text = Arc::from(payload);
        let part = |part: &str| SharedText::part_of(&text, payload, part);
        let principal = PrincipalBuilder {
            subject: part(subject),
            scheme: Scheme::BEARER,
            issuer,
            scopes: match claims.scopes {
                ScopeClaim::Delimited(scopes) => Scopes::from_delimited_with(scopes, part),
                ScopeClaim::Parsed(scopes) => scopes,
            },
            expires_at,
            challenge: Some(self.challenge.clone()),
            claims: Some(text),
        };
        let principal = principal.build();
        self.run_custom_checks(&principal)?;
        Ok((principal, algorithm))
    }

    /// Verifies a token again after each key refresh, until it is accepted or rejected.
    ///
    /// `failure` is the error with the current keys, or `None` if there are no usable keys.
    #[cfg(feature = "jwks")]
    async fn verify_after_refresh(
        &self,
        token: Box<[u8]>,
        mut seen: crate::jwks::state::FetchCounts,
        mut failure: Option<VerifyError>,
    ) -> Result<Principal, Rejection> {
        let KeyStore::Live(live) = &self.keys else {
            return Err(Rejection::new(RejectionKind::Misconfigured));
        };
        loop {
            let key_id = failure.as_ref().and_then(|failure| failure.unknown_key.as_ref());
            let updated = live.wait_for_keys(&mut seen, key_id).await?;
            let now = self.clock.now();
            let current = live.current(now);
            match (current.as_deref().and_then(Option::as_ref), failure.take()) {
                (Some(current), last) if updated || last.is_none() => {
                    match self.verify_and_cache(&token, &current.keys, now) {
                        Ok(principal) => return Ok(principal),
                        Err(VerifyError { error, unknown_key: None }) => {
                            return Err(self.reject(error));
                        }
                        Err(unknown) => failure = Some(unknown),
                    }
                }
                (_, Some(last)) => return Err(self.reject(last.error)),
                // There are no keys, because the fetch failed. The next iteration decides whether
                // to wait for another fetch or to return an error.
                (_, None) => {}
            }
        }
    }

    /// Rejects a value that failed verification: as a malformed request if it is not a single token
    /// (RFC 6750 §3.1), otherwise as an invalid token.
    fn reject_token(&self, token: &[u8], error: TokenError) -> Rejection {
        match bearer::single_token(token) {
            Ok(_) => self.reject(error),
            Err(error) => error.into(),
        }
    }

    fn reject(&self, error: TokenError) -> Rejection {
        Rejection::new(RejectionKind::InvalidCredentials)
            .with_challenges(self.invalid_token_challenges.clone())
            .with_source(error)
    }
}

/// Why verification of a token failed.
struct VerifyError {
    error: TokenError,
    /// The `kid` of the token, if any, when a newer key set might contain the key. `None` if a key
    /// with this id exists, or if the error does not concern the signature.
    #[cfg_attr(not(feature = "jwks"), allow(dead_code))]
    unknown_key: Option<Option<Box<str>>>,
}

impl From<TokenError> for VerifyError {
    fn from(error: TokenError) -> Self {
        Self { error, unknown_key: None }
    }
}

impl fmt::Debug for JwtAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtAuth")
            .field("challenge", &self.0.challenge)
            .field("issuers", &self.0.validation.issuers)
            .field("audiences", &self.0.validation.audiences)
            .finish_non_exhaustive()
    }
}
