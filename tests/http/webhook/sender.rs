//! Signs webhooks as the documentation of the senders says, without the crate.

use aws_lc_rs::{
    hmac,
    signature::{Ed25519KeyPair, KeyPair as _},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};

/// The headers and the body of a webhook.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Message {
    pub(super) fn new(headers: &[(&str, &str)], body: &[u8]) -> Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self { headers: headers.iter().map(owned).collect(), body: body.to_vec() }
    }

    /// Standard Webhooks, with one signature for each secret.
    pub(super) fn standard_of(
        id: &str,
        timestamp: impl ToString,
        body: &[u8],
        secrets: &[&str],
    ) -> Self {
        let timestamp = timestamp.to_string();
        let signed = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat();
        let sign = |secret: &&str| {
            let key = BASE64_STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
            format!("v1,{}", BASE64_STANDARD.encode(mac(&key, &signed)))
        };
        let signature = secrets.iter().map(sign).collect::<Vec<_>>().join(" ");
        Self::new(
            &[
                ("webhook-id", id),
                ("webhook-timestamp", &timestamp),
                ("webhook-signature", &signature),
            ],
            body,
        )
    }

    pub(super) fn standard(id: &str, timestamp: impl ToString, body: &[u8], secret: &str) -> Self {
        Self::standard_of(id, timestamp, body, &[secret])
    }

    pub(super) fn github(body: &[u8], secret: &str) -> Self {
        let signature = format!("sha256={}", hex(&mac(secret.as_bytes(), body)));
        Self::new(&[("x-hub-signature-256", &signature)], body)
    }

    pub(super) fn stripe(timestamp: impl ToString, body: &[u8], secret: &str) -> Self {
        let timestamp = timestamp.to_string();
        let signed = [timestamp.as_bytes(), b".", body].concat();
        let signature = format!("t={timestamp},v1={}", hex(&mac(secret.as_bytes(), &signed)));
        Self::new(&[("stripe-signature", &signature)], body)
    }

    pub(super) fn header(&self, name: &str) -> &str {
        &self.headers.iter().find(|(other, _)| other == name).unwrap().1
    }

    /// Replaces a header.
    pub(super) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self = self.without(name);
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Adds a header line.
    pub(super) fn and(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(super) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(other, _)| other != name);
        self
    }

    pub(super) fn with_body(self, body: &[u8]) -> Self {
        Self { body: body.to_vec(), ..self }
    }
}

pub(super) fn mac(key: &[u8], signed: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), signed).as_ref().to_vec()
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A sender with a private key.
pub(super) struct Ed25519Sender(Ed25519KeyPair);

impl Ed25519Sender {
    pub(super) fn new(seed: u8) -> Self {
        Self(Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap())
    }

    pub(super) fn public_key(&self) -> String {
        format!("whpk_{}", BASE64_STANDARD.encode(self.0.public_key()))
    }

    pub(super) fn sign(&self, id: &str, timestamp: u64, body: &[u8]) -> Message {
        let timestamp = timestamp.to_string();
        let signed = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat();
        let signature = format!("v1a,{}", BASE64_STANDARD.encode(self.0.sign(&signed)));
        Message::new(
            &[
                ("webhook-id", id),
                ("webhook-timestamp", &timestamp),
                ("webhook-signature", &signature),
            ],
            body,
        )
    }
}
