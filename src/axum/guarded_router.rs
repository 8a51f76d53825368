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
    authenticate::{AuthenticateLayer, Authenticator},
    authorize::{describe::list_route, layer::AuthorizeLayer, policy::Policy},
    principal::Principal,
    respond::{Respond, reject::reject},
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
/// A route is left open by [`public`](crate::authorize::public), which stands in the list (or by a policy of yours that
/// says so of itself: [`is_public`](Policy::is_public)). A path that no route is for is answered with 401 to
/// strangers, and with 404 to callers who are known; see [`fallback`](Self::fallback).
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
#[derive(Clone)]
#[must_use]
pub struct GuardedRouter<S = ()> {
    routes: Vec<GuardedRoute<S>>,
    fallback: Option<GuardedRoute<S>>,
}

#[derive(Clone)]
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
        Self { routes: Vec::new(), fallback: None }
    }

    /// Adds a route, with the policy that lets callers come to it. A path may be there twice, with other
    /// methods.
    ///
    /// # Panics
    ///
    /// If the path does not start with `/`.
    #[track_caller]
    pub fn route<P>(mut self, path: &str, handlers: MethodRouter<S>, policy: P) -> Self
    where
        P: Policy + Send + Sync + 'static,
    {
        assert!(path.starts_with('/'), "{path:?}: a path starts with /");
        self.routes.push(GuardedRoute::new(path, handlers, policy));
        self
    }

    /// Answers where no route is for a path, in place of a 404, to those whom the policy lets come so far.
    pub fn fallback<P>(mut self, handlers: MethodRouter<S>, policy: P) -> Self
    where
        P: Policy + Send + Sync + 'static,
    {
        self.fallback = Some(GuardedRoute::new("otherwise", handlers, policy));
        self
    }

    /// Adds the routes of another.
    ///
    /// # Panics
    ///
    /// If both have a fallback.
    #[track_caller]
    pub fn merge(mut self, other: Self) -> Self {
        assert!(self.fallback.is_none() || other.fallback.is_none(), "there are two fallbacks");
        self.routes.extend(other.routes);
        self.fallback = self.fallback.or(other.fallback);
        self
    }

    /// Adds the routes of another, each under this path. Handlers see the whole path, which axum's own
    /// `nest` would cut.
    ///
    /// # Panics
    ///
    /// If the path does not start with `/` or has a `{*wildcard}`, if a parameter would be there twice under one name, or if
    /// the other has a fallback: it belongs to the outermost.
    #[track_caller]
    pub fn nest(mut self, path: &str, other: Self) -> Self {
        let outer = path.strip_suffix('/').unwrap_or(path);
        assert!(outer.starts_with('/'), "{path:?}: a path to nest under starts with / and goes on");
        assert!(!path.contains("{*"), "{path:?}: nothing comes after a wildcard");
        assert!(other.fallback.is_none(), "a router that is nested has no fallback of its own");
        for route in other.routes {
            let inner = if route.path == "/" { "" } else { &route.path };
            let path = format!("{outer}{inner}");
            let params = path.split('/').filter(|part| part.starts_with('{'));
            let mut names: Vec<_> = params.map(|part| part.trim_matches(['{', '*', '}'])).collect();
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            assert!(names.len() == count, "{path:?}: name its parameters apart");
            self.routes.push(GuardedRoute { path, ..route });
        }
        self
    }

    /// Gives the handlers their state.
    pub fn with_state<S2>(self, state: S) -> GuardedRouter<S2> {
        let given = |route: GuardedRoute<S>| {
            let GuardedRoute { path, handlers, policy } = route;
            GuardedRoute { path, handlers: handlers.with_state(state.clone()), policy }
        };
        GuardedRouter {
            routes: self.routes.into_iter().map(given).collect(),
            fallback: self.fallback.map(given),
        }
    }

    /// Each route's path and policy, in the order in which they were added, and `otherwise` for the fallback's.
    pub fn routes(&self) -> impl Iterator<Item = (&str, &(dyn Policy + Send + Sync))> {
        self.listed().map(|route| (&*route.path, &*route.policy))
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
        for route in self.routes {
            router = router.route(&route.path.clone(), route.guarded(&responder));
        }
        let router = match self.fallback {
            Some(route) => router.fallback(route.guarded(&responder)),
            None => router
                .fallback(move |request: Request| async move { no_route(request, &responder) }),
        };
        router.layer(authenticate.allow_anonymous())
    }
}

impl<S> GuardedRouter<S> {
    fn listed(&self) -> impl Iterator<Item = &GuardedRoute<S>> {
        self.routes.iter().chain(&self.fallback)
    }
}

impl<S> GuardedRoute<S>
where
    S: Clone + Send + Sync + 'static,
{
    fn new<P>(path: &str, handlers: MethodRouter<S>, policy: P) -> Self
    where
        P: Policy + Send + Sync + 'static,
    {
        Self { path: path.to_owned(), handlers, policy: Arc::new(policy) }
    }

    fn guarded<R>(self, responder: &Arc<R>) -> MethodRouter<S>
    where
        R: Respond<Body> + Send + Sync + 'static,
    {
        self.handlers.layer(AuthorizeLayer::new(self.policy).responder(Arc::clone(responder)))
    }
}

/// A stranger does not learn which routes there are.
fn no_route<R: Respond<Body>>(request: Request, responder: &R) -> Response {
    let (head, _) = request.into_parts();
    match Principal::required(&head.extensions) {
        Ok(_) => StatusCode::NOT_FOUND.into_response(),
        Err(rejection) => reject(rejection, responder, &head),
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
        self.listed().try_for_each(|route| list_route(&route.path, &*route.policy, f))
    }
}

impl<S> fmt::Debug for GuardedRouter<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.listed().map(|route| (&route.path, &route.policy))).finish()
    }
}
