//! Tests of `JwtAuth` without a server, and of the test names in the documentation.

mod attacks;
mod binding;
mod binding_schemes;
mod claim_settings;
mod conformance;
mod jwk_set;
mod jwt_keys;
mod limits;
mod map_principal;
mod properties;
mod rfc7519;
mod rfc9068;
mod token_cache;
mod unused_claims;
mod vectors;
mod verifiers;
