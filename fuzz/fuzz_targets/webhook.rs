//! Sends webhooks to the layer and compares the status with a model.
//!
//! The first byte of the input selects the format: Standard Webhooks (0), GitHub (1), Stripe (2) or
//! a custom one (3). Then follow three lines, with the id, the timestamp and the signature, and the
//! body. `$` in a signature stands for the valid MAC of this id, timestamp and body.
#![no_main]

use std::{
    cell::RefCell,
    time::{Duration, UNIX_EPOCH},
};

use aws_lc_rs::hmac;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body_util::Full;
use libfuzzer_sys::fuzz_target;
use tokio::runtime::{Builder, Runtime};
use tower_auth::{
    store::SealedStore,
    webhook::{WebhookFormat, WebhookLayer},
};
use tower_service::Service;

const NOW: u64 = 1_800_000_000;
const KEY: &[u8] = b"0123456789abcdefghijklmnopqrstuv";

thread_local! {
    static RUNTIME: RefCell<Runtime> =
        RefCell::new(Builder::new_current_thread().enable_time().build().unwrap());
}

fuzz_target!(|input: &[u8]| {
    let Some((selector @ b'0'..=b'3', rest)) = input.split_first() else { return };
    let mut lines = rest.splitn(4, |byte| *byte == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    let (id, sent, signature, body) = (line(), line(), line(), line());
    let before_body: &[&[u8]] = match selector {
        b'0' => &[id, b".", sent, b"."],
        b'1' => &[],
        b'2' => &[sent, b"."],
        _ => &[b"v0:", sent, b":"],
    };
    let content = [&before_body.concat(), body].concat();
    let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, KEY), &content);
    let mac = mac.as_ref();
    let hex: String = mac.iter().map(|byte| format!("{byte:02x}")).collect();
    let base64 = BASE64_STANDARD.encode(mac);
    let text = if *selector == b'0' { &base64 } else { &hex };
    let signature: Vec<u8> = signature
        .iter()
        .flat_map(|byte| if *byte == b'$' { text.bytes().collect() } else { vec![*byte] })
        .collect();
    let headers: &[(&str, &[u8])] = match selector {
        b'0' => {
            &[("webhook-id", id), ("webhook-timestamp", sent), ("webhook-signature", &signature)]
        }
        b'1' => &[("x-hub-signature-256", &signature)],
        b'2' => &[("stripe-signature", &signature)],
        _ => &[("x-timestamp", sent), ("x-signature", &signature)],
    };
    let mut request = Request::post("/");
    for (name, value) in headers {
        let Ok(value) = HeaderValue::from_bytes(value) else { return };
        request = request.header(*name, value);
    }
    let request = request.body(Full::new(Bytes::copy_from_slice(body))).unwrap();
    let statuses = send(*selector, request);

    let is_current = (1..=12).contains(&sent.len())
        && sent.iter().all(u8::is_ascii_digit)
        && std::str::from_utf8(sent).unwrap().parse::<u64>().unwrap().abs_diff(NOW) <= 300;
    let has_mac = |text: &str| {
        signature.windows(text.len()).any(|part| {
            part == text.as_bytes()
                || text.len() == 64 && part.eq_ignore_ascii_case(text.as_bytes())
        })
    };
    let header_time = format!("t={}", String::from_utf8_lossy(sent));
    let could_be_valid = match selector {
        b'0' => {
            is_current && has_mac(&base64) && !id.contains(&b'.') && (1..=256).contains(&id.len())
        }
        b'1' => has_mac(&hex),
        b'2' => {
            is_current
                && has_mac(&hex)
                && String::from_utf8_lossy(&signature).contains(&header_time)
        }
        _ => is_current && has_mac(&hex),
    };
    match statuses {
        // The second one is a duplicate.
        [200, 200] => assert!(could_be_valid, "accepted: {signature:?}"),
        [400, 400] | [401, 401] => {}
        other => panic!("{other:?}"),
    }
    let plain: &[&str] = match selector {
        b'0' => &["v1,"],
        b'1' => &["sha256="],
        b'3' => &["v0="],
        _ => &[],
    };
    let is_plain = plain.iter().any(|prefix| format!("{prefix}{text}").as_bytes() == signature)
        || *selector == b'2' && signature == format!("{header_time},v1={hex}").as_bytes();
    if is_plain && could_be_valid && id.iter().all(u8::is_ascii_graphic) {
        assert_eq!(statuses, [200, 200]);
    }
});

/// Sends a request twice to a layer, and returns the statuses.
fn send(selector: u8, request: Request<Full<Bytes>>) -> [u16; 2] {
    let custom = WebhookFormat::builder()
        .signature_header("x-signature")
        .timestamp_header("x-timestamp")
        .content("v0:{timestamp}:{body}")
        .prefix("v0=");
    let (format, secret) = match selector {
        b'0' => (WebhookFormat::standard(), format!("whsec_{}", BASE64_STANDARD.encode(KEY))),
        b'1' => (WebhookFormat::github(), String::from_utf8(KEY.to_vec()).unwrap()),
        b'2' => (WebhookFormat::stripe(), String::from_utf8(KEY.to_vec()).unwrap()),
        _ => (custom.build().unwrap(), String::from_utf8(KEY.to_vec()).unwrap()),
    };
    let layer = WebhookLayer::builder(format)
        .secret(secret)
        .store(SealedStore::memory())
        .clock(|| UNIX_EPOCH + Duration::from_secs(NOW))
        .build()
        .unwrap();
    let mut service = tower_layer::Layer::layer(&layer, Handler);
    RUNTIME.with_borrow(|runtime| {
        runtime.block_on(async {
            let first = service.call(request.clone()).await.unwrap().status().as_u16();
            let second = service.call(request).await.unwrap();
            assert!(first != 200 || second.body() == "", "the duplicate was handled");
            [first, second.status().as_u16()]
        })
    })
}

#[derive(Clone)]
struct Handler;

impl Service<Request<Full<Bytes>>> for Handler {
    type Response = Response<String>;
    type Error = std::convert::Infallible;
    type Future = std::future::Ready<Result<Response<String>, Self::Error>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Self::Error>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Full<Bytes>>) -> Self::Future {
        std::future::ready(Ok(Response::new("handled".to_owned())))
    }
}
