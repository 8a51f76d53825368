use std::{fmt, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::Request,
    response::{IntoResponse, Response},
    routing::MethodRouter,
};
use http::StatusCode;

use crate::{
    AuthenticateLayer, Authenticator, AuthorizeLayer, Policy, Principal,
    authorize::Described,
    respond::{Respond, refuse},
};

/// An axum router that takes no route without a policy, so that none is left open.
///
/// ```
/// use axum::{Router, routing::get};
/// use tower_auth::{AuthenticateLayer, GuardedRouter, RequireScopes, authorize::public};
///
/// fn routes() -> GuardedRouter {
///     GuardedRouter::new()
///         .route("/health", get(|| async { "fine" }), public())
///         .route("/orders", get(|| async { "orders" }), RequireScopes::all(["orders:read"]))
/// }
///
/// fn app(tokens: tower_auth::JwtAuth) -> Router {
///     routes().into_router(AuthenticateLayer::new(tokens))
/// }
///
/// // In a test: whoever adds a route has to say here who may use it.
/// assert_eq!(
///     routes().to_string(),
///     "/health  public\n\
///      /orders  scope orders:read\n",
/// );
/// ```
///
/// [`public`](crate::authorize::public) is the only way to leave a route open, and stands in the list. A path
/// that no route is for is answered with 401 to strangers, and with 404 to callers who are known.
///
/// # What it cannot see
///
/// - Which methods a route answers: the policy is for all of them. Where they differ,
///   [`Methods`](crate::authorize::Methods) says so in the list, or two calls with one path do.
/// - What a service under a route serves, such as a directory: the policy is for all of it.
/// - What is added to the router that [`into_router`](Self::into_router) gives: do not. Merge and nest
///   guarded routers instead.
/// - What a [layer](MethodRouter::layer) on a route asks, or an [`AsyncPolicy`](crate::authorize::AsyncPolicy) in one: it
///   comes after the policy, and is not in the list.
#[must_use]
pub struct GuardedRouter<S = ()> {
    routes: Vec<GuardedRoute<S>>,
}

struct GuardedRoute<S> {
    path: String,
    handlers: MethodRouter<S>,
    policy: Arc<dyn Policy + Send + Sync>,
}

impl<S> GuardedRouter<S>
where
    S: Clone + Send + Sync + 'static,
{
    /// A router without any route.
    pub fn new() -> Self {
        Self { routes: Vec::new() }
    }

    /// Adds a route, with the policy that lets callers come to it. A path may be there twice, with other
    /// methods.
    pub fn route<P>(mut self, path: &str, handlers: MethodRouter<S>, policy: P) -> Self
    where
        P: Policy + Send + Sync + 'static,
    {
        let policy = Arc::new(policy);
        self.routes.push(GuardedRoute { path: path.to_owned(), handlers, policy });
        self
    }

    /// Adds the routes of another.
    pub fn merge(mut self, other: Self) -> Self {
        self.routes.extend(other.routes);
        self
    }

    /// Adds the routes of another, each under this path. Handlers see the whole path, which axum's own
    /// `nest` would cut.
    pub fn nest(mut self, path: &str, other: Self) -> Self {
        let outer = path.trim_end_matches('/');
        self.routes.extend(other.routes.into_iter().map(|route| {
            let inner = if route.path == "/" && !outer.is_empty() { "" } else { &route.path };
            GuardedRoute { path: format!("{outer}{inner}"), ..route }
        }));
        self
    }

    /// Gives the handlers their state.
    pub fn with_state<S2>(self, state: S) -> GuardedRouter<S2> {
        let routes = self.routes.into_iter().map(|GuardedRoute { path, handlers, policy }| {
            GuardedRoute { path, handlers: handlers.with_state(state.clone()), policy }
        });
        GuardedRouter { routes: routes.collect() }
    }

    /// Each route's path and policy, in the order in which they were added.
    pub fn routes(&self) -> impl Iterator<Item = (&str, &(dyn Policy + Send + Sync))> {
        self.routes.iter().map(|route| (&*route.path, &*route.policy))
    }

    /// The router, behind what finds out who is calling. Refusals by policies are in the words of that
    /// layer's responder, too. Requests without credentials get as far as policies, which refuse them, as with
    /// [`AuthenticateLayer::optional`].
    ///
    /// # Panics
    ///
    /// As axum's router does, where a path cannot be, or is there twice with the same method.
    #[track_caller]
    pub fn into_router<A, R>(self, authenticate: AuthenticateLayer<A, R>) -> Router<S>
    where
        A: Authenticator<Future: Send> + Send + Sync + 'static,
        R: Respond<Body> + Send + Sync + 'static,
    {
        let responder = authenticate.shared_responder();
        let mut router = Router::new();
        for GuardedRoute { path, handlers, policy } in self.routes {
            let layer = AuthorizeLayer::sharing(policy, Arc::clone(&responder));
            router = router.route(&path, handlers.layer(layer));
        }
        let nowhere = move |request: Request| async move { no_route(request, &*responder) };
        router.fallback(nowhere).layer(authenticate.into_optional())
    }
}

/// A stranger does not learn which routes there are.
fn no_route<R: Respond<Body>>(request: Request, responder: &R) -> Response {
    let (head, _) = request.into_parts();
    match Principal::required(&head.extensions) {
        Ok(_) => StatusCode::NOT_FOUND.into_response(),
        Err(rejection) => refuse(rejection, responder, &head),
    }
}

impl<S> Default for GuardedRouter<S>
where
    S: Clone + Send + Sync + 'static,
{
    fn default() -> Self {
        Self::new()
    }
}

/// A line for each route, with its path and its policy.
impl<S> fmt::Display for GuardedRouter<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for GuardedRoute { path, policy, .. } in &self.routes {
            writeln!(f, "{path}  {}", Described(&**policy))?;
        }
        Ok(())
    }
}

impl<S> fmt::Debug for GuardedRouter<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let routes = self.routes.iter();
        f.debug_map()
            .entries(routes.map(|route| (&route.path, Described(&*route.policy).to_string())))
            .finish()
    }
}
