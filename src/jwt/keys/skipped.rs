use std::{borrow::Cow, fmt};

/// A member of a key set that is not used, and the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkippedKey {
    pub(crate) id: Option<Box<str>>,
    pub(crate) reason: Cow<'static, str>,
}

impl SkippedKey {
    /// Returns the `kid` of the key, if it has one.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Returns the reason why the key is not used.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl fmt::Display for SkippedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.id {
            Some(id) => write!(f, "key {id:?}: {}", self.reason),
            None => write!(f, "key without kid: {}", self.reason),
        }
    }
}
