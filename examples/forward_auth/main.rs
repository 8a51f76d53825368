//! An authentication server for nginx `auth_request`, Traefik ForwardAuth and Caddy `forward_auth`.
//!
//! Run `cargo run -p forward_auth -- CONFIG.toml`. README.md describes the configuration.
//!
//! A request under `/NAME/` is checked against the profile NAME. An admitted request gets 200 with
//! the principal as JSON. A rejected request gets the response of tower-auth.

mod basic;
mod bearer;
mod config;
mod require;

use std::{error::Error, net::SocketAddr, path::Path, process::ExitCode, sync::Arc};

use axum::{
    Json, Router,
    body::Body,
    routing::{MethodRouter, any},
};
use serde_json::{Value, json};
use tower_auth::{
    AnyOf, AuthenticateLayer, Authenticator, AuthorizeLayer, JwtAuth, Principal,
    jwt::Issuers,
    respond::{HttpStatus, ProblemJson, Respond},
};

use crate::config::{Config, Errors, Profile};

#[tokio::main]
async fn main() -> ExitCode {
    let Some(path) = std::env::args().nth(1) else {
        eprintln!("usage: forward_auth CONFIG.toml");
        return ExitCode::FAILURE;
    };
    match serve(path.as_ref()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("forward_auth: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(path: &Path) -> Result<(), Box<dyn Error>> {
    let config = Config::read(path)?;
    let (mut app, mut notes) = (Router::new(), Vec::new());
    for (name, profile) in &config.profiles {
        // Proxies read only the HTTP status, so no request may select the 200 of a gRPC rejection.
        let route = match profile.errors() {
            None => protected_route(profile, HttpStatus::default(), &config.dir, &mut notes),
            Some(Errors::ProblemJson) => {
                protected_route(profile, ProblemJson::default(), &config.dir, &mut notes)
            }
        };
        let route = route.map_err(|error| format!("profile {name}: {error:#}"))?;
        app = app
            .route(&format!("/{name}/"), route.clone())
            .route(&format!("/{name}/{{*path}}"), route);
    }
    let listener = tokio::net::TcpListener::bind(config.listen)
        .await
        .map_err(|error| format!("cannot listen on {}: {error}", config.listen))?;
    for note in notes {
        eprintln!("forward_auth: {note}");
    }
    println!("listening on http://{}", listener.local_addr()?);
    // The throttle needs the address of the peer.
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    Ok(axum::serve(listener, app).await?)
}

fn protected_route<R>(
    profile: &Profile,
    errors: R,
    dir: &Path,
    notes: &mut Vec<String>,
) -> Result<MethodRouter, Box<dyn Error>>
where
    R: Respond<Body> + Send + Sync + 'static,
{
    let mut handler = any(show_principal);
    if let Some(policy) = profile.policy()? {
        handler = handler.layer(AuthorizeLayer::new(policy));
    }
    let jwt_auths = profile.jwt_auths(dir)?;
    notes.extend(
        jwt_auths.iter().flat_map(JwtAuth::skipped_keys).map(|key| format!("skipped {key}")),
    );
    let mut schemes: Vec<Arc<dyn Authenticator>> = Vec::new();
    if !jwt_auths.is_empty() {
        schemes.push(Arc::new(Issuers::new(jwt_auths)?));
    }
    if let Some(basic) = profile.basic_auth(dir)? {
        schemes.push(Arc::new(basic));
    }
    if schemes.is_empty() {
        return Err("add a table `basic`, a table `bearer`, or both".into());
    }
    Ok(handler.layer(AuthenticateLayer::new(AnyOf::from_iter(schemes)).responder(errors)))
}

async fn show_principal(caller: Principal) -> Json<Value> {
    Json(json!({
        "subject": caller.subject(),
        "scheme": caller.scheme().as_str(),
        "scopes": caller.scopes().iter().collect::<Vec<_>>(),
        "issuer": caller.issuer(),
    }))
}
