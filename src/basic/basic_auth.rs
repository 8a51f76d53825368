use std::{fmt, sync::Arc};

use http::request::Parts;

use super::{
    credentials::BasicCredentials,
    verifier::{PasswordVerifier, Verdict},
};
#[cfg(feature = "throttle")]
use crate::throttle::throttle::Throttle;
use crate::{
    authenticate::{Authentication, Authenticator},
    config_error::ConfigError,
    credentials::Credentials,
    header::{Challenge, Challenges, Scheme},
    principal::Principal,
    rejection::Rejection,
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
type Attempt = Option<crate::throttle::throttle::Attempt>;
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
            attempt.end(matches!(verdict, Verdict::Invalid));
        }
        #[cfg(not(feature = "throttle"))]
        let _ = attempt;
        verdict.into_result()
    }
}

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
