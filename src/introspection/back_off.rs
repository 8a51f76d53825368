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
    #[cfg(feature = "health")]
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
            // Another request may have succeeded in the meantime.
            if let Some(until) = &mut self.lock().paused_until {
                *until = now;
            }
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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn fail_at(back_off: &BackOff, now: Duration) {
        let admitted = back_off.admit(now, LIMIT).unwrap();
        back_off.fail(admitted, now);
    }

    #[test]
    fn third_failure_in_a_row_pauses_requests() {
        let back_off = BackOff::default();
        fail_at(&back_off, at(100));
        fail_at(&back_off, at(100));
        assert_eq!(back_off.wait(at(100)), None);
        back_off.succeed();
        fail_at(&back_off, at(100));
        fail_at(&back_off, at(100));
        assert_eq!(back_off.admit(at(100), LIMIT), Ok(Admitted::Normal));
        fail_at(&back_off, at(100));
        let wait = back_off.admit(at(100), LIMIT).unwrap_err();
        assert!(wait >= Duration::from_millis(500) && wait <= at(1), "{wait:?}");
        assert_eq!(back_off.wait(at(100)), Some(wait));
    }

    #[test]
    fn one_probe_follows_a_pause_and_doubles_it_if_it_fails() {
        let back_off = BackOff::default();
        (0..3).for_each(|_| fail_at(&back_off, at(0)));
        let mut now = at(0);
        for longest in [1, 2, 4, 8, 16, 30, 30, 30] {
            let wait = back_off.wait(now).unwrap();
            assert!(wait >= at(longest) / 2 && wait <= at(longest), "{wait:?} of {longest} s");
            now += wait;
            assert_eq!(back_off.admit(now, LIMIT), Ok(Admitted::Probe));
            assert!(back_off.admit(now, LIMIT).is_err(), "a second probe");
            // One that started before the pause changes nothing.
            back_off.fail(Admitted::Normal, now);
            back_off.fail(Admitted::Probe, now);
        }
        now += at(30);
        assert_eq!(back_off.admit(now, LIMIT), Ok(Admitted::Probe));
        back_off.succeed();
        assert_eq!(back_off.admit(now, LIMIT), Ok(Admitted::Normal));
        assert_eq!(back_off.lock().failures, 0);
    }

    #[test]
    fn lost_probe_is_replaced_and_one_without_a_result_as_well() {
        let back_off = BackOff::default();
        (0..3).for_each(|_| fail_at(&back_off, at(0)));
        assert_eq!(back_off.admit(at(10), LIMIT), Ok(Admitted::Probe));
        assert_eq!(back_off.admit(at(14), LIMIT), Err(at(1)));
        assert_eq!(back_off.admit(at(15), LIMIT), Ok(Admitted::Probe));
        back_off.end(Admitted::Probe, at(16));
        assert_eq!(back_off.admit(at(16), LIMIT), Ok(Admitted::Probe));
        back_off.end(Admitted::Normal, at(16));
        assert!(back_off.admit(at(16), LIMIT).is_err());
    }

    #[test]
    fn clock_that_is_set_back_does_not_extend_a_pause() {
        let back_off = BackOff::default();
        (0..3).for_each(|_| fail_at(&back_off, at(10_000)));
        assert_eq!(back_off.admit(at(9_000), LIMIT), Ok(Admitted::Probe));
    }

    /// Every sequence of operations: the state is never stuck, and there is at most one probe.
    #[test]
    fn every_state_allows_a_request_after_at_most_a_minute() {
        let mut states = HashSet::new();
        for sequence in 0..6_u32.pow(7) {
            let (back_off, mut now, mut probes) = (BackOff::default(), at(0), 0_u32);
            for step in 0..7 {
                match sequence / 6_u32.pow(step) % 6 {
                    0 => match back_off.admit(now, LIMIT) {
                        Ok(Admitted::Probe) => probes += 1,
                        Ok(Admitted::Normal) => {}
                        Err(wait) => assert!(wait <= at(60)),
                    },
                    1 => back_off.fail(Admitted::Normal, now),
                    2 if probes > 0 => back_off.fail(Admitted::Probe, now),
                    3 if probes > 0 => back_off.end(Admitted::Probe, now),
                    4 => back_off.succeed(),
                    5 => (now, probes) = (now + at(60), 0),
                    _ => {}
                }
            }
            let state = back_off.lock();
            let is_paused = state.paused_until.is_some();
            assert_eq!(is_paused, state.failures >= BackOff::MAX_FAILURES);
            states.insert((state.failures, is_paused));
            drop(state);
            assert!(back_off.admit(now + at(60), LIMIT).is_ok());
        }
        assert_eq!(states.len(), 6, "{states:?}");
    }
}
