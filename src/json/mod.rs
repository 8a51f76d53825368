//! Strict parsing of the JSON in tokens.

pub(crate) mod members;
mod parser;
pub(crate) mod strict;
pub(crate) mod value;

/// Removes a byte order mark, which a parser may ignore (RFC 8259 §8.1).
pub(crate) fn without_byte_order_mark(json: &[u8]) -> &[u8] {
    json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(json)
}
