//! Measures one request through a layer, with an inner service that returns a response immediately.
//!
//! `cargo bench -p tower-auth-benches --bench layers` runs it. Compare ratios within one run:
//!
//! - `bare` is the inner service alone, for the same request.
//! - `floor` is the signature verification alone, on the same bytes and with a prepared key.
//! - `JwtAuth without a layer` authenticates the request head.
//!
//! The times include dropping the request and the response. Requests are built in batches of 64, so
//! that they are in the processor caches, like requests that were just read from a socket.

use std::{convert::Infallible, future::Ready, hint::black_box, time::Duration};

use aws_lc_rs::{
    hmac,
    signature::{self, ParsedPublicKey, RsaPublicKeyComponents},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
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
use tower_auth_test_support::token::{AUDIENCE, ISSUER, Signer, usual_claims};

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

/// Measures one request through a service, which must return this status.
fn bench_request<S>(
    c: &mut Criterion,
    name: &str,
    mut service: S,
    authorization: Option<&str>,
    status: u16,
) where
    S: Service<Request<()>, Response = Response<Body>, Error = Infallible>,
{
    let request = request(authorization);
    let mut call = move |request| service.call(request).now_or_never().unwrap().unwrap();
    assert_eq!(call(request.clone()).status(), status, "{name}");
    c.bench_function(name, |b| {
        b.iter_batched(
            || request.clone(),
            |request| drop(black_box(call(request))),
            BatchSize::NumIterations(64),
        );
    });
}

fn layers(c: &mut Criterion) {
    for algorithm in ["HS256", "RS256", "ES256", "EdDSA"] {
        let signer = Signer::generate(algorithm, "1");
        let token = signer.token(&usual_claims());
        let valid = format!("Bearer {token}");
        let name = |case: &str| format!("bearer/{algorithm}/{case}");
        bench_request(c, &name("bare"), service_fn(inner), Some(&valid), 200);
        bench_floor(c, &name("floor"), &signer, &token);

        let tokens = jwt_auth(&signer);
        let head = request(Some(&valid)).into_parts().0;
        c.bench_function(&name("JwtAuth without a layer"), |b| {
            b.iter(|| tokens.authenticate(black_box(&head)).unwrap().now_or_never().unwrap());
        });
        let layer = AuthenticateLayer::new(tokens);
        bench_request(c, &name("layer"), layer.layer(service_fn(inner)), Some(&valid), 200);
        let forged = Signer::generate(algorithm, "1").token(&usual_claims());
        let forged = format!("Bearer {forged}");
        bench_request(
            c,
            &name("signature of another key"),
            layer.layer(service_fn(inner)),
            Some(&forged),
            401,
        );
        let wrong_length = format!("{valid}AAAA");
        bench_request(
            c,
            &name("signature of wrong length"),
            layer.layer(service_fn(inner)),
            Some(&wrong_length),
            401,
        );
        let cache = TokenCache::new(1 << 20).cache_hmac();
        let cached = builder(&signer).cache(cache).build().unwrap();
        let cached = AuthenticateLayer::new(cached);
        bench_request(c, &name("cached token"), cached.layer(service_fn(inner)), Some(&valid), 200);
    }

    let signer = Signer::generate("HS256", "1");
    let token = signer.token(&usual_claims());
    let tokens = AuthenticateLayer::new(jwt_auth(&signer));
    bench_request(c, "bearer/missing token", tokens.layer(service_fn(inner)), None, 401);
    let malformed = Some("Bearer a.b");
    bench_request(c, "bearer/malformed token", tokens.layer(service_fn(inner)), malformed, 401);

    let users = || Users::new([("alice", "correct horse"), ("bob", "staple")]).unwrap();
    let basic = AuthenticateLayer::new(BasicAuth::new("staff", users()).unwrap());
    let valid = "Basic YWxpY2U6Y29ycmVjdCBob3JzZQ==";
    bench_request(c, "basic/bare", service_fn(inner), Some(valid), 200);
    bench_request(c, "basic/fixed passwords", basic.layer(service_fn(inner)), Some(valid), 200);
    let wrong = "Basic YWxpY2U6Y29ycmVjdCBob3JzZSA=";
    bench_request(
        c,
        "basic/fixed passwords, wrong password",
        basic.layer(service_fn(inner)),
        Some(wrong),
        401,
    );
    bench_request(c, "basic/missing credentials", basic.layer(service_fn(inner)), None, 401);

    // The first request fills the success cache.
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let hash = PasswordHash::new("correct horse").unwrap();
    let verifier = HashVerifier::new(HashedUsers::new([("alice", hash.as_str())]).unwrap());
    let hashed = AuthenticateLayer::new(BasicAuth::new("staff", verifier).unwrap());
    let first = runtime.block_on(hashed.layer(service_fn(inner)).call(request(Some(valid))));
    assert_eq!(first.unwrap().status(), 200);
    bench_request(
        c,
        "basic/hashed passwords, cached success",
        hashed.layer(service_fn(inner)),
        Some(valid),
        200,
    );

    let both = any_of((jwt_auth(&signer), BasicAuth::new("staff", users()).unwrap()));
    let both = AuthenticateLayer::new(both);
    bench_request(c, "any_of/second scheme", both.layer(service_fn(inner)), Some(valid), 200);

    let bearer = format!("Bearer {token}");
    for (name, scopes, status) in
        [("granted", ["openid", "orders:read"], 200), ("missing scope", ["openid", "x"], 403)]
    {
        let service = tokens.layer(RequireScopes::all(scopes).layer(service_fn(inner)));
        bench_request(c, &format!("scopes/{name}"), service, Some(&bearer), status);
    }
}

/// Measures the signature verification alone.
fn bench_floor(c: &mut Criterion, name: &str, signer: &Signer, token: &str) {
    let (message, signature) = token.rsplit_once('.').unwrap();
    let (message, signature) = (message.as_bytes(), URL_SAFE_NO_PAD.decode(signature).unwrap());
    let jwk = signer.jwk();
    let part = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap();
    let key = match signer.algorithm {
        "HS256" => {
            let key = hmac::Key::new(hmac::HMAC_SHA256, &part("k"));
            c.bench_function(name, |b| {
                b.iter(|| hmac::verify(&key, black_box(message), &signature).unwrap());
            });
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
    c.bench_function(name, |b| {
        b.iter(|| key.verify_sig(black_box(message), &signature).unwrap());
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(2));
    targets = layers
}
criterion_main!(benches);
