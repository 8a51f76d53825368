//! The layers in axum 0.8, served over loopback to real clients.

#[path = "../common/mod.rs"]
mod common;

mod connections;
mod extractors;
mod neighbours;
mod policies;
mod routers;
mod schemes;

use crate::common::api::{Api, Issuer, Reply, greet, staff};
