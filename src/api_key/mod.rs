//! API keys: long-lived credentials of programs that act for a user or a service.
//!
//! [`ApiKeys`] creates keys and verifies them. The service stores only their hash, in an
//! [`ApiKeyStore`].
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
//!
//! | you want to | use |
//! | --- | --- |
//! | create a key for a user who has just logged in | [`ApiKeys::create`] |
//! | create a key with a command of an operator | [`ApiKeys::dangerous_create_for`] |
//! | replace a key without an interruption | [`ApiKeys::rotate`] |
//! | show a user the keys, or revoke them | [`ApiKeys::list`], [`revoke`], [`revoke_all`] |
//! | read keys from a header | [`BearerAuth`] with [`TokenLocation::header`] |
//! | read keys from `Authorization: Bearer` | [`BearerAuth`] alone |
//! | accept JWTs and keys in `Authorization: Bearer` | [`Issuers::otherwise`] |
//! | accept JWTs and keys in different headers | [`any_of`](crate::any_of) |
//! | learn which key a request has | [`ApiKeyInfo`], an extension of the principal |
//! | keep the keys in a database | [`ApiKeyStore`] |
//! | learn when a key was last used | [`Event::ApiKeyUsed`](crate::observe::Event::ApiKeyUsed) |
//!
//! [`BearerAuth`]: crate::bearer::BearerAuth
//! [`Issuers::otherwise`]: crate::jwt::Issuers::otherwise
//! [`TokenLocation::header`]: crate::credentials::TokenLocation::header
//! [`revoke`]: ApiKeys::revoke
//! [`revoke_all`]: ApiKeys::revoke_all
//!
//! # Verification
//!
//! 1. The form of the key and its checksum. Typing errors and the keys of other services cost
//!    nothing.
//! 2. The [throttle](ApiKeysBuilder::throttle), if there is one, and whether the key was unknown a
//!    short time ago. A key that this process has accepted before skips this step.
//! 3. One call of the store, and a comparison of the hash. An unknown id and a wrong secret take
//!    the same path.
//! 4. Whether the key was revoked or has expired.
//! 5. One call of [`KeyOwners`]. The caller has those scopes of the key that its owner still has.
//!
//! The rejection is a 401. Its source is [`InvalidApiKey`], for logs. An error of the store or of
//! the owners is a 503 with `Retry-After`, and nothing is remembered of it.
//!
//! | limit | value |
//! | --- | --- |
//! | lifetime of a key | 90 days by default, at most 366 days ([`ApiKeysBuilder::lifetime`]) |
//! | live keys of an owner | 100 by default ([`ApiKeysBuilder::max_keys`]), one more to rotate |
//! | age of the login of a caller who creates or rotates a key | 5 minutes |
//! | name of a key | 128 bytes without control characters |
//! | scopes of a key | 64, each of at most 1,024 bytes |
//! | unknown keys from an address | unlimited; with a throttle, 10 in 5 minutes by default |
//! | concurrent checks of keys from an address, with a throttle | 42 by default; equal keys count |
//! | how long an unknown key is rejected without the store | 30 s |
//! | remembered unknown keys | 65,536 |
//! | remembered accepted keys | 262,144 |
//! | events [`ApiKeyUsed`](crate::observe::Event::ApiKeyUsed) | one per minute, key and process |
//!
//! Equal keys that are checked at the same time count as one unknown key. Keys that this process
//! has accepted before are not limited by address. If more than 262,144 keys are in use, some uses
//! are reported more often.
//!
//! # Secret scanners
//!
//! A key is `prefix_id_` and 33 characters: a secret of 160 bits (27) and a checksum (6). All of
//! them are digits and ASCII letters. The id has 16. This regular expression matches the keys with
//! any prefix; [`ApiKeys::pattern`] returns that of one service:
//!
//! ```text
//! \b[a-z][a-z0-9_]{0,19}_[0-9A-Za-z]{16}_[0-9A-Za-z]{33}\b
//! ```
//!
//! The last six characters are the CRC-32 (as in gzip) of all characters before them, in base 62
//! with the digits `0`–`9`, `A`–`Z` and `a`–`z`. A scanner can use it to exclude other texts that
//! match.
//!
//! # Security
//!
//! - **A key is like a password that is valid for months.** Anyone who has it can use it. Show it
//!   once, over TLS. Never send it in a URL, which ends up in logs and in `Referer`.
//! - **Keys survive a logout** and a change of the password. Creating one therefore requires a
//!   login within the last 5 minutes, so that a stolen access token is not enough after that.
//!   After an account was taken over, call [`ApiKeys::revoke_all`].
//! - **A revocation takes effect at the next request**, in all processes that share the store. A
//!   store that reads from a replica or a cache of its own delays it.
//! - **Owners are looked up for each request**, so the keys of a disabled user stop working. With
//!   [`dangerous_trust_owners`](ApiKeysBuilder::dangerous_trust_owners), they do not.
//! - The store contains SHA-256 of each key. A slow hash would not help: 160 random bits cannot be
//!   guessed. A person who can write to the store can add keys for any owner.
//! - The checksum is public and does not authenticate a key. An attacker can make texts that pass
//!   it, and each costs one call of the store. Use a [throttle](ApiKeysBuilder::throttle) on
//!   services that anyone can reach.
//! - The time of a rejection can show whether an id exists only as far as the store does. Ids are
//!   random and not secret.
//! - A key is valid until its end by the [clock](ApiKeysBuilder::clock) of the process, also if it
//!   was created in the future of that clock. If the clock is set back, an expired key is valid
//!   again, and a revoked one is not.
//! - The principal of a key has no claims, so a key cannot satisfy
//!   [`RequireAuthentication`](crate::RequireAuthentication), and cannot create keys.

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
