//! Issues access and refresh tokens.
//!
//! ```
//! use tower_auth::{AuthenticateLayer, issue::TokenIssuer, store::SealedStore};
//! # use tower_auth::Principal;
//!
//! # async fn f(user: Principal) -> Result<(), Box<dyn std::error::Error>> {
//! let issuer = TokenIssuer::builder()
//!     .issuer("https://login.example")
//!     .audience("orders")
//!     .store(SealedStore::memory())
//!     .build()?;
//!
//! // After the password was checked:
//! let tokens = issuer.issue(&user).await?;
//! // Later, with the refresh token:
//! let tokens = issuer.refresh(tokens.refresh_token()).await?;
//! issuer.logout(tokens.refresh_token()).await?;
//!
//! // Routes that accept the access tokens:
//! let layer = AuthenticateLayer::new(issuer.verifier());
//! # Ok(()) }
//! ```

mod access_token;
mod builder;
mod claims;
mod error;
mod family;
mod grant;
pub(crate) mod keys;
mod login;
mod logout;
mod rate_limit;
mod refresh;
mod refresh_request;
mod refresh_token;
mod routes;
mod subject_index;
pub(crate) mod token_issuer;
mod token_pair;

pub use self::{
    builder::TokenIssuerBuilder,
    claims::{AccessClaims, ClaimsRequest},
    error::{IssueError, RefreshError, Unavailable},
    grant::Grant,
    keys::signing_keys::SigningKeys,
    refresh_request::RefreshRequest,
    routes::{
        AuthenticationInfo, LoginAttempt, SecondFactor, TokenRoute, TokenRoutes, TokenRoutesBuilder,
    },
    token_issuer::TokenIssuer,
    token_pair::TokenPair,
};
