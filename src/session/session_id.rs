use std::fmt;

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use crate::random::random_bytes;

/// The secret in the cookie: 128 random bits.
pub(super) struct SessionId(Zeroizing<[u8; 16]>);

/// The name of a session, which is not secret. It is derived from the id, and does not reveal it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct SessionHandle([u8; 16]);

impl SessionId {
    pub(super) fn random() -> Self {
        Self(Zeroizing::new(random_bytes()))
    }

    /// Reads the value of a cookie. Only the form that [`encode`](Self::encode) writes is accepted.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        // Not zeroized, which takes time: the cookie is in the request as well.
        let mut bytes = [0; 18];
        let length = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
        let id = bytes.get(..length)?.try_into().ok()?;
        Some(Self(Zeroizing::new(id)))
    }

    pub(super) fn encode(&self) -> Zeroizing<String> {
        Zeroizing::new(URL_SAFE_NO_PAD.encode(*self.0))
    }

    pub(super) fn handle(&self) -> SessionHandle {
        // In one call, which is twice as fast as several.
        let mut text = *b"tower-auth session\0................";
        if let Some(end) = text.last_chunk_mut() {
            *end = *self.0;
        }
        let hash = digest::digest(&digest::SHA256, &text);
        SessionHandle(hash.as_ref().first_chunk().copied().unwrap_or_default())
    }
}

impl SessionHandle {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 18];
        let length = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
        Some(Self(bytes.get(..length)?.try_into().ok()?))
    }

    pub(super) fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for SessionHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}
