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
    principal::{Principal, principal::Presented},
    rejection::Rejection,
};

/// Authenticates requests with HTTP Basic (RFC 7617). See [the module](crate::basic).
///
/// Clones share the verifier and the throttle.
pub struct BasicAuth<V>(Arc<BasicState<V>>);

struct BasicState<V> {
    challenges: Challenges,
    presented: Arc<Presented>,
    verifier: V,
    #[cfg(feature = "throttle")]
    throttle: Option<Arc<Throttle>>,
}

impl<V: PasswordVerifier> BasicAuth<V> {
    /// Creates an authenticator that challenges with `realm` and checks passwords with `verifier`.
    ///
    /// # Errors
    ///
    /// If the realm contains a control character.
    pub fn new(realm: &str, verifier: V) -> Result<Self, ConfigError> {
        let challenge = Challenge::basic(realm)?;
        Ok(Self(Arc::new(BasicState {
            challenges: challenge.clone().into(),
            presented: Arc::new(Presented { scheme: Scheme::BASIC, challenge }),
            verifier,
            #[cfg(feature = "throttle")]
            throttle: None,
        })))
    }

    /// Limits the rate of failed logins. See [`Throttle`].
    ///
    /// # Errors
    ///
    /// Returns an error if this authenticator has clones, which would not be limited.
    #[cfg(feature = "throttle")]
    pub fn throttle(self, throttle: Throttle) -> Result<Self, ConfigError> {
        let mut state = Arc::into_inner(self.0)
            .ok_or_else(|| ConfigError::conflict("set the throttle before you clone BasicAuth"))?;
        state.throttle = Some(Arc::new(throttle));
        Ok(Self(Arc::new(state)))
    }
}

impl<V: PasswordVerifier> Authenticator for BasicAuth<V> {
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
            return Some(Authentication::ready(self.0.finish(attempt, verdict)));
        }
        let state = Arc::clone(&self.0);
        Some(Authentication::pending(async move {
            let verdict = state.verifier.verify(credentials).await;
            state.finish(attempt, verdict)
        }))
    }

    fn challenges(&self, _: &Parts) -> Challenges {
        self.0.challenges.clone()
    }
}

/// The throttle's record of this login attempt, if there is a throttle.
#[cfg(feature = "throttle")]
type Attempt = Option<crate::throttle::throttle::Attempt>;
#[cfg(not(feature = "throttle"))]
type Attempt = Option<std::convert::Infallible>;

impl<V> BasicState<V> {
    #[cfg(feature = "throttle")]
    fn admit(&self, head: &Parts, credentials: &BasicCredentials) -> Result<Attempt, Rejection> {
        self.throttle.as_ref().map(|throttle| throttle.admit(head, credentials)).transpose()
    }

    #[cfg(not(feature = "throttle"))]
    fn admit(&self, _: &Parts, _: &BasicCredentials) -> Result<Attempt, Rejection> {
        Ok(None)
    }

    fn finish(&self, attempt: Attempt, verdict: Verdict) -> Result<Principal, Rejection> {
        #[cfg(feature = "throttle")]
        if let Some(attempt) = attempt {
            attempt.finish(matches!(verdict, Verdict::Invalid));
        }
        #[cfg(not(feature = "throttle"))]
        let _ = attempt;
        let principal = verdict.into_result()?;
        if principal.scheme() == Scheme::BASIC && principal.challenge().is_none() {
            return Ok(principal.presented_as(&self.presented));
        }
        Ok(principal)
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
