//! Tokens that are sent with a proof of possession (RFC 9449).

pub(crate) mod key;

pub use self::key::DpopKey;
