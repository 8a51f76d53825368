//! Compact JWS (RFC 7515): the three parts of a token and its header.

pub(crate) mod compact;
pub(crate) mod header;
pub(crate) mod header_memo;
pub(crate) mod json;
pub(crate) mod members;
