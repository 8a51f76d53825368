//! The path `health`: the state of the keys of each issuer.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use serde_json::{Value, json};
use tower_auth::{JwtAuth, bearer::TokenVerifier as _};

/// The verifier of an issuer, and the profile that has it.
pub(crate) struct IssuerKeys {
    pub(crate) profile: String,
    pub(crate) tokens: JwtAuth,
}

/// Returns 200 if all issuers have usable keys, and 503 if one has none.
///
/// Errors of fetches are only in the log, because they can contain internal addresses.
pub(crate) async fn show(State(issuers): State<Arc<[IssuerKeys]>>) -> (StatusCode, Json<Value>) {
    let states: Vec<_> = issuers
        .iter()
        .filter_map(|keys| {
            let health = keys.tokens.health()?;
            Some(json!({
                "profile": keys.profile,
                "issuers": keys.tokens.issuers().iter().map(|issuer| &**issuer).collect::<Vec<_>>(),
                "ready": health.is_ready(),
                "keys": health.to_string(),
            }))
        })
        .collect();
    let is_ready = states.iter().all(|state| state["ready"] == true);
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({ "ready": is_ready, "issuers": states })))
}
