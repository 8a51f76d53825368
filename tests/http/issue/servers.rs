//! The services without axum, over HTTP/1 and HTTP/2.

use http::{Version, header::CONTENT_TYPE};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower_auth::issue::TokenRoute;
use tower_auth_test_support::api::Reply;

use super::{PASSWORD, Setup, Tokens, assert_error, checked, header_of};

/// Serves one endpoint with hyper, and returns its URL.
async fn serve(service: TokenRoute) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = TowerToHyperService::new(service.clone());
            tokio::spawn(async move {
                let builder = auto::Builder::new(TokioExecutor::new());
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    url
}

#[tokio::test]
async fn hyper_serves_each_endpoint_over_http_1_and_http_2() {
    let setup = Setup::new();
    let routes = setup.builder().build().unwrap();
    let login = serve(routes.login()).await;
    let refresh = serve(routes.refresh()).await;
    let logout = serve(routes.logout()).await;
    let everywhere = serve(routes.logout_everywhere()).await;
    let revoke = serve(routes.revoke()).await;
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let client = reqwest::Client::builder().no_proxy();
        let client = match version {
            Version::HTTP_2 => client.http2_prior_knowledge(),
            _ => client.http1_only(),
        };
        let client = client.build().unwrap();
        let post = async |url: &str, parameters: Value| {
            let request = client.post(url).header(CONTENT_TYPE, "application/json");
            checked(Reply::to(request.body(parameters.to_string())).await)
        };
        let credentials = json!({ "username": "alice", "password": PASSWORD });
        let tokens = Tokens::of(&post(&login, credentials).await);
        let next = post(&refresh, json!({ "refresh_token": tokens.refresh })).await;
        let next = Tokens::of(&next);
        assert!(setup.issuer.verifier().verify(&next.access).await.is_ok());
        assert_eq!(post(&revoke, json!({ "token": tokens.access })).await.status, 200);
        assert!(setup.issuer.verifier().verify(&tokens.access).await.is_err());
        let all = checked(Reply::to(client.post(&everywhere).bearer_auth(&next.access)).await);
        assert_eq!(all.status, 204);
        let reply = post(&logout, json!({ "refresh_token": next.refresh })).await;
        assert_eq!(reply.status, 204);
        let reply = post(&refresh, json!({ "refresh_token": next.refresh })).await;
        assert_error(&reply, 400, "invalid_grant");
        let reply = post(&login, json!({ "username": "x".repeat(9_000) })).await;
        assert_error(&reply, 413, "invalid_request");
        assert_eq!(checked(Reply::to(client.get(&login)).await).status, 405);
    }
}

#[tokio::test]
async fn router_serves_the_keys_and_the_metadata_of_the_issuer() {
    let setup = Setup::new();
    let client = setup.serve(setup.builder()).await;
    let get = async |path: &str| {
        let reply = client.api.get_anonymous(path).await;
        assert_eq!(reply.status, 200, "{path}");
        serde_json::from_str::<Value>(&reply.body).unwrap()
    };
    let metadata = get("/.well-known/oauth-authorization-server").await;
    assert_eq!(metadata["issuer"], "https://login.example");
    for (name, path) in [
        ("token_endpoint", "/token"),
        ("revocation_endpoint", "/revoke"),
        ("jwks_uri", "/.well-known/jwks.json"),
    ] {
        assert_eq!(metadata[name], format!("https://login.example{path}"));
    }
    let keys = get("/.well-known/jwks.json").await;
    let tokens = client.tokens().await;
    let header = header_of(&tokens.access);
    let has_key = |key: &Value| key["kid"] == header["kid"] && key["crv"] == "Ed25519";
    assert!(keys["keys"].as_array().unwrap().iter().any(has_key), "{keys} {header}");
}
