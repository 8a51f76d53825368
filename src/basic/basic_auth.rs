use std::{fmt, sync::Arc, time::Duration};

use http::request::Parts;

use super::{
    credentials::BasicCredentials,
    login_limits::{Admission, LoginAttempt, LoginLimits},
    verifier::{PasswordVerifier, Verdict},
};
#[cfg(feature = "throttle")]
use crate::throttle::throttle::Throttle;
use crate::{
    authenticate::{Authentication, Authenticator},
    clock::Stopwatch,
    config_error::ConfigError,
    credentials::{Credentials, cross_site::CrossSite},
    header::{Challenge, Challenges, Scheme},
    later::Later,
    observe::{decided::Decided, observer::Observer},
    principal::{Principal, principal::Presented},
    rejection::Rejection,
    respond::head_summary::HeadSummary,
};

/// Authenticates requests with HTTP Basic (RFC 7617). See [the module](crate::basic).
///
/// Clones share the verifier and the throttle.
pub struct BasicAuth<V> {
    pub(super) state: Arc<BasicState<V>>,
    pub(super) cross_site: Arc<CrossSite>,
}

pub(super) struct BasicState<V> {
    challenges: Challenges,
    presented: Arc<Presented>,
    verifier: V,
    pub(super) limits: LoginLimits,
}

/// Credentials that were checked, or rejected before that, and the attempt, which is not finished.
pub(super) struct Checked {
    pub(super) attempt: LoginAttempt,
    pub(super) verdict: Verdict,
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
            limits: LoginLimits::default(),
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
        state.limits.throttle = Some(Arc::new(throttle));
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
    /// A rejection is reported to the observer of the enclosing layer, or else to the default
    /// observer, also if the handler turns it into another response.
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
        let result = self.verify_unobserved(user_id, password, head);
        let observer = Observer::of(head);
        if !observer.is_observed(head) {
            return result;
        }
        // The layer around a handler does not learn of a rejection that becomes another response.
        let form = FormLogin { request: observer.keep(head), observer };
        match result.into_ready() {
            Ok(result) => Later::from(form.observed(result, None)),
            Err(pending) => {
                let since = Stopwatch::start();
                Later::pending(async move {
                    let result = pending.await;
                    form.observed(result, Some(since.elapsed()))
                })
            }
        }
    }

    /// Like [`verify`](Self::verify), for a caller that reports the rejection itself.
    pub(crate) fn verify_unobserved(
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
        credentials: BasicCredentials,
        head: &Parts,
        complete: fn(&BasicState<V>, Result<Principal, Rejection>) -> T,
    ) -> Later<T> {
        let state = &*self.state;
        match self.begin(credentials, head, None) {
            Ok(Checked { attempt, verdict }) => {
                attempt.finish_now(matches!(verdict, Verdict::Invalid));
                Later::from(complete(state, state.present(verdict)))
            }
            Err(checked) => {
                let state = Arc::clone(&self.state);
                Later::pending(async move {
                    let Checked { attempt, verdict } = checked.await;
                    attempt.finish(matches!(verdict, Verdict::Invalid)).await;
                    complete(&state, state.present(verdict))
                })
            }
        }
    }

    /// Checks credentials within the limits of the throttle. Returns a future if that takes time,
    /// or if a store has to count the attempt.
    ///
    /// Concurrent attempts with equal credentials and `serial` count as one.
    #[inline]
    pub(super) fn begin(
        &self,
        mut credentials: BasicCredentials,
        head: &Parts,
        serial: Option<u64>,
    ) -> Result<Checked, impl Future<Output = Checked> + Send + use<V>> {
        let admission = match self.state.limits.admit(head, &mut credentials, serial) {
            Ok(Admission::Admitted(attempt)) => {
                match self.state.verifier.verify_now(&credentials) {
                    Some(verdict) => return Ok(Checked { attempt, verdict }),
                    None => Admission::Admitted(attempt),
                }
            }
            #[cfg(all(feature = "throttle", feature = "store"))]
            Ok(undecided @ Admission::Undecided(..)) => undecided,
            Err(rejection) => return Ok(Checked::rejected(rejection)),
        };
        let state = Arc::clone(&self.state);
        Err(async move {
            let (attempt, verdict) = match admission {
                Admission::Admitted(attempt) => (attempt, None),
                #[cfg(all(feature = "throttle", feature = "store"))]
                Admission::Undecided(throttle, client) => {
                    match throttle.admit(client, &credentials, serial).await {
                        // Not before that, also for a password that is in the cache: the response
                        // would reveal it.
                        Ok(attempt) => {
                            (LoginAttempt::Shared(attempt), state.verifier.verify_now(&credentials))
                        }
                        Err(rejection) => return Checked::rejected(rejection),
                    }
                }
            };
            let verdict = match verdict {
                Some(verdict) => verdict,
                None => state.verifier.verify(credentials).await,
            };
            Checked { attempt, verdict }
        })
    }
}

/// The request of a login that is not HTTP Basic, for its event.
struct FormLogin {
    observer: Observer,
    request: HeadSummary,
}

impl FormLogin {
    /// Reports a rejection.
    fn observed<T>(
        &self,
        result: Result<T, Rejection>,
        waited: Option<Duration>,
    ) -> Result<T, Rejection> {
        result.map_err(|rejection| {
            let decided = Decided { waited, ..Decided::default() };
            let event = decided.rejected(&rejection, Some(self.request.request()), || true);
            self.observer.observe(&event);
            rejection.observed()
        })
    }
}

impl Checked {
    fn rejected(rejection: Rejection) -> Self {
        Self { attempt: LoginAttempt::Unlimited, verdict: Verdict::Rejected(rejection) }
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
            return Some(Authentication::ready(of_basic(Err(rejection))));
        }
        Some(match BasicCredentials::decode(sent.value()) {
            Ok(credentials) => self.check(credentials, head, |_, result| of_basic(result).into()),
            Err(error) => Authentication::ready(of_basic(Err(error.into()))),
        })
    }

    fn challenges(&self, _: &Parts) -> Challenges {
        self.state.challenges.clone()
    }
}

/// Notes the scheme of the credentials, for events.
fn of_basic(result: Result<Principal, Rejection>) -> Result<Principal, Rejection> {
    result.map_err(|rejection| rejection.of_scheme(Scheme::BASIC))
}

impl<V> BasicState<V> {
    /// Adds the challenge to a rejection that requires one.
    pub(super) fn add_challenge<T>(&self, result: Result<T, Rejection>) -> Result<T, Rejection> {
        result.map_err(|rejection| rejection.with_scheme_challenges(&self.challenges))
    }

    pub(super) fn present(&self, verdict: Verdict) -> Result<Principal, Rejection> {
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
