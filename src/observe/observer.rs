use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use http::request::Parts;

use super::{
    event::{Event, RequestSummary},
    observe::Observe,
};
use crate::{principal::Principal, rejection::Rejection};

/// The observer of a layer or a background task: the one that was set, or else the default.
///
/// An authentication layer adds an observer that was set to the extensions of the request, for the
/// layers and extractors inside.
#[derive(Clone, Default)]
pub(crate) struct Observer(Option<Arc<dyn Observe>>);

impl Observer {
    pub(crate) fn new(observer: impl Observe + 'static) -> Self {
        Self(Some(Arc::new(observer)))
    }

    /// Returns the observer, or that of the enclosing authentication layer if none was set.
    #[inline]
    pub(crate) fn or_of(&self, head: &Parts) -> Self {
        if self.is_set() { self.clone() } else { Self::of(head) }
    }

    /// Returns the observer of the enclosing authentication layer.
    #[inline]
    pub(crate) fn of(head: &Parts) -> Self {
        head.extensions.get::<Self>().cloned().unwrap_or_default()
    }

    /// Returns whether an observer was set.
    #[inline]
    pub(crate) fn is_set(&self) -> bool {
        self.0.is_some()
    }

    #[inline]
    pub(crate) fn observe(&self, event: &Event<'_>) {
        match &self.0 {
            Some(observer) => observer.observed(event),
            #[cfg(feature = "tracing")]
            None => super::tracing::Tracing::default().observed(event),
            #[cfg(not(feature = "tracing"))]
            None => {}
        }
    }

    /// Reports that a layer admitted the request with this head.
    #[inline]
    pub(crate) fn observe_admitted(&self, principal: Option<&Principal>, head: &Parts) {
        if self.is_set() || events_are_enabled() {
            self.observe(&Event::Admitted { request: RequestSummary::of(head), principal });
        }
    }

    /// Reports that a layer rejected the request with this head.
    pub(crate) fn observe_rejection(
        &self,
        rejection: &Rejection,
        head: &Parts,
        reported_fault: &AtomicBool,
    ) {
        // The default observer needs no event, and normally writes none at this level.
        #[cfg(feature = "tracing")]
        if !self.is_set() && rejection.kind() != crate::rejection::RejectionKind::Misconfigured {
            let request = Some(RequestSummary::of(head));
            return super::tracing::write_rejection(request, rejection);
        }
        let is_first_fault = || {
            // Without a receiver, the fault is not reported yet.
            let is_received = self.is_set() || errors_are_enabled();
            !is_received || !reported_fault.swap(true, Ordering::Relaxed)
        };
        let request = Some(RequestSummary::of(head));
        self.observe(&Event::of_rejection(rejection, request, is_first_fault));
    }
}

/// Returns whether the default observer writes errors.
fn errors_are_enabled() -> bool {
    #[cfg(feature = "tracing")]
    return super::tracing::errors_are_enabled();
    #[cfg(not(feature = "tracing"))]
    false
}

/// Returns whether anything receives the events of the default observer.
///
/// This is much cheaper than to create an event that no one receives.
#[inline]
fn events_are_enabled() -> bool {
    #[cfg(feature = "tracing")]
    return tracing::level_filters::LevelFilter::current()
        != tracing::level_filters::LevelFilter::OFF;
    #[cfg(not(feature = "tracing"))]
    false
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_set() { "Observer(set)" } else { "Observer(default)" })
    }
}
