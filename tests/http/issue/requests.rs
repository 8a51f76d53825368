//! Methods, bodies and limits of the requests.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use http::{
    Request,
    header::{ACCEPT, ACCEPT_ENCODING, ALLOW, CONTENT_ENCODING, CONTENT_TYPE},
};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use reqwest::Method;
use serde_json::json;
use tower::ServiceExt as _;
use tower_auth_test_support::api::Reply;

use super::{PASSWORD, PATHS, Setup, assert_error, checked};

const FORM: &str = "application/x-www-form-urlencoded";
const LOGIN: &str = "username=alice&password=correct+horse";

#[tokio::test]
async fn other_methods_return_405_with_allow() {
    for routes in [Setup::new().builder(), Setup::new().builder().cookie()] {
        let client = Setup::new().serve(routes).await;
        for path in PATHS {
            for method in ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY", "post"] {
                let method = Method::from_bytes(method.as_bytes()).unwrap();
                let request = client.api.request(method.clone(), path);
                let reply = checked(Reply::to(request.header("origin", "https://x.example")).await);
                assert_eq!(reply.status, 405, "{method} {path}");
                assert_eq!(reply.headers[ALLOW], "POST", "{method} {path}");
            }
        }
    }
}

#[tokio::test]
async fn form_and_json_are_accepted_with_parameters_of_the_media_type() {
    let setup = Setup::new();
    let client = setup.serve(setup.builder()).await;
    let json = json!({ "username": "alice", "password": PASSWORD }).to_string();
    for (media_type, body) in [
        (FORM, LOGIN),
        ("application/x-www-form-urlencoded;charset=UTF-8", LOGIN),
        ("Application/X-WWW-Form-URLEncoded ; a=b", LOGIN),
        (FORM, "%75sername=alice&&password=correct%20horse&x&remember=1"),
        ("application/json", &json),
        ("application/json; charset=utf-8", &json),
        ("APPLICATION/JSON", r#" {"\u0075sername":"alice","password":"correct\u0020horse"} "#),
    ] {
        let request = client.post("/login").header(CONTENT_TYPE, media_type);
        let reply = checked(Reply::to(request.body(body.to_owned())).await);
        assert_eq!(reply.status, 200, "{media_type} {body}");
    }
}

#[tokio::test]
async fn other_content_type_returns_415_with_accept() {
    let setup = Setup::new();
    let client = setup.serve(setup.builder()).await;
    for path in PATHS {
        for other in ["text/plain", "multipart/form-data; boundary=x", "application/json-x", ""] {
            let request = client.post(path).header(CONTENT_TYPE, other).body(LOGIN);
            let reply = checked(Reply::to(request).await);
            assert_error(&reply, 415, "invalid_request");
            assert_eq!(reply.headers[ACCEPT], format!("{FORM}, application/json"));
        }
        let request = client.post(path).body(LOGIN);
        assert_error(&checked(Reply::to(request).await), 415, "invalid_request");
        let request = client.post(path).header(CONTENT_TYPE, FORM).body(LOGIN);
        let request = request.header(CONTENT_TYPE, FORM);
        assert_error(&checked(Reply::to(request).await), 415, "invalid_request");
    }
}

#[tokio::test]
async fn body_with_a_content_coding_returns_415() {
    let setup = Setup::new();
    let client = setup.serve(setup.builder()).await;
    let send = async |coding: &str| {
        let request = client.post("/login").header(CONTENT_TYPE, FORM);
        checked(Reply::to(request.header(CONTENT_ENCODING, coding).body(LOGIN)).await)
    };
    for coding in ["gzip", "br", "identity, gzip", ""] {
        let reply = send(coding).await;
        assert_error(&reply, 415, "invalid_request");
        assert_eq!(reply.headers[ACCEPT_ENCODING], "identity");
    }
    for none in ["identity", "Identity"] {
        assert_eq!(send(none).await.status, 200);
    }
    let two = client.post("/login").header(CONTENT_TYPE, FORM).header(CONTENT_ENCODING, "identity");
    let two = two.header(CONTENT_ENCODING, "gzip").body(LOGIN);
    assert_error(&checked(Reply::to(two).await), 415, "invalid_request");
}

#[tokio::test]
async fn body_over_8_kib_returns_413() {
    const LIMIT: usize = 8 * 1024;
    let setup = Setup::new();
    let client = setup.serve(setup.builder()).await;
    let form = |length: usize| {
        let form = format!("{LOGIN}&padding=");
        format!("{form}{}", "x".repeat(length - form.len()))
    };
    assert_eq!(client.form("/login", &form(LIMIT)).await.status, 200);
    for path in PATHS {
        assert_error(&client.form(path, &form(LIMIT + 1)).await, 413, "invalid_request");
    }
    // Without an announced length, in small chunks.
    for (length, status) in [(LIMIT, 200), (LIMIT + 1, 413)] {
        let form = form(length).into_bytes();
        let chunks: Vec<_> = form.chunks(100).map(Bytes::copy_from_slice).collect();
        let body = stream::iter(chunks.into_iter().map(Ok::<_, Infallible>));
        let request = client.post("/login").header(CONTENT_TYPE, FORM);
        let reply = checked(Reply::to(request.body(reqwest::Body::wrap_stream(body))).await);
        assert_eq!(reply.status, status);
    }
}

/// A body of an announced length that does not arrive.
struct Announced(u64);

impl http_body::Body for Announced {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::SizeHint::with_exact(self.0)
    }
}

#[tokio::test(start_paused = true)]
async fn announced_length_over_8_kib_returns_413_before_the_body_arrives() {
    let routes = Setup::new().builder().build().unwrap();
    for (length, status) in [(8 * 1024, 408), (8 * 1024 + 1, 413)] {
        let request = Request::post("/").header(CONTENT_TYPE, FORM);
        let request = request.body(Announced(length)).unwrap();
        assert_eq!(routes.login().oneshot(request).await.unwrap().status(), status);
    }
}

/// The timer of Tokio stands still, and is advanced when all tasks wait.
#[tokio::test(start_paused = true)]
async fn body_that_does_not_arrive_within_10_s_returns_408() {
    let routes = Setup::new().builder().build().unwrap();
    let send = async |pause: Duration| {
        let parts = [&LOGIN[..10], &LOGIN[10..]].map(|part| Bytes::from(part.to_owned()));
        let frames = stream::iter(parts).then(move |part| async move {
            tokio::time::sleep(pause).await;
            Ok::<_, Infallible>(Frame::data(part))
        });
        let request = Request::post("/").header(CONTENT_TYPE, FORM);
        let request = request.body(StreamBody::new(frames)).unwrap();
        let reply = routes.login().oneshot(request).await.unwrap();
        let body = reply.into_parts();
        (body.0.status.as_u16(), body.1.collect().await.unwrap().to_bytes())
    };
    assert_eq!(send(Duration::from_millis(4_900)).await.0, 200);
    let (status, body) = send(Duration::from_millis(5_100)).await;
    assert_eq!((status, &*body), (408, &br#"{"error":"invalid_request"}"#[..]));
}

#[tokio::test]
async fn body_that_breaks_off_returns_400() {
    let routes = Setup::new().builder().build().unwrap();
    let frames = [Ok(Frame::data(Bytes::from_static(LOGIN.as_bytes()))), Err("reset")];
    let request = Request::post("/").header(CONTENT_TYPE, FORM);
    let request = request.body(StreamBody::new(stream::iter(frames))).unwrap();
    assert_eq!(routes.login().oneshot(request).await.unwrap().status(), 400);
}

#[tokio::test]
async fn repeated_parameter_returns_400() {
    let setup = Setup::new();
    let client = setup.serve(setup.builder()).await;
    for form in [
        format!("{LOGIN}&password=correct+horse"),
        format!("{LOGIN}&pass%77ord=other"),
        format!("{LOGIN}&password="),
        format!("{LOGIN}&x=1&x=2"),
    ] {
        assert_error(&client.form("/login", &form).await, 400, "invalid_request");
    }
    for json in [
        r#"{"username":"alice","password":"correct horse","password":"correct horse"}"#,
        r#"{"username":"alice","password":"correct horse","pass\u0077ord":"x"}"#,
        r#"{"username":"alice","password":"correct horse","x":{"a":1,"a":2}}"#,
    ] {
        let request = client.post("/login").header(CONTENT_TYPE, "application/json").body(json);
        assert_error(&checked(Reply::to(request).await), 400, "invalid_request");
    }
}

#[tokio::test]
async fn missing_or_empty_parameter_returns_400() {
    let setup = Setup::new();
    let client = setup.serve(setup.builder()).await;
    for form in ["", "username=alice", "password=x", "username=&password=x", "username=a&password"]
    {
        assert_error(&client.form("/login", form).await, 400, "invalid_request");
    }
    for path in ["/login", "/token/refresh", "/logout", "/revoke"] {
        let reply = checked(Reply::to(client.post(path)).await);
        assert_error(&reply, 400, "invalid_request");
        assert_error(&client.json(path, &json!({})).await, 400, "invalid_request");
    }
    // An optional parameter without a value counts as omitted (RFC 6749 §3.2).
    assert_eq!(client.form("/login", &format!("{LOGIN}&scope=&client_id")).await.status, 200);
    let parameters = json!({ "username": "alice", "password": PASSWORD, "scope": null });
    assert_eq!(client.json("/login", &parameters).await.status, 200);
}

#[tokio::test]
async fn malformed_body_returns_400() {
    let setup = Setup::new();
    let client = setup.serve(setup.builder()).await;
    let nested =
        format!(r#"{{"username":"alice","password":"correct horse","x":{}}}"#, "[".repeat(7_000));
    for json in [
        "{",
        "[]",
        "\"alice\"",
        "null",
        r#"{"username":"alice","password":1}"#,
        r#"{"username":["alice"],"password":"correct horse"}"#,
        r#"{"username":"alice","password":"correct horse"} x"#,
        r#"{"username":"alice","password":"correct horse","scope":["read"]}"#,
        r#"{"username":"alice","password":"correct horse","$serde_json::private::Number":"1"}"#,
        &nested,
    ] {
        let request = client.post("/login").header(CONTENT_TYPE, "application/json");
        let reply = checked(Reply::to(request.body(json.to_owned())).await);
        assert_error(&reply, 400, "invalid_request");
    }
    for body in [
        &b"username=alice&password=%ff"[..],
        b"username=alice&password=\xff",
        b"username=alice&password=correct+horse&%80=1",
    ] {
        let request = client.post("/login").header(CONTENT_TYPE, FORM).body(body);
        assert_error(&checked(Reply::to(request).await), 400, "invalid_request");
    }
    // Unknown members can have any value.
    let parameters = json!({ "username": "alice", "password": PASSWORD, "remember": [true, 1] });
    assert_eq!(client.json("/login", &parameters).await.status, 200);
}

#[tokio::test]
async fn secret_in_the_query_returns_400() {
    let setup = Setup::new();
    let client = setup.serve(setup.builder()).await;
    for path in PATHS {
        for name in ["password", "refresh_token", "token", "access_token", "p%61ssword"] {
            let reply = client.form(&format!("{path}?a=b&{name}=x"), LOGIN).await;
            assert_error(&reply, 400, "invalid_request");
        }
    }
    let events = setup.events.take();
    assert!(events.iter().all(|event| event.contains("the query has a secret")), "{events:?}");
}

#[tokio::test]
async fn parameter_in_the_query_is_not_read() {
    let setup = Setup::new();
    let client = setup.serve(setup.builder()).await;
    let reply = client.form("/login?username=alice", "password=correct+horse").await;
    assert_error(&reply, 400, "invalid_request");
    assert_eq!(client.form("/login?username=bob&scope=admin", LOGIN).await.status, 200);
}

#[test]
fn request_outside_a_runtime_is_a_wiring_fault() {
    let routes = Setup::new().builder().build().unwrap();
    let request = Request::post("/").header(CONTENT_TYPE, FORM).body(LOGIN.to_owned()).unwrap();
    let response = routes.login().oneshot(request).now_or_never().unwrap().unwrap();
    assert_eq!(response.status(), 500);
}
