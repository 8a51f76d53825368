//! The example without a browser.

use std::{
    future::ready,
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use tower_auth_test_support::{
    program::Program,
    raw::{RawResponse, get, send, send_head},
    stub::wait_until,
};

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const ALICE: &str = "user=alice&password=correct+horse";

/// Starts the example without TLS. It ends when the first value is dropped.
fn start(args: &[&str]) -> (Program, String) {
    let args = [&["127.0.0.1:0"], args].concat();
    let mut program = Program::start(env!("CARGO_BIN_EXE_browser"), &args);
    let address = program.address();
    (program, address)
}

/// Logs in, and returns the value of `Cookie`.
fn log_in(address: &str) -> String {
    let response = send(address, "POST", "/login", &[FORM], ALICE);
    assert_eq!((response.status, response.header("location")), (303, "/"));
    let (cookie, _) = response.header("set-cookie").split_once(';').unwrap();
    cookie.to_owned()
}

fn handshake<'h>(headers: &[(&'h str, &'h str)]) -> Vec<(&'h str, &'h str)> {
    let fixed = [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    [&fixed, headers].concat()
}

#[test]
fn login_sets_one_cookie_in_the_safe_form() {
    let (_program, address) = start(&["--lifetime", "100"]);
    let response = send(&address, "POST", "/login", &[FORM], ALICE);
    assert_eq!(response.status, 303);
    let attributes: Vec<_> = response.header("set-cookie").split("; ").collect();
    let [cookie, "Path=/", "Secure", "HttpOnly", "SameSite=Lax", max_age] = attributes[..] else {
        panic!("{attributes:?}")
    };
    assert!(cookie.starts_with("__Host-token=ey"), "{cookie}");
    let max_age = max_age.strip_prefix("Max-Age=").unwrap().parse().unwrap();
    assert!((90..=100).contains(&max_age), "{max_age}");

    let me = get(&address, "/me", &[("cookie", cookie)]);
    assert_eq!((me.status, &*me.body), (200, "alice"));
}

#[test]
fn wrong_password_returns_422_without_challenge() {
    let (_program, address) = start(&[]);
    for body in ["user=alice&password=x", "user=nobody&password=x", "user=a%3Ab&password=x"] {
        let response = send(&address, "POST", "/login", &[FORM], body);
        assert_eq!((response.status, &*response.body), (422, "wrong user or password"), "{body}");
        for name in ["set-cookie", "www-authenticate"] {
            assert_eq!(response.header_values(name), [""; 0], "{body}");
        }
    }
}

#[test]
fn eleventh_wrong_password_returns_429() {
    let (_program, address) = start(&[]);
    let fail = || send(&address, "POST", "/login", &[FORM], "user=alice&password=x");
    for _ in 0..10 {
        assert_eq!(fail().status, 422);
    }
    let response = fail();
    assert_eq!(response.status, 429);
    assert!(response.header("retry-after").parse::<u32>().unwrap() > 0);
}

#[test]
fn missing_and_invalid_cookies_return_401_and_the_page_is_public() {
    let (_program, address) = start(&[]);
    let login = log_in(&address);
    let forged = format!("{login}x");
    let no_headers: &[(&str, &str)] = &[];
    for (headers, challenge) in [
        (no_headers, "Bearer"),
        (&[("cookie", "__Host-token=x")], r#"Bearer error="invalid_token""#),
        (&[("cookie", &*forged)], r#"Bearer error="invalid_token""#),
        // Only the cookie is a token.
        (&[("authorization", "Bearer x")], "Bearer"),
    ] {
        let response = get(&address, "/me", headers);
        assert_eq!((response.status, response.header("www-authenticate")), (401, challenge));
        assert_eq!(response.header_values("set-cookie"), [""; 0]);

        let page = get(&address, "/", headers);
        assert_eq!(page.status, 200);
        assert!(page.header("content-security-policy").contains("script-src 'self'"));
        assert!(page.body.contains(r#"<form id="login""#));
        // An inline script would not run.
        assert_eq!(page.body.matches("<script").count(), 1);
    }
    assert_eq!(get(&address, "/me", &[("cookie", &login), ("cookie", &login)]).status, 400);
}

#[test]
fn unsafe_request_of_another_origin_returns_403() {
    let (_program, address) = start(&[]);
    let cookie = log_in(&address);
    let own = format!("http://{address}");
    let post = |path: &str, headers: &[(&str, &str)]| {
        send(&address, "POST", path, &[&[("cookie", &*cookie)], headers].concat(), "note").status
    };
    for headers in [
        &[][..], // not a browser
        &[("sec-fetch-site", "same-origin")],
        &[("origin", &*own)],
    ] {
        assert_eq!(post("/notes", headers), 201, "{headers:?}");
        assert_eq!(post("/logout", headers), 303, "{headers:?}");
    }
    for headers in [
        &[("sec-fetch-site", "same-site")][..],
        &[("sec-fetch-site", "cross-site"), ("origin", &*own)],
        &[("origin", "null")],
        &[("origin", "http://127.0.0.1")],
    ] {
        assert_eq!(post("/notes", headers), 403, "{headers:?}");
        assert_eq!(post("/logout", headers), 403, "{headers:?}");
        let login = [&[FORM], headers].concat();
        let login = send(&address, "POST", "/login", &login, ALICE);
        assert_eq!((login.status, login.header_values("set-cookie")), (403, vec![]));
    }
    let notes = get(&address, "/notes", &[("cookie", &cookie)]);
    assert_eq!(notes.body, "alice: note\n".repeat(3));
}

/// RFC 9111 §3.5 protects only responses to requests with `Authorization`.
#[test]
fn responses_to_the_login_and_to_a_cookie_must_not_be_stored() {
    let (_program, address) = start(&[]);
    let login = send(&address, "POST", "/login", &[FORM], ALICE);
    let wrong = send(&address, "POST", "/login", &[FORM], "user=alice&password=x");
    let cookie = log_in(&address);
    let cookie = [("cookie", &*cookie)];
    for response in [
        login,
        wrong,
        get(&address, "/me", &cookie),
        get(&address, "/notes", &cookie),
        send(&address, "POST", "/notes", &cookie, "note"),
        send(&address, "POST", "/logout", &cookie, ""),
        get(&address, "/me", &[]),
        get(&address, "/", &cookie),
    ] {
        assert_eq!(response.header_values("cache-control"), ["no-store"], "{response:?}");
    }
}

#[test]
fn long_note_returns_413() {
    let (_program, address) = start(&[]);
    let cookie = log_in(&address);
    let add = |length| {
        send(&address, "POST", "/notes", &[("cookie", &cookie)], &"x".repeat(length)).status
    };
    assert_eq!((add(4096), add(4097)), (201, 413));
}

#[test]
fn plain_http_for_another_host_returns_403() {
    let (_program, address) = start(&[]);
    let get = |host: &str| send_head(&address, &format!("GET / HTTP/1.1\r\nHost: {host}\r\n"));
    for (host, status) in [("localhost:3000", 200), ("127.0.0.1", 200), ("app.test", 403)] {
        assert_eq!(get(host).status, status, "{host}");
    }
}

#[test]
fn socket_needs_the_cookie_and_the_own_origin() {
    let (_program, address) = start(&[]);
    let cookie = ("cookie", &*log_in(&address));
    let own = format!("http://{address}");
    for (headers, status) in [
        (&[cookie, ("origin", &*own)][..], 101),
        (&[cookie, ("origin", "http://localhost")], 403),
        (&[cookie], 403),
        (&[("origin", &*own)], 401),
    ] {
        let response = get(&address, "/socket", &handshake(headers));
        assert_eq!(response.status, status, "{headers:?}");
    }
}

#[test]
fn logout_removes_the_cookie_even_if_its_token_is_invalid() {
    let (_program, address) = start(&[]);
    for cookie in [log_in(&address), "__Host-token=x".to_owned()] {
        let response = send(&address, "POST", "/logout", &[("cookie", &cookie)], "");
        assert_eq!(response.status, 303);
        let removal = "__Host-token=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0";
        assert_eq!(response.header("set-cookie"), removal);
    }
}

#[tokio::test]
async fn expired_token_returns_401() {
    let (_program, address) = start(&["--lifetime", "3"]);
    let cookie = log_in(&address);
    let me = || -> RawResponse { get(&address, "/me", &[("cookie", &cookie)]) };
    assert_eq!(me().status, 200);
    wait_until("the expiry of the token", async || me().status == 401).await;
    assert_eq!(get(&address, "/", &[("cookie", &cookie)]).status, 200);
}

#[tokio::test]
async fn socket_whose_client_does_not_read_is_closed_at_expiry() {
    let (_program, address) = start(&["--lifetime", "3"]);
    let mut socket = open_socket(&address);
    // A text of 1024 bytes, with a mask of zeros.
    let frame = [&[0x81, 0xfe, 4, 0, 0, 0, 0, 0][..], &[b'x'; 1024]].concat();
    let mut sent = 0;
    socket.set_nonblocking(true).unwrap();
    // The server blocks while it sends replies, until it no longer reads.
    let mut is_closed = || loop {
        match socket.write(&frame[sent..]) {
            Ok(length) => sent = (sent + length) % frame.len(),
            Err(error) => return error.kind() != ErrorKind::WouldBlock,
        }
    };
    wait_until("the end of the connection", || ready(is_closed())).await;
}

#[test]
fn long_message_closes_the_socket_before_it_is_received() {
    let (_program, address) = start(&[]);
    let mut socket = open_socket(&address);
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // Only the start of a text of 4097 bytes.
    socket.write_all(&[0x81, 0xfe, 0x10, 0x01, 0, 0, 0, 0]).unwrap();
    assert_eq!(socket.read(&mut [0]).unwrap(), 0);
}

/// Logs in and opens a WebSocket.
fn open_socket(address: &str) -> TcpStream {
    let (cookie, own) = (log_in(address), format!("http://{address}"));
    let headers = handshake(&[("host", address), ("cookie", &cookie), ("origin", &own)]);
    let headers: String =
        headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let mut socket = TcpStream::connect(address).unwrap();
    write!(socket, "GET /socket HTTP/1.1\r\n{headers}\r\n").unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    assert!(head.starts_with(b"HTTP/1.1 101"), "{}", head.escape_ascii());
    socket
}
