use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::jwks::schedule::RefreshSchedule;

/// Stops requests to an endpoint that fails, and lets one of them through from time to time.
#[derive(Default)]
pub(super) struct BackOff(Mutex<State>);

#[derive(Default)]
struct State {
    /// The failures since the last success.
    failures: u32,
    /// When the next request is allowed, on the clock of [`Clock::elapsed`].
    ///
    /// [`Clock::elapsed`]: crate::clock::Clock::elapsed
    paused_until: Option<Duration>,
}

/// A request that was allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admitted {
    Normal,
    /// The only request after a pause.
    Probe,
}

impl BackOff {
    /// After so many failures in a row, requests are paused. A single one can be an accident.
    pub(super) const MAX_FAILURES: u32 = 3;
    /// The longest pause, which is also the longest time that a probe can take.
    const LONGEST: Duration = Duration::from_secs(60);

    /// Allows a request, or returns the time until the next one is allowed.
    ///
    /// A probe that takes longer than `probe_limit` counts as lost.
    pub(super) fn admit(&self, now: Duration, probe_limit: Duration) -> Result<Admitted, Duration> {
        let mut state = self.lock();
        let Some(until) = state.paused_until else { return Ok(Admitted::Normal) };
        match remaining(until, now) {
            Some(wait) => Err(wait),
            None => {
                state.paused_until = Some(now.saturating_add(probe_limit.min(Self::LONGEST)));
                Ok(Admitted::Probe)
            }
        }
    }

    /// Returns the time until the next request is allowed, if requests are paused.
    pub(super) fn wait(&self, now: Duration) -> Option<Duration> {
        self.lock().paused_until.and_then(|until| remaining(until, now))
    }

    /// Returns the number of failures since the last success.
    pub(super) fn failures(&self) -> u32 {
        self.lock().failures
    }

    pub(super) fn succeed(&self) {
        *self.lock() = State::default();
    }

    pub(super) fn fail(&self, admitted: Admitted, now: Duration) {
        let mut state = self.lock();
        // A request that started before the pause says nothing new.
        if state.paused_until.is_some() && admitted == Admitted::Normal {
            return;
        }
        state.failures = state.failures.saturating_add(1);
        if let Some(pauses) = state.failures.checked_sub(Self::MAX_FAILURES) {
            let pause =
                RefreshSchedule::DEFAULT.back_off(pauses.saturating_add(1), fastrand::f64());
            state.paused_until = Some(now.saturating_add(pause));
        }
    }

    /// Ends a request that says nothing about the state of the endpoint. After a probe, the next
    /// request is the probe.
    pub(super) fn end(&self, admitted: Admitted, now: Duration) {
        if admitted == Admitted::Probe {
            self.lock().paused_until = Some(now);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A pause that is too long dates from before a mock clock was set back.
fn remaining(until: Duration, now: Duration) -> Option<Duration> {
    let left = until.checked_sub(now)?;
    (!left.is_zero() && left <= BackOff::LONGEST).then_some(left)
}
