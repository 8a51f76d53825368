use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{later::Later, principal::Principal, rejection::Rejection};

/// The result of an [`Authenticator`](crate::Authenticator), now or later.
///
/// Use [`Later::ready`] if verification needs no I/O, as for a JWT whose key is known, and
/// [`Later::pending`] to wait, for example for a user store. Both accept a
/// `Result<Principal, Rejection>`.
///
/// ```
/// use tower_auth::{Authentication, Principal, Scheme};
///
/// let caller = Principal::builder("alice", Scheme::BASIC).build();
/// let authentication = Authentication::ready(Ok(caller));
/// let outcome = authentication.into_ready().unwrap();
/// assert_eq!(outcome.result().unwrap().subject(), "alice");
/// ```
pub type Authentication = Later<Outcome>;

/// The caller or a rejection, with headers for the response.
///
/// An [`Authenticator`](crate::Authenticator) returns the caller, and a `binding::Binding` (feature
/// `jwt`) only confirms it: `Outcome<()>`.
///
/// The layer adds the headers to the response, whether the request is accepted or rejected.
/// Examples are a nonce, a renewed cookie, and `Cache-Control`.
///
/// ```
/// use http::{HeaderValue, header::CACHE_CONTROL};
/// use tower_auth::{Principal, Scheme, authenticate::Outcome};
///
/// let caller = Principal::builder("alice", Scheme::BASIC).build();
/// let outcome = Outcome::from(Ok(caller))
///     .with_header(CACHE_CONTROL, HeaderValue::from_static("no-store"));
/// ```
#[must_use]
pub struct Outcome<T = Principal> {
    pub(crate) result: Result<T, Rejection>,
    pub(crate) headers: Option<Box<HeaderMap>>,
}

impl<T> Outcome<T> {
    /// Adds a header to the response. Headers of the same name are kept, and an equal one is not
    /// repeated.
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.get_or_insert_default().append(name, value);
        self
    }

    /// Returns the caller.
    ///
    /// # Errors
    ///
    /// Returns the rejection if the credentials were not accepted.
    pub fn result(&self) -> Result<&T, &Rejection> {
        self.result.as_ref()
    }

    /// Returns the caller, without the headers.
    ///
    /// # Errors
    ///
    /// Returns the rejection if the credentials were not accepted.
    pub fn into_result(self) -> Result<T, Rejection> {
        self.result
    }

    /// Returns the headers that are added to the response.
    pub fn headers(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        self.headers.iter().flat_map(|headers| headers.iter())
    }
}

/// Creates an outcome without headers.
impl<T> From<Result<T, Rejection>> for Outcome<T> {
    #[inline]
    fn from(result: Result<T, Rejection>) -> Self {
        Self { result, headers: None }
    }
}

/// Omits the values of the headers: a renewed cookie is a secret.
impl<T: fmt::Debug> fmt::Debug for Outcome<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers().map(|(name, _)| name).collect();
        f.debug_struct("Outcome").field("result", &self.result).field("headers", &names).finish()
    }
}
