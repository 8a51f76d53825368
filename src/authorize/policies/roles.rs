use std::{borrow::Cow, fmt, sync::Arc};

use http::request::Parts;

use crate::{
    authorize::{
        decision::Decision,
        denial::Denial,
        describe::{policy_layer, write_list},
        policy::Policy,
    },
    config_error::ConfigError,
    json::value::{names, texts},
    one_or_many::OneOrMany,
    principal::Principal,
};

/// Allows callers with the given roles. By default, the claim `roles` lists them (RFC 9068
/// §2.2.3.1).
///
/// ```
/// use tower_auth::RequireRoles;
///
/// let policy = RequireRoles::any(["admin", "auditor"]);
/// assert_eq!(policy.to_string(), "any of the roles admin, auditor");
///
/// // Keycloak lists roles in a nested claim.
/// let policy = RequireRoles::all(["admin"]).from_claim("/realm_access/roles");
/// ```
///
/// Roles must match exactly, including case. The rejection is a 403 that does not name the roles,
/// because clients cannot request roles.
#[derive(Clone)]
#[must_use]
pub struct RequireRoles {
    roles: Arc<[Box<str>]>,
    all: bool,
    claim: Cow<'static, str>,
    are_keys: bool,
}

impl RequireRoles {
    const DEFAULT_CLAIM: &str = "roles";

    /// Requires all of these roles.
    ///
    /// # Panics
    ///
    /// Panics if there is no role, or if a role is empty. [`try_all`](Self::try_all) returns an
    /// error instead.
    #[track_caller]
    pub fn all<K>(roles: impl OneOrMany<str, K>) -> Self {
        ConfigError::or_panic(Self::try_all(roles))
    }

    /// Requires at least one of these roles.
    ///
    /// # Panics
    ///
    /// Panics if there is no role, or if a role is empty. [`try_any`](Self::try_any) returns an
    /// error instead.
    #[track_caller]
    pub fn any<K>(roles: impl OneOrMany<str, K>) -> Self {
        ConfigError::or_panic(Self::try_any(roles))
    }

    /// Reads the roles from this claim, which is a list of roles or a single role.
    ///
    /// The default is `roles`. A name that starts with `/` is a JSON Pointer (RFC 6901).
    pub fn from_claim(self, claim: impl Into<Cow<'static, str>>) -> Self {
        Self { claim: claim.into(), are_keys: false, ..self }
    }

    /// Reads the roles from the names of the members of this claim, which is a JSON object.
    ///
    /// The name of the claim is as for [`from_claim`](Self::from_claim). Zitadel, for example,
    /// sends `{"admin": {"1234": "acme.example"}}`:
    ///
    /// ```
    /// use tower_auth::RequireRoles;
    ///
    /// let policy =
    ///     RequireRoles::any("admin").from_claim_keys("urn:zitadel:iam:org:project:roles");
    /// ```
    ///
    /// # Security
    ///
    /// The values of the members are not read. A member with the value `false` or `null` grants its
    /// role like any other.
    pub fn from_claim_keys(self, claim: impl Into<Cow<'static, str>>) -> Self {
        Self { claim: claim.into(), are_keys: true, ..self }
    }

    /// Like [`all`](Self::all), for roles from the configuration.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no role, or if a role is empty.
    pub fn try_all<K>(roles: impl OneOrMany<str, K>) -> Result<Self, ConfigError> {
        Self::try_new(roles, true)
    }

    /// Like [`any`](Self::any), for roles from the configuration.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no role, or if a role is empty.
    pub fn try_any<K>(roles: impl OneOrMany<str, K>) -> Result<Self, ConfigError> {
        Self::try_new(roles, false)
    }

    fn try_new<K>(roles: impl OneOrMany<str, K>, all: bool) -> Result<Self, ConfigError> {
        let roles: Arc<[Box<str>]> = roles.values().map(|role| role.as_ref().into()).collect();
        if roles.is_empty() || roles.iter().any(|role| role.is_empty()) {
            return Err(ConfigError::missing(
                "roles must not be missing or empty: name at least one role, or remove the policy",
            ));
        }
        Ok(Self { roles, all, claim: Self::DEFAULT_CLAIM.into(), are_keys: false })
    }
}

impl Policy for RequireRoles {
    fn evaluate(&self, caller: &Principal, _: &Parts) -> Decision {
        let read = if self.are_keys { names } else { texts };
        let held = caller.claim_json(&self.claim).map(read).unwrap_or_default();
        let has = |role: &str| held.iter().any(|held| held == role);
        let mut roles = self.roles.iter().map(|role| &**role);
        let allowed = if self.all { roles.all(has) } else { roles.any(has) };
        Decision::ready(Denial::forbidden_unless(allowed))
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.all, self.roles.len()) {
            (_, 1) => "role ",
            (true, _) => "roles ",
            (false, _) => "any of the roles ",
        })?;
        write_list(&*self.roles, f)?;
        match (self.are_keys, &*self.claim) {
            (false, Self::DEFAULT_CLAIM) => Ok(()),
            (false, claim) => write!(f, " of {claim}"),
            (true, claim) => write!(f, " among the keys of {claim}"),
        }
    }
}

policy_layer!(RequireRoles);

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::header::Scheme;

    fn allowed(policy: &RequireRoles, claims: &Value) -> bool {
        let caller = Principal::builder("alice", Scheme::BEARER).claims(claims).unwrap().build();
        let decision = policy.evaluate(&caller, &http::Request::new(()).into_parts().0);
        decision.into_ready().unwrap().is_ok()
    }

    #[test]
    fn role_must_be_a_list_item_or_the_whole_claim() {
        let admin = RequireRoles::any(["admin"]);
        assert!(allowed(&admin, &json!({ "roles": ["x", "admin"] })));
        assert!(allowed(&admin, &json!({ "roles": "admin" })));
        for other in [
            json!({}),
            json!({ "roles": "x admin" }),
            json!({ "roles": ["Admin"] }),
            json!({ "roles": { "admin": 1 } }),
            json!({ "role": ["admin"] }),
        ] {
            assert!(!allowed(&admin, &other), "{other}");
        }
        let nested = json!({ "realm_access": { "roles": ["admin"] } });
        assert!(!allowed(&admin, &nested));
        assert!(allowed(&admin.from_claim("/realm_access/roles"), &nested));
    }

    #[test]
    fn last_claim_decides_how_it_is_read() {
        let (list, keys) = (json!({ "r": ["admin"] }), json!({ "r": { "admin": 1 } }));
        let last_is_list = RequireRoles::any("admin").from_claim_keys("x").from_claim("r");
        assert!(allowed(&last_is_list, &list) && !allowed(&last_is_list, &keys));
        let last_is_keys = RequireRoles::any("admin").from_claim("x").from_claim_keys("r");
        assert!(allowed(&last_is_keys, &keys) && !allowed(&last_is_keys, &list));
    }

    #[test]
    fn role_can_be_the_name_of_a_member_if_configured() {
        let admin = RequireRoles::all(["admin", "c\n"]).from_claim_keys("/p/roles");
        assert_eq!(admin.to_string(), "roles admin, c\n among the keys of /p/roles");
        for granted in [
            json!({ "p": { "roles": { "admin": {}, "b": 1, "c\n": { "x": "y" } } } }),
            json!({ "p": { "roles": { "c\n": null, "admin": [] } } }),
        ] {
            assert!(allowed(&admin, &granted), "{granted}");
        }
        for other in [
            json!({}),
            json!({ "p": { "roles": {} } }),
            json!({ "p": { "roles": { "admin": { "c\n": 1 } } } }),
            json!({ "p": { "roles": ["admin", "c\n"] } }),
            json!({ "p": { "roles": "admin" } }),
            json!({ "p": { "roles": null } }),
            json!({ "p": { "roles": { "x": { "admin": 1, "c\n": 1 } } } }),
        ] {
            assert!(!allowed(&admin, &other), "{other}");
        }
    }

    #[test]
    fn all_requires_every_role() {
        let both = RequireRoles::all(["a", "b"]);
        assert!(allowed(&both, &json!({ "roles": ["b", "a"] })));
        assert!(!allowed(&both, &json!({ "roles": ["a"] })));
    }
}
