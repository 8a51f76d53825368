//! Compares tower-auth with other crates that check tokens or passwords.
//!
//! `cargo bench --manifest-path benches/peers/Cargo.toml` measures all rows in one run, and
//! prints tables. Compare ratios: times depend on the machine. Before the measurement, each
//! layer must accept a valid token and reject invalid ones.
//!
//! - `whole` is a whole request: a token, a check of two scopes and of a role, and a handler that
//!   uses six owned claims. Before the measurement, each service must reject tokens without a
//!   scope, without the role, and with the signature of another key.
//! - `layer` is a whole layer around a service that returns a response immediately.
//! - `decode` is the check of a token without a layer: for tower-auth from the request head to a
//!   principal, for jsonwebtoken from the token to a struct.
//! - `rejected` is the layers with HS256 and requests that they reject.
//! - `basic` is users with fixed passwords.
//! - `baseline` has two rows for each algorithm: `bare` is the inner service alone, for the same
//!   request, and `floor` is the signature verification alone, with a prepared key and decoded
//!   bytes.
//!
//! All crates get the same token, check `iss`, `aud`, `exp` and `nbf`, and have the key before the
//! first request. Each whole request is written as the docs of the crate recommend: scopes and
//! roles are checked by the crate if it can, and otherwise by hand. In the other rows, crates that
//! deserialize into a type of the user's choice get [`Claims`]: the minimum that a handler needs,
//! at the lowest cost. tower-auth keeps all claims. All services complete at their first poll, so
//! no row includes a runtime.
//!
//! The comparison does not include:
//!
//! - aliri with ES256, because it needs the OpenSSL of the system to read such keys, and with
//!   EdDSA, which it does not support.
//! - jsonwebtoken 11 with `rust_crypto`, because a process has one backend, which is
//!   `aws_lc_rs` here. The row of jsonwebtoken 10, which axum-jwt-auth builds with
//!   `rust_crypto`, shows the cost of that backend.

mod aliri;
mod axum_jwt_auth;
mod basic;
mod case;
mod floor;
mod jsonwebtoken;
mod jwt_authorizer;
mod oauth2_resource_server;
mod row;
mod tower_auth;
mod tower_http;
mod whole;

pub use self::{
    case::{Case, Claims, Inner, request},
    row::{Row, RowName},
};

pub const ALGORITHMS: [&str; 4] = ["HS256", "RS256", "ES256", "EdDSA"];

/// Returns all rows. Within each group, the order is that of the tables.
#[must_use]
pub fn all() -> Vec<Row> {
    let mut rows = Vec::new();
    for algorithm in ALGORITHMS {
        let case = Case::new(algorithm);
        case.bare(&mut rows);
        floor::rows(&case, &mut rows);
        tower_auth::rows(&case, &mut rows);
        jsonwebtoken::rows(&case, &mut rows);
        tower_http::rows(&case, &mut rows);
        jwt_authorizer::rows(&case, &mut rows);
        oauth2_resource_server::rows(&case, &mut rows);
        axum_jwt_auth::rows(&case, &mut rows);
        aliri::rows(&case, &mut rows);
    }
    basic::rows(&mut rows);
    rows
}
