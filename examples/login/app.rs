//! The routes of the service.

use std::time::Duration;

use axum::{Json, Router, routing::get};
use serde_json::{Value, json};
use tower_auth::{
    AuthenticateLayer, BasicAuth, Principal,
    issue::{AccessClaims, TokenIssuer, TokenRoutes},
    password::HashVerifier,
    store::SealedStore,
    throttle::Throttle,
    transport::{Forwarded, HttpsLayer},
};

use crate::{BoxError, accounts::Accounts, page};

/// The `iss` of the tokens. A real service uses its own URL. It is the same after a restart and in
/// all instances, so the example cannot use its address, whose port can change.
const ISSUER: &str = "https://login.example";
const AUDIENCE: &str = "login";

/// Returns the service. Each instance with the same store accepts the tokens of the others.
pub fn app(
    accounts: Accounts,
    store: SealedStore,
    access_lifetime: Duration,
) -> Result<Router, BoxError> {
    // Behind a proxy that terminates TLS, this is `Forwarded::from_proxies`.
    let forwarded = Forwarded::direct();
    let passwords = HashVerifier::new(accounts.clone()).renew_hashes();
    let throttle = Throttle::new(forwarded.clone()).shared(store.clone());
    let users = BasicAuth::new("login", passwords)?.throttle(throttle)?;
    let issuer = TokenIssuer::builder()
        .issuer(ISSUER)
        .audience(AUDIENCE)
        .access_lifetime(access_lifetime)
        .store(store)
        // Ask the store for each request, so that a logout takes effect at once in all instances.
        // The default is 5 s, which saves nearly all round trips.
        .staleness(Duration::ZERO)
        // Called at each login and each refresh. A deleted account gets no new tokens.
        .claims(move |request| {
            let accounts = accounts.clone();
            async move {
                let exists = accounts.contains(request.subject).await?;
                Ok::<_, BoxError>(exists.then(AccessClaims::none))
            }
        })
        .build()?;

    // For programs: the refresh token is in the response.
    let routes = TokenRoutes::builder(issuer.clone(), users.clone()).forwarded(forwarded.clone());
    // For the page: the refresh token is in a cookie, and requests of other sites are rejected.
    let page_routes =
        TokenRoutes::builder(issuer.clone(), users).cookie().forwarded(forwarded.clone());
    Ok(Router::new()
        .route("/me", get(me))
        .layer(AuthenticateLayer::new(issuer.verifier()))
        .merge(routes.build()?.into_router())
        .nest("/page", page_routes.build()?.into_router())
        .merge(page::routes())
        // The outermost layer: plain HTTP is accepted only on this machine. A real service does not
        // allow it there either, and sends HSTS.
        .layer(HttpsLayer::new(forwarded).dangerous_allow_loopback()))
}

async fn me(caller: Principal) -> Json<Value> {
    Json(json!({ "subject": caller.subject() }))
}
