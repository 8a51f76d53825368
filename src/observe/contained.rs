use std::panic::{self, AssertUnwindSafe};

use super::{event::Event, observe::Observe};

/// Calls an observer. If it panics, the request continues, and the panic is logged.
#[inline]
pub(super) fn observe_contained(observer: &(impl Observe + ?Sized), event: &Event<'_>) {
    if panic::catch_unwind(AssertUnwindSafe(|| observer.observed(event))).is_err() {
        log_panic(event);
    }
}

#[cold]
fn log_panic(event: &Event<'_>) {
    // If a subscriber of `tracing` has panicked, it can do so again.
    #[cfg(feature = "tracing")]
    let _ = panic::catch_unwind(AssertUnwindSafe(|| {
        tracing::error!(
            target: "tower_auth",
            event = event.name(),
            "an observer panicked: the event was not observed"
        );
    }));
    #[cfg(not(feature = "tracing"))]
    let _ = event;
}
