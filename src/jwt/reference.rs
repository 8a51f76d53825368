use bytes::Bytes;

use crate::{later::Later, rejection::Rejection};

/// Finds the claims of tokens that are not JWTs: the issuer keeps the claims, and the token refers
/// to them.
pub(crate) trait ReferenceTokens: Send + Sync {
    /// Returns the claims of a token, in JSON, or `None` if the token does not have the form of
    /// such a token.
    fn claims_of(&self, token: &[u8]) -> Option<Later<Result<Bytes, Rejection>>>;
}
