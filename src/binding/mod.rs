//! Tokens that only the holder of a key can use (RFC 7800).
//!
//! The `cnf` claim of a token names the key that its caller must prove to have. By default, such a
//! token is rejected with 401 `invalid_token`, because a service that ignores `cnf` would accept a
//! stolen token. A [`Binding`] checks the proof. Set it with
//! [`JwtAuthBuilder::binding`](crate::jwt::JwtAuthBuilder::binding) or
//! [`BearerAuth::binding`](crate::bearer::BearerAuth::binding).
//!
//! A binding needs a request, so only the authentication of a request calls it. `verify` of a
//! verifier rejects bound tokens. A verifier that adds checks to another one supports them with
//! [`TokenVerifier::verify_unconfirmed`](crate::bearer::TokenVerifier::verify_unconfirmed).
//!
//! Tokens without `cnf` are not affected: the issuer decides which of its tokens are bound.

pub(crate) mod binding;
pub(crate) mod cnf;
pub(crate) mod evidence;

pub use self::{
    binding::{Binding, Confirmation},
    cnf::Cnf,
    evidence::Evidence,
};
