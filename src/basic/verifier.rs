use std::{error::Error, fmt, future::Future};

use super::credentials::BasicCredentials;
use crate::{
    principal::Principal,
    rejection::{Rejection, RejectionKind},
};

/// Checks a user-id and a password.
///
/// A closure from [`BasicCredentials`] to a future [`Verdict`] is one; [`Users`](super::Users) is
/// another. A type of your own writes `verify` as an `async fn`:
///
/// ```
/// use tower_auth::basic::{BasicCredentials, PasswordVerifier, Verdict};
///
/// struct Directory { /* a connection pool, say */ }
///
/// impl PasswordVerifier for Directory {
///     async fn verify(&self, sent: BasicCredentials) -> Verdict {
///         match self.bind(sent.user_id(), sent.password()).await {
///             Ok(true) => Verdict::Verified(sent.to_principal().build()),
///             Ok(false) => Verdict::Invalid,
///             Err(error) => Verdict::unavailable(error),
///         }
///     }
/// }
/// # impl Directory {
/// #     async fn bind(&self, _: &str, _: &str) -> Result<bool, std::io::Error> { Ok(false) }
/// # }
/// ```
///
/// # Security
///
/// An unknown user should cost what a known one does, or the time tells who is one. Work that takes
/// long, such as hashing a password, must not run on the executor's threads.
pub trait PasswordVerifier: Send + Sync + 'static {
    /// Checks the credentials, and may wait for it.
    fn verify(&self, credentials: BasicCredentials) -> impl Future<Output = Verdict> + Send;

    /// Checks the credentials where that needs no waiting; asked first. `None`, which is the default,
    /// leaves the answer to [`verify`](Self::verify).
    fn verify_now(&self, credentials: &BasicCredentials) -> Option<Verdict> {
        let _ = credentials;
        None
    }
}

impl<F, Q> PasswordVerifier for F
where
    F: Fn(BasicCredentials) -> Q + Send + Sync + 'static,
    Q: Future<Output = Verdict> + Send,
{
    fn verify(&self, credentials: BasicCredentials) -> impl Future<Output = Verdict> + Send {
        self(credentials)
    }
}

/// What a [`PasswordVerifier`] found.
#[derive(Debug)]
#[non_exhaustive]
pub enum Verdict {
    /// The password is the user's, and this is who that is.
    /// [`BasicCredentials::to_principal`] starts one.
    Verified(Principal),
    /// There is no such user, or the password is another.
    Invalid,
    /// The password was not checked. The caller gets this rejection, and never 401 for an outage:
    /// [`unavailable`](Self::unavailable) makes the usual one.
    Rejected(Rejection),
}

impl Verdict {
    /// Nobody can tell at the moment: 503. The reason is for the operator; put no secret in it.
    pub fn unavailable(reason: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Rejected(Rejection::new(RejectionKind::Unavailable).because(reason))
    }
}

impl Verdict {
    pub(crate) fn into_result(self) -> Result<Principal, Rejection> {
        match self {
            Self::Verified(principal) => Ok(principal),
            Self::Invalid => {
                Err(Rejection::new(RejectionKind::InvalidCredentials).with_source(Wrong))
            }
            Self::Rejected(rejection) => Err(rejection),
        }
    }
}

/// Why credentials were refused, as far as it is told.
#[derive(Debug)]
struct Wrong;

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no such user, or another password")
    }
}

impl Error for Wrong {}
