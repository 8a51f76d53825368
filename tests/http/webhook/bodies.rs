//! Bodies: limits, encodings, and connections that end early.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpStream},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::Request;
use http_body::Frame;
use tower::{Layer as _, ServiceExt as _};
use tower_auth::webhook::WebhookFormat;

use super::{BODY, SECRET, Setup, sender::Message};

const MIB: usize = 1024 * 1024;

/// Sends these bytes and returns the status. 0 stands for no response.
fn exchange(address: &str, request: &[u8], ends_early: bool) -> u16 {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    // The server may respond before it has read everything.
    let _ = stream.write_all(request);
    if ends_early {
        let _ = stream.shutdown(Shutdown::Write);
    }
    let mut response = Vec::new();
    let _ = stream.read_to_end(&mut response);
    let text = String::from_utf8_lossy(&response);
    text.split(' ').nth(1).map_or(0, |status| status.parse().unwrap())
}

fn head(message: &Message, framing: &str) -> Vec<u8> {
    let mut head = "POST /hook HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n".to_owned();
    for (name, value) in &message.headers {
        head += &format!("{name}: {value}\r\n");
    }
    format!("{head}{framing}\r\n\r\n").into_bytes()
}

async fn send(address: &str, request: Vec<u8>) -> u16 {
    let address = address.to_owned();
    tokio::task::spawn_blocking(move || exchange(&address, &request, false)).await.unwrap()
}

/// Sends a part of a request, and closes the sending side.
async fn send_part(address: &str, request: Vec<u8>) -> u16 {
    let address = address.to_owned();
    tokio::task::spawn_blocking(move || exchange(&address, &request, true)).await.unwrap()
}

fn chunks(body: &[u8], size: usize) -> Vec<u8> {
    let mut text = Vec::new();
    for chunk in body.chunks(size) {
        text.extend(format!("{:x}\r\n", chunk.len()).bytes());
        text.extend(chunk);
        text.extend(b"\r\n");
    }
    text
}

#[tokio::test]
async fn chunked_body_is_accepted() {
    let setup = Setup::new();
    let service = setup.serve_standard().await;
    for size in [1, 7, BODY.len()] {
        let message = setup.message(&format!("msg_{size}"));
        let mut request = head(&message, "Transfer-Encoding: chunked");
        request.extend(chunks(BODY, size));
        request.extend(b"0\r\n\r\n");
        assert_eq!(send(&service.0.address, request).await, 200);
    }
}

#[tokio::test]
async fn body_that_ends_early_never_reaches_the_handler() {
    let setup = Setup::new();
    let service = setup.serve_standard().await;
    let message = setup.message("msg_1");
    for length in [0, 1, BODY.len() - 1] {
        let part = &BODY[..length];
        let mut announced = head(&message, &format!("Content-Length: {}", BODY.len()));
        announced.extend(part);
        let mut chunked = head(&message, "Transfer-Encoding: chunked");
        chunked.extend(chunks(part, 5));
        for request in [announced, chunked] {
            let status = send_part(&service.0.address, request).await;
            assert!([0, 400].contains(&status), "{status}");
        }
    }
    // Shortened by the sender, with a correct length.
    let cut = message.clone().with_body(&BODY[..BODY.len() - 1]);
    assert_eq!(service.status(&cut).await, 401);
    assert_eq!(setup.handler.calls(), 0);
    assert_eq!(service.status(&message).await, 200);
}

#[tokio::test]
async fn body_that_fails_is_400() {
    let setup = Setup::new();
    let failing = StubBody(vec![Ok(Bytes::from_static(b"{")), Err("the connection was reset")]);
    assert_eq!(call(&setup, failing).await, 400);
    assert_eq!(setup.events.take(), ["rejected 400 Bad Request: the connection was reset"]);
}

#[tokio::test(start_paused = true)]
async fn body_that_is_not_sent_is_400_after_10_s() {
    let setup = Setup::new();
    let started = tokio::time::Instant::now();
    assert_eq!(call(&setup, StubBody(Vec::new())).await, 400);
    assert_eq!(started.elapsed().as_secs(), 10);
}

/// Otherwise, an event could be forgotten before its webhook can no longer be sent.
#[tokio::test]
async fn timestamp_that_expires_while_the_body_is_read_is_rejected() {
    let setup = Setup::new();
    let layer = setup.builder(WebhookFormat::standard()).secret(SECRET).build().unwrap();
    let clock = setup.clock.clone();
    let message = setup.message("msg_1");
    let stream = futures_util::stream::once(async move {
        clock.advance(Duration::from_secs(301));
        Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(BODY)))
    });
    let mut request = Request::post("/hook");
    for (name, value) in &message.headers {
        request = request.header(name, value);
    }
    let request = request.body(http_body_util::StreamBody::new(Box::pin(stream))).unwrap();
    let service = layer.layer(setup.handler.app().into_service::<http_body_util::Full<Bytes>>());
    assert_eq!(service.oneshot(request).await.unwrap().status(), 401);
}

async fn call(setup: &Setup, body: StubBody) -> u16 {
    let layer = setup.builder(WebhookFormat::standard()).secret(SECRET).build().unwrap();
    let mut request = Request::post("/hook");
    for (name, value) in setup.message("msg_1").headers {
        request = request.header(name, value);
    }
    let service = layer.layer(setup.handler.app().into_service::<http_body_util::Full<Bytes>>());
    service.oneshot(request.body(body).unwrap()).await.unwrap().status().as_u16()
}

/// A body with these results, which then never ends.
struct StubBody(Vec<Result<Bytes, &'static str>>);

impl http_body::Body for StubBody {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        match self.0.is_empty() {
            true => Poll::Pending,
            false => Poll::Ready(Some(self.0.remove(0).map(Frame::data))),
        }
    }
}

#[tokio::test]
async fn body_of_1_mib_is_accepted_and_a_longer_one_is_413() {
    let setup = Setup::new();
    let service = setup.serve_standard().await;
    for (length, expected) in [(MIB - 1, 200), (MIB, 200), (MIB + 1, 413), (2 * MIB, 413)] {
        let body = vec![b'x'; length];
        let now = setup.now();
        let message = Message::standard(&format!("msg_{length}"), now, &body, SECRET);
        assert_eq!(service.status(&message).await, expected, "{length}");

        let message = Message::standard(&format!("chunked_{length}"), now, &body, SECRET);
        let mut request = head(&message, "Transfer-Encoding: chunked");
        request.extend(chunks(&body, 65_536));
        request.extend(b"0\r\n\r\n");
        let status = send(&service.0.address, request).await;
        assert!(status == expected || expected == 413 && status == 0, "{length}: {status}");
    }
    assert_eq!(setup.handler.calls(), 4);
}

/// Nothing of the body is sent, so it is rejected by its announced length.
#[tokio::test]
async fn announced_length_above_the_limit_is_413_before_the_body() {
    let setup = Setup::new();
    let service = setup.serve_standard().await;
    let request = head(&setup.message("msg_1"), &format!("Content-Length: {}", MIB + 1));
    assert_eq!(send(&service.0.address, request).await, 413);
}

#[tokio::test]
async fn limit_of_the_body_can_be_set() {
    let setup = Setup::new();
    let layer = setup.builder(WebhookFormat::github()).secret(SECRET).max_body(4).build().unwrap();
    let service = setup.serve_layer(layer).await;
    assert_eq!(service.status(&Message::github(b"abcd", SECRET)).await, 200);
    let reply = service.send(&Message::github(b"abcde", SECRET)).await;
    assert_eq!(reply.status, 413);
    assert!(reply.challenges().is_empty());
}

/// An invalid head is rejected before the body, which may never arrive.
#[tokio::test]
async fn invalid_head_is_rejected_before_the_body_is_read() {
    let setup = Setup::new();
    let service = setup.serve_standard().await;
    let message = setup.message("msg_1");
    for (message, expected) in [
        (message.clone().without("webhook-signature"), 401),
        (message.clone().with("webhook-timestamp", "1"), 401),
        (message.clone().with("webhook-timestamp", "x"), 400),
        (message.with("webhook-id", "a.b"), 400),
    ] {
        let address = service.0.address.clone();
        let request = head(&message, "Content-Length: 10");
        let status = tokio::task::spawn_blocking(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            stream.write_all(&request).unwrap();
            let mut response = [0; 12];
            stream.read_exact(&mut response).unwrap();
            String::from_utf8_lossy(&response[9..]).parse::<u16>().unwrap()
        });
        assert_eq!(status.await.unwrap(), expected);
    }
}

/// A client that asks first need not send the body of a webhook that is rejected.
#[tokio::test]
async fn body_is_asked_for_only_if_the_head_is_valid() {
    let setup = Setup::new();
    let service = setup.serve_standard().await;
    let message = setup.message("msg_1");
    for (message, expected) in [
        (message.clone().without("webhook-signature"), "HTTP/1.1 401"),
        (message.clone().with("webhook-timestamp", "1"), "HTTP/1.1 401"),
        (message, "HTTP/1.1 100"),
    ] {
        let address = service.0.address.clone();
        let request = head(&message, "Expect: 100-continue\r\nContent-Length: 10");
        let status = tokio::task::spawn_blocking(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            stream.write_all(&request).unwrap();
            let mut response = [0; 12];
            stream.read_exact(&mut response).unwrap();
            String::from_utf8_lossy(&response).into_owned()
        });
        assert_eq!(status.await.unwrap(), expected);
    }
}

#[tokio::test]
async fn body_that_is_not_utf_8_or_is_empty_is_accepted_unchanged() {
    let setup = Setup::new();
    for format in [WebhookFormat::github(), WebhookFormat::stripe()] {
        let service = setup.serve(format).await;
        for body in [&b"\xff\xfe\x00\x80"[..], b"", b"\r\n{ } \n"] {
            let mut message = Message::github(body, SECRET);
            message.headers.extend(Message::stripe(setup.now(), body, SECRET).headers);
            let response = service.request(&message).send().await.unwrap();
            assert_eq!(response.status(), 200);
            assert_eq!(response.bytes().await.unwrap(), body);
        }
    }
}

/// The signature is that of the compressed bytes.
#[tokio::test]
async fn compressed_body_is_verified_before_it_is_decoded() {
    use axum::{Router, body::Bytes, routing::post};
    use tower::ServiceBuilder;
    use tower_http::decompression::RequestDecompressionLayer;

    // "hello" as gzip, with a stored block.
    let gzip = [
        0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff, 1, 5, 0, 0xfa, 0xff, b'h', b'e', b'l', b'l', b'o',
        0x86, 0xa6, 0x10, 0x36, 5, 0, 0, 0,
    ];
    let setup = Setup::new();
    let layer = || setup.builder(WebhookFormat::github()).secret(SECRET).build().unwrap();
    let echo = post(async |body: Bytes| body);
    let inside = ServiceBuilder::new()
        .layer(layer())
        .map_request(|request: Request<_>| request)
        .layer(RequestDecompressionLayer::new());
    let outside = ServiceBuilder::new().layer(RequestDecompressionLayer::new()).layer(layer());
    let app = Router::new()
        .route("/inside", echo.clone().layer(inside))
        .route("/outside", echo.layer(outside));
    let api = tower_auth_test_support::api::Api::serve(app).await;
    let signed = Message::github(&gzip, SECRET);
    let post = |path: &str, message: &Message| {
        let signature = message.header("x-hub-signature-256").to_owned();
        api.request(reqwest::Method::POST, path)
            .header("content-encoding", "gzip")
            .header("x-hub-signature-256", signature)
            .body(message.body.clone())
            .send()
    };
    let response = post("/inside", &signed).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.text().await.unwrap(), "hello");
    assert_eq!(post("/outside", &signed).await.unwrap().status(), 401);
    let decoded = Message::github(b"hello", SECRET).with_body(&gzip);
    assert_eq!(post("/inside", &decoded).await.unwrap().status(), 401);
}
