use std::fmt;

use aws_lc_rs::hmac;

/// A key that authenticates refresh tokens.
pub(crate) struct MacKey {
    pub(crate) id: Box<str>,
    key: hmac::Key,
}

impl MacKey {
    pub(crate) fn new(id: impl Into<Box<str>>, secret: &[u8; 32]) -> Self {
        Self { id: id.into(), key: hmac::Key::new(hmac::HMAC_SHA256, secret) }
    }

    /// Returns the MAC of the fields, each prefixed with its length.
    pub(crate) fn sign(&self, fields: &[&[u8]]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        for field in fields {
            context.update(&(field.len() as u64).to_be_bytes());
            context.update(field);
        }
        let mut mac = [0; 32];
        mac.copy_from_slice(context.sign().as_ref());
        mac
    }

    /// Compares in constant time.
    pub(crate) fn verify(&self, fields: &[&[u8]], mac: &[u8; 32]) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(&self.sign(fields), mac).is_ok()
    }
}

/// Hides the key.
impl fmt::Debug for MacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MacKey").field("id", &self.id).finish_non_exhaustive()
    }
}
