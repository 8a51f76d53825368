//! HTTP/1.1, byte for byte.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    /// All values of one header, in lower case by name.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let same = |(known, _): &&(String, String)| known == name;
        self.headers.iter().filter(same).map(|(_, value)| value.as_str()).collect()
    }

    pub fn one(&self, name: &str) -> &str {
        match self.all(name)[..] {
            [one] => one,
            ref other => panic!("{name}: {other:?}"),
        }
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{self:?}"))
    }
}

/// Sends one request on a connection of its own. Header values are Latin-1, one character a byte.
pub fn send(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\n").into_bytes();
    for (name, value) in headers {
        request.extend(name.bytes().chain(*b": "));
        request.extend(value.chars().map(|c| u8::try_from(u32::from(c)).unwrap()));
        request.extend(b"\r\n");
    }
    let sent = |name: &str| headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
    if !body.is_empty() && !sent("content-length") {
        request.extend(format!("Content-Length: {}\r\n", body.len()).bytes());
    }
    request.extend(b"Connection: close\r\n\r\n");
    request.extend(body.bytes());

    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    // A server may answer, and close, before it has read a request that is too large.
    let _ = stream.write_all(&request);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    parse(&answer)
}

pub fn get(address: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    send(address, "GET", path, headers, "")
}

fn parse(answer: &[u8]) -> Answer {
    let text: String = answer.iter().map(|byte| char::from(*byte)).collect();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head: {text:?}"));
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap().parse().unwrap();
    let headers = lines
        .map(|line| line.split_once(':').unwrap())
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    Answer { status, headers, body: body.to_owned() }
}
