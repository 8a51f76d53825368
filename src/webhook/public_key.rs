//! The public keys of senders (`v1a` of Standard Webhooks).

use std::fmt;

use aws_lc_rs::signature::{ED25519, ParsedPublicKey};
use base64::{Engine as _, prelude::BASE64_STANDARD};

use crate::{config_error::ConfigError, ed25519_point::check_point};

/// An Ed25519 key.
pub(crate) struct PublicKey(ParsedPublicKey);

impl PublicKey {
    /// Parses `whpk_` and base64.
    pub(crate) fn parse(text: &str) -> Result<Self, ConfigError> {
        let invalid = || {
            ConfigError::key(
                "a public key must be `whpk_` and 32 bytes in base64, as the sender shows it",
            )
        };
        let text = text.strip_prefix("whpk_").ok_or_else(invalid)?;
        let bytes = BASE64_STANDARD.decode(text).map_err(|_| invalid())?;
        let point = <[u8; 32]>::try_from(&*bytes).map_err(|_| invalid())?;
        check_point(point).map_err(ConfigError::key)?;
        ParsedPublicKey::new(&ED25519, bytes).map(Self).map_err(|_| invalid())
    }

    pub(crate) fn verify(&self, content: &[u8], signature: &[u8; 64]) -> bool {
        self.0.verify_sig(content, signature).is_ok()
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublicKey")
    }
}
