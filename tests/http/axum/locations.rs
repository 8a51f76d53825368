//! Tokens in other places than `Authorization`, over loopback connections.

use axum::{
    Router,
    extract::{WebSocketUpgrade, ws},
    http::HeaderMap,
    response::Response,
    routing::get,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio_tungstenite::{
    connect_async,
    tungstenite::{self, ClientRequestBuilder, Message},
};
use tower_auth::{
    AuthenticateLayer, JwtAuth, Principal, RequireScopes, credentials::TokenLocation,
};
use tower_auth_test_support::raw::{self, RawResponse};

use super::{Api, Issuer, greet};

const BEARER: &str = r#"Bearer realm="api""#;
const INVALID_TOKEN: &str = r#"Bearer realm="api", error="invalid_token""#;
const INVALID_REQUEST: &str = r#"Bearer realm="api", error="invalid_request""#;
const PROTOCOL: &str = "Sec-WebSocket-Protocol";

fn kubernetes(token: &str) -> String {
    format!("base64url.bearer.authorization.k8s.io.{}", URL_SAFE_NO_PAD.encode(token))
}

/// Accepts tokens in four places.
fn everywhere(issuer: &Issuer) -> JwtAuth {
    let tokens = issuer
        .builder()
        .token_from(TokenLocation::authorization())
        .token_from(TokenLocation::header("X-Access-Token"))
        .token_from(TokenLocation::header_with_prefix("X-Forwarded-Authorization", "Token "))
        .token_from(TokenLocation::websocket_protocol());
    tokens.build().unwrap()
}

fn assert_rejected(response: &RawResponse, status: u16, challenge: &str) {
    assert_eq!(response.status, status, "{response:?}");
    assert_eq!(response.header_values("www-authenticate"), [challenge]);
}

#[tokio::test(flavor = "multi_thread")]
async fn token_is_accepted_in_each_configured_place() {
    let issuer = Issuer::new();
    let app = Router::new()
        .route("/", get(greet).layer(RequireScopes::all(["read"])))
        .route("/admin", get(greet).layer(RequireScopes::all(["admin"])))
        .layer(AuthenticateLayer::new(everywhere(&issuer)));
    let api = Api::serve(app).await;
    let get = |lines: &[(&str, &str)]| raw::get(&api.address, "/", lines);
    let (valid, invalid) = (issuer.token(), issuer.expired_token());

    for (valid, invalid, name) in [
        (format!("Bearer {valid}"), format!("Bearer {invalid}"), "Authorization"),
        (valid.clone(), invalid.clone(), "X-Access-Token"),
        (format!("Token {valid}"), format!("Token {invalid}"), "X-Forwarded-Authorization"),
        (format!("chat, {}", kubernetes(&valid)), kubernetes(&invalid), PROTOCOL),
    ] {
        assert_eq!(get(&[(name, &valid)]).body, "hello user-1", "{name}");
        assert_rejected(&get(&[(name, &invalid)]), 401, INVALID_TOKEN);
        assert_rejected(&get(&[(name, &valid), (name, &valid)]), 400, INVALID_REQUEST);
        for other in ["X-Access-Token", "X-Forwarded-Authorization"] {
            let lines = [(name, valid.as_str()), (other, "Token x")];
            assert_rejected(&get(&lines), 400, INVALID_REQUEST);
        }
        let forbidden = raw::get(&api.address, "/admin", &[(name, &valid)]);
        assert_eq!(forbidden.status, 403, "{name}");
        let challenge = format!(r#"{BEARER}, error="insufficient_scope", scope="admin""#);
        assert_eq!(forbidden.header_values("www-authenticate"), [challenge.as_str()]);
    }
    assert_rejected(&get(&[]), 401, BEARER);
    assert_rejected(&get(&[("X-Forwarded-Authorization", "Basic x")]), 401, BEARER);
    assert_rejected(&get(&[("X-Access-Token", "")]), 400, INVALID_REQUEST);
    assert_rejected(&get(&[("X-Forwarded-Authorization", "Token")]), 400, INVALID_REQUEST);
    assert_rejected(&get(&[(PROTOCOL, &format!("{}!", kubernetes("x")))]), 401, INVALID_TOKEN);
}

#[tokio::test(flavor = "multi_thread")]
async fn location_replaces_authorization() {
    let issuer = Issuer::new();
    let tokens = issuer.builder().token_from(TokenLocation::header("x-access-token"));
    let layer = AuthenticateLayer::new(tokens.build().unwrap());
    let api = Api::serve(Router::new().route("/", get(greet)).layer(layer)).await;
    let token = issuer.token();
    let bearer = format!("Bearer {token}");

    let response = raw::get(&api.address, "/", &[("Authorization", &bearer)]);
    assert_rejected(&response, 401, BEARER);
    assert_eq!(raw::get(&api.address, "/", &[("X-Access-Token", &token)]).status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn handler_sees_no_token_that_can_be_logged() {
    async fn describe(headers: HeaderMap) -> String {
        let protocols = headers.get(PROTOCOL).map_or("none", |value| value.to_str().unwrap());
        let sensitive = headers.values().filter(|value| value.is_sensitive()).count();
        format!("{sensitive} {protocols}")
    }
    let issuer = Issuer::new();
    // Anonymous requests show that tokens are hidden in any case.
    let layer = AuthenticateLayer::optional(everywhere(&issuer));
    let api = Api::serve(Router::new().route("/", get(describe)).layer(layer)).await;
    let token = issuer.token();
    for (name, value, seen) in [
        ("Authorization", format!("Bearer {token}"), "1 none"),
        ("Authorization", "Basic YTpi".to_owned(), "1 none"),
        ("X-Access-Token", token.clone(), "1 none"),
        ("X-Forwarded-Authorization", format!("Token {token}"), "1 none"),
        (PROTOCOL, kubernetes(&token), "0 none"),
        (PROTOCOL, format!("a,{} , b", kubernetes(&token)), "0 a, b"),
        (PROTOCOL, "a,b".to_owned(), "0 a,b"),
    ] {
        assert_eq!(raw::get(&api.address, "/", &[(name, &value)]).body, seen, "{name}");
    }
}

async fn echo(caller: Principal, upgrade: WebSocketUpgrade) -> Response {
    upgrade.protocols(["chat.v2", "chat.v1"]).on_upgrade(async move |mut socket| {
        let protocol =
            socket.protocol().map_or("none".into(), |value| value.to_str().unwrap().to_owned());
        while let Some(Ok(ws::Message::Text(text))) = socket.recv().await {
            let text = format!("{} over {protocol}: {text}", caller.subject());
            socket.send(ws::Message::text(text)).await.unwrap();
        }
    })
}

#[tokio::test]
async fn websocket_negotiates_the_protocols_beside_the_token() {
    let issuer = Issuer::new();
    let tokens = issuer
        .builder()
        .token_from(TokenLocation::websocket_protocol())
        .token_from(TokenLocation::websocket_protocol_with_prefix("bearer."));
    let app = Router::new()
        .route("/ws", get(echo).layer(RequireScopes::all(["read"])))
        .layer(AuthenticateLayer::new(tokens.build().unwrap()));
    let api = Api::serve(app).await;
    let request = |protocols: &[&str]| {
        let uri = format!("ws://{}/ws", api.address).parse().unwrap();
        protocols.iter().fold(ClientRequestBuilder::new(uri), |request, protocol| {
            request.with_sub_protocol(*protocol)
        })
    };

    let token = issuer.token();
    let (encoded, raw) = (kubernetes(&token), format!("bearer.{token}"));
    for entry in [&encoded, &raw] {
        for protocols in [["chat.v1", entry], [entry, "chat.v1"]] {
            let (mut socket, response) = connect_async(request(&protocols)).await.unwrap();
            assert_eq!(response.headers()[PROTOCOL], "chat.v1");
            socket.send(Message::text("hi")).await.unwrap();
            let reply = socket.next().await.unwrap().unwrap();
            assert_eq!(reply.to_text().unwrap(), "user-1 over chat.v1: hi");
        }
    }

    let expired = kubernetes(&issuer.expired_token());
    for (protocols, status) in [
        (vec!["chat.v1"], 401),
        (vec!["chat.v1", &expired], 401),
        (vec!["chat.v1", &encoded, &encoded], 400),
        (vec!["chat.v1", &encoded, &raw], 400),
    ] {
        match connect_async(request(&protocols)).await.unwrap_err() {
            tungstenite::Error::Http(response) => assert_eq!(response.status(), status),
            error => panic!("{error}"),
        }
    }
}
