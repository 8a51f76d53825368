//! The routes of a server.

use std::{error::Error, time::Duration};

use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    routing::{get, post},
};
use tower_auth::{
    AuthenticateLayer, JwtAuth, Principal, Rejection, RequireScopes,
    revocation::{BackchannelLogout, Revocations},
    store::SealedStore,
};

use crate::issuer::{AUDIENCE, CLIENT_ID, Issuer};

#[derive(Clone)]
struct Logout {
    issuer: String,
    revocations: Revocations,
}

pub fn app(issuer: &Issuer, store: SealedStore) -> Result<Router, Box<dyn Error>> {
    let revocations = Revocations::builder(store)
        .longest_token_life(Issuer::TOKEN_LIFE)
        // Ask the store for each request, so that a logout is effective at once. The default is
        // 5 s, which saves nearly all round trips.
        .staleness(Duration::ZERO)
        .build()?;
    let tokens = JwtAuth::builder(issuer.keys())
        .issuer(&*issuer.name)
        .audience(AUDIENCE)
        .revocations(revocations.clone())
        .build()?;
    let backchannel = BackchannelLogout::builder(issuer.keys())
        .issuer(&*issuer.name)
        .client_id(CLIENT_ID)
        .revocations(revocations.clone())
        .build()?;

    let admin = RequireScopes::all(["users:logout"]);
    let logout = Logout { issuer: issuer.name.clone(), revocations };
    Ok(Router::new()
        .route("/orders", get(async |caller: Principal| format!("hello {}\n", caller.subject())))
        .route("/logout", post(log_out))
        .route("/logout-everywhere", post(log_out_everywhere))
        .route("/users/{user}/logout", post(log_out_user).layer(admin))
        .with_state(logout)
        .layer(AuthenticateLayer::new(tokens))
        // Outside the authentication layer: the provider sends a logout token instead.
        .route_service("/backchannel-logout", backchannel))
}

/// Revokes the token with which the request was sent.
async fn log_out(caller: Principal, State(logout): State<Logout>) -> Result<StatusCode, Rejection> {
    logout.revocations.token(&caller).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Revokes all tokens of the caller that were issued until now.
async fn log_out_everywhere(
    caller: Principal,
    State(logout): State<Logout>,
) -> Result<StatusCode, Rejection> {
    logout.revocations.subject(&logout.issuer, caller.subject()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Revokes all tokens of another user. Only administrators may.
async fn log_out_user(
    Path(user): Path<String>,
    State(logout): State<Logout>,
) -> Result<StatusCode, Rejection> {
    logout.revocations.subject(&logout.issuer, &user).await?;
    Ok(StatusCode::NO_CONTENT)
}
