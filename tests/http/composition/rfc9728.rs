//! Protected resource metadata (RFC 9728).

use axum::{Router, routing::any};
use reqwest::{Method, header::ACCESS_CONTROL_ALLOW_ORIGIN};
use serde_json::{Value, json};
use tower_auth::{AuthenticateLayer, RequireScopes, ResourceMetadata, any_of};

use super::{Api, Issuer, Reply, greet, staff};

const URL: &str = "https://api.example/.well-known/oauth-protected-resource/mcp";
const PATH: &str = "/.well-known/oauth-protected-resource/mcp";

async fn serve(issuer: &Issuer) -> Api {
    let metadata = ResourceMetadata::builder("https://api.example/mcp", ["https://issuer.example"])
        .scopes(["read", "admin"])
        .member("resource_name", "The \"API\"")
        .build()
        .unwrap();
    let tokens = issuer.builder().resource_metadata(metadata.url()).challenge_scopes(["read"]);
    let app = Router::new()
        .route("/mcp", any(greet).layer(RequireScopes::all(["read", "admin"])))
        .layer(AuthenticateLayer::new(any_of((tokens.build().unwrap(), staff()))))
        .layer(metadata);
    Api::serve(app).await
}

#[tokio::test]
async fn metadata_is_public_at_its_own_path_only() {
    let api = serve(&Issuer::new()).await;
    let request = api.get(PATH).header("host", "evil.example").bearer_auth("x");
    let reply = Reply::to(request).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.headers["content-type"], "application/json");
    assert_eq!(reply.headers[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
    assert_eq!(
        serde_json::from_str::<Value>(&reply.body).unwrap(),
        json!({
            "resource": "https://api.example/mcp",
            "authorization_servers": ["https://issuer.example"],
            "scopes_supported": ["read", "admin"],
            "bearer_methods_supported": ["header"],
            "resource_name": "The \"API\"",
        })
    );
    let send = async |method: Method| Reply::to(api.request(method, PATH)).await;
    assert_eq!(send(Method::HEAD).await.status, 200);
    let preflight = send(Method::OPTIONS).await;
    assert_eq!(preflight.status, 204);
    assert_eq!(preflight.headers["access-control-allow-methods"], "GET, HEAD, OPTIONS");
    assert_eq!(preflight.headers["access-control-allow-headers"], "*");
    let posted = send(Method::POST).await;
    assert_eq!(posted.status, 405);
    assert_eq!(posted.headers["allow"], "GET, HEAD, OPTIONS");
    for other_path in ["/.well-known/oauth-protected-resource", "/mcp", &format!("{PATH}/")] {
        assert_eq!(api.get_anonymous(other_path).await.status, 401, "{other_path}");
    }
}

/// For clients that do not know the path of the resource. The document is the same.
#[tokio::test]
async fn metadata_is_also_at_the_root_if_configured() {
    const ROOT: &str = "/.well-known/oauth-protected-resource";
    let issuers = ["https://issuer.example"];
    for (resource, own_path) in [("https://api.example/mcp", PATH), ("https://api.example", ROOT)] {
        let builder = ResourceMetadata::builder(resource, issuers);
        let metadata = builder.also_at_root().build().unwrap();
        assert_eq!(metadata.path(), own_path);
        let app = Router::new()
            .route("/{*path}", any(greet))
            .layer(AuthenticateLayer::new(Issuer::new().auth()))
            .layer(metadata);
        let api = Api::serve(app).await;
        for path in [own_path, ROOT] {
            let reply = api.get_anonymous(path).await;
            assert_eq!(reply.status, 200, "{path}");
            let document: Value = serde_json::from_str(&reply.body).unwrap();
            assert_eq!(document["resource"], resource);
            let preflight = Reply::to(api.request(Method::OPTIONS, path)).await;
            assert_eq!(preflight.status, 204, "{path}");
        }
        for path in [
            &format!("{ROOT}/"),
            &format!("{ROOT}/other"),
            "/.well-known/%6Fauth-protected-resource",
        ] {
            assert_eq!(api.get_anonymous(path).await.status, 401, "{path}");
        }
    }
}

#[test]
fn impossible_metadata_url_is_a_config_error() {
    for url in
        ["", "/mcp", "https://*.example/mcp", "https://api.example:99999/mcp", "ftp://a.example"]
    {
        assert!(Issuer::new().builder().resource_metadata(url).build().is_err(), "{url}");
    }
}

#[test]
fn invalid_challenge_scopes_are_a_config_error() {
    for invalid in [vec![], vec!["two words"], vec!["read", ""]] {
        assert!(Issuer::new().builder().challenge_scopes(invalid).build().is_err());
    }
}

#[tokio::test]
async fn challenges_name_the_metadata_url_and_the_scopes() {
    let issuer = Issuer::new();
    let api = serve(&issuer).await;
    let bearer = format!(r#"Bearer realm="api", resource_metadata="{URL}""#);
    let basic = r#"Basic realm="staff", charset="UTF-8""#;
    let plain = format!(r#"{bearer}, scope="read""#);
    assert_eq!(api.get_anonymous("/mcp").await.challenges(), [&*plain, basic]);
    let rejected = api.get_with_token(&issuer.expired_token(), "/mcp").await;
    assert_eq!(rejected.challenges(), [&*format!(r#"{plain}, error="invalid_token""#), basic]);
    // The 403 names all scopes that the route requires.
    let rejected = api.get_with_token(&issuer.token(), "/mcp").await;
    assert_eq!(rejected.status, 403);
    let step_up = format!(r#"{bearer}, error="insufficient_scope", scope="read admin""#);
    assert_eq!(rejected.challenges(), [step_up]);
}
