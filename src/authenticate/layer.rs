use std::{fmt, sync::Arc};

use tower_layer::Layer;

use super::{
    authenticator::Authenticator,
    service::{Authenticate, Missing, Shared},
};
use crate::respond::DefaultResponder;

/// Lets a request through once an [`Authenticator`] knows who sent it.
///
/// The [`Principal`](crate::Principal) goes into the request's extensions. Everything else is refused
/// before the inner service sees it.
///
/// ```
/// # use axum::{Router, routing::get};
/// use tower_auth::{AuthenticateLayer, BasicAuth, Principal, basic::Users};
///
/// let staff = BasicAuth::new("staff", Users::new([("alice", "correct horse")])?)?;
///
/// let app: Router = Router::new()
///     .route("/", get(async |caller: Principal| format!("hello {}", caller.subject())))
///     .layer(AuthenticateLayer::new(staff));
/// # Ok::<(), tower_auth::ConfigError>(())
/// ```
///
/// With its own words for refusals, see [`responder`](Self::responder); with callers that need not say
/// who they are, [`optional`](Self::optional).
#[must_use]
pub struct AuthenticateLayer<A, R = DefaultResponder> {
    shared: Shared<A, R>,
}

impl<A: Authenticator> AuthenticateLayer<A> {
    /// Asks every request for credentials.
    pub fn new(authenticator: A) -> Self {
        Self::with(authenticator, Missing::Refused)
    }

    /// Lets a request without credentials through, and adds no principal to it. Credentials that are not
    /// good are refused all the same, and a policy further in answers 401 where it needs
    /// to know the caller.
    ///
    /// ```
    /// # use axum::{Router, routing::get};
    /// # use tower_auth::{AuthenticateLayer, JwtAuth, Principal};
    /// # fn f(tokens: JwtAuth) {
    /// async fn greet(caller: Option<Principal>) -> String {
    ///     caller.map_or("hello".into(), |caller| format!("hello {}", caller.subject()))
    /// }
    ///
    /// let app: Router =
    ///     Router::new().route("/", get(greet)).layer(AuthenticateLayer::optional(tokens));
    /// # }
    /// ```
    ///
    /// # Security
    ///
    /// Credentials for a scheme that the authenticator does not know count as missing. A caller whom a layer further
    /// out knows stays known.
    pub fn optional(authenticator: A) -> Self {
        Self::with(authenticator, Missing::Optional)
    }

    fn with(authenticator: A, missing: Missing) -> Self {
        let authenticator = Arc::new(authenticator);
        let responder = Arc::new(DefaultResponder::default());
        Self { shared: Shared { authenticator, responder, missing, preflight: false } }
    }
}

impl<A, R> AuthenticateLayer<A, R> {
    /// Lets `responder` write the refusals, in place of the default's empty ones.
    ///
    /// ```
    /// # use axum::{Router, body::Body};
    /// use http::{Response, request::Parts};
    /// use tower_auth::{AuthenticateLayer, Rejection};
    ///
    /// # fn f(tokens: tower_auth::JwtAuth) {
    /// let layer = AuthenticateLayer::new(tokens).responder(|rejection: &Rejection, _: &Parts| {
    ///     let mut response = Response::new(Body::from(rejection.to_string()));
    ///     *response.status_mut() = rejection.kind().status();
    ///     response
    /// });
    /// # let _: Router = Router::new().layer(layer);
    /// # }
    /// ```
    pub fn responder<R2>(self, responder: R2) -> AuthenticateLayer<A, R2> {
        let Shared { authenticator, missing, preflight, .. } = self.shared;
        let responder = Arc::new(responder);
        AuthenticateLayer { shared: Shared { authenticator, responder, missing, preflight } }
    }

    /// Lets CORS preflights through, past the policies further in as well, for a service that answers them
    /// itself. Browsers send no credentials with them. Where a CORS layer is outside of this one, as it
    /// should be, it answers them, and this call is not needed.
    ///
    /// # Security
    ///
    /// Anybody can send what looks like a preflight: `OPTIONS` with one `Origin`, one
    /// `Access-Control-Request-Method` and no `Authorization`. It passes whatever policies say, and whatever path it
    /// is for. The service must do nothing on `OPTIONS` but say what is allowed; axum's `any` answers it as it
    /// answers everything else.
    pub fn allow_cors_preflight(self) -> Self {
        Self { shared: Shared { preflight: true, ..self.shared } }
    }

    #[cfg(feature = "axum")]
    pub(crate) fn shared_responder(&self) -> Arc<R> {
        Arc::clone(&self.shared.responder)
    }

    /// The same, but leaves it to policies to refuse requests without credentials.
    #[cfg(feature = "axum")]
    pub(crate) fn for_policies(self) -> Self {
        Self { shared: Shared { missing: Missing::Stranger, ..self.shared } }
    }
}

impl<S, A, R> Layer<S> for AuthenticateLayer<A, R> {
    type Service = Authenticate<S, A, R>;

    fn layer(&self, inner: S) -> Self::Service {
        Authenticate { inner, shared: Arc::new(self.shared.clone()) }
    }
}

impl<A, R> Clone for AuthenticateLayer<A, R> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<A, R> fmt::Debug for AuthenticateLayer<A, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthenticateLayer")
            .field("missing", &self.shared.missing)
            .finish_non_exhaustive()
    }
}
