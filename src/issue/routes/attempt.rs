use std::{fmt, net::IpAddr};

use super::parameters::Parameters;
use crate::principal::Principal;

/// A login whose password is right, for the check of a
/// [second factor](super::TokenRoutesBuilder::second_factor).
///
/// ```
/// use tower_auth::issue::{AuthenticationInfo, LoginAttempt, SecondFactor};
///
/// async fn check_code(attempt: LoginAttempt) -> SecondFactor {
///     # async fn is_right(user: &str, code: &str) -> bool { true }
///     match attempt.get("otp") {
///         None => SecondFactor::required("otp"),
///         Some(code) if is_right(attempt.user().subject(), code).await => {
///             SecondFactor::Accepted(AuthenticationInfo::new().amr(["pwd", "otp"]))
///         }
///         Some(_) => SecondFactor::Rejected,
///     }
/// }
/// ```
pub struct LoginAttempt {
    pub(super) user: Principal,
    pub(super) parameters: Parameters,
    pub(super) client_id: Option<String>,
    pub(super) client_address: Option<IpAddr>,
}

impl LoginAttempt {
    /// Returns the user, as the verifier of passwords has returned it.
    #[must_use]
    pub fn user(&self) -> &Principal {
        &self.user
    }

    /// Returns a further parameter of the request, such as `otp`.
    ///
    /// In JSON, only strings are parameters: a number would lose leading zeros. A parameter without
    /// a value counts as omitted. The user name, the password, `client_id` and `scope` are not
    /// included.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.parameters.get(name)
    }

    /// Returns the `client_id` of the request. The client is not authenticated.
    #[must_use]
    pub fn client_id(&self) -> Option<&str> {
        self.client_id.as_deref()
    }

    /// Returns the address of the client, if it is known. See
    /// [`TokenRoutesBuilder::forwarded`](super::TokenRoutesBuilder::forwarded).
    #[must_use]
    pub fn client_address(&self) -> Option<IpAddr> {
        self.client_address
    }
}

/// Hides the parameters.
impl fmt::Debug for LoginAttempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginAttempt")
            .field("user", &self.user)
            .field("client_id", &self.client_id)
            .field("client_address", &self.client_address)
            .finish_non_exhaustive()
    }
}
