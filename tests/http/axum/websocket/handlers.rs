//! The handlers of `src/guide/websockets.md`.

use std::time::Duration;

use axum::{
    extract::{
        State, WebSocketUpgrade,
        ws::{CloseFrame, Message, WebSocket},
    },
    response::Response,
};
use tower_auth::{
    JwtAuth, Principal,
    clock::{Clock, SystemClock},
};

pub async fn chat(caller: Principal, upgrade: WebSocketUpgrade) -> Response {
    upgrade.protocols(["chat.v1"]).on_upgrade(|socket| serve(socket, caller, SystemClock))
}

/// Serves a socket until the client closes it, or the caller's token expires.
pub async fn serve(mut socket: WebSocket, caller: Principal, clock: impl Clock) {
    tokio::select! {
        () = answer(&mut socket, &caller) => {}
        () = caller.expired(clock) => close(socket, "the token has expired").await,
    }
}

/// Answers each message.
async fn answer(socket: &mut WebSocket, caller: &Principal) {
    while let Some(Ok(message)) = socket.recv().await {
        // axum answers pings itself.
        let Message::Text(text) = message else { continue };
        let reply = Message::text(format!("{}: {text}", caller.subject()));
        if socket.send(reply).await.is_err() {
            return;
        }
    }
}

/// Closes a socket with a code that tells the script to get a new token.
async fn close(mut socket: WebSocket, reason: &'static str) {
    let frame = CloseFrame { code: 4401, reason: reason.into() };
    // A client that does not read must not keep the connection open.
    let closed = socket.send(Message::Close(Some(frame)));
    let _ = tokio::time::timeout(Duration::from_secs(5), closed).await;
}

pub async fn chat_without_handshake(
    State(tokens): State<JwtAuth>,
    upgrade: WebSocketUpgrade,
) -> Response {
    // Anyone can send messages of this size. By default, axum buffers 64 MiB.
    const MAX_BYTES: usize = 64 * 1024;
    let upgrade = upgrade.max_frame_size(MAX_BYTES).max_message_size(MAX_BYTES);
    upgrade.on_upgrade(|socket| serve_first_message(socket, tokens, SystemClock))
}

/// Reads the token from the first message, and then serves the caller.
pub async fn serve_first_message(mut socket: WebSocket, tokens: JwtAuth, clock: impl Clock) {
    let first = tokio::time::timeout(Duration::from_secs(10), socket.recv()).await;
    let Ok(Some(Ok(Message::Text(token)))) = first else {
        return close(socket, "the first message must be a token").await;
    };
    match tokens.verify(&token).await {
        // No layer runs, so check the permissions here.
        Ok(caller) if caller.scopes().contains("chat") => serve(socket, caller, clock).await,
        _ => close(socket, "the token is not valid for this service").await,
    }
}
