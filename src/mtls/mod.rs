//! Client certificates (TLS), and tokens that are bound to them (RFC 8705).
