use std::{
    fmt,
    sync::{Arc, atomic::AtomicBool},
};

use tower_layer::Layer;

use super::service::Authorize;
use crate::respond::Inherit;

/// Rejects requests that a [`Policy`](crate::Policy) does not allow.
///
/// Put it inside an [`AuthenticateLayer`](crate::AuthenticateLayer). Without one, there is no
/// caller for the policy to check, so the layer rejects the request with 500, and the default
/// [observer](crate::observe) logs an error. A [`public`](super::public) policy needs no caller.
///
/// ```
/// use tower_auth::{AuthorizeLayer, RequireScopes};
///
/// let layer = AuthorizeLayer::new(RequireScopes::any(["orders:read", "orders:write"]));
/// ```
#[must_use]
pub struct AuthorizeLayer<P, R = Inherit> {
    policy: Arc<P>,
    responder: Arc<R>,
    /// Whether a wiring fault was reported.
    reported_fault: Arc<AtomicBool>,
}

impl<P> AuthorizeLayer<P> {
    /// Creates a layer that evaluates `policy` for every request.
    pub fn new(policy: P) -> Self {
        Self {
            policy: Arc::new(policy),
            responder: Arc::new(Inherit::default()),
            reported_fault: Arc::default(),
        }
    }
}

impl<P, R> AuthorizeLayer<P, R> {
    /// Sets the responder, which renders the rejections of this layer and of everything inside it.
    ///
    /// The default is [`Inherit`]: an outer layer renders them.
    pub fn responder<R2>(self, responder: R2) -> AuthorizeLayer<P, R2> {
        let Self { policy, reported_fault, .. } = self;
        AuthorizeLayer { policy, responder: Arc::new(responder), reported_fault }
    }
}

impl<S, P, R> Layer<S> for AuthorizeLayer<P, R> {
    type Service = Authorize<S, P, R>;

    fn layer(&self, inner: S) -> Self::Service {
        let Self { policy, responder, reported_fault } = self.clone();
        Authorize { inner, policy, responder, reported_fault }
    }
}

impl<P, R> Clone for AuthorizeLayer<P, R> {
    fn clone(&self) -> Self {
        Self {
            policy: Arc::clone(&self.policy),
            responder: Arc::clone(&self.responder),
            reported_fault: Arc::clone(&self.reported_fault),
        }
    }
}

impl<P: fmt::Debug, R> fmt::Debug for AuthorizeLayer<P, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizeLayer").field("policy", &self.policy).finish_non_exhaustive()
    }
}
