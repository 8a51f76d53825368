//! A WebSocket that closes when the login of its caller expires.

use std::pin::pin;

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
    let upgrade = upgrade.max_message_size(Notes::MAX_NOTE_BYTES);
    upgrade.on_upgrade(move |socket| serve(socket, caller, notes))
}

/// Adds each message as a note, until the login expires.
async fn serve(mut socket: WebSocket, caller: Principal, notes: Notes) {
    let mut expired = pin!(caller.expired(SystemClock));
    loop {
        let message = tokio::select! {
            () = &mut expired => break,
            message = socket.recv() => message,
        };
        // The caller has closed the socket.
        let Some(Ok(message)) = message else { return };
        if let Message::Text(text) = message {
            let note = notes.add(&caller, &text);
            if socket.send(Message::Text(note.into())).await.is_err() {
                return;
            }
        }
    }
    let reason = Utf8Bytes::from_static("the login has expired");
    let frame = CloseFrame { code: close_code::POLICY, reason };
    // The caller may be gone.
    let _ = socket.send(Message::Close(Some(frame))).await;
}
