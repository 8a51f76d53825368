//! The routes of the service.

use std::time::Duration;

use axum::{Json, Router, routing::get};
use serde_json::{Value, json};
use tower_auth::{
    AuthenticateLayer, BasicAuth, Principal, any_of,
    api_key::{ApiKeys, KeyOwner},
    bearer::BearerAuth,
    credentials::TokenLocation,
    issue::{AccessClaims, TokenIssuer, TokenRoutes},
    password::HashVerifier,
    store::SealedStore,
    throttle::Throttle,
    transport::{Forwarded, HttpsLayer},
};

use crate::{
    BoxError, accounts::Accounts, api_keys::StoredKeys, database::Database, key_routes, page,
};

/// The `iss` of the tokens. A real service uses its own URL. It is the same after a restart and in
/// all instances, so the example cannot use its address, whose port can change.
const ISSUER: &str = "https://login.example";
const AUDIENCE: &str = "login";
/// The names of other services, which this one calls for a user.
const SERVICES: [&str; 1] = ["stock"];
/// The start of each API key.
const KEY_PREFIX: &str = "login";

/// Returns the service. Each instance with the same store accepts the tokens of the others.
pub fn app(
    database: Database,
    store: SealedStore,
    access_lifetime: Duration,
) -> Result<Router, BoxError> {
    // Behind a proxy that terminates TLS, this is `Forwarded::from_proxies`.
    let forwarded = Forwarded::direct();
    let accounts = Accounts::new(database.clone());
    let passwords = HashVerifier::new(accounts.clone()).renew_hashes();
    let throttle = Throttle::new(forwarded.clone()).shared(store.clone());
    let users = BasicAuth::new("login", passwords)?.throttle(throttle)?;
    let api_keys = api_keys(database, accounts.clone(), forwarded.clone())?;
    let issuer = TokenIssuer::builder()
        .issuer(ISSUER)
        .audience(AUDIENCE)
        // Tokens for these are issued at `/token` and `/token/exchange` only.
        .service_audiences(SERVICES)
        .access_lifetime(access_lifetime)
        .store(store)
        // Ask the store for each request, so that a logout takes effect at once in all instances.
        // The default is 5 s, which saves nearly all round trips.
        .staleness(Duration::ZERO)
        // Called for each access token. A deleted account gets none. Tokens for this service come
        // from logins only: otherwise, an API key could get one that manages keys.
        .claims(move |request| {
            let accounts = accounts.clone();
            async move {
                let is_login = !request.is_client && !request.is_exchange;
                let is_here = request.audience.iter().any(|audience| audience == AUDIENCE);
                let is_allowed = is_login || !is_here;
                let exists = is_allowed && accounts.contains(request.subject).await?;
                Ok::<_, BoxError>(exists.then(AccessClaims::none))
            }
        })
        // They stay valid after "log out everywhere", which therefore lists them.
        .api_keys(api_keys.clone())
        .build()?;

    // For programs: the refresh token is in the response. A client is the owner of an API key.
    let routes = TokenRoutes::builder(issuer.clone(), users.clone())
        .client_keys(api_keys.clone())
        .forwarded(forwarded.clone());
    // For the page: the refresh token is in a cookie, and requests of other sites are rejected.
    let page_routes =
        TokenRoutes::builder(issuer.clone(), users).cookie().forwarded(forwarded.clone());
    let key_header =
        BearerAuth::new(api_keys.clone()).token_from(TokenLocation::header("x-api-key"));
    Ok(Router::new()
        .route("/me", get(me))
        .layer(AuthenticateLayer::new(any_of((issuer.verifier(), key_header))))
        .merge(key_routes::routes(api_keys).layer(AuthenticateLayer::new(issuer.verifier())))
        .merge(routes.build()?.into_router())
        .nest("/page", page_routes.build()?.into_router())
        .merge(page::routes())
        // The outermost layer: plain HTTP is accepted only on this machine. A real service does not
        // allow it there either, and sends HSTS.
        .layer(HttpsLayer::new(forwarded).dangerous_allow_loopback()))
}

fn api_keys(
    database: Database,
    accounts: Accounts,
    forwarded: Forwarded,
) -> Result<ApiKeys, BoxError> {
    let api_keys = ApiKeys::builder(KEY_PREFIX, StoredKeys::new(database))
        // Called for each request with a key: those of a deleted account are rejected at once.
        .owners(move |owner| {
            let accounts = accounts.clone();
            async move {
                let exists = accounts.contains(owner).await?;
                Ok::<_, BoxError>(exists.then(KeyOwner::with_all_scopes))
            }
        })
        .throttle(Throttle::new(forwarded))
        .build()?;
    Ok(api_keys)
}

async fn me(caller: Principal) -> Json<Value> {
    Json(json!({ "subject": caller.subject() }))
}
