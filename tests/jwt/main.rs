//! Tokens without a server around the validator, and what the documentation says of the tests.

mod attacks;
mod conformance;
mod jwt_keys;
mod limits;
mod properties;
mod rfc7519;
mod rfc9068;
mod token_cache;
mod vectors;
