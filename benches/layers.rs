//! Measures one request through a layer, with an inner service that returns a response immediately.
//!
//! `cargo bench -p tower-auth-benches --bench layers` measures all rows in interleaved rounds:
//!
//! - `bare` is the inner service alone, for the same request. The column "above bare" is the median
//!   of the differences within a round.
//! - `floor` is the signature verification alone, on the same bytes and with a prepared key.
//! - `JwtAuth without a layer` authenticates the request head.
//!
//! The times include dropping the request and the response.

use std::{convert::Infallible, future::Ready, hint::black_box};

use aws_lc_rs::{
    hmac,
    signature::{self, ParsedPublicKey, RsaPublicKeyComponents},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response, header::AUTHORIZATION};
use http_body_util::Full;
use serde_json::json;
use tower::{Layer, Service, service_fn};
use tower_auth::{
    AuthenticateLayer, Authenticator as _, BasicAuth, JwtAuth, RequireScopes, any_of,
    basic::Users,
    jwt::{JwtAuthBuilder, Keys, TokenCache},
    password::{HashVerifier, HashedUsers, PasswordHash},
};
use tower_auth_test_support::{
    rounds::{Measurement, Row, measure, median},
    token::{AUDIENCE, ISSUER, Signer, usual_claims},
};

type Body = Full<Bytes>;

fn inner(_: Request<()>) -> Ready<Result<Response<Body>, Infallible>> {
    std::future::ready(Ok(Response::new(Body::default())))
}

fn request(authorization: Option<&str>) -> Request<()> {
    let mut request = Request::new(());
    if let Some(value) = authorization {
        request.headers_mut().insert(AUTHORIZATION, value.parse().unwrap());
    }
    request
}

fn builder(signer: &Signer) -> JwtAuthBuilder {
    let keys = Keys::from_json(json!({ "keys": [signer.jwk()] }).to_string()).unwrap();
    JwtAuth::builder(keys).issuer(ISSUER).audience(AUDIENCE)
}

fn jwt_auth(signer: &Signer) -> JwtAuth {
    builder(signer).build().unwrap()
}

type Rows = Vec<Row<String>>;

/// Adds a row that sends a request through a service, which must return this status.
fn add_request<S>(
    rows: &mut Rows,
    name: impl Into<String>,
    mut service: S,
    authorization: Option<&str>,
    status: u16,
) where
    S: Service<Request<()>, Response = Response<Body>, Error = Infallible> + 'static,
{
    let (name, request) = (name.into(), request(authorization));
    let mut call = move |request| service.call(request).now_or_never().unwrap().unwrap();
    assert_eq!(call(request.clone()).status(), status, "{name}");
    rows.push(Row::new(name, move || request.clone(), call));
}

fn main() {
    let mut rows = Rows::new();
    add_tokens(&mut rows);
    add_others(&mut rows);
    print(&measure(rows));
}

/// Prints the times, and the ratios to the `floor` of the same algorithm.
fn print(rows: &[Measurement<String>]) {
    let sibling = |name: &str, other: &str| {
        let name = format!("{}/{other}", name.rsplit_once('/').unwrap().0);
        rows.iter().find(|row| row.name == name).map(|row| &row.rounds)
    };
    println!("| | µs | above bare, µs | above bare, relative to floor |");
    println!("| --- | ---: | ---: | ---: |");
    for Measurement { name, rounds } in rows {
        let bare = sibling(name, "bare");
        // These rows do not call the inner service.
        let has_bare = !name.ends_with("/floor") && !name.ends_with("without a layer");
        let bare = |round: usize| bare.filter(|_| has_bare).map_or(0.0, |bare| bare[round]);
        let above: Vec<_> = rounds.iter().enumerate().map(|(round, ns)| ns - bare(round)).collect();
        let to_floor = sibling(name, "floor").map_or(String::new(), |floor| {
            let ratios = above.iter().zip(floor).map(|(ns, floor)| ns / floor);
            format!("{:.3}", median(ratios))
        });
        let micros = median(rounds.iter().copied()) / 1000.0;
        println!("| {name} | {micros:.3} | {:.3} | {to_floor} |", median(above) / 1000.0);
    }
}

fn add_tokens(rows: &mut Rows) {
    for algorithm in ["HS256", "RS256", "ES256", "EdDSA"] {
        let signer = Signer::generate(algorithm, "1");
        let token = signer.token(&usual_claims());
        let valid = format!("Bearer {token}");
        let name = |case: &str| format!("bearer/{algorithm}/{case}");
        add_request(rows, name("bare"), service_fn(inner), Some(&valid), 200);
        add_floor(rows, name("floor"), &signer, &token);

        let tokens = jwt_auth(&signer);
        let head = request(Some(&valid)).into_parts().0;
        let layer = AuthenticateLayer::new(tokens.clone());
        rows.push(Row::new(
            name("JwtAuth without a layer"),
            || (),
            move |()| tokens.authenticate(black_box(&head)).unwrap().now_or_never().unwrap(),
        ));
        add_request(rows, name("layer"), layer.layer(service_fn(inner)), Some(&valid), 200);
        let forged = Signer::generate(algorithm, "1").token(&usual_claims());
        let forged = format!("Bearer {forged}");
        add_request(
            rows,
            name("signature of another key"),
            layer.layer(service_fn(inner)),
            Some(&forged),
            401,
        );
        let wrong_length = format!("{valid}AAAA");
        add_request(
            rows,
            name("signature of wrong length"),
            layer.layer(service_fn(inner)),
            Some(&wrong_length),
            401,
        );
        let cache = TokenCache::new(1 << 20).cache_hmac();
        let cached = builder(&signer).cache(cache).build().unwrap();
        let cached = AuthenticateLayer::new(cached);
        add_request(rows, name("cached token"), cached.layer(service_fn(inner)), Some(&valid), 200);
    }
}

fn add_others(rows: &mut Rows) {
    let signer = Signer::generate("HS256", "1");
    add_request(rows, "bearer/bare", service_fn(inner), None, 200);
    let token = signer.token(&usual_claims());
    let tokens = AuthenticateLayer::new(jwt_auth(&signer));
    add_request(rows, "bearer/missing token", tokens.layer(service_fn(inner)), None, 401);
    let malformed = Some("Bearer a.b");
    add_request(rows, "bearer/malformed token", tokens.layer(service_fn(inner)), malformed, 401);

    let users = || Users::new([("alice", "correct horse"), ("bob", "staple")]).unwrap();
    let basic = AuthenticateLayer::new(BasicAuth::new("staff", users()).unwrap());
    let valid = "Basic YWxpY2U6Y29ycmVjdCBob3JzZQ==";
    add_request(rows, "basic/bare", service_fn(inner), Some(valid), 200);
    add_request(rows, "basic/fixed passwords", basic.layer(service_fn(inner)), Some(valid), 200);
    let wrong = "Basic YWxpY2U6Y29ycmVjdCBob3JzZSA=";
    add_request(
        rows,
        "basic/fixed passwords, wrong password",
        basic.layer(service_fn(inner)),
        Some(wrong),
        401,
    );
    add_request(rows, "basic/missing credentials", basic.layer(service_fn(inner)), None, 401);

    // The first request fills the success cache.
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let hash = PasswordHash::new("correct horse").unwrap();
    let verifier = HashVerifier::new(HashedUsers::new([("alice", hash.as_str())]).unwrap());
    let hashed = AuthenticateLayer::new(BasicAuth::new("staff", verifier).unwrap());
    let first = runtime.block_on(hashed.layer(service_fn(inner)).call(request(Some(valid))));
    assert_eq!(first.unwrap().status(), 200);
    add_request(
        rows,
        "basic/hashed passwords, cached success",
        hashed.layer(service_fn(inner)),
        Some(valid),
        200,
    );

    let both = any_of((jwt_auth(&signer), BasicAuth::new("staff", users()).unwrap()));
    let both = AuthenticateLayer::new(both);
    add_request(
        rows,
        "basic/fixed passwords, second in any_of",
        both.layer(service_fn(inner)),
        Some(valid),
        200,
    );

    let bearer = format!("Bearer {token}");
    for (name, scopes, status) in
        [("two scopes", ["openid", "orders:read"], 200), ("missing scope", ["openid", "x"], 403)]
    {
        let service = tokens.layer(RequireScopes::all(scopes).layer(service_fn(inner)));
        add_request(rows, format!("bearer/HS256/{name}"), service, Some(&bearer), status);
    }
}

/// Adds the row of the signature verification alone.
fn add_floor(rows: &mut Rows, name: String, signer: &Signer, token: &str) {
    let (message, signature) = token.rsplit_once('.').unwrap();
    let (message, signature) =
        (message.as_bytes().to_vec(), URL_SAFE_NO_PAD.decode(signature).unwrap());
    let jwk = signer.jwk();
    let part = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap();
    let key = match signer.algorithm {
        "HS256" => {
            let key = hmac::Key::new(hmac::HMAC_SHA256, &part("k"));
            rows.push(Row::new(
                name,
                || (),
                move |()| hmac::verify(&key, black_box(&message), &signature).unwrap(),
            ));
            return;
        }
        "RS256" => RsaPublicKeyComponents { n: part("n"), e: part("e") }
            .to_parsed_public_key(&signature::RSA_PKCS1_2048_8192_SHA256)
            .unwrap(),
        "ES256" => {
            let point = [vec![4], part("x"), part("y")].concat();
            ParsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point).unwrap()
        }
        _ => ParsedPublicKey::new(&signature::ED25519, part("x")).unwrap(),
    };
    let verify = move |()| key.verify_sig(black_box(&message), &signature).unwrap();
    rows.push(Row::new(name, || (), verify));
}
