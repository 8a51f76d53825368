//! The axum server, in a process of its own, so that its CPU time does not include the clients.

use std::future::IntoFuture as _;

use axum::{Router, routing::get};
use tokio::{net::TcpListener, runtime::Runtime, task::JoinSet};
use tower_auth::{
    AuthenticateLayer, AuthorizeLayer, JwtAuth, Policy, RequireRoles, RequireScopes,
    extract::Claims,
    jwt::{Keys, TokenCache},
};
use tower_auth_test_support::token::{AUDIENCE, ISSUER, User};

use crate::{ROLE, SCOPES};

/// The first argument of the server process. The second is the key set.
pub(crate) const ARGUMENT: &str = "serve";

pub(crate) struct ServerCase {
    pub(crate) name: &'static str,
    /// The algorithm of the tokens, or `None` for a server without a layer.
    pub(crate) algorithm: Option<&'static str>,
    is_cached: bool,
}

pub(crate) const CASES: [ServerCase; 5] = [
    ServerCase { name: "open", algorithm: None, is_cached: false },
    ServerCase { name: "HS256", algorithm: Some("HS256"), is_cached: false },
    ServerCase { name: "RS256", algorithm: Some("RS256"), is_cached: false },
    ServerCase { name: "HS256, cached", algorithm: Some("HS256"), is_cached: true },
    ServerCase { name: "RS256, cached", algorithm: Some("RS256"), is_cached: true },
];

/// Serves all cases, and prints their addresses. Does not return.
pub(crate) fn run(keys: &str) {
    Runtime::new().unwrap().block_on(async {
        let mut servers = JoinSet::new();
        for case in &CASES {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            println!("listening on http://{}", listener.local_addr().unwrap());
            servers.spawn(axum::serve(listener, app(case, keys)).into_future());
        }
        servers.join_all().await;
    });
}

fn app(case: &ServerCase, keys: &str) -> Router {
    if case.algorithm.is_none() {
        return Router::new().route("/", get(async || "ok"));
    }
    let keys = Keys::from_json(keys).unwrap();
    let mut builder = JwtAuth::builder(keys).issuer(ISSUER).audience(AUDIENCE);
    if case.is_cached {
        builder = builder.cache(TokenCache::new(1 << 20).cache_hmac());
    }
    let policy = RequireScopes::all(SCOPES).and(RequireRoles::any([ROLE]));
    Router::new()
        .route("/", get(handler).layer(AuthorizeLayer::new(policy)))
        .layer(AuthenticateLayer::new(builder.build().unwrap()))
}

async fn handler(Claims(user): Claims<User>) -> &'static str {
    std::hint::black_box(user);
    "ok"
}
