//! The secrets that a sender shares with its receivers.

use std::fmt;

use aws_lc_rs::hmac;
use base64::{
    Engine as _,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use zeroize::Zeroizing;

use super::signature::Mac;
use crate::config_error::ConfigError;

/// How the text of a secret becomes the key of the HMAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SecretForm {
    /// The bytes of the text.
    Text,
    /// The text after `whsec_` is base64.
    Standard,
}

/// A secret, as the key of an HMAC-SHA-256.
#[derive(Clone)]
pub(crate) struct Secret(hmac::Key);

const PREFIX: &str = "whsec_";

/// The lengths that Standard Webhooks allows, in bytes.
const STANDARD_LENGTHS: std::ops::RangeInclusive<usize> = 24..=64;

/// Shorter secrets can be guessed from one request.
const MIN_TEXT: usize = 16;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl SecretForm {
    pub(crate) fn parse(self, text: &str) -> Result<Secret, ConfigError> {
        if ["whpk_", "whsk_"].iter().any(|prefix| text.starts_with(prefix)) {
            return Err(ConfigError::key(
                "a secret is a key of a key pair: a receiver needs the public key (whpk_), see \
                 public_key",
            ));
        }
        if text.trim() != text {
            return Err(ConfigError::key(
                "a secret has white space at its start or end, such as the line break of a file: \
                 remove it",
            ));
        }
        let key = match self {
            Self::Text if text.len() < MIN_TEXT => {
                return Err(ConfigError::key(format!(
                    "a secret has less than {MIN_TEXT} bytes: create a longer one, for example \
                     with `openssl rand -hex 32`"
                )));
            }
            Self::Text => Zeroizing::new(text.as_bytes().to_vec()),
            Self::Standard => decode(text)?,
        };
        Ok(Secret(hmac::Key::new(hmac::HMAC_SHA256, &key)))
    }
}

fn decode(text: &str) -> Result<Zeroizing<Vec<u8>>, ConfigError> {
    let text = text.strip_prefix(PREFIX).unwrap_or(text);
    let key = BASE64.decode(text).map(Zeroizing::new).map_err(|_| {
        ConfigError::key("a secret of Standard Webhooks must be base64, normally after `whsec_`")
    })?;
    if !STANDARD_LENGTHS.contains(&key.len()) {
        return Err(ConfigError::key(
            "a secret of Standard Webhooks must have from 24 to 64 bytes, in base64",
        ));
    }
    Ok(key)
}

impl Secret {
    /// Returns the MAC of the content, which is in two parts so that the body is not copied.
    pub(crate) fn mac(&self, before_body: &[u8], body: &[u8]) -> Mac {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(before_body);
        context.update(body);
        let tag = context.sign();
        let mut mac = Mac::default();
        for (byte, signed) in mac.iter_mut().zip(tag.as_ref()) {
            *byte = *signed;
        }
        mac
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}
