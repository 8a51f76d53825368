//! Compares tower-auth with other crates that check tokens and passwords in front of a service.
//!
//! `cargo bench --manifest-path benches/peers/Cargo.toml` measures all rows in one run and prints a
//! table at the end. Compare ratios, because times depend on the machine. Before a layer is
//! measured, its responses are checked: it must accept a valid token, and reject a token that is
//! signed with another key.
//!
//! - `decode` is the cost of a token without a layer: for tower-auth from the request head to a
//!   principal, for jsonwebtoken from the token to a struct. `floor` is the signature alone, with a
//!   prepared key and decoded bytes.
//! - `layer` is a whole layer around a service that responds immediately. `bare` is that service
//!   alone, with the same request.
//! - `rejected` is the same layers with HS256 and requests without a valid token.
//! - `basic` is HTTP Basic with fixed passwords.
//!
//! All crates receive the same token, check its `iss`, `aud`, `exp` and `nbf`, and have the key
//! before the first request. Crates that let users choose a claims type use [`Claims`], which
//! contains the minimum that a handler needs. tower-auth keeps all claims. All crates respond at
//! the first poll, so no row contains the cost of a runtime.
//!
//! Not included:
//!
//! - aliri with ES256, because it reads such keys only with the OpenSSL of the system, and with
//!   EdDSA, which it does not support.
//! - jsonwebtoken 11 with `rust_crypto`, because a process has a single backend, which is
//!   `aws_lc_rs` here. The row of jsonwebtoken 10, which axum-jwt-auth builds with `rust_crypto`,
//!   shows the cost of that backend.

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

/// Measures all rows, in the order of the table within each group.
pub fn all(rows: &mut impl Rows) {
    for algorithm in ["HS256", "RS256", "ES256", "EdDSA"] {
        let case = Case::new(algorithm);
        floor::rows(&case, rows);
        case.accepted(rows, "bare", case::inner::<axum::body::Body>());
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
