use std::{error::Error, future::Future, sync::Arc, time::SystemTime};

use super::attempt::LoginAttempt;
use crate::{
    issue::{error::Unavailable, grant::Grant},
    later::BoxFuture,
    one_or_many::OneOrMany,
};

/// The result of the check of a [second factor](super::TokenRoutesBuilder::second_factor).
///
/// See [`LoginAttempt`] for an example.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SecondFactor {
    /// The user is logged in in this way, also if the user needs no second factor.
    Accepted(AuthenticationInfo),
    /// The request has no second factor, and the user needs one of these methods. The client gets
    /// 401 `{"error":"second_factor_required","methods":[..]}`, and sends the login again, with the
    /// password and the second factor.
    ///
    /// # Security
    ///
    /// This response reveals that the password is right. It does not count as a failed login.
    Required(Vec<String>),
    /// The second factor is wrong. The client gets the response for a wrong password, and the
    /// [`Throttle`](crate::throttle::Throttle) counts it as one.
    Rejected,
    /// The second factor cannot be checked now: 503, which does not count as a failed login.
    Unavailable(Unavailable),
}

impl SecondFactor {
    /// Requires one of these methods, such as `otp`. The names are those that the page expects.
    ///
    /// ```
    /// use tower_auth::issue::SecondFactor;
    ///
    /// let result = SecondFactor::required(["otp", "recovery_code"]);
    /// assert!(matches!(result, SecondFactor::Required(methods) if methods.len() == 2));
    /// ```
    #[must_use]
    pub fn required<K>(methods: impl OneOrMany<str, K>) -> Self {
        Self::Required(methods.values().map(|method| method.as_ref().to_owned()).collect())
    }

    /// Reports an outage. The reason is for the operator. It must not contain a secret.
    ///
    /// ```
    /// use tower_auth::issue::SecondFactor;
    ///
    /// let result = SecondFactor::unavailable("the service for one-time codes does not answer");
    /// assert!(matches!(result, SecondFactor::Unavailable(_)));
    /// ```
    #[must_use]
    pub fn unavailable(reason: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Unavailable(Unavailable::new(reason))
    }
}

/// How and when a user has logged in: the authentication information of an access token (RFC 9068
/// §2.2.1), which [`RequireAuthentication`](crate::RequireAuthentication) reads.
///
/// ```
/// use tower_auth::issue::AuthenticationInfo;
///
/// let login = AuthenticationInfo::new().amr(["pwd", "otp"]).acr("urn:example:two-factor");
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct AuthenticationInfo {
    amr: Option<Vec<String>>,
    acr: Option<String>,
    auth_time: Option<SystemTime>,
}

impl AuthenticationInfo {
    /// Describes a login with a password only, now.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the methods (`amr`, RFC 8176). The default is `pwd`.
    pub fn amr<K>(mut self, methods: impl OneOrMany<str, K>) -> Self {
        self.amr = Some(methods.values().map(|method| method.as_ref().to_owned()).collect());
        self
    }

    /// Sets the class (`acr`). The default is none.
    pub fn acr(mut self, acr: impl Into<String>) -> Self {
        self.acr = Some(acr.into());
        self
    }

    /// Sets when the user logged in (`auth_time`). The default is now.
    ///
    /// This is for a login that is not new, for example because the second factor was checked at an
    /// earlier time.
    pub fn auth_time(mut self, time: SystemTime) -> Self {
        self.auth_time = Some(time);
        self
    }

    pub(super) fn apply_to(self, grant: Grant) -> Grant {
        let mut grant = match self.amr {
            Some(methods) => grant.amr(methods),
            None => grant.amr("pwd"),
        };
        if let Some(acr) = self.acr {
            grant = grant.acr(acr);
        }
        match self.auth_time {
            Some(time) => grant.auth_time(time),
            None => grant,
        }
    }
}

pub(super) type SecondFactorFn =
    Arc<dyn Fn(LoginAttempt) -> BoxFuture<'static, SecondFactor> + Send + Sync>;

/// Boxes the check of a second factor.
pub(super) fn second_factor_fn<F, Q>(check: F) -> SecondFactorFn
where
    F: Fn(LoginAttempt) -> Q + Send + Sync + 'static,
    Q: Future<Output = SecondFactor> + Send + 'static,
{
    Arc::new(move |attempt| Box::pin(check(attempt)))
}
