//! Unverified credentials from the request head.

pub(crate) mod authorization;
pub(crate) mod error;

pub use self::{authorization::Credentials, error::CredentialsError};
