//! A gRPC server that requires a token with a scope, and a client that calls it three times.
//!
//! Run `cargo run -p grpc [-- ADDRESS]`. The default address is `127.0.0.1:0`.
#![allow(clippy::print_stdout)]

use std::{
    error::Error,
    time::{SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;
use tonic::transport::{Channel, Endpoint, Server, server::TcpIncoming};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tower_auth::{AuthenticateLayer, JwtAuth, RequireScopes, jwt::Keys};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // A real service only has the public keys of its issuer. This example is the issuer as well.
    let mut secret = [0; 32];
    aws_lc_rs::rand::fill(&mut secret)?;
    let keys = Keys::hs256(&secret);
    let tokens = JwtAuth::builder(keys).issuer("https://issuer.example").audience("api").build()?;

    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".into());
    let incoming = TcpIncoming::bind(address.parse()?)?;
    let url = format!("http://{}", incoming.local_addr()?);
    let server = Server::builder()
        .layer(AuthenticateLayer::new(tokens))
        .layer(RequireScopes::all(["health:read"]))
        .add_service(tonic_health::server::health_reporter().1);
    tokio::spawn(server.serve_with_incoming(incoming));

    let client = HealthClient::new(Endpoint::new(url)?.connect().await?);
    let bearer = |scope| token(&secret, scope).map(|token| format!("Bearer {token}"));
    println!("without a token: {}", check(&client, None).await?);
    println!("without the scope: {}", check(&client, Some(bearer("orders:read")?)).await?);
    println!("with both: {}", check(&client, Some(bearer("health:read")?)).await?);
    Ok(())
}

async fn check(
    client: &HealthClient<Channel>,
    sent: Option<String>,
) -> Result<String, Box<dyn Error>> {
    let mut request = tonic::Request::new(HealthCheckRequest::default());
    if let Some(sent) = sent {
        request.metadata_mut().insert("authorization", sent.parse()?);
    }
    Ok(match client.clone().check(request).await {
        Ok(answer) => format!("{:?}", answer.get_ref().status()),
        Err(status) => format!("{:?}", status.code()),
    })
}

/// Signs a token that is valid for an hour, as the issuer would.
fn token(secret: &[u8], scope: &str) -> Result<String, Box<dyn Error>> {
    let end = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() + 3600;
    let header = json!({ "alg": "HS256", "typ": "JWT" });
    let claims = json!({
        "iss": "https://issuer.example", "aud": "api", "sub": "prober", "exp": end, "scope": scope,
    });
    let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    let signed = format!("{header}.{claims}");
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), signed.as_bytes());
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}
