use std::{fmt, sync::Arc};

use http::{Method, request::Parts};

use crate::{
    authorize::{
        decision::Decision,
        denial::Denial,
        describe::{policy_layer, write_list},
        policy::Policy,
        requirements::Requirements,
    },
    config_error::ConfigError,
    one_or_many::OneOrMany,
    principal::Principal,
};

/// Selects a policy by the request method. Rejects methods that have no policy.
///
/// ```
/// use http::Method;
/// use tower_auth::{RequireScopes, authorize::Methods};
///
/// let policy = Methods::new()
///     .on(Method::GET, RequireScopes::all("orders:read"))
///     .on([Method::POST, Method::PUT], RequireScopes::all("orders:write"));
/// assert_eq!(policy.to_string(), "{GET: scope orders:read; POST, PUT: scope orders:write}");
/// ```
///
/// The policy for GET also applies to HEAD, unless HEAD has its own policy, because servers
/// handle both in the same way (RFC 9110 §9.3.2).
#[derive(Clone, Default)]
#[must_use]
pub struct Methods(Vec<(Vec<Method>, Arc<dyn Policy>)>);

impl Methods {
    /// Creates an empty table, which rejects every method.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the policy for these methods.
    ///
    /// # Panics
    ///
    /// Panics if there is no method, or if a method already has a policy.
    /// [`try_on`](Self::try_on) returns an error instead.
    #[track_caller]
    pub fn on<K, P>(self, methods: impl OneOrMany<Method, K>, policy: P) -> Self
    where
        P: Policy + 'static,
    {
        ConfigError::or_panic(self.try_on(methods, policy))
    }

    /// Like [`on`](Self::on), for methods from the configuration.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no method, or if a method already has a policy.
    pub fn try_on<K, P>(
        mut self,
        methods: impl OneOrMany<Method, K>,
        policy: P,
    ) -> Result<Self, ConfigError>
    where
        P: Policy + 'static,
    {
        let methods: Vec<_> = methods.values().map(|method| method.as_ref().clone()).collect();
        if methods.is_empty() {
            return Err(ConfigError::missing("no method: name at least one method for the policy"));
        }
        if let Some(method) = methods.iter().find(|method| self.policy_of(method).is_some()) {
            return Err(ConfigError::conflict(format!(
                "method {method} already has a policy: combine the policies"
            )));
        }
        self.0.push((methods, Arc::new(policy)));
        Ok(self)
    }

    fn policy_of(&self, method: &Method) -> Option<&dyn Policy> {
        let found = self.0.iter().find(|(methods, _)| methods.contains(method));
        found.map(|(_, policy)| &**policy)
    }

    fn policy_for(&self, head: &Parts) -> Option<&dyn Policy> {
        let as_get =
            || if head.method == Method::HEAD { self.policy_of(&Method::GET) } else { None };
        self.policy_of(&head.method).or_else(as_get)
    }
}

impl Policy for Methods {
    fn evaluate(&self, caller: &Principal, head: &Parts) -> Decision {
        match self.policy_for(head) {
            Some(policy) => policy.evaluate(caller, head),
            None => {
                Decision::ready(Err(Denial::indeterminate()
                    .because(format!("no policy for method {}", head.method))))
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
        for (position, (methods, policy)) in self.0.iter().enumerate() {
            f.write_str(if position == 0 { "" } else { "; " })?;
            write_list(methods, f)?;
            write!(f, ": {policy}")?;
        }
        f.write_str("}")
    }
}

policy_layer!(Methods);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authorize::policies::{public::public, scopes::RequireScopes};

    fn head(method: Method) -> Parts {
        http::Request::builder().method(method).body(()).unwrap().into_parts().0
    }

    #[test]
    fn head_method_uses_the_get_policy_by_default() {
        let admin = RequireScopes::all(["admin"]);
        let open = Methods::new().on([Method::GET], public());
        assert!(open.is_public(&head(Method::HEAD)) && !open.is_public(&head(Method::POST)));
        let closed = open.on([Method::HEAD], admin.clone());
        assert!(!closed.is_public(&head(Method::HEAD)) && closed.is_public(&head(Method::GET)));
        assert_eq!(closed.requirements(&head(Method::HEAD)), Requirements::scopes(["admin"]));
        assert!(closed.clone().try_on([Method::POST, Method::GET], admin).is_err());
        assert!(closed.try_on([Method::GET; 0], public()).is_err());
    }
}
