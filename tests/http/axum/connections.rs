//! Responses that come in pieces, and connections that become something else.

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
async fn a_streamed_response_arrives_piece_by_piece() {
    let issuer = Issuer::new();
    let (pieces, source) = mpsc::channel::<Result<&str, Infallible>>(1);
    let source = Arc::new(Mutex::new(Some(source)));
    let stream = async move || {
        let source = source.lock().unwrap().take().unwrap();
        Body::from_stream(ReceiverStream::new(source))
    };
    let app = Router::new()
        .route("/", get(stream))
        .layer(RequireScopes::all(["read"]))
        .layer(AuthenticateLayer::new(issuer.auth()));
    let api = Api::serve(app).await;

    let mut response = api.get("/").bearer_auth(issuer.token()).send().await.unwrap();
    assert_eq!(response.status(), 200);
    // The next piece exists only once the one before it was read: nothing can have held them back.
    for piece in ["first ", "second ", "third"] {
        pieces.send(Ok(piece)).await.unwrap();
        assert_eq!(response.chunk().await.unwrap().unwrap(), piece);
    }
    drop(pieces);
    assert_eq!(response.chunk().await.unwrap(), None);
}

#[tokio::test]
async fn a_web_socket_opens_for_a_known_caller_alone() {
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
        tungstenite::Error::Http(refusal) => {
            assert_eq!(refusal.status(), 401);
            assert_eq!(refusal.headers()["www-authenticate"], r#"Bearer realm="api""#);
        }
        other => panic!("{other}"),
    }

    let bearer = format!("Bearer {}", issuer.token());
    let (mut socket, _) =
        connect_async(request().with_header("Authorization", bearer)).await.unwrap();
    for text in ["one", "two"] {
        socket.send(Message::text(text)).await.unwrap();
        let answer = socket.next().await.unwrap().unwrap();
        assert_eq!(answer.to_text().unwrap(), format!("user-1: {text}"));
    }
}
