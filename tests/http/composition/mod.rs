//! Combined policies, responders and metadata, mostly over loopback connections.

mod algebra;
mod challenge_params;
mod cors;
mod guarded;
mod pending;
mod policies;
mod rfc9457;
mod rfc9470;
mod rfc9728;
mod routes;

use tower_auth_test_support::api::{Api, Issuer, Reply, greet, staff};
