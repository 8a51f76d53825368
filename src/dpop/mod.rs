//! Tokens that are sent with a proof of possession (RFC 9449).
