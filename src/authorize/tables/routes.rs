use std::{fmt, sync::Arc};

use http::request::Parts;
use matchit::Router;
use tower_layer::Layer;

use crate::{
    authorize::{
        denial::Denial, describe::write_route, layer::AuthorizeLayer, policy::Policy,
        requirements::Requirements, service::Authorize,
    },
    config_error::ConfigError,
    principal::Principal,
    url::{decode_path, is_plain_path},
};

/// A policy for each path, in front of any service. What is under no path is refused.
///
/// ```
/// use tower_auth::{
///     AuthenticateLayer, RequireScopes,
///     authorize::{Routes, public},
/// };
///
/// # fn f(tokens: tower_auth::JwtAuth) {
/// let routes = Routes::new()
///     .route("/grpc.health.v1.Health/{method}", public())
///     .route("/shop.Orders/{method}", RequireScopes::all(["orders"]));
/// assert_eq!(
///     routes.to_string(),
///     "/grpc.health.v1.Health/{method}  public\n/shop.Orders/{method}  scope orders\n",
/// );
///
/// // `optional`, since what is public needs no credentials.
/// let layers =
///     tower::ServiceBuilder::new().layer(AuthenticateLayer::optional(tokens)).layer(routes);
/// # }
/// ```
///
/// A path is written as in axum: `{name}` stands for one segment, and `{*rest}` for all that follow. What is
/// said of more goes before what is said of less: `/a/b` before `/a/{name}`. Its text ([`Display`](fmt::Display))
/// is the list of routes, for a test to compare with the one that is known.
///
/// # Security
///
/// It sees the path alone, and the service behind has to read paths as it does. A path is under no route where it has
/// empty, dot or needlessly encoded parts (`//`, `/../`, `%2F`, `%61`), and where it would be under one route as it is sent, and
/// under another without its encoding (`%3A`) or its last slash. A service that is generous in another way, with
/// regard to case, say, or to a prefix that it cuts off, is not for a table of paths: guard its handlers. In
/// axum, `GuardedRouter` leaves no room for that.
#[derive(Clone, Default)]
#[must_use]
pub struct Routes {
    paths: Router<usize>,
    policies: Vec<(String, Arc<dyn Policy + Send + Sync>)>,
}

impl Routes {
    /// Refuses every path.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks this policy about requests to this path.
    ///
    /// # Panics
    ///
    /// If the path is no pattern, has encoded or other parts than ASCII, or is there already. [`try_route`](Self::try_route) gives the error
    /// instead.
    #[track_caller]
    #[allow(clippy::panic)] // a configuration fault, found at startup, like a bad path in a router
    pub fn route<P>(self, path: &str, policy: P) -> Self
    where
        P: Policy + Send + Sync + 'static,
    {
        self.try_route(path, policy).unwrap_or_else(|error| panic!("{error}"))
    }

    /// [`route`](Self::route), for paths that are read from somewhere.
    ///
    /// # Errors
    ///
    /// If the path is no pattern, has encoded or other parts than ASCII, or is there already.
    pub fn try_route<P>(mut self, path: &str, policy: P) -> Result<Self, ConfigError>
    where
        P: Policy + Send + Sync + 'static,
    {
        let fault = |why: &dyn fmt::Display| ConfigError::new(format!("route {path:?}: {why}"));
        if !is_plain_path(path) || path.contains('%') {
            return Err(fault(
                &"give a path of ASCII that starts with / and has one spelling, and let a {parameter} \
                 stand for what would have to be encoded",
            ));
        }
        self.paths.insert(path, self.policies.len()).map_err(|error| fault(&error))?;
        self.policies.push((path.to_owned(), Arc::new(policy)));
        Ok(self)
    }

    fn find(&self, head: &Parts) -> Option<&(dyn Policy + Send + Sync)> {
        let path = head.uri.path();
        let rule = |path: &str| self.paths.at(path).ok().map(|found| *found.value);
        let found = rule(path).filter(|_| is_plain_path(path))?;
        let (pattern, policy) = self.policies.get(found)?;
        if path.contains('%') && rule(&decode_path(path)) != Some(found) {
            return None;
        }
        let slashless = path.strip_suffix('/').filter(|_| !pattern.ends_with('/'));
        if slashless.and_then(rule).is_some_and(|other| other != found) {
            return None;
        }
        Some(&**policy)
    }
}

impl Policy for Routes {
    fn evaluate(&self, principal: &Principal, head: &Parts) -> Result<(), Denial> {
        let no_policy = || Denial::indeterminate("no policy is for this path");
        self.find(head).ok_or_else(no_policy)?.evaluate(principal, head)
    }

    fn requirements(&self, head: &Parts) -> Requirements {
        self.find(head).map_or(Requirements::none(), |policy| policy.requirements(head))
    }

    fn is_public(&self, head: &Parts) -> bool {
        self.find(head).is_some_and(|policy| policy.is_public(head))
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (position, (path, policy)) in self.policies.iter().enumerate() {
            write!(f, "{}{path}: {policy}", if position == 0 { "" } else { "; " })?;
        }
        f.write_str("}")
    }
}

impl<S> Layer<S> for Routes {
    type Service = Authorize<S, Self>;

    fn layer(&self, inner: S) -> Self::Service {
        AuthorizeLayer::new(self.clone()).layer(inner)
    }
}

/// A line for each route, with its path and its policy.
impl fmt::Display for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.policies.iter().try_for_each(|(path, policy)| write_route(path, &**policy, f))
    }
}

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.policies.iter().map(|(path, policy)| (path, policy))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{authorize::policies::public::public, header::Scheme};

    fn public_at(routes: &Routes, path: &str) -> bool {
        let request = http::Request::builder().uri(path).body(()).unwrap();
        routes.is_public(&request.into_parts().0)
    }

    #[test]
    fn a_path_that_two_routes_could_be_meant_by_is_under_none() {
        let admin = || crate::RequireScopes::all(["admin"]);
        let routes = Routes::new()
            .route("/{*rest}", public())
            .route("/v1/items:purge", admin())
            .route("/@admin/{name}", admin())
            .route("/slash/", public())
            .route("/slash", admin());
        for open in [
            "/a",
            "/a/",
            "/v1/items%3Aother",
            "/a%40b",
            "/caf%C3%A9/x",
            "/%FF",
            "/slash/",
            "/a?b=//",
        ] {
            assert!(public_at(&routes, open), "{open}");
        }
        for odd in [
            "/v1/items:purge",
            "/v1/items%3Apurge",
            "/v1/items%3apurge",
            "/v1/items:purge/",
            "/%40admin/x",
            "/@admin/x/",
            "/slash",
            "/%73lash/",
            "//a",
            "/a/../b",
            "/a%2Fb",
        ] {
            assert!(!public_at(&routes, odd), "{odd}");
        }
    }

    #[test]
    fn what_says_more_goes_first_and_what_is_not_there_is_refused() {
        let admin = crate::RequireScopes::all(["admin"]);
        let routes = Routes::new().route("/users/{id}", public()).route("/users/me", admin);
        assert!(public_at(&routes, "/users/7"));
        for other in ["/users/me", "/users/", "/users", "/users/7/x", "/Users/7", "/users/7/"] {
            assert!(!public_at(&routes, other), "{other}");
        }
        let caller = Principal::builder("alice", Scheme::BEARER).scopes(["admin"]).build();
        let asked = |path: &str| {
            let head = http::Request::builder().uri(path).body(()).unwrap().into_parts().0;
            routes.evaluate(&caller, &head)
        };
        assert!(asked("/users/me").is_ok() && asked("/users/7").is_ok());
        assert!(asked("/other").is_err() && asked("/").is_err() && asked("/users//me").is_err());
    }

    #[test]
    fn a_path_that_cannot_be_is_found_while_building() {
        let routes = || Routes::new().route("/a/{b}", public());
        for odd in ["", "a", "/a//b", "/a/{c}", "/x/{", "/a%2Fb", "/a%20b", "/ä", "/{*a}/b"] {
            assert!(routes().try_route(odd, public()).is_err(), "{odd}");
        }
    }
}
