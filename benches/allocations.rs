//! Counts the allocations of one request through a layer.
//!
//! `cargo bench -p tower-auth-benches --bench allocations` fails if a count exceeds its limit. The
//! table in docs/performance.md shows the counts.
//!
//! The extensions map makes three allocations for each authenticated request. The allocations of
//! aws-lc are in C and are not counted. The inner service alone, `bare`, makes none.

use std::{convert::Infallible, future::Ready, hint::black_box};

use allocation_counter::measure;
use futures_util::FutureExt;
use http::{Request, Response, header::AUTHORIZATION};
use serde_json::json;
use tower::{Layer, Service, service_fn};
use tower_auth::{
    AuthenticateLayer, AuthorizeLayer, BasicAuth, JwtAuth, Policy, Principal, RequireRoles,
    RequireScopes,
    basic::Users,
    jwt::{JwtAuthBuilder, Keys, TokenCache},
    password::{HashVerifier, HashedUsers, PasswordHash},
};
use tower_auth_test_support::token::{AUDIENCE, ISSUER, Signer, User, usual_claims};

fn inner(_: Request<()>) -> Ready<Result<Response<()>, Infallible>> {
    std::future::ready(Ok(Response::new(())))
}

/// A handler that uses six claims.
fn handler(request: Request<()>) -> Ready<Result<Response<()>, Infallible>> {
    let principal = request.extensions().get::<Principal>().unwrap();
    black_box(principal.claims_as::<User>().unwrap());
    std::future::ready(Ok(Response::new(())))
}

fn request(authorization: Option<&str>) -> Request<()> {
    let mut request = Request::new(());
    if let Some(value) = authorization {
        request.headers_mut().insert(AUTHORIZATION, value.parse().unwrap());
    }
    request
}

/// Prints the allocations of one request. Panics if there are more than `limit`.
fn check_allocations<S>(name: &str, mut service: S, authorization: Option<&str>, limit: u64)
where
    S: Service<Request<()>, Response = Response<()>, Error = Infallible>,
{
    let request = request(authorization);
    let mut status = 0;
    let counted = measure(|| {
        status = service.call(request).now_or_never().unwrap().unwrap().status().as_u16();
    });
    let (allocations, bytes) = (counted.count_total, counted.bytes_total);
    println!("{name:<40} {status} {allocations:>3} allocations {bytes:>6} bytes");
    assert!(allocations <= limit, "{name}: {allocations} allocations, limit {limit}");
}

/// Sends a request that is not counted, which fills caches.
fn send_first<S>(service: &mut S, authorization: &str)
where
    S: Service<Request<()>, Response = Response<()>, Error = Infallible>,
{
    let response = service.call(request(Some(authorization))).now_or_never().unwrap().unwrap();
    assert_eq!(response.status(), 200);
}

fn main() {
    check_allocations("bare", service_fn(inner), None, 0);
    for algorithm in ["HS256", "RS256", "ES256", "EdDSA"] {
        let signer = Signer::generate(algorithm, "1");
        let jwt_auth = || -> JwtAuthBuilder {
            let keys = Keys::from_json(json!({ "keys": [signer.jwk()] }).to_string()).unwrap();
            JwtAuth::builder(keys).issuer(ISSUER).audience(AUDIENCE)
        };
        let bearer = format!("Bearer {}", signer.token(&usual_claims()));
        let forged = Signer::generate(algorithm, "1").token(&usual_claims());
        let forged = format!("Bearer {forged}");
        let name = |request: &str| format!("bearer/{algorithm}/{request}");

        let layer = AuthenticateLayer::new(jwt_auth().build().unwrap());
        let service = || layer.layer(service_fn(inner));
        check_allocations(&name("first token"), service(), Some(&bearer), 9);
        check_allocations(&name("token"), service(), Some(&bearer), 8);
        check_allocations(&name("first rejected token"), service(), Some(&forged), 6);
        check_allocations(&name("rejected token"), service(), Some(&forged), 6);
        check_allocations(&name("malformed token"), service(), Some("Bearer a.b.c"), 6);
        check_allocations(&name("missing token"), service(), None, 5);

        let cached = jwt_auth().cache(TokenCache::new(1 << 20).cache_hmac()).build().unwrap();
        let cached = AuthenticateLayer::new(cached);
        let mut service = cached.layer(service_fn(inner));
        send_first(&mut service, &bearer);
        check_allocations(&name("cached token"), service, Some(&bearer), 3);

        // Whole requests: a token, two scopes, a role, and six claims in the handler.
        let scopes = RequireScopes::all(["orders:read", "orders:write"]);
        let authorize = AuthorizeLayer::new(scopes.and(RequireRoles::any(["user"])));
        let mut service = layer.layer(authorize.layer(service_fn(handler)));
        send_first(&mut service, &bearer);
        check_allocations(&name("whole request"), service, Some(&bearer), 15);
        let mut service = cached.layer(authorize.layer(service_fn(handler)));
        send_first(&mut service, &bearer);
        check_allocations(&name("whole request, cached"), service, Some(&bearer), 3);
    }
    let users = Users::new([("alice", "correct horse")]).unwrap();
    let basic = AuthenticateLayer::new(BasicAuth::new("staff", users).unwrap());
    let valid = "Basic YWxpY2U6Y29ycmVjdCBob3JzZQ==";
    check_allocations("basic/fixed passwords", basic.layer(service_fn(inner)), Some(valid), 4);
    let wrong = "Basic YWxpY2U6Y29ycmVjdCBob3JzZSA=";
    check_allocations("basic/first wrong password", basic.layer(service_fn(inner)), Some(wrong), 8);
    check_allocations("basic/wrong password", basic.layer(service_fn(inner)), Some(wrong), 7);
    check_allocations("basic/missing credentials", basic.layer(service_fn(inner)), None, 5);
    // The first request fills the success cache.
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let hash = PasswordHash::new("correct horse").unwrap();
    let verifier = HashVerifier::new(HashedUsers::new([("alice", hash.as_str())]).unwrap());
    let hashed = AuthenticateLayer::new(BasicAuth::new("staff", verifier).unwrap());
    runtime.block_on(hashed.layer(service_fn(inner)).call(request(Some(valid)))).unwrap();
    check_allocations("basic/cached success", hashed.layer(service_fn(inner)), Some(valid), 4);
}
