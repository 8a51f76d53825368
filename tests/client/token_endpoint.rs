//! `TokenEndpoint` and `ClientCredentials` with an issuer on loopback.

use std::{error::Error, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{Request, Response};
use serde_json::json;
use tower_auth::client::{
    AttachError, AttachErrorKind, ClientCredentials, RefreshingToken, TokenEndpoint, TokenSource,
};
use tower_auth_test_support::stub::{StubResponse, StubServer};

use crate::{
    Api, Issuer, IssuerMode, client, ok, send_get,
    token_server::{Reply, TokenServer},
};

async fn start(reply: Reply) -> (Issuer, TokenServer) {
    let issuer = Issuer::new(IssuerMode::Issue);
    let server = TokenServer::start(&issuer, reply).await;
    (issuer, server)
}

/// Returns the kind and the text of an error, with all causes.
async fn failure(grant: &ClientCredentials) -> (AttachErrorKind, String) {
    let error = grant.token().await.unwrap_err().downcast::<AttachError>().unwrap();
    (error.kind(), format!("{error:#}"))
}

/// Asserts that no token is available, and that the reason contains this text.
async fn assert_fails(endpoint: TokenEndpoint, hint: &str) {
    let (kind, text) = failure(&ClientCredentials::new(endpoint)).await;
    assert_eq!(kind, AttachErrorKind::Source, "{text}");
    assert!(text.contains(hint), "{text}");
}

#[tokio::test]
async fn client_credentials_are_sent_to_the_discovered_endpoint() {
    let (issuer, server) = start(Reply::Keep).await;
    let api = Api::start(&issuer).await;
    let endpoint = server.endpoint().client_id("a b").client_secret("s:c/é").build().unwrap();
    let grant = ClientCredentials::new(endpoint)
        .scopes("none")
        .scopes(["stock:read", "stock:write"])
        .audience("stock")
        .resource(["urn:a", "urn:b"]);
    let client = client(RefreshingToken::new(grant).clock(issuer.clock.clock()));
    assert_eq!(send_get(&client, &api.url()).await.unwrap(), ok("token-1"));

    let request = server.last_request();
    assert_eq!(request.value("grant_type"), "client_credentials");
    assert_eq!(request.value("scope"), "stock:read stock:write");
    assert_eq!(request.value("audience"), "stock");
    assert_eq!(request.form["resource"], ["urn:a", "urn:b"]);
    assert!(!request.form.contains_key("client_id"));
    let pair = request.authorization.unwrap();
    let pair = STANDARD.decode(pair.strip_prefix("Basic ").unwrap()).unwrap();
    assert_eq!(pair, b"a+b:s%3Ac%2F%C3%A9");

    issuer.clock.advance(600);
    assert_eq!(send_get(&client, &api.url()).await.unwrap(), ok("token-2"));
    assert_eq!(server.metadata_hits(), 1, "the endpoint is kept");
}

#[tokio::test]
async fn secret_is_sent_in_the_body_if_the_issuer_supports_only_that() {
    for (methods, in_body) in [
        (json!(["client_secret_post"]), true),
        (json!(["client_secret_post", "private_key_jwt"]), true),
        (json!(["client_secret_post", "client_secret_basic"]), false),
        (json!(["private_key_jwt"]), false),
        (json!("client_secret_post"), false),
        (json!(null), false),
    ] {
        let (_, server) = start(Reply::Keep).await;
        server.set_metadata("token_endpoint_auth_methods_supported", methods.clone());
        let endpoint = server.endpoint().client_id("a&b").client_secret("p&q").build().unwrap();
        let _ = ClientCredentials::new(endpoint).token().await.unwrap();
        let request = server.last_request();
        assert_eq!(request.authorization.is_none(), in_body, "{methods}");
        assert_eq!(request.form.contains_key("client_secret"), in_body, "{methods}");
        if in_body {
            assert_eq!(
                (request.value("client_id"), request.value("client_secret")),
                ("a&b", "p&q")
            );
        }
    }
}

#[tokio::test]
async fn client_secret_post_sends_the_secret_in_the_body() {
    let (_, server) = start(Reply::Keep).await;
    let endpoint = TokenEndpoint::url(format!("{}/token", server.url)).client_id("a");
    let endpoint = endpoint.client_secret("b").client_secret_post().build().unwrap();
    let _ = ClientCredentials::new(endpoint).token().await.unwrap();
    let request = server.last_request();
    assert_eq!(request.authorization, None);
    assert_eq!((request.value("client_id"), request.value("client_secret")), ("a", "b"));
    assert_eq!(server.metadata_hits(), 0);
}

#[tokio::test]
async fn public_client_sends_its_id_in_the_body() {
    let (_, server) = start(Reply::Keep).await;
    let endpoint = server.endpoint().client_id("desktop").build().unwrap();
    let _ = ClientCredentials::new(endpoint).token().await.unwrap();
    let request = server.last_request();
    assert_eq!((request.authorization.as_deref(), request.value("client_id")), (None, "desktop"));
}

#[tokio::test]
async fn metadata_of_another_issuer_is_rejected() {
    for other in ["https://issuer.example", "URL/", "URL?", ""] {
        let (_, server) = start(Reply::Keep).await;
        let named = other.replace("URL", &server.url);
        server.set_metadata("issuer", json!(named));
        assert_fails(server.endpoint().build().unwrap(), "instead of").await;
        assert_eq!(server.hits(), 0);
    }
}

#[tokio::test]
async fn unsafe_or_missing_token_endpoint_is_rejected() {
    for endpoint in [
        json!("http://issuer.example/token"),
        json!("https://user:secret@issuer.example/token"),
        json!("ftp://127.0.0.1/token"),
        json!("/token"),
        json!(["https://issuer.example/token"]),
        json!(null),
    ] {
        let (_, server) = start(Reply::Keep).await;
        server.set_metadata("token_endpoint", endpoint);
        assert_fails(server.endpoint().build().unwrap(), "token_endpoint").await;
    }
}

#[tokio::test]
async fn https_issuer_must_not_lead_to_an_http_endpoint() {
    let metadata = json!({
        "issuer": "https://issuer.example",
        "token_endpoint": "http://127.0.0.1/token",
    });
    let body = bytes::Bytes::from(metadata.to_string());
    let send = move |request: Request<bytes::Bytes>| {
        assert_eq!(request.method(), "GET", "no secret is sent");
        std::future::ready(Ok::<_, std::io::Error>(Response::new(body.clone())))
    };
    let endpoint = TokenEndpoint::discover("https://issuer.example").client(send);
    let endpoint = endpoint.client_id("a").client_secret("b").build().unwrap();
    assert_fails(endpoint, "must be an absolute https URL").await;
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let (_, server) = start(Reply::Keep).await;
    let elsewhere = format!("{}/token", server.url);
    let (_, redirecting) = start(Reply::Redirect(elsewhere)).await;
    let endpoint = redirecting.endpoint().client_id("a").client_secret("b").build().unwrap();
    assert_fails(endpoint, "redirects are not followed").await;
    assert_eq!((redirecting.hits(), server.hits()), (1, 0));

    let stub = StubServer::start();
    let metadata = format!("{}/.well-known/openid-configuration", server.url);
    stub.set_response("/.well-known/openid-configuration", StubResponse::Redirect(metadata));
    assert_fails(TokenEndpoint::discover(stub.url("")).build().unwrap(), "302 Found").await;
    assert_eq!(server.metadata_hits(), 0);
}

#[tokio::test]
async fn huge_or_broken_document_is_rejected() {
    const METADATA: &str = "/.well-known/openid-configuration";
    for (response, hint) in [
        (StubResponse::Large(2 << 20), "longer than 1 MiB"),
        (StubResponse::Drop, "failed to fetch the issuer's metadata"),
        (StubResponse::Document("<html>".into()), "not a JSON object"),
    ] {
        let stub = StubServer::start();
        stub.set_response(METADATA, response.clone());
        assert_fails(TokenEndpoint::discover(stub.url("")).build().unwrap(), hint).await;

        stub.set_response("/token", response);
        let hint = hint.replace("failed to fetch the issuer's metadata", "no complete response");
        let hint = hint.replace("longer than 1 MiB", "no complete response");
        assert_fails(TokenEndpoint::url(stub.url("/token")).build().unwrap(), &hint).await;
    }
}

#[tokio::test]
async fn long_response_of_a_custom_client_is_rejected() {
    let send = |_: Request<bytes::Bytes>| {
        let body = bytes::Bytes::from(vec![b' '; (1 << 20) + 1]);
        std::future::ready(Ok::<_, std::io::Error>(Response::new(body)))
    };
    for endpoint in [TokenEndpoint::discover("https://a.example"), TokenEndpoint::url("https://a")]
    {
        assert_fails(endpoint.client(send).build().unwrap(), "longer than 1 MiB").await;
    }
}

#[tokio::test]
async fn hanging_endpoint_times_out() {
    let (_, server) = start(Reply::Hang).await;
    // Without discovery, which can also take longer.
    let endpoint = TokenEndpoint::url(format!("{}/token", server.url));
    let endpoint = endpoint.timeout(Duration::from_millis(50)).build().unwrap();
    let (kind, text) = failure(&ClientCredentials::new(endpoint)).await;
    assert_eq!(kind, AttachErrorKind::Timeout, "{text}");

    let stub = StubServer::start();
    stub.set_response("/.well-known/openid-configuration", StubResponse::Hang);
    let endpoint = TokenEndpoint::discover(stub.url("")).timeout(Duration::from_millis(50));
    assert_fails(endpoint.build().unwrap(), "within 0.05 s").await;
}

#[tokio::test]
async fn outage_of_the_metadata_is_tried_again() {
    let (_, server) = start(Reply::Keep).await;
    let stub = StubServer::start();
    let metadata =
        json!({ "issuer": stub.url(""), "token_endpoint": format!("{}/token", server.url) });
    let grant = ClientCredentials::new(TokenEndpoint::discover(stub.url("")).build().unwrap());
    for (status, requests) in [(503, 1), (404, 3)] {
        stub.set_response("/.well-known/openid-configuration", StubResponse::Status(status));
        let (_, text) = failure(&grant).await;
        assert!(text.contains(&status.to_string()), "{text}");
        assert_eq!(stub.requested_paths().len(), requests);
    }
    // RFC 8414 has another path than OpenID Connect.
    let path = "/.well-known/oauth-authorization-server";
    stub.set_response(path, StubResponse::Document(metadata.to_string()));
    assert!(grant.token().await.is_ok());
    assert!(grant.clone().token().await.is_ok());
    assert_eq!(stub.hits(path), 2, "the failure with 404, and the success");
    assert_eq!(server.hits(), 2);
}

#[tokio::test]
async fn error_of_the_endpoint_is_reported_without_secrets() {
    let body = json!({ "error": "invalid_client", "error_description": "no such client\u{1b}" });
    let (issuer, server) = start(Reply::Status(401, body)).await;
    let endpoint = server.endpoint().client_id("app").client_secret("s3cret").build().unwrap();
    let grant = ClientCredentials::new(endpoint.clone());
    let token = RefreshingToken::new(grant.clone()).clock(issuer.clock.clock());
    let error = token.header_value().await.unwrap_err();
    assert_eq!(
        format!("{error:#}"),
        "the token endpoint returned 401 Unauthorized: invalid_client (no such client\\u{1b})"
    );
    assert!(error.source().is_none());

    let body = json!({ "error": "invalid_request", "error_description": "sent: s3cret" });
    server.set_reply(Reply::Status(400, body));
    let (_, text) = failure(&grant).await;
    assert!(text.ends_with("400 Bad Request: invalid_request"), "{text}");
    for debug in [format!("{endpoint:?}"), format!("{grant:?}"), format!("{error:?}")] {
        assert!(!debug.contains("s3cret"), "{debug}");
    }
}
