use std::{fmt, sync::Arc, time::SystemTime};

use http::request::Parts;
use jsonwebtoken::Algorithm;

use super::{
    claims::{Claims, Granted},
    error::TokenError,
    jws::{
        compact::{self, Buffer, Compact},
        header::Header,
        header_memo::Usual,
    },
    keys::{prepared::PreparedKeys, skipped::SkippedKey, source::KeyStore},
    validation::{Valid, Validation},
};
use crate::{
    authenticate::{Authentication, Authenticator},
    bearer::token::{self as bearer, value_from_head},
    clock::Clock,
    header::{Challenge, Challenges, Scheme},
    principal::{Principal, PrincipalBuilder, Scopes, shared_text::SharedText},
    rejection::{Rejection, RejectionKind},
};

/// Authenticates by a JWT in `Authorization: Bearer`: see [the module](crate::jwt).
#[derive(Clone)]
pub struct JwtAuth(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) keys: KeyStore,
    pub(crate) validation: Validation,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) max_token_bytes: usize,
    pub(crate) challenge: Challenge,
    pub(crate) challenges: Challenges,
    pub(crate) invalid_token: Challenges,
    #[cfg(feature = "token-cache")]
    pub(crate) cache: Option<super::cache::VerifiedTokens>,
}

impl JwtAuth {
    /// The members of the key set, as it is now, that are not used, and why.
    #[must_use]
    pub fn skipped_keys(&self) -> Vec<SkippedKey> {
        match &self.0.keys {
            KeyStore::Given(keys) => keys.skipped.clone(),
            #[cfg(feature = "jwks")]
            KeyStore::Live(engine) => engine.health().skipped().to_vec(),
        }
    }

    /// How the keys of a live issuer are, or `None` where the keys were given: what a readiness probe shows.
    #[cfg(feature = "jwks")]
    #[must_use]
    pub fn health(&self) -> Option<crate::jwks::Health> {
        match &self.0.keys {
            KeyStore::Given(_) => None,
            KeyStore::Live(engine) => Some(engine.health()),
        }
    }

    pub(crate) fn issuers(&self) -> &[Arc<str>] {
        &self.0.validation.issuers
    }

    /// Checks a token that another validator found, whose bound may be another.
    pub(crate) fn check_within_bounds(&self, token: &[u8]) -> Authentication {
        let now = self.0.clock.now();
        // To look at keys that are due asks for others, which nothing may that is no token.
        if self.0.keys.are_due(now)
            && let Err(error) = bearer::token(token, self.0.max_token_bytes)
        {
            return Authentication::ready(Err(error.into()));
        }
        #[cfg(feature = "token-cache")]
        if let Some(known) = self.0.recall(token, now) {
            return Authentication::ready(known);
        }
        match bearer::within_bounds(token, self.0.max_token_bytes) {
            Ok(token) => self.check(token, now),
            Err(error) => Authentication::ready(Err(error.into())),
        }
    }

    pub(crate) fn refuse(&self, error: TokenError) -> Rejection {
        self.0.refuse(error)
    }

    /// Checks what follows `Bearer`. Only what is refused is looked at for more than a token: what is verified has been
    /// decoded, and nothing else can be.
    fn check(&self, token: &[u8], now: SystemTime) -> Authentication {
        let inner = &self.0;
        match &inner.keys {
            KeyStore::Given(keys) => Authentication::ready(
                inner.verify(token, keys, now).map_err(|r| inner.refuse_token(token, r.error)),
            ),
            #[cfg(feature = "jwks")]
            KeyStore::Live(engine) => {
                // Before the keys are read, so that whatever is fetched later counts as news.
                let seen = engine.fetch_counts();
                let refusal = match engine.current(now).as_deref().and_then(Option::as_ref) {
                    None => None,
                    Some(current) => match inner.verify(token, &current.keys, now) {
                        Ok(principal) => return Authentication::ready(Ok(principal)),
                        Err(Refusal { error, unknown: None }) => {
                            let refused = inner.refuse_token(token, error);
                            return Authentication::ready(Err(refused));
                        }
                        Err(refusal) => Some(refusal),
                    },
                };
                // Nothing is fetched for what is no token.
                let token = match bearer::single_token(token) {
                    Ok(token) => Box::from(token),
                    Err(error) => return Authentication::ready(Err(error.into())),
                };
                let inner = Arc::clone(inner);
                Authentication::pending(
                    async move { inner.verify_later(token, seen, refusal).await },
                )
            }
        }
    }
}

impl Authenticator for JwtAuth {
    type Future = Authentication;

    fn authenticate(&self, head: &Parts) -> Option<Authentication> {
        Some(match value_from_head(head)? {
            Ok(value) => self.check_within_bounds(value),
            Err(rejection) => Authentication::ready(Err(rejection)),
        })
    }

    fn into_ready(future: Self::Future) -> Result<<Self::Future as Future>::Output, Self::Future> {
        future.into_ready()
    }

    fn challenges(&self, _: &Parts) -> Challenges {
        self.0.challenges.clone()
    }
}

impl Inner {
    /// The answer for a token that was verified with the present keys already. Whatever else is sent is none of those.
    #[cfg(feature = "token-cache")]
    fn recall(&self, token: &[u8], now: SystemTime) -> Option<Result<Principal, Rejection>> {
        let cache = self.cache.as_ref()?;
        let found = match &self.keys {
            KeyStore::Given(keys) => cache.get(token, keys.generation, now)?,
            #[cfg(feature = "jwks")]
            KeyStore::Live(engine) => {
                let current = engine.current(now)?;
                cache.get(token, current.as_ref()?.keys.generation, now)?
            }
        };
        let checked = self.check(&found).map_err(|error| self.refuse(error));
        Some(checked.map(|()| found))
    }

    /// Verifies a token, and keeps it where that is asked for.
    fn verify(
        &self,
        token: &[u8],
        keys: &PreparedKeys,
        now: SystemTime,
    ) -> Result<Principal, Refusal> {
        let (principal, algorithm) = self.verify_anew(token, keys, now)?;
        #[cfg(feature = "token-cache")]
        if let Some(cache) = &self.cache {
            cache.insert(token, algorithm, &principal, keys.generation, now);
        }
        let _ = algorithm;
        Ok(principal)
    }

    /// What users check on top, also of tokens that were verified before.
    fn check(&self, principal: &Principal) -> Result<(), TokenError> {
        self.validation
            .checks
            .iter()
            .try_for_each(|check| check(principal))
            .map_err(TokenError::Check)
    }

    /// The order is that of RFC 8725: nothing in the payload counts, or is read, until the signature
    /// held.
    fn verify_anew(
        &self,
        token: &[u8],
        keys: &PreparedKeys,
        now: SystemTime,
    ) -> Result<(Principal, Algorithm), Refusal> {
        let token = Compact::parse(token)?;
        let mut buffer = Buffer::new();
        let signature = compact::decode(token.signature, &mut buffer);
        let usual = keys.usual.find(token.header);
        let is_good = |usual: &Usual| {
            let signature = signature.as_ref();
            signature.is_ok_and(|signature| keys.verify_usual(usual, token.signed, signature))
        };
        let algorithm = match usual {
            Some(usual) if is_good(usual) => usual.algorithm,
            Some(usual) if usual.alone => {
                return Err(signature.err().unwrap_or(TokenError::Signature).into());
            }
            usual => {
                let mut buffer = Buffer::new();
                let header = Header::parse(compact::decode(token.header, &mut buffer)?)?;
                self.validation.check_header(&header)?;
                let (algorithm, name) = (header.algorithm, header.key_id.as_deref());
                let tried = usual.map(|usual| usual.key);
                let verified = keys.verify(algorithm, name, token.signed, signature?, tried);
                let key = verified.map_err(|error| Refusal {
                    error,
                    unknown: (!keys.has(name)).then(|| name.map(Box::from)),
                })?;
                keys.remember(token.header, algorithm, name, key);
                algorithm
            }
        };

        let payload = compact::decode_payload(token.payload, &mut buffer)?;
        let mut claims = Claims::default();
        claims.read(payload, self.validation.wanted())?;
        let Valid { subject, issuer, expires_at } = self.validation.check_claims(&claims, now)?;
        let text = Arc::from(payload);
        let part = |part: &str| SharedText::part_of(&text, payload, part);
        let principal = PrincipalBuilder {
            subject: part(subject),
            scheme: Scheme::BEARER,
            issuer,
            scopes: match claims.scopes {
                Granted::Delimited(scopes) => Scopes::delimited(scopes, part),
                Granted::Scopes(scopes) => scopes,
            },
            expires_at,
            challenge: Some(self.challenge.clone()),
            claims: Some(text),
        };
        let principal = principal.build();
        self.check(&principal)?;
        Ok((principal, algorithm))
    }

    /// Checks a token again as keys arrive that it may be waiting for.
    #[cfg(feature = "jwks")]
    async fn verify_later(
        &self,
        token: Box<[u8]>,
        mut seen: crate::jwks::state::FetchCounts,
        mut refusal: Option<Refusal>,
    ) -> Result<Principal, Rejection> {
        let KeyStore::Live(engine) = &self.keys else {
            return Err(Rejection::new(RejectionKind::Misconfigured));
        };
        loop {
            let name = refusal.as_ref().and_then(|refusal| refusal.unknown.as_ref());
            let news = engine.wait_for_keys(&mut seen, name).await?;
            let now = self.clock.now();
            let current = engine.current(now);
            match (current.as_deref().and_then(Option::as_ref), refusal.take()) {
                (Some(current), last) if news || last.is_none() => {
                    match self.verify(&token, &current.keys, now) {
                        Ok(principal) => return Ok(principal),
                        Err(Refusal { error, unknown: None }) => return Err(self.refuse(error)),
                        Err(unknown) => refusal = Some(unknown),
                    }
                }
                (_, Some(last)) => return Err(self.refuse(last.error)),
                // The fetch that ended had failed: what to do about that is said by the next look.
                (_, None) => {}
            }
        }
    }

    /// Refuses what may be no token at all, or a token with something behind it (RFC 6750 §3.1).
    fn refuse_token(&self, token: &[u8], error: TokenError) -> Rejection {
        match bearer::single_token(token) {
            Ok(_) => self.refuse(error),
            Err(error) => error.into(),
        }
    }

    fn refuse(&self, error: TokenError) -> Rejection {
        Rejection::new(RejectionKind::InvalidCredentials)
            .with_challenges(self.invalid_token.clone())
            .caused_by(error)
    }
}

/// Why a token was refused.
struct Refusal {
    error: TokenError,
    /// The name that it gives to its key, if any, where no key has that name: another set may tell more.
    #[cfg_attr(not(feature = "jwks"), allow(dead_code))]
    unknown: Option<Option<Box<str>>>,
}

impl From<TokenError> for Refusal {
    fn from(error: TokenError) -> Self {
        Self { error, unknown: None }
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
