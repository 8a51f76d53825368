//! What the layers cost, over an inner service that answers at once.
//!
//! `cargo bench --bench layers`. Read it as ratios within one run: `bare` is the inner service alone, and
//! `floor` is the signature alone, on the same bytes with a prepared key.
#![allow(missing_docs)]

#[path = "../tests/common/token.rs"]
#[allow(dead_code, unreachable_pub)]
mod token;

use std::{convert::Infallible, future::Ready, hint::black_box};

use aws_lc_rs::hmac;
use bytes::Bytes;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use futures_util::FutureExt;
use http::{Request, Response, header::AUTHORIZATION};
use http_body_util::Full;
use serde_json::json;
use tower::{Layer, Service, service_fn};
use tower_auth::{
    AuthenticateLayer, BasicAuth, JwtAuth, RequireScopes, any_of,
    basic::{HashVerifier, HashedUsers, PasswordHash, Users},
    jwt::{Keys, TokenCache},
};

use crate::token::{AUDIENCE, ISSUER, Signer, claims};

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
            |request| black_box(call(request)),
            BatchSize::SmallInput,
        );
    });
}

fn layers(c: &mut Criterion) {
    through(c, "bare", service_fn(inner), None, 200);

    for algorithm in ["HS256", "RS256", "ES256", "EdDSA"] {
        let signer = Signer::generate(algorithm, "1");
        let admitted = format!("Bearer {}", signer.token(&claims()));
        let layer = AuthenticateLayer::new(jwt(&signer));
        let name = |outcome: &str| format!("bearer/{algorithm}/{outcome}");
        through(c, &name("admitted"), layer.layer(service_fn(inner)), Some(&admitted), 200);
        let refused = format!("{admitted}AAAA");
        through(c, &name("refused"), layer.layer(service_fn(inner)), Some(&refused), 401);
        let keys = Keys::from_json(json!({ "keys": [signer.jwk()] }).to_string()).unwrap();
        let cached = JwtAuth::builder(keys).issuer(ISSUER).audience(AUDIENCE);
        let cached = cached.cache(TokenCache::new(1 << 20).hmac_too()).build().unwrap();
        let cached = AuthenticateLayer::new(cached);
        through(c, &name("cached"), cached.layer(service_fn(inner)), Some(&admitted), 200);
    }

    let secret = token::random(32);
    let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
    let signer = Signer::generate("HS256", "1");
    let token = signer.token(&claims());
    let message = token.rsplit_once('.').unwrap().0.as_bytes();
    let tag = hmac::sign(&key, message);
    c.bench_function("bearer/HS256/floor", |b| {
        b.iter(|| hmac::verify(&key, black_box(message), tag.as_ref()).unwrap());
    });

    let tokens = AuthenticateLayer::new(jwt(&signer));
    through(c, "bearer/missing", tokens.layer(service_fn(inner)), None, 401);
    let malformed = Some("Bearer a.b");
    through(c, "bearer/malformed", tokens.layer(service_fn(inner)), malformed, 401);

    let users = || Users::new([("alice", "correct horse"), ("bob", "staple")]).unwrap();
    let basic = AuthenticateLayer::new(BasicAuth::new("staff", users()).unwrap());
    let right = "Basic YWxpY2U6Y29ycmVjdCBob3JzZQ==";
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
        [("admitted", ["read", "write"], 200), ("refused", ["read", "x"], 403)]
    {
        let service = tokens.layer(RequireScopes::all(scopes).layer(service_fn(inner)));
        through(c, &format!("scopes/{name}"), service, Some(&bearer), status);
    }
}

criterion_group!(benches, layers);
criterion_main!(benches);
