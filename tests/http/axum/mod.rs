//! Tests of the layers in axum 0.8, over loopback connections.

mod connections;
mod cookies;
mod extractors;
mod locations;
mod neighbours;
mod policies;
mod routers;
mod schemes;
mod websocket;

use tower_auth_test_support::api::{Api, Issuer, Reply, greet, staff};
