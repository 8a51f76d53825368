//! API keys with other authenticators, policies and locations, over sockets.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    routing::{delete, get, post},
};
use http::{HeaderMap, StatusCode, header::AUTHORIZATION};
use reqwest::Method;
use serde_json::{Value, json};
use tower_auth::{
    AuthenticateLayer, Authenticator, JwtAuth, Principal, Rejection, RequireScopes, any_of,
    api_key::{ApiKeyError, ApiKeyInfo, ApiKeys, NewApiKey},
    bearer::{BearerAuth, TokenVerifier},
    credentials::TokenLocation,
    jwt::Issuers,
    test_util::TokenMint,
};
use tower_auth_test_support::{
    api::{Api, Reply},
    raw,
};

use super::{Fixture, unknown_key};

const AUDIENCE: &str = "orders";

fn in_header(keys: impl TokenVerifier) -> BearerAuth<impl TokenVerifier> {
    BearerAuth::new(keys).token_from(TokenLocation::header("x-api-key"))
}

/// Returns what the handler sees of the caller and of the headers.
async fn show(caller: Principal, headers: HeaderMap) -> Json<Value> {
    let is_hidden = |name| headers.get(name).is_none_or(http::HeaderValue::is_sensitive);
    let key = caller.extension::<ApiKeyInfo>().map(|key| key.id.to_string());
    let scopes = caller.scopes().to_string();
    let is_hidden = is_hidden("x-api-key") && is_hidden("authorization");
    Json(json!([caller.subject(), scopes, key, is_hidden]))
}

async fn serve(auth: impl Authenticator + 'static) -> Api {
    let app = Router::new()
        .route("/", get(show))
        .route("/write", get(show).layer(RequireScopes::all(["write"])))
        .layer(AuthenticateLayer::new(auth));
    Api::serve(app).await
}

async fn with_key(api: &Api, key: &str, path: &str) -> Reply {
    Reply::to(api.get(path).header("x-api-key", key)).await
}

#[tokio::test]
async fn key_is_read_from_its_header_or_from_bearer() {
    let service = Fixture::new();
    let created = service.create();
    let id = &*created.info().id;
    let expected = json!(["alice", "read write", id, true]).to_string();

    let header = serve(in_header(service.keys.clone())).await;
    assert_eq!(with_key(&header, created.key(), "/").await.body, expected);
    assert_eq!(header.get_with_token(created.key(), "/").await.status, 401);

    let bearer = serve(BearerAuth::new(service.keys.clone())).await;
    assert_eq!(bearer.get_with_token(created.key(), "/").await.body, expected);
    assert_eq!(with_key(&bearer, created.key(), "/").await.status, 401);

    let both = in_header(service.keys.clone()).token_from(TokenLocation::authorization());
    let both = serve(both).await;
    assert_eq!(both.get_with_token(created.key(), "/").await.body, expected);
    assert_eq!(with_key(&both, created.key(), "/").await.body, expected);
    // Two keys are ambiguous, even if they are equal.
    let twice = both.get("/").bearer_auth(created.key()).header("x-api-key", created.key());
    assert_eq!(Reply::to(twice).await.status, 400);
}

#[tokio::test]
async fn invalid_key_returns_401_with_a_challenge_and_without_the_reason() {
    let service = Fixture::new();
    let [revoked, expired] = [service.create(), service.create()];
    service.keys.revoke("alice", &revoked.info().id).await.unwrap();
    let api = serve(in_header(service.keys.clone())).await;
    let mut bodies = Vec::new();
    for key in [&unknown_key(), "acme_test_x", revoked.key()] {
        let reply = with_key(&api, key, "/").await;
        assert_eq!(reply.status, 401, "{key}");
        assert_eq!(reply.challenges(), [r#"Bearer error="invalid_token""#], "{key}");
        bodies.push(reply.body);
    }
    assert!(bodies.iter().all(|body| *body == bodies[0]), "{bodies:?}");
    assert!(with_key(&api, expired.key(), "/").await.status.is_success());
    let missing = api.get_anonymous("/").await;
    assert_eq!((missing.status, missing.challenges()), (StatusCode::UNAUTHORIZED, vec!["Bearer"]));
}

#[tokio::test]
async fn outage_returns_503_with_retry_after() {
    let service = Fixture::new();
    let key = service.create();
    let api = serve(in_header(service.keys.clone())).await;
    service.store.set_down(true);
    let reply = with_key(&api, key.key(), "/").await;
    assert_eq!(reply.status, 503);
    assert!(reply.headers.contains_key("retry-after") && !reply.body.contains("database"));
    service.store.set_down(false);
    assert_eq!(with_key(&api, key.key(), "/").await.status, 200);
}

#[tokio::test]
async fn deleted_owner_gets_401_and_lost_scope_403_at_the_next_request() {
    let service = Fixture::new();
    let key = service.create();
    let api = serve(in_header(service.keys.clone())).await;
    assert_eq!(with_key(&api, key.key(), "/write").await.status, 200);
    service.accounts.set("alice", Some(&["read"]));
    let reply = with_key(&api, key.key(), "/write").await;
    assert_eq!(reply.status, 403);
    let challenge = r#"Bearer error="insufficient_scope", scope="write""#;
    assert_eq!(reply.challenges(), [challenge]);
    assert_eq!(with_key(&api, key.key(), "/").await.status, 200);
    service.accounts.set("alice", None);
    assert_eq!(with_key(&api, key.key(), "/").await.status, 401);
}

fn mint() -> TokenMint {
    TokenMint::new("https://issuer.example")
}

fn jwt(mint: &TokenMint) -> JwtAuth {
    mint.validator(AUDIENCE).build().unwrap()
}

#[tokio::test]
async fn any_of_accepts_tokens_and_keys_and_rejects_an_invalid_one() {
    let (service, mint) = (Fixture::new(), mint());
    let key = service.create();
    let api = serve(any_of((jwt(&mint), in_header(service.keys.clone())))).await;
    let token = mint.token("carol").audience(AUDIENCE).sign();
    assert!(api.get_with_token(&token, "/").await.body.contains("carol"));
    assert!(with_key(&api, key.key(), "/").await.body.contains("alice"));
    // An invalid credential is not a missing one.
    let invalid = api.get("/").bearer_auth("a.b.c").header("x-api-key", key.key());
    assert_eq!(Reply::to(invalid).await.status, 401);
    assert_eq!(api.get_anonymous("/").await.status, 401);
}

#[tokio::test]
async fn issuers_pass_other_tokens_to_the_keys() {
    let (service, mint) = (Fixture::new(), mint());
    let key = service.create();
    let issuers = Issuers::new([jwt(&mint)]).unwrap().otherwise(service.keys.clone());
    let api = serve(issuers).await;
    let token = mint.token("carol").audience(AUDIENCE).sign();
    assert!(api.get_with_token(&token, "/").await.body.contains("carol"));
    assert!(api.get_with_token(key.key(), "/").await.body.contains("alice"));
    for invalid in [&unknown_key(), "acme_test_x", "a.b.c"] {
        assert_eq!(api.get_with_token(invalid, "/").await.status, 401, "{invalid}");
    }
}

#[tokio::test]
async fn optional_layer_admits_a_missing_key_but_no_invalid_one() {
    let service = Fixture::new();
    let key = service.create();
    let greet = async |caller: Option<Principal>| match caller {
        Some(caller) => caller.subject().to_owned(),
        None => "anonymous".to_owned(),
    };
    let layer = AuthenticateLayer::optional(in_header(service.keys.clone()));
    let api = Api::serve(Router::new().route("/", get(greet)).layer(layer)).await;
    assert_eq!(api.get_anonymous("/").await.body, "anonymous");
    assert_eq!(with_key(&api, key.key(), "/").await.body, "alice");
    assert_eq!(with_key(&api, &unknown_key(), "/").await.status, 401);
    assert_eq!(with_key(&api, "", "/").await.status, 400);
}

#[tokio::test]
async fn unusual_headers_are_rejected_over_a_socket() {
    let service = Fixture::new();
    let key = service.create().key().to_owned();
    let api = serve(in_header(service.keys.clone())).await;
    let send = |value: String| {
        let address = api.address.clone();
        let send = move || raw::get(&address, "/", &[("x-api-key", &value)]).status;
        tokio::task::spawn_blocking(send)
    };
    assert_eq!(send(key.clone()).await.unwrap(), 200);
    // HTTP trims spaces and tabs around a value.
    assert_eq!(send(format!(" \t{key}\t ")).await.unwrap(), 200);
    assert_eq!(send("\u{e9}".repeat(30)).await.unwrap(), 401);
    assert_eq!(send("a".repeat(100_000)).await.unwrap(), 431);
    assert_eq!(send("a".repeat(1 << 20)).await.unwrap(), 431);
    assert_eq!(send(format!("{key}, {key}")).await.unwrap(), 400);
}

/// The life of a key, with routes as in the guide.
#[tokio::test]
async fn routes_create_use_rotate_and_revoke_a_key() {
    async fn create(State(keys): State<ApiKeys>, caller: Principal) -> Result<String, Rejection> {
        let created = keys.create(&caller, NewApiKey::new("ci").scopes(["read"])).await?;
        Ok(created.key().to_owned())
    }
    async fn revoke(
        State(keys): State<ApiKeys>,
        caller: Principal,
        axum::extract::Path(id): axum::extract::Path<String>,
    ) -> Result<StatusCode, Rejection> {
        match keys.revoke(caller.subject(), &id).await {
            Ok(()) => Ok(StatusCode::NO_CONTENT),
            Err(ApiKeyError::NotFound) => Ok(StatusCode::NOT_FOUND),
            Err(error) => Err(error.into()),
        }
    }

    let (service, mint) = (Fixture::new(), mint());
    let auth: Arc<dyn Authenticator> =
        Arc::new(any_of((jwt(&mint), in_header(service.keys.clone()))));
    let app = Router::new()
        .route("/api-keys", post(create))
        .route("/api-keys/{id}", delete(revoke))
        .route("/", get(show))
        .layer(AuthenticateLayer::new(auth))
        .with_state(service.keys.clone());
    let api = Api::serve(app).await;
    let seconds = |ago: u64| super::seconds_ago(&service, ago);
    let token = |user: &str, ago: u64, scope: &str| {
        let token = mint.token(user).audience(AUDIENCE).claim("auth_time", seconds(ago));
        token.claim("scope", scope).sign()
    };
    let post = async |token: &str| {
        Reply::to(api.request(Method::POST, "/api-keys").bearer_auth(token)).await
    };

    let old = post(&token("alice", 301, "read")).await;
    assert_eq!(old.status, 401);
    let challenge = r#"Bearer error="insufficient_user_authentication", max_age="300""#;
    assert_eq!(old.challenges(), [challenge]);
    let lacking = post(&token("alice", 0, "write")).await;
    assert_eq!(lacking.status, 403);
    assert_eq!(lacking.challenges(), [r#"Bearer error="insufficient_scope", scope="read""#]);

    let key = post(&token("alice", 0, "read")).await.body;
    assert!(with_key(&api, &key, "/").await.body.contains("alice"));
    // A key cannot create keys.
    let with_key_only = api.request(Method::POST, "/api-keys").header("x-api-key", &key);
    assert_eq!(Reply::to(with_key_only).await.status, 401);

    let id = key.split('_').nth(2).unwrap();
    let delete = async |user: &str| {
        let path = format!("/api-keys/{id}");
        let request = api.request(Method::DELETE, &path);
        Reply::to(request.header(AUTHORIZATION, format!("Bearer {}", token(user, 0, "")))).await
    };
    assert_eq!(delete("bob").await.status, 404);
    assert_eq!(with_key(&api, &key, "/").await.status, 200);
    assert_eq!(delete("alice").await.status, 204);
    assert_eq!(delete("alice").await.status, 204);
    assert_eq!(with_key(&api, &key, "/").await.status, 401);
}
