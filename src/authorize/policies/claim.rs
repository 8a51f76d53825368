use std::{borrow::Cow, fmt, sync::Arc};

use http::request::Parts;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    authorize::{decision::Decision, denial::Denial, describe::policy_layer, policy::Policy},
    config_error::ConfigError,
    json::value::texts,
    principal::{ClaimsError, Principal, claims_set::check_path},
};

/// Allows callers with the given claims.
///
/// A caller of a scheme without claims, such as Basic, has no claim that could be equal to a value.
///
/// ```
/// use serde::Deserialize;
/// use tower_auth::{Policy, authorize::RequireClaim};
///
/// #[derive(Deserialize)]
/// struct Plan {
///     seats: u32,
/// }
///
/// let policy = RequireClaim::new("tenant", "acme")
///     .and(RequireClaim::new("/realm_access/groups", "staff"))
///     .and(RequireClaim::typed("has seats", |plan: &Plan| plan.seats > 0));
/// assert_eq!(
///     policy.to_string(),
///     r#"((claim tenant = "acme" and claim /realm_access/groups = "staff") and has seats)"#,
/// );
/// ```
#[derive(Clone)]
#[must_use]
pub struct RequireClaim {
    name: Cow<'static, str>,
    check: Check,
}

#[derive(Clone)]
enum Check {
    Value(Value),
    /// Returns an error if the claims do not deserialize into the type.
    Typed(Arc<TypedCheck>),
}

type TypedCheck = dyn Fn(&Principal) -> Result<bool, ClaimsError> + Send + Sync;

impl RequireClaim {
    /// Requires that the claim equals the value, or is a list that contains the value.
    ///
    /// A name that starts with `/` is a JSON Pointer (RFC 6901) to a nested claim. Any other
    /// name is the literal name of a top-level claim, including any dots.
    ///
    /// If the JSON Pointer leads into a value that is not an object or an array, the request is
    /// rejected also inside `not`, and a warning names the claim.
    ///
    /// # Panics
    ///
    /// Panics if the name is empty, or the JSON Pointer is malformed. [`try_new`](Self::try_new)
    /// returns an error instead.
    #[track_caller]
    pub fn new(claim: impl Into<Cow<'static, str>>, value: impl Into<Value>) -> Self {
        ConfigError::or_panic(Self::try_new(claim, value))
    }

    /// Like [`new`](Self::new), for a name from the configuration.
    ///
    /// # Errors
    ///
    /// Returns an error if the name is empty, or the JSON Pointer is malformed.
    pub fn try_new(
        claim: impl Into<Cow<'static, str>>,
        value: impl Into<Value>,
    ) -> Result<Self, ConfigError> {
        let name = claim.into();
        check_path(&name)?;
        Ok(Self { name, check: Check::Value(value.into()) })
    }

    /// Requires that the claims deserialize into `C`, and that the closure returns `true` for them.
    ///
    /// The name appears in logs and route lists. If the claims do not match `C`, the request is
    /// rejected with 403, also inside `not`, and a warning names the claim.
    pub fn typed<C, F>(name: impl Into<Cow<'static, str>>, check: F) -> Self
    where
        C: DeserializeOwned + Send + Sync + 'static,
        F: Fn(&C) -> bool + Send + Sync + 'static,
    {
        let check = move |principal: &Principal| principal.claims_as().map(|claims| check(&claims));
        Self { name: name.into(), check: Check::Typed(Arc::new(check)) }
    }
}

impl Policy for RequireClaim {
    fn evaluate(&self, caller: &Principal, _: &Parts) -> Decision {
        let holds = match &self.check {
            Check::Value(value) => {
                let claim = caller.claim_json(&self.name);
                match claim.is_some_and(|claim| equals_or_contains(claim, value)) {
                    true => Ok(true),
                    false => caller.claim_fault(&self.name, |_| true).map_or(Ok(false), Err),
                }
            }
            Check::Typed(check) => check(caller),
        };
        Decision::ready(match holds {
            Ok(holds) => Denial::forbidden_unless(holds),
            Err(error) => Err(Denial::indeterminate().because(error)),
        })
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.check {
            Check::Value(value) => write!(f, "claim {} = {value}", self.name),
            Check::Typed(_) => f.write_str(&self.name),
        }
    }
}

policy_layer!(RequireClaim);

fn equals_or_contains(claim: &str, value: &Value) -> bool {
    if let Value::String(text) = value {
        return texts(claim).iter().any(|claim| claim == text);
    }
    let Ok(claim) = serde_json::from_str::<Value>(claim) else { return false };
    claim == *value || claim.as_array().is_some_and(|items| items.contains(value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::header::Scheme;

    fn allowed(policy: &RequireClaim, claims: &Value) -> bool {
        let caller = Principal::builder("alice", Scheme::BEARER).claims(claims).unwrap().build();
        let decision = policy.evaluate(&caller, &http::Request::new(()).into_parts().0);
        decision.into_ready().unwrap().is_ok()
    }

    #[test]
    fn claim_must_equal_or_contain_the_value() {
        let tenant = RequireClaim::new("tenant", "acme");
        assert!(allowed(&tenant, &json!({ "tenant": "acme" })));
        assert!(allowed(&tenant, &json!({ "tenant": ["x", "acme"] })));
        for other in [
            json!({}),
            json!({ "tenant": "acme2" }),
            json!({ "tenant": "x acme" }),
            json!({ "tenant": { "acme": true } }),
            json!({ "tenant": [["acme"]] }),
            json!({ "/tenant": "acme" }),
        ] {
            assert!(!allowed(&tenant, &other), "{other}");
        }
        assert!(!allowed(&RequireClaim::new("admin", true), &json!({ "admin": "true" })));
    }

    #[test]
    fn only_names_with_a_leading_slash_are_json_pointers() {
        let nested = json!({ "a": { "b/c": ["x"] }, "a.b": "y" });
        assert!(allowed(&RequireClaim::new("/a/b~1c", "x"), &nested));
        assert!(allowed(&RequireClaim::new("a.b", "y"), &nested));
        assert!(!allowed(&RequireClaim::new("/a/b", "x"), &nested));
    }

    #[test]
    fn claim_that_the_path_cannot_reach_is_indeterminate() {
        let head = http::Request::new(()).into_parts().0;
        for (name, is_unreadable) in [("/p/q", true), ("o.x", true), ("p.q", false), ("r", false)] {
            let policy = RequireClaim::new(name, "a");
            let claims = json!({ "p": "a", "o": { "x": "a" } });
            let caller = Principal::builder("alice", Scheme::BEARER).claims(&claims).unwrap();
            let denial = policy.evaluate(&caller.build(), &head).into_ready().unwrap().unwrap_err();
            assert_eq!(denial.is_indeterminate(), is_unreadable, "{name}");
        }
        for (name, hint) in [("", "name the claim"), ("/a//b", "give each step a name")] {
            let error = RequireClaim::try_new(name, "a").unwrap_err().to_string();
            assert!(error.contains(hint), "{name}: {error}");
        }
    }

    #[test]
    fn caller_without_claims_is_rejected() {
        let head = http::Request::new(()).into_parts().0;
        let caller = Principal::builder("alice", Scheme::BASIC).build();
        let anything = RequireClaim::typed("anything", |_: &Value| true);
        assert!(anything.evaluate(&caller, &head).into_ready().unwrap().is_err());
    }
}
