//! A web page that keeps its token in a cookie. `README.md` describes it.
//!
//! Run `cargo run -p browser -- [ADDRESS] [--tls] [--lifetime SECONDS]`.

mod app;
mod login;
mod notes;
mod socket;
mod tls;
mod token;

use std::{
    env,
    error::Error,
    io,
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use tower_auth::transport::Forwarded;
use tracing::Level;
use tracing_subscriber::{filter::Targets, prelude::*};

use self::{app::app, token::Issuer};

/// The names in the certificate. The last two are for the tests.
const NAMES: [&str; 4] = ["localhost", "127.0.0.1", "app.test", "sibling.app.test"];

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // Logs the reasons of rejections, which callers do not see.
    let rejections = Targets::new().with_target("tower_auth", Level::DEBUG);
    let log = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(io::stderr);
    tracing_subscriber::registry().with(log.with_filter(rejections)).init();

    let arguments = Arguments::parse(env::args().skip(1))?;
    let listener = TcpListener::bind(arguments.address)?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;

    // Behind a proxy that terminates TLS, this is `Forwarded::from_proxies`.
    let direct = Forwarded::direct();
    let forwarded = if arguments.tls { direct.tls() } else { direct };
    let service = app(forwarded, Issuer::new(arguments.lifetime)?)?
        .into_make_service_with_connect_info::<SocketAddr>();
    if arguments.tls {
        println!("listening on https://{address}");
        let server = axum_server::from_tcp_rustls(listener, tls::self_signed(&NAMES)?)?;
        server.serve(service).await?;
    } else {
        println!("listening on http://{address}");
        axum_server::from_tcp(listener)?.serve(service).await?;
    }
    Ok(())
}

/// The arguments of the command line.
struct Arguments {
    address: SocketAddr,
    tls: bool,
    lifetime: Duration,
}

impl Arguments {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, Box<dyn Error>> {
        let address = SocketAddr::from(([127, 0, 0, 1], 3000));
        let mut parsed = Self { address, tls: false, lifetime: Duration::from_secs(15 * 60) };
        while let Some(argument) = arguments.next() {
            match &*argument {
                "--tls" => parsed.tls = true,
                "--lifetime" => {
                    let seconds = arguments.next().ok_or("--lifetime needs a number of seconds")?;
                    parsed.lifetime = Duration::from_secs(u64::from(seconds.parse::<u32>()?));
                }
                address => parsed.address = address.parse()?,
            }
        }
        Ok(parsed)
    }
}
