//! A token in the protocols of a WebSocket.

use std::{
    future::ready,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    extract::{WebSocketUpgrade, ws::Message},
    http::{HeaderMap, HeaderValue, header::SEC_WEBSOCKET_PROTOCOL},
    middleware,
    response::{Html, Response},
    routing::get,
};
use serde_json::json;
use tower_auth::{AuthenticateLayer, Principal, credentials::TokenLocation};
use tower_auth_test_support::{api::Issuer, chromium::Chromium, token::encode};

use crate::site::serve_tls;

/// The protocols of the requests that the handler received, and of the responses.
type Seen = Arc<Mutex<Vec<Option<HeaderValue>>>>;

#[tokio::test(flavor = "multi_thread")]
async fn socket_with_a_token_has_only_the_other_protocol() {
    let Some(mut chromium) = Chromium::start() else { return };
    let issuer = Issuer::new();
    let tokens = issuer.builder().token_from(TokenLocation::websocket_protocol()).build().unwrap();
    let seen = Seen::default();
    let (requests, responses) = (Arc::clone(&seen), Arc::clone(&seen));
    let connect = async move |caller: Principal, headers: HeaderMap, upgrade: WebSocketUpgrade| {
        requests.lock().unwrap().push(headers.get(SEC_WEBSOCKET_PROTOCOL).cloned());
        upgrade.protocols(["chat.v1"]).on_upgrade(async move |mut socket| {
            let _ = socket.send(Message::Text(caller.subject().into())).await;
        })
    };
    let record = middleware::map_response(move |response: Response| {
        responses.lock().unwrap().push(response.headers().get(SEC_WEBSOCKET_PROTOCOL).cloned());
        ready(response)
    });
    let app = Router::new()
        .route("/socket", get(connect))
        .layer(AuthenticateLayer::new(tokens))
        .route_layer(record)
        .route("/", get(async || Html("<!doctype html>")));
    let port = serve_tls(app).port();

    let connect = "(token) => new Promise((done) => {
        const protocol = `base64url.bearer.authorization.k8s.io.${token}`;
        const socket = new WebSocket(`wss://app.test:PORT/socket`, ['chat.v1', protocol]);
        socket.onmessage = ({ data }) => done([socket.protocol, data]);
        socket.onclose = ({ code }) => done(code);
    })";
    let connect = connect.replace("PORT", &port.to_string());
    // The token is not ambient, so a page of another origin that has it may connect.
    for page in ["app.test", "evil.test"] {
        assert_eq!(chromium.open(&format!("https://{page}:{port}")), 200);
        let socket = chromium.evaluate(&connect, encode(issuer.token()));
        assert_eq!(socket, json!(["chat.v1", "user-1"]), "{page}");
        let protocol = Some(HeaderValue::from_static("chat.v1"));
        assert_eq!(*seen.lock().unwrap(), [protocol.clone(), protocol], "{page}");
        seen.lock().unwrap().clear();
        // 1006: the handshake failed.
        let expired = encode(issuer.expired_token());
        assert_eq!(chromium.evaluate(&connect, expired), json!(1006), "{page}");
        assert_eq!(*seen.lock().unwrap(), [None], "{page}");
        seen.lock().unwrap().clear();
    }
}
