use http::request::Parts;

use crate::{
    authenticate::{Authentication, Authenticator},
    header::{Challenge, Challenges, Scheme},
    principal::Principal,
};

/// Authenticates every request as the same caller, or as anonymous. For tests only.
///
/// It replaces the real authenticator. The credentials of the request are ignored. Pass the
/// authenticator to the function that builds the router, so that tests use the same router:
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
///     A: Authenticator + 'static,
/// {
///     let router = Router::new().route("/", get(|| async { "hello" }));
///     router.layer(AuthenticateLayer::new(authenticator))
/// }
///
/// let as_alice = app(AlwaysAs::new(principal("alice").build()));
/// let as_anonymous = app(AlwaysAs::anonymous());
/// ```
///
/// # Security
///
/// There is no check: every client becomes the caller.
#[derive(Clone, Debug)]
pub struct AlwaysAs(Option<Principal>);

impl AlwaysAs {
    /// Authenticates every request as `caller`.
    #[must_use]
    pub fn new(caller: Principal) -> Self {
        Self(Some(caller))
    }

    /// Treats every request as one without credentials.
    ///
    /// The layer responds with 401, or forwards the request as anonymous if it is
    /// [`optional`](crate::AuthenticateLayer::optional).
    #[must_use]
    pub fn anonymous() -> Self {
        Self(None)
    }
}

impl Authenticator for AlwaysAs {
    fn authenticate(&self, _: &Parts) -> Option<Authentication> {
        self.0.clone().map(|caller| Authentication::ready(Ok(caller)))
    }

    fn challenges(&self, _: &Parts) -> Challenges {
        let challenge = self.0.as_ref().and_then(Principal::challenge).cloned();
        challenge.unwrap_or_else(|| Challenge::new(Scheme::BEARER)).into()
    }
}
