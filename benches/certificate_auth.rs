//! Measures requests with client certificates.
//!
//! `cargo bench -p tower-auth-benches --bench certificate_auth` prints the median time of a request
//! next to that of the bare service, and to that of a cached token. It fails if a request on a
//! connection makes more allocations than now.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    hint::black_box,
    time::{Duration, Instant},
};

use allocation_counter::measure as count_allocations;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::FutureExt;
use http::{Request, Response, header::AUTHORIZATION};
use serde_json::json;
use tower::{Layer, Service, service_fn};
use tower_auth::{
    AuthenticateLayer, JwtAuth,
    jwt::{Keys, TokenCache},
    mtls::{
        CertificateAuth, CertificateAuthBuilder, CertificateName, ClientCertificate,
        PeerCertificate,
    },
};
use tower_auth_test_support::token::{AUDIENCE, ISSUER, Signer, claims};

/// The principal in the extensions.
const MAX_ALLOCATIONS: u64 = 1;
const ROUNDS: usize = 200_000;

fn inner(_: Request<()>) -> Ready<Result<Response<()>, Infallible>> {
    ready(Ok(Response::new(())))
}

/// Returns the median time and the allocations of one request.
fn measure<S>(mut service: S, request: impl Fn() -> Request<()>) -> (Duration, u64)
where
    S: Service<Request<()>, Response = Response<()>, Error = Infallible>,
{
    let mut send = |request| service.call(request).now_or_never().unwrap().unwrap();
    assert_eq!(send(request()).status(), 200);
    let counted = request();
    let allocations = count_allocations(|| drop(send(counted))).count_total;
    let mut times = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let request = black_box(request());
        let started = Instant::now();
        let response = send(request);
        times.push(started.elapsed());
        assert_eq!(black_box(response).status(), 200);
    }
    times.sort_unstable();
    (times[ROUNDS / 2], allocations)
}

fn report(name: &str, (time, allocations): (Duration, u64), bare: (Duration, u64)) -> u64 {
    let above = time.as_nanos().saturating_sub(bare.0.as_nanos());
    let more = allocations - bare.1;
    println!("{name:<36} {:>6} ns, {above:>6} above, {more:>2} allocations", time.as_nanos());
    more
}

fn builder(certificate: ClientCertificate) -> CertificateAuthBuilder {
    let name = CertificateName::spiffe("prod.example");
    CertificateAuth::builder(certificate).subject_from(name)
}

fn main() {
    let der = STANDARD
        .decode(include_str!("../tests/fixtures/certificate.txt").replace('\n', ""))
        .unwrap();
    let certificate = PeerCertificate::from_der(der.clone());
    // axum's `Extension` layer and hyper's accept loop do the same.
    let request = move || {
        let mut request = Request::new(());
        request.extensions_mut().insert(certificate.clone());
        request
    };
    let bare = measure(service_fn(inner), &request);
    report("bare", bare, bare);

    let layer = |builder: CertificateAuthBuilder| AuthenticateLayer::new(builder.build().unwrap());
    let connection = layer(builder(ClientCertificate::connection()));
    let connection = measure(connection.layer(service_fn(inner)), &request);
    let count = report("certificate of the connection", connection, bare);

    let scopes = builder(ClientCertificate::connection())
        .principal(|caller| Some(caller.to_builder().scopes(["orders:read"]).build()));
    let scopes = measure(layer(scopes).layer(service_fn(inner)), &request);
    report("with scopes of a closure", scopes, bare);

    let closure = builder(ClientCertificate::from_fn(move |_| Some(der.clone())));
    let closure = measure(layer(closure).layer(service_fn(inner)), &request);
    report("DER of a closure, parsed each time", closure, bare);

    let signer = Signer::generate("RS256", "1");
    let keys = Keys::from_json(json!({ "keys": [signer.jwk()] }).to_string()).unwrap();
    let tokens = JwtAuth::builder(keys).issuer(ISSUER).audience(AUDIENCE);
    let tokens = tokens.cache(TokenCache::new(1 << 20)).build().unwrap();
    let token = format!("Bearer {}", signer.token(&claims()));
    let with_token = move || {
        let mut request = request();
        request.headers_mut().insert(AUTHORIZATION, token.parse().unwrap());
        request
    };
    let token = measure(AuthenticateLayer::new(tokens).layer(service_fn(inner)), with_token);
    report("cached token", token, bare);
    assert!(count <= MAX_ALLOCATIONS, "{count} allocations");
}
