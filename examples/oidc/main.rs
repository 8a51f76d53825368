//! An API that accepts the tokens of a live issuer, such as Keycloak, Auth0, Entra or Google.
//!
//! Run `cargo run -p oidc -- ISSUER AUDIENCE [ADDRESS]`, then the `curl` commands that it prints.

use std::{env, error::Error};

use axum::{
    Router,
    routing::{delete, get},
};
use tower_auth::{AuthenticateLayer, JwtAuth, Principal, RequireScopes, health::Health, jwt::Jwks};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let (Some(issuer), Some(audience)) = (args.next(), args.next()) else {
        return Err("usage: oidc ISSUER AUDIENCE [ADDRESS]".into());
    };
    // The keys are found through the issuer's metadata, and fetched again when they rotate.
    let tokens = JwtAuth::builder(Jwks::discover(issuer)).audience(audience);
    // Tokens of the client credentials grant may have no `sub`.
    let tokens = tokens.subject_from(["sub", "client_id"]).build()?;

    let app = Router::new()
        .route("/orders", get(list))
        .route("/orders/{id}", delete(cancel).layer(RequireScopes::all(["write"])))
        .layer(AuthenticateLayer::new(tokens.clone()))
        // For the readiness probe. It needs no credentials and shows no details.
        .route_service("/ready", Health::new().keys("keys", &tokens).summary_only());

    let address = args.next().unwrap_or_else(|| "127.0.0.1:3000".into());
    let listener = tokio::net::TcpListener::bind(address).await?;
    let url = format!("http://{}", listener.local_addr()?);
    println!("listening on {url}");
    println!("curl -i {url}/ready # 200 once there are keys");
    println!("curl -i {url}/orders # 401");
    println!("curl -i -H \"Authorization: Bearer $TOKEN\" {url}/orders # 200");
    println!("curl -i -H \"Authorization: Bearer $TOKEN\" -X DELETE {url}/orders/7 # 200 or 403");
    Ok(axum::serve(listener, app).await?)
}

async fn list(caller: Principal) -> String {
    format!("hello {} of {}\n", caller.subject(), caller.issuer().unwrap_or("an unknown issuer"))
}

async fn cancel(caller: Principal) -> String {
    format!("cancelled by {}\n", caller.subject())
}
