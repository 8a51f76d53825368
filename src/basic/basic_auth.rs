use std::{fmt, sync::Arc};

use http::request::Parts;

use super::{
    credentials::BasicCredentials,
    verifier::{PasswordVerifier, Verdict},
};
#[cfg(all(feature = "throttle", feature = "store"))]
use crate::throttle::shared_throttle::SharedThrottle;
#[cfg(feature = "throttle")]
use crate::throttle::throttle::Throttle;
use crate::{
    authenticate::{Authentication, Authenticator},
    config_error::ConfigError,
    credentials::{Credentials, cross_site::CrossSite},
    header::{Challenge, Challenges, Scheme},
    later::Later,
    principal::{Principal, principal::Presented},
    rejection::Rejection,
};

/// Authenticates requests with HTTP Basic (RFC 7617). See [the module](crate::basic).
///
/// Clones share the verifier and the throttle.
pub struct BasicAuth<V> {
    state: Arc<BasicState<V>>,
    pub(super) cross_site: Arc<CrossSite>,
}

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
        let state = Arc::new(BasicState {
            challenges: challenge.clone().into(),
            presented: Arc::new(Presented { scheme: Scheme::BASIC, challenge }),
            verifier,
            #[cfg(feature = "throttle")]
            throttle: None,
        });
        Ok(Self { state, cross_site: Arc::default() })
    }

    /// Limits the rate of failed logins. See [`Throttle`].
    ///
    /// # Errors
    ///
    /// Returns an error if this authenticator has clones, which would not be limited.
    #[cfg(feature = "throttle")]
    pub fn throttle(self, throttle: Throttle) -> Result<Self, ConfigError> {
        let mut state = Arc::into_inner(self.state)
            .ok_or_else(|| ConfigError::conflict("set the throttle before you clone BasicAuth"))?;
        state.throttle = Some(Arc::new(throttle));
        Ok(Self { state: Arc::new(state), ..self })
    }

    /// Verifies a user id and a password that were not sent with HTTP Basic, for example by a login
    /// form.
    ///
    /// The result is the same as for a request with these credentials: the verifier, its cache and
    /// its limits are shared, and so is the throttle, which gets the client address from `head`. A
    /// rejection with 401 has the challenge of this authenticator.
    ///
    /// ```
    /// use axum::{Json, http::request::Parts};
    /// use tower_auth::{BasicAuth, Rejection, basic::PasswordVerifier};
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Login {
    ///     user: String,
    ///     password: String,
    /// }
    ///
    /// async fn log_in<V: PasswordVerifier>(
    ///     staff: BasicAuth<V>,
    ///     head: Parts,
    ///     Json(login): Json<Login>,
    /// ) -> Result<String, Rejection> {
    ///     let caller = staff.verify(&login.user, &login.password, &head).await?;
    ///     Ok(format!("hello {}", caller.subject())) // here, create a session
    /// }
    ///
    /// # use axum::{Router, routing::post};
    /// # fn app<V: PasswordVerifier>(staff: BasicAuth<V>) -> Router {
    /// Router::new().route("/login", post(move |head, login| log_in(staff.clone(), head, login)))
    /// # }
    /// ```
    ///
    /// Without a request, call [`PasswordVerifier::verify`] with [`BasicCredentials::new`].
    ///
    /// # Errors
    ///
    /// Returns a rejection: 401 if the user is unknown, the password is wrong or a character is
    /// invalid; 429 if the throttle rejects the attempt; 431 if both together are longer than 6
    /// KiB; 503 during an outage.
    ///
    /// # Security
    ///
    /// A browser that gets a 401 with this challenge asks the user for a password itself, and then
    /// sends it with every request. For a login page, return another response for
    /// [`InvalidCredentials`](crate::RejectionKind::InvalidCredentials), such as 422.
    ///
    /// A form that another site sends can log the user in as someone else (login CSRF). Protect the
    /// route of a login form with `transport::SameOriginLayer`.
    pub fn verify(
        &self,
        user_id: &str,
        password: &str,
        head: &Parts,
    ) -> Later<Result<Principal, Rejection>> {
        match BasicCredentials::new(user_id, password) {
            Ok(credentials) => self.check(credentials, head, BasicState::add_challenge),
            Err(error) => Later::from(self.state.add_challenge(Err(error.into()))),
        }
    }

    /// Checks credentials within the limits of the throttle, and passes the result to `complete`.
    fn check<T: Send + 'static>(
        &self,
        mut credentials: BasicCredentials,
        head: &Parts,
        complete: fn(&BasicState<V>, Result<Principal, Rejection>) -> T,
    ) -> Later<T> {
        let state = &*self.state;
        #[cfg(all(feature = "throttle", feature = "store"))]
        if let Some(throttle) = state.throttle.as_ref().and_then(Throttle::to_shared) {
            return self.check_shared(throttle, credentials, head, complete);
        }
        let attempt = match state.admit(head, &mut credentials) {
            Ok(attempt) => attempt,
            Err(rejection) => return Later::from(complete(state, Err(rejection))),
        };
        if let Some(verdict) = state.verifier.verify_now(&credentials) {
            return Later::from(complete(state, state.finish(attempt, verdict)));
        }
        let state = Arc::clone(&self.state);
        Later::pending(async move {
            let verdict = state.verifier.verify(credentials).await;
            complete(&state, state.finish(attempt, verdict))
        })
    }

    /// Checks credentials within the limits of a throttle that shares them with other instances.
    #[cfg(all(feature = "throttle", feature = "store"))]
    fn check_shared<T: Send + 'static>(
        &self,
        throttle: SharedThrottle,
        mut credentials: BasicCredentials,
        head: &Parts,
        complete: fn(&BasicState<V>, Result<Principal, Rejection>) -> T,
    ) -> Later<T> {
        let client = throttle.client(head);
        credentials.set_client(client);
        let state = Arc::clone(&self.state);
        Later::pending(async move {
            // Also before a password that is in the cache: the response would reveal it.
            let attempt = match throttle.admit(client, &credentials).await {
                Ok(attempt) => attempt,
                Err(rejection) => return complete(&state, Err(rejection)),
            };
            let verdict = match state.verifier.verify_now(&credentials) {
                Some(verdict) => verdict,
                None => state.verifier.verify(credentials).await,
            };
            attempt.finish(matches!(verdict, Verdict::Invalid)).await;
            complete(&state, state.present(verdict))
        })
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
        if let Err(rejection) = self.cross_site.check(head) {
            return Some(Authentication::ready(Err(rejection)));
        }
        Some(match BasicCredentials::decode(sent.value()) {
            Ok(credentials) => self.check(credentials, head, |_, result| result.into()),
            Err(error) => Authentication::ready(Err(error.into())),
        })
    }

    fn challenges(&self, _: &Parts) -> Challenges {
        self.state.challenges.clone()
    }
}

/// The throttle's record of this login attempt, if there is a throttle.
#[cfg(feature = "throttle")]
type Attempt = Option<crate::throttle::throttle::Attempt>;
#[cfg(not(feature = "throttle"))]
type Attempt = Option<std::convert::Infallible>;

impl<V> BasicState<V> {
    #[cfg(feature = "throttle")]
    fn admit(
        &self,
        head: &Parts,
        credentials: &mut BasicCredentials,
    ) -> Result<Attempt, Rejection> {
        self.throttle.as_ref().map(|throttle| throttle.admit(head, credentials)).transpose()
    }

    #[cfg(not(feature = "throttle"))]
    fn admit(&self, _: &Parts, _: &mut BasicCredentials) -> Result<Attempt, Rejection> {
        Ok(None)
    }

    /// Adds the challenge to a rejection that requires one.
    fn add_challenge(&self, result: Result<Principal, Rejection>) -> Result<Principal, Rejection> {
        result.map_err(|rejection| rejection.with_scheme_challenges(&self.challenges))
    }

    fn finish(&self, attempt: Attempt, verdict: Verdict) -> Result<Principal, Rejection> {
        #[cfg(feature = "throttle")]
        if let Some(attempt) = attempt {
            attempt.finish(matches!(verdict, Verdict::Invalid));
        }
        #[cfg(not(feature = "throttle"))]
        let _ = attempt;
        self.present(verdict)
    }

    fn present(&self, verdict: Verdict) -> Result<Principal, Rejection> {
        let principal = verdict.into_result()?;
        if principal.scheme() == Scheme::BASIC && principal.challenge().is_none() {
            return Ok(principal.presented_as(&self.presented));
        }
        Ok(principal)
    }
}

impl<V> Clone for BasicAuth<V> {
    fn clone(&self) -> Self {
        Self { state: Arc::clone(&self.state), cross_site: Arc::clone(&self.cross_site) }
    }
}

impl<V> fmt::Debug for BasicAuth<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BasicAuth")
            .field("challenges", &self.state.challenges)
            .finish_non_exhaustive()
    }
}
