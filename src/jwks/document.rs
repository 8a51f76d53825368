//! How a document is read as keys.

use crate::{config_error::ConfigError, jwt::keys::keys::Keys};

/// The form of a document with keys, and which of its keys are used.
#[derive(Clone, Debug, Default)]
pub(crate) struct DocumentRules {
    /// Whether the document maps each `kid` to a PEM text. Otherwise, it is a JWK set.
    pub(crate) is_pem_map: bool,
    /// The values of `use` that are accepted besides `sig`.
    pub(crate) allowed_uses: Vec<Box<str>>,
    /// Whether the document may contain HMAC secrets. Published documents must not.
    pub(crate) accepts_secrets: bool,
}

impl DocumentRules {
    pub(crate) fn parse(&self, document: &[u8]) -> Result<Keys, ConfigError> {
        // These errors name the setting, and no function: users of a program see them in its log.
        let (keys, rule) = match self.is_pem_map {
            true => (
                Keys::from_pem_map(document),
                "not a JSON object that maps each kid to a PEM text: for a JWK set, remove pem_map",
            ),
            false => (
                Keys::from_json(document),
                "not a JWK set: expected a JSON object with an array \"keys\"; for an object that \
                 maps each kid to a PEM text, set pem_map",
            ),
        };
        let keys = keys.map_err(|_| ConfigError::key(rule))?;
        let keys = self.allowed_uses.iter().fold(keys, |keys, name| keys.allow_use(name));
        Ok(if self.accepts_secrets { keys } else { keys.without_secrets() })
    }
}
