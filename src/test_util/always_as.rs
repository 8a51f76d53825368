use http::request::Parts;

use crate::{
    authenticate::{Authentication, Authenticator},
    header::{Challenge, Challenges, Scheme},
    principal::Principal,
};

/// Takes every request for one of the same caller, or of nobody, whatever it carries: for tests alone.
///
/// It stands in for the real authenticator, so that a router is built as ever. Write what builds it so that the
/// authenticator is given to it:
///
/// ```
/// # use axum::{Router, routing::get};
/// use tower_auth::{
///     AuthenticateLayer, Authenticator,
///     test_util::{AlwaysAs, principal},
/// };
///
/// fn app<A>(authenticator: A) -> Router
/// where
///     A: Authenticator<Future: Send> + Send + Sync + 'static,
/// {
///     Router::new().route("/", get(|| async { "hello" })).layer(AuthenticateLayer::new(authenticator))
/// }
///
/// let as_alice = app(AlwaysAs::new(principal("alice").build()));
/// let as_nobody = app(AlwaysAs::anonymous());
/// ```
///
/// # Security
///
/// There is none: everybody is that caller.
#[derive(Clone, Debug)]
pub struct AlwaysAs(Option<Principal>);

impl AlwaysAs {
    /// Every request is this caller's.
    #[must_use]
    pub fn new(caller: Principal) -> Self {
        Self(Some(caller))
    }

    /// No request carries credentials: it gets 401, or goes on without a caller where the layer is
    /// [`optional`](crate::AuthenticateLayer::optional).
    #[must_use]
    pub fn anonymous() -> Self {
        Self(None)
    }
}

impl Authenticator for AlwaysAs {
    type Future = Authentication;

    fn authenticate(&self, _: &Parts) -> Option<Authentication> {
        self.0.clone().map(|caller| Authentication::ready(Ok(caller)))
    }

    fn into_ready(future: Self::Future) -> Result<<Self::Future as Future>::Output, Self::Future> {
        future.into_ready()
    }

    fn challenges(&self, _: &Parts) -> Challenges {
        let own = self.0.as_ref().and_then(Principal::challenge).cloned();
        own.unwrap_or_else(|| Challenge::new(Scheme::BEARER)).into()
    }
}
