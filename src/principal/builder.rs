use std::{any::Any, fmt, sync::Arc, time::SystemTime};

#[cfg(feature = "api-key")]
use super::scopes::Scopes;
#[cfg(feature = "jwt")]
use super::{claims_error::ClaimsError, claims_set::ClaimsSet, typed_claims::TypedClaims};
use super::{principal::Principal, verified::Verified};
#[cfg(feature = "jwt")]
use crate::binding::cnf::Cnf;
use crate::{
    header::{Challenge, Scheme},
    one_or_many::OneOrMany,
};

/// Builds a [`Principal`].
#[derive(Clone)]
#[must_use]
pub struct PrincipalBuilder(
    Verified,
    /// The caller of a token that is changed, to which its revocations refer.
    #[cfg(feature = "revocation")]
    Option<Arc<Verified>>,
);

impl Principal {
    /// Creates a builder. Every principal has a subject, and the scheme that authenticated it.
    #[inline]
    pub fn builder(subject: impl Into<Arc<str>>, scheme: Scheme) -> PrincipalBuilder {
        PrincipalBuilder(
            Verified::new(subject.into(), scheme),
            #[cfg(feature = "revocation")]
            None,
        )
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
        let mut verified = Verified::clone(&self.verified);
        verified.scheme = self.scheme();
        verified.challenge = self.challenge().cloned();
        PrincipalBuilder(
            verified,
            #[cfg(feature = "revocation")]
            self.verified.claims.is_some().then(|| Arc::clone(&self.verified)),
        )
    }
}

impl PrincipalBuilder {
    /// Sets the issuer of the credentials.
    #[inline]
    pub fn issuer(mut self, issuer: impl Into<Arc<str>>) -> Self {
        self.0.issuer = Some(issuer.into());
        self
    }

    /// Sets the scopes that the caller was granted.
    ///
    /// Each item is one scope, even if it contains spaces, so `"read write"` grants neither `read`
    /// nor `write`: pass `["read", "write"]`.
    pub fn scopes<K>(mut self, scopes: impl OneOrMany<str, K>) -> Self {
        self.0.scopes = scopes.values().collect();
        self
    }

    /// Sets the scopes, without copying them.
    #[cfg(feature = "api-key")]
    pub(crate) fn granted(mut self, scopes: Scopes) -> Self {
        self.0.scopes = scopes;
        self
    }

    /// Sets when the credentials expire.
    #[inline]
    pub fn expires_at(mut self, end: SystemTime) -> Self {
        self.0.expires_at = Some(end);
        self
    }

    /// Sets the challenge of the scheme. For Bearer, a 403 adds its `error` and `scope` to it.
    #[inline]
    pub fn challenge(mut self, challenge: Challenge) -> Self {
        self.0.challenge = Some(challenge);
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
    pub fn confirmation(mut self, cnf: Cnf) -> Self {
        self.0.confirmation = Some(cnf);
        self
    }

    #[cfg(feature = "jwt")]
    pub(crate) fn without_confirmation(mut self) -> Self {
        self.0.confirmation = None;
        self
    }

    /// Sets the claims that [`Principal::claims_as`] returns.
    ///
    /// # Errors
    ///
    /// Returns an error if the claims are not a JSON object, if a name occurs twice in an object or
    /// is an internal name of serde_json, or if a claim has more than 32 levels.
    #[cfg(feature = "jwt")]
    pub fn claims<C: serde::Serialize + ?Sized>(mut self, claims: &C) -> Result<Self, ClaimsError> {
        let json = serde_json::to_string(claims).map_err(|_| ClaimsError::not_an_object())?;
        let claims = ClaimsSet::parse(json.into()).ok_or(ClaimsError::not_an_object())?;
        #[cfg(feature = "revocation")]
        if self.0.as_verified.is_none() {
            self.0.as_verified = self.1.clone();
        }
        self.0.claims = Some(claims);
        self.0.typed_claims = TypedClaims::default();
        Ok(self)
    }

    /// Sets the claims from the JSON of [`Principal::claims_text`].
    #[cfg(feature = "session")]
    pub(crate) fn claims_from_text(mut self, json: &str) -> Option<Self> {
        self.0.claims = Some(ClaimsSet::parse(json.into())?);
        self.0.typed_claims = TypedClaims::default();
        Some(self)
    }

    /// Declares that the claims are not those of a token, so that nothing revokes or exchanges it.
    #[cfg(feature = "session")]
    pub(crate) fn not_a_token(mut self) -> Self {
        let verified = Verified::new(Arc::clone(&self.0.subject), self.0.scheme);
        self.0.as_verified = Some(Arc::new(verified));
        self
    }

    /// Attaches a value of your own, which [`Principal::extension`] returns.
    ///
    /// It replaces a value of the same type.
    ///
    /// ```
    /// use tower_auth::{Principal, Scheme};
    ///
    /// #[derive(Clone)]
    /// struct Account {
    ///     id: u64,
    /// }
    ///
    /// let caller = Principal::builder("alice", Scheme::BASIC);
    /// let caller = caller.extension(Account { id: 7 }).build();
    /// assert_eq!(caller.extension::<Account>().map(|account| account.id), Some(7));
    /// ```
    pub fn extension<T: Clone + Any + Send + Sync>(mut self, value: T) -> Self {
        self.0.extensions.insert(value);
        self
    }

    /// Creates the principal.
    #[must_use]
    #[inline]
    pub fn build(self) -> Principal {
        self.0.into()
    }
}

impl fmt::Debug for PrincipalBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt_as("PrincipalBuilder", f)
    }
}
