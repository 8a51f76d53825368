use std::{borrow::Cow, fmt, sync::Arc};

use http::request::Parts;
use serde_json::Value;

use super::claim::with_claim;
use crate::{
    authorize::{
        denial::Denial,
        describe::{policy_layer, write_list},
        policy::Policy,
    },
    config_error::ConfigError,
    principal::Principal,
};

/// Lets a caller through that has a role, which the claim `roles` names (RFC 9068 §2.2.3.1).
///
/// ```
/// use tower_auth::RequireRoles;
///
/// let policy = RequireRoles::any(["admin", "auditor"]);
/// assert_eq!(policy.to_string(), "any of the roles admin, auditor");
///
/// // Where Keycloak has them:
/// let policy = RequireRoles::all(["admin"]).from_claim("/realm_access/roles");
/// ```
///
/// Roles compare whole and with regard to case. A refusal is a 403 that names none: no client can ask for
/// a role.
#[derive(Clone)]
#[must_use]
pub struct RequireRoles {
    roles: Arc<[Box<str>]>,
    all: bool,
    claim: Cow<'static, str>,
}

impl RequireRoles {
    const CLAIM: &str = "roles";

    /// The caller needs every one of these roles.
    ///
    /// # Panics
    ///
    /// If there is none, or an empty one. Where roles are not written in the program, [`try_all`](Self::try_all) and
    /// [`try_any`](Self::try_any) give the error instead.
    #[track_caller]
    #[allow(clippy::panic)] // a configuration fault, found at startup, like a bad path in a router
    pub fn all<I>(roles: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<Box<str>>,
    {
        Self::try_all(roles).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The caller needs at least one of these roles.
    ///
    /// # Panics
    ///
    /// If there is none, or an empty one. Where roles are not written in the program, [`try_all`](Self::try_all) and
    /// [`try_any`](Self::try_any) give the error instead.
    #[track_caller]
    #[allow(clippy::panic)] // a configuration fault, found at startup, like a bad path in a router
    pub fn any<I>(roles: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<Box<str>>,
    {
        Self::try_any(roles).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Reads the roles from this claim: a list of them, or a single one. A name that starts with `/` is a
    /// JSON Pointer (RFC 6901).
    pub fn from_claim(self, claim: impl Into<Cow<'static, str>>) -> Self {
        Self { claim: claim.into(), ..self }
    }

    /// [`all`](Self::all), for roles that are read from somewhere.
    ///
    /// # Errors
    ///
    /// If there is no role, or an empty one.
    pub fn try_all<I>(roles: I) -> Result<Self, ConfigError>
    where
        I: IntoIterator,
        I::Item: Into<Box<str>>,
    {
        Self::of(roles, true)
    }

    /// [`any`](Self::any), for roles that are read from somewhere.
    ///
    /// # Errors
    ///
    /// If there is no role, or an empty one.
    pub fn try_any<I>(roles: I) -> Result<Self, ConfigError>
    where
        I: IntoIterator,
        I::Item: Into<Box<str>>,
    {
        Self::of(roles, false)
    }

    fn of<I>(roles: I, all: bool) -> Result<Self, ConfigError>
    where
        I: IntoIterator,
        I::Item: Into<Box<str>>,
    {
        let roles: Arc<[Box<str>]> = roles.into_iter().map(Into::into).collect();
        if roles.is_empty() || roles.iter().any(|role| role.is_empty()) {
            return Err(ConfigError::new(
                "no role, or an empty one, is required: name it, or leave the policy out",
            ));
        }
        Ok(Self { roles, all, claim: Self::CLAIM.into() })
    }
}

impl Policy for RequireRoles {
    fn evaluate(&self, principal: &Principal, _: &Parts) -> Result<(), Denial> {
        let suffices = with_claim(principal, &self.claim, |claim| {
            let has = |role: &str| match claim {
                Value::Array(roles) => roles.iter().any(|one| one.as_str() == Some(role)),
                claim => claim.as_str() == Some(role),
            };
            let mut roles = self.roles.iter().map(|role| &**role);
            if self.all { roles.all(has) } else { roles.any(has) }
        });
        Denial::forbidden_unless(suffices)
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.all, self.roles.len()) {
            (_, 1) => "role ",
            (true, _) => "roles ",
            (false, _) => "any of the roles ",
        })?;
        write_list(&*self.roles, f)?;
        if self.claim == Self::CLAIM { Ok(()) } else { write!(f, " of {}", self.claim) }
    }
}

policy_layer!(RequireRoles);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::header::Scheme;

    fn allowed(policy: &RequireRoles, claims: &Value) -> bool {
        let caller = Principal::builder("alice", Scheme::BEARER).claims(claims).unwrap().build();
        policy.evaluate(&caller, &http::Request::new(()).into_parts().0).is_ok()
    }

    #[test]
    fn a_role_is_an_item_or_the_whole_claim() {
        let admin = RequireRoles::any(["admin"]);
        assert!(allowed(&admin, &json!({ "roles": ["x", "admin"] })));
        assert!(allowed(&admin, &json!({ "roles": "admin" })));
        for odd in [
            json!({}),
            json!({ "roles": "x admin" }),
            json!({ "roles": ["Admin"] }),
            json!({ "roles": { "admin": 1 } }),
            json!({ "role": ["admin"] }),
        ] {
            assert!(!allowed(&admin, &odd), "{odd}");
        }
        let nested = json!({ "realm_access": { "roles": ["admin"] } });
        assert!(!allowed(&admin, &nested));
        assert!(allowed(&admin.from_claim("/realm_access/roles"), &nested));
    }

    #[test]
    fn all_are_all() {
        let both = RequireRoles::all(["a", "b"]);
        assert!(allowed(&both, &json!({ "roles": ["b", "a"] })));
        assert!(!allowed(&both, &json!({ "roles": ["a"] })));
    }
}
