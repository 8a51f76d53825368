//! Tokens that only the holder of a key can use (RFC 7800).
//!
//! The `cnf` claim of a token names the key that its caller must prove to have. By default, such a
//! token is rejected with 401 `invalid_token`, because a service that ignores `cnf` would accept a
//! stolen token. A [`Binding`] checks the proof. Set it with
//! [`JwtAuthBuilder::binding`](crate::jwt::JwtAuthBuilder::binding) or
//! [`BearerAuth::binding`](crate::bearer::BearerAuth::binding).
//!
//! | the caller proves the key with | use |
//! | --- | --- |
//! | a client certificate (RFC 8705, `x5t#S256`) | `mtls::CertificateBinding` (feature `mtls`) |
//! | a signed proof in each request (RFC 9449, `jkt`) | `dpop::DpopBinding` (feature `dpop`) |
//! | something else | your own [`Binding`] |
//!
//! With several bindings, each is asked for the tokens that have one of its
//! [members](Binding::members).
//!
//! A binding needs a request, so only the authentication of a request calls it. `verify` of a
//! verifier rejects bound tokens. A verifier that adds checks to another one supports them with
//! [`TokenVerifier::verify_unconfirmed`](crate::bearer::TokenVerifier::verify_unconfirmed).
//!
//! Tokens without `cnf` are not affected: the issuer decides which of its tokens are bound. To
//! reject them, call [`require_binding`](crate::jwt::JwtAuthBuilder::require_binding).

pub(crate) mod binding;
pub(crate) mod cnf;
pub(crate) mod evidence;

pub use self::{
    binding::{Binding, Confirmation},
    cnf::Cnf,
    evidence::Evidence,
};
