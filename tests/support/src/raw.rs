//! HTTP/1.1 requests written byte for byte.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

#[derive(Debug)]
pub struct RawResponse {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl RawResponse {
    /// Returns all values of one header. The name must be lower case.
    pub fn header_values(&self, name: &str) -> Vec<&str> {
        let has_name = |(other, _): &&(String, String)| other == name;
        self.headers.iter().filter(has_name).map(|(_, value)| value.as_str()).collect()
    }

    /// Returns the value of a header. The name must be lower case.
    ///
    /// # Panics
    ///
    /// If the header is missing or has several values.
    pub fn header(&self, name: &str) -> &str {
        match self.header_values(name)[..] {
            [value] => value,
            ref other => panic!("{name}: {other:?}"),
        }
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{self:?}"))
    }
}

/// Sends one request on a new connection. Header values are sent as Latin-1.
pub fn send(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> RawResponse {
    send_on(TcpStream::connect(address).unwrap(), method, path, headers, body)
}

/// Like [`send`], to the loopback port of a host name, such as `localhost:3000`.
pub fn send_to_host(
    host: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> RawResponse {
    let (_, port) = host.rsplit_once(':').unwrap();
    let stream = TcpStream::connect(("127.0.0.1", port.parse().unwrap())).unwrap();
    exchange(stream, host, method, path, headers, body)
}

/// Sends one request on this connection, and closes it.
pub fn send_on(
    stream: TcpStream,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> RawResponse {
    let host = stream.peer_addr().unwrap().to_string();
    exchange(stream, &host, method, path, headers, body)
}

fn exchange(
    mut stream: TcpStream,
    host: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> RawResponse {
    let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n").into_bytes();
    for (name, value) in headers {
        request.extend(name.bytes().chain(*b": "));
        request.extend(value.chars().map(|c| u8::try_from(u32::from(c)).unwrap()));
        request.extend(b"\r\n");
    }
    let sent = |name: &str| headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(name));
    if !body.is_empty() && !sent("content-length") {
        request.extend(format!("Content-Length: {}\r\n", body.len()).bytes());
    }
    request.extend(b"Connection: close\r\n\r\n");
    request.extend(body.bytes());

    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    // A server may respond and close the connection before it has read a large request.
    let _ = stream.write_all(&request);
    let mut response = Vec::new();
    let _ = stream.read_to_end(&mut response);
    parse(&response)
}

pub fn get(address: &str, path: &str, headers: &[(&str, &str)]) -> RawResponse {
    send(address, "GET", path, headers, "")
}

/// Sends one request with exactly this request line and these header lines, as Latin-1, and closes
/// the connection.
pub fn send_head(address: &str, head: &str) -> RawResponse {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let head = format!("{head}Connection: close\r\n\r\n");
    let bytes: Vec<_> = head.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    let _ = stream.write_all(&bytes);
    let mut response = Vec::new();
    let _ = stream.read_to_end(&mut response);
    parse(&response)
}

fn parse(response: &[u8]) -> RawResponse {
    let text: String = response.iter().map(|byte| char::from(*byte)).collect();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head: {text:?}"));
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap().parse().unwrap();
    let headers = lines
        .map(|line| line.split_once(':').unwrap())
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    RawResponse { status, headers, body: body.to_owned() }
}
