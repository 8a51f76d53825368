//! Keys from PEM files, from files and from the environment, with tokens sent over HTTP.

mod pem;
mod secrets;

use axum::{Router, routing::get};
use tower_auth::{AuthenticateLayer, JwtAuth, jwt::KeySource};
use tower_auth_test_support::{
    api::{Api, greet},
    token::{AUDIENCE, ISSUER},
};

/// Starts a server that verifies tokens with these keys.
async fn serve(keys: impl Into<KeySource>) -> Api {
    let tokens = JwtAuth::builder(keys).issuer(ISSUER).audience(AUDIENCE).build().unwrap();
    let app = Router::new().route("/", get(greet)).layer(AuthenticateLayer::new(tokens));
    Api::serve(app).await
}

/// Sends a token and returns the status and the body.
async fn send(api: &Api, token: &str) -> (u16, String) {
    let reply = api.get_with_token(token, "/").await;
    (reply.status.as_u16(), reply.body)
}
