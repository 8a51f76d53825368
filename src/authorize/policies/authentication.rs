use std::{
    fmt,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use http::request::Parts;
use serde_json::Value;

use crate::{
    authorize::{
        denial::Denial,
        describe::{policy_layer, write_list},
        policy::Policy,
        requirements::Requirements,
    },
    clock::{Clock, SystemClock},
    config_error::ConfigError,
    header::grammar::is_scope_token,
    principal::Principal,
};

/// Asks how and when the caller logged in, and for another login where that does not do (RFC 9470).
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
/// A refusal is a 401 with the error `insufficient_user_authentication`, and with `acr_values`, `max_age` and
/// the scopes of all policies that it is put together with, so that a client can ask for all of that at
/// once. Whoever used another scheme than Bearer gets a plain 403: no token could help.
#[derive(Clone)]
#[must_use]
pub struct RequireAuthentication {
    needs: Needs,
    clock: Arc<dyn Clock>,
}

#[derive(Clone)]
enum Needs {
    Acr(Arc<[Box<str>]>),
    MaxAge(Duration),
}

impl RequireAuthentication {
    /// How far the issuer's clock may be ahead of ours.
    const LEEWAY_S: f64 = 60.0;

    /// The `acr` of the token has to be one of these, the most wanted first.
    ///
    /// # Panics
    ///
    /// If there is none, or if one cannot be written in a list between spaces.
    /// [`try_acr`](Self::try_acr) gives the error instead.
    #[track_caller]
    #[allow(clippy::panic)] // a configuration fault, found at startup, like a bad path in a router
    pub fn acr<I>(values: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<Box<str>>,
    {
        Self::try_acr(values).unwrap_or_else(|error| panic!("{error}"))
    }

    /// [`acr`](Self::acr), for values that are read from somewhere.
    ///
    /// # Errors
    ///
    /// If there is none, or if one cannot be written in a list between spaces.
    pub fn try_acr<I>(values: I) -> Result<Self, ConfigError>
    where
        I: IntoIterator,
        I::Item: Into<Box<str>>,
    {
        let values: Arc<[Box<str>]> = values.into_iter().map(Into::into).collect();
        if values.is_empty() || !values.iter().all(|value| is_scope_token(value)) {
            return Err(ConfigError::new(
                "no acr is required, or one with a space, a quote or what is not ASCII: name each apart",
            ));
        }
        Ok(Self { needs: Needs::Acr(values), clock: Arc::new(SystemClock) })
    }

    /// The login, the `auth_time` of the token, may not be longer ago than this, in whole seconds. There is no
    /// leeway; an issuer's clock that is ahead by up to a minute does no harm.
    pub fn max_age(age: Duration) -> Self {
        let age = Duration::from_secs(age.as_secs());
        Self { needs: Needs::MaxAge(age), clock: Arc::new(SystemClock) }
    }

    /// Reads the time from here: see [`clock`](crate::clock).
    pub fn clock(self, clock: impl Clock) -> Self {
        Self { clock: Arc::new(clock), ..self }
    }

    fn is_young(&self, auth_time: f64, age: Duration) -> bool {
        let Ok(now) = self.clock.now().duration_since(UNIX_EPOCH) else { return false };
        let passed = now.as_secs_f64() - auth_time;
        // Whatever is no number compares as false.
        passed >= -Self::LEEWAY_S && passed.floor() <= age.as_secs_f64()
    }
}

impl Policy for RequireAuthentication {
    fn evaluate(&self, principal: &Principal, _: &Parts) -> Result<(), Denial> {
        // How and when the user logged in (RFC 9068 §2.2.1).
        let claims = principal.claims::<Value>().unwrap_or_default();
        match &self.needs {
            Needs::Acr(values) => {
                let acr = claims.get("acr").and_then(Value::as_str);
                if acr.is_some_and(|acr| values.iter().any(|value| **value == *acr)) {
                    return Ok(());
                }
                Err(Denial::insufficient_user_authentication(values.iter().cloned(), None))
            }
            Needs::MaxAge(age) => {
                let auth_time = claims.get("auth_time").and_then(Value::as_f64);
                if auth_time.is_some_and(|time| self.is_young(time, *age)) {
                    return Ok(());
                }
                Err(Denial::insufficient_user_authentication([""; 0], Some(*age)))
            }
        }
    }

    fn requirements(&self, _: &Parts) -> Requirements {
        match &self.needs {
            Needs::Acr(values) => Requirements::login(values.iter().cloned(), None),
            Needs::MaxAge(age) => Requirements::login([""; 0], Some(*age)),
        }
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.needs {
            Needs::Acr(values) => {
                f.write_str(if values.len() == 1 { "acr " } else { "any of the acr " })?;
                write_list(&**values, f)
            }
            Needs::MaxAge(age) => write!(f, "login at most {} s ago", age.as_secs()),
        }
    }
}

policy_layer!(RequireAuthentication);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::header::Scheme;

    fn allowed(policy: &RequireAuthentication, claims: &Value) -> bool {
        let caller = Principal::builder("alice", Scheme::BEARER).claims(claims).unwrap().build();
        policy.evaluate(&caller, &http::Request::new(()).into_parts().0).is_ok()
    }

    #[test]
    fn a_login_grows_old() {
        let clock = || UNIX_EPOCH + Duration::from_millis(1_000_900);
        let policy = RequireAuthentication::max_age(Duration::from_secs(10)).clock(clock);
        for young in [json!(990), json!(1_000), json!(990.5), json!(1_060)] {
            assert!(allowed(&policy, &json!({ "auth_time": young })), "{young}");
        }
        for odd in [
            json!(989),
            json!(0),
            json!(1_062),
            json!(-1),
            json!(1e300),
            json!("1000"),
            json!(null),
        ] {
            assert!(!allowed(&policy, &json!({ "auth_time": odd })), "{odd}");
        }
        assert!(!allowed(&policy, &json!({})));
    }

    #[test]
    fn an_acr_is_one_of_those_that_are_listed() {
        let policy = RequireAuthentication::acr(["gold", "silver"]);
        assert!(allowed(&policy, &json!({ "acr": "silver" })));
        for odd in [json!("Gold"), json!("gold silver"), json!(["gold"]), json!(null), json!(1)] {
            assert!(!allowed(&policy, &json!({ "acr": odd })), "{odd}");
        }
        assert!(RequireAuthentication::try_acr([""; 0]).is_err());
        assert!(RequireAuthentication::try_acr(["a b"]).is_err());
        assert!(RequireAuthentication::try_acr(["a\"b"]).is_err());
    }
}
