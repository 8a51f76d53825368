//! Parsing of compact JWS (RFC 7515): the parts of a token, its header and its JSON.

pub(crate) mod compact;
pub(crate) mod header;
pub(crate) mod json;
pub(crate) mod members;
