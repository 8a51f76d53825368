use std::{error::Error, fmt, future::Future, sync::Arc};

use super::credentials::BasicCredentials;
use crate::{
    later::BoxFuture,
    principal::{MapPrincipal, Principal, map_principal::map_confirmed},
    rejection::{Rejection, RejectionKind},
};

/// Checks a user id and a password.
///
/// [`Users`](super::Users) is a verifier, and so is a closure that takes [`BasicCredentials`] and
/// returns a future of a [`Verdict`]. A custom type implements `verify` as an `async fn`:
///
/// ```
/// use tower_auth::basic::{BasicCredentials, PasswordVerifier, Verdict};
///
/// struct Directory { /* for example, a connection pool */ }
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
/// A check must take the same time for unknown users and for known users. Otherwise, response times
/// reveal which users exist.
///
/// Long computations, such as password hashing, must not run on the threads of the async runtime.
pub trait PasswordVerifier: Send + Sync + 'static {
    /// Checks the credentials asynchronously.
    fn verify(&self, credentials: BasicCredentials) -> impl Future<Output = Verdict> + Send;

    /// Checks the credentials if that is possible without waiting.
    ///
    /// It is called before [`verify`](Self::verify), which is called only if this returns `None`.
    /// The default implementation returns `None`.
    fn verify_now(&self, credentials: &BasicCredentials) -> Option<Verdict> {
        let _ = credentials;
        None
    }

    /// Changes the principal of each user whose password is correct, for example to add scopes.
    ///
    /// The closure runs for each request. Create the changed copy with
    /// [`Principal::to_builder`].
    ///
    /// ```
    /// use tower_auth::{BasicAuth, Principal, basic::{PasswordVerifier, Users}};
    ///
    /// let users = Users::new([("alice", "correct horse"), ("bob", "battery staple")])?;
    /// let users = users.map_principal(|user: Principal| match user.subject() {
    ///     "alice" => user.to_builder().scopes(["orders:read", "orders:write"]).build(),
    ///     _ => user.to_builder().scopes(["orders:read"]).build(),
    /// });
    /// let staff = BasicAuth::new("staff", users)?;
    /// # Ok::<(), tower_auth::ConfigError>(())
    /// ```
    fn map_principal<F>(self, map: F) -> MapPrincipal<Self, F>
    where
        Self: Sized,
        F: Fn(Principal) -> Principal + Send + Sync + 'static,
    {
        MapPrincipal::new(self, map)
    }
}

impl<V, F> PasswordVerifier for MapPrincipal<V, F>
where
    V: PasswordVerifier,
    F: Fn(Principal) -> Principal + Send + Sync + 'static,
{
    async fn verify(&self, credentials: BasicCredentials) -> Verdict {
        self.inner.verify(credentials).await.map_principal(&*self.map)
    }

    fn verify_now(&self, credentials: &BasicCredentials) -> Option<Verdict> {
        let verdict = self.inner.verify_now(credentials)?;
        Some(verdict.map_principal(&*self.map))
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

/// A [`PasswordVerifier`] as a trait object, for a verifier that is chosen at run time.
///
/// Every verifier implements it. `Arc<dyn DynPasswordVerifier>` and `Box<dyn DynPasswordVerifier>`
/// are verifiers:
///
/// ```
/// use std::sync::Arc;
/// use tower_auth::{BasicAuth, ConfigError, basic::{DynPasswordVerifier, PasswordVerifier, Users}};
///
/// # fn f(
/// #     use_directory: bool,
/// #     directory: impl PasswordVerifier,
/// # ) -> Result<BasicAuth<impl PasswordVerifier>, ConfigError> {
/// let verifier: Arc<dyn DynPasswordVerifier> = match use_directory {
///     true => Arc::new(directory),
///     false => Arc::new(Users::new([("alice", "correct horse")])?),
/// };
/// BasicAuth::new("staff", verifier)
/// # }
/// ```
pub trait DynPasswordVerifier: Send + Sync + 'static {
    #[doc(hidden)]
    fn dyn_verify(&self, credentials: BasicCredentials) -> BoxFuture<'_, Verdict>;

    #[doc(hidden)]
    fn dyn_verify_now(&self, credentials: &BasicCredentials) -> Option<Verdict>;
}

impl<V: PasswordVerifier> DynPasswordVerifier for V {
    fn dyn_verify(&self, credentials: BasicCredentials) -> BoxFuture<'_, Verdict> {
        Box::pin(self.verify(credentials))
    }

    fn dyn_verify_now(&self, credentials: &BasicCredentials) -> Option<Verdict> {
        self.verify_now(credentials)
    }
}

impl PasswordVerifier for dyn DynPasswordVerifier {
    fn verify(&self, credentials: BasicCredentials) -> impl Future<Output = Verdict> + Send {
        self.dyn_verify(credentials)
    }

    fn verify_now(&self, credentials: &BasicCredentials) -> Option<Verdict> {
        self.dyn_verify_now(credentials)
    }
}

macro_rules! impl_password_verifier_for_pointers {
    ($([$($generics:tt)*] $pointer:ty,)+) => {$(
        impl<$($generics)*> PasswordVerifier for $pointer {
            fn verify(
                &self,
                credentials: BasicCredentials,
            ) -> impl Future<Output = Verdict> + Send {
                (**self).verify(credentials)
            }

            fn verify_now(&self, credentials: &BasicCredentials) -> Option<Verdict> {
                (**self).verify_now(credentials)
            }
        }
    )+};
}

// Not for every `Box<T>`: a `Box<dyn Fn..>` already implements the trait as a closure.
impl_password_verifier_for_pointers! {
    [V: PasswordVerifier + ?Sized] Arc<V>,
    [] Box<dyn DynPasswordVerifier>,
}

/// The result of a [`PasswordVerifier`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Verdict {
    /// The password is correct. Contains the authenticated user, which
    /// [`BasicCredentials::to_principal`] starts to build.
    Verified(Principal),
    /// The user is unknown or the password is wrong: 401.
    Invalid,
    /// The password was not checked. The caller gets this rejection.
    ///
    /// For an outage, use [`unavailable`](Self::unavailable). An outage must never become a 401.
    Rejected(Rejection),
}

impl Verdict {
    /// Returns a verdict for an outage: 503 with `Retry-After`.
    ///
    /// The reason is for the operator. It must not contain a secret.
    pub fn unavailable(reason: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Rejected(Rejection::new(RejectionKind::Unavailable).because(reason))
    }

    fn map_principal(self, map: &impl Fn(Principal) -> Principal) -> Self {
        match self {
            Self::Verified(principal) => Self::Verified(map_confirmed(map, principal)),
            other => other,
        }
    }

    /// Returns the authenticated user, or the rejection: 401 for [`Invalid`](Self::Invalid).
    ///
    /// # Errors
    ///
    /// Returns a rejection unless the password is correct.
    pub fn into_result(self) -> Result<Principal, Rejection> {
        match self {
            Self::Verified(principal) => Ok(principal),
            Self::Invalid => {
                Err(Rejection::new(RejectionKind::InvalidCredentials).with_source(PasswordMismatch))
            }
            Self::Rejected(rejection) => Err(rejection),
        }
    }
}

/// The reason of [`Verdict::Invalid`]. It does not reveal whether the user exists.
#[derive(Debug)]
struct PasswordMismatch;

impl fmt::Display for PasswordMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unknown user or wrong password")
    }
}

impl Error for PasswordMismatch {}
