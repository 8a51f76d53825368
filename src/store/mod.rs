//! Records that are shared between the instances of a service, such as revocations.
//!
//! A [`Store`] keeps small records for a limited time. [`Memory`] keeps them in this process. With
//! the feature `redis`, `Redis` keeps them in Redis or Valkey, so that all instances see them.
//! [`SealedStore`] is what the rest of the crate uses: a store and the operator's
//! [`StoreSecret`].
//!
//! ```
//! use tower_auth::store::{Memory, SealedStore, StoreSecret};
//!
//! // Within one process:
//! let store = SealedStore::memory();
//!
//! // Any other store needs a secret that all instances share:
//! # let key = *b"0123456789abcdefghijklmnopqrstuv";
//! let store = SealedStore::new(Memory::new(), StoreSecret::new(key)?);
//! # Ok::<(), tower_auth::ConfigError>(())
//! ```
//!
//! # Security
//!
//! Keys are HMACs and values are encrypted and authenticated, both with the secret. A person who
//! can read the store learns neither subjects nor claims, and a person who can write to it cannot
//! create a record. Such a person can still delete records, or restore earlier ones.
// What only some features use is dead code without them.
#![cfg_attr(not(all(feature = "revocation", feature = "throttle")), allow(dead_code))]
// Sealed records are used by other features only.
#![cfg_attr(not(all(feature = "revocation", feature = "throttle")), allow(dead_code))]

pub(crate) mod error;
pub(crate) mod health;
pub(crate) mod key;
pub(crate) mod memory;
pub(crate) mod record;
#[cfg(feature = "redis")]
pub(crate) mod redis;
pub(crate) mod seal;
pub(crate) mod sealed_store;
pub(crate) mod secret;
mod secret_file;
mod secret_text;
#[allow(clippy::module_inception)]
pub(crate) mod store;
pub(crate) mod ttl;

#[cfg(feature = "redis")]
pub use self::redis::{builder::RedisBuilder, redis::Redis};
pub use self::{
    error::{StoreError, StoreErrorKind},
    key::{Purpose, StoreKey},
    memory::{builder::MemoryBuilder, memory::Memory},
    sealed_store::SealedStore,
    secret::StoreSecret,
    store::{Store, StoreFuture},
    ttl::Ttl,
};

#[cfg(test)]
mod seal_tests;
