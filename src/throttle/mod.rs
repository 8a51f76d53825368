//! Rate limits for failed logins with HTTP Basic.
//!
//! A [`Throttle`] counts wrong passwords. A caller who sent too many of them gets 429 with
//! `Retry-After`, and the passwords that this caller sends until then are not checked. Accounts are
//! never locked.
//!
//! ```
//! use std::time::Duration;
//!
//! use tower_auth::{BasicAuth, basic::Users, throttle::Throttle, transport::Forwarded};
//!
//! // The address of the TCP connection: needs axum's `into_make_service_with_connect_info`.
//! let throttle = Throttle::new(Forwarded::direct());
//! let users = Users::new([("alice", "correct horse battery staple")])?;
//! let staff = BasicAuth::new("staff", users)?
//!     .throttle(throttle.failures(5, Duration::from_secs(60)))?;
//! # Ok::<(), tower_auth::ConfigError>(())
//! ```
//!
//! The limits also apply to passwords from a login form that
//! [`BasicAuth::verify`](crate::BasicAuth::verify) checks. Those of an address, a /56 and a /48 can
//! also limit unknown API keys: see `api_key::ApiKeysBuilder::throttle` (feature `api-key`).
//!
//! | limit | default |
//! | --- | --- |
//! | wrong passwords from an address, for any users | 10 |
//! | wrong passwords from an IPv6 /56 | 4 times as many: 40 |
//! | wrong passwords from an IPv6 /48 | 16 times as many: 160 |
//! | wrong passwords for a user, from all addresses together | twice as many: 20 |
//! | wrong passwords from an address for a user who is over that limit | 2 |
//! | concurrent checks of different credentials from an address | the first limit plus 32: 42 |
//! | concurrent checks from a /56 or a /48 | 4 and 16 times as many: 168 and 672 |
//! | entries in each table (addresses, prefixes, users, pairs of address and user) | 65,536 |
//!
//! Each limit of wrong passwords is a token bucket: it starts full, and gets one attempt back per
//! interval, by default every 30 s (10 in 5 minutes). The intervals of a /56 and a /48 are a
//! quarter and a sixteenth of that. [`Throttle::failures`] sets the first limit and the interval.
//! Correct passwords are not counted.
//!
//! A user who is over the limit is rejected only from addresses that have themselves sent wrong
//! passwords for that user. An attacker therefore cannot lock a user out: the correct password is
//! accepted from any other address.
//!
//! # Security
//!
//! - **The address must be trustworthy.** Behind a proxy, use
//!   [`Forwarded::from_proxies`](crate::transport::Forwarded::from_proxies). With
//!   [`Forwarded::direct`](crate::transport::Forwarded::direct), all clients of a proxy share one
//!   limit. If clients can choose the address, an attacker sends another one with each request, and
//!   the limit has no effect.
//! - Requests without a known address share one limit.
//! - An IPv6 address counts as its /64 network, because a subscriber usually has a whole /64. Some
//!   have a /56 or a /48, and could use each /64 in it, so both are limited as well. Customers of
//!   one provider can share such a prefix. The factors are a compromise: one /64 can use up a
//!   quarter of the limit of its /56, and one /56 a quarter of the limit of its /48, so no single
//!   neighbor can lock the others out. Only concurrent requests can exceed that: with the default
//!   limits, those of one /64 block its /56 for at most 90 s, and those of one /56 its /48. Five
//!   /56 that guess all the time lock out their /48, and four do so for part of the time.
//! - Wrong passwords are counted when their check ends, or when the client disconnects before that.
//!   An address can therefore exceed its limit by concurrent requests. The excess is an
//!   overdraft of at most one hour, which extends the wait.
//! - Concurrent requests from an address with equal credentials count as one attempt. The logins of
//!   `issue::TokenRoutes` count each, because each can have another second factor.
//! - A client that has a quarter of the slots of a `HashVerifier` (one for each hash that is
//!   running or queued) gets 429 for further hashes. For a /56, the share is three eighths, and for
//!   a /48, half. A hash whose client has disconnected counts until it ends. A verifier that calls
//!   a `HashVerifier` must pass on the [`BasicCredentials`](crate::basic::BasicCredentials) that it
//!   got, because they contain the address.
//! - If a table is full, rarely used entries are evicted first.
//! - Counts are local to the process, unless they are [shared](#several-instances). An attacker who
//!   reaches several instances has the limit of each of them.
//!
//! # Several instances
//!
//! With the feature `store`, `Throttle::shared` counts wrong passwords in a store, such as Redis,
//! so that all instances together have the limits of the table above.
//!
//! - The limits apply to windows instead of token buckets. A window has the length of
//!   [`failures`](Throttle::failures), by default 5 minutes of the store's clock. `Retry-After` is
//!   the time until its end. **Around the end of a window, up to twice the limit can pass**: one
//!   limit just before, and one just after.
//! - An attempt is counted in the store before its password is checked, and subtracted if the
//!   password is correct. No number of concurrent requests exceeds a limit, on any number of
//!   instances. Each attempt costs one round trip to the store, and a correct password one more.
//!   For requests that are frequent, use a session or a token instead of HTTP Basic.
//! - Correct passwords count while they are checked. If an address has more of them in flight than
//!   it has attempts left, the others get 429 with a `Retry-After` of one second. An instance that
//!   checks none of them cannot tell them from wrong passwords: there, `Retry-After` is the end of
//!   the window, and the address is rejected for a second. `failures` must therefore exceed the
//!   number of instances to which a client sends requests at the same time. Increase it further for
//!   offices that share an address.
//! - A rejected attempt is subtracted again, so an address over the limit uses up neither the limit
//!   of a user nor that of its neighbors. Only while a burst of such attempts is in flight, a
//!   request from the same /56 can be rejected, and then others from there for a second. For a
//!   second, further attempts of the address are rejected without the store.
//! - Equal concurrent credentials from an address count once per instance, until one of the
//!   requests has failed, except for the logins of `issue::TokenRoutes`. A request whose client
//!   disconnects counts as a failure.
//! - If the store does not answer, is full or returns an error, an instance decides with its own
//!   token buckets, at the rate divided by `Throttle::instances` (10 by default) and at least one
//!   attempt: with the defaults, one wrong password in 5 minutes. As without a store, an address
//!   can exceed that by concurrent requests, which extend the wait; their number is divided as
//!   well, so an instance checks at most 4 passwords of an address at a time. No request waits for
//!   longer than the time limit of the store per operation. The store reports the outage once a
//!   minute (see [`observe`](crate::observe)). Failures during an outage are not counted in the
//!   store later.
//! - If the store cannot subtract an attempt, it counts until the end of the window.
//! - The limits of concurrent checks and of hashes apply to each instance.
//! - While a secret of the store is replaced, instances with different secrets count separately.
//! - The store contains no addresses and no user ids. Its keys are HMACs with the secret of the
//!   store. The counts themselves are not encrypted: a person who can write to the store can delete
//!   or raise them.

#[cfg(any(feature = "api-key", feature = "introspection", feature = "issue"))]
pub(crate) mod address_failures;
pub(crate) mod buckets;
#[cfg(feature = "store")]
pub(crate) mod equal_attempts;
pub(crate) mod in_flight;
pub(crate) mod limits;
#[cfg(test)]
mod network_tests;
#[cfg(all(test, feature = "store"))]
mod outage_tests;
#[cfg(test)]
mod properties;
#[cfg(feature = "store")]
pub(crate) mod recent_rejections;
#[cfg(feature = "store")]
pub(crate) mod shared_attempt;
#[cfg(all(test, feature = "store"))]
mod shared_fixture;
#[cfg(all(test, feature = "store"))]
mod shared_tests;
#[cfg(feature = "store")]
pub(crate) mod shared_throttle;
pub(crate) mod throttle;
#[cfg(test)]
mod throttle_tests;
#[cfg(feature = "store")]
pub(crate) mod window;

pub use self::throttle::Throttle;
