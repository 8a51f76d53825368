//! Measures a policy that requires two scopes, for tokens with 4, 32 and 1,000 scopes.
//!
//! `cargo bench -p tower-auth-benches --bench scopes` fails if a successful check allocates.

use std::hint::black_box;

use futures_util::FutureExt as _;
use http::{Request, header::AUTHORIZATION};
use serde_json::json;
use tower_auth::{Authenticator as _, JwtAuth, Policy as _, RequireScopes, jwt::Keys};
use tower_auth_test_support::{
    rounds::{Row, measure, median},
    token::{AUDIENCE, ISSUER, Signer, claims},
};

fn main() {
    let mut rows = Vec::new();
    let signer = Signer::generate("HS256", "1");
    let keys = Keys::from_json(json!({ "keys": [signer.jwk()] }).to_string()).unwrap();
    let tokens = JwtAuth::builder(keys).issuer(ISSUER).audience(AUDIENCE);
    let tokens = tokens.max_token_bytes(1 << 20).build().unwrap();
    for count in [4, 32, 1_000] {
        let names: Vec<_> = (0..count).map(|number| format!("orders:{number}")).collect();
        let mut claims = claims();
        claims["scope"] = names.join(" ").into();
        let bearer = format!("Bearer {}", signer.token(&claims));
        let (head, ()) =
            Request::builder().header(AUTHORIZATION, bearer).body(()).unwrap().into_parts();
        let caller =
            tokens.authenticate(&head).unwrap().now_or_never().unwrap().into_result().unwrap();

        // A linear search would find the last scopes last.
        let granted = RequireScopes::all(names.iter().rev().take(2).cloned());
        let missing = RequireScopes::all(["orders:0", "orders:none"]);
        for (name, policy, expected) in [("granted", granted, true), ("missing", missing, false)] {
            let (caller, head) = (caller.clone(), head.clone());
            let decision = move || policy.evaluate(black_box(&caller), &head).into_ready().unwrap();
            let check = move || black_box(decision()).is_ok();
            assert_eq!(check(), expected);
            if expected {
                let counted = allocation_counter::measure(|| assert!(check()));
                assert_eq!(counted.count_total, 0, "the check allocates");
            }
            rows.push(Row::new(format!("{count} scopes, {name}"), || (), move |()| check()));
        }
    }
    for row in measure(rows) {
        println!("{:<24} {:>6.1} ns", row.name, median(row.rounds));
    }
}
