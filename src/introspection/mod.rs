//! Tokens about which an authorization server is asked (RFC 7662).
