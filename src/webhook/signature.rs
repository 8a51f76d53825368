//! The signatures in the header of a webhook.

use super::encoding::SignatureEncoding;

/// How the signature header is written.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Syntax {
    /// `v1,<base64> v1a,<base64>`: a list of Standard Webhooks. Only this one has Ed25519.
    Standard,
    /// `t=<timestamp>,v1=<hex>,v1=<hex>`: a list of Stripe.
    Stripe,
    /// One signature after a prefix.
    Single { prefix: Box<str>, encoding: SignatureEncoding },
}

/// An HMAC-SHA-256.
pub(crate) type Mac = [u8; 32];

/// What the signature header has. Each list may be empty.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Signatures<'a> {
    pub(crate) macs: Vec<Mac>,
    pub(crate) ed25519: Vec<[u8; 64]>,
    /// The timestamp, if the signature header has it.
    pub(crate) timestamp: Option<&'a str>,
}

/// Why the signature header cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SyntaxError {
    Empty,
    TooMany,
    Timestamps,
}

/// A sender has as many as it has secrets, during a rotation.
const MAX_SIGNATURES: usize = 16;

/// Each is verified with each public key, over the whole body.
const MAX_ED25519: usize = 4;

impl Syntax {
    /// Reads the signatures. Those of unknown kinds and those that cannot be decoded are ignored.
    pub(crate) fn read<'a>(&self, header: &'a str) -> Result<Signatures<'a>, SyntaxError> {
        let header = header.trim_matches([' ', '\t']);
        if header.is_empty() {
            return Err(SyntaxError::Empty);
        }
        match self {
            Self::Standard => read_standard(header),
            Self::Stripe => read_stripe(header),
            Self::Single { prefix, encoding } => {
                let mac = header.strip_prefix(&**prefix).and_then(|text| encoding.decode(text));
                Ok(Signatures { macs: mac.into_iter().collect(), ..Signatures::default() })
            }
        }
    }

    /// Returns the header value for these MACs. If it has only one, the first one is used.
    #[cfg(any(test, feature = "client"))]
    pub(crate) fn write<M: AsRef<[u8]>>(&self, timestamp: &str, macs: &[M]) -> String {
        let hex = SignatureEncoding::Hex;
        let base64 = SignatureEncoding::Base64;
        let macs = macs.iter().map(AsRef::as_ref);
        match self {
            Self::Standard => {
                let macs = macs.map(|mac| format!("v1,{}", base64.encode(mac)));
                macs.collect::<Vec<_>>().join(" ")
            }
            Self::Stripe => {
                let macs = macs.map(|mac| format!(",v1={}", hex.encode(mac)));
                format!("t={timestamp}{}", macs.collect::<String>())
            }
            Self::Single { prefix, encoding } => {
                let mac = macs.take(1).map(|mac| encoding.encode(mac));
                format!("{prefix}{}", mac.collect::<String>())
            }
        }
    }
}

fn read_standard(header: &str) -> Result<Signatures<'_>, SyntaxError> {
    let mut signatures = Signatures::default();
    for (index, entry) in header.split(' ').enumerate() {
        if index >= MAX_SIGNATURES {
            return Err(SyntaxError::TooMany);
        }
        match entry.split_once(',') {
            Some(("v1", text)) => signatures.macs.extend(SignatureEncoding::Base64.decode(text)),
            Some(("v1a", text)) => {
                signatures.ed25519.extend(SignatureEncoding::Base64.decode(text));
            }
            _ => {}
        }
    }
    if signatures.ed25519.len() > MAX_ED25519 {
        return Err(SyntaxError::TooMany);
    }
    Ok(signatures)
}

fn read_stripe(header: &str) -> Result<Signatures<'_>, SyntaxError> {
    let mut signatures = Signatures::default();
    // One more for the timestamp.
    for (index, entry) in header.split(',').enumerate() {
        if index > MAX_SIGNATURES {
            return Err(SyntaxError::TooMany);
        }
        match entry.trim_matches([' ', '\t']).split_once('=') {
            Some(("t", text)) => {
                let other = signatures.timestamp.replace(text);
                if other.is_some() {
                    return Err(SyntaxError::Timestamps);
                }
            }
            Some(("v1", text)) => signatures.macs.extend(SignatureEncoding::Hex.decode(text)),
            _ => {}
        }
    }
    match signatures.timestamp {
        Some(_) => Ok(signatures),
        None => Err(SyntaxError::Timestamps),
    }
}
