//! An API that accepts tokens and passwords, and requires scopes.
//!
//! Run `cargo run --example protected_api`, then the `curl` commands that it prints.

use std::{
    error::Error,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use axum::{
    Router,
    extract::Path,
    routing::{delete, get},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;
use tower_auth::{
    AuthenticateLayer, BasicAuth, JwtAuth, Principal, RequireScopes, Scheme, any_of,
    basic::Users,
    jwt::{Algorithm, DecodingKey, Keys},
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // A real service only has the public keys of its issuer. This example is the issuer as well.
    let issuer = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
    let public = DecodingKey::from_ec_der(issuer.public_key().as_ref());
    let tokens = JwtAuth::builder(Keys::new(Algorithm::ES256, public))
        .issuer("https://issuer.example")
        .audience("orders")
        .realm("orders")
        .build()?;

    let password = random_text()?;
    let alice = Principal::builder("alice", Scheme::BASIC).scopes(["orders:read"]).build();
    let staff = BasicAuth::new("orders", Users::default().with(alice, &password)?)?;

    let app = Router::new()
        .route("/orders", get(list).layer(RequireScopes::all(["orders:read"])))
        .route("/orders/{id}", delete(cancel).layer(RequireScopes::all(["orders:write"])))
        .layer(AuthenticateLayer::new(any_of((tokens, staff))))
        .route("/", get(async || "public\n"));

    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3000".into());
    let listener = tokio::net::TcpListener::bind(address).await?;
    let url = format!("http://{}", listener.local_addr()?);
    println!("listening on {url}");

    let reader = token(&issuer, "orders:read")?;
    let writer = token(&issuer, "orders:read orders:write")?;
    println!("curl -i {url}/ # 200");
    println!("curl -i {url}/orders # 401");
    println!("curl -i -u alice:{password} {url}/orders # 200");
    println!("curl -i -u alice:wrong {url}/orders # 401");
    println!("curl -i -H 'Authorization: Bearer {reader}' {url}/orders # 200");
    println!("curl -i -H 'Authorization: Bearer {reader}' -X DELETE {url}/orders/7 # 403");
    println!("curl -i -H 'Authorization: Bearer {writer}' -X DELETE {url}/orders/7 # 200");
    println!("curl -i -H 'Authorization: Bearer {writer}x' {url}/orders # 401");
    println!("curl -i -H 'Authorization: Bearer' {url}/orders # 400");

    Ok(axum::serve(listener, app).await?)
}

async fn list(caller: Principal) -> String {
    format!("hello {}, here are your orders\n", caller.subject())
}

async fn cancel(caller: Principal, Path(id): Path<u32>) -> String {
    format!("order {id} was cancelled by {}\n", caller.subject())
}

/// Signs a token that is valid for an hour, as the issuer would.
fn token(issuer: &EcdsaKeyPair, scope: &str) -> Result<String, Box<dyn Error>> {
    let end = SystemTime::now().duration_since(UNIX_EPOCH)? + Duration::from_secs(3600);
    let header = json!({ "alg": "ES256", "typ": "JWT" });
    let claims = json!({
        "iss": "https://issuer.example",
        "aud": "orders",
        "sub": "service-a",
        "exp": end.as_secs(),
        "scope": scope,
    });
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let signed =
        format!("{}.{}", encode(header.to_string().as_ref()), encode(claims.to_string().as_ref()));
    let signature = issuer.sign(&SystemRandom::new(), signed.as_bytes())?;
    Ok(format!("{signed}.{}", encode(signature.as_ref())))
}

fn random_text() -> Result<String, Box<dyn Error>> {
    let mut bytes = [0; 12];
    aws_lc_rs::rand::fill(&mut bytes)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}
