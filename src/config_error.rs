use std::{borrow::Cow, error::Error, fmt};

/// A fault in how an authenticator, a policy or a challenge was put together.
///
/// It is found while building, never while serving. Its message names the fault and the way out.
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
    /// A fault with a message that names the way out; for authenticators and policies of your own.
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
