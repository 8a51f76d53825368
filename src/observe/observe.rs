use std::sync::Arc;

use super::{contained::observe_contained, event::Event};

/// Receives the events of layers and background tasks.
///
/// Closures implement this trait, and so does a pair of observers, which both receive each event.
/// A layer calls it once per decision:
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use tower_auth::{AuthenticateLayer, JwtAuth, observe::Event};
///
/// static REJECTED: AtomicU64 = AtomicU64::new(0);
///
/// # fn f(tokens: JwtAuth) {
/// let layer = AuthenticateLayer::new(tokens).observer(|event: &Event<'_>| {
///     match event {
///         Event::Rejected { .. } | Event::Throttled { .. } | Event::WiringFault { .. } => {
///             REJECTED.fetch_add(1, Ordering::Relaxed);
///         }
///         _ => {}
///     }
/// });
/// # }
/// ```
///
/// A request that passes two layers causes two [`Admitted`](super::Event::Admitted) events.
///
/// The call runs while the request waits, so it must return quickly. If it panics, the panic is
/// logged with the feature `tracing`, and the request continues without the observer.
pub trait Observe: Send + Sync {
    /// Receives an event.
    fn observed(&self, event: &Event<'_>);

    /// Returns whether this ignores requests that a policy has admitted at once. Then no event is
    /// created for them, which is a third of what observing a request costs.
    #[doc(hidden)]
    #[inline]
    fn ignores_policy_admissions(&self) -> bool {
        false
    }
}

impl<F> Observe for F
where
    F: Fn(&Event<'_>) + Send + Sync,
{
    fn observed(&self, event: &Event<'_>) {
        self(event);
    }
}

/// Several layers can share one observer.
impl<O: Observe + ?Sized> Observe for Arc<O> {
    fn observed(&self, event: &Event<'_>) {
        (**self).observed(event);
    }

    fn ignores_policy_admissions(&self) -> bool {
        (**self).ignores_policy_admissions()
    }
}

/// Both observers receive each event, also if the first one panics.
impl<A: Observe, B: Observe> Observe for (A, B) {
    #[inline]
    fn observed(&self, event: &Event<'_>) {
        observe_contained(&self.0, event);
        observe_contained(&self.1, event);
    }

    #[inline]
    fn ignores_policy_admissions(&self) -> bool {
        self.0.ignores_policy_admissions() && self.1.ignores_policy_admissions()
    }
}
