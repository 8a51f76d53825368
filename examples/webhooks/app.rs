//! The routes: one for each sender.

use axum::{Json, Router, http::StatusCode, routing::post};
use serde_json::Value;
use tower_auth::{
    ConfigError, Principal,
    store::SealedStore,
    webhook::{WebhookFormat, WebhookLayer},
};

/// A real service reads its secrets from a file or an environment variable.
pub const GITHUB_SECRET: &str = "github-example-secret";
pub const STRIPE_SECRET: &str = "whsec_stripe-example-secret";
pub const STANDARD_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

pub fn app(store: &SealedStore) -> Result<Router, ConfigError> {
    let layer = |format, secret: &str| {
        WebhookLayer::builder(format).secret(secret).store(store.clone()).build()
    };
    Ok(Router::new()
        .route("/github", post(handle).layer(layer(WebhookFormat::github(), GITHUB_SECRET)?))
        .route("/stripe", post(handle).layer(layer(WebhookFormat::stripe(), STRIPE_SECRET)?))
        .route("/standard", post(handle).layer(layer(WebhookFormat::standard(), STANDARD_SECRET)?)))
}

/// Called once for each event. If it fails, the sender can try again.
async fn handle(sender: Principal, Json(event): Json<Value>) -> (StatusCode, String) {
    let kind = event["type"].as_str().unwrap_or("event without a type");
    if kind == "order.unknown" {
        eprintln!("{}: {kind} failed", sender.subject());
        return (StatusCode::INTERNAL_SERVER_ERROR, String::new());
    }
    eprintln!("{}: {kind} handled", sender.subject());
    (StatusCode::CREATED, format!("{kind} handled\n"))
}
