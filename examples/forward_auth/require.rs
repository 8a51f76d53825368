//! The table `[profiles.NAME.require]`.

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;
use serde_json::Value;
use tower_auth::{
    Policy, RequireAuthentication, RequireRoles, RequireScopes, authorize::RequireClaim,
};

use crate::{fault::Fault, one_or_many::OneOrMany};

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
    pub(crate) fn policy(&self) -> Result<BoxPolicy, Fault> {
        let both = |one: BoxPolicy, other| -> BoxPolicy { Box::new(one.and(other)) };
        let policies = self.policies().map_err(|fault| fault.within("require"))?;
        let policy = policies.into_iter().reduce(both);
        policy.ok_or_else(|| Fault::new("require", "the table is empty: add a requirement"))
    }

    fn policies(&self) -> Result<Vec<BoxPolicy>, Fault> {
        let mut policies: Vec<BoxPolicy> = Vec::new();
        if let Some(scopes) = &self.all_scopes {
            let all = RequireScopes::try_all(scopes);
            policies.push(Box::new(all.map_err(|error| Fault::new("all_scopes", error))?));
        }
        if let Some(scopes) = &self.any_scopes {
            let any = RequireScopes::try_any(scopes);
            policies.push(Box::new(any.map_err(|error| Fault::new("any_scopes", error))?));
        }
        match (&self.roles, self.roles_claim.clone()) {
            (Some(roles), claim) => {
                let any = RequireRoles::try_any(roles.as_slice());
                let any = any.map_err(|error| Fault::new("roles", error))?;
                let claim = claim.unwrap_or_else(|| "roles".into());
                let any = any.try_from_claim(claim);
                policies.push(Box::new(any.map_err(|error| Fault::new("roles_claim", error))?));
            }
            (None, Some(_)) => return Err(Fault::new("roles_claim", "requires `roles`")),
            (None, None) => {}
        }
        for (claim, value) in &self.claim {
            policies.push(require_claim(claim, value)?);
        }
        if let Some(values) = &self.acr {
            let acr = RequireAuthentication::try_acr(values.as_slice());
            policies.push(Box::new(acr.map_err(|error| Fault::new("acr", error))?));
        }
        if let Some(seconds) = self.max_age_seconds {
            let recent = RequireAuthentication::try_max_age(Duration::from_secs(seconds));
            policies.push(Box::new(recent.map_err(|error| Fault::new("max_age_seconds", error))?));
        }
        Ok(policies)
    }
}

fn require_claim(claim: &str, value: &Value) -> Result<BoxPolicy, Fault> {
    let fault = |message: &str| Fault::new(format!("claim.{claim:?}"), message);
    let values = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    let is_unsupported = |value: &Value| value.is_array() || value.is_object() || value.is_null();
    if values.iter().any(is_unsupported) {
        return Err(fault("must be a string, a number, a boolean, or a list of these"));
    }
    let require = |value: &Value| -> Result<BoxPolicy, Fault> {
        let policy = RequireClaim::try_new(claim.to_owned(), value.clone());
        Ok(Box::new(policy.map_err(|error| fault(&error.to_string()))?))
    };
    let either = |one: BoxPolicy, other| -> BoxPolicy { Box::new(one.or(other)) };
    let policies: Vec<_> = values.iter().map(require).collect::<Result<_, _>>()?;
    let policy = policies.into_iter().reduce(either);
    policy.ok_or_else(|| fault("the list is empty: name at least one value"))
}
