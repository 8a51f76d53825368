//! Measures requests with a DPoP proof.
//!
//! `cargo bench -p tower-auth-benches --bench dpop` prints the median time of a request with an
//! ES256 token and an ES256 proof, next to that of its signatures alone: two, or one if the token
//! is cached. It fails if a request takes more than 1.1 times its two signatures, or, with a cached
//! token, more than half a signature in addition to the one of the proof.

use std::hint::black_box;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ParsedPublicKey};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::FutureExt as _;
use http::{Request, header::AUTHORIZATION, request::Parts};
use serde_json::json;
use tower_auth::{
    Authenticator as _, JwtAuth,
    dpop::DpopBinding,
    jwt::{Keys, TokenCache},
    store::SealedStore,
    transport::Forwarded,
};
use tower_auth_test_support::{
    dpop::DpopClient,
    rounds::{Row, measure, median},
    token::{AUDIENCE, ISSUER, Signer, now, usual_claims},
};

const URL: &str = "https://orders.example/orders";

fn tokens(issuer: &Signer, cache: Option<TokenCache>) -> JwtAuth {
    let binding = DpopBinding::builder(SealedStore::memory())
        .forwarded(Forwarded::direct().tls())
        .rate_limit(100_000, 100_000)
        .build()
        .unwrap();
    let keys = Keys::from_json(json!({ "keys": [issuer.jwk()] }).to_string()).unwrap();
    let builder = JwtAuth::builder(keys).issuer(ISSUER).audience(AUDIENCE).binding(binding);
    match cache {
        Some(cache) => builder.cache(cache).build().unwrap(),
        None => builder.build().unwrap(),
    }
}

fn head(token: &str, client: &DpopClient) -> Parts {
    let request = Request::get("/orders?page=2")
        .header("host", "orders.example")
        .header(AUTHORIZATION, format!("DPoP {token}"))
        .header("dpop", client.proof("GET", URL, token, now()));
    request.body(()).unwrap().into_parts().0
}

/// A key, and a message with its signature.
struct Signed {
    key: ParsedPublicKey,
    message: Vec<u8>,
    signature: Vec<u8>,
}

impl Signed {
    fn new(signer: &Signer, token: &str) -> Self {
        let jwk = signer.jwk();
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
        let [x, y] = ["x", "y"].map(|name| decode(jwk[name].as_str().unwrap()));
        let point = [&[4], &*x, &*y].concat();
        let (message, signature) = token.rsplit_once('.').unwrap();
        Self {
            key: ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).unwrap(),
            message: message.into(),
            signature: decode(signature),
        }
    }

    fn verify(&self) {
        self.key.verify_sig(black_box(&self.message), &self.signature).unwrap();
    }
}

fn main() {
    let (issuer, client) = (Signer::generate("ES256", "1"), DpopClient::new("ES256"));
    let mut claims = usual_claims();
    claims["cnf"] = json!({ "jkt": client.thumbprint() });
    let token = issuer.token(&claims);
    let signed_token = Signed::new(&issuer, &token);
    // Each request has another proof. The processor learns how to verify a single one.
    let proofs: Vec<Signed> = (0..1_000)
        .map(|_| Signed::new(&client.0, &client.proof("GET", URL, &token, now())))
        .collect();
    let mut next = (0..proofs.len()).cycle();
    let request = |name: &'static str, cache| {
        let (tokens, token) = (tokens(&issuer, cache), token.clone());
        let client = DpopClient(Signer::from_pkcs8("ES256", &client.0.to_pkcs8()));
        let authenticate = move |head: Parts| {
            let result = tokens.authenticate(&head).unwrap().now_or_never().unwrap();
            result.into_result().unwrap()
        };
        Row::new(name, move || head(&token, &client), authenticate)
    };
    let rows = measure([
        Row::new(
            "two signatures",
            move || next.next().unwrap(),
            move |position: usize| {
                signed_token.verify();
                proofs[position].verify();
            },
        ),
        request("token and proof", None),
        request("cached token and proof", Some(TokenCache::new(1 << 20))),
    ]);
    let signatures = &rows[0];
    let mut ratios = Vec::new();
    for row in &rows {
        let rounds = row.rounds.iter().zip(&signatures.rounds);
        let ratio = median(rounds.map(|(row, signatures)| row / signatures));
        let micros = median(row.rounds.iter().copied()) / 1e3;
        println!("{:<24} {micros:>7.1} µs, {ratio:.3} times the two signatures", row.name);
        ratios.push(ratio);
    }
    assert!(ratios[1] <= 1.1, "token and proof: {}", ratios[1]);
    assert!(ratios[2] <= 0.75, "cached token and proof: {}", ratios[2]);
}
