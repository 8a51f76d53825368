use std::{borrow::Cow, fmt, sync::Arc};

use http::request::Parts;
use matchit::{InsertError, Router};
use tower_layer::Layer;

use crate::{
    authorize::{
        decision::Decision, denial::Denial, describe::write_route, layer::AuthorizeLayer,
        policy::Policy, requirements::Requirements, service::Authorize,
    },
    config_error::ConfigError,
    path::{decode_plain_path, is_plain_path},
    principal::Principal,
};

/// Selects a policy by the request path, in front of any service. Rejects paths that match no
/// route.
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
/// // `optional`, because public routes need no credentials.
/// let layers =
///     tower::ServiceBuilder::new().layer(AuthenticateLayer::optional(tokens)).layer(routes);
/// # }
/// ```
///
/// Paths have the syntax of axum: `{name}` matches one segment, and `{*rest}` matches all that
/// follow. More specific paths have priority: `/a/b` before `/a/{name}`. The
/// [`Display`](fmt::Display) text is the list of routes; compare it with the expected list in a
/// test.
///
/// # Security
///
/// The table sees only the path, so the service behind it must interpret paths in the same way.
/// A path matches no route in these cases:
///
/// - It has empty segments, dot segments or unnecessary encoding (`//`, `/../`, `%61`).
/// - It means something else to a service that decodes it and parses it again: an encoded delimiter
///   or `%` (`%2F`, `%5C`, `%3B`, `%3F`, `%23`, `%25`), an encoded control character or line
///   separator, encoded white space at an end of a segment (`/admin%20`), or octets that are not
///   UTF-8.
/// - It matches one route as sent, but another route after decoding (`%3A`) or without the trailing
///   slash.
///
/// Do not use a path table for a service that is more lenient, for example one that ignores case,
/// normalizes Unicode or strips a prefix. Guard its handlers instead. In axum, `GuardedRouter`
/// avoids this problem.
#[derive(Clone, Default)]
#[must_use]
pub struct Routes {
    paths: Router<usize>,
    policies: Vec<(String, Arc<dyn Policy>)>,
}

impl Routes {
    /// Creates an empty table, which rejects every path.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the policy for this path.
    ///
    /// # Panics
    ///
    /// Panics if the path is not a valid pattern in ASCII and in normal form, is
    /// percent-encoded, or conflicts with another path. [`try_route`](Self::try_route) returns
    /// an error instead.
    #[track_caller]
    pub fn route<P>(self, path: &str, policy: P) -> Self
    where
        P: Policy + 'static,
    {
        ConfigError::or_panic(self.try_route(path, policy))
    }

    /// Like [`route`](Self::route), for paths from the configuration.
    ///
    /// # Errors
    ///
    /// Returns an error if the path is not a valid pattern in ASCII and in normal form, is
    /// percent-encoded, or conflicts with another path.
    pub fn try_route<P>(mut self, path: &str, policy: P) -> Result<Self, ConfigError>
    where
        P: Policy + 'static,
    {
        if !is_plain_path(path) || path.contains('%') {
            return Err(ConfigError::invalid(format!(
                "route {path:?}: the path must be ASCII, start with / and be in normal form; use \
                 a {{parameter}} for a segment that needs encoding",
            )));
        }
        self.paths.insert(path, self.policies.len()).map_err(|error| match error {
            InsertError::Conflict { with } => ConfigError::conflict(format!(
                "route {path:?} conflicts with the route {with:?}: remove one of them"
            )),
            error => ConfigError::invalid(format!(
                "route {path:?} is not a valid pattern: use {{name}} for a whole segment, and \
                 {{*rest}} only at the end"
            ))
            .with_source(error),
        })?;
        self.policies.push((path.to_owned(), Arc::new(policy)));
        Ok(self)
    }

    /// Returns the policy of the path, or `None` if no route matches or if the match is ambiguous.
    fn policy_for(&self, head: &Parts) -> Option<&dyn Policy> {
        let path = head.uri.path();
        let route_index = |path: &str| self.paths.at(path).ok().map(|matched| *matched.value);
        let index = route_index(path)?;
        let (pattern, policy) = self.policies.get(index)?;
        // The service may decode the path or ignore the trailing slash.
        if let Cow::Owned(decoded) = decode_plain_path(path)?
            && route_index(&decoded) != Some(index)
        {
            return None;
        }
        let without_slash = path.strip_suffix('/').filter(|_| !pattern.ends_with('/'));
        if without_slash.and_then(route_index).is_some_and(|other| other != index) {
            return None;
        }
        Some(&**policy)
    }
}

impl Policy for Routes {
    fn evaluate(&self, caller: &Principal, head: &Parts) -> Decision {
        match self.policy_for(head) {
            Some(policy) => policy.evaluate(caller, head),
            None => {
                Decision::ready(Err(Denial::indeterminate().because("no policy for this path")))
            }
        }
    }

    fn requirements(&self, head: &Parts) -> Requirements {
        self.policy_for(head).map_or(Requirements::none(), |policy| policy.requirements(head))
    }

    fn is_public(&self, head: &Parts) -> bool {
        self.policy_for(head).is_some_and(|policy| policy.is_public(head))
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

/// Writes one line per route: the path and the policy.
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
    use crate::{
        authorize::policies::{public::public, scopes::RequireScopes},
        header::Scheme,
    };

    fn public_at(routes: &Routes, path: &str) -> bool {
        let request = http::Request::builder().uri(path).body(()).unwrap();
        routes.is_public(&request.into_parts().0)
    }

    #[test]
    fn ambiguous_path_matches_no_route() {
        let admin = || RequireScopes::all(["admin"]);
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
            "/a%20b",
            "/slash/",
            "/a?b=//",
        ] {
            assert!(public_at(&routes, open), "{open}");
        }
        for ambiguous in [
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
            "/%FF",
            "/a%3F",
            "/a%23b",
            "/a%20",
        ] {
            assert!(!public_at(&routes, ambiguous), "{ambiguous}");
        }
    }

    #[test]
    fn specific_route_has_priority_and_unknown_path_is_rejected() {
        let admin = RequireScopes::all(["admin"]);
        let routes = Routes::new().route("/users/{id}", public()).route("/users/me", admin);
        assert!(public_at(&routes, "/users/7"));
        for other in ["/users/me", "/users/", "/users", "/users/7/x", "/Users/7", "/users/7/"] {
            assert!(!public_at(&routes, other), "{other}");
        }
        let caller = Principal::builder("alice", Scheme::BEARER).scopes(["admin"]).build();
        let evaluate = |path: &str| {
            let head = http::Request::builder().uri(path).body(()).unwrap().into_parts().0;
            routes.evaluate(&caller, &head).into_ready().unwrap()
        };
        assert!(evaluate("/users/me").is_ok() && evaluate("/users/7").is_ok());
        assert!(
            evaluate("/other").is_err()
                && evaluate("/").is_err()
                && evaluate("/users//me").is_err()
        );
    }

    #[test]
    fn invalid_path_is_a_config_error() {
        let routes = || Routes::new().route("/a/{b}", public());
        for invalid in ["", "a", "/a//b", "/a/{c}", "/x/{", "/a%2Fb", "/a%20b", "/ä", "/{*a}/b"] {
            assert!(routes().try_route(invalid, public()).is_err(), "{invalid}");
        }
    }
}
