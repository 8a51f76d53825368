//! The routes with which users manage their API keys.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, State},
    http::{StatusCode, header::CACHE_CONTROL},
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tower_auth::{
    Principal, Rejection,
    api_key::{ApiKeyError, ApiKeyInfo, ApiKeys, CreatedApiKey, NewApiKey},
};

const MAX_BODY: usize = 8 * 1024;
/// How long a key is valid after another one has replaced it.
const OVERLAP: Duration = Duration::from_secs(24 * 60 * 60);

/// What a user may ask for. Without a body, a key has no name and no scopes, and is valid for 90
/// days.
#[derive(Default, Deserialize)]
// A misspelled member must not create a key that is valid for longer than intended.
#[serde(deny_unknown_fields, default)]
struct NewKey {
    name: String,
    scopes: Vec<String>,
    /// In seconds.
    lifetime: Option<u64>,
}

/// Returns the routes. The layer around them must accept access tokens only: an API key, or a
/// cookie that a browser sends, must not be enough to create a key.
pub fn routes(api_keys: ApiKeys) -> Router {
    Router::new()
        .route("/api-keys", get(list).post(create))
        .route("/api-keys/{id}", delete(revoke))
        .route("/api-keys/{id}/rotate", post(rotate))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(api_keys)
}

async fn create(
    State(api_keys): State<ApiKeys>,
    caller: Principal,
    body: Bytes,
) -> Result<impl IntoResponse, Response> {
    let request = if body.is_empty() {
        NewKey::default()
    } else {
        serde_json::from_slice(&body)
            .map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()).into_response())?
    };
    let mut key = NewApiKey::new(request.name).scopes(request.scopes);
    if let Some(seconds) = request.lifetime {
        key = key.lifetime(Duration::from_secs(seconds));
    }
    api_keys.create(&caller, key).await.map(show).map_err(reject)
}

async fn rotate(
    State(api_keys): State<ApiKeys>,
    caller: Principal,
    Path(id): Path<String>,
) -> Result<impl IntoResponse, Response> {
    api_keys.rotate(&caller, &id, OVERLAP).await.map(show).map_err(reject)
}

async fn list(
    State(api_keys): State<ApiKeys>,
    caller: Principal,
) -> Result<impl IntoResponse, Response> {
    let keys = api_keys.list(caller.subject()).await.map_err(reject)?;
    let keys: Vec<_> = keys.iter().map(describe).collect();
    Ok(([(CACHE_CONTROL, "no-store")], Json(json!({ "api_keys": keys }))))
}

async fn revoke(
    State(api_keys): State<ApiKeys>,
    caller: Principal,
    Path(id): Path<String>,
) -> Result<StatusCode, Response> {
    // A key of another user is not found, like one that does not exist.
    api_keys.revoke(caller.subject(), &id).await.map_err(reject)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Shows a new key. The only time: the database has a hash of it.
fn show(created: CreatedApiKey) -> impl IntoResponse {
    let mut body = describe(created.info());
    body["key"] = created.key().into();
    (StatusCode::CREATED, [(CACHE_CONTROL, "no-store")], Json(body))
}

fn describe(key: &ApiKeyInfo) -> Value {
    json!({
        "id": *key.id,
        "name": *key.name,
        "scopes": key.scopes.iter().collect::<Vec<_>>(),
        "created_at": seconds(key.created_at),
        "expires_at": seconds(key.expires_at),
        "revoked_at": key.revoked_at.map(seconds),
    })
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn reject(error: ApiKeyError) -> Response {
    let status = match error {
        ApiKeyError::NotFound => StatusCode::NOT_FOUND,
        ApiKeyError::TooMany => StatusCode::CONFLICT,
        ApiKeyError::Invalid(_) => StatusCode::BAD_REQUEST,
        // For example 401, which tells the client that the user must log in again, or 503.
        error => return Rejection::from(error).into_response(),
    };
    (status, error.to_string()).into_response()
}
