//! What reading a token costs as it grows: `cargo bench -p tower-auth-benches --bench growth`. Nanoseconds a byte should stay
//! about the same from 1 KiB to 1 MiB, for any shape of input.

use std::{hint::black_box, time::Instant};

use futures_util::FutureExt;
use http::{Request, header::AUTHORIZATION};
use serde_json::json;
use tower_auth::{Authenticator, JwtAuth, jwt::Keys};
use tower_auth_test_support::token::{AUDIENCE, ISSUER, Signer, encode};

/// A token of about so many bytes.
type Shape<'a> = Box<dyn Fn(usize) -> String + 'a>;

fn main() {
    let signer = Signer::generate("HS256", "1");
    let keys = Keys::from_json(json!({ "keys": [signer.jwk()] }).to_string()).unwrap();
    let builder = JwtAuth::builder(keys).issuer(ISSUER).audience(AUDIENCE);
    let tokens = builder.max_token_bytes(4 << 20).build().unwrap();

    // Until the signature is found wrong, only the header is read: it is what a stranger can shape.
    let header = |json: String| format!("{}.e30.AAAA", encode(json));
    let payload =
        |json: String| signer.sign(&encode(r#"{"alg":"HS256","kid":"1"}"#), &encode(json));
    let many = |item: fn(usize) -> String, bytes: usize| {
        let mut text = String::new();
        for position in 0.. {
            if text.len() >= bytes {
                break;
            }
            text.push_str(if position == 0 { "" } else { "," });
            text.push_str(&item(position));
        }
        text
    };
    let names: fn(usize) -> String = |at| format!("\"name {at}\":{at}");
    let escapes: fn(usize) -> String = |at| format!("\"\\u006eame {at}\":\"\\n\\n\\n\"");
    let arrays: fn(usize) -> String = |_| format!("{}{}", "[".repeat(30), "]".repeat(30));
    let shapes: [(&str, Shape<'_>); 7] = [
        ("dots", Box::new(|bytes| ".".repeat(bytes))),
        ("no base64", Box::new(|bytes| format!("{}.e30.AAAA", "~".repeat(bytes)))),
        ("names in the header", Box::new(|bytes| header(format!("{{{}}}", many(names, bytes))))),
        (
            "escapes in the header",
            Box::new(|bytes| header(format!("{{{}}}", many(escapes, bytes)))),
        ),
        ("nested in the header", Box::new(|b| header(format!("{{\"x\":[{}]}}", many(arrays, b))))),
        ("names in the payload", Box::new(|bytes| payload(format!("{{{}}}", many(names, bytes))))),
        (
            "one long scope claim",
            Box::new(|b| payload(json!({ "scope": "s ".repeat(b / 2) }).to_string())),
        ),
    ];
    println!(
        "{:<24}{:>10}{:>10}{:>10}{:>10}   ns a byte",
        "", "1 KiB", "16 KiB", "128 KiB", "1 MiB"
    );
    let mut superlinear = false;
    for (name, shape) in shapes {
        print!("{name:<24}");
        let mut costs = Vec::new();
        for bytes in [1 << 10, 16 << 10, 128 << 10, 1 << 20] {
            let token = shape(bytes);
            let field = format!("Bearer {token}");
            let request = Request::builder().header(AUTHORIZATION, &field).body(()).unwrap();
            let head = request.into_parts().0;
            let rounds = 20 + (1 << 22) / bytes;
            let start = Instant::now();
            for _ in 0..rounds {
                black_box(tokens.authenticate(&head).unwrap().now_or_never().unwrap()).unwrap_err();
            }
            let nanos = start.elapsed().as_nanos() as f64 / rounds as f64;
            costs.push(nanos / token.len() as f64);
            print!("{:>10.2}", costs[costs.len() - 1]);
        }
        println!();
        // A square would cost 64 times as much.
        superlinear |= costs[3] > 8.0 * costs[1];
    }
    assert!(!superlinear, "reading costs more than in proportion to what is read");
}
