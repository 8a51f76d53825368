//! `Tenants::forget` while the resolver runs, and what callers without a valid token can learn
//! about tenants.

use std::{
    future::ready,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::{future::join_all, poll};
use http::{Request, header::AUTHORIZATION};
use serde_json::json;
use tokio::{
    sync::{mpsc, oneshot},
    task::{JoinSet, yield_now},
};
use tower_auth::{
    Authenticator, Challenge, JwtAuth, Principal, RejectionKind, Scheme,
    bearer::{TokenVerifier, Verification},
    jwt::{Keys, Tenants},
    test_util::TestClock,
};
use tower_auth_test_support::token::{Signer, claims, encode};

use crate::{send, serve, signers};

/// Accepts every token of one issuer. The subject is the version of the tenant.
struct Version(u64, [Arc<str>; 1]);

impl TokenVerifier for Version {
    fn verify(&self, _: &str) -> Verification {
        let caller = Principal::builder(self.0.to_string(), Scheme::BEARER);
        Verification::ready(Ok(caller.issuer(&*self.1[0]).build()))
    }

    fn issuers(&self) -> &[Arc<str>] {
        &self.1
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Answer {
    Tenant(u64),
    NoTenant,
    Outage,
}

impl Answer {
    fn for_issuer(self, issuer: String) -> Result<Option<Version>, &'static str> {
        match self {
            Self::Tenant(version) => Ok(Some(Version(version, [issuer.into()]))),
            Self::NoTenant => Ok(None),
            Self::Outage => Err("the database is unreachable"),
        }
    }
}

type Calls = mpsc::UnboundedReceiver<oneshot::Sender<Answer>>;

/// Returns tenants whose resolver answers when the test sends the answer of a call.
fn tenants(clock: &TestClock) -> (Tenants, Calls) {
    let (sender, calls) = mpsc::unbounded_channel();
    let resolver = move |issuer: String| {
        let (answer, answered) = oneshot::channel::<Answer>();
        sender.send(answer).unwrap();
        async move { answered.await.unwrap().for_issuer(issuer) }
    };
    let tenants = Tenants::new(Challenge::new(Scheme::BEARER), resolver).unwrap();
    (tenants.clock(clock.clone()), calls)
}

/// Sends a token of the tenant `a`, and returns the version that admitted it.
fn request(tenants: &Tenants) -> Pin<Box<impl Future<Output = Result<u64, RejectionKind>>>> {
    let token = format!("Bearer e30.{}.", encode(r#"{"iss":"a"}"#));
    let head = Request::builder().header(AUTHORIZATION, token).body(()).unwrap().into_parts().0;
    let authentication = tenants.authenticate(&head).unwrap();
    Box::pin(async {
        let result = authentication.await.into_result();
        let version = result.map(|caller| caller.subject().parse().unwrap());
        version.map_err(|rejection| rejection.kind())
    })
}

/// Has the request wait for its call of the resolver, and returns the call.
async fn start(
    request: &mut Pin<Box<impl Future<Output = Result<u64, RejectionKind>>>>,
    calls: &mut Calls,
) -> oneshot::Sender<Answer> {
    assert!(poll!(request.as_mut()).is_pending());
    calls.try_recv().expect("the resolver is called")
}

const UNKNOWN: Result<u64, RejectionKind> = Err(RejectionKind::InvalidCredentials);
const UNAVAILABLE: Result<u64, RejectionKind> = Err(RejectionKind::Unavailable);

#[tokio::test]
async fn result_of_a_call_from_before_forget_is_not_used() {
    for is_refresh in [false, true] {
        for (before, after, expected) in [
            (Answer::Tenant(2), Answer::NoTenant, UNKNOWN),
            (Answer::Tenant(2), Answer::Tenant(3), Ok(3)),
            (Answer::NoTenant, Answer::Tenant(3), Ok(3)),
            (Answer::Outage, Answer::Tenant(3), Ok(3)),
            (Answer::Outage, Answer::NoTenant, UNKNOWN),
        ] {
            let clock = TestClock::new();
            let (tenants, mut calls) = tenants(&clock);
            if is_refresh {
                let mut admitted = request(&tenants);
                start(&mut admitted, &mut calls).await.send(Answer::Tenant(1)).unwrap();
                assert_eq!(admitted.await, Ok(1));
                clock.advance(Duration::from_secs(600));
            }
            let mut waiting = request(&tenants);
            let call = start(&mut waiting, &mut calls).await;
            tenants.forget("a");
            call.send(before).unwrap();
            assert_eq!(waiting.await, UNAVAILABLE, "{is_refresh} {before:?}");

            let mut next = request(&tenants);
            start(&mut next, &mut calls).await.send(after).unwrap();
            assert_eq!(next.await, expected, "{is_refresh} {before:?} {after:?}");
            assert_eq!(request(&tenants).await, expected, "{is_refresh} {before:?} {after:?}");
            assert!(calls.try_recv().is_err());
        }
    }
}

#[tokio::test]
async fn request_after_forget_does_not_wait_for_the_call_from_before() {
    for is_first_answered_last in [false, true] {
        for before in [Answer::Tenant(1), Answer::NoTenant, Answer::Outage] {
            let (tenants, mut calls) = tenants(&TestClock::new());
            let mut early = request(&tenants);
            let early_call = start(&mut early, &mut calls).await;
            tenants.forget("a");
            let mut late = request(&tenants);
            let late_call = start(&mut late, &mut calls).await;
            if is_first_answered_last {
                late_call.send(Answer::Tenant(2)).unwrap();
                assert_eq!(late.await, Ok(2));
                early_call.send(before).unwrap();
                assert_eq!(early.await, UNAVAILABLE);
            } else {
                early_call.send(before).unwrap();
                assert_eq!(early.await, UNAVAILABLE);
                late_call.send(Answer::Tenant(2)).unwrap();
                assert_eq!(late.await, Ok(2));
            }
            assert_eq!(request(&tenants).await, Ok(2), "{before:?} {is_first_answered_last}");
            assert!(calls.try_recv().is_err());
        }
    }
}

#[tokio::test]
async fn tenant_that_is_evicted_during_its_refresh_keeps_the_result() {
    let clock = TestClock::new();
    let (tenants, mut calls) = tenants(&clock);
    let tenants = tenants.capacity(1);
    let mut first = request(&tenants);
    start(&mut first, &mut calls).await.send(Answer::Tenant(1)).unwrap();
    assert_eq!(first.await, Ok(1));
    clock.advance(Duration::from_secs(600));
    let mut refresh = request(&tenants);
    let call = start(&mut refresh, &mut calls).await;
    for other in 0..100 {
        let token =
            format!("Bearer e30.{}.", encode(json!({ "iss": format!("o{other}") }).to_string()));
        let request = Request::builder().header(AUTHORIZATION, token).body(()).unwrap();
        let head = request.into_parts().0;
        let mut other = Box::pin(tenants.authenticate(&head).unwrap());
        assert!(poll!(&mut other).is_pending());
        calls.try_recv().unwrap().send(Answer::Tenant(7)).unwrap();
        assert!(other.await.into_result().is_ok());
        for _ in 0..3 {
            assert!(tenants.authenticate(&head).unwrap().await.into_result().is_ok());
        }
    }
    call.send(Answer::Tenant(2)).unwrap();
    assert_eq!(refresh.await, Ok(2));
    assert_eq!(request(&tenants).await, Ok(2));
    assert!(calls.try_recv().is_err());
}

#[tokio::test]
async fn next_request_calls_the_resolver_if_the_first_is_cancelled() {
    let (tenants, mut calls) = tenants(&TestClock::new());
    // Both wait for one call. The second one takes over.
    let (mut first, mut second) = (request(&tenants), request(&tenants));
    let cancelled = start(&mut first, &mut calls).await;
    assert!(poll!(second.as_mut()).is_pending());
    assert!(calls.try_recv().is_err());
    drop((first, cancelled));
    start(&mut second, &mut calls).await.send(Answer::Tenant(1)).unwrap();
    assert_eq!(second.await, Ok(1));
    // All are cancelled.
    tenants.forget("a");
    let mut third = request(&tenants);
    drop(start(&mut third, &mut calls).await);
    drop(third);
    let mut fourth = request(&tenants);
    start(&mut fourth, &mut calls).await.send(Answer::NoTenant).unwrap();
    assert_eq!(fourth.await, UNKNOWN);
}

/// Each change of the tenant is followed by `forget`. A request that starts after `forget` must see
/// this change or a later one.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_request_of_64_contenders_sees_a_version_from_before_forget() {
    const CHANGES: u64 = 500;
    // Every third version is a tenant that was deleted, and every fifth one an outage.
    let answer = |version: u64| match version {
        _ if version.is_multiple_of(3) => Answer::NoTenant,
        _ if version.is_multiple_of(5) => Answer::Outage,
        _ => Answer::Tenant(version),
    };
    let (stored, forgotten) = (Arc::new(AtomicU64::new(1)), Arc::new(AtomicU64::new(1)));
    let (served, database) = (Arc::new(AtomicU64::new(0)), Arc::clone(&stored));
    let resolver = move |issuer: String| {
        let version = database.load(Ordering::SeqCst);
        async move {
            for _ in 0..version % 4 {
                yield_now().await;
            }
            answer(version).for_issuer(issuer)
        }
    };
    let tenants = Arc::new(Tenants::new(Challenge::new(Scheme::BEARER), resolver).unwrap());
    let mut contenders = JoinSet::new();
    for _ in 0..64 {
        let (tenants, stored) = (Arc::clone(&tenants), Arc::clone(&stored));
        let (forgotten, progress) = (Arc::clone(&forgotten), Arc::clone(&served));
        contenders.spawn(async move {
            let mut admitted = 0_u64;
            loop {
                let oldest = forgotten.load(Ordering::SeqCst);
                let result = request(&tenants).await;
                let newest = stored.load(Ordering::SeqCst);
                let is_possible = match result {
                    Ok(version) => (oldest..=newest).contains(&version),
                    UNKNOWN => (oldest..=newest).any(|at| answer(at) == Answer::NoTenant),
                    // Also if the tenant was forgotten, or if the last version was an outage.
                    UNAVAILABLE => newest > oldest || answer(newest) == Answer::Outage,
                    Err(other) => panic!("{other:?}"),
                };
                assert!(is_possible, "{result:?} between {oldest} and {newest}");
                admitted += u64::from(result.is_ok());
                progress.fetch_add(1, Ordering::SeqCst);
                if oldest == CHANGES {
                    return admitted;
                }
                yield_now().await;
            }
        });
    }
    let mut admitted = 0;
    for version in 2..=CHANGES {
        stored.store(version, Ordering::SeqCst);
        tenants.forget("a");
        forgotten.store(version, Ordering::SeqCst);
        // Some changes follow each other at once, others when requests have seen them.
        let enough = served.load(Ordering::SeqCst) + 20 * (version % 3);
        while served.load(Ordering::SeqCst) < enough {
            // A contender ends after the last change, or because it failed.
            if let Some(ended) = contenders.try_join_next() {
                admitted += ended.unwrap();
                break;
            }
            yield_now().await;
        }
    }
    admitted += contenders.join_all().await.into_iter().sum::<u64>();
    assert!(admitted > CHANGES, "{admitted}");
}

/// The tenant's verifier has a challenge of its own, which the caller of another issuer never sees.
#[tokio::test]
async fn invalid_token_of_a_tenant_gets_the_response_of_an_unknown_issuer() {
    let [key, other] = signers(["1", "1"]);
    let set = json!({ "keys": [key.jwk()] }).to_string();
    let resolver = move |issuer: String| {
        let build = || {
            let tokens = JwtAuth::builder(Keys::from_json(&set)?).issuer(&*issuer).audience("api");
            tokens.realm("secret tenant").challenge_scopes("tenant").build()
        };
        ready((issuer == "tenant").then(build).transpose())
    };
    let challenge = Challenge::new(Scheme::BEARER).with_param("realm", "api").unwrap();
    let address = serve(Tenants::new(challenge, resolver).unwrap()).await;

    let with = |signer: &Signer, issuer: &str, changes: serde_json::Value| {
        let mut claims = claims();
        claims["iss"] = issuer.into();
        claims["aud"] = "api".into();
        claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        signer.token(&claims)
    };
    let unsigned = |issuer: &str| {
        let payload =
            encode(json!({ "iss": issuer, "aud": "api", "sub": "a", "exp": u32::MAX }).to_string());
        format!("{}.{payload}.", encode(r#"{"alg":"none"}"#))
    };
    type TokenOf<'a> = &'a dyn Fn(&str) -> String;
    let invalid: [(&str, TokenOf<'_>); 5] = [
        ("unsigned", &unsigned),
        ("empty header", &|issuer| {
            format!("e30.{}.", encode(json!({ "iss": issuer }).to_string()))
        }),
        ("forged", &|issuer| with(&other, issuer, json!({}))),
        ("expired", &|issuer| with(&key, issuer, json!({ "exp": 1 }))),
        ("other audience", &|issuer| with(&key, issuer, json!({ "aud": "b" }))),
    ];
    for (name, token) in invalid {
        let mut responses = Vec::new();
        for issuer in ["tenant", "unknown", "tenant", "unknown"] {
            let mut response = send(&address, &token(issuer)).await;
            response.headers.retain(|(name, _)| name != "date");
            assert_eq!(response.status, 401, "{name}");
            let expected = r#"Bearer realm="api", error="invalid_token""#;
            assert_eq!(response.header_values("www-authenticate"), [expected], "{name}");
            responses.push((response.headers, response.body));
        }
        assert!(responses.iter().all(|response| *response == responses[0]), "{name} {responses:?}");
    }
    assert_eq!(send(&address, &with(&key, "tenant", json!({}))).await.status, 200);
}

#[tokio::test]
async fn concurrent_requests_of_an_unknown_issuer_share_one_call() {
    let (tenants, mut calls) = tenants(&TestClock::new());
    for answer in [Answer::NoTenant, Answer::Outage] {
        let mut requests: Vec<_> = (0..64).map(|_| request(&tenants)).collect();
        let call = start(&mut requests[0], &mut calls).await;
        let expected = if answer == Answer::Outage { UNAVAILABLE } else { UNKNOWN };
        call.send(answer).unwrap();
        assert_eq!(join_all(requests).await, [expected; 64]);
        assert!(calls.try_recv().is_err());
        tenants.forget("a");
    }
}
