//! Parsing of compact JWS (RFC 7515): the parts of a token and its header.

pub(crate) mod compact;
pub(crate) mod header;
