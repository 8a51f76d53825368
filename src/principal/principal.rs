use std::{any::Any, fmt, sync::Arc, time::SystemTime};

#[cfg(feature = "jwt")]
use serde::de::{Deserialize, DeserializeOwned};

#[cfg(feature = "jwt")]
use super::{claims_error::ClaimsError, claims_set::ClaimsSet};
use super::{scopes::Scopes, verified::Verified};
#[cfg(feature = "jwt")]
use crate::binding::cnf::Cnf;
use crate::header::{Challenge, Scheme};

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
    pub(super) verified: Arc<Verified>,
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

impl Principal {
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

    /// Returns the value of this type that was attached with
    /// [`PrincipalBuilder::extension`](crate::PrincipalBuilder::extension).
    #[must_use]
    pub fn extension<T: Any + Send + Sync>(&self) -> Option<&T> {
        self.verified.extensions.get()
    }

    /// Sets the scheme and the challenge with which the caller presented its credentials.
    #[cfg(any(feature = "basic", feature = "jwt"))]
    #[inline]
    pub(crate) fn presented_as(self, presented: &Arc<Presented>) -> Self {
        Self { presented: Some(Arc::clone(presented)), ..self }
    }
}

#[cfg(feature = "jwt")]
impl Principal {
    /// Returns the claims as your own type.
    ///
    /// They are deserialized once for each principal and type. All requests with the same cached
    /// token share the result.
    ///
    /// ```
    /// use serde::Deserialize;
    /// use tower_auth::{Principal, Scheme};
    ///
    /// #[derive(Deserialize)]
    /// struct Tenant {
    ///     tenant: String,
    /// }
    ///
    /// let caller = Principal::builder("alice", Scheme::BEARER)
    ///     .claims(&serde_json::json!({ "sub": "alice", "tenant": "acme" }))?
    ///     .build();
    /// assert_eq!(caller.claims_as::<Tenant>()?.tenant, "acme");
    /// # Ok::<(), tower_auth::ClaimsError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if the caller has no claims, for example with Basic, or if they do not
    /// match the type.
    pub fn claims_as<C>(&self) -> Result<Arc<C>, ClaimsError>
    where
        C: DeserializeOwned + Any + Send + Sync,
    {
        let typed = &self.verified.typed_claims;
        match typed.get() {
            Some(claims) => Ok(claims),
            None => self.claims_set()?.deserialize().map(|claims| typed.get_or_insert(claims)),
        }
    }

    /// Deserializes the claims into a type that borrows from the principal, each time.
    ///
    /// For a type that owns its values, [`claims_as`](Self::claims_as) is faster. A `&str` does not
    /// match a string that contains a JSON escape; a `Cow<str>` with `#[serde(borrow)]` does.
    ///
    /// # Errors
    ///
    /// As for [`claims_as`](Self::claims_as).
    pub fn claims<'a, C: Deserialize<'a>>(&'a self) -> Result<C, ClaimsError> {
        self.claims_set()?.deserialize()
    }

    /// Deserializes a single claim.
    ///
    /// A path that starts with `/` is a JSON Pointer (RFC 6901) to a nested claim. Any other path
    /// is the literal name of a top-level claim, including any dots.
    ///
    /// ```
    /// use tower_auth::{Principal, Scheme};
    ///
    /// let caller = Principal::builder("alice", Scheme::BEARER)
    ///     .claims(&serde_json::json!({ "tenant": { "name": "acme", "seats": 5 } }))?
    ///     .build();
    /// assert_eq!(caller.claim::<u32>("/tenant/seats")?, 5);
    /// assert!(caller.claim::<String>("plan").is_err());
    /// # Ok::<(), tower_auth::ClaimsError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if the caller has no such claim, or if it does not match the type.
    pub fn claim<'a, C: Deserialize<'a>>(&'a self, path: &str) -> Result<C, ClaimsError> {
        self.claims_set()?;
        let json = self.claim_json(path).ok_or_else(|| ClaimsError::missing(path))?;
        serde_json::from_str(json).map_err(|_| ClaimsError::mismatch(Some(path)))
    }

    /// Returns the JSON of a single claim. The path is as for [`claim`](Self::claim).
    #[inline]
    pub(crate) fn claim_json(&self, path: &str) -> Option<&str> {
        self.verified.claims.as_deref()?.find(path).ok()?
    }

    fn claims_set(&self) -> Result<&ClaimsSet, ClaimsError> {
        self.verified.claims.as_deref().ok_or(ClaimsError::no_claims())
    }
}

#[cfg(feature = "token-cache")]
impl Principal {
    /// See [`Verified::heap_bytes`].
    pub(crate) fn heap_bytes(&self) -> usize {
        self.verified.heap_bytes()
    }
}

impl From<Verified> for Principal {
    #[inline]
    fn from(verified: Verified) -> Self {
        Self { verified: Arc::new(verified), presented: None }
    }
}

/// Principals are equal if the same was verified: the subject, scheme, issuer, scopes in any order,
/// expiry, claims and confirmation. The challenge and the extensions are not compared.
impl PartialEq for Principal {
    fn eq(&self, other: &Self) -> bool {
        let (one, two) = (&self.verified, &other.verified);
        let same_fields = self.subject() == other.subject()
            && self.scheme() == other.scheme()
            && one.issuer == two.issuer
            && one.scopes == two.scopes
            && one.expires_at == two.expires_at;
        #[cfg(feature = "jwt")]
        let same_fields =
            same_fields && one.claims == two.claims && one.confirmation == two.confirmation;
        same_fields
    }
}

impl Eq for Principal {}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.verified.fmt_as("Principal", f)
    }
}
