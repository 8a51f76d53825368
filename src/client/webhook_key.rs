//! The private keys of senders (`v1a` of Standard Webhooks).

use std::{fmt, sync::Arc};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, STANDARD_PAD_INDIFFERENT},
};
use zeroize::Zeroizing;

use crate::config_error::ConfigError;

/// An Ed25519 key pair.
#[derive(Clone)]
pub(super) struct PrivateKey(Arc<Ed25519KeyPair>);

pub(super) const PREFIX: &str = "whsk_";

/// The bytes of the private key. The public key has as many.
const LENGTH: usize = 32;

impl PrivateKey {
    /// Parses `whsk_` and base64.
    pub(super) fn parse(text: &str) -> Result<Self, ConfigError> {
        // The errors of the decoder contain bytes of the text.
        let invalid = || {
            ConfigError::key(
                "a private key of Standard Webhooks must be `whsk_` and base64 of 32 bytes, or of \
                 64 bytes that end with the public key: create one with \
                 `echo whsk_$(openssl rand -base64 32)`",
            )
        };
        let text = text.strip_prefix(PREFIX).ok_or_else(invalid)?;
        let bytes = STANDARD_PAD_INDIFFERENT.decode(text).map_err(|_| invalid())?;
        let bytes = Zeroizing::new(bytes);
        let pair = match bytes.split_at_checked(LENGTH).ok_or_else(invalid)? {
            (seed, []) => Ed25519KeyPair::from_seed_unchecked(seed),
            (seed, public) => Ed25519KeyPair::from_seed_and_public_key(seed, public),
        };
        Ok(Self(Arc::new(pair.map_err(|_| invalid())?)))
    }

    /// Returns `whpk_` and base64.
    pub(super) fn public_key(&self) -> String {
        format!("whpk_{}", STANDARD.encode(self.0.public_key()))
    }

    /// Returns an entry of the signature header.
    pub(super) fn sign(&self, content: &[u8]) -> Option<String> {
        let signature = self.0.try_sign(content).ok()?;
        Some(format!("v1a,{}", STANDARD.encode(signature)))
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey")
    }
}
