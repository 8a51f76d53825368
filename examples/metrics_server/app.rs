//! The API: tokens and passwords, and policies for two routes.

use std::error::Error;

use aws_lc_rs::rand;
use axum::{Router, routing::get};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use tower_auth::{
    AuthenticateLayer, BasicAuth, JwtAuth, RequireScopes, any_of,
    password::{HashVerifier, HashedUsers, PasswordHash},
};

use crate::issuer::{AUDIENCE, Issuer};

/// Returns the API, and the password of its user `alice`.
pub fn app(issuer: &Issuer) -> Result<(Router, String), Box<dyn Error>> {
    let tokens = JwtAuth::builder(issuer.keys()).issuer(Issuer::NAME).audience(AUDIENCE).build()?;
    // Hashing takes time, so requests with passwords wait: `tower_auth.wait.duration`.
    let mut bytes = [0; 12];
    rand::fill(&mut bytes)?;
    let password = URL_SAFE_NO_PAD.encode(bytes);
    let hash = PasswordHash::new(&password)?;
    let users = HashedUsers::new([("alice", hash.as_str())])?;
    let staff = BasicAuth::new("orders", HashVerifier::new(users))?;

    let app = Router::new()
        .route("/orders", get(async || "all orders\n"))
        .route("/orders/{id}", get(async || "one order\n").layer(RequireScopes::all("orders:read")))
        .route("/reports", get(async || "all reports\n").layer(RequireScopes::all("admin")))
        .layer(AuthenticateLayer::new(any_of((tokens, staff))));
    Ok((app, password))
}
