//! Issues access and refresh tokens.

pub(crate) mod keys;

pub use self::keys::signing_keys::SigningKeys;
