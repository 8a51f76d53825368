//! The keys with which a receiver verifies webhooks.

use aws_lc_rs::constant_time::verify_slices_are_equal;

use super::{public_key::PublicKey, secret::Secret, signature::Signatures};

/// The secrets and public keys of one sender. Several of them are for rotation.
#[derive(Debug)]
pub(crate) struct Keys {
    pub(crate) secrets: Vec<Secret>,
    pub(crate) public_keys: Vec<PublicKey>,
}

impl Keys {
    /// Returns whether one of the signatures is valid for one of the keys.
    pub(crate) fn verify(
        &self,
        signatures: &Signatures<'_>,
        before_body: &[u8],
        body: &[u8],
    ) -> bool {
        self.verify_macs(signatures, before_body, body)
            || self.verify_ed25519(signatures, before_body, body)
    }

    fn verify_macs(&self, signatures: &Signatures<'_>, before_body: &[u8], body: &[u8]) -> bool {
        !signatures.macs.is_empty()
            && self.secrets.iter().any(|secret| {
                let mac = secret.mac(before_body, body);
                signatures.macs.iter().any(|sent| verify_slices_are_equal(sent, &mac).is_ok())
            })
    }

    fn verify_ed25519(&self, signatures: &Signatures<'_>, before_body: &[u8], body: &[u8]) -> bool {
        if signatures.ed25519.is_empty() || self.public_keys.is_empty() {
            return false;
        }
        // The verifier needs the content in one piece.
        let content = [before_body, body].concat();
        self.public_keys
            .iter()
            .any(|key| signatures.ed25519.iter().any(|sent| key.verify(&content, sent)))
    }
}
