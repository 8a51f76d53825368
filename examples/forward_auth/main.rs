//! A stand-alone authentication server for nginx `auth_request`, Traefik ForwardAuth and Caddy
//! `forward_auth`: `cargo run -p forward_auth -- CONFIG.toml`.
//!
//! Every request under `/NAME/` is judged by the profile NAME of the configuration. Who is admitted
//! gets 200 and who they are as JSON; who is not gets the crate's own response.

mod basic;
mod bearer;
mod config;
mod require;

use std::{error::Error, net::SocketAddr, path::Path, process::ExitCode};

use axum::{
    Json, Router,
    body::Body,
    routing::{MethodRouter, any},
};
use serde_json::{Value, json};
use tower_auth::{
    AuthenticateLayer, Authenticator, AuthorizeLayer, JwtAuth, Principal, any_of,
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
            eprintln!("forward_auth: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(path: &Path) -> Result<(), Box<dyn Error>> {
    let config = Config::read(path)?;
    let (mut app, mut notes) = (Router::new(), Vec::new());
    for (name, profile) in &config.profiles {
        // Proxies read the status alone, so that no request may choose to be refused with gRPC's 200.
        let guarded = match profile.errors() {
            None => guarded(profile, HttpStatus::default(), &config.dir, &mut notes),
            Some(Errors::ProblemJson) => {
                guarded(profile, ProblemJson::default(), &config.dir, &mut notes)
            }
        };
        let guarded = guarded.map_err(|error| format!("profile {name}: {error}"))?;
        app = app
            .route(&format!("/{name}/"), guarded.clone())
            .route(&format!("/{name}/{{*path}}"), guarded);
    }
    let listener = tokio::net::TcpListener::bind(config.listen)
        .await
        .map_err(|error| format!("cannot listen on {}: {error}", config.listen))?;
    for note in notes {
        eprintln!("forward_auth: {note}");
    }
    println!("listening on http://{}", listener.local_addr()?);
    // Throttles ask who connects.
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    Ok(axum::serve(listener, app).await?)
}

fn guarded<R>(
    profile: &Profile,
    errors: R,
    dir: &Path,
    notes: &mut Vec<String>,
) -> Result<MethodRouter, Box<dyn Error>>
where
    R: Respond<Body> + Copy + Send + Sync + 'static,
{
    let mut inside = any(admitted);
    if let Some(policy) = profile.policy()? {
        inside = inside.layer(AuthorizeLayer::new(policy).responder(errors));
    }
    let validators = profile.validators(dir)?;
    notes.extend(
        validators.iter().flat_map(JwtAuth::skipped_keys).map(|key| format!("skipped {key}")),
    );
    let bearer = (!validators.is_empty()).then(|| Issuers::new(validators)).transpose()?;
    let basic = profile.basic_auth(dir)?;
    match (basic, bearer) {
        (Some(basic), Some(bearer)) => Ok(behind(any_of(bearer, basic), errors, inside)),
        (Some(basic), None) => Ok(behind(basic, errors, inside)),
        (None, Some(bearer)) => Ok(behind(bearer, errors, inside)),
        (None, None) => Err("give it a table `basic`, a table `bearer`, or both".into()),
    }
}

fn behind<A, R>(authenticator: A, errors: R, inside: MethodRouter) -> MethodRouter
where
    A: Authenticator<Future: Send> + Send + Sync + 'static,
    R: Respond<Body> + Send + Sync + 'static,
{
    inside.layer(AuthenticateLayer::new(authenticator).responder(errors))
}

async fn admitted(caller: Principal) -> Json<Value> {
    Json(json!({
        "subject": caller.subject(),
        "scheme": caller.scheme().as_str(),
        "scopes": caller.scopes().iter().collect::<Vec<_>>(),
        "issuer": caller.issuer(),
    }))
}
