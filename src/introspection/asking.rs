//! A request to the endpoint, which runs in a task of its own.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, timeout_at};
use zeroize::Zeroizing;

use super::{
    admission::{Permit, Place},
    error::{IntrospectionError, IntrospectionErrorKind},
    failure::Failure,
    flight::{Flight, Outcome},
    response::{self, Answer},
    state::State,
    trial::Trial,
};
use crate::{
    jwt::{claims::Expected, error::TokenError},
    observe::event::Event,
    throttle::address_failures::AddressAttempt,
};

/// A request to the endpoint.
pub(super) struct Asking {
    state: Arc<State>,
    flight: Flight,
    is_known: bool,
    attempt: Attempt,
}

impl Asking {
    pub(super) fn new(state: Arc<State>, flight: Flight, is_known: bool, attempt: Attempt) -> Self {
        Self { state, flight, is_known, attempt }
    }

    pub(super) async fn run(self, token: Zeroizing<String>) {
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
                    Answer::Inactive => Err(TokenError::Inactive.into()),
                    Answer::Malformed(claims) => {
                        let error = Expected("true or false").at("active");
                        state.validation.report_error(&error, &claims);
                        Err(error.into())
                    }
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
        let issuer = self.state.validation.issuers.first().map(|issuer| &**issuer);
        self.state.observer.observe(&Event::IntrospectionFailed { issuer, error: &error });
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
pub(super) struct Attempt(Option<AddressAttempt>);

impl Attempt {
    pub(super) fn new(attempt: Option<AddressAttempt>) -> Self {
        Self(attempt)
    }

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
