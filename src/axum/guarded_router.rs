use std::{fmt, sync::Arc};

use axum::{Router, body::Body, routing::MethodRouter};
use http::StatusCode;

use crate::{
    authenticate::{AuthenticateLayer, Authenticator},
    authorize::{describe::write_route, layer::AuthorizeLayer, policy::Policy},
    principal::Principal,
    respond::Respond,
};

/// An axum router in which each route has a policy, so that no route is open by mistake.
///
/// ```
/// use axum::{Router, routing::get};
/// use tower_auth::{AuthenticateLayer, GuardedRouter, RequireScopes, authorize::public};
///
/// fn routes() -> GuardedRouter {
///     GuardedRouter::new()
///         .route("/health", get(|| async { "ok" }), public())
///         .route("/orders", get(|| async { "orders" }), RequireScopes::all(["orders:read"]))
/// }
///
/// fn app(tokens: tower_auth::JwtAuth) -> Router {
///     routes().into_router(AuthenticateLayer::new(tokens))
/// }
///
/// // In a test: a new route must be listed here with its policy.
/// assert_eq!(
///     routes().to_string(),
///     "/health  public\n\
///      /orders  scope orders:read\n",
/// );
/// ```
///
/// The policy [`public`](crate::authorize::public) opens a route to everyone, and is visible in
/// the list. A custom policy can do the same with [`is_public`](Policy::is_public). A path
/// without a route is answered with 401 for anonymous requests, and with 404 for authenticated
/// callers; see [`fallback`](Self::fallback).
///
/// # Limits
///
/// - The policy applies to all methods of a route. For different policies, use
///   [`Methods`](crate::authorize::Methods), or call [`route`](Self::route) twice with the same
///   path.
/// - If the handler of a route is a service, such as a file server or a proxy, the policy applies
///   to everything that it serves. Axum matches paths as they were sent, so `/{*path}` also matches
///   `/%61dmin` and `/admin%3F`, which such a service may read as `/admin`.
/// - The router that [`into_router`](Self::into_router) returns accepts routes without a policy.
///   Do not add routes to it. Merge or nest guarded routers instead.
/// - A policy that is a [layer](MethodRouter::layer) of a route runs after the policy of the route,
///   and is not in the list. Combine the policies with [`and`](Policy::and) instead.
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
    policy: Arc<dyn Policy>,
}

impl<S> GuardedRouter<S>
where
    S: Clone + Send + Sync + 'static,
{
    /// Creates a router without routes.
    pub fn new() -> Self {
        Self { routes: Vec::new(), fallback: None }
    }

    /// Adds a route with the policy that guards it.
    ///
    /// The same path can be added again with other methods.
    ///
    /// # Panics
    ///
    /// Panics if the path does not start with `/`.
    #[track_caller]
    pub fn route<P>(mut self, path: &str, handlers: MethodRouter<S>, policy: P) -> Self
    where
        P: Policy + 'static,
    {
        assert!(path.starts_with('/'), "path {path:?} must start with /");
        self.routes.push(GuardedRoute::new(path, handlers, policy));
        self
    }

    /// Sets the handlers and the policy for paths without a route.
    ///
    /// By default, authenticated callers get a 404 and anonymous requests get a 401.
    pub fn fallback<P>(mut self, handlers: MethodRouter<S>, policy: P) -> Self
    where
        P: Policy + 'static,
    {
        self.fallback = Some(GuardedRoute::new("otherwise", handlers, policy));
        self
    }

    /// Adds the routes and the fallback of another router.
    ///
    /// # Panics
    ///
    /// Panics if both routers have a fallback.
    #[track_caller]
    pub fn merge(mut self, other: Self) -> Self {
        assert!(
            self.fallback.is_none() || other.fallback.is_none(),
            "cannot merge two routers that both have a fallback"
        );
        self.routes.extend(other.routes);
        self.fallback = self.fallback.or(other.fallback);
        self
    }

    /// Adds the routes of another router, with this path as a prefix.
    ///
    /// Handlers see the full path. (axum's own `nest` strips the prefix.)
    ///
    /// # Panics
    ///
    /// Panics in these cases:
    ///
    /// - The path does not start with `/`, is `/`, or has a `{*wildcard}`.
    /// - A nested path would have two parameters with the same name.
    /// - The other router has a fallback. Only the outermost router can have one.
    #[track_caller]
    pub fn nest(mut self, path: &str, other: Self) -> Self {
        let outer = path.strip_suffix('/').unwrap_or(path);
        assert!(
            outer.starts_with('/'),
            "path {path:?} must start with / and have at least one segment"
        );
        assert!(!path.contains("{*"), "path {path:?} must not have a wildcard");
        assert!(other.fallback.is_none(), "a nested router must not have a fallback");
        for route in other.routes {
            let inner = if route.path == "/" { "" } else { &route.path };
            let path = format!("{outer}{inner}");
            let params = path.split('/').filter(|part| part.starts_with('{'));
            let mut names: Vec<_> = params.map(|part| part.trim_matches(['{', '*', '}'])).collect();
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            assert!(
                names.len() == count,
                "path {path:?} must not have two parameters with the same name"
            );
            self.routes.push(GuardedRoute { path, ..route });
        }
        self
    }

    /// Provides the state for the handlers.
    pub fn with_state<S2>(self, state: S) -> GuardedRouter<S2> {
        let with_state = |route: GuardedRoute<S>| {
            let GuardedRoute { path, handlers, policy } = route;
            GuardedRoute { path, handlers: handlers.with_state(state.clone()), policy }
        };
        GuardedRouter {
            routes: self.routes.into_iter().map(with_state).collect(),
            fallback: self.fallback.map(with_state),
        }
    }

    /// Returns the path and the policy of each route, in the order in which they were added.
    ///
    /// A [`fallback`](Self::fallback) is last, with the path `otherwise`.
    pub fn routes(&self) -> impl Iterator<Item = (&str, &dyn Policy)> {
        self.guarded_routes().map(|route| (&*route.path, &*route.policy))
    }

    /// Builds the axum router, with the authentication layer around all routes.
    ///
    /// The responder of the layer also renders the rejections of the policies. Anonymous
    /// requests reach the policies, as with [`AuthenticateLayer::optional`], and every policy
    /// that is not public rejects them.
    ///
    /// # Panics
    ///
    /// Panics like axum's router if a path is invalid, or if two routes have the same path and
    /// method.
    #[track_caller]
    pub fn into_router<A, R>(self, authenticate: AuthenticateLayer<A, R>) -> Router<S>
    where
        A: Authenticator + 'static,
        R: Respond<Body> + Send + Sync + 'static,
    {
        let mut router = Router::new();
        for route in self.routes {
            router = router.route(&route.path.clone(), route.guarded());
        }
        let router = match self.fallback {
            Some(route) => router.fallback(route.guarded()),
            None => router.fallback(no_route),
        };
        router.layer(authenticate.allow_anonymous())
    }
}

impl<S> GuardedRouter<S> {
    fn guarded_routes(&self) -> impl Iterator<Item = &GuardedRoute<S>> {
        self.routes.iter().chain(&self.fallback)
    }
}

impl<S> GuardedRoute<S>
where
    S: Clone + Send + Sync + 'static,
{
    fn new<P>(path: &str, handlers: MethodRouter<S>, policy: P) -> Self
    where
        P: Policy + 'static,
    {
        Self { path: path.to_owned(), handlers, policy: Arc::new(policy) }
    }

    fn guarded(self) -> MethodRouter<S> {
        self.handlers.layer(AuthorizeLayer::new(self.policy))
    }
}

/// Responds to a path without a route. Anonymous callers must not learn which routes exist.
async fn no_route(_: Principal) -> StatusCode {
    StatusCode::NOT_FOUND
}

impl<S> Default for GuardedRouter<S>
where
    S: Clone + Send + Sync + 'static,
{
    fn default() -> Self {
        Self::new()
    }
}

/// Writes one line per route: the path and the policy.
impl<S> fmt::Display for GuardedRouter<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.guarded_routes().try_for_each(|route| write_route(&route.path, &*route.policy, f))
    }
}

impl<S> fmt::Debug for GuardedRouter<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.guarded_routes().map(|route| (&route.path, &route.policy)))
            .finish()
    }
}
