use std::{
    mem::size_of_val,
    sync::atomic::{AtomicBool, Ordering},
};

/// Where the metrics are recorded.
pub(super) struct MetricsRecorder {
    own: Option<Box<dyn metrics::Recorder + Send + Sync>>,
    reported_missing: AtomicBool,
}

impl MetricsRecorder {
    pub(super) fn new(own: Option<Box<dyn metrics::Recorder + Send + Sync>>) -> Self {
        Self { own, reported_missing: AtomicBool::new(false) }
    }

    /// Calls `f` with the recorder, if there is one.
    pub(super) fn with<T>(&self, f: impl FnOnce(&dyn metrics::Recorder) -> T) -> Option<T> {
        if let Some(own) = &self.own {
            return Some(f(own));
        }
        metrics::with_recorder(|recorder| is_installed(recorder).then(|| f(recorder)))
    }

    /// Like [`with`](Self::with), for an event: logs once that there is no recorder.
    pub(super) fn for_event<T>(&self, f: impl FnOnce(&dyn metrics::Recorder) -> T) -> Option<T> {
        let result = self.with(f);
        if result.is_none() && !self.reported_missing.swap(true, Ordering::Relaxed) {
            log_missing();
        }
        result
    }
}

/// Returns whether this is not the recorder that `metrics` uses until one is installed.
///
/// A handle that is created by that one stays without effect. It has no fields, and nothing else
/// distinguishes it.
fn is_installed(recorder: &dyn metrics::Recorder) -> bool {
    size_of_val(recorder) != 0
}

#[cold]
fn log_missing() {
    #[cfg(feature = "tracing")]
    tracing::error!(
        target: "tower_auth",
        "events are not counted: install a recorder of the crate `metrics`, or pass it to `MetricsBuilder::recorder`"
    );
}
