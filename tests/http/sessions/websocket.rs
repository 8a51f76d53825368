//! Long connections: the session is checked again while a WebSocket is open.

use std::time::Duration;

use axum::{
    Router,
    extract::{
        WebSocketUpgrade,
        ws::{CloseFrame, Message as ServerMessage, WebSocket},
    },
    routing::any,
};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{ClientRequestBuilder, Error, Message},
};
use tower_auth::{AuthenticateLayer, Principal, session::Sessions, store::StoreErrorKind};

use super::{COOKIE_NAME, HOUR, Service, Setup};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Answers each message while the session is valid.
async fn serve(mut socket: WebSocket, caller: Principal, sessions: Sessions) {
    while let Some(Ok(ServerMessage::Text(_))) = socket.recv().await {
        let reply = match sessions.check(&caller).await {
            Ok(()) => ServerMessage::text(caller.subject().to_owned()),
            Err(rejection) => {
                let reason = format!("{:?}", rejection.kind());
                ServerMessage::Close(Some(CloseFrame { code: 4401, reason: reason.into() }))
            }
        };
        if socket.send(reply).await.is_err() {
            return;
        }
    }
}

async fn start(setup: &Setup) -> Service {
    let sessions = setup.sessions.clone();
    let chat = async move |caller: Principal, upgrade: WebSocketUpgrade| {
        upgrade.on_upgrade(|socket| serve(socket, caller, sessions))
    };
    let route = Router::new().route("/chat", any(chat));
    let route = route.layer(AuthenticateLayer::new(setup.sessions.clone()));
    Service::start(setup.app().merge(route)).await
}

async fn connect(service: &Service, id: &str, origin: Option<&str>) -> Result<Socket, Error> {
    let uri = format!("ws://{}/chat", service.api.address).parse().unwrap();
    let mut request =
        ClientRequestBuilder::new(uri).with_header("cookie", format!("{COOKIE_NAME}={id}"));
    if let Some(origin) = origin {
        request = request.with_header("origin", origin);
    }
    Ok(connect_async(request).await?.0)
}

/// Sends a message, and returns the answer or the reason for which the socket was closed.
async fn ask(socket: &mut Socket) -> Result<String, String> {
    socket.send(Message::text("?")).await.unwrap();
    match socket.next().await.unwrap().unwrap() {
        Message::Text(text) => Ok(text.to_string()),
        Message::Close(Some(frame)) => Err(frame.reason.to_string()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn handshake_of_another_site_is_rejected() {
    let setup = Setup::new();
    let service = start(&setup).await;
    let id = service.cookie(&service.browser_of("alice").await).unwrap();
    let own = format!("http://{}", service.api.address);
    for (origin, expected) in
        [(Some(&*own), 101), (Some("https://evil.example"), 403), (Some("null"), 403), (None, 403)]
    {
        let status = match connect(&service, &id, origin).await {
            Ok(_) => 101,
            Err(Error::Http(response)) => response.status().as_u16(),
            Err(error) => panic!("{error}"),
        };
        assert_eq!(status, expected, "{origin:?}");
    }
}

#[tokio::test]
async fn check_of_an_open_socket_notices_logout_timeout_and_outage() {
    let setup = Setup::new();
    let service = start(&setup).await;
    let own = format!("http://{}", service.api.address);
    for end in ["/logout", "/logout/all", "time"] {
        let browser = service.browser_of("alice").await;
        let id = service.cookie(&browser).unwrap();
        let mut socket = connect(&service, &id, Some(&own)).await.unwrap();
        assert_eq!(ask(&mut socket).await.as_deref(), Ok("alice"));
        match end {
            "time" => setup.clock.advance(12 * HOUR + Duration::from_secs(1)),
            path => assert_eq!(service.post(&browser, path).await.status, 204),
        }
        assert_eq!(ask(&mut socket).await, Err("InvalidCredentials".to_owned()), "{end}");
    }
    let id = service.cookie(&service.browser_of("alice").await).unwrap();
    let mut socket = connect(&service, &id, Some(&own)).await.unwrap();
    setup.store.set_fault(StoreErrorKind::Unavailable);
    assert_eq!(ask(&mut socket).await, Err("Unavailable".to_owned()));
}
