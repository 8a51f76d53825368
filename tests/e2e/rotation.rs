//! `RefreshGrant` and `ClientCredentials` with a provider that rotates refresh tokens.

use std::{
    collections::HashSet,
    future::ready,
    io,
    sync::{Arc, Mutex},
};

use tower_auth::client::{
    AttachError, AttachErrorKind, ClientCredentials, RefreshGrant, RefreshingToken, TokenEndpoint,
    TokenEndpointBuilder, TokenSource as _,
};
use tower_auth_test_support::{
    provider::{Provider, token_part},
    stub::ShiftedClock,
};

use crate::Service;

const RESOURCE: &str = "urn:orders";
const SECRET: &str = r#"e2e secret:+/%&""#;

fn start() -> Option<Provider> {
    Provider::start_script("rotation_provider.mjs")
}

fn endpoint(provider: &Provider, client_id: &str) -> TokenEndpointBuilder {
    TokenEndpoint::discover(&*provider.issuer).client_id(client_id)
}

/// Logs alice in. Returns her refresh token.
async fn log_in(provider: &Provider, client_id: &str) -> String {
    let tokens = provider.get_control(&format!("login?client={client_id}")).await;
    tokens["refresh_token"].as_str().unwrap_or_else(|| panic!("{tokens}")).to_owned()
}

async fn failure(grant: &RefreshGrant) -> AttachErrorKind {
    grant.token().await.unwrap_err().downcast::<AttachError>().unwrap().kind()
}

/// Returns the token without its scheme.
async fn token_of(token: &RefreshingToken) -> String {
    let value = token.header_value().await.unwrap();
    value.to_str().unwrap().strip_prefix("Bearer ").unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_rotated_refresh_token_gets_an_access_token() {
    let Some(provider) = start() else { return };
    let service = Service::start(provider.tokens(RESOURCE)).await;
    for client_id in ["web", "desktop"] {
        let endpoint = endpoint(&provider, client_id);
        // The client `desktop` is public.
        let endpoint = if client_id == "web" { endpoint.client_secret(SECRET) } else { endpoint };
        let first = log_in(&provider, client_id).await;
        let saved = Arc::new(Mutex::new(vec![first.clone()]));
        let list = Arc::clone(&saved);
        let grant = RefreshGrant::new(endpoint.build().unwrap(), first).on_rotated(move |token| {
            list.lock().unwrap().push(token);
            ready(Ok::<_, io::Error>(()))
        });
        let clock = ShiftedClock::default();
        let token = RefreshingToken::new(grant).clock(clock.clock());
        for _ in 0..4 {
            let access_token = token_of(&token).await;
            assert_eq!(token_part(&access_token, 1)["sub"], "alice");
            assert_eq!(service.status(&access_token).await, 200, "{client_id}");
            clock.advance(100_000);
        }
        let saved = saved.lock().unwrap();
        assert_eq!(saved.iter().collect::<HashSet<_>>().len(), 5, "{client_id}: {saved:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reuse_of_a_refresh_token_logs_out_until_the_next_login() {
    let Some(provider) = start() else { return };
    let endpoint = endpoint(&provider, "desktop").build().unwrap();
    let first = log_in(&provider, "desktop").await;
    let grant = RefreshGrant::new(endpoint.clone(), &*first);
    for _ in 0..2 {
        drop(grant.token().await.unwrap());
    }
    let thief = RefreshGrant::new(endpoint, first);
    assert_eq!(failure(&thief).await, AttachErrorKind::LoggedOut);
    assert_eq!(failure(&grant).await, AttachErrorKind::LoggedOut, "the whole login has ended");

    grant.set_refresh_token(log_in(&provider, "desktop").await);
    for _ in 0..2 {
        drop(grant.token().await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn client_credentials_are_accepted_in_the_header_and_in_the_body() {
    let Some(provider) = start() else { return };
    let service = Service::start(provider.tokens(RESOURCE)).await;
    for (client_id, in_body) in [("service", false), ("post-service", true)] {
        let endpoint = endpoint(&provider, client_id).client_secret(SECRET);
        let endpoint = if in_body { endpoint.client_secret_post() } else { endpoint };
        let grant = ClientCredentials::new(endpoint.build().unwrap());
        let token = RefreshingToken::new(grant.scopes("orders").resource(RESOURCE));
        let access_token = token_of(&token).await;
        assert_eq!(token_part(&access_token, 1)["client_id"], client_id);
        assert_eq!(service.status(&access_token).await, 200);
    }
    let endpoint = endpoint(&provider, "service").client_secret("wrong").build().unwrap();
    let error = ClientCredentials::new(endpoint).token().await.unwrap_err();
    assert!(error.to_string().contains("invalid_client"), "{error}");
}
