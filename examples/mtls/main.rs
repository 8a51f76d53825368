//! An API for services that authenticate with client certificates. `README.md` describes it.
//!
//! Run `cargo run -p mtls -- FOLDER [ADDRESS] [--hyper]`, then the `curl` commands that it prints.

mod app;
mod hyper_server;
mod listener;
mod tls;

use std::{env, error::Error, path::Path};

use axum::serve;
use tokio::net::TcpListener;

use self::{
    app::app,
    listener::{ClientConnection, TlsListener},
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (options, arguments): (Vec<_>, Vec<_>) = env::args().skip(1).partition(|a| a == "--hyper");
    let Some(folder) = arguments.first() else {
        return Err("usage: mtls FOLDER [ADDRESS] [--hyper]".into());
    };
    let acceptor = tls::acceptor(Path::new(folder))?;
    let address = arguments.get(1).map_or("127.0.0.1:3000", String::as_str);
    let listener = TcpListener::bind(address).await?;
    print_commands(folder, listener.local_addr()?.port());

    if options.is_empty() {
        let connections = TlsListener::new(listener, acceptor)?;
        let app = app(listener::client_certificate())?;
        let app = app.into_make_service_with_connect_info::<ClientConnection>();
        serve(connections, app).await?;
    } else {
        hyper_server::serve(listener, acceptor, app(hyper_server::client_certificate())?).await;
    }
    Ok(())
}

fn print_commands(folder: &str, port: u16) {
    println!("listening on https://localhost:{port}");
    let curl = |client: &str, arguments: &str, status: u16| {
        let certificate = match client {
            "" => String::new(),
            _ => format!(" --cert '{folder}/{client}.pem' --key '{folder}/{client}.key'"),
        };
        let url = format!("https://localhost:{port}/orders");
        println!("curl -si --cacert '{folder}/ca.pem'{certificate} {url}{arguments} # {status}");
    };
    curl("", "", 401);
    curl("other", "", 401);
    curl("batch", "", 200);
    curl("batch", "/7 -X DELETE", 403);
    curl("shop", "/7 -X DELETE", 200);
}
