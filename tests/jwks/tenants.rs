//! The limits of `Tenants`, and resolvers and key sources that are chosen at run time.

use std::{
    error::Error as _,
    future::{pending, ready},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt as _, poll};
use http::{Request, Response, header::AUTHORIZATION};
use tokio::sync::Semaphore;
use tower_auth::{
    Authenticator, Challenge, ConfigError, JwtAuth, Principal, Rejection, RejectionKind, Scheme,
    bearer::{BearerAuth, TokenVerifier},
    jwks::{DynFetch, FetchError},
    jwt::{DynTenantResolver, Jwks, TenantResolver, Tenants},
    test_util::{StubIssuer, TestClock, TokenMint},
};
use tower_auth_test_support::stub::{ShiftedClock, StubResponse, StubServer, wait_until};

use super::several::token;
use crate::{send, serve, signers};

const AUDIENCE: &str = "api";

fn tenants(resolver: impl TenantResolver) -> Tenants {
    Tenants::new(Challenge::new(Scheme::BEARER), resolver).unwrap()
}

/// Returns a resolver for the tenants of these names, and the number of its calls.
fn resolver<const N: usize>(
    names: [&str; N],
) -> ([TokenMint; N], impl TenantResolver, Arc<AtomicUsize>) {
    let mints = names.map(TokenMint::new);
    let (known, calls) = (mints.clone(), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&calls);
    let resolver = move |issuer: String| {
        count.fetch_add(1, Ordering::SeqCst);
        let mint = known.iter().find(|mint| mint.issuer() == issuer);
        ready(mint.map(|mint| mint.validator(AUDIENCE).build()).transpose())
    };
    (mints, resolver, calls)
}

fn sign(mint: &TokenMint) -> String {
    mint.token("alice").audience(AUDIENCE).sign()
}

async fn authenticate(tenants: &impl Authenticator, token: &str) -> Result<Principal, Rejection> {
    let request = Request::builder().header(AUTHORIZATION, format!("Bearer {token}")).body(());
    tenants.authenticate(&request.unwrap().into_parts().0).unwrap().await.into_result()
}

async fn kind(tenants: &impl Authenticator, token: &str) -> Option<RejectionKind> {
    authenticate(tenants, token).await.err().map(|rejection| rejection.kind())
}

/// Without another call of the resolver, the old verifier would be used for an hour.
#[tokio::test(flavor = "multi_thread")]
async fn tenant_removed_while_its_replacement_has_no_keys_is_rejected() {
    let (stub, [key], clock) = (StubServer::start(), signers(["1"]), ShiftedClock::default());
    stub.publish_keys([key.jwk()]);
    let tenant = stub.publish_metadata("/tenant");
    let (calls, is_known) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(true)));
    let (count, known) = (Arc::clone(&calls), Arc::clone(&is_known));
    let resolver = move |issuer: String| {
        count.fetch_add(1, Ordering::SeqCst);
        let build = || JwtAuth::builder(Jwks::discover(issuer)).audience(AUDIENCE).build();
        ready(known.lock().unwrap().then(build).transpose())
    };
    let tenants = tenants(resolver).clock(clock.clock());
    let address = serve(tenants).await;
    let valid = token(&key, &tenant, AUDIENCE);
    assert_eq!((send(&address, &valid).await.status, calls.load(Ordering::SeqCst)), (200, 1));

    stub.set_response("/jwks", StubResponse::Status(500));
    clock.advance(601);
    for _ in 0..3 {
        // The replacement is checked again, but it is fresh: the resolver is not called.
        assert_eq!((send(&address, &valid).await.status, calls.load(Ordering::SeqCst)), (200, 2));
        clock.advance(11);
    }
    clock.advance(600);
    assert_eq!((send(&address, &valid).await.status, calls.load(Ordering::SeqCst)), (200, 3));
    *is_known.lock().unwrap() = false;
    clock.advance(601);
    assert_eq!((send(&address, &valid).await.status, calls.load(Ordering::SeqCst)), (401, 4));
    assert_eq!((send(&address, &valid).await.status, calls.load(Ordering::SeqCst)), (401, 4));
}

/// The tenant has moved to another key set and has withdrawn its keys there.
#[tokio::test]
async fn tenant_whose_replacement_has_an_empty_key_set_is_rejected() {
    let (stub, [key], clock) = (StubServer::start(), signers(["1"]), ShiftedClock::default());
    stub.publish_keys([key.jwk()]);
    stub.set_response("/moved", StubResponse::Document(r#"{"keys": []}"#.into()));
    let urls = Mutex::new(vec![stub.url("/moved"), stub.url("/jwks")]);
    let moved = Arc::new(Mutex::new(None));
    let newest = Arc::clone(&moved);
    let resolver = move |issuer: String| {
        let keys = Jwks::url(urls.lock().unwrap().pop().unwrap());
        let tokens = JwtAuth::builder(keys).issuer(issuer).audience(AUDIENCE).build();
        newest.lock().unwrap().clone_from(&tokens.as_ref().ok().cloned());
        ready(tokens.map(Some))
    };
    let address = serve(tenants(resolver).clock(clock.clock())).await;
    let valid = token(&key, "https://tenant.example", AUDIENCE);
    assert_eq!(send(&address, &valid).await.status, 200);
    clock.advance(601);
    send(&address, &valid).await;
    let moved = moved.lock().unwrap().clone().unwrap();
    let is_fetched = || ready(moved.health().unwrap().last_success().is_some());
    wait_until("fetched", is_fetched).await;
    assert!(!moved.health().unwrap().is_ready());
    clock.advance(11);
    assert_eq!(send(&address, &valid).await.status, 401);
}

/// The time that a replacement has waited for its keys counts.
#[tokio::test]
async fn replacement_is_resolved_again_after_the_ttl_of_its_resolution() {
    let (clock, mint) = (TestClock::new(), TokenMint::new("https://issuer.example"));
    let (calls, issuer) = (Arc::new(AtomicUsize::new(0)), StubIssuer::new(&mint));
    let built = Arc::new(Mutex::new(None));
    let (count, source, newest) = (Arc::clone(&calls), issuer.clone(), Arc::clone(&built));
    let resolver = move |issuer: String| {
        count.fetch_add(1, Ordering::SeqCst);
        let keys = Jwks::discover(issuer).client(source.clone());
        let tokens = JwtAuth::builder(keys).audience(AUDIENCE).build().unwrap();
        *newest.lock().unwrap() = Some(tokens.clone());
        ready(Ok::<_, ConfigError>(Some(tokens)))
    };
    let tenants = tenants(resolver).clock(clock.clone());
    let call = async |expected: usize| {
        assert_eq!(kind(&tenants, &sign(&mint)).await, None);
        assert_eq!(calls.load(Ordering::SeqCst), expected);
    };
    call(1).await;
    issuer.outage(true);
    clock.advance(Duration::from_secs(600));
    call(2).await;
    clock.advance(Duration::from_secs(590));
    issuer.outage(false);
    let replacement = built.lock().unwrap().clone().unwrap();
    assert!(replacement.verify(&sign(&mint)).await.is_ok());
    call(2).await;
    clock.advance(Duration::from_secs(9));
    call(2).await;
    clock.advance(Duration::from_secs(1));
    call(3).await;
}

#[tokio::test]
async fn tenant_that_is_forgotten_during_its_refresh_is_resolved_again() {
    let (clock, mint) = (TestClock::new(), TokenMint::new("a"));
    let (calls, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(1)));
    let (count, known, closed) = (Arc::clone(&calls), mint.clone(), Arc::clone(&gate));
    let resolver = move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        let (verifier, gate) = (known.validator(AUDIENCE).build().map(Some), Arc::clone(&closed));
        async move {
            gate.acquire().await.unwrap().forget();
            verifier
        }
    };
    let tenants = tenants(resolver).clock(clock.clone());
    let token = sign(&mint);
    assert_eq!(kind(&tenants, &token).await, None);
    clock.advance(Duration::from_secs(600));
    let fresh = sign(&mint);
    let mut refresh = Box::pin(kind(&tenants, &fresh));
    assert!(poll!(&mut refresh).is_pending());
    tenants.forget("a");
    gate.add_permits(2);
    refresh.await;
    assert_eq!(calls.load(Ordering::SeqCst), 2);
    assert_eq!(kind(&tenants, &fresh).await, None);
    assert_eq!(calls.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn larger_tokens_of_a_tenant_are_accepted_up_to_the_bound_of_tenants() {
    const KIB: usize = 1024;
    let mints = ["default", "large"].map(TokenMint::new);
    let known = mints.clone();
    let resolver = move |issuer: String| {
        let [default, large] = &known;
        ready(match issuer.as_str() {
            "default" => default.validator(AUDIENCE).build().map(Some),
            "large" => large.validator(AUDIENCE).max_token_bytes(100 * KIB).build().map(Some),
            _ => Ok::<_, ConfigError>(None),
        })
    };
    let default_bound = tenants(resolver.clone());
    let larger_bound = tenants(resolver.clone()).max_token_bytes(90 * KIB);
    let wrapped = BearerAuth::new(tenants(resolver).max_token_bytes(90 * KIB));
    let sized = |mint: &TokenMint, bytes: usize| {
        let empty = mint.token("alice").audience(AUDIENCE).claim("pad", "").sign().len();
        // Three bytes of a claim are four bytes of a token.
        let pad = "x".repeat(bytes.saturating_sub(empty) / 4 * 3);
        let token = mint.token("alice").audience(AUDIENCE).claim("pad", pad).sign();
        assert!((bytes - 8..=bytes).contains(&token.len()), "{} {bytes}", token.len());
        token
    };
    let too_large = Some(RejectionKind::CredentialsTooLarge);
    let [default, large] = &mints;
    for (mint, kib, with_default, with_larger) in [
        (default, 15, None, None),
        (default, 17, too_large, too_large),
        (large, 17, None, None),
        (large, 63, None, None),
        (large, 70, too_large, None),
        (large, 89, too_large, None),
        (large, 91, too_large, too_large),
    ] {
        let token = sized(mint, kib * KIB);
        for _ in 0..2 {
            assert_eq!(kind(&default_bound, &token).await, with_default, "{kib} KiB");
            assert_eq!(kind(&larger_bound, &token).await, with_larger, "{kib} KiB");
            assert_eq!(kind(&wrapped, &token).await, with_larger, "{kib} KiB");
        }
    }
}

#[tokio::test]
async fn ttl_determines_when_the_resolver_is_called_again() {
    let clock = TestClock::new();
    let ([mint], resolver, calls) = resolver(["a"]);
    let tenants = tenants(resolver).ttl(Duration::from_secs(60)).clock(clock.clone());
    let unknown = TokenMint::new("unknown");
    for (seconds, expected) in [(0, 2), (59, 2), (1, 4), (59, 4), (1, 6)] {
        clock.advance(Duration::from_secs(seconds));
        assert_eq!(kind(&tenants, &sign(&mint)).await, None);
        let unknown = kind(&tenants, &sign(&unknown)).await;
        assert_eq!(unknown, Some(RejectionKind::InvalidCredentials));
        assert_eq!(calls.load(Ordering::SeqCst), expected);
    }
}

#[tokio::test]
async fn max_stale_limits_the_use_of_a_verifier_while_the_resolver_fails() {
    let (clock, mint) = (TestClock::new(), TokenMint::new("a"));
    let is_up = Arc::new(Mutex::new(true));
    let (known, up) = (mint.clone(), Arc::clone(&is_up));
    let resolver = move |_| {
        ready(match *up.lock().unwrap() {
            true => Ok(Some(known.validator(AUDIENCE).build().unwrap())),
            false => Err("the database is unreachable"),
        })
    };
    let tenants = tenants(resolver).ttl(Duration::from_secs(60));
    let tenants = tenants.max_stale(Duration::from_secs(100)).clock(clock.clone());
    assert_eq!(kind(&tenants, &sign(&mint)).await, None);
    *is_up.lock().unwrap() = false;
    clock.advance(Duration::from_secs(159));
    assert_eq!(kind(&tenants, &sign(&mint)).await, None);
    clock.advance(Duration::from_secs(1));
    assert_eq!(kind(&tenants, &sign(&mint)).await, Some(RejectionKind::Unavailable));
    *is_up.lock().unwrap() = true;
    assert_eq!(kind(&tenants, &sign(&mint)).await, None);
}

#[tokio::test]
async fn capacity_limits_the_cached_tenants() {
    let mint = TokenMint::new("a");
    let keys = mint.keys();
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let resolver = move |issuer: String| {
        count.fetch_add(1, Ordering::SeqCst);
        let keys = keys.clone();
        ready(JwtAuth::builder(keys).issuer(issuer).audience(AUDIENCE).build().map(Some))
    };
    let tenants = tenants(resolver).capacity(20);
    for _ in 0..2 {
        for number in 0..200 {
            let token = mint.token("alice").audience(AUDIENCE).claim("iss", number.to_string());
            assert_eq!(kind(&tenants, &token.sign()).await, None);
        }
    }
    // The first pass resolves all. The second pass finds at most those that are cached.
    let calls = calls.load(Ordering::SeqCst);
    assert!((380..=400).contains(&calls), "{calls}");
}

#[tokio::test]
async fn issuer_beyond_the_permits_returns_503_at_once() {
    let mint = TokenMint::new("b");
    let known = mint.clone();
    let resolver = move |issuer: String| {
        let verifier = known.validator(AUDIENCE).build().map(Some);
        async move {
            match issuer.as_str() {
                "hangs" => pending().await,
                _ => verifier,
            }
        }
    };
    for (permits, expected) in [(1, Some(RejectionKind::Unavailable)), (2, None)] {
        let tenants = tenants(resolver.clone()).permits(permits);
        let hanging = sign(&TokenMint::new("hangs"));
        let mut hanging = Box::pin(kind(&tenants, &hanging));
        assert!(poll!(&mut hanging).is_pending());
        let other = kind(&tenants, &sign(&mint)).now_or_never();
        assert_eq!(other, Some(expected), "{permits}");
    }
}

#[tokio::test]
async fn resolver_that_exceeds_the_timeout_returns_503() {
    let resolver = |_| pending::<Result<Option<JwtAuth>, ConfigError>>();
    // The minimum, 100 ms.
    let tenants = tenants(resolver).timeout(Duration::ZERO);
    let rejection = authenticate(&tenants, &sign(&TokenMint::new("a"))).await.unwrap_err();
    assert_eq!(rejection.kind(), RejectionKind::Unavailable);
    assert_eq!(rejection.source().unwrap().to_string(), "the resolver took longer than 100ms");
}

#[tokio::test]
async fn limits_out_of_range_are_clamped() {
    for (duration, count) in [(Duration::ZERO, 0), (Duration::MAX, 1 << 20)] {
        let clock = TestClock::new();
        let ([mint], resolver, calls) = resolver(["a"]);
        let tenants = tenants(resolver).ttl(duration).max_stale(duration).timeout(duration);
        let permits = if count == 0 { 0 } else { usize::MAX };
        let tenants = tenants.capacity(count).permits(permits).clock(clock.clone());
        assert_eq!(kind(&tenants, &sign(&mint)).await, None);
        assert_eq!(kind(&tenants, &sign(&mint)).await, None);
        assert_eq!(calls.load(Ordering::SeqCst), 1);
        clock.advance(Duration::from_secs(86_400));
        assert_eq!(kind(&tenants, &sign(&mint)).await, None);
        assert_eq!(calls.load(Ordering::SeqCst), 2);
    }
}

#[tokio::test]
async fn resolver_can_be_chosen_at_run_time_and_shared() {
    let ([mint], closure, calls) = resolver(["a"]);
    let shared: Arc<dyn DynTenantResolver> = Arc::new(closure);
    let boxed: Box<dyn DynTenantResolver> = Box::new(Arc::clone(&shared));
    let typed = Arc::new(|issuer: String| {
        let verifier: Option<Arc<dyn TokenVerifier>> = None;
        assert_eq!(issuer, "a");
        ready(Ok::<_, ConfigError>(verifier))
    });
    for (tenants, expected, count) in [
        (tenants(shared), None, 1),
        (tenants(boxed), None, 2),
        (tenants(typed), Some(RejectionKind::InvalidCredentials), 2),
    ] {
        assert_eq!(kind(&tenants, &sign(&mint)).await, expected);
        assert_eq!(calls.load(Ordering::SeqCst), count);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn key_source_can_be_chosen_at_run_time_and_shared() {
    let mint = TokenMint::new("https://issuer.example");
    let json = mint.jwks();
    let closure =
        move |_: Request<()>| ready(Ok::<_, FetchError>(Response::new(Bytes::from(json.clone()))));
    let sources: [Arc<dyn DynFetch>; 3] = [
        Arc::new(StubIssuer::new(&mint)),
        Arc::new(closure.clone()),
        Arc::new(Box::new(closure) as Box<dyn DynFetch>),
    ];
    for source in sources {
        for keys in [
            Jwks::url("https://issuer.example/jwks").client(Arc::clone(&source)),
            Jwks::url("https://issuer.example/jwks").client(Box::new(source) as Box<dyn DynFetch>),
        ] {
            let tokens = JwtAuth::builder(keys).issuer(mint.issuer()).audience(AUDIENCE).build();
            let tokens = tokens.unwrap();
            wait_until("keys", async || tokens.is_ready()).await;
            assert_eq!(kind(&tokens, &sign(&mint)).await, None);
        }
    }
}
