//! Methods, forms and limits of the requests.

use std::{
    convert::Infallible,
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{Request, header::CONTENT_TYPE};
use http_body::Frame;
use http_body_util::StreamBody;
use tower::ServiceExt as _;

use super::{FORM, INVALID, Receiver, Setup, assert_accepted, assert_invalid};

#[tokio::test]
async fn other_methods_return_405_with_allow() {
    let receiver = Receiver::start().await;
    let form = format!("logout_token={}", receiver.setup.logout_token("alice").sign());
    for method in ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY", "post"] {
        let response = receiver.send(method, "/logout", &[FORM], &form).await;
        assert_eq!(response.status, 405, "{method}");
        assert_eq!(response.header("allow"), "POST", "{method}");
        assert_eq!(response.header("cache-control"), "no-store", "{method}");
    }
    assert_accepted(&receiver.post_form(&form).await);
}

#[tokio::test]
async fn content_type_must_be_that_of_a_form() {
    let receiver = Receiver::start().await;
    let token = || format!("logout_token={}", receiver.setup.logout_token("alice").sign());
    let form = FORM.1;
    let [longer, list] = ["-other", ", text/plain"].map(|rest| format!("{form}{rest}"));
    for other in
        ["application/json", "text/plain", "multipart/form-data; boundary=x", "", &longer, &list]
    {
        let headers = [("content-type", other)];
        let response = receiver.send("POST", "/logout", &headers, &token()).await;
        assert_invalid(&response, other);
    }
    let response = receiver.send("POST", "/logout", &[], &token()).await;
    assert_invalid(&response, "no content type");
    let response = receiver.send("POST", "/logout", &[FORM, FORM], &token()).await;
    assert_invalid(&response, "two content types");
    for accepted in
        [format!("{form};charset=UTF-8"), format!("{form} ; charset=utf-8"), form.to_uppercase()]
    {
        let headers = [("content-type", &*accepted)];
        let response = receiver.send("POST", "/logout", &headers, &token()).await;
        assert_eq!(response.status, 200, "{accepted}");
    }
}

#[tokio::test]
async fn logout_token_must_be_sent_once_and_in_the_body() {
    let receiver = Receiver::start().await;
    let token = receiver.setup.logout_token("alice").sign();
    for (case, form) in [
        ("empty", String::new()),
        ("no parameter", "state=x".to_owned()),
        ("other case", format!("Logout_Token={token}")),
        ("other name", format!("token={token}")),
        ("twice", format!("logout_token={token}&logout_token={token}")),
        ("twice, once encoded", format!("logout_token={token}&logout%5Ftoken={token}")),
        ("twice, once empty", format!("logout_token=&logout_token={token}")),
        ("without a value", "logout_token".to_owned()),
        ("in JSON", format!(r#"{{"logout_token":"{token}"}}"#)),
        ("with a space", format!("logout_token=+{token}")),
    ] {
        assert_invalid(&receiver.post_form(&form).await, case);
    }
    let (body, query) = (format!("logout_token={token}"), format!("/logout?logout_token={token}"));
    for (case, body) in [("in the query", ""), ("in the query as well", &*body)] {
        let response = receiver.send("POST", &query, &[FORM], body).await;
        assert_invalid(&response, case);
    }
    let query = "/logout?a=b&logout%5ftoken";
    assert_invalid(&receiver.send("POST", query, &[FORM], &body).await, "its name in the query");

    // Other parameters are ignored (§2.5).
    let body = format!("a=1&%ff=%zz&&logout_token={}&b", token.replace('.', "%2E"));
    let response = receiver.send("POST", "/logout?tenant=a&x", &[FORM], &body).await;
    assert_accepted(&response);
}

const LIMIT: usize = 64 * 1024;

/// Returns a form of this length.
fn form_of_length(token: &str, length: usize) -> String {
    let form = format!("logout_token={token}&padding=");
    format!("{form}{}", "x".repeat(length - form.len()))
}

#[tokio::test]
async fn body_over_64_kib_returns_400() {
    let receiver = Receiver::start().await;
    let token = receiver.setup.logout_token("alice").sign();
    assert_invalid(&receiver.post_form(&form_of_length(&token, LIMIT + 1)).await, "too long");
    assert!(receiver.last_reason().contains("64 KiB"));
    assert_accepted(&receiver.post_form(&form_of_length(&token, LIMIT)).await);
}

/// Sends a body in chunks, until the server responds or the body ends. Returns the response.
fn send_chunked(address: &str, body: &str, chunk_bytes: usize) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let (name, value) = FORM;
    let head = format!(
        "POST /logout HTTP/1.1\r\nHost: {address}\r\n{name}: {value}\r\n\
         Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let chunks = body.as_bytes().chunks(chunk_bytes).map(|chunk| {
        let mut framed = format!("{:x}\r\n", chunk.len()).into_bytes();
        framed.extend(chunk);
        framed.extend(b"\r\n");
        framed
    });
    for chunk in chunks.chain([b"0\r\n\r\n".to_vec()]) {
        if stream.write_all(&chunk).is_err() {
            break; // The server has closed the connection.
        }
    }
    let mut response = Vec::new();
    let _ = stream.read_to_end(&mut response);
    String::from_utf8(response).unwrap()
}

#[tokio::test]
async fn chunked_body_has_the_same_limit() {
    let receiver = Receiver::start().await;
    let token = receiver.setup.logout_token("alice").sign();
    let send = async |length: usize, chunk_bytes: usize| {
        let (address, body) = (receiver.address.clone(), form_of_length(&token, length));
        let send = move || send_chunked(&address, &body, chunk_bytes);
        tokio::task::spawn_blocking(send).await.unwrap()
    };
    let response = send(LIMIT + 1, 1_000).await;
    assert!(response.starts_with("HTTP/1.1 400 ") && response.ends_with(INVALID), "{response}");
    let response = send(LIMIT, 1_000).await;
    assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
    // In chunks of one byte, it is a replay.
    let response = send(2_000, 1).await;
    assert!(response.starts_with("HTTP/1.1 400 "), "{response}");
    assert!(receiver.last_reason().contains("sent before"));
}

/// A client that announces a long body does not have to send it.
#[tokio::test]
async fn announced_length_over_64_kib_is_rejected_before_the_body_arrives() {
    let receiver = Receiver::start().await;
    let address = receiver.address.clone();
    let send = move || {
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let ((name, value), length) = (FORM, LIMIT + 1);
        let head = format!(
            "POST /logout HTTP/1.1\r\nHost: {address}\r\n{name}: {value}\r\n\
             Content-Length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut start = [0; 12];
        stream.read_exact(&mut start).unwrap();
        start
    };
    assert_eq!(&tokio::task::spawn_blocking(send).await.unwrap(), b"HTTP/1.1 400");
    assert!(receiver.last_reason().contains("64 KiB"));
}

#[tokio::test]
async fn trailers_are_ignored() {
    let setup = Setup::new();
    let form = format!("logout_token={}", setup.logout_token("alice").sign());
    let frames = [Frame::data(Bytes::from(form)), Frame::trailers(http::HeaderMap::new())];
    let body = StreamBody::new(stream::iter(frames.map(Ok::<_, Infallible>)));
    let request = Request::post("/logout").header(CONTENT_TYPE, FORM.1).body(body).unwrap();
    let response = setup.builder().build().unwrap().oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200);
}

/// The timer of Tokio stands still, and is advanced when all tasks wait.
#[tokio::test(start_paused = true)]
async fn body_that_does_not_arrive_within_10_s_returns_400() {
    let setup = Setup::new();
    let token = setup.logout_token("alice").sign();
    let logout = setup.builder().build().unwrap();
    let send = async |pause: Duration| {
        let form = format!("logout_token={token}");
        let parts: Vec<_> = form.as_bytes().chunks(100).map(Bytes::copy_from_slice).collect();
        let count = u32::try_from(parts.len()).unwrap();
        let frames = stream::iter(parts).then(move |part| async move {
            tokio::time::sleep(pause / count).await;
            Ok::<_, Infallible>(Frame::data(part))
        });
        let request = Request::post("/logout").header(CONTENT_TYPE, FORM.1);
        let request = request.body(StreamBody::new(frames)).unwrap();
        logout.clone().oneshot(request).await.unwrap().status()
    };
    assert_eq!(send(Duration::from_millis(10_500)).await, 400);
    assert!(setup.reasons.lock().unwrap().last().unwrap().contains("10 s"));
    assert_eq!(send(Duration::from_millis(9_500)).await, 200);
}

#[tokio::test]
async fn response_contains_nothing_of_the_request() {
    let receiver = Receiver::start().await;
    let token = receiver.setup.logout_token("alice").claim("sid", 7).sign();
    let response = receiver.post(&token).await;
    assert_invalid(&response, "sid");
    let all = format!("{response:?}");
    assert!(!all.contains("alice") && !all.contains("sid") && !all.contains("eyJ"), "{all}");
    // The reason is for the operator.
    assert!(receiver.last_reason().contains("sid"));
}
