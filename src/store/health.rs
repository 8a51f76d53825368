use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use super::error::{StoreError, StoreErrorKind};
use crate::observe::{event::Event, observer::Observer};

/// Whether the last operation failed, to report when a store becomes unavailable and available.
#[derive(Default)]
pub(crate) struct StoreHealth(Mutex<State>);

#[derive(Default)]
struct State {
    is_unavailable: bool,
    reported_at: Option<Instant>,
    full_reported_at: Option<Instant>,
}

impl StoreHealth {
    /// An outage is reported again after this time.
    const REPORT_INTERVAL: Duration = Duration::from_secs(60);

    /// Records the outcome of an operation, and reports changes.
    pub(crate) fn record<T>(&self, result: &Result<T, StoreError>, observer: &Observer) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due =
            |at: Option<Instant>| at.is_none_or(|at| at.elapsed() >= Self::REPORT_INTERVAL);
        match result {
            Err(error) if error.kind() == StoreErrorKind::Unavailable => {
                let is_due = !state.is_unavailable || is_due(state.reported_at);
                state.is_unavailable = true;
                if is_due {
                    state.reported_at = Some(Instant::now());
                    drop(state);
                    observer.observe(&Event::StoreUnavailable { error });
                }
            }
            Err(error) if error.kind() == StoreErrorKind::Full => {
                if is_due(state.full_reported_at) {
                    state.full_reported_at = Some(Instant::now());
                    drop(state);
                    observer.observe(&Event::StoreFull { error });
                }
            }
            Err(_) => {}
            Ok(_) => {
                if std::mem::take(&mut state.is_unavailable) {
                    drop(state);
                    observer.observe(&Event::StoreAvailable);
                }
            }
        }
    }
}
