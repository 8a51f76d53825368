//! Limits how often something is reported.

use std::time::{Duration, Instant};

#[derive(Default)]
pub(crate) struct ReportLimit(Option<Instant>);

impl ReportLimit {
    /// Returns whether nothing was reported in the minute before `now`, and remembers `now` if so.
    pub(crate) fn is_due(&mut self, now: Instant) -> bool {
        let is_due = self
            .0
            .is_none_or(|last| now.saturating_duration_since(last) >= Duration::from_secs(60));
        if is_due {
            self.0 = Some(now);
        }
        is_due
    }
}
