//! API keys: long-lived credentials of programs that act for a user or a service.
//!
//! [`ApiKeys`] creates keys and verifies them. The service stores only their hash, in an
//! [`ApiKeyStore`]. A key looks like `acme_<id>_<secret><checksum>`.
//!
//! ```
//! use axum::{Router, routing::get};
//! use tower_auth::{
//!     AuthenticateLayer, Principal,
//!     api_key::{ApiKeys, KeyOwner, MemoryApiKeys},
//!     bearer::BearerAuth,
//!     credentials::TokenLocation,
//! };
//!
//! # struct Accounts;
//! # impl Accounts {
//! #     async fn scopes_of(&self, user: &str) -> Result<Option<Vec<String>>, std::io::Error> {
//! #         Ok(None)
//! #     }
//! # }
//! # static ACCOUNTS: Accounts = Accounts;
//! let api_keys = ApiKeys::builder("acme", MemoryApiKeys::new())
//!     // Called for each request: a deleted user's keys are rejected.
//!     .owners(async |owner: String| {
//!         let scopes = ACCOUNTS.scopes_of(&owner).await?;
//!         Ok::<_, std::io::Error>(scopes.map(KeyOwner::with_scopes))
//!     })
//!     .build()?;
//! let keys = BearerAuth::new(api_keys).token_from(TokenLocation::header("x-api-key"));
//! let app: Router = Router::new()
//!     .route("/me", get(async |caller: Principal| caller.subject().to_owned()))
//!     .layer(AuthenticateLayer::new(keys));
//! # Ok::<(), tower_auth::ConfigError>(())
//! ```

mod api_keys;
mod builder;
mod created;
mod error;
mod info;
pub(crate) mod key_text;
mod manage;
mod memory;
mod owners;
mod recent;
mod store;
mod verify;

pub use self::{
    api_keys::ApiKeys,
    builder::ApiKeysBuilder,
    created::{CreatedApiKey, NewApiKey},
    error::{ApiKeyError, InvalidApiKey},
    info::{ApiKeyInfo, StoredApiKey},
    memory::MemoryApiKeys,
    owners::{KeyOwner, KeyOwners},
    store::{ApiKeyFuture, ApiKeyStore, Inserted},
};
