use std::{fmt, sync::Arc};

use http::{Method, request::Parts};

use super::{Denial, Described, Policy, policy_layer};
use crate::Principal;

/// A policy for each method. What is under no method is refused.
///
/// ```
/// use http::Method;
/// use tower_auth::{RequireScopes, authorize::Methods};
///
/// let policy = Methods::new()
///     .on([Method::GET], RequireScopes::all(["orders:read"]))
///     .on([Method::POST, Method::PUT], RequireScopes::all(["orders:write"]));
/// assert_eq!(policy.to_string(), "GET: scope orders:read; POST, PUT: scope orders:write");
/// ```
///
/// What is for GET is for HEAD, too, as servers answer both alike (RFC 9110 §9.3.2).
#[derive(Clone, Default)]
pub struct Methods(Vec<(Vec<Method>, Arc<dyn Policy + Send + Sync>)>);

impl Methods {
    /// Refuses every method.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks this policy about these methods. Where a method is there already, the first policy stands.
    #[must_use]
    pub fn on<M, P>(mut self, methods: M, policy: P) -> Self
    where
        M: IntoIterator<Item = Method>,
        P: Policy + Send + Sync + 'static,
    {
        self.0.push((methods.into_iter().collect(), Arc::new(policy)));
        self
    }

    fn find(&self, head: &Parts) -> Option<&(dyn Policy + Send + Sync)> {
        let get = head.method == Method::HEAD;
        let mut policies = self.0.iter();
        let found = policies.find(|(methods, _)| {
            methods.contains(&head.method) || (get && methods.contains(&Method::GET))
        });
        found.map(|(_, policy)| &**policy)
    }
}

impl Policy for Methods {
    fn evaluate(&self, principal: &Principal, head: &Parts) -> Result<(), Denial> {
        let policy = self.find(head).ok_or_else(|| {
            Denial::forbidden().because(format!("no policy is for the method {}", head.method))
        })?;
        policy.evaluate(principal, head)
    }

    fn required_scopes(&self, head: &Parts) -> Vec<&str> {
        self.find(head).map_or(Vec::new(), |policy| policy.required_scopes(head))
    }

    fn is_public(&self, head: &Parts) -> bool {
        self.find(head).is_some_and(|policy| policy.is_public(head))
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, (methods, policy)) in self.0.iter().enumerate() {
            f.write_str(if position == 0 { "" } else { "; " })?;
            super::list(methods, f)?;
            write!(f, ": {}", Described(&**policy))?;
        }
        Ok(())
    }
}

policy_layer!(Methods);

impl fmt::Debug for Methods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Methods({self})")
    }
}
