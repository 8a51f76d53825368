//! Policies, responders and metadata, put together as services do, and served over loopback.

#[path = "../common/mod.rs"]
mod common;

mod rfc9728;

use crate::common::api::{Api, Issuer, Reply, greet, staff};
