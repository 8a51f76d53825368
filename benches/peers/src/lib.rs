//! Compares tower-auth with other crates that check tokens or passwords.
//!
//! `cargo bench --manifest-path benches/peers/Cargo.toml` measures all rows in one run, and
//! prints a table. Compare ratios: times depend on the machine. Before the measurement, each
//! layer must accept a valid token and reject a token with the signature of another key.
//!
//! - `decode` is the check of a token without a layer: for tower-auth from the request head to a
//!   principal, for jsonwebtoken from the token to a struct. `floor` is the signature verification
//!   alone, with a prepared key and decoded bytes.
//! - `layer` is a whole layer around a service that returns a response immediately. `bare` is this
//!   service alone, for the same request.
//! - `rejected` is the same layers with HS256 and requests that they reject.
//! - `basic` is users with fixed passwords.
//!
//! All crates get the same token, check `iss`, `aud`, `exp` and `nbf`, and have the key before the
//! first request. Crates that deserialize into a type of the user's choice get [`Claims`]: the
//! minimum that a handler needs, at the lowest cost. tower-auth keeps all claims. All services
//! complete at their first poll, so no row includes a runtime.
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

pub use self::{
    case::{Case, Claims, Inner, request},
    row::{Row, Rows},
};

/// Processes all rows. Within each group, the order is that of the table.
pub fn all(rows: &mut impl Rows) {
    for algorithm in ["HS256", "RS256", "ES256", "EdDSA"] {
        let case = Case::new(algorithm);
        floor::rows(&case, rows);
        case.valid_token(rows, "bare", case::inner::<axum::body::Body>());
        tower_auth::rows(&case, rows);
        jsonwebtoken::rows(&case, rows);
        tower_http::rows(&case, rows);
        jwt_authorizer::rows(&case, rows);
        oauth2_resource_server::rows(&case, rows);
        axum_jwt_auth::rows(&case, rows);
        aliri::rows(&case, rows);
    }
    basic::rows(rows);
}
