//! Verifies any text, and changed keys, with and without a new checksum, against keys in memory.
//! Nothing panics, and only a key that is stored is accepted.
#![no_main]

use std::{
    net::Ipv4Addr,
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
};

use futures_util::FutureExt;
use http::Request;
use libfuzzer_sys::fuzz_target;
use tower_auth::{
    api_key::{ApiKeys, MemoryApiKeys, NewApiKey},
    bearer::TokenVerifier,
    throttle::Throttle,
};

struct Service {
    keys: ApiKeys,
    stored: Vec<String>,
}

static SERVICE: LazyLock<Service> = LazyLock::new(|| {
    // Each request is from another address, so that the throttle counts but rejects few.
    let throttle = Throttle::by_address(|head| head.uri.query()?.parse().ok());
    let keys = ApiKeys::builder("acme", MemoryApiKeys::new()).throttle(throttle);
    let keys = keys.dangerous_trust_owners().build().unwrap();
    let create = || keys.dangerous_create_for("alice", NewApiKey::new("")).now_or_never();
    let stored = (0..4).map(|_| create().unwrap().unwrap().key().to_owned()).collect();
    Service { keys, stored }
});

fuzz_target!(|input: &[u8]| {
    let Service { keys, stored } = &*SERVICE;
    let Some((mode, rest)) = input.split_first() else { return };
    let mut text = match mode % 4 {
        0 => rest.to_vec(),
        number => {
            let mut text = stored[usize::from(number)].clone().into_bytes();
            for change in rest.chunks_exact(2) {
                let position = usize::from(change[0]) % text.len();
                text[position] = change[1];
            }
            text
        }
    };
    if mode & 4 != 0 {
        add_checksum(&mut text);
    }
    let is_stored = stored.iter().any(|key| key.as_bytes() == text);
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let address = Ipv4Addr::from(NEXT.fetch_add(1, Ordering::Relaxed));
    let address = format!("/?{address}");
    let (head, ()) = Request::builder().uri(address).body(()).unwrap().into_parts();
    let result = keys.verify_request(&text, &head).now_or_never().unwrap();
    assert_eq!(result.is_ok(), is_stored);
    // All requests without an address share one limit, but a key that was accepted passes.
    if let Ok(text) = std::str::from_utf8(&text) {
        assert_eq!(keys.verify(text).now_or_never().unwrap().is_ok(), is_stored);
    }
});

/// Replaces the last six bytes by the CRC-32 of the others, in base62.
fn add_checksum(text: &mut [u8]) {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let Some((checked, digits)) = text.split_last_chunk_mut::<6>() else { return };
    let mut rest = u32::MAX;
    for byte in checked {
        rest ^= u32::from(*byte);
        for _ in 0..8 {
            rest = if rest & 1 == 1 { (rest >> 1) ^ 0xedb8_8320 } else { rest >> 1 };
        }
    }
    rest = !rest;
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[usize::try_from(rest % 62).unwrap()];
        rest /= 62;
    }
}
