//! A service that caches the key set of an issuer over HTTP, while the keys of the issuer rotate.

use std::{collections::HashSet, time::Duration};

use axum::Router;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::future::join_all;
use tower_auth::{
    JwtAuth,
    issue::{SigningKeys, TokenIssuer},
    jwt::Jwks,
    test_util::{TestClock, principal},
};
use tower_auth_test_support::{store::SwitchedStore, stub::wait_until};

use crate::{send, serve};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

struct Services {
    clock: TestClock,
    issuer: TokenIssuer,
    /// The address of the service that verifies tokens.
    orders: String,
}

/// Starts an issuer whose keys rotate each hour, and a service that fetches them every 10 min, and
/// otherwise only once a day for an unknown key.
async fn start(discover: bool) -> Services {
    let clock = TestClock::new();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let issuer = TokenIssuer::builder()
        .issuer(&*url)
        .audience("orders")
        .store(SwitchedStore::new(clock.clone()).sealed())
        .keys(SigningKeys::es256().rotate_after(HOUR).publish_ahead(HOUR / 2))
        .clock(clock.clone())
        .build()
        .unwrap();
    let metadata = issuer.metadata().build().unwrap();
    let path = metadata.path().to_owned();
    let app: Router = Router::new()
        .route_service("/.well-known/jwks.json", issuer.jwks_document())
        .route_service(&path, metadata);
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });

    let keys = match discover {
        true => Jwks::discover(&*url),
        false => Jwks::url(format!("{url}/.well-known/jwks.json")),
    };
    let keys = keys.cooldown(24 * HOUR);
    let tokens = JwtAuth::builder(keys).issuer(&*url).audience("orders").clock(clock.clone());
    let orders = serve(tokens.build().unwrap()).await;
    Services { clock, issuer, orders }
}

impl Services {
    async fn token(&self) -> String {
        let tokens = self.issuer.issue(&principal("alice").build()).await.unwrap();
        tokens.access_token().to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_valid_token_is_rejected_while_keys_rotate_under_load() {
    let services = start(false).await;
    let (mut headers, mut previous) = (HashSet::new(), Vec::new());
    for round in 0..200 {
        let tokens = join_all((0..8).map(|_| services.token())).await;
        headers.extend(tokens.iter().map(|token| token.split('.').next().unwrap().to_owned()));
        let requests = tokens.iter().chain(&previous).map(|token| send(&services.orders, token));
        let statuses: Vec<_> =
            join_all(requests).await.into_iter().map(|response| response.status).collect();
        assert!(statuses.iter().all(|status| *status == 200), "round {round}: {statuses:?}");
        // The next round uses these tokens again, before they expire.
        previous = tokens;
        services.clock.advance(MINUTE * (3 + round % 4));
    }
    assert!(headers.len() >= 14, "{} keys", headers.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn removed_key_is_rejected_by_other_services_after_their_next_fetch() {
    let services = start(true).await;
    let token = services.token().await;
    assert_eq!(send(&services.orders, &token).await.status, 200);
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    let header: serde_json::Value = serde_json::from_slice(&header).unwrap();
    let leaked = header["kid"].as_str().unwrap();
    assert!(services.issuer.remove_key(leaked).await.unwrap());
    // The successor was already published.
    let new = services.token().await;
    assert_eq!(send(&services.orders, &new).await.status, 200);
    services.clock.advance(9 * MINUTE);
    wait_until("a rejection of the removed key", async || {
        send(&services.orders, &token).await.status == 401
    })
    .await;
    assert_eq!(send(&services.orders, &new).await.status, 200);
}
