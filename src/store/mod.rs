//! Records that the instances of a service share, such as revocations.
//!
//! A [`Store`] keeps small records for a limited time. [`Memory`] keeps them in this process. With
//! the feature `redis`, `Redis` keeps them in Redis or Valkey, so that all instances see them. The
//! example `sqlite_store` keeps them in one file, for the services of one machine. [`SealedStore`]
//! is what the rest of the crate uses: a store and the operator's [`StoreSecret`].
//!
//! ```
//! use tower_auth::store::{Memory, SealedStore, StoreSecret};
//!
//! // Within one process:
//! let store = SealedStore::memory();
//!
//! // Any other store needs a secret that all instances share. See `StoreSecret::from_file`.
//! # let key = *b"0123456789abcdefghijklmnopqrstuv";
//! let store = SealedStore::new(Memory::new(), StoreSecret::new(key)?);
//! # Ok::<(), tower_auth::ConfigError>(())
//! ```
//!
//! # What is stored
//!
//! | purpose | records | if the store is unavailable | if it is full |
//! | --- | --- | --- | --- |
//! | [revocation](Purpose::Revocation) | what was revoked | 503 for tokens | see below |
//! | [replay](Purpose::Replay) | identifiers that are accepted once | 503 | 503 |
//! | [throttle](Purpose::Throttle) | failed logins | counted locally | counted locally |
//! | [family](Purpose::Family) | refresh tokens, by login | 503 | 503 |
//! | [keys](Purpose::Keys) | keys that sign tokens | the last keys, then 503 | 503 |
//! | [session](Purpose::Session) | sessions of browsers | 503 | 503 for logins |
//! | [webhook](Purpose::Webhook) | webhooks that were received | 503 | 503 |
//! | [DPoP proof](Purpose::DpopProof) | DPoP proofs that were accepted | 503 | 503 |
//! | [access token](Purpose::AccessToken) | opaque access tokens | 503 | 503 for logins |
//!
//! Revocations in a full [`Memory`] are stored as coarser records, so a logout takes effect in any
//! case. With other stores, the logout gets 503 and has to be repeated. Tokens that were not
//! revoked are accepted in both cases. During an outage, `dangerous_admit_unchecked` accepts
//! tokens.
//!
//! A store reports that it is unavailable or full as an [`Event`](crate::observe::Event), at most
//! once a minute. See [`SealedStore::observer`].
//!
//! # Your own store
//!
//! Implement [`Store`] to use another database. Its docs have the rules. In short:
//!
//! - Use the operations of the database that are atomic, such as `INSERT … ON CONFLICT DO NOTHING`,
//!   or a transaction that locks. To read first and write then is a fault that only shows under
//!   load, and it lets a token be used twice.
//! - Key the records by [`StoreKey::as_bytes`] and [`StoreKey::purpose`], or by the text of the
//!   key. Values are bytes and not text.
//! - Compare the time of expiry in every operation, and remove expired records in the background.
//! - Set a time limit, and turn off retries in the driver: an `add` or `insert` that is sent twice
//!   gives wrong results.
//! - Map "out of space" to [`StoreErrorKind::Full`], a counter that is not a number to
//!   [`StoreErrorKind::Unreadable`], and everything else to [`StoreErrorKind::Unavailable`].
//! - If [`StoreKey::withdraws_access`] is set, confirm the write only when it is durable.
//!
//! Then run `test_util::StoreSuite` in a test. It finds violations of the rules, also races.
//!
//! # Security
//!
//! Keys are HMACs and values are encrypted and authenticated, both with the secret. A person who
//! can read the store learns neither subjects nor claims, but how many records there are, and when
//! they were written. A person who can write to it cannot create a record, or move one to another
//! key. Such a person can delete records, restore earlier ones and change counters:
//!
//! - Revocations detect that the store was emptied or restored as a whole, and then reject all
//!   tokens that were issued before. They do not detect that one record was deleted.
//! - The throttle can be reset, or made to reject logins.
//!
//! So protect the store with a password, a network that only the services can reach, and TLS.
//!
//! An unreadable record is an error and not a missing record. It makes the operation fail, so that
//! a damaged record of a revocation does not let the token in.

// Sealed records are used by other features only.
#![cfg_attr(not(all(feature = "revocation", feature = "throttle")), allow(dead_code))]

pub(crate) mod error;
pub(crate) mod health;
pub(crate) mod key;
pub(crate) mod memory;
pub(crate) mod private_file;
pub(crate) mod record;
#[cfg(feature = "redis")]
pub(crate) mod redis;
pub(crate) mod seal;
pub(crate) mod sealed_store;
pub(crate) mod secret;
mod secret_file;
pub(crate) mod secret_text;
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
