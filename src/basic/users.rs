use std::{collections::HashMap, fmt, future::ready, sync::Arc};

use subtle::{Choice, ConstantTimeEq as _};
use zeroize::Zeroizing;

use super::{
    credentials::BasicCredentials,
    verifier::{PasswordVerifier, Verdict},
};
use crate::{config_error::ConfigError, header::Scheme, principal::Principal};

/// A fixed set of users with their passwords, for a handful of technical users.
///
/// ```
/// use tower_auth::{Principal, Scheme, basic::Users};
///
/// let users = Users::new([("alice", "correct horse"), ("bob", "battery staple")])?
///     .with(Principal::builder("ci", Scheme::BASIC).scopes(["deploy"]).build(), "s3cret")?;
/// # Ok::<(), tower_auth::ConfigError>(())
/// ```
///
/// A user is found as fast among a million as among ten, and takes some 470 bytes.
///
/// # Security
///
/// Passwords are kept in memory as they are. They are compared in constant time, and an unknown user
/// costs the same comparison as a known one. User-ids and passwords are compared byte for byte, with
/// no Unicode normalisation. An empty password is a password: see to it that none is empty by mistake.
#[derive(Clone)]
pub struct Users {
    by_id: HashMap<Box<str>, User>,
    /// What an unknown user's password is compared with.
    nobodys: Password,
}

#[derive(Clone)]
struct User {
    principal: Principal,
    password: Password,
}

impl Users {
    /// Users by user-id and password.
    ///
    /// # Errors
    ///
    /// If a user-id holds a colon or either part a control character, which no client could send, or if a
    /// user-id is there twice.
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

    /// Adds a user who is more than a name, such as one with scopes. The principal's subject is the
    /// user-id.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new), and if the principal's scheme is not Basic.
    pub fn with(
        mut self,
        principal: Principal,
        password: impl AsRef<str>,
    ) -> Result<Self, ConfigError> {
        let (user_id, password) = (principal.subject(), password.as_ref());
        check_user(&principal)?;
        if password.chars().any(char::is_control) {
            return Err(ConfigError::new(format!(
                "user {user_id:?}: take the control characters out of the password"
            )));
        }
        if self.by_id.contains_key(user_id) {
            return Err(ConfigError::new(format!("user {user_id:?} is there twice: name it once")));
        }
        let (user_id, password) = (user_id.into(), Password::new(password));
        self.by_id.insert(user_id, User { principal, password });
        Ok(self)
    }

    fn check(&self, sent: &BasicCredentials) -> Verdict {
        let user = self.by_id.get(sent.user_id());
        let password = user.map_or(&self.nobodys, |user| &user.password);
        let right = password.is(sent.password());
        match user {
            Some(user) if right.into() => Verdict::Verified(user.principal.clone()),
            _ => Verdict::Invalid,
        }
    }
}

/// Nobody yet.
impl Default for Users {
    fn default() -> Self {
        Self { by_id: HashMap::new(), nobodys: Password::new("") }
    }
}

impl PasswordVerifier for Users {
    fn verify(&self, sent: BasicCredentials) -> impl Future<Output = Verdict> + Send {
        ready(self.check(&sent))
    }

    fn verify_now(&self, sent: &BasicCredentials) -> Option<Verdict> {
        Some(self.check(sent))
    }
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_id.keys()).finish()
    }
}

/// Whether this is somebody whom a client could name.
pub(crate) fn check_user(principal: &Principal) -> Result<(), ConfigError> {
    let user_id = principal.subject();
    if user_id.contains(':') {
        return Err(ConfigError::new(format!(
            "user {user_id:?}: a user-id of HTTP Basic holds no colon (RFC 7617 §2)"
        )));
    }
    if user_id.chars().any(char::is_control) {
        return Err(ConfigError::new(format!(
            "user {user_id:?}: take the control characters out of the user-id"
        )));
    }
    if principal.scheme() != Scheme::BASIC {
        return Err(ConfigError::new(format!(
            "user {user_id:?}: the principal's scheme is not Basic: build it with Scheme::BASIC"
        )));
    }
    Ok(())
}

/// A password that is compared in a time which depends on what was sent, and not on what it is.
#[derive(Clone)]
struct Password {
    /// Filled up with zeros, so that how much is read does not tell its length.
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

    fn is(&self, sent: &str) -> Choice {
        let same_length = self.length.ct_eq(&(sent.len() as u64));
        sent.bytes().enumerate().fold(same_length, |same, (at, byte)| {
            same & byte.ct_eq(self.padded.get(at).unwrap_or(&0))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_password_is_the_password() {
        let password = Password::new("open sesame");
        assert!(bool::from(password.is("open sesame")));
        for other in ["", "open sesam", "open sesame ", "open sesame\0", "Open sesame"] {
            assert!(!bool::from(password.is(other)), "{other:?}");
        }
        assert!(bool::from(Password::new("").is("")));
        let long = "x".repeat(300);
        assert!(bool::from(Password::new(&long).is(&long)));
        assert!(!bool::from(Password::new(&long).is(&"x".repeat(301))));
    }

    #[test]
    fn nobody_has_no_password() {
        let users = Users::new([("alice", "secret")]).unwrap();
        let sent = BasicCredentials::decode(b"Ym9iOg==").unwrap();
        assert_eq!((sent.user_id(), sent.password()), ("bob", ""));
        assert!(matches!(users.check(&sent), Verdict::Invalid));
    }

    #[test]
    fn what_no_client_could_send_is_found_while_building() {
        assert!(Users::new([("a:b", "x")]).is_err());
        assert!(Users::new([("a", "x\n")]).is_err());
        assert!(Users::new([("a", "x"), ("a", "y")]).is_err());
    }

    #[test]
    fn debug_shows_no_password() {
        let users = Users::new([("alice", "secret")]).unwrap();
        assert_eq!(format!("{users:?}"), r#"{"alice"}"#);
    }
}
