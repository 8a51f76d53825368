//! What a request carried, before anybody checked it.

pub(crate) mod authorization;
pub(crate) mod error;

pub use self::{authorization::Credentials, error::CredentialsError};
