//! `store::Redis` with real servers.

mod cluster;
mod connections;
mod durable;
mod eviction;
mod faults;
mod readiness;
mod sentinel;
mod service;
mod settings;
mod sharing;
mod suite;
mod unknown_outcome;

use std::{error::Error as _, time::Duration};

use bytes::Bytes;
use tower_auth::store::{Purpose, Redis, StoreError, StoreKey, StoreSecret, Ttl};

const TTL: Duration = Duration::from_secs(60);

fn key(number: u8) -> StoreKey {
    StoreKey::new(Purpose::Revocation, [number; 32])
}

fn ttl() -> Ttl {
    Ttl::new(TTL)
}

fn value() -> Bytes {
    Bytes::from_static(b"value")
}

fn store(url: &str) -> Redis {
    Redis::builder(url).unwrap().build().unwrap()
}

/// Returns the same secret for all instances.
fn secret() -> StoreSecret {
    StoreSecret::new(*b"0123456789abcdefghijklmnopqrstuv").unwrap()
}

/// Returns the reason of an error.
fn reason(error: &StoreError) -> String {
    error.source().map(ToString::to_string).unwrap_or_default()
}
