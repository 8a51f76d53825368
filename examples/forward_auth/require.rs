//! The table `[profiles.NAME.require]`.

use std::{collections::BTreeMap, error::Error, time::Duration};

use serde::Deserialize;
use serde_json::Value;
use tower_auth::{
    Policy, RequireAuthentication, RequireRoles, RequireScopes, authorize::RequireClaim,
};

use crate::bearer::OneOrMany;

pub(crate) type BoxPolicy = Box<dyn Policy>;

/// The requirements. A caller must meet all of them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Require {
    all_scopes: Option<Vec<String>>,
    any_scopes: Option<Vec<String>>,
    /// Any of these, in the claim `roles` or in `roles_claim`.
    roles: Option<OneOrMany>,
    roles_claim: Option<String>,
    /// Values by claim name or JSON Pointer. The claim must be or contain the value; of a list, one
    /// item suffices.
    #[serde(default)]
    claim: BTreeMap<String, Value>,
    acr: Option<OneOrMany>,
    max_age_seconds: Option<u64>,
}

impl Require {
    pub(crate) fn policy(&self) -> Result<BoxPolicy, Box<dyn Error>> {
        let mut policies: Vec<BoxPolicy> = Vec::new();
        if let Some(scopes) = &self.all_scopes {
            policies.push(Box::new(RequireScopes::try_all(scopes)?));
        }
        if let Some(scopes) = &self.any_scopes {
            policies.push(Box::new(RequireScopes::try_any(scopes)?));
        }
        match (self.roles.clone(), self.roles_claim.clone()) {
            (Some(roles), claim) => {
                let claim = claim.unwrap_or_else(|| "roles".into());
                policies.push(Box::new(RequireRoles::try_any(roles)?.from_claim(claim)));
            }
            (None, Some(_)) => return Err("`roles_claim` needs `roles`".into()),
            (None, None) => {}
        }
        for (claim, value) in &self.claim {
            let values = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
            let is_unsupported =
                |value: &Value| value.is_array() || value.is_object() || value.is_null();
            if values.iter().any(is_unsupported) {
                return Err(format!("claim {claim:?} must be strings, numbers or booleans").into());
            }
            let require = |value: &Value| -> BoxPolicy {
                Box::new(RequireClaim::new(claim.clone(), value.clone()))
            };
            let either = |one: BoxPolicy, other| -> BoxPolicy { Box::new(one.or(other)) };
            let policy = values.iter().map(require).reduce(either);
            policies.push(policy.ok_or_else(|| format!("claim {claim:?}: the list is empty"))?);
        }
        if let Some(values) = self.acr.clone() {
            policies.push(Box::new(RequireAuthentication::try_acr(values)?));
        }
        if let Some(seconds) = self.max_age_seconds {
            policies.push(Box::new(RequireAuthentication::max_age(Duration::from_secs(seconds))));
        }
        let both = |one: BoxPolicy, other| -> BoxPolicy { Box::new(one.and(other)) };
        policies.into_iter().reduce(both).ok_or_else(|| "`require` is empty".into())
    }
}
