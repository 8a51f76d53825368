//! Clocks at the limits of what the platform can represent. They cause no panic.

use std::{
    convert::Infallible,
    future::ready,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use http::{Request, request::Parts};
use tower_auth::{
    BasicAuth, Challenge, JwtAuth, Policy, Principal, Rejection, RejectionKind, Scheme,
    authorize::RequireAuthentication,
    bearer::TokenVerifier,
    client::{RefreshingToken, Token},
    jwt::{Jwks, Tenants, TokenCache},
    password::{HashVerifier, Htpasswd},
    test_util::{TestClock, TokenMint, principal},
    throttle::Throttle,
};

use crate::basic::{PASSWORD, cheap_hash};

const AUDIENCE: &str = "api";
const HOUR: Duration = Duration::from_secs(3600);

/// Moves the time as far as the platform allows.
fn furthest(change: fn(&SystemTime, Duration) -> Option<SystemTime>) -> SystemTime {
    let (mut time, mut step) = (UNIX_EPOCH, Duration::MAX);
    while !step.is_zero() {
        match change(&time, step) {
            Some(next) => time = next,
            None => step /= 2,
        }
    }
    time
}

/// The first and the last time, times close to them, and times around 1970.
fn extreme_times() -> [SystemTime; 6] {
    let first = furthest(SystemTime::checked_sub);
    let last = furthest(SystemTime::checked_add);
    [first, first + HOUR, UNIX_EPOCH - HOUR, UNIX_EPOCH, last - HOUR, last]
}

fn head() -> Parts {
    Request::new(()).into_parts().0
}

async fn verify(tenants: &Tenants, token: &str) -> Result<Principal, Rejection> {
    TokenVerifier::verify(tenants, token).await
}

#[tokio::test]
async fn tokens_at_extreme_times_cause_no_panic() {
    let dir = tempfile::tempdir().unwrap();
    for time in extreme_times() {
        let clock = TestClock::at(time);
        let mint = TokenMint::new("https://issuer.example").clock(clock.clone());
        let path = dir.path().join("jwks.json");
        std::fs::write(&path, mint.jwks()).unwrap();
        let valid = mint.token("alice").audience(AUDIENCE).expires_in(HOUR).sign();
        let expired = mint.token("alice").audience(AUDIENCE).expired().sign();

        let fixed = mint.validator(AUDIENCE).cache(TokenCache::new(1 << 20)).build().unwrap();
        let live = JwtAuth::builder(Jwks::file(&path)).issuer(mint.issuer()).audience(AUDIENCE);
        let live = live.clock(clock.clone()).build().unwrap();
        let resolved = mint.clone();
        let tenants = Tenants::new(Challenge::new(Scheme::BEARER), move |_: String| {
            ready(resolved.validator(AUDIENCE).build().map(Some))
        });
        let tenants = tenants.unwrap().clock(clock.clone());

        // Dates before 1970 or above 2⁵³ are not accepted.
        let expected = match time {
            UNIX_EPOCH => Ok(()),
            _ => Err(RejectionKind::InvalidCredentials),
        };
        let kind = |result: Result<Principal, Rejection>| {
            result.map(drop).map_err(|rejection| rejection.kind())
        };
        for _ in 0..2 {
            assert_eq!(kind(fixed.verify(&valid).await), expected, "{time:?}");
            assert_eq!(kind(verify(&tenants, &valid).await), expected, "{time:?}");
            // No time is later than the last one, so fetched keys are not usable then.
            if time.checked_add(HOUR / 2).is_some() {
                assert_eq!(kind(live.verify(&valid).await), expected, "{time:?}");
            }
            // No `exp` is before 1970, so an expired token of that time is within the leeway.
            assert!(time == UNIX_EPOCH || fixed.verify(&expired).await.is_err(), "{time:?}");
        }
        let caller = principal("alice").claims(&serde_json::json!({ "auth_time": 0 })).unwrap();
        let policy = RequireAuthentication::max_age(HOUR).clock(clock);
        let _ = policy.evaluate(&caller.build(), &head()).await;
    }
}

#[tokio::test]
async fn unknown_tenant_and_failing_resolver_at_extreme_times_cause_no_panic() {
    for time in extreme_times() {
        let mint = TokenMint::new("https://issuer.example");
        let token = mint.token("alice").audience(AUDIENCE).sign();
        for (resolved, kind) in [
            (Ok(None::<JwtAuth>), RejectionKind::InvalidCredentials),
            (Err("outage"), RejectionKind::Unavailable),
        ] {
            let resolver = move |_: String| ready(resolved.clone());
            let tenants = Tenants::new(Challenge::new(Scheme::BEARER), resolver).unwrap();
            let tenants = tenants.clock(TestClock::at(time));
            for _ in 0..2 {
                assert_eq!(verify(&tenants, &token).await.unwrap_err().kind(), kind, "{time:?}");
            }
        }
    }
}

#[tokio::test]
async fn passwords_at_extreme_times_cause_no_panic() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("htpasswd");
    std::fs::write(&path, format!("alice:{}", cheap_hash(PASSWORD))).unwrap();
    for time in extreme_times() {
        let clock = TestClock::at(time);
        let users = Htpasswd::builder(&path).clock(clock.clone()).open().unwrap();
        let verifier = HashVerifier::new(users).clock(clock.clone());
        let throttle = Throttle::by_address(|_| None).clock(clock.clone());
        let staff = BasicAuth::new("staff", verifier).unwrap().throttle(throttle).unwrap();
        for _ in 0..2 {
            assert!(staff.verify("alice", PASSWORD, &head()).await.is_ok(), "{time:?}");
            assert!(staff.verify("alice", "guess", &head()).await.is_err());
        }
    }
}

#[tokio::test]
async fn refreshing_token_at_extreme_times_causes_no_panic() {
    for time in extreme_times() {
        for lifetime in [Duration::ZERO, HOUR, Duration::MAX] {
            let source =
                move || ready(Ok::<_, Infallible>(Token::new("token").expires_in(lifetime)));
            let token = RefreshingToken::new(source).clock(TestClock::at(time));
            let is_usable = !lifetime.is_zero();
            assert_eq!(token.header_value().await.is_ok(), is_usable, "{time:?} {lifetime:?}");
            token.invalidate();
        }
    }
}
