//! A WebSocket that closes when the login of its caller expires.

use std::time::Duration;

use axum::{
    extract::{
        State,
        ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade},
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

/// Serves a socket until the caller closes it, or the login expires.
async fn serve(mut socket: WebSocket, caller: Principal, notes: Notes) {
    tokio::select! {
        () = add_notes(&mut socket, &caller, notes) => {}
        () = caller.expired(SystemClock) => close(socket).await,
    }
}

/// Adds each message as a note.
async fn add_notes(socket: &mut WebSocket, caller: &Principal, notes: Notes) {
    while let Some(Ok(message)) = socket.recv().await {
        let Message::Text(text) = message else { continue };
        let note = notes.add(caller, &text);
        if socket.send(Message::Text(note.into())).await.is_err() {
            return;
        }
    }
}

/// Closes a socket with a code that tells the page to show the login form.
async fn close(mut socket: WebSocket) {
    let frame = CloseFrame { code: 4401, reason: "the login has expired".into() };
    // A client that does not read must not keep the connection open.
    let closed = socket.send(Message::Close(Some(frame)));
    let _ = tokio::time::timeout(Duration::from_secs(5), closed).await;
}
