//! DPoP (RFC 9449) with oidc-provider, which requires nonces, and with openid-client.

use std::{future::ready, io, path::Path};

use axum::{Router, body::Bytes, http::Request, routing::any};
use http_body_util::Full;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::{Value, json};
use tokio::process::Command;
use tower::{Layer as _, ServiceExt as _};
use tower_auth::{
    AuthenticateLayer, Authenticator, Principal, Scheme,
    client::{
        AttachError, AttachErrorKind, AttachLayer, ClientCredentials, RefreshGrant,
        RefreshingToken, TokenEndpoint, TokenEndpointBuilder, TokenSource as _,
    },
    dpop::{DpopBinding, DpopKey},
    jwt::Algorithm,
    store::SealedStore,
};
use tower_auth_test_support::{
    ROOT,
    api::Api,
    provider::{Provider, token_part},
};

pub(crate) const SECRET: &str = "e2e-secret";

pub(crate) fn start() -> Option<Provider> {
    Provider::start_script("bound_provider.mjs")
}

/// Starts a service at all paths, which returns the subject.
pub(crate) async fn serve(tokens: impl Authenticator + 'static) -> Api {
    let app = Router::new()
        .fallback(any(async |caller: Principal| {
            assert_eq!(caller.scheme(), Scheme::DPOP);
            caller.subject().to_owned()
        }))
        .layer(AuthenticateLayer::new(tokens));
    Api::serve(app).await
}

/// Starts a service for JWTs with proofs.
async fn serve_jwts(provider: &Provider, has_nonces: bool) -> Api {
    let tokens = provider.tokens("urn:jwt").binding(binding(has_nonces)).require_binding();
    serve(tokens.build().unwrap()).await
}

pub(crate) fn binding(has_nonces: bool) -> DpopBinding {
    let binding = DpopBinding::builder(SealedStore::memory());
    if has_nonces { binding.nonces() } else { binding }.build().unwrap()
}

pub(crate) fn endpoint(provider: &Provider, client_id: &str) -> TokenEndpointBuilder {
    TokenEndpoint::discover(&*provider.issuer).client_id(client_id)
}

/// Runs a script of `tests/e2e`, and returns the lines of its output.
pub(crate) async fn run(script: &str, arguments: &[&str]) -> Vec<Value> {
    let mut command = Command::new("node");
    command.arg(Path::new(ROOT).join("tests/e2e").join(script)).args(arguments);
    let output = command.env("NO_PROXY", "*").kill_on_drop(true).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let output = String::from_utf8(output.stdout).unwrap();
    output.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Sends a POST request with the token. Returns the status.
pub(crate) async fn post(token: &RefreshingToken, key: &DpopKey, api: &Api) -> u16 {
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let layer = AttachLayer::new(token.clone()).dpop(key.clone());
    let service = layer.resend(|body: &Full<Bytes>| Some(body.clone())).layer(client);
    let request = Request::post(format!("http://{}/orders/1?a=b", api.address));
    let request = request.body(Full::from("body")).unwrap();
    service.oneshot(request).await.unwrap().status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn openid_client_is_accepted_and_misuse_of_its_proofs_is_rejected() {
    let Some(provider) = start() else { return };
    for (algorithm, has_nonces) in
        [("ES256", true), ("ES256", false), ("Ed25519", true), ("PS256", false), ("RS256", true)]
    {
        let api = serve_jwts(&provider, has_nonces).await;
        let url = format!("http://{}/", api.address);
        let results = run("dpop_client.mjs", &[&provider.issuer, &url, algorithm, "urn:jwt"]).await;
        let sent = if has_nonces { 4 } else { 3 };
        let expected = [
            json!(["token_type", "dpop"]),
            json!(["get", 200]),
            json!(["get with a query", 200]),
            json!(["post", 200]),
            json!(["sent", sent]),
            json!(["replayed", 401]),
            json!(["other url", 401]),
            json!(["other method", 401]),
            json!(["other key", "401 invalid_token"]),
            json!(["bearer", 401]),
            json!(["parallel", vec![200; 16]]),
        ];
        assert_eq!(results, expected, "{algorithm} {has_nonces}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn our_client_follows_the_nonces_of_the_provider_and_of_the_service() {
    let Some(provider) = start() else { return };
    for algorithm in [Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA, Algorithm::PS256] {
        let key = DpopKey::generate(algorithm).unwrap();
        let endpoint = endpoint(&provider, "dpop-service").client_secret(SECRET).dpop(key.clone());
        let grant = ClientCredentials::new(endpoint.build().unwrap()).scopes("read");
        let token = RefreshingToken::new(grant.resource("urn:jwt"));
        let value = token.header_value().await.unwrap();
        let text = value.to_str().unwrap().strip_prefix("DPoP ").unwrap();
        assert_eq!(token_part(text, 1)["cnf"], json!({ "jkt": key.thumbprint() }));
        for has_nonces in [false, true] {
            let api = serve_jwts(&provider, has_nonces).await;
            assert_eq!(post(&token, &key, &api).await, 200, "{algorithm:?} {has_nonces}");
            // A thief with the token.
            assert_eq!(post(&token, &DpopKey::new().unwrap(), &api).await, 401);
            let bearer = Api::get_with_token(&api, text, "/").await;
            assert_eq!(bearer.status, 401);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refresh_tokens_are_rotated_with_proofs_of_one_key() {
    let Some(provider) = start() else { return };
    let api = serve_jwts(&provider, true).await;
    for client_id in ["web", "desktop"] {
        let key = DpopKey::new().unwrap();
        // The refresh tokens of a public client are bound as well (RFC 9449 §5).
        let jkt = if client_id == "desktop" { key.thumbprint() } else { "" };
        let login = format!("login?client={client_id}&resource=urn:jwt&jkt={jkt}");
        let first = provider.get_control(&login).await;
        let endpoint = |key: &DpopKey| {
            let endpoint = endpoint(&provider, client_id).dpop(key.clone());
            let is_public = client_id == "desktop";
            let endpoint = if is_public { endpoint } else { endpoint.client_secret(SECRET) };
            endpoint.build().unwrap()
        };
        let grant = RefreshGrant::new(endpoint(&key), first.as_str().unwrap());
        let grant = grant.on_rotated(|_| ready(Ok::<_, io::Error>(())));
        for _ in 0..4 {
            // The nonce is requested first, with the refresh token, which is not used up by that.
            let token = RefreshingToken::new(grant.clone());
            assert_eq!(post(&token, &key, &api).await, 200, "{client_id}");
        }
        if client_id == "desktop" {
            let stolen = provider.get_control(&login).await;
            let other = DpopKey::new().unwrap();
            let thief = RefreshGrant::new(endpoint(&other), stolen.as_str().unwrap());
            let error = thief.token().await.unwrap_err().downcast::<AttachError>().unwrap();
            assert_eq!(error.kind(), AttachErrorKind::LoggedOut, "{error:#}");
        }
    }
}
