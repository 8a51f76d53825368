use std::{fmt, sync::Arc};

use http::request::Parts;

use crate::{
    authorize::{
        decision::Decision,
        denial::Denial,
        describe::{policy_layer, write_list},
        policy::Policy,
    },
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
    /// Requires one of these issuers. If the list is empty, all callers are rejected.
    pub fn any<I>(issuers: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<Box<str>>,
    {
        Self(issuers.into_iter().map(Into::into).collect())
    }
}

impl Policy for RequireIssuer {
    fn evaluate(&self, caller: &Principal, _: &Parts) -> Decision {
        if self.0.is_empty() {
            let denial = Denial::indeterminate().because("the policy lists no issuer");
            return Decision::ready(Err(denial));
        }
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
