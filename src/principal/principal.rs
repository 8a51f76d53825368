use std::{fmt, sync::Arc, time::SystemTime};

#[cfg(feature = "jwt")]
use super::claims::ClaimsError;
use super::{scopes::Scopes, shared_text::SharedText};
#[cfg(feature = "jwt")]
use crate::binding::cnf::Cnf;
use crate::{
    header::{Challenge, Scheme},
    one_or_many::OneOrMany,
};

/// The authenticated caller of a request.
///
/// [`AuthenticateLayer`](crate::AuthenticateLayer) inserts it into the extensions of the request,
/// where policies, handlers and extractors read it. Cloning it increments a reference count.
///
/// Tests and custom schemes create one with a builder:
///
/// ```
/// use tower_auth::{Principal, Scheme};
///
/// let caller = Principal::builder("alice", Scheme::BASIC).scopes(["orders:read"]).build();
/// assert_eq!(caller.subject(), "alice");
/// assert!(caller.scopes().contains("orders:read"));
/// ```
#[derive(Clone)]
pub struct Principal {
    verified: Arc<PrincipalBuilder>,
    presented: Option<Arc<Presented>>,
}

/// How the caller presented its credentials.
///
/// It is separate from what was verified, so that the principal of a cached token can get the
/// scheme and the challenge of a layer without a copy.
#[derive(Debug)]
pub(crate) struct Presented {
    pub(crate) scheme: Scheme,
    pub(crate) challenge: Challenge,
}

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
    #[cfg(feature = "jwt")]
    pub(crate) confirmation: Option<Arc<Cnf>>,
}

impl Principal {
    /// Creates a builder. Every principal has a subject, and the scheme that authenticated it.
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
            #[cfg(feature = "jwt")]
            confirmation: None,
        }
    }

    /// Returns the name of the caller: the user id of Basic, or the `sub` claim of a JWT.
    ///
    /// It is unique only together with the [`issuer`](Self::issuer).
    #[must_use]
    pub fn subject(&self) -> &str {
        self.verified.subject.as_str()
    }

    /// Returns the scheme that authenticated the caller.
    #[must_use]
    #[inline]
    pub fn scheme(&self) -> Scheme {
        self.presented.as_ref().map_or(self.verified.scheme, |presented| presented.scheme)
    }

    /// Returns the issuer of the credentials: the `iss` claim of a JWT.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.verified.issuer.as_deref()
    }

    /// Returns the scopes that the caller was granted.
    #[must_use]
    pub fn scopes(&self) -> &Scopes {
        &self.verified.scopes
    }

    /// Returns when the credentials expire: the `exp` claim of a JWT, without leeway.
    #[must_use]
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.verified.expires_at
    }

    /// Returns the challenge of the scheme.
    ///
    /// If the scheme is Bearer, rejections by policies add their parameters to it.
    #[must_use]
    #[inline]
    pub fn challenge(&self) -> Option<&Challenge> {
        match &self.presented {
            Some(presented) => Some(&presented.challenge),
            None => self.verified.challenge.as_ref(),
        }
    }

    /// Returns the key to which the credentials are bound: the `cnf` claim of a JWT.
    ///
    /// For the caller of a request, a [`Binding`](crate::binding::Binding) has confirmed it.
    #[cfg(feature = "jwt")]
    #[must_use]
    #[inline]
    pub fn confirmation(&self) -> Option<&Cnf> {
        self.verified.confirmation.as_deref()
    }

    /// Returns a builder with everything that this principal has, to create a changed copy.
    ///
    /// ```
    /// use tower_auth::{Principal, Scheme};
    ///
    /// let caller = Principal::builder("alice", Scheme::BASIC).build();
    /// let caller = caller.to_builder().scopes(["orders:read"]).build();
    /// assert_eq!(caller.subject(), "alice");
    /// assert!(caller.scopes().contains("orders:read"));
    /// ```
    pub fn to_builder(&self) -> PrincipalBuilder {
        let mut builder = PrincipalBuilder::clone(&self.verified);
        builder.scheme = self.scheme();
        builder.challenge = self.challenge().cloned();
        builder
    }

    /// Sets the scheme and the challenge with which the caller presented its credentials.
    #[cfg(any(feature = "basic", feature = "jwt"))]
    #[inline]
    pub(crate) fn presented_as(self, presented: &Arc<Presented>) -> Self {
        Self { presented: Some(Arc::clone(presented)), ..self }
    }

    /// Deserializes the claims. The type may borrow from the principal.
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
    /// Returns an error if the caller has no claims, for example with Basic, or if they do not
    /// match the type.
    #[cfg(feature = "jwt")]
    pub fn claims<'a, C: serde::Deserialize<'a>>(&'a self) -> Result<C, ClaimsError> {
        let claims = self.verified.claims.as_deref().ok_or(ClaimsError::no_claims())?;
        serde_json::from_str(claims).map_err(|error| ClaimsError::mismatch(&error))
    }
}

#[cfg(feature = "jwt")]
impl Principal {
    /// Returns the claims as your own type. They are deserialized once for each type.
    ///
    /// # Errors
    ///
    /// Returns an error if the caller has no claims, for example with Basic, or if they do not
    /// match the type.
    pub fn claims_as<C>(&self) -> Result<Arc<C>, ClaimsError>
    where
        C: serde::de::DeserializeOwned + Send + Sync + 'static,
    {
        self.claims().map(Arc::new)
    }
}

#[cfg(feature = "token-cache")]
impl Principal {
    /// Returns an upper bound for the size of the referenced memory, in bytes.
    ///
    /// Texts that are shared with the claims are counted separately.
    pub(crate) fn heap_bytes(&self) -> usize {
        let claims = self.verified.claims.as_deref().map_or(0, str::len);
        claims + self.subject().len() + self.verified.scopes.heap_bytes()
    }
}

impl PrincipalBuilder {
    /// Sets the issuer of the credentials.
    #[inline]
    pub fn issuer(mut self, issuer: impl Into<Arc<str>>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    /// Sets the scopes that the caller was granted. Each item is one scope, even if it contains
    /// spaces.
    pub fn scopes<K>(mut self, scopes: impl OneOrMany<str, K>) -> Self {
        self.scopes = scopes.values().collect();
        self
    }

    /// Sets when the credentials expire.
    #[inline]
    pub fn expires_at(mut self, end: SystemTime) -> Self {
        self.expires_at = Some(end);
        self
    }

    /// Sets the challenge of the scheme. For Bearer, a 403 adds its `error` and `scope` to it.
    #[inline]
    pub fn challenge(mut self, challenge: Challenge) -> Self {
        self.challenge = Some(challenge);
        self
    }

    /// Binds the credentials to a key.
    ///
    /// [`BearerAuth`](crate::bearer::BearerAuth) then accepts them only if its
    /// [`Binding`](crate::binding::Binding) confirms that the caller has the key.
    ///
    /// ```
    /// use tower_auth::{Principal, Scheme, binding::Cnf};
    ///
    /// let cnf = Cnf::new(&serde_json::json!({ "jkt": "0ZcOCORZNYy" }))?;
    /// let caller = Principal::builder("alice", Scheme::BEARER).confirmation(cnf).build();
    /// assert!(caller.confirmation().is_some());
    /// # Ok::<(), tower_auth::ClaimsError>(())
    /// ```
    #[cfg(feature = "jwt")]
    pub fn confirmation(self, cnf: Cnf) -> Self {
        Self { confirmation: Some(Arc::new(cnf)), ..self }
    }

    /// Sets the claims that [`Principal::claims`] returns.
    ///
    /// # Errors
    ///
    /// Returns an error if the claims cannot be serialized as JSON.
    #[cfg(feature = "jwt")]
    pub fn claims<C: serde::Serialize + ?Sized>(self, claims: &C) -> Result<Self, ClaimsError> {
        let json = serde_json::to_string(claims).map_err(|error| ClaimsError::mismatch(&error))?;
        Ok(Self { claims: Some(json.into()), ..self })
    }

    /// Creates the principal.
    #[must_use]
    #[inline]
    pub fn build(self) -> Principal {
        Principal { verified: Arc::new(self), presented: None }
    }
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.verified.fmt_as("Principal", f)
    }
}

impl fmt::Debug for PrincipalBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fmt_as("PrincipalBuilder", f)
    }
}

impl PrincipalBuilder {
    /// Formats the fields, without the claims: they may contain personal data.
    fn fmt_as(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(name)
            .field("subject", &self.subject.as_str())
            .field("scheme", &self.scheme)
            .field("issuer", &self.issuer)
            .field("scopes", &self.scopes)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}
