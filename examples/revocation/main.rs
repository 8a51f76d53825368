//! Logout on one server, effective on all servers that share a store. `README.md` describes it.
//!
//! Run `cargo run -p revocation -- [--store memory|redis://HOST] [--secret-file PATH] [ADDRESS
//! [ADDRESS]]`, then the `curl` commands that it prints, in their order.

mod app;
mod arguments;
mod issuer;
mod lines;
mod store;

use std::{env, error::Error};

use tokio::{net::TcpListener, try_join};

use self::{app::app, arguments::Arguments, issuer::Issuer};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse(env::args().skip(1))?;
    let store = store::open(&arguments.store, arguments.secret_file.as_deref())?;
    let issuer = Issuer::new()?;

    // Two servers, as if they were two processes: they share nothing but the store.
    let [first, second] = &arguments.addresses;
    let (first, second) = (TcpListener::bind(first).await?, TcpListener::bind(second).await?);
    let urls = [&first, &second].map(|listener| listener.local_addr());
    let [url, other_url] = urls.map(|address| address.map(|address| format!("http://{address}")));
    let (url, other_url) = (url?, other_url?);
    let first = axum::serve(first, app(&issuer, store.clone())?);
    let second = axum::serve(second, app(&issuer, store)?);

    println!("listening on {url} and {other_url}");
    for line in lines::lines(&issuer, &url, &other_url)? {
        println!("{line}");
    }
    try_join!(first, second)?;
    Ok(())
}
