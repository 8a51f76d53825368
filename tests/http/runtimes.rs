//! Authenticators that need tokio are polled outside a tokio runtime. They reject, and do not
//! panic.

use std::{fs, future::ready, time::Duration};

use futures_util::FutureExt as _;
use http::Request;
use tower_auth::{
    Authenticator, BasicAuth, Challenge, JwtAuth, Principal, Rejection, RejectionKind, Scheme,
    jwt::{Jwks, Tenants},
    password::{HashVerifier, Htpasswd},
    test_util::{TestClock, TokenMint},
};

use crate::basic::{PASSWORD, UNICODE_PASSWORD, basic_header, cheap_hash};

fn authenticate(auth: &impl Authenticator, credentials: &str) -> Result<Principal, Rejection> {
    let request = Request::builder().header("authorization", credentials).body(()).unwrap();
    let authentication = auth.authenticate(&request.into_parts().0).unwrap();
    authentication.now_or_never().expect("the result is ready").into_result()
}

fn on_tokio<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

#[test]
fn password_file_that_is_due_for_a_check_returns_503() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("htpasswd");
    fs::write(&path, format!("alice:{}", cheap_hash(PASSWORD))).unwrap();
    let clock = TestClock::new();
    let users = Htpasswd::builder(&path).clock(clock.clone()).open().unwrap();
    let verifier = HashVerifier::new(users).clock(clock.clone());
    let staff = BasicAuth::new("staff", verifier).unwrap();
    let [old, new] = [PASSWORD, UNICODE_PASSWORD].map(|sent| basic_header("alice", sent));
    on_tokio(async { assert!(staff.verify("alice", PASSWORD, &head()).await.is_ok()) });
    assert!(authenticate(&staff, &old).is_ok(), "it is cached, and the file was just checked");

    fs::write(&path, format!("alice:{}", cheap_hash(UNICODE_PASSWORD))).unwrap();
    clock.advance(Duration::from_secs(1));
    for credentials in [&old, &new, &old] {
        let rejection = authenticate(&staff, credentials).unwrap_err();
        assert_eq!(rejection.kind(), RejectionKind::Unavailable);
        assert!(rejection.retry_after().is_some());
    }
    // The check is still due for the next caller in a runtime.
    on_tokio(async {
        assert!(staff.verify("alice", UNICODE_PASSWORD, &head()).await.is_ok());
        assert!(staff.verify("alice", PASSWORD, &head()).await.is_err());
    });
}

fn head() -> http::request::Parts {
    Request::new(()).into_parts().0
}

#[test]
fn tenant_that_must_be_resolved_returns_503() {
    let mint = TokenMint::new("https://issuer.example");
    let token = format!("Bearer {}", mint.token("alice").audience("api").sign());
    let clock = TestClock::new();
    let resolver = move |_: String| ready(mint.validator("api").build().map(Some));
    let tenants = Tenants::new(Challenge::new(Scheme::BEARER), resolver).unwrap();
    let tenants = tenants.clock(clock.clone());
    let kind = |result: Result<_, Rejection>| result.map(drop).map_err(|error| error.kind());
    assert_eq!(kind(authenticate(&tenants, &token)), Err(RejectionKind::Unavailable));
    clock.advance(Duration::from_secs(1));
    on_tokio(async { assert!(tenants_verify(&tenants, &token).await) });
    assert_eq!(kind(authenticate(&tenants, &token)), Ok(()), "it is cached");
    // During an outage, the verifier stays in use for an hour.
    clock.advance(Duration::from_secs(600));
    assert_eq!(kind(authenticate(&tenants, &token)), Ok(()));
}

async fn tenants_verify(tenants: &Tenants, header: &str) -> bool {
    let request = Request::builder().header("authorization", header).body(()).unwrap();
    tenants.authenticate(&request.into_parts().0).unwrap().await.into_result().is_ok()
}

/// The task that fetches keys is running, but in a runtime that is not that of the request.
#[test]
fn unknown_key_outside_the_runtime_of_the_fetch_is_misconfigured() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("jwks.json");
    let mint = TokenMint::new("https://issuer.example");
    fs::write(&path, mint.jwks()).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let entered = runtime.enter();
    let tokens = JwtAuth::builder(Jwks::file(&path)).issuer(mint.issuer()).audience("api");
    let tokens = tokens.build().unwrap();
    drop(entered);
    let valid = mint.token("alice").audience("api").sign();
    assert!(runtime.block_on(tokens.verify(&valid)).is_ok());
    let kind = |token: &str| {
        let result = authenticate(&tokens, &format!("Bearer {token}"));
        result.map(drop).map_err(|rejection| rejection.kind())
    };
    assert_eq!(kind(&valid), Ok(()), "known keys need no runtime");
    let unknown = mint.token("alice").audience("api").header("kid", "unknown").sign();
    assert_eq!(kind(&unknown), Err(RejectionKind::Misconfigured));
}
