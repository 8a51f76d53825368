//! HTTP Basic (RFC 7617): a user-id and a password with every request.
//!
//! ```
//! # use axum::{Router, routing::get};
//! use tower_auth::{AuthenticateLayer, BasicAuth, basic::Users};
//!
//! let users = Users::new([("alice", "correct horse battery staple")])?;
//! let staff = BasicAuth::new("staff", users)?;
//!
//! # let _: Router = Router::new()
//!     .route("/", get(|| async { "welcome" }))
//!     .layer(AuthenticateLayer::new(staff))
//! # ;
//! # Ok::<(), tower_auth::ConfigError>(())
//! ```
//!
//! Users that live elsewhere come through a [`PasswordVerifier`], which may be a closure:
//!
//! ```
//! # async fn look_up(_: &str, _: &str) -> Result<bool, std::io::Error> { Ok(true) }
//! use tower_auth::{BasicAuth, basic::{BasicCredentials, Verdict}};
//!
//! let staff = BasicAuth::new("staff", |sent: BasicCredentials| async move {
//!     match look_up(sent.user_id(), sent.password()).await {
//!         Ok(true) => Verdict::Right(sent.to_principal().scopes(["orders:read"]).build()),
//!         Ok(false) => Verdict::Wrong,
//!         Err(error) => Verdict::unavailable(error),
//!     }
//! })?;
//! # Ok::<(), tower_auth::ConfigError>(())
//! ```
//!
//! | users | are in |
//! | --- | --- |
//! | a handful, with passwords as they are | [`Users`] |
#![cfg_attr(
    feature = "password-hash",
    doc = "| in a file that `htpasswd` writes | [`HashVerifier`] over [`Htpasswd`] |\n\
           | in memory, with hashes | [`HashVerifier`] over [`HashedUsers`] |\n\
           | in a database, with hashes | [`HashVerifier`] over a [`UserStore`] of yours |"
)]
#![cfg_attr(
    not(feature = "password-hash"),
    doc = "| in a file or a database, with hashes | `HashVerifier`, with the feature `password-hash` |"
)]
//! | with somebody who can be asked | a [`PasswordVerifier`] of yours |
//!
//! # Security
//!
//! Basic sends the password itself, readable for whoever sees the request, with every request. TLS
//! must stand in front of it. It does not protect against replay, and browsers keep sending it until
//! they are closed, also with requests that another site caused (CSRF).
//!
//! Malformed credentials, unknown users and wrong passwords get the same answer. Whoever may ask as often as they like
//! can guess: the feature `throttle` has a `Throttle` against that.

#[cfg(feature = "password-hash")]
mod checks;
#[cfg(feature = "password-hash")]
mod hash;
#[cfg(feature = "password-hash")]
mod hash_verifier;
#[cfg(feature = "password-hash")]
mod htpasswd;
#[cfg(feature = "password-hash")]
mod pool;
#[cfg(feature = "password-hash")]
mod right_answers;
#[cfg(feature = "password-hash")]
mod store;
#[cfg(feature = "throttle")]
mod throttle;
mod users;
mod verifier;

use std::{error::Error, fmt, sync::Arc};

use http::request::Parts;

#[cfg(feature = "throttle")]
pub use self::throttle::Throttle;
#[cfg(feature = "password-hash")]
pub use self::{
    hash::PasswordHash,
    hash_verifier::HashVerifier,
    htpasswd::{Htpasswd, HtpasswdBuilder},
    store::{HashedUsers, StoredUser, UserStore},
};
pub use self::{
    users::Users,
    verifier::{PasswordVerifier, Verdict},
};
pub use crate::credentials::BasicCredentials;
use crate::{
    Authentication, Authenticator, Challenge, Challenges, ConfigError, Principal, Rejection,
    RejectionKind, Scheme, credentials::Credentials,
};

/// Authenticates by HTTP Basic: see [the module](crate::basic).
pub struct BasicAuth<V>(Arc<Inner<V>>);

struct Inner<V> {
    challenges: Challenges,
    verifier: V,
    #[cfg(feature = "throttle")]
    throttle: Option<Arc<Throttle>>,
}

impl<V: PasswordVerifier> BasicAuth<V> {
    /// Asks for users of `realm`, whose passwords `verifier` checks.
    ///
    /// # Errors
    ///
    /// If the realm holds a control character.
    pub fn new(realm: &str, verifier: V) -> Result<Self, ConfigError> {
        let challenges = Challenge::basic(realm)?.into();
        Ok(Self(Arc::new(Inner {
            challenges,
            verifier,
            #[cfg(feature = "throttle")]
            throttle: None,
        })))
    }

    /// Slows guessing down: see [`Throttle`].
    ///
    /// # Errors
    ///
    /// If this was cloned before: the clones would go on without it.
    #[cfg(feature = "throttle")]
    pub fn throttle(self, throttle: Throttle) -> Result<Self, ConfigError> {
        let mut inner = Arc::into_inner(self.0)
            .ok_or_else(|| ConfigError::new("a throttle comes before the first clone"))?;
        inner.throttle = Some(Arc::new(throttle));
        Ok(Self(Arc::new(inner)))
    }
}

impl<V: PasswordVerifier> Authenticator for BasicAuth<V> {
    type Future = Authentication;

    fn authenticate(&self, head: &Parts) -> Option<Authentication> {
        let sent = match Credentials::from_headers(&head.headers) {
            Ok(sent) => sent?,
            Err(error) => return Some(Authentication::ready(Err(error.into()))),
        };
        if !sent.is_for(Scheme::BASIC) {
            return None;
        }
        let credentials = match BasicCredentials::decode(sent.value()) {
            Ok(credentials) => credentials,
            Err(error) => return Some(Authentication::ready(Err(error.into()))),
        };
        let attempt = match self.0.admit(head, &credentials) {
            Ok(attempt) => attempt,
            Err(rejection) => return Some(Authentication::ready(Err(rejection))),
        };
        if let Some(verdict) = self.0.verifier.verify_now(&credentials) {
            return Some(Authentication::ready(self.0.end(attempt, verdict)));
        }
        let inner = Arc::clone(&self.0);
        Some(Authentication::pending(async move {
            let verdict = inner.verifier.verify(credentials).await;
            inner.end(attempt, verdict)
        }))
    }

    fn into_ready(future: Self::Future) -> Result<<Self::Future as Future>::Output, Self::Future> {
        future.into_ready()
    }

    fn challenges(&self, _: &Parts) -> Challenges {
        self.0.challenges.clone()
    }
}

/// A try that was let through, and by what it is counted.
#[cfg(feature = "throttle")]
type Attempt = Option<throttle::Attempt>;
#[cfg(not(feature = "throttle"))]
type Attempt = Option<std::convert::Infallible>;

impl<V> Inner<V> {
    #[cfg(feature = "throttle")]
    fn admit(&self, head: &Parts, sent: &BasicCredentials) -> Result<Attempt, Rejection> {
        self.throttle.as_ref().map(|throttle| throttle.admit(head, sent)).transpose()
    }

    #[cfg(not(feature = "throttle"))]
    fn admit(&self, _: &Parts, _: &BasicCredentials) -> Result<Attempt, Rejection> {
        Ok(None)
    }

    fn end(&self, attempt: Attempt, verdict: Verdict) -> Result<Principal, Rejection> {
        #[cfg(feature = "throttle")]
        if let Some(attempt) = attempt {
            attempt.end(matches!(verdict, Verdict::Wrong));
        }
        #[cfg(not(feature = "throttle"))]
        let _ = attempt;
        verdict.into_result()
    }
}

impl Verdict {
    fn into_result(self) -> Result<Principal, Rejection> {
        match self {
            Self::Right(principal) => Ok(principal),
            Self::Wrong => Err(Rejection::new(RejectionKind::InvalidCredentials).caused_by(Wrong)),
            Self::Refused(rejection) => Err(rejection),
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

impl<V> Clone for BasicAuth<V> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<V> fmt::Debug for BasicAuth<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BasicAuth").field("challenges", &self.0.challenges).finish_non_exhaustive()
    }
}
