//! An API whose logins and rejections are counted for Prometheus. `README.md` describes it.
//!
//! Run `cargo run -p metrics_server -- [ADDRESS [ADDRESS]]`, then the `curl` commands that it
//! prints.

mod app;
mod issuer;
mod metrics;

use std::{env, error::Error};

use axum::{Router, routing::get};
use tokio::{net::TcpListener, try_join};
use tower_auth::observe::{self, Metrics, Tracing};

use self::{app::app, issuer::Issuer};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let issuer = Issuer::new()?;

    // The recorder first: events before it are not counted.
    let handle = metrics::install_recorder()?;
    let counted = Metrics::builder().issuers(Issuer::NAME).build();
    observe::set_default((Tracing::default(), counted))?;

    let mut arguments = env::args().skip(1);
    let mut bind = async |default: &str| {
        TcpListener::bind(arguments.next().unwrap_or_else(|| default.into())).await
    };
    let public = bind("127.0.0.1:3000").await?;
    // Only for operators: the metrics tell an attacker which guesses were rejected, and why.
    let internal = bind("127.0.0.1:9000").await?;
    let url = format!("http://{}", public.local_addr()?);
    println!("listening on {url}");

    let (app, password) = app(&issuer)?;
    let (reader, admin) = (issuer.token("orders:read")?, issuer.token("admin")?);
    println!("curl -i {url}/orders # 401");
    println!("curl -i -u alice:{password} {url}/orders # 200");
    println!("curl -i -u alice:wrong {url}/orders # 401");
    println!("curl -i -H 'Authorization: Bearer {reader}' {url}/orders/7 # 200");
    println!("curl -i -H 'Authorization: Bearer {reader}' {url}/reports # 403");
    println!("curl -i -H 'Authorization: Bearer {admin}' {url}/reports # 200");
    println!("curl -i -H 'Authorization: Bearer {reader}x' {url}/orders/8 # 401");
    println!("curl -i http://{}/metrics # 200", internal.local_addr()?);

    let metrics = Router::new().route("/metrics", get(metrics::render)).with_state(handle.clone());
    tokio::spawn(metrics::run_upkeep(handle));
    let (public, internal) = (axum::serve(public, app), axum::serve(internal, metrics));
    try_join!(public, internal)?;
    Ok(())
}
