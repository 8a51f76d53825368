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
    json::value::{is_texts, names, texts},
    one_or_many::OneOrMany,
    principal::{Principal, claims_set::check_path},
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
///
/// A claim that does not have the expected form grants no role. If the caller has none of the
/// roles, the request is then rejected also inside `not`, and a warning names the claim.
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
    ///
    /// # Panics
    ///
    /// Panics if the name is empty, or the JSON Pointer is malformed.
    /// [`try_from_claim`](Self::try_from_claim) returns an error instead.
    #[track_caller]
    pub fn from_claim(self, claim: impl Into<Cow<'static, str>>) -> Self {
        ConfigError::or_panic(self.try_from_claim(claim))
    }

    /// Like [`from_claim`](Self::from_claim), for a name from the configuration.
    ///
    /// # Errors
    ///
    /// Returns an error if the name is empty, or the JSON Pointer is malformed.
    pub fn try_from_claim(self, claim: impl Into<Cow<'static, str>>) -> Result<Self, ConfigError> {
        self.with_claim(claim.into(), false)
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
    ///
    /// # Panics
    ///
    /// Panics if the name is empty, or the JSON Pointer is malformed.
    /// [`try_from_claim_keys`](Self::try_from_claim_keys) returns an error instead.
    #[track_caller]
    pub fn from_claim_keys(self, claim: impl Into<Cow<'static, str>>) -> Self {
        ConfigError::or_panic(self.try_from_claim_keys(claim))
    }

    /// Like [`from_claim_keys`](Self::from_claim_keys), for a name from the configuration.
    ///
    /// # Errors
    ///
    /// Returns an error if the name is empty, or the JSON Pointer is malformed.
    pub fn try_from_claim_keys(
        self,
        claim: impl Into<Cow<'static, str>>,
    ) -> Result<Self, ConfigError> {
        self.with_claim(claim.into(), true)
    }

    fn with_claim(self, claim: Cow<'static, str>, are_keys: bool) -> Result<Self, ConfigError> {
        check_path(&claim)?;
        Ok(Self { claim, are_keys, ..self })
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

impl RequireRoles {
    #[cold]
    fn denial(&self, caller: &Principal) -> Denial {
        let is_readable =
            |json: &str| if self.are_keys { json.starts_with('{') } else { is_texts(json) };
        match caller.claim_fault(&self.claim, is_readable) {
            Some(fault) => Denial::indeterminate().because(fault),
            None => Denial::forbidden(),
        }
    }
}

impl Policy for RequireRoles {
    fn evaluate(&self, caller: &Principal, _: &Parts) -> Decision {
        let read = if self.are_keys { names } else { texts };
        let held = caller.claim_json(&self.claim).map(read).unwrap_or_default();
        let has = |role: &str| held.iter().any(|held| held == role);
        let mut roles = self.roles.iter().map(|role| &**role);
        let allowed = if self.all { roles.all(has) } else { roles.any(has) };
        Decision::ready(match allowed {
            true => Ok(()),
            false => Err(self.denial(caller)),
        })
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

    fn head() -> Parts {
        http::Request::new(()).into_parts().0
    }

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

    /// In `not`, a role that cannot be read must not admit the caller.
    #[test]
    fn roles_of_an_unexpected_form_are_indeterminate() {
        let (list, keys) =
            (RequireRoles::any("a"), RequireRoles::any("a").from_claim_keys("roles"));
        let nested = RequireRoles::any("a").from_claim("/p/roles");
        let dotted = RequireRoles::any("a").from_claim("p.roles");
        for (policy, claims, is_unreadable) in [
            (&list, json!({ "roles": 7 }), true),
            (&list, json!({ "roles": { "a": {} } }), true),
            (&list, json!({ "roles": [1, 2] }), true),
            (&list, json!({ "roles": ["b", 7] }), true),
            (&list, json!({ "roles": ["b"] }), false),
            (&list, json!({ "roles": [] }), false),
            (&list, json!({ "roles": null }), false),
            (&list, json!({}), false),
            (&keys, json!({ "roles": ["a"] }), true),
            (&keys, json!({ "roles": { "b": 1 } }), false),
            (&nested, json!({ "p": "a" }), true),
            (&nested, json!({ "p": { "roles": "b" } }), false),
            (&nested, json!({ "p": {} }), false),
            (&dotted, json!({ "p": { "roles": ["a"] } }), true),
            (&dotted, json!({ "p": "a" }), false),
        ] {
            let caller = Principal::builder("alice", Scheme::BEARER).claims(&claims).unwrap();
            let decision = policy.evaluate(&caller.build(), &head());
            let denial = decision.into_ready().unwrap().unwrap_err();
            assert_eq!(denial.is_indeterminate(), is_unreadable, "{policy}: {claims}");
            let negated = policy.clone().not();
            let caller = Principal::builder("alice", Scheme::BEARER).claims(&claims).unwrap();
            let is_admitted =
                negated.evaluate(&caller.build(), &head()).into_ready().unwrap().is_ok();
            assert_eq!(is_admitted, !is_unreadable, "not {policy}: {claims}");
        }
        let basic = Principal::builder("alice", Scheme::BASIC).build();
        let denial = dotted.evaluate(&basic, &head()).into_ready().unwrap().unwrap_err();
        assert!(!denial.is_indeterminate());
    }

    #[test]
    fn invalid_name_of_the_claim_is_a_config_error() {
        for (claim, hint) in [
            ("", "name the claim"),
            ("/", "give each step a name"),
            ("/realm_access/", "give each step a name"),
            ("/a~b", "write `~` as `~0`"),
            ("/a~", "write `~` as `~0`"),
        ] {
            for error in [
                RequireRoles::any("a").try_from_claim(claim).unwrap_err(),
                RequireRoles::any("a").try_from_claim_keys(claim).unwrap_err(),
            ] {
                assert!(error.to_string().contains(hint), "{claim}: {error}");
            }
        }
        for claim in ["a", "a.b", "https://a.example/roles", "/a/b", "/a~1b~0/0", "~"] {
            assert!(RequireRoles::any("a").try_from_claim(claim).is_ok(), "{claim}");
        }
    }

    #[test]
    fn all_requires_every_role() {
        let both = RequireRoles::all(["a", "b"]);
        assert!(allowed(&both, &json!({ "roles": ["b", "a"] })));
        assert!(!allowed(&both, &json!({ "roles": ["a"] })));
    }
}
