//! Measures the time to read tokens of 1 KiB to 1 MiB.
//!
//! `cargo bench -p tower-auth-benches --bench growth` prints the nanoseconds per byte. They
//! must stay about the same for every shape of token: the bench fails if the time grows faster
//! than linearly.

use std::{hint::black_box, time::Instant};

use futures_util::FutureExt;
use http::{Request, header::AUTHORIZATION};
use serde_json::json;
use tower_auth::{Authenticator, JwtAuth, jwt::Keys};
use tower_auth_test_support::token::{AUDIENCE, ISSUER, Signer, encode};

/// Builds a token of about this many bytes.
type BuildToken<'a> = Box<dyn Fn(usize) -> String + 'a>;

fn main() {
    let signer = Signer::generate("HS256", "1");
    let keys = Keys::from_json(json!({ "keys": [signer.jwk()] }).to_string()).unwrap();
    let builder = JwtAuth::builder(keys).issuer(ISSUER).audience(AUDIENCE);
    let tokens = builder.max_token_bytes(4 << 20).build().unwrap();

    // Without a valid signature, only the header is read. An attacker controls it.
    let with_header = |json: String| format!("{}.e30.AAAA", encode(json));
    let with_payload =
        |json: String| signer.sign(&encode(r#"{"alg":"HS256","kid":"1"}"#), &encode(json));
    let repeat = |item: fn(usize) -> String, bytes: usize| {
        let mut text = String::new();
        for index in 0.. {
            if text.len() >= bytes {
                break;
            }
            text.push_str(if index == 0 { "" } else { "," });
            text.push_str(&item(index));
        }
        text
    };
    let names: fn(usize) -> String = |index| format!("\"name {index}\":{index}");
    let escapes: fn(usize) -> String = |index| format!("\"\\u006eame {index}\":\"\\n\\n\\n\"");
    let arrays: fn(usize) -> String = |_| format!("{}{}", "[".repeat(30), "]".repeat(30));
    let shapes: [(&str, BuildToken<'_>); 7] = [
        ("dots", Box::new(|bytes| ".".repeat(bytes))),
        ("invalid base64", Box::new(|bytes| format!("{}.e30.AAAA", "~".repeat(bytes)))),
        (
            "names in the header",
            Box::new(|bytes| with_header(format!("{{{}}}", repeat(names, bytes)))),
        ),
        (
            "escapes in the header",
            Box::new(|bytes| with_header(format!("{{{}}}", repeat(escapes, bytes)))),
        ),
        (
            "nested in the header",
            Box::new(|bytes| with_header(format!("{{\"x\":[{}]}}", repeat(arrays, bytes)))),
        ),
        (
            "names in the payload",
            Box::new(|bytes| with_payload(format!("{{{}}}", repeat(names, bytes)))),
        ),
        (
            "one long scope claim",
            Box::new(|bytes| with_payload(json!({ "scope": "s ".repeat(bytes / 2) }).to_string())),
        ),
    ];
    println!(
        "{:<24}{:>10}{:>10}{:>10}{:>10}   ns per byte",
        "", "1 KiB", "16 KiB", "128 KiB", "1 MiB"
    );
    let mut superlinear = false;
    for (name, build_token) in shapes {
        print!("{name:<24}");
        let mut costs = Vec::new();
        for bytes in [1 << 10, 16 << 10, 128 << 10, 1 << 20] {
            let token = build_token(bytes);
            let field = format!("Bearer {token}");
            let request = Request::builder().header(AUTHORIZATION, &field).body(()).unwrap();
            let head = request.into_parts().0;
            let rounds = 20 + (1 << 22) / bytes;
            let start = Instant::now();
            for _ in 0..rounds {
                black_box(
                    tokens.authenticate(&head).unwrap().now_or_never().unwrap().into_result(),
                )
                .unwrap_err();
            }
            let nanos = start.elapsed().as_nanos() as f64 / rounds as f64;
            costs.push(nanos / token.len() as f64);
            print!("{:>10.2}", costs[costs.len() - 1]);
        }
        println!();
        // Quadratic time would cost 64 times as much per byte.
        superlinear |= costs[3] > 8.0 * costs[1];
    }
    assert!(!superlinear, "the time per byte grows with the size of the token");
}
