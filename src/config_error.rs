use std::{borrow::Cow, error::Error, fmt};

/// A fault in the configuration of an authenticator, a policy or a challenge.
///
/// Constructors and builders return it. It never occurs while a request is processed. The message
/// describes the fault and how to fix it.
///
/// ```
/// use tower_auth::Challenge;
///
/// let error = Challenge::basic("two\nlines").unwrap_err();
/// assert!(error.to_string().contains("realm"));
/// ```
#[derive(Clone, Debug)]
pub struct ConfigError(Cow<'static, str>);

impl ConfigError {
    /// Creates an error for a custom authenticator or policy.
    ///
    /// The message should describe the fault and how to fix it.
    pub fn new(message: impl Into<Cow<'static, str>>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for ConfigError {}
