//! Measures requests with tokens that are bound to a client certificate.
//!
//! `cargo bench -p tower-auth-benches --bench certificates` counts the allocations that a bound
//! token costs above an unbound one, and fails if there are more than now. With the argument
//! `times`, it also measures the times in interleaved rounds, and fails if a bound token costs more
//! than 0.5 µs above an unbound one while the server provides the certificate.

use std::{
    convert::Infallible,
    env,
    future::{Ready, ready},
};

use allocation_counter::measure as count_allocations;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures_util::FutureExt;
use http::{HeaderName, Request, Response, header::AUTHORIZATION};
use serde_json::json;
use tower::{Layer, Service, service_fn};
use tower_auth::{
    AuthenticateLayer, JwtAuth,
    jwt::{Keys, TokenCache},
    mtls::{CertificateBinding, ClientCertificate, PeerCertificate},
};
use tower_auth_test_support::{
    rounds::{Row, measure, median},
    token::{AUDIENCE, ISSUER, Signer, random, usual_claims},
};

const LIMIT_NS: f64 = 500.0;
/// A usual certificate with an RSA key or with several names.
const CERTIFICATE_BYTES: usize = 1024;

/// The DER of the certificate, as a framework stores it.
#[derive(Clone)]
struct Chain(std::sync::Arc<Vec<Vec<u8>>>);

struct Case {
    name: &'static str,
    source: ClientCertificate,
    header: Option<(&'static str, String)>,
    /// How many allocations a bound token may cost above an unbound one.
    max_allocations: u64,
}

fn cases(der: &[u8]) -> [Case; 5] {
    let base64 = BASE64_STANDARD.encode(der);
    let lines = base64.as_bytes().chunks(64).map(|line| str::from_utf8(line).unwrap());
    let body = lines.collect::<Vec<_>>().join("%0A").replace('+', "%2B").replace('/', "%2F");
    let body = body.replace('=', "%3D");
    let pem = format!("-----BEGIN%20CERTIFICATE-----%0A{body}%0A-----END%20CERTIFICATE-----%0A");
    let proxied = |source: ClientCertificate| source.peer(|_| Some([10, 0, 0, 1].into()));
    let proxies = "10.0.0.0/8";
    [
        Case {
            name: "connection",
            source: ClientCertificate::connection(),
            header: None,
            max_allocations: 2,
        },
        Case {
            name: "closure, DER for each request",
            source: ClientCertificate::from_fn(|head| {
                head.extensions.get::<Chain>()?.0.first().cloned()
            }),
            header: None,
            max_allocations: 5,
        },
        Case {
            name: "Client-Cert",
            source: proxied(ClientCertificate::client_cert_header(proxies).unwrap()),
            header: Some(("client-cert", format!(":{base64}:"))),
            max_allocations: 6,
        },
        Case {
            name: "X-Forwarded-Client-Cert",
            source: proxied(ClientCertificate::envoy_xfcc(proxies).unwrap()),
            header: Some(("x-forwarded-client-cert", format!("Hash=0;Cert=\"{pem}\""))),
            max_allocations: 8,
        },
        Case {
            name: "escaped PEM",
            source: proxied(
                ClientCertificate::escaped_pem_header("x-client-cert", proxies).unwrap(),
            ),
            header: Some(("x-client-cert", pem)),
            max_allocations: 8,
        },
    ]
}

fn inner(_: Request<()>) -> Ready<Result<Response<()>, Infallible>> {
    ready(Ok(Response::new(())))
}

/// Returns a function that sends a request, whose token must be accepted.
fn sender(
    signer: &Signer,
    source: &ClientCertificate,
    is_cached: bool,
) -> impl FnMut(Request<()>) -> Response<()> + use<> {
    let keys = Keys::from_json(json!({ "keys": [signer.jwk()] }).to_string()).unwrap();
    let mut tokens = JwtAuth::builder(keys)
        .issuer(ISSUER)
        .audience(AUDIENCE)
        .binding(CertificateBinding::new(source.clone()));
    if is_cached {
        tokens = tokens.cache(TokenCache::new(1 << 20).cache_hmac());
    }
    let mut service = AuthenticateLayer::new(tokens.build().unwrap()).layer(service_fn(inner));
    move |request| {
        let response = service.call(request).now_or_never().unwrap().unwrap();
        assert_eq!(response.status(), 200);
        response
    }
}

fn main() {
    let signer = Signer::generate("HS256", "1");
    let der = random(CERTIFICATE_BYTES);
    let certificate = PeerCertificate::from(&*der);
    let mut claims = usual_claims();
    let unbound = signer.token(&claims);
    claims["cnf"] = json!({ "x5t#S256": certificate.thumbprint() });
    let bound = signer.token(&claims);
    let chain = Chain(vec![der.clone()].into());

    let mut rows = Vec::new();
    for case in cases(&der) {
        let request = |token: &str| {
            let mut request = Request::new(());
            let value = format!("Bearer {token}").parse().unwrap();
            request.headers_mut().insert(AUTHORIZATION, value);
            if let Some((name, value)) = &case.header {
                let name = HeaderName::from_static(name);
                request.headers_mut().insert(name, value.parse().unwrap());
            }
            request.extensions_mut().insert(certificate.clone());
            request.extensions_mut().insert(chain.clone());
            request
        };
        for is_cached in [false, true] {
            let counts = [&unbound, &bound].map(|token| {
                let mut send = sender(&signer, &case.source, is_cached);
                send(request(token));
                let request = request(token);
                count_allocations(|| drop(send(request))).count_total
            });
            let (above, limit) = (counts[1].saturating_sub(counts[0]), case.max_allocations);
            let cached = if is_cached { "cached" } else { "not cached" };
            println!("{:<30} {cached:<10} {above} allocations above an unbound token", case.name);
            assert!(above <= limit, "{above} allocations, limit {limit}");
            for (kind, token) in [("unbound", &unbound), ("bound", &bound)] {
                let request = request(token);
                let send = sender(&signer, &case.source, is_cached);
                rows.push(Row::new((case.name, cached, kind), move || request.clone(), send));
            }
        }
    }
    if !env::args().any(|argument| argument == "times") {
        return;
    }
    println!("\n| certificate | token | unbound, µs | bound, µs | above, µs |");
    println!("| --- | --- | ---: | ---: | ---: |");
    let mut most: f64 = 0.0;
    for pair in measure(rows).chunks(2) {
        let [unbound, bound] = pair else { continue };
        let (name, cached, _) = bound.name;
        let above = median(bound.rounds.iter().zip(&unbound.rounds).map(|(b, u)| b - u));
        let [first, second] =
            [unbound, bound].map(|row| median(row.rounds.iter().copied()) / 1000.0);
        println!("| {name} | {cached} | {first:.3} | {second:.3} | {:.3} |", above / 1000.0);
        if name == "connection" {
            most = most.max(above);
        }
    }
    assert!(most <= LIMIT_NS, "{most:.0} ns above an unbound token, limit {LIMIT_NS} ns");
}
