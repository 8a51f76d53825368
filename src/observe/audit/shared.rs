use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::{identity::Identities, queue::Queue};
use crate::{
    clock::{Clock, Deadline},
    observe::{event::Event, observer::Observer},
};

/// How often failures are reported.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);

/// What the handles of a log and its thread share.
pub(super) struct Shared {
    pub(super) queue: Queue,
    pub(super) identities: Identities,
    /// Whether the last attempt to write has failed.
    pub(super) is_failing: AtomicBool,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) observer: Observer,
    pub(super) next_report: Deadline,
}

impl Shared {
    /// Reports a failure, at most once a minute. An audit log does not write these reports.
    pub(super) fn report(&self, error: &io::Error) {
        if self.next_report.claim(self.clock.now(), REPORT_INTERVAL) {
            self.observer.observe(&Event::AuditFailed { error });
        }
    }

    /// Reports that an event was dropped.
    #[cold]
    pub(super) fn report_drop(&self) {
        let problem = match self.is_failing.load(Ordering::Relaxed) {
            true => "events are dropped: the audit log cannot be written, and its queue is full",
            false => "events are dropped: the queue of the audit log is full",
        };
        self.report(&io::Error::other(problem));
    }
}
