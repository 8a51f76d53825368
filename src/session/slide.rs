//! The last use of a session, which is written once a minute.

use std::time::Duration;

use super::{
    known::{Decoded, Known},
    record::{Record, whole_millis},
    sessions::State,
};
use crate::store::{error::StoreError, record::Record as StoreRecord, ttl::Ttl};

/// How long the record of a session is kept after the session has ended, in milliseconds, so that
/// the clocks of processes can differ a little.
const MARGIN: u64 = 60_000;

/// When a write that failed is tried again, in milliseconds.
const RETRY_AFTER: u64 = 5_000;

impl State {
    #[inline]
    pub(super) fn is_slide_due(&self, known: &Known, decoded: &Decoded, now: u64) -> bool {
        let interval = self.slide_interval(decoded);
        now >= decoded.record.last_seen.saturating_add(interval)
            && known.flight.slide.is_due(now, interval)
    }

    /// Another process can have started the session with a shorter idle timeout.
    #[inline]
    fn slide_interval(&self, decoded: &Decoded) -> u64 {
        self.slide_interval.min(decoded.record.idle / 2)
    }

    /// Writes the last use of a session if it is due.
    ///
    /// Only `replace` writes: a session that another request has ended meanwhile is not created
    /// again. If this fails, the session is live nevertheless, and the store has reported why.
    pub(super) async fn slide(&self, known: &Known, decoded: &Decoded, now: u64) {
        if !self.is_slide_due(known, decoded, now) {
            return;
        }
        let Some(attempt) = known.flight.slide.claim(now, self.slide_interval(decoded)) else {
            return;
        };
        match self.replace(&decoded.stored, &decoded.record.used(now), now).await {
            // If nothing was written, another process has done so, or the session has ended.
            Ok(_) => attempt.succeeded(),
            Err(_) => attempt.failed_until(now.saturating_add(RETRY_AFTER)),
        }
    }

    /// Replaces the record that was read, if it is still the same. Returns whether it was.
    pub(super) async fn replace(
        &self,
        stored: &StoreRecord,
        record: &Record,
        now: u64,
    ) -> Result<bool, StoreError> {
        self.store.replace(stored, &record.encode(), self.ttl(record, now)).await
    }

    /// Returns how long the store keeps a record that is written now.
    pub(super) fn ttl(&self, record: &Record, now: u64) -> Ttl {
        let idle = record.idle.max(whole_millis(self.idle)).saturating_add(MARGIN);
        let left = record.absolute_end.saturating_sub(now);
        Ttl::new(Duration::from_millis(left.min(idle)))
    }
}
