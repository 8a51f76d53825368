//! A WebSocket that closes when the login of its caller expires.

use std::time::Duration;

use axum::{
    extract::{
        State,
        ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code},
    },
    response::Response,
};
use tower_auth::{Principal, clock::SystemClock};

use crate::notes::Notes;

/// Accepts a WebSocket. The layer has checked the cookie and the origin of the page.
pub async fn open(
    caller: Principal,
    State(notes): State<Notes>,
    upgrade: WebSocketUpgrade,
) -> Response {
    const MAX: usize = Notes::MAX_NOTE_BYTES;
    let upgrade = upgrade.max_frame_size(MAX).max_message_size(MAX);
    upgrade.on_upgrade(move |socket| serve(socket, caller, notes))
}

/// Serves a socket until its caller closes it, or the login expires.
async fn serve(mut socket: WebSocket, caller: Principal, notes: Notes) {
    tokio::select! {
        () = add_notes(&mut socket, &caller, &notes) => {}
        () = caller.expired(SystemClock) => close(socket).await,
    }
}

/// Adds each message as a note.
async fn add_notes(socket: &mut WebSocket, caller: &Principal, notes: &Notes) {
    while let Some(Ok(message)) = socket.recv().await {
        if let Message::Text(text) = message {
            let note = notes.add(caller, &text);
            if socket.send(Message::Text(note.into())).await.is_err() {
                return;
            }
        }
    }
}

/// Tells the page why its socket is closed.
async fn close(mut socket: WebSocket) {
    let reason = Utf8Bytes::from_static("the login has expired");
    let frame = CloseFrame { code: close_code::POLICY, reason };
    // A client that does not read must not keep the connection open.
    let closed = socket.send(Message::Close(Some(frame)));
    let _ = tokio::time::timeout(Duration::from_secs(5), closed).await;
}
