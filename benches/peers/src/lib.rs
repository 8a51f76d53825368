//! tower-auth side by side with what else checks tokens and passwords in front of a service.
//!
//! `cargo bench --manifest-path benches/peers/Cargo.toml` measures every row in one run, and ends with a table. Read
//! ratios: times are the machine's. Each row is asked for an answer before it is measured: a good token has to be
//! admitted, and one with another's signature refused.
//!
//! - `decode` is what a token costs without a layer: for tower-auth from the request's head to a principal, for
//!   jsonwebtoken from the token to a struct. `floor` is the signature alone, with a prepared key and decoded bytes.
//! - `layer` is a whole layer over a service that answers at once, which `bare` is, given the same request.
//! - `refused` is the same layers, with HS256, and nothing to admit.
//! - `basic` is users with fixed passwords.
//!
//! All get the same token, check its `iss`, `aud`, `exp` and `nbf`, and have the key before the first request. Who
//! lets their users choose a type for claims gets [`Claims`], which is as little as a handler can do with, and the
//! least that reading it may cost. tower-auth keeps all claims, whatever is read later. All answer at their first
//! poll, so there is no runtime in any row.
//!
//! What is not here:
//!
//! - aliri with ES256, as it reads such keys with a system's OpenSSL only, and with EdDSA, which it does not know.
//! - jsonwebtoken 11 with `rust_crypto`: a process has one backend, and here it is `aws_lc_rs`. The row of
//!   jsonwebtoken 10, which axum-jwt-auth builds with `rust_crypto`, tells what that costs.

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

/// Every row there is, in the table's order within each group.
pub fn all(rows: &mut impl Rows) {
    for algorithm in ["HS256", "RS256", "ES256", "EdDSA"] {
        let case = Case::new(algorithm);
        floor::rows(&case, rows);
        case.admitted(rows, "bare", case::inner::<axum::body::Body>());
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
