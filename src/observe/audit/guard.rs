use std::{fmt, sync::Arc};

use http::request::Parts;
use tower_layer::Layer;

use super::audit_log::AuditLog;
use crate::{
    observe::{Observe, observer::Observer},
    rejection::{Rejection, RejectionKind},
    respond::Inherit,
    transport::{
        admit::{Admit, Checked, HeadCheck, Shared},
        forwarded::Forwarded,
    },
};

/// Rejects requests while an [`AuditLog`] has little space for security events. See
/// [`AuditLog::guard`].
#[must_use]
pub struct AuditGuardLayer<R = Inherit> {
    shared: Shared<AuditGuard, R>,
}

/// The check of an [`AuditGuardLayer`].
#[derive(Clone, Debug)]
pub struct AuditGuard {
    log: AuditLog,
    forwarded: Forwarded,
}

impl AuditGuardLayer {
    pub(super) fn new(log: AuditLog) -> Self {
        let check = AuditGuard { log, forwarded: Forwarded::direct() };
        let responder = Arc::new(Inherit::default());
        Self { shared: Shared { check, responder, observer: Observer::default() } }
    }
}

impl<R> AuditGuardLayer<R> {
    /// Sets the responder, which renders the rejections of this layer and of everything inside it.
    ///
    /// The default is [`Inherit`]: an outer layer renders them.
    pub fn responder<R2>(self, responder: R2) -> AuditGuardLayer<R2> {
        let Shared { check, observer, .. } = self.shared;
        AuditGuardLayer { shared: Shared { check, responder: Arc::new(responder), observer } }
    }

    /// Sets the observer, which receives the events of this layer and of everything inside it, like
    /// [`AuthenticateLayer::observer`](crate::AuthenticateLayer::observer).
    ///
    /// This layer reports only rejections.
    pub fn observer(mut self, observer: impl Observe + 'static) -> Self {
        self.shared.observer = self.shared.observer.with_observer(observer);
        self
    }

    /// Sets how the client address in the events of this layer is determined. The default is
    /// [`Forwarded::direct`].
    pub fn forwarded(mut self, forwarded: Forwarded) -> Self {
        self.shared.check.forwarded = forwarded;
        self
    }
}

impl<C> HeadCheck<C> for AuditGuard {
    fn check(&self, _: &Parts) -> Checked<C> {
        if self.log.is_nearly_full() {
            let rejection = Rejection::new(RejectionKind::Unavailable);
            return Checked::Rejected(rejection.because("the queue of the audit log is full"));
        }
        Checked::Admitted { hsts: None }
    }

    fn forwarded(&self) -> &Forwarded {
        &self.forwarded
    }
}

impl<S, R> Layer<S> for AuditGuardLayer<R> {
    type Service = Admit<S, AuditGuard, R>;

    fn layer(&self, inner: S) -> Self::Service {
        Admit::new(inner, self.shared.clone())
    }
}

impl<R> Clone for AuditGuardLayer<R> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<R> fmt::Debug for AuditGuardLayer<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditGuardLayer").field("check", &self.shared.check).finish_non_exhaustive()
    }
}
