use std::{fmt, sync::Arc};

use http::request::Parts;

use crate::{
    authorize::{
        decision::Decision,
        denial::Denial,
        describe::{policy_layer, write_list},
        policy::Policy,
    },
    config_error::ConfigError,
    one_or_many::OneOrMany,
    principal::Principal,
};

/// Allows callers whose token was issued by one of these issuers. The `iss` claim must match
/// exactly.
///
/// ```
/// use tower_auth::authorize::RequireIssuer;
///
/// let policy = RequireIssuer::any(["https://staff.example"]);
/// assert_eq!(policy.to_string(), "issuer https://staff.example");
/// ```
#[derive(Clone)]
#[must_use]
pub struct RequireIssuer(Arc<[Box<str>]>);

impl RequireIssuer {
    /// Requires one of these issuers.
    ///
    /// # Panics
    ///
    /// Panics if there is no issuer, or if an issuer is empty. [`try_any`](Self::try_any) returns
    /// an error instead.
    #[track_caller]
    pub fn any<K>(issuers: impl OneOrMany<str, K>) -> Self {
        ConfigError::or_panic(Self::try_any(issuers))
    }

    /// Like [`any`](Self::any), for issuers from the configuration.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no issuer, or if an issuer is empty.
    pub fn try_any<K>(issuers: impl OneOrMany<str, K>) -> Result<Self, ConfigError> {
        let issuers: Arc<[Box<str>]> =
            issuers.values().map(|issuer| issuer.as_ref().into()).collect();
        if issuers.is_empty() || issuers.iter().any(|issuer| issuer.is_empty()) {
            return Err(ConfigError::missing(
                "issuers must not be missing or empty: name at least one issuer, or remove the \
                 policy",
            ));
        }
        Ok(Self(issuers))
    }
}

impl Policy for RequireIssuer {
    fn evaluate(&self, caller: &Principal, _: &Parts) -> Decision {
        let issuer = caller.issuer();
        let allowed = issuer.is_some_and(|issuer| self.0.iter().any(|listed| **listed == *issuer));
        Decision::ready(Denial::forbidden_unless(allowed))
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.len() == 1 { "issuer " } else { "any of the issuers " })?;
        write_list(&*self.0, f)
    }
}

policy_layer!(RequireIssuer);
