use std::{
    fmt,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::request::Parts;

use super::{
    contained::observe_contained, decided::Decided, default, event::Event, observe::Observe,
    request_summary::RequestSummary,
};
#[cfg(feature = "basic")]
use crate::respond::head_summary::HeadSummary;
use crate::{rejection::Rejection, transport::forwarded::Forwarded};

/// The observer of a layer or a background task: the one that was set, or else the default.
///
/// A layer adds what was set to the extensions of the request, for its authenticator and for the
/// layers and extractors inside.
#[derive(Clone, Default)]
pub(crate) struct Observer {
    observer: Option<Arc<dyn Observe>>,
    /// Determines the client addresses in the events.
    forwarded: Option<Forwarded>,
}

impl Observer {
    pub(crate) fn with_observer(self, observer: impl Observe + 'static) -> Self {
        Self { observer: Some(Arc::new(observer)), ..self }
    }

    pub(crate) fn with_forwarded(self, forwarded: Forwarded) -> Self {
        Self { forwarded: Some(forwarded), ..self }
    }

    /// Determines client addresses with this, unless something else was set for that.
    pub(crate) fn or_forwarded(mut self, forwarded: &Forwarded) -> Self {
        self.forwarded.get_or_insert_with(|| forwarded.clone());
        self
    }

    /// Returns this observer, with what was not set from that of the enclosing authentication
    /// layer.
    #[inline]
    pub(crate) fn or_of(&self, head: &Parts) -> Self {
        match head.extensions.get::<Self>() {
            Some(outer) => Self {
                observer: self.observer.as_ref().or(outer.observer.as_ref()).cloned(),
                forwarded: self.forwarded.as_ref().or(outer.forwarded.as_ref()).cloned(),
            },
            None => self.clone(),
        }
    }

    /// Adds this observer to a request, with what was not set from that of the enclosing layer.
    #[inline]
    pub(crate) fn add_to(&self, head: &mut Parts) {
        if self.is_set() {
            let observer = self.or_of(head);
            head.extensions.insert(observer);
        }
    }

    /// Returns the observer of the innermost layer that has added one.
    #[inline]
    pub(crate) fn of(head: &Parts) -> Self {
        head.extensions.get::<Self>().cloned().unwrap_or_default()
    }

    /// Returns whether anything was set, which the layers inside need.
    #[inline]
    pub(crate) fn is_set(&self) -> bool {
        self.observer.is_some() || self.forwarded.is_some()
    }

    /// Returns whether the events of the request with this head are received, to measure what only
    /// they contain.
    #[inline]
    pub(crate) fn is_observed(&self, head: &Parts) -> bool {
        let is_set = |outer: &Self| outer.observer.is_some();
        self.custom().is_some()
            || events_are_enabled()
            || head.extensions.get::<Self>().is_some_and(is_set)
    }

    /// Returns the client address that the events of this request contain.
    pub(crate) fn client_address(&self, head: &Parts) -> Option<IpAddr> {
        self.forwarded.as_ref()?.info(head).client_address()
    }

    /// Keeps what the events of this request contain, for an event that follows later.
    #[cfg(feature = "basic")]
    pub(crate) fn keep(&self, head: &Parts) -> HeadSummary {
        HeadSummary::of(head, self.client_address(head))
    }

    #[inline]
    pub(crate) fn request<'a>(&'a self, head: &'a Parts) -> RequestSummary<'a> {
        RequestSummary::of(head, self.forwarded.as_ref())
    }

    #[inline]
    pub(crate) fn observe(&self, event: &Event<'_>) {
        match self.custom() {
            Some(observer) => observe_contained(observer, event),
            #[cfg(feature = "tracing")]
            None => observe_contained(&super::tracing::Tracing::default(), event),
            #[cfg(not(feature = "tracing"))]
            None => {}
        }
    }

    /// Returns the observer that was set here, or else for the process.
    #[inline]
    fn custom(&self) -> Option<&dyn Observe> {
        self.observer.as_deref().or_else(|| default::get())
    }

    /// Reports a fault of the configuration that is not reported yet, unless nothing would receive
    /// the event.
    #[cfg(feature = "throttle")]
    pub(crate) fn observe_once<'a>(
        &self,
        reported: &AtomicBool,
        event: impl FnOnce() -> Event<'a>,
    ) {
        let is_received = self.custom().is_some() || warnings_are_enabled();
        if is_received && !reported.swap(true, Ordering::Relaxed) {
            self.observe(&event());
        }
    }

    /// Reports that a layer admitted the request with this head.
    #[inline]
    pub(crate) fn observe_admitted<'a>(
        &'a self,
        head: &'a Parts,
        decided: impl FnOnce() -> Decided<'a>,
    ) {
        match self.custom() {
            Some(observer) => {
                let event = decided().admitted(self.request(head));
                observe_contained(observer, &event);
            }
            None if events_are_enabled() => self.observe(&decided().admitted(self.request(head))),
            None => {}
        }
    }

    /// Reports that a policy admitted the request with this head.
    #[inline]
    pub(crate) fn observe_policy_admission<'a>(
        &'a self,
        head: &'a Parts,
        waited: Option<Duration>,
        decided: impl FnOnce() -> Decided<'a>,
    ) {
        let ignores = |observer: &dyn Observe| observer.ignores_policy_admissions();
        if waited.is_some() || !self.custom().is_some_and(ignores) {
            self.observe_admitted(head, decided);
        }
    }

    /// Reports that the request with this head was rejected before the caller was known.
    pub(crate) fn observe_rejection(
        &self,
        rejection: &Rejection,
        head: &Parts,
        reported_fault: &AtomicBool,
    ) {
        self.observe_rejected(rejection, head, Decided::default(), reported_fault);
    }

    /// Reports that the request with this head was rejected.
    pub(crate) fn observe_rejected(
        &self,
        rejection: &Rejection,
        head: &Parts,
        decided: Decided<'_>,
        reported_fault: &AtomicBool,
    ) {
        // This is much cheaper than to create an event that nothing receives.
        if self.custom().is_none() && !events_are_enabled() {
            return;
        }
        let is_first_fault = || {
            // Without a receiver, the fault is not reported yet.
            let is_received = self.custom().is_some() || errors_are_enabled();
            !is_received || !reported_fault.swap(true, Ordering::Relaxed)
        };
        let request = Some(self.request(head));
        self.observe(&decided.rejected(rejection, request, is_first_fault));
    }
}

/// Returns whether `Tracing` writes warnings.
#[cfg(feature = "throttle")]
fn warnings_are_enabled() -> bool {
    #[cfg(feature = "tracing")]
    return super::tracing::warnings_are_enabled();
    #[cfg(not(feature = "tracing"))]
    false
}

/// Returns whether `Tracing` writes errors.
fn errors_are_enabled() -> bool {
    #[cfg(feature = "tracing")]
    return super::tracing::errors_are_enabled();
    #[cfg(not(feature = "tracing"))]
    false
}

/// Returns whether anything receives the events of the default observer.
///
/// This is much cheaper than to create an event that nothing receives.
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
        f.write_str(if self.observer.is_some() { "Observer(set)" } else { "Observer(default)" })
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn what_an_inner_part_has_not_set_is_that_of_the_outer_layer() {
        let mut head = Request::new(()).into_parts().0;
        let outer = Observer::default().with_observer(|_: &Event<'_>| {});
        head.extensions.insert(outer.with_forwarded(Forwarded::direct()));
        for inner in [Observer::default(), Observer::default().with_forwarded(Forwarded::direct())]
        {
            assert!(inner.is_observed(&head));
            let observer = inner.or_of(&head);
            assert!(observer.observer.is_some() && observer.forwarded.is_some());
        }
    }
}
