//! A hyper server for HTTP/1 and HTTP/2 that requires a password.
//!
//! Run `cargo run --example hyper_server [-- ADDRESS]`, then the `curl` command that it prints. The
//! default address is `127.0.0.1:3000`.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::{convert::Infallible, error::Error};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::net::TcpListener;
use tower::ServiceBuilder;
use tower_auth::{AuthenticateLayer, BasicAuth, Principal, basic::Users};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let password = random_text()?;
    let staff = BasicAuth::new("staff", Users::new([("alice", &password)])?)?;
    let service = ServiceBuilder::new().layer(AuthenticateLayer::new(staff)).service_fn(greet);

    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3000".into());
    let listener = TcpListener::bind(address).await?;
    let url = format!("http://{}", listener.local_addr()?);
    println!("listening on {url}");
    println!("curl -i -u alice:{password} {url}/");

    loop {
        let (stream, _) = listener.accept().await?;
        let service = TowerToHyperService::new(service.clone());
        tokio::spawn(async move {
            let http = auto::Builder::new(TokioExecutor::new());
            if let Err(error) = http.serve_connection(TokioIo::new(stream), service).await {
                eprintln!("hyper_server: {error}");
            }
        });
    }
}

async fn greet(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let caller = request.extensions().get().map_or("anonymous", Principal::subject);
    Ok(Response::new(Full::from(format!("hello {caller}\n"))))
}

fn random_text() -> Result<String, Box<dyn Error>> {
    let mut bytes = [0; 12];
    aws_lc_rs::rand::fill(&mut bytes)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}
