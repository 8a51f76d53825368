//! A web application with login at an OpenID provider. `README.md` describes it.
//!
//! Run `cargo run -p oidc_login -- --issuer URL --client ID --secret SECRET`.

mod app;
mod arguments;
mod pages;

use std::{env, error::Error, io, net::SocketAddr};

use tokio::net::TcpListener;
use tower_auth::store::{Redis, SealedStore, StoreSecret};
use tracing::Level;
use tracing_subscriber::{filter::Targets, prelude::*};

use self::arguments::{Arguments, HELP};

type BoxError = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let Some(arguments) = Arguments::parse(env::args().skip(1))? else {
        println!("{HELP}");
        return Ok(());
    };
    // Logs logins and logouts, and the reasons of rejections, which users do not see.
    let events = Targets::new().with_target("tower_auth", Level::DEBUG);
    let log = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(io::stderr);
    tracing_subscriber::registry().with(log.with_filter(events)).init();

    let listener = TcpListener::bind(arguments.listen).await?;
    let port = listener.local_addr()?.port();
    // Browsers accept `Secure` cookies from `localhost` without TLS. The provider redirects to the
    // same name, because cookies belong to a host name.
    let origin = arguments.origin.clone().unwrap_or(format!("http://localhost:{port}"));
    let app = app::app(&arguments, &origin, open_store(&arguments)?)?;
    println!("listening on {origin}");
    Ok(axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await?)
}

/// Opens the store of the sessions.
fn open_store(arguments: &Arguments) -> Result<SealedStore, BoxError> {
    let Some(url) = &arguments.store else { return Ok(SealedStore::memory()) };
    // Seals the sessions and the cookies of logins. All processes need the same secret.
    let secret = StoreSecret::from_file(&arguments.store_secret)?;
    Ok(SealedStore::new(Redis::builder(url)?.build()?, secret))
}
