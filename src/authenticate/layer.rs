use std::{fmt, sync::Arc};

use tower_layer::Layer;

use super::{
    authenticator::Authenticator,
    service::{Authenticate, MissingCredentials, Shared},
};
use crate::{
    observe::{Observe, observer::Observer},
    respond::Inherit,
    transport::forwarded::Forwarded,
};

/// Authenticates requests with an [`Authenticator`].
///
/// The [`Principal`](crate::Principal) is inserted into the extensions of the request. Requests
/// that cannot be authenticated are rejected and do not reach the inner service.
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
/// Use [`responder`](Self::responder) to customize the response to rejected requests, and
/// [`optional`](Self::optional) to accept anonymous requests.
#[must_use]
pub struct AuthenticateLayer<A, R = Inherit> {
    shared: Shared<A, R>,
}

impl<A: Authenticator> AuthenticateLayer<A> {
    /// Creates a layer that requires credentials.
    pub fn new(authenticator: A) -> Self {
        Self::with(authenticator, MissingCredentials::Reject)
    }

    /// Creates a layer that accepts anonymous requests, and adds no principal to them.
    ///
    /// Invalid credentials are still rejected. A policy in an inner layer rejects anonymous
    /// requests with 401 if it requires a caller.
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
    /// Credentials for a scheme that the authenticator does not support count as missing. If an
    /// outer layer authenticated the caller, its principal is kept.
    pub fn optional(authenticator: A) -> Self {
        Self::with(authenticator, MissingCredentials::Allow)
    }

    fn with(authenticator: A, missing: MissingCredentials) -> Self {
        let authenticator = Arc::new(authenticator);
        let responder = Arc::new(Inherit::default());
        Self {
            shared: Shared {
                authenticator,
                responder,
                missing,
                preflight: false,
                observer: Observer::default(),
                reported_fault: Arc::default(),
            },
        }
    }
}

impl<A, R> AuthenticateLayer<A, R> {
    /// Sets the responder, which creates the responses to rejected requests.
    ///
    /// It also renders the rejections of everything inside this layer: policies, extractors, and
    /// handlers that return `Err(Rejection)` or `Err(Denial)`. Set it once, on the outermost layer.
    /// The default is [`Inherit`], whose responses have an empty body.
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
        let Shared { authenticator, missing, preflight, observer, reported_fault, .. } =
            self.shared;
        let responder = Arc::new(responder);
        AuthenticateLayer {
            shared: Shared {
                authenticator,
                responder,
                missing,
                preflight,
                observer,
                reported_fault,
            },
        }
    }

    /// Sets the observer, which receives the events of this layer and of everything inside it.
    ///
    /// It replaces the [default observer](crate::observe::set_default). To keep both, set a pair.
    pub fn observer(self, observer: impl Observe + 'static) -> Self {
        let observer = self.shared.observer.with_observer(observer);
        Self { shared: Shared { observer, ..self.shared } }
    }

    /// Sets how the client address in the events of this layer and of everything inside it is
    /// determined. By default, events have no client address.
    ///
    /// ```
    /// # fn f(tokens: tower_auth::JwtAuth) -> Result<(), tower_auth::ConfigError> {
    /// use tower_auth::{AuthenticateLayer, transport::Forwarded};
    ///
    /// let proxied = Forwarded::from_proxies("10.0.0.0/8")?;
    /// let layer = AuthenticateLayer::new(tokens).forwarded(proxied);
    /// # Ok(()) }
    /// ```
    pub fn forwarded(self, forwarded: Forwarded) -> Self {
        let observer = self.shared.observer.with_forwarded(forwarded);
        Self { shared: Shared { observer, ..self.shared } }
    }

    /// Accepts CORS preflights, which browsers send without credentials. Policies in inner layers
    /// accept them as well.
    ///
    /// Use this if the inner service responds to preflights itself. It is not needed if a CORS
    /// layer is outside this layer, which is the recommended order.
    ///
    /// # Security
    ///
    /// Any client can send a preflight: `OPTIONS` with one `Origin`, one
    /// `Access-Control-Request-Method` and no `Authorization`. It bypasses all policies, for every
    /// path. The service must therefore respond to `OPTIONS` only with what is allowed. In
    /// particular, axum's `any` runs the handler for `OPTIONS`, too.
    pub fn allow_cors_preflight(self) -> Self {
        Self { shared: Shared { preflight: true, ..self.shared } }
    }

    /// Accepts anonymous requests, so that inner policies decide whether to reject them.
    ///
    /// The principal of an outer layer is removed from them.
    #[cfg(feature = "axum")]
    pub(crate) fn allow_anonymous(self) -> Self {
        Self { shared: Shared { missing: MissingCredentials::AllowAnonymous, ..self.shared } }
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
