//! Receives webhooks of GitHub, Stripe and Standard Webhooks, and handles each event once.
//!
//! Run `cargo run -p webhooks -- [ADDRESS]`, then the commands that it prints, in their order.

mod app;
mod lines;

use std::{env, error::Error};

use tokio::net::TcpListener;
use tower_auth::store::{Redis, SealedStore, StoreSecret};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    // Which events were handled. Processes that share a Redis server share this.
    let store = match env::var("REDIS_URL") {
        Ok(url) => {
            let file =
                env::var("STORE_SECRET_FILE").map_err(|_| "set STORE_SECRET_FILE as well")?;
            SealedStore::new(Redis::builder(url)?.build()?, StoreSecret::from_file(file)?)
        }
        Err(_) => SealedStore::memory(),
    };
    let app = app::app(&store)?;

    let listener = TcpListener::bind(&address).await?;
    let url = format!("http://{}", listener.local_addr()?);
    println!("listening on {url}");
    for line in lines::lines(&url) {
        println!("{line}");
    }
    axum::serve(listener, app).await?;
    Ok(())
}
