#[cfg(feature = "issue")]
use std::str;
use std::{fmt, sync::Arc, time::SystemTime};

#[cfg(feature = "issue")]
use bytes::Bytes;
use http::request::Parts;
use jsonwebtoken::Algorithm;

#[cfg(feature = "issue")]
use super::reference::ReferenceTokens;
use super::{
    error::TokenError,
    jws::{
        compact::{self, Buffer, Compact},
        header::{Header, KnownHeader},
    },
    keys::{prepared::PreparedKeys, source::KeyStore},
    validation::Validation,
};
#[cfg(feature = "health")]
use crate::health::component::ComponentHealth;
#[cfg(feature = "issue")]
use crate::later::Later;
#[cfg(feature = "revocation")]
use crate::revocation::revocations::Revocations;
use crate::{
    bearer::verifier::{TokenVerifier, Verification, reject_bound},
    clock::Clock,
    principal::{Principal, claims_set::ClaimsSet},
    rejection::{Rejection, RejectionKind},
    url::Redacted,
};
#[cfg(feature = "jwks")]
use crate::{
    credentials::authorization::single_token,
    jwks::{live_keys::LiveKeys, state::FetchProgress},
};

/// Verifies JWTs: the verifier of a [`JwtAuth`](crate::JwtAuth), whose builder creates it.
pub struct JwtVerifier(Arc<VerifierState>);

/// The keys and the rules. Requests that wait for keys share them.
struct VerifierState {
    keys: KeyStore,
    validation: Validation,
    clock: Arc<dyn Clock>,
    #[cfg(feature = "token-cache")]
    cache: Option<super::cache::VerifiedTokens>,
    #[cfg(feature = "revocation")]
    revocations: Option<Revocations>,
    /// Tokens of the issuer that are not JWTs.
    #[cfg(feature = "issue")]
    references: Option<Arc<dyn ReferenceTokens>>,
}

impl JwtVerifier {
    pub(crate) fn new(
        keys: KeyStore,
        validation: Validation,
        clock: Arc<dyn Clock>,
        #[cfg(feature = "token-cache")] cache: Option<super::cache::VerifiedTokens>,
        #[cfg(feature = "revocation")] revocations: Option<Revocations>,
        #[cfg(feature = "issue")] references: Option<Arc<dyn ReferenceTokens>>,
    ) -> Self {
        Self(Arc::new(VerifierState {
            keys,
            validation,
            clock,
            #[cfg(feature = "token-cache")]
            cache,
            #[cfg(feature = "revocation")]
            revocations,
            #[cfg(feature = "issue")]
            references,
        }))
    }

    pub(crate) fn keys(&self) -> &KeyStore {
        &self.0.keys
    }

    /// Verifies a token with the current keys of a live issuer, or with the `fixed` ones.
    ///
    /// Waits for a refresh if there are no usable keys, or if verification failed and a newer key
    /// set might contain the key of the token.
    #[cfg(feature = "jwks")]
    fn verify_or_refresh(
        &self,
        token: &[u8],
        live: &LiveKeys,
        fixed: Option<&PreparedKeys>,
        now: SystemTime,
    ) -> Verification {
        let rules = &self.0;
        // Reading stale keys triggers a refresh, so reject malformed tokens first.
        if live.is_due(now)
            && let Err(error) = single_token(token)
        {
            return Verification::ready(Err(error.into()));
        }
        // Read this before the keys, so that a fetch which ends later counts as an update.
        let seen = live.fetch_progress();
        let failure = match live.current(now).as_deref().and_then(Option::as_ref) {
            None => None,
            Some(current) => match rules.verify(token, &current.keys, now) {
                Err(failure) if failure.is_about_key() => Some(failure),
                result => return Verification::ready(result.map_err(Rejection::from)),
            },
        };
        if let Some(fixed) = fixed {
            match rules.verify(token, fixed, now) {
                Err(other) if other.is_about_key() => {}
                result => return Verification::ready(result.map_err(Rejection::from)),
            }
        }
        let failure = match failure {
            Some(failure) if !failure.is_unknown_key => {
                return Verification::ready(Err(failure.into()));
            }
            failure => failure,
        };
        // A malformed token must not trigger a fetch.
        if let Err(error) = single_token(token) {
            return Verification::ready(Err(error.into()));
        }
        let (rules, token) = (Arc::clone(rules), Box::from(token));
        Verification::pending(async move { rules.verify_after_refresh(token, seen, failure).await })
    }

    /// Verifies everything except revocation.
    #[inline]
    fn verify_signed(&self, token: &[u8]) -> Verification {
        let now = self.0.clock.now();
        match &self.0.keys {
            KeyStore::Fixed(keys) => {
                let result = self.0.verify(token, keys, now);
                Verification::ready(result.map_err(Rejection::from))
            }
            #[cfg(feature = "jwks")]
            KeyStore::Live { live, fixed } => {
                self.verify_or_refresh(token, live, fixed.as_ref(), now)
            }
        }
    }
}

impl JwtVerifier {
    #[inline]
    fn verify_unrevoked(&self, token: &[u8]) -> Verification {
        #[cfg(feature = "issue")]
        if let Some(references) = &self.0.references
            && let Some(claims) = references.claims_of(token)
        {
            return self.verify_reference(claims);
        }
        let verification = self.verify_signed(token);
        #[cfg(feature = "revocation")]
        if let Some(revocations) = &self.0.revocations {
            return revocations.check_later(verification);
        }
        verification
    }

    /// Checks the claims of a token that is not a JWT like those of a JWT.
    ///
    /// The token is not cached, and the store is asked about its revocation each time: such a token
    /// ends everywhere at the same time.
    #[cfg(feature = "issue")]
    fn verify_reference(&self, claims: Later<Result<Bytes, Rejection>>) -> Verification {
        let rules = Arc::clone(&self.0);
        let verification = claims.map(move |claims| {
            let checked = rules.check_reference(&claims?);
            checked.map_err(|error| VerifyError::from(error).into())
        });
        match &self.0.revocations {
            Some(revocations) => revocations.check_now_later(verification),
            None => verification,
        }
    }
}

impl TokenVerifier for JwtVerifier {
    fn verify(&self, token: &str) -> Verification {
        self.verify_unconfirmed(token).map(reject_bound)
    }

    fn verify_unconfirmed(&self, token: &str) -> Verification {
        self.verify_unrevoked(token.as_bytes())
    }

    /// Needs no check for UTF-8, which costs as much as a lookup in the cache.
    fn verify_request(&self, token: &[u8], _: &Parts) -> Verification {
        self.verify_unrevoked(token)
    }

    fn issuers(&self) -> &[Arc<str>] {
        &self.0.validation.issuers
    }

    #[cfg(feature = "jwks")]
    fn is_ready(&self) -> bool {
        match &self.0.keys {
            KeyStore::Fixed(_) => true,
            // An empty set counts: the issuer has withdrawn its keys.
            KeyStore::Live { live, .. } => live.has_fetched_set(),
        }
    }

    #[cfg(feature = "health")]
    fn key_health(&self) -> Vec<ComponentHealth> {
        let state = match &self.0.keys {
            KeyStore::Fixed(keys) => {
                ComponentHealth::new(None).with_text("state", "fixed").with("keys", keys.len())
            }
            #[cfg(feature = "jwks")]
            KeyStore::Live { live, .. } => live.checked_health().component(),
        };
        #[cfg(feature = "token-cache")]
        let state = match &self.0.cache {
            Some(cache) => {
                let (tokens, bytes) = cache.size();
                state.with("cached_tokens", tokens).with("cached_bytes", bytes)
            }
            None => state,
        };
        state.for_each(self.issuers())
    }
}

impl VerifierState {
    /// Returns the caller of a token that is cached with these keys, or verifies the token.
    ///
    /// The custom checks run on each request, also for cached tokens.
    fn verify(
        &self,
        token: &[u8],
        keys: &PreparedKeys,
        now: SystemTime,
    ) -> Result<Principal, VerifyError> {
        let principal = match self.lookup_cached(token, keys, now) {
            Some(principal) => principal,
            None => return self.verify_and_cache(token, keys, now),
        };
        self.validation.run_custom_checks(&principal)?;
        Ok(principal)
    }

    #[cfg(feature = "token-cache")]
    #[inline]
    fn lookup_cached(
        &self,
        token: &[u8],
        keys: &PreparedKeys,
        now: SystemTime,
    ) -> Option<Principal> {
        // The fixed keys never change, so their tokens are current for every live set. The reverse
        // does not hold: without a usable live set, its tokens are not accepted.
        let is_current = |generation| {
            generation == keys.generation
                || self.keys.fixed().is_some_and(|fixed| fixed.generation == generation)
        };
        self.cache.as_ref()?.get(token, is_current, now)
    }

    #[cfg(not(feature = "token-cache"))]
    #[inline]
    fn lookup_cached(&self, _: &[u8], _: &PreparedKeys, _: SystemTime) -> Option<Principal> {
        None
    }

    /// Verifies a token, changes its principal, runs the custom checks and adds the token to the
    /// cache, if there is one.
    fn verify_and_cache(
        &self,
        token: &[u8],
        keys: &PreparedKeys,
        now: SystemTime,
    ) -> Result<Principal, VerifyError> {
        let (principal, algorithm) = self.verify_uncached(token, keys, now)?;
        let principal = self.validation.map_principal(principal);
        self.validation.run_custom_checks(&principal)?;
        #[cfg(feature = "token-cache")]
        if let Some(cache) = &self.cache {
            cache.insert(token, algorithm, &principal, keys.generation, now);
        }
        let _ = algorithm;
        Ok(principal)
    }

    /// Checks the claims that the issuer has kept for a token.
    #[cfg(feature = "issue")]
    fn check_reference(&self, claims: &[u8]) -> Result<Principal, TokenError> {
        let claims = str::from_utf8(claims).ok().and_then(|json| ClaimsSet::parse(json.into()));
        let claims = claims.ok_or(TokenError::MalformedClaims)?;
        let principal = self.validation.build_principal(claims, self.clock.now())?;
        let principal = self.validation.map_principal(principal);
        self.validation.run_custom_checks(&principal)?;
        Ok(principal)
    }

    /// Verifies the signature, then reads the claims.
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
        let algorithm = self.verify_signature(token, keys, &mut buffer)?;
        let payload = compact::decode_payload(token.payload, &mut buffer)?;
        let claims = ClaimsSet::parse(payload.into()).ok_or(TokenError::MalformedClaims)?;
        let principal = self.validation.build_principal(claims, now)?;
        Ok((principal, algorithm))
    }

    /// Verifies the signature with the key that a known header selects, or reads the header.
    #[inline]
    fn verify_signature(
        &self,
        token: Compact<'_>,
        keys: &PreparedKeys,
        buffer: &mut Buffer,
    ) -> Result<Algorithm, VerifyError> {
        let signature = compact::decode(token.signature, buffer);
        let known = keys.header_memo.get(token.header);
        let is_verified = |known: &KnownHeader| {
            let signature = signature.as_ref();
            signature
                .is_ok_and(|signature| keys.verify_with_known_key(known, token.signed, signature))
        };
        match known {
            Some(known) if is_verified(known) => Ok(known.algorithm),
            Some(known) if known.is_only_key => {
                Err(signature.err().unwrap_or(TokenError::Signature).into())
            }
            known => {
                let tried = known.map(|known| known.key);
                self.verify_with_header(token, signature, keys, tried)
            }
        }
    }

    /// Reads the header, checks its type, and verifies the signature with the keys that it selects.
    ///
    /// `tried` is the position of a key that is known not to verify the signature.
    fn verify_with_header(
        &self,
        token: Compact<'_>,
        signature: Result<&[u8], TokenError>,
        keys: &PreparedKeys,
        tried: Option<usize>,
    ) -> Result<Algorithm, VerifyError> {
        let mut buffer = Buffer::new();
        let header = Header::parse(compact::decode(token.header, &mut buffer)?)?;
        header.check_type(&self.validation.token_types)?;
        let (algorithm, key_id) = (header.algorithm, header.key_id.as_deref());
        let verified =
            keys.verify_with_matching_keys(algorithm, key_id, token.signed, signature?, tried);
        let key = verified.map_err(|error| VerifyError {
            error,
            is_unknown_key: !keys.contains_key_id(key_id),
        })?;
        keys.remember_header(token.header, algorithm, key_id, key);
        Ok(algorithm)
    }

    /// Verifies a token again after each key refresh, until it is accepted or rejected.
    ///
    /// `failure` is the error with the current keys, or `None` if there are no usable keys.
    #[cfg(feature = "jwks")]
    async fn verify_after_refresh(
        &self,
        token: Box<[u8]>,
        mut seen: FetchProgress,
        mut failure: Option<VerifyError>,
    ) -> Result<Principal, Rejection> {
        let KeyStore::Live { live, .. } = &self.keys else {
            return Err(Rejection::new(RejectionKind::Misconfigured));
        };
        loop {
            let updated = live.wait_for_keys(&mut seen, failure.is_some()).await?;
            let now = self.clock.now();
            let current = live.current(now);
            match (current.as_deref().and_then(Option::as_ref), failure.take()) {
                (Some(_), Some(last)) if !updated => return Err(last.into()),
                (Some(current), _) => match self.verify(&token, &current.keys, now) {
                    Err(unknown) if unknown.is_unknown_key => failure = Some(unknown),
                    result => return result.map_err(Rejection::from),
                },
                // There are no usable keys (any more). The next iteration decides whether to wait
                // for another fetch or to return an error.
                (None, _) => {}
            }
        }
    }
}

/// Why verification of a token failed.
struct VerifyError {
    error: TokenError,
    /// Whether a newer key set might contain the key: the error concerns the signature, and no key
    /// has the `kid` of the token.
    #[cfg_attr(not(feature = "jwks"), allow(dead_code))]
    is_unknown_key: bool,
}

#[cfg(feature = "jwks")]
impl VerifyError {
    /// Returns whether another key could verify the token.
    fn is_about_key(&self) -> bool {
        matches!(self.error, TokenError::UnknownKey | TokenError::Signature)
    }
}

impl From<TokenError> for VerifyError {
    fn from(error: TokenError) -> Self {
        Self { error, is_unknown_key: false }
    }
}

impl From<VerifyError> for Rejection {
    fn from(failure: VerifyError) -> Self {
        Self::new(RejectionKind::InvalidCredentials).with_source(failure.error)
    }
}

impl fmt::Debug for JwtVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtVerifier")
            .field("issuers", &Redacted::all(&self.0.validation.issuers))
            .field("audiences", &Redacted::all(&self.0.validation.audiences))
            .finish_non_exhaustive()
    }
}
