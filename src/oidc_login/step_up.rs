use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::login_error::{LoginError, LoginErrorKind};
use crate::{
    authorize::policies::authentication::RequireAuthentication, json::value::text,
    principal::Principal,
};

/// What the page that asked for a login requires of it (a step-up, RFC 9470).
#[derive(Clone, Default, Serialize, Deserialize)]
pub(super) struct StepUp {
    /// The classes of which one is required, separated by spaces.
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    pub(super) acr_values: Option<String>,
    /// In seconds.
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    pub(super) max_age: Option<u64>,
}

impl StepUp {
    /// Checks that the page will accept a user who has just logged in.
    ///
    /// The page has no leeway for old logins, so there is none here. Otherwise, the page would ask
    /// for another login, which the provider can grant without the user: an endless loop. An age of
    /// 0 s asks for a login in any case, and is never that of a login.
    pub(super) fn check(&self, user: &Principal, now: SystemTime) -> Result<(), LoginError> {
        let insufficient = |reason: &str| {
            Err(LoginError::new(LoginErrorKind::Insufficient).because(reason.to_owned()))
        };
        if let Some(age) = self.max_age.filter(|age| *age > 0)
            && !RequireAuthentication::is_recent(user, Duration::from_secs(age), now)
        {
            return insufficient(
                "the auth_time of the user is missing or older than the page requires",
            );
        }
        if let Some(required) = &self.acr_values {
            let acr = user.claim_json("acr").and_then(text).unwrap_or_default();
            if !required.split(' ').any(|value| *value == *acr) {
                return insufficient("the acr of the user is none of those that the page requires");
            }
        }
        Ok(())
    }
}
