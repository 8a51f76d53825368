use std::{collections::HashMap, fmt, future::ready, sync::Arc};

use subtle::{Choice, ConstantTimeEq as _};
use zeroize::Zeroizing;

use super::{
    credentials::BasicCredentials,
    verifier::{PasswordVerifier, Verdict},
};
use crate::{config_error::ConfigError, header::Scheme, principal::Principal};

/// A fixed set of users with plain-text passwords, for a few technical users.
///
/// ```
/// use tower_auth::{Principal, Scheme, basic::Users};
///
/// let users = Users::new([("alice", "correct horse"), ("bob", "battery staple")])?
///     .with(Principal::builder("ci", Scheme::BASIC).scopes(["deploy"]).build(), "s3cret")?;
/// # Ok::<(), tower_auth::ConfigError>(())
/// ```
///
/// Lookup time does not depend on the number of users. A user takes about 550 bytes.
///
/// # Security
///
/// - Passwords are kept in memory in plain text.
/// - Passwords are compared in constant time. An unknown user costs the same comparison as a known
///   user.
/// - User ids and passwords are compared byte for byte, without Unicode normalization.
/// - An empty password is valid: make sure that no password is empty by mistake.
#[derive(Clone)]
pub struct Users {
    by_id: HashMap<Box<str>, User>,
    /// The passwords that unknown users send are compared with this one.
    decoy: Password,
}

#[derive(Clone)]
struct User {
    principal: Principal,
    password: Password,
}

impl Users {
    /// Creates a set of users from pairs of user id and password.
    ///
    /// # Errors
    ///
    /// - If a user id contains a colon, or a user id or a password contains a control character:
    ///   no client could send them.
    /// - If a user id occurs twice.
    pub fn new<I, N, P>(users: I) -> Result<Self, ConfigError>
    where
        I: IntoIterator<Item = (N, P)>,
        N: Into<Arc<str>>,
        P: AsRef<str>,
    {
        users.into_iter().try_fold(Self::default(), |users, (user_id, password)| {
            users.with(Principal::builder(user_id, Scheme::BASIC).build(), password)
        })
    }

    /// Adds a user with a custom principal, for example one with scopes.
    ///
    /// The subject of the principal is the user id.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new), and if the scheme of the principal is not Basic.
    pub fn with(
        mut self,
        principal: Principal,
        password: impl AsRef<str>,
    ) -> Result<Self, ConfigError> {
        let (user_id, password) = (principal.subject(), password.as_ref());
        check_basic_principal(&principal)?;
        if password.chars().any(char::is_control) {
            return Err(ConfigError::invalid(format!(
                "user {user_id:?}: password must not contain a control character"
            )));
        }
        if self.by_id.contains_key(user_id) {
            return Err(ConfigError::conflict(format!(
                "user {user_id:?} occurs twice: remove one entry"
            )));
        }
        let (user_id, password) = (user_id.into(), Password::new(password));
        self.by_id.insert(user_id, User { principal, password });
        Ok(self)
    }

    fn check_password(&self, credentials: &BasicCredentials) -> Verdict {
        let user = self.by_id.get(credentials.user_id());
        let password = user.map_or(&self.decoy, |user| &user.password);
        let matches = password.matches(credentials.password());
        match user {
            Some(user) if matches.into() => Verdict::Verified(user.principal.clone()),
            _ => Verdict::Invalid,
        }
    }
}

/// Creates an empty set of users.
impl Default for Users {
    fn default() -> Self {
        Self { by_id: HashMap::new(), decoy: Password::new("") }
    }
}

impl PasswordVerifier for Users {
    fn verify(&self, credentials: BasicCredentials) -> impl Future<Output = Verdict> + Send {
        ready(self.check_password(&credentials))
    }

    fn verify_now(&self, credentials: &BasicCredentials) -> Option<Verdict> {
        Some(self.check_password(credentials))
    }
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_id.keys()).finish()
    }
}

/// Checks that clients can send the user id of `principal`, and that its scheme is Basic.
pub(crate) fn check_basic_principal(principal: &Principal) -> Result<(), ConfigError> {
    let user_id = principal.subject();
    if user_id.contains(':') {
        return Err(ConfigError::invalid(format!(
            "user {user_id:?}: user id must not contain a colon (RFC 7617 §2)"
        )));
    }
    if user_id.chars().any(char::is_control) {
        return Err(ConfigError::invalid(format!(
            "user {user_id:?}: user id must not contain a control character"
        )));
    }
    if principal.scheme() != Scheme::BASIC {
        return Err(ConfigError::invalid(format!(
            "user {user_id:?}: the principal must have the scheme Basic: build it with Scheme::BASIC"
        )));
    }
    Ok(())
}

/// A password that is compared in a time that depends only on the length of the sent password.
#[derive(Clone)]
struct Password {
    /// Padded with zeros to whole blocks, so that memory accesses do not reveal the exact length.
    padded: Zeroizing<Vec<u8>>,
    length: u64,
}

impl Password {
    const BLOCK: usize = 128;

    fn new(password: &str) -> Self {
        let mut padded = vec![0; (password.len() + 1).next_multiple_of(Self::BLOCK)];
        padded.iter_mut().zip(password.bytes()).for_each(|(at, byte)| *at = byte);
        Self { padded: Zeroizing::new(padded), length: password.len() as u64 }
    }

    fn matches(&self, sent: &str) -> Choice {
        let same_length = self.length.ct_eq(&(sent.len() as u64));
        sent.bytes().enumerate().fold(same_length, |equal, (at, byte)| {
            equal & byte.ct_eq(self.padded.get(at).unwrap_or(&0))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_password_matches() {
        let password = Password::new("open sesame");
        assert!(bool::from(password.matches("open sesame")));
        for other in ["", "open sesam", "open sesame ", "open sesame\0", "Open sesame"] {
            assert!(!bool::from(password.matches(other)), "{other:?}");
        }
        assert!(bool::from(Password::new("").matches("")));
        let long = "x".repeat(300);
        assert!(bool::from(Password::new(&long).matches(&long)));
        assert!(!bool::from(Password::new(&long).matches(&"x".repeat(301))));
    }

    #[test]
    fn unknown_user_with_an_empty_password_is_invalid() {
        let users = Users::new([("alice", "secret")]).unwrap();
        let sent = BasicCredentials::decode(b"Ym9iOg==").unwrap();
        assert_eq!((sent.user_id(), sent.password()), ("bob", ""));
        assert!(matches!(users.check_password(&sent), Verdict::Invalid));
    }

    #[test]
    fn user_that_no_client_could_send_is_a_config_error() {
        assert!(Users::new([("a:b", "x")]).is_err());
        assert!(Users::new([("a", "x\n")]).is_err());
        assert!(Users::new([("a", "x"), ("a", "y")]).is_err());
    }

    #[test]
    fn debug_omits_passwords() {
        let users = Users::new([("alice", "secret")]).unwrap();
        assert_eq!(format!("{users:?}"), r#"{"alice"}"#);
    }
}
