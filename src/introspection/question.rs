//! A token that is not in the cache: the path from a request to the endpoint and back.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{
    runtime::Handle,
    time::{Instant, timeout, timeout_at},
};
use zeroize::Zeroizing;

use super::{
    admission::{Admission, Permit, Place},
    back_off::{Admitted, BackOff},
    cache::{ActiveTokens, InactiveTokens, KnownTokens},
    endpoint::Endpoint,
    error::{IntrospectionError, IntrospectionErrorKind},
    failure::Failure,
    flight::{Flight, Flights, Joined, Outcome, Waiting},
    response::{self, Answer},
    token_digest::TokenDigest,
    token_kind::TokenKinds,
};
#[cfg(feature = "revocation")]
use crate::revocation::revocations::Revocations;
use crate::{
    basic::client_address::ClientAddress,
    clock::Clock,
    jwt::{error::TokenError, validation::Validation},
    observe::{event::Event, observer::Observer},
    principal::{Principal, claims_set::ClaimsSet},
    rejection::Rejection,
    throttle::{address_failures::AddressAttempt, throttle::Throttle},
};

/// What the clones of an [`Introspection`](super::Introspection) share.
pub(super) struct State {
    pub(super) endpoint: Endpoint,
    pub(super) validation: Validation,
    pub(super) token_kinds: TokenKinds,
    pub(super) max_response_bytes: usize,
    pub(super) timeout: Duration,
    pub(super) active: Option<ActiveTokens>,
    pub(super) inactive: InactiveTokens,
    pub(super) known: KnownTokens,
    pub(super) flights: Arc<Flights>,
    pub(super) admission: Admission,
    /// For unknown and for known tokens: a client that sends tokens of its choice must not be able
    /// to stop the requests with known ones.
    pub(super) back_offs: [BackOff; 2],
    pub(super) throttle: Option<Arc<Throttle>>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) observer: Observer,
    #[cfg(feature = "revocation")]
    pub(super) revocations: Option<Revocations>,
}

impl State {
    /// Returns what is known about a token, without the custom checks.
    #[inline]
    pub(super) fn lookup(&self, token: &TokenDigest) -> Option<Result<Principal, Rejection>> {
        let elapsed = self.clock.elapsed();
        let cached =
            self.active.as_ref().and_then(|active| active.get(token, elapsed, || self.clock.now()));
        match cached {
            Some(principal) => Some(Ok(principal)),
            None => {
                let reason = self.inactive.get(token, elapsed)?;
                Some(Err(Failure::Invalid(reason).into()))
            }
        }
    }

    /// Runs the custom checks, which run for each request.
    pub(super) fn check(&self, principal: Principal) -> Result<Principal, Rejection> {
        match self.validation.run_custom_checks(&principal) {
            Ok(()) => Ok(principal),
            Err(error) => Err(Failure::Invalid(error).into()),
        }
    }

    /// Returns the longest time until the endpoint is asked again, if it is not asked now.
    pub(super) fn pause(&self) -> Option<Duration> {
        let now = self.clock.elapsed();
        self.back_offs.iter().filter_map(|back_off| back_off.wait(now)).max()
    }

    fn back_off(&self, is_known: bool) -> &BackOff {
        let [unknown, known] = &self.back_offs;
        if is_known { known } else { unknown }
    }

    /// Checks the members of a response, and builds the caller.
    fn build_principal(&self, claims: ClaimsSet, now: SystemTime) -> Result<Principal, TokenError> {
        self.token_kinds.check(&claims)?;
        let principal = self.validation.build_principal(claims, now)?;
        self.token_kinds.check_binding(&principal)?;
        Ok(self.validation.map_principal(principal))
    }
}

/// A request with a token that is not in the cache.
pub(super) struct Question {
    state: Arc<State>,
    digest: TokenDigest,
    token: Zeroizing<String>,
    /// The sender of the request, if there is a throttle.
    client: Option<ClientAddress>,
}

impl Question {
    pub(super) fn new(
        state: Arc<State>,
        digest: TokenDigest,
        token: &str,
        client: Option<ClientAddress>,
    ) -> Self {
        Self { state, digest, token: Zeroizing::new(token.to_owned()), client }
    }

    /// Waits for the answer of the endpoint.
    pub(super) async fn ask(self) -> Result<Principal, Rejection> {
        let state = Arc::clone(&self.state);
        let waiting = match state.flights.join(&self.digest) {
            Some(waiting) => waiting,
            None => match self.start()? {
                Started::Decided(result) => return result.and_then(|caller| state.check(caller)),
                Started::Waiting(waiting) => waiting,
            },
        };
        state.check(state.wait(waiting).await?)
    }

    /// Starts a request to the endpoint, unless another one with the same token has done so.
    ///
    /// It runs in a task of its own, so that it does not end if the caller disconnects.
    fn start(self) -> Result<Started, Rejection> {
        let Self { state, digest, token, client } = self;
        let runtime = Handle::try_current().map_err(|_| {
            Failure::unavailable(IntrospectionError::new(
                IntrospectionErrorKind::Runtime,
                "no tokio runtime to ask the introspection endpoint in: verify tokens from within \
                 a tokio runtime",
            ))
        })?;
        let is_known = state.known.contains(&digest, state.clock.elapsed());
        let attempt = match (&state.throttle, client) {
            (Some(throttle), Some(client)) if !is_known => {
                Some(throttle.begin_attempt(client, digest.as_bytes())?)
            }
            _ => None,
        };
        let attempt = Attempt(attempt);
        Ok(match state.flights.join_or_start(digest, || state.lookup(&digest)) {
            Joined::Decided(result) => Started::Decided(result),
            Joined::Waiting(waiting) => Started::Waiting(waiting),
            Joined::Started(flight, waiting) => {
                let asking = Asking { state, flight, is_known, attempt };
                // A runtime that shuts down drops the task, which ends the flight.
                runtime.spawn(asking.run(token));
                Started::Waiting(waiting)
            }
        })
    }
}

enum Started {
    Decided(Result<Principal, Rejection>),
    Waiting(Waiting),
}

impl State {
    async fn wait(&self, mut waiting: Waiting) -> Result<Principal, Rejection> {
        // The time limit of the request does not fire if its runtime makes no progress.
        let limit = self.timeout.saturating_add(Duration::from_secs(1));
        let outcome = match timeout(limit, waiting.wait_for(Option::is_some)).await {
            Ok(Ok(outcome)) => outcome.clone(),
            Ok(Err(_)) | Err(_) => None,
        };
        let outcome = outcome.unwrap_or_else(|| {
            Err(Failure::unavailable(IntrospectionError::new(
                IntrospectionErrorKind::Runtime,
                "the request to the introspection endpoint was abandoned: its tokio runtime has \
                 shut down or makes no progress",
            )))
        });
        outcome.map_err(Rejection::from)
    }
}

/// A request to the endpoint.
struct Asking {
    state: Arc<State>,
    flight: Flight,
    is_known: bool,
    attempt: Attempt,
}

impl Asking {
    async fn run(self, token: Zeroizing<String>) {
        if let Some((outcome, asked_at)) = self.decide(&token).await {
            self.finish(outcome, asked_at);
        }
    }

    /// Returns the result and when the endpoint was asked, or `None` if all callers have left.
    ///
    /// A request that waits for its turn is then not needed any more. One that was sent is
    /// completed, and its result is cached.
    async fn decide(&self, token: &str) -> Option<(Outcome, Duration)> {
        let started = Instant::now();
        let (_permit, trial) = match self.flight.while_awaited(self.enter(started)).await? {
            Ok(entered) => entered,
            Err(failure) => return Some((Err(failure), Duration::ZERO)),
        };
        let asked_at = self.state.clock.elapsed();
        let outcome = self.ask(token, trial, started + self.state.timeout).await;
        Some((outcome, asked_at))
    }

    /// Waits for a permit, for at most half of the timeout.
    async fn enter(&self, started: Instant) -> Result<(Permit, Trial<'_>), Failure> {
        let state = &*self.state;
        if let Some(wait) = state.back_off(self.is_known).wait(state.clock.elapsed()) {
            return Err(paused(wait));
        }
        let place = state.admission.enqueue(self.is_known).ok_or_else(|| {
            busy("too many requests wait for the introspection endpoint: see max_waiting")
        })?;
        let permit = timeout_at(started + state.timeout / 2, Place::wait(place)).await;
        let permit = permit.ok().flatten().ok_or_else(|| {
            busy("no request to the introspection endpoint has ended in time: see max_concurrent")
        })?;
        // The endpoint may have failed in the meantime.
        let trial = Trial::begin(state, self.is_known).map_err(paused)?;
        Ok((permit, trial))
    }

    /// Sends the request, and reads the response.
    async fn ask(&self, token: &str, trial: Trial<'_>, deadline: Instant) -> Outcome {
        let state = &*self.state;
        let asking = state.endpoint.ask(token, || trial.is_overtaken());
        let result = match timeout_at(deadline, asking).await {
            Ok(result) => result,
            Err(_) => {
                let limit = state.timeout.as_secs_f64();
                Err(IntrospectionError::new(
                    IntrospectionErrorKind::Outage,
                    format!("the introspection endpoint did not respond within {limit} s"),
                ))
            }
        };
        let response = match result {
            Ok(response) => response,
            Err(error) => {
                trial.fail();
                return Err(self.failed(error));
            }
        };
        match response::parse(&response, state.max_response_bytes) {
            Ok(answer) => {
                trial.succeed();
                match answer {
                    Answer::Active(claims) => {
                        state.build_principal(claims, state.clock.now()).map_err(Failure::from)
                    }
                    Answer::Inactive(reason) => Err(reason.into()),
                }
            }
            Err(bad) => {
                if bad.is_outage {
                    trial.fail();
                } else {
                    trial.end();
                }
                Err(self.failed(bad.error))
            }
        }
    }

    fn failed(&self, error: IntrospectionError) -> Failure {
        self.state.observer.observe(&Event::IntrospectionFailed { error: &error });
        Failure::unavailable(error)
    }

    /// Caches the result, then sends it to those who wait.
    fn finish(self, outcome: Outcome, asked_at: Duration) {
        let Self { state, flight, attempt, .. } = self;
        let token = flight.token();
        match &outcome {
            Ok(principal) => {
                state.known.insert(token, asked_at);
                if let Some(active) = &state.active {
                    active.insert(token, principal.clone(), asked_at);
                }
            }
            Err(Failure::Invalid(reason)) => {
                state.known.remove(&token);
                if let Some(active) = &state.active {
                    active.remove(&token);
                }
                state.inactive.insert(token, reason.clone(), asked_at);
            }
            Err(Failure::Unavailable { .. }) => {}
        }
        attempt.finish(matches!(outcome, Err(Failure::Invalid(_))));
        flight.finish(outcome);
    }
}

/// Counts for the throttle: only a token that is not valid is a failure.
struct Attempt(Option<AddressAttempt>);

impl Attempt {
    fn finish(mut self, failed: bool) {
        if let Some(attempt) = self.0.take() {
            attempt.finish(failed);
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if let Some(attempt) = self.0.take() {
            attempt.finish(false);
        }
    }
}

/// A request that the back-off has allowed. If it is dropped, for example by a panic of the HTTP
/// client, it has failed.
struct Trial<'a> {
    state: &'a State,
    is_known: bool,
    admitted: Admitted,
    has_ended: bool,
}

impl<'a> Trial<'a> {
    fn begin(state: &'a State, is_known: bool) -> Result<Self, Duration> {
        let now = state.clock.elapsed();
        let admitted = state.back_off(is_known).admit(now, state.timeout)?;
        Ok(Self { state, is_known, admitted, has_ended: false })
    }

    /// Returns whether others have failed since this one began, so that it need not try as well.
    fn is_overtaken(&self) -> bool {
        let pause = self.state.back_off(self.is_known).wait(self.state.clock.elapsed());
        self.admitted == Admitted::Normal && pause.is_some()
    }

    /// The endpoint works, also for tokens of the other kind.
    fn succeed(mut self) {
        self.has_ended = true;
        self.state.back_offs.iter().for_each(BackOff::succeed);
    }

    /// The endpoint has responded, but said nothing about the token.
    fn end(mut self) {
        self.has_ended = true;
        let now = self.state.clock.elapsed();
        self.state.back_off(self.is_known).end(self.admitted, now);
    }

    fn fail(self) {
        drop(self);
    }
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        if !self.has_ended {
            let now = self.state.clock.elapsed();
            self.state.back_off(self.is_known).fail(self.admitted, now);
        }
    }
}

fn paused(wait: Duration) -> Failure {
    let error = IntrospectionError::new(
        IntrospectionErrorKind::Paused,
        "the introspection endpoint failed a short time ago, and is not asked again yet",
    );
    Failure::Unavailable { error, retry_after: wait }
}

fn busy(message: &'static str) -> Failure {
    Failure::unavailable(IntrospectionError::new(IntrospectionErrorKind::Busy, message))
}
