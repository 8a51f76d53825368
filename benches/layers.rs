//! What the layers cost, over an inner service that answers at once.
//!
//! `cargo bench -p tower-auth-benches --bench layers`. Read it as ratios within one run: `bare` is the inner service alone, given the same
//! request, `floor` is the signature alone, on the same bytes with a prepared key, and `verified` is a principal made of a
//! request's head, without a layer. What a request leaves behind is dropped within its time. Requests are made 64 at a time,
//! so that they are in the processor's caches, as they are where they come from a socket.

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
    jwt::{Keys, TokenCache},
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

fn jwt(signer: &Signer) -> JwtAuth {
    let keys = Keys::from_json(json!({ "keys": [signer.jwk()] }).to_string()).unwrap();
    JwtAuth::builder(keys).issuer(ISSUER).audience(AUDIENCE).build().unwrap()
}

/// Measures one request through a service, which has to answer with this status.
fn through<S>(
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
        let admitted = format!("Bearer {token}");
        let name = |outcome: &str| format!("bearer/{algorithm}/{outcome}");
        through(c, &name("bare"), service_fn(inner), Some(&admitted), 200);
        floor(c, &name("floor"), &signer, &token);

        let tokens = jwt(&signer);
        let head = request(Some(&admitted)).into_parts().0;
        c.bench_function(&name("verified"), |b| {
            b.iter(|| tokens.authenticate(black_box(&head)).unwrap().now_or_never().unwrap());
        });
        let layer = AuthenticateLayer::new(tokens);
        through(c, &name("admitted"), layer.layer(service_fn(inner)), Some(&admitted), 200);
        let forged = Signer::generate(algorithm, "1").token(&usual_claims());
        let forged = format!("Bearer {forged}");
        through(c, &name("forged"), layer.layer(service_fn(inner)), Some(&forged), 401);
        let refused = format!("{admitted}AAAA");
        through(c, &name("refused"), layer.layer(service_fn(inner)), Some(&refused), 401);
        let keys = Keys::from_json(json!({ "keys": [signer.jwk()] }).to_string()).unwrap();
        let cached = JwtAuth::builder(keys).issuer(ISSUER).audience(AUDIENCE);
        let cached = cached.cache(TokenCache::new(1 << 20).cache_hmac()).build().unwrap();
        let cached = AuthenticateLayer::new(cached);
        through(c, &name("cached"), cached.layer(service_fn(inner)), Some(&admitted), 200);
    }

    let signer = Signer::generate("HS256", "1");
    let token = signer.token(&usual_claims());
    let tokens = AuthenticateLayer::new(jwt(&signer));
    through(c, "bearer/missing", tokens.layer(service_fn(inner)), None, 401);
    let malformed = Some("Bearer a.b");
    through(c, "bearer/malformed", tokens.layer(service_fn(inner)), malformed, 401);

    let users = || Users::new([("alice", "correct horse"), ("bob", "staple")]).unwrap();
    let basic = AuthenticateLayer::new(BasicAuth::new("staff", users()).unwrap());
    let right = "Basic YWxpY2U6Y29ycmVjdCBob3JzZQ==";
    through(c, "basic/bare", service_fn(inner), Some(right), 200);
    through(c, "basic/admitted", basic.layer(service_fn(inner)), Some(right), 200);
    let wrong = "Basic YWxpY2U6Y29ycmVjdCBob3JzZSA=";
    through(c, "basic/refused", basic.layer(service_fn(inner)), Some(wrong), 401);
    through(c, "basic/missing", basic.layer(service_fn(inner)), None, 401);

    // Found right once, and then remembered.
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let hash = PasswordHash::new("correct horse").unwrap();
    let verifier = HashVerifier::new(HashedUsers::new([("alice", hash.as_str())]).unwrap());
    let hashed = AuthenticateLayer::new(BasicAuth::new("staff", verifier).unwrap());
    let first = runtime.block_on(hashed.layer(service_fn(inner)).call(request(Some(right))));
    assert_eq!(first.unwrap().status(), 200);
    through(c, "basic/hashed/remembered", hashed.layer(service_fn(inner)), Some(right), 200);

    let both = any_of(jwt(&signer), BasicAuth::new("staff", users()).unwrap());
    let both = AuthenticateLayer::new(both);
    through(c, "any_of/second", both.layer(service_fn(inner)), Some(right), 200);

    let bearer = format!("Bearer {token}");
    for (name, scopes, status) in
        [("admitted", ["openid", "orders:read"], 200), ("refused", ["openid", "x"], 403)]
    {
        let service = tokens.layer(RequireScopes::all(scopes).layer(service_fn(inner)));
        through(c, &format!("scopes/{name}"), service, Some(&bearer), status);
    }
}

/// The signature alone.
fn floor(c: &mut Criterion, name: &str, signer: &Signer, token: &str) {
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
