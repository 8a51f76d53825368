use std::{fmt, sync::Arc};

use http::request::Parts;
use matchit::Router;

use super::{Denial, Described, Policy, policy_layer};
use crate::{ConfigError, Principal};

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
/// It sees the path alone, and the service behind has to read paths as it does. One that several spellings
/// could stand for, with empty, dot or encoded parts that need not be (`//`, `/../`, `%2F`, `%61`), is under no route. A
/// service that is generous in another way, with regard to case, say, or to a prefix that it cuts off, is not for
/// a table of paths: guard its handlers. In axum,
/// `GuardedRouter` leaves no room for that.
#[derive(Clone, Default)]
pub struct Routes {
    paths: Router<usize>,
    policies: Vec<(String, Arc<dyn Policy + Send + Sync>)>,
}

impl Routes {
    /// Refuses every path.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks this policy about requests to this path.
    ///
    /// # Panics
    ///
    /// If the path is no pattern, or is there already. [`try_route`](Self::try_route) gives the error
    /// instead.
    #[must_use]
    #[track_caller]
    #[allow(clippy::panic)] // like a router's malformed path: found at the first start
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
    /// If the path is no pattern, or is there already.
    pub fn try_route<P>(mut self, path: &str, policy: P) -> Result<Self, ConfigError>
    where
        P: Policy + Send + Sync + 'static,
    {
        let fault = |why: &dyn fmt::Display| ConfigError::new(format!("route {path:?}: {why}"));
        if !path.starts_with('/') || !is_plain(path) {
            return Err(fault(&"give a path that starts with / and has no other spelling"));
        }
        self.paths.insert(path, self.policies.len()).map_err(|error| fault(&error))?;
        self.policies.push((path.to_owned(), Arc::new(policy)));
        Ok(self)
    }

    fn find(&self, head: &Parts) -> Option<&(dyn Policy + Send + Sync)> {
        let path = head.uri.path();
        if !is_plain(path) {
            return None;
        }
        let found = self.policies.get(*self.paths.at(path).ok()?.value)?;
        Some(&*found.1)
    }
}

impl Policy for Routes {
    fn evaluate(&self, principal: &Principal, head: &Parts) -> Result<(), Denial> {
        let no_policy = || Denial::forbidden().because("no policy is for this path");
        self.find(head).ok_or_else(no_policy)?.evaluate(principal, head)
    }

    fn required_scopes(&self, head: &Parts) -> Vec<&str> {
        self.find(head).map_or(Vec::new(), |policy| policy.required_scopes(head))
    }

    fn is_public(&self, head: &Parts) -> bool {
        self.find(head).is_some_and(|policy| policy.is_public(head))
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (path, policy) in &self.policies {
            writeln!(f, "{path}  {}", Described(&**policy))?;
        }
        Ok(())
    }
}

policy_layer!(Routes);

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let paths =
            self.policies.iter().map(|(path, policy)| (path, Described(&**policy).to_string()));
        f.debug_map().entries(paths).finish()
    }
}

/// Whether no other spelling stands for the same path (RFC 3986 §6.2.2), nor this one for another.
fn is_plain(path: &str) -> bool {
    let inner = path.strip_prefix('/').unwrap_or(path);
    let segments = inner.strip_suffix('/').unwrap_or(inner).split('/');
    let odd =
        |segment: &str| matches!(segment, "." | "..") || (segment.is_empty() && !inner.is_empty());
    if segments.into_iter().any(odd) || path.contains(['\\', ';']) {
        return false;
    }
    path.split('%').skip(1).all(|after| {
        let code = after.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        // What need not be encoded, what would mean something else if it were not, and what ends a name
        // for some.
        code.is_some_and(|byte| {
            let unreserved =
                byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
            !unreserved && !matches!(byte, b'/' | b'\\' | b';' | b'%' | 0..32 | 127)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Scheme, authorize::public};

    fn public_at(routes: &Routes, path: &str) -> bool {
        let request = http::Request::builder().uri(path).body(()).unwrap();
        routes.is_public(&request.into_parts().0)
    }

    #[test]
    fn a_path_with_two_spellings_is_under_no_route() {
        let open = Routes::new().route("/{*rest}", public());
        for plain in ["/a", "/a/", "/a/b.c", "/a%20b", "/%C3%A4", "/a/b/c", "/...", "/a?b=//"] {
            assert!(public_at(&open, plain), "{plain}");
        }
        for odd in [
            "/a//b",
            "//a",
            "/a/../b",
            "/a/./b",
            "/a/..",
            "/%2e%2e/b",
            "/%61",
            "/a%2Fb",
            "/a%5cb",
            "/a%00",
            "/a%2",
            "/a%zz",
            "/a%",
            "/a;b",
            "/a%3Bb",
            "/a%25b",
            "/a//",
            "/a%+1",
        ] {
            assert!(!public_at(&open, odd), "{odd}");
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
        for odd in ["", "a", "/a//b", "/a/{c}", "/x/{", "/a%2Fb", "/{*a}/b"] {
            assert!(routes().try_route(odd, public()).is_err(), "{odd}");
        }
    }
}
