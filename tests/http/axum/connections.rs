//! Streamed responses and WebSocket upgrades behind the layers.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Body,
    extract::{WebSocketUpgrade, ws},
    response::Response,
    routing::get,
};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_tungstenite::{
    connect_async,
    tungstenite::{self, ClientRequestBuilder, Message},
};
use tower_auth::{AuthenticateLayer, Principal, RequireScopes};

use super::{Api, Issuer};

#[tokio::test]
async fn streamed_response_is_not_buffered() {
    let issuer = Issuer::new();
    let (sender, receiver) = mpsc::channel::<Result<&str, Infallible>>(1);
    let receiver = Arc::new(Mutex::new(Some(receiver)));
    let stream = async move || {
        let receiver = receiver.lock().unwrap().take().unwrap();
        Body::from_stream(ReceiverStream::new(receiver))
    };
    let app = Router::new()
        .route("/", get(stream))
        .layer(RequireScopes::all(["read"]))
        .layer(AuthenticateLayer::new(issuer.auth()));
    let api = Api::serve(app).await;

    let mut response = api.get("/").bearer_auth(issuer.token()).send().await.unwrap();
    assert_eq!(response.status(), 200);
    // Each chunk is sent only after the previous one was received, so no layer buffers the body.
    for chunk in ["first ", "second ", "third"] {
        sender.send(Ok(chunk)).await.unwrap();
        assert_eq!(response.chunk().await.unwrap().unwrap(), chunk);
    }
    drop(sender);
    assert_eq!(response.chunk().await.unwrap(), None);
}

#[tokio::test]
async fn web_socket_upgrade_requires_authentication() {
    async fn echo(caller: Principal, upgrade: WebSocketUpgrade) -> Response {
        upgrade.on_upgrade(async move |mut socket| {
            while let Some(Ok(ws::Message::Text(text))) = socket.recv().await {
                let text = format!("{}: {text}", caller.subject());
                socket.send(ws::Message::text(text)).await.unwrap();
            }
        })
    }
    let issuer = Issuer::new();
    let app = Router::new()
        .route("/ws", get(echo).layer(RequireScopes::all(["read"])))
        .layer(AuthenticateLayer::new(issuer.auth()));
    let api = Api::serve(app).await;
    let request = || ClientRequestBuilder::new(format!("ws://{}/ws", api.address).parse().unwrap());

    match connect_async(request()).await.unwrap_err() {
        tungstenite::Error::Http(response) => {
            assert_eq!(response.status(), 401);
            assert_eq!(response.headers()["www-authenticate"], r#"Bearer realm="api""#);
        }
        error => panic!("{error}"),
    }

    let bearer = format!("Bearer {}", issuer.token());
    let (mut socket, _) =
        connect_async(request().with_header("Authorization", bearer)).await.unwrap();
    for text in ["one", "two"] {
        socket.send(Message::text(text)).await.unwrap();
        let reply = socket.next().await.unwrap().unwrap();
        assert_eq!(reply.to_text().unwrap(), format!("user-1: {text}"));
    }
}
