use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::quota::Quota;

/// Decides when to report that the space is nearly used up.
#[derive(Default)]
pub(super) struct NearlyFull {
    is_reported: AtomicBool,
    reported_at: Mutex<Option<u64>>,
}

impl NearlyFull {
    const REPORTED_ABOVE: usize = 80;
    /// The use must fall below this, so that a use of about 80 % is not reported again and again.
    const REARMED_BELOW: usize = 70;
    const INTERVAL: Duration = Duration::from_secs(60);

    /// Returns whether to report it now.
    pub(super) fn is_due(&self, quota: &Quota, now: u64) -> bool {
        if self.is_reported.load(Ordering::Relaxed) {
            if !quota.is_above(Self::REARMED_BELOW) {
                self.is_reported.store(false, Ordering::Relaxed);
            }
            return false;
        }
        if !quota.is_above(Self::REPORTED_ABOVE) {
            return false;
        }
        let mut reported_at = self.reported_at.lock().unwrap_or_else(PoisonError::into_inner);
        let is_recent = |at: u64| u128::from(now.saturating_sub(at)) < Self::INTERVAL.as_nanos();
        if reported_at.is_some_and(is_recent) || self.is_reported.swap(true, Ordering::Relaxed) {
            return false;
        }
        *reported_at = Some(now);
        true
    }
}
