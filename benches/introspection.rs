//! Measures requests with tokens whose introspection is cached.
//!
//! `cargo bench -p tower-auth-benches --bench introspection` prints the time of a request, next to
//! that of the bare service and that of a cached JWT. The goal for an opaque token is 0.3 µs above
//! the bare service. It fails if a request makes more allocations than now.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    hint::black_box,
    time::{Duration, Instant},
};

use allocation_counter::measure as count_allocations;
use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderValue, Request, Response, header::AUTHORIZATION};
use serde_json::json;
use tower::{Layer, Service, service_fn};
use tower_auth::{
    AuthenticateLayer, Authenticator, JwtAuth,
    bearer::{BearerAuth, TokenVerifier as _},
    introspection::Introspection,
    jwt::{Keys, TokenCache},
};
use tower_auth_test_support::token::{AUDIENCE, ISSUER, Signer, usual_claims};

/// The three of the extensions map.
const MAX_ALLOCATIONS: u64 = 3;
const ROUNDS: usize = 400;
const REQUESTS: usize = 1_000;

fn inner(_: Request<()>) -> Ready<Result<Response<()>, Infallible>> {
    ready(Ok(Response::new(())))
}

fn request(token: &str) -> Request<()> {
    let mut request = Request::new(());
    let value = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
    request.headers_mut().insert(AUTHORIZATION, value);
    request
}

/// A service and its requests, of which the fastest round counts.
struct Measured<'a> {
    name: &'a str,
    send: Box<dyn FnMut(Request<()>) -> Response<()> + 'a>,
    tokens: &'a [String],
    status: u16,
    best: Duration,
}

impl<'a> Measured<'a> {
    fn new<S>(name: &'a str, mut service: S, tokens: &'a [String], status: u16) -> Self
    where
        S: Service<Request<()>, Response = Response<()>, Error = Infallible> + 'a,
    {
        let send = move |request| service.call(request).now_or_never().unwrap().unwrap();
        Self { name, send: Box::new(send), tokens, status, best: Duration::MAX }
    }

    fn round(&mut self) {
        let requests: Vec<_> =
            self.tokens.iter().cycle().take(REQUESTS).map(|token| request(token)).collect();
        let started = Instant::now();
        for request in requests {
            assert_eq!(black_box((self.send)(black_box(request))).status(), self.status);
        }
        self.best = self.best.min(started.elapsed() / u32::try_from(REQUESTS).unwrap());
    }

    fn allocations(&mut self) -> u64 {
        let request = request(&self.tokens[0]);
        count_allocations(|| drop((self.send)(request))).count_total
    }
}

fn protected<A: Authenticator + 'static>(
    tokens: A,
) -> impl Service<Request<()>, Response = Response<()>, Error = Infallible> {
    AuthenticateLayer::new(tokens).layer(service_fn(inner))
}

fn opaque_tokens(count: u32) -> Vec<String> {
    let random = |number: u32| URL_SAFE_NO_PAD.encode(digest(&SHA256, &number.to_le_bytes()));
    (0..count).map(|number| format!("a{}", &random(number)[1..])).collect()
}

/// Asks an endpoint that considers all tokens active, except those that start with `x`.
async fn introspection(tokens: &[&[String]]) -> Introspection {
    let mut active = usual_claims();
    active["active"] = true.into();
    let send = move |request: Request<Bytes>| {
        let is_active = !request.body().starts_with(b"token=x");
        let body = if is_active { active.to_string() } else { r#"{"active":false}"#.to_owned() };
        let response = Response::builder().header("content-type", "application/json");
        ready(Ok::<_, Infallible>(response.body(Bytes::from(body)).unwrap()))
    };
    let introspection = Introspection::builder("https://issuer.example/introspect")
        .client(send)
        .issuer(ISSUER)
        .audience(AUDIENCE)
        .cache_for(Duration::from_secs(3600))
        .negative_for(Duration::from_secs(3600))
        .build()
        .unwrap();
    for token in tokens.iter().copied().flatten() {
        assert_eq!(introspection.verify(token).await.is_ok(), !token.starts_with('x'));
    }
    introspection
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let (one, many) = (opaque_tokens(1), opaque_tokens(1_000));
    let invalid = vec![format!("x{}", one[0])];
    let signer = Signer::generate("HS256", "1");
    let jwt = vec![signer.token(&usual_claims())];
    let keys = Keys::from_json(json!({ "keys": [signer.jwk()] }).to_string()).unwrap();
    let jwts = JwtAuth::builder(keys).issuer(ISSUER).audience(AUDIENCE);
    let jwts = jwts.cache(TokenCache::new(1 << 20).cache_hmac()).build().unwrap();
    let tokens = BearerAuth::new(introspection(&[&one, &many, &invalid, &jwt]).await);

    let mut all = [
        Measured::new("bare", service_fn(inner), &one, 200),
        Measured::new("cached JWT", protected(jwts), &jwt, 200),
        Measured::new("cached opaque token", protected(tokens.clone()), &one, 200),
        Measured::new("one of 1,000 opaque tokens", protected(tokens.clone()), &many, 200),
        Measured::new("cached introspection of a JWT", protected(tokens.clone()), &jwt, 200),
        Measured::new("inactive token", protected(tokens), &invalid, 401),
    ];
    // In turn, so that a change of the speed of the machine affects all.
    for _ in 0..ROUNDS {
        all.iter_mut().for_each(Measured::round);
    }
    let bare = all[0].best.as_nanos() as f64;
    for measured in &mut all {
        let (time, allocations) = (measured.best.as_nanos() as f64, measured.allocations());
        println!(
            "{:<32} {time:>6} ns, {:>6} above, {allocations:>2} allocations",
            measured.name,
            time - bare
        );
        if measured.status == 200 {
            assert!(allocations <= MAX_ALLOCATIONS, "{allocations} allocations");
        }
    }
    let started = Instant::now();
    for token in one.iter().cycle().take(1_000_000) {
        black_box(digest(&SHA256, black_box(token.as_bytes())));
    }
    println!(
        "SHA-256 of an opaque token, with aws-lc: {} ns",
        started.elapsed().as_nanos() / 1_000_000
    );
}
