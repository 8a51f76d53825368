use std::{fmt, sync::Arc, time::SystemTime};

#[cfg(feature = "jwt")]
use super::claims::ClaimsError;
use super::{scopes::Scopes, shared_text::SharedText};
use crate::header::{Challenge, Scheme};

/// Who the caller is, whatever scheme found it out.
///
/// [`AuthenticateLayer`](crate::AuthenticateLayer) puts it into the request's extensions, where
/// policies, handlers and extractors read it. It is cheap to clone.
///
/// Tests and schemes of your own build one:
///
/// ```
/// use tower_auth::{Principal, Scheme};
///
/// let caller = Principal::builder("alice", Scheme::BASIC).scopes(["orders:read"]).build();
/// assert_eq!(caller.subject(), "alice");
/// assert!(caller.scopes().contains("orders:read"));
/// ```
#[derive(Clone)]
pub struct Principal(Arc<PrincipalBuilder>);

/// Builds a [`Principal`].
#[derive(Clone)]
#[must_use]
pub struct PrincipalBuilder {
    pub(crate) subject: SharedText,
    pub(crate) scheme: Scheme,
    pub(crate) issuer: Option<Arc<str>>,
    pub(crate) scopes: Scopes,
    pub(crate) expires_at: Option<SystemTime>,
    pub(crate) challenge: Option<Challenge>,
    #[cfg(feature = "jwt")]
    pub(crate) claims: Option<Arc<str>>,
}

impl Principal {
    /// Starts with what every principal has: a subject, and the scheme that found it out.
    #[inline]
    pub fn builder(subject: impl Into<Arc<str>>, scheme: Scheme) -> PrincipalBuilder {
        PrincipalBuilder {
            subject: subject.into().into(),
            scheme,
            issuer: None,
            scopes: Scopes::default(),
            expires_at: None,
            challenge: None,
            #[cfg(feature = "jwt")]
            claims: None,
        }
    }

    /// The caller's name: the user-id of Basic, the `sub` claim of a JWT. It is unique within its
    /// issuer only.
    #[must_use]
    pub fn subject(&self) -> &str {
        self.0.subject.as_str()
    }

    /// The scheme that the caller used.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.0.scheme
    }

    /// Who vouches for the caller: the `iss` claim of a JWT.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.0.issuer.as_deref()
    }

    /// What the caller was granted.
    #[must_use]
    pub fn scopes(&self) -> &Scopes {
        &self.0.scopes
    }

    /// When what we know of the caller ends: the `exp` claim of a JWT, without leeway.
    #[must_use]
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.0.expires_at
    }

    /// How the caller's scheme challenges, for refusals by a policy to build on.
    #[must_use]
    pub fn challenge(&self) -> Option<&Challenge> {
        self.0.challenge.as_ref()
    }

    /// Reads the claims as a type of yours, borrowing from the principal where the type does.
    ///
    /// ```
    /// use serde::Deserialize;
    /// use tower_auth::{Principal, Scheme};
    ///
    /// #[derive(Deserialize)]
    /// struct Tenant<'a> {
    ///     tenant: &'a str,
    /// }
    ///
    /// let caller = Principal::builder("alice", Scheme::BEARER)
    ///     .claims(&serde_json::json!({ "sub": "alice", "tenant": "acme" }))?
    ///     .build();
    /// assert_eq!(caller.claims::<Tenant<'_>>()?.tenant, "acme");
    /// # Ok::<(), tower_auth::ClaimsError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the scheme knows no claims, as Basic does not, or if they do not fit the type.
    #[cfg(feature = "jwt")]
    pub fn claims<'a, C: serde::Deserialize<'a>>(&'a self) -> Result<C, ClaimsError> {
        let claims = self.0.claims.as_deref().ok_or(ClaimsError::none())?;
        serde_json::from_str(claims).map_err(|error| ClaimsError::shape(&error))
    }
}

#[cfg(feature = "token-cache")]
impl Principal {
    /// What it takes in memory beyond its own size, in bytes, at most: what is a part of the claims counts as if it were not.
    pub(crate) fn bytes(&self) -> usize {
        let claims = self.0.claims.as_deref().map_or(0, str::len);
        claims + self.subject().len() + self.0.scopes.bytes()
    }
}

impl PrincipalBuilder {
    /// Who vouches for the caller.
    #[inline]
    pub fn issuer(mut self, issuer: impl Into<Arc<str>>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    /// What the caller was granted: one scope an item, however it is spelt.
    pub fn scopes<I>(mut self, scopes: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        self.scopes = scopes.into_iter().collect();
        self
    }

    /// When what we know of the caller ends.
    #[inline]
    pub fn expires_at(mut self, end: SystemTime) -> Self {
        self.expires_at = Some(end);
        self
    }

    /// How the caller's scheme challenges. A 403 adds its `error` and `scope` to it.
    #[inline]
    pub fn challenge(mut self, challenge: Challenge) -> Self {
        self.challenge = Some(challenge);
        self
    }

    /// The claims that [`Principal::claims`] reads.
    ///
    /// # Errors
    ///
    /// If the claims cannot be written as JSON.
    #[cfg(feature = "jwt")]
    pub fn claims<C: serde::Serialize + ?Sized>(self, claims: &C) -> Result<Self, ClaimsError> {
        let json = serde_json::to_string(claims).map_err(|error| ClaimsError::shape(&error))?;
        Ok(Self { claims: Some(json.into()), ..self })
    }

    /// The principal.
    #[must_use]
    #[inline]
    pub fn build(self) -> Principal {
        Principal(Arc::new(self))
    }
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.describe("Principal", f)
    }
}

impl fmt::Debug for PrincipalBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.describe("PrincipalBuilder", f)
    }
}

impl PrincipalBuilder {
    /// Claims stay out: they may hold what belongs in no log.
    fn describe(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(name)
            .field("subject", &self.subject.as_str())
            .field("scheme", &self.scheme)
            .field("issuer", &self.issuer)
            .field("scopes", &self.scopes)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}
