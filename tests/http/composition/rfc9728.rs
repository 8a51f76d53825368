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
        .layer(AuthenticateLayer::new(any_of(tokens.build().unwrap(), staff())))
        .layer(metadata);
    Api::serve(app).await
}

#[tokio::test]
async fn the_document_is_there_for_whoever_asks_and_at_its_own_path_alone() {
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
    let of = async |method: Method| Reply::to(api.request(method, PATH)).await;
    assert_eq!(of(Method::HEAD).await.status, 200);
    let preflight = of(Method::OPTIONS).await;
    assert_eq!(preflight.status, 204);
    assert_eq!(preflight.headers["access-control-allow-methods"], "GET, HEAD, OPTIONS");
    assert_eq!(preflight.headers["access-control-allow-headers"], "*");
    let posted = of(Method::POST).await;
    assert_eq!(posted.status, 405);
    assert_eq!(posted.headers["allow"], "GET, HEAD, OPTIONS");
    for elsewhere in ["/.well-known/oauth-protected-resource", "/mcp", &format!("{PATH}/")] {
        assert_eq!(api.anonymously(elsewhere).await.status, 401, "{elsewhere}");
    }
}

#[test]
fn scopes_that_are_none_are_found_while_building() {
    for odd in [vec![], vec!["two words"], vec!["read", ""]] {
        assert!(Issuer::new().builder().challenge_scopes(odd).build().is_err());
    }
}

#[tokio::test]
async fn challenges_say_where_it_is_and_what_to_ask_for() {
    let issuer = Issuer::new();
    let api = serve(&issuer).await;
    let bearer = format!(r#"Bearer realm="api", resource_metadata="{URL}""#);
    let basic = r#"Basic realm="staff", charset="UTF-8""#;
    let asked = format!(r#"{bearer}, scope="read""#);
    assert_eq!(api.anonymously("/mcp").await.challenges(), [&*asked, basic]);
    let refused = api.with(&issuer.expired_token(), "/mcp").await;
    assert_eq!(refused.challenges(), [&*format!(r#"{asked}, error="invalid_token""#), basic]);
    // And then all that the route needs, whatever the 401 said.
    let refused = api.with(&issuer.token(), "/mcp").await;
    assert_eq!(refused.status, 403);
    let step_up = format!(r#"{bearer}, error="insufficient_scope", scope="read admin""#);
    assert_eq!(refused.challenges(), [step_up]);
}
