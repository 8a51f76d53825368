use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use http::request::Parts;

use crate::{
    authorize::{
        decision::Decision,
        denial::Denial,
        describe::{policy_layer, write_list},
        policy::Policy,
        requirements::Requirements,
    },
    clock::{Clock, SystemClock},
    config_error::ConfigError,
    header::grammar::is_scope_token,
    json::value::text,
    one_or_many::OneOrMany,
    principal::Principal,
};

/// Checks how or when the caller logged in, and requests another login if necessary (RFC 9470).
///
/// The policy checks the claims `acr` and `auth_time`.
///
/// ```
/// # use axum::{Router, routing::post};
/// use std::time::Duration;
/// use tower_auth::{Policy, RequireAuthentication, RequireScopes};
///
/// let fresh = RequireAuthentication::max_age(Duration::from_secs(300));
/// let strong = RequireAuthentication::acr(["urn:example:gold"]);
/// # let _: Router = Router::new()
///     .route(
///         "/transfers",
///         post(|| async { "done" })
///             .layer(RequireScopes::all(["transfers"]).and(strong).and(fresh)),
///     )
/// # ;
/// ```
///
/// The rejection is a 401 with the error `insufficient_user_authentication`. It names the
/// `acr_values`, the `max_age` and the scopes of all policies that are combined with
/// [`and`](Policy::and), so that the client can request all of them at once. Callers with a session
/// ([`Scheme::COOKIE`](crate::Scheme::COOKIE)) get the same 401 without scopes, and a
/// `session::LoginRedirect` leads their browser to the login page. Callers of other schemes get a
/// plain 403, because another login cannot help them.
#[derive(Clone)]
#[must_use]
pub struct RequireAuthentication {
    requirement: LoginRequirement,
    clock: Arc<dyn Clock>,
}

#[derive(Clone)]
enum LoginRequirement {
    Acr(Arc<[Box<str>]>),
    MaxAge(Duration),
}

impl RequireAuthentication {
    /// How far the clock of the issuer may be ahead of the local clock, in seconds.
    const LEEWAY_S: f64 = 60.0;

    /// Requires that the `acr` claim is one of these values. Put the preferred value first.
    ///
    /// # Panics
    ///
    /// Panics if there is no value, or if a value is empty or contains a space, a quote, a
    /// backslash, or a character that is not printable ASCII. [`try_acr`](Self::try_acr) returns
    /// an error instead.
    #[track_caller]
    pub fn acr<K>(values: impl OneOrMany<str, K>) -> Self {
        ConfigError::or_panic(Self::try_acr(values))
    }

    /// Like [`acr`](Self::acr), for values from the configuration.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no value, or if a value is empty or contains a space, a
    /// quote, a backslash, or a character that is not printable ASCII.
    pub fn try_acr<K>(values: impl OneOrMany<str, K>) -> Result<Self, ConfigError> {
        let values: Arc<[Box<str>]> = values.values().map(|value| value.as_ref().into()).collect();
        if values.is_empty() {
            return Err(ConfigError::missing("no acr value: give at least one"));
        }
        if !values.iter().all(|value| is_scope_token(value)) {
            return Err(ConfigError::invalid(
                "acr values must be printable ASCII without spaces, quotes and backslashes: pass \
                 each as a separate item",
            ));
        }
        Ok(Self { requirement: LoginRequirement::Acr(values), clock: Arc::new(SystemClock) })
    }

    /// Requires that the login (the `auth_time` claim) was at most `age` ago.
    ///
    /// Fractions of a second in `age` are ignored. There is no leeway for old logins. A login up
    /// to 60 s in the future is accepted, because the clock of the issuer may be ahead.
    ///
    /// # Panics
    ///
    /// Panics if `age` is below 1 s. [`try_max_age`](Self::try_max_age) returns an error instead.
    #[track_caller]
    pub fn max_age(age: Duration) -> Self {
        ConfigError::or_panic(Self::try_max_age(age))
    }

    /// Like [`max_age`](Self::max_age), for an age from the configuration.
    ///
    /// # Errors
    ///
    /// Returns an error if `age` is below 1 s, because no login would be recent enough.
    pub fn try_max_age(age: Duration) -> Result<Self, ConfigError> {
        let age = Duration::from_secs(age.as_secs());
        if age.is_zero() {
            return Err(ConfigError::invalid(
                "the maximum age of a login is below 1 s, so no login would be recent enough: set a \
                 longer one",
            ));
        }
        Ok(Self { requirement: LoginRequirement::MaxAge(age), clock: Arc::new(SystemClock) })
    }

    /// Sets the clock. The default is the system clock. See [`clock`](crate::clock).
    pub fn clock(self, clock: impl Clock) -> Self {
        Self { clock: Arc::new(clock), ..self }
    }

    /// Returns whether the caller logged in at most `age` ago, in whole seconds.
    pub(crate) fn is_recent(caller: &Principal, age: Duration, now: SystemTime) -> bool {
        let (Ok(auth_time), Ok(now)) =
            (caller.claim::<f64>("auth_time"), now.duration_since(UNIX_EPOCH))
        else {
            return false;
        };
        let elapsed = now.as_secs_f64() - auth_time;
        // NaN compares as false.
        elapsed >= -Self::LEEWAY_S && elapsed.floor() <= age.as_secs_f64()
    }
}

impl Policy for RequireAuthentication {
    fn evaluate(&self, caller: &Principal, _: &Parts) -> Decision {
        // RFC 9068 §2.2.1 defines `acr` and `auth_time`.
        Decision::ready(match &self.requirement {
            LoginRequirement::Acr(values) => match caller.claim_json("acr").and_then(text) {
                Some(acr) if values.iter().any(|value| **value == *acr) => Ok(()),
                _ => Err(Denial::insufficient_user_authentication(values.iter(), None)),
            },
            LoginRequirement::MaxAge(age) => {
                match Self::is_recent(caller, *age, self.clock.now()) {
                    true => Ok(()),
                    false => Err(Denial::insufficient_user_authentication([""; 0], Some(*age))),
                }
            }
        })
    }

    fn requirements(&self, _: &Parts) -> Requirements {
        match &self.requirement {
            LoginRequirement::Acr(values) => Requirements::login(values.iter(), None),
            LoginRequirement::MaxAge(age) => Requirements::login([""; 0], Some(*age)),
        }
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.requirement {
            LoginRequirement::Acr(values) => {
                f.write_str(if values.len() == 1 { "acr " } else { "any of the acr " })?;
                write_list(&**values, f)
            }
            LoginRequirement::MaxAge(age) => write!(f, "login at most {} s ago", age.as_secs()),
        }
    }
}

policy_layer!(RequireAuthentication);

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::header::Scheme;

    fn allowed(policy: &RequireAuthentication, claims: &Value) -> bool {
        let caller = Principal::builder("alice", Scheme::BEARER).claims(claims).unwrap().build();
        let decision = policy.evaluate(&caller, &http::Request::new(()).into_parts().0);
        decision.into_ready().unwrap().is_ok()
    }

    #[test]
    fn max_age_below_a_second_is_an_error() {
        for age in [Duration::ZERO, Duration::from_millis(999)] {
            let error = RequireAuthentication::try_max_age(age).err().unwrap().to_string();
            assert!(error.contains("below 1 s"), "{error}");
        }
        assert!(RequireAuthentication::try_max_age(Duration::from_secs(1)).is_ok());
    }

    #[test]
    fn login_older_than_max_age_is_rejected() {
        let clock = || UNIX_EPOCH + Duration::from_millis(1_000_900);
        let policy = RequireAuthentication::max_age(Duration::from_secs(10)).clock(clock);
        for recent in [json!(990), json!(1_000), json!(990.5), json!(1_060)] {
            assert!(allowed(&policy, &json!({ "auth_time": recent })), "{recent}");
        }
        for invalid in [
            json!(989),
            json!(0),
            json!(1_062),
            json!(-1),
            json!(1e300),
            json!("1000"),
            json!(null),
        ] {
            assert!(!allowed(&policy, &json!({ "auth_time": invalid })), "{invalid}");
        }
        assert!(!allowed(&policy, &json!({})));
    }

    #[test]
    fn acr_must_equal_one_of_the_values() {
        let policy = RequireAuthentication::acr(["gold", "silver"]);
        assert!(allowed(&policy, &json!({ "acr": "silver" })));
        for invalid in [json!("Gold"), json!("gold silver"), json!(["gold"]), json!(null), json!(1)]
        {
            assert!(!allowed(&policy, &json!({ "acr": invalid })), "{invalid}");
        }
        assert!(RequireAuthentication::try_acr([""; 0]).is_err());
        assert!(RequireAuthentication::try_acr(["a b"]).is_err());
        assert!(RequireAuthentication::try_acr(["a\"b"]).is_err());
    }
}
