//! An authentication server for nginx `auth_request`, Traefik ForwardAuth and Caddy `forward_auth`.
//!
//! Run `cargo run -p forward_auth -- CONFIG.toml`. README.md describes the configuration.
//!
//! A request under `/NAME/` is checked against the profile NAME. An admitted request gets 200 with
//! the principal as JSON. A rejected request gets the response of tower-auth.

mod address;
mod basic;
mod bearer;
mod config;
mod fault;
mod headers;
mod health;
mod one_or_many;
mod preflight;
mod profile;
mod report_limit;
mod require;
mod subrequest;
mod table;

use std::{error::Error, io, net::SocketAddr, path::Path, process::ExitCode};

use axum::{Router, routing::get};
use tracing_subscriber::EnvFilter;

use crate::config::Config;

/// What is logged if the environment variable `RUST_LOG` is not set.
const DEFAULT_LOG: &str = "warn,tower_auth=info,forward_auth=info";

#[tokio::main]
async fn main() -> ExitCode {
    let Some(path) = std::env::args().nth(1) else {
        eprintln!("usage: forward_auth CONFIG.toml");
        return ExitCode::FAILURE;
    };
    let filter = std::env::var("RUST_LOG").unwrap_or_else(|_| DEFAULT_LOG.into());
    let filter = match EnvFilter::try_new(filter) {
        Ok(filter) => filter,
        Err(error) => {
            eprintln!("forward_auth: RUST_LOG: {error}");
            return ExitCode::FAILURE;
        }
    };
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).init();
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
    let (mut app, mut issuers) = (Router::new(), Vec::new());
    for (name, profile) in &config.profiles {
        let route = profile.route(name, &config.dir, &mut issuers);
        let route = route.map_err(|fault| {
            format!("{}: {}", path.display(), fault.within(&format!("profiles.{name}")))
        })?;
        app = app
            .route(&format!("/{name}/"), route.clone())
            .route(&format!("/{name}/{{*path}}"), route);
    }
    if let Some(path) = &config.health {
        app = app.route(path, get(health::show).with_state(issuers.into()));
    }
    let listener = tokio::net::TcpListener::bind(config.listen).await.map_err(|error| {
        format!("{}: listen: cannot listen on {}: {error}", path.display(), config.listen)
    })?;
    config.warn_about_exposure();
    println!("listening on http://{}", listener.local_addr()?);
    // The throttle needs the address of the peer.
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    Ok(axum::serve(listener, app).await?)
}
