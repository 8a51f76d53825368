//! Tokens that are bound to a key (`cnf`, RFC 7800) are accepted only if a binding confirms them.

use std::{
    error::Error as _,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures_util::FutureExt;
use http::{Method, Request, header::AUTHORIZATION, request::Parts};
use serde_json::{Value, json};
use tower_auth::{
    Authenticator, Challenge, JwtAuth, Later, Principal, Rejection, RejectionKind, Scheme,
    bearer::{BearerAuth, TokenVerifier, Verification},
    binding::{Binding, Cnf, Confirmation, Evidence},
    jwt::{Algorithm, Issuers, JwtAuthBuilder, Tenants, TokenCache, TokenError},
    test_util::{TestToken, TokenMint},
};
use tower_auth_test_support::authenticate::authenticate_bearer;

const AUDIENCE: &str = "orders";
const INVALID_TOKEN: &str = r#"Bearer error="invalid_token""#;

/// A binding that compares the `jkt` of the token with the `DPoP` header. It is no real binding.
#[derive(Clone, Default)]
struct HeaderBinding {
    is_pending: bool,
    kind: Option<RejectionKind>,
    confirmations: Arc<AtomicUsize>,
}

impl Binding for HeaderBinding {
    fn evidence(&self, head: &Parts) -> Option<Evidence> {
        let proof = head.headers.get("dpop")?.to_str().ok()?;
        Some(Evidence::of_request(head).with_proof(proof))
    }

    fn confirm(&self, cnf: &Cnf, evidence: Option<Evidence>, token: &str) -> Confirmation {
        #[derive(serde::Deserialize)]
        struct Members<'a> {
            jkt: Option<&'a str>,
        }

        self.confirmations.fetch_add(1, Ordering::Relaxed);
        assert_eq!(token.split('.').count(), 3);
        let expected = cnf.members::<Members<'_>>().unwrap().jkt;
        let result = match (evidence, self.kind) {
            (_, Some(kind)) => Err(Rejection::new(kind)),
            (Some(evidence), None) if expected.is_some() && evidence.proof() == expected => {
                assert_eq!((evidence.method(), evidence.target().path()), (&Method::GET, "/a"));
                Ok(())
            }
            (_, None) => Err(Rejection::new(RejectionKind::InvalidCredentials)),
        };
        match self.is_pending {
            true => Confirmation::pending(async { result }),
            false => Confirmation::ready(result),
        }
    }
}

struct Fixture(TokenMint);

impl Fixture {
    fn new() -> Self {
        Self(TokenMint::new("https://issuer.example").algorithm(Algorithm::ES256))
    }

    fn builder(&self) -> JwtAuthBuilder {
        self.0.validator(AUDIENCE)
    }

    fn token(&self) -> TestToken {
        self.0.token("alice").audience(AUDIENCE)
    }

    fn bound_token(&self) -> String {
        self.token().claim("cnf", json!({ "jkt": "key-1" })).sign()
    }
}

fn head(token: &str, proof: Option<&str>) -> Parts {
    let mut request = Request::get("/a").header(AUTHORIZATION, format!("Bearer {token}"));
    if let Some(proof) = proof {
        request = request.header("dpop", proof);
    }
    request.body(()).unwrap().into_parts().0
}

async fn authenticate(
    authenticator: &impl Authenticator,
    token: &str,
    proof: Option<&str>,
) -> Result<Principal, Rejection> {
    authenticator.authenticate(&head(token, proof)).unwrap().await.into_result()
}

fn assert_unconfirmed(result: Result<Principal, Rejection>) {
    let rejection = result.unwrap_err();
    assert_eq!(rejection.kind(), RejectionKind::InvalidCredentials);
    let challenges: Vec<_> = rejection.challenges().map(Challenge::to_header_value).collect();
    assert_eq!(challenges, [INVALID_TOKEN]);
}

#[tokio::test]
async fn bound_token_without_binding_is_rejected_everywhere() {
    let fixture = Fixture::new();
    let token = fixture.bound_token();
    let tokens = fixture.builder().cache(TokenCache::new(1 << 20)).build().unwrap();
    for _ in 0..3 {
        assert_unconfirmed(authenticate(&tokens, &token, Some("key-1")).await);
        assert_unconfirmed(tokens.verify(&token).await);
        let verifier: &dyn TokenVerifier = &tokens;
        assert_unconfirmed(verifier.verify(&token).await);
    }
    let rejection = tokens.verify(&token).await.unwrap_err();
    let reason = rejection.source().unwrap().to_string();
    assert!(reason.contains("bound to a key (cnf)"), "{reason}");

    let issuers = Issuers::new([tokens.clone()]).unwrap();
    assert_unconfirmed(authenticate(&issuers, &token, Some("key-1")).await);
    assert_unconfirmed(issuers.verify(&token).await);
    assert_unconfirmed(authenticate(&BearerAuth::new(issuers), &token, None).await);

    let tenants = Tenants::new(Challenge::new(Scheme::BEARER), move |_| {
        std::future::ready(Ok::<_, String>(Some(tokens.clone())))
    });
    let tenants = tenants.unwrap();
    for _ in 0..2 {
        assert_unconfirmed(authenticate(&tenants, &token, Some("key-1")).await);
        assert_unconfirmed(tenants.verify(&token).await);
    }
}

#[tokio::test]
async fn binding_decides_about_every_request_with_a_bound_token() {
    for is_pending in [false, true] {
        let (fixture, binding) = (Fixture::new(), HeaderBinding::default());
        let binding = HeaderBinding { is_pending, ..binding };
        let tokens = fixture.builder().cache(TokenCache::new(1 << 20)).binding(binding.clone());
        let tokens = tokens.build().unwrap();
        let token = fixture.bound_token();
        for round in 0..3 {
            let caller = authenticate(&tokens, &token, Some("key-1")).await.unwrap();
            let cnf: Value = caller.confirmation().unwrap().members().unwrap();
            assert_eq!(cnf, json!({ "jkt": "key-1" }));
            assert_eq!(caller.challenge().unwrap().to_header_value(), "Bearer");
            assert_unconfirmed(authenticate(&tokens, &token, Some("key-2")).await);
            assert_unconfirmed(authenticate(&tokens, &token, None).await);
            // There is no request, so the binding is not asked.
            assert_unconfirmed(tokens.verify(&token).await);
            assert_eq!(binding.confirmations.load(Ordering::Relaxed), 3 * (round + 1));
        }
        // A token that is not bound needs no proof. An invalid one is not confirmed.
        let caller = authenticate(&tokens, &fixture.token().sign(), None).await.unwrap();
        assert!(caller.confirmation().is_none());
        let expired = fixture.token().claim("cnf", json!({ "jkt": "key-1" })).expired().sign();
        assert_unconfirmed(authenticate(&tokens, &expired, Some("key-1")).await);
        assert_eq!(binding.confirmations.load(Ordering::Relaxed), 9);
    }
}

#[tokio::test]
async fn binding_around_issuers_and_tenants_confirms_their_tokens() {
    let fixture = Fixture::new();
    let token = fixture.bound_token();
    let tokens = fixture.builder().realm("staff").build().unwrap();

    let issuers = Issuers::new([tokens.clone()]).unwrap();
    let bound = BearerAuth::new(issuers).binding(HeaderBinding::default());
    for _ in 0..2 {
        let caller = authenticate(&bound, &token, Some("key-1")).await.unwrap();
        assert_eq!(caller.challenge().unwrap().to_header_value(), r#"Bearer realm="staff""#);
    }
    assert!(authenticate(&bound, &token, Some("key-2")).await.is_err());
    assert!(bound.verify(&token).await.is_err());

    let tenants = Tenants::new(Challenge::new(Scheme::BEARER), move |_| {
        std::future::ready(Ok::<_, String>(Some(tokens.clone())))
    });
    let bound = BearerAuth::new(tenants.unwrap()).binding(HeaderBinding::default());
    for _ in 0..2 {
        assert!(authenticate(&bound, &token, Some("key-1")).await.is_ok());
        assert!(authenticate(&bound, &token, None).await.is_err());
    }
}

/// A verifier of opaque tokens that are bound to a key, now or later.
struct OpaqueBound {
    is_pending: bool,
}

impl TokenVerifier for OpaqueBound {
    fn verify(&self, _: &str) -> Verification {
        let cnf = Cnf::new(&json!({ "jkt": "key-1" })).unwrap();
        let caller = Principal::builder("alice", Scheme::BEARER).confirmation(cnf).build();
        if self.is_pending {
            Later::pending(async { Ok(caller) })
        } else {
            Later::ready(Ok(caller))
        }
    }
}

#[tokio::test]
async fn bound_token_of_custom_verifier_needs_a_binding() {
    for is_pending in [false, true] {
        let token = "a.b.c";
        assert_unconfirmed(
            authenticate(&BearerAuth::new(OpaqueBound { is_pending }), token, Some("key-1")).await,
        );
        assert_unconfirmed(BearerAuth::new(OpaqueBound { is_pending }).verify(token).await);
        let issuers = Issuers::new([Fixture::new().builder().build().unwrap()]).unwrap();
        let issuers = issuers.otherwise(OpaqueBound { is_pending });
        assert_unconfirmed(authenticate(&issuers, token, Some("key-1")).await);

        let binding = HeaderBinding { is_pending: true, ..HeaderBinding::default() };
        let bound = BearerAuth::new(OpaqueBound { is_pending }).binding(binding.clone());
        assert!(authenticate(&bound, token, Some("key-1")).await.is_ok());
        assert_unconfirmed(authenticate(&bound, token, Some("key-2")).await);
        let bound = BearerAuth::new(issuers).binding(binding);
        assert!(authenticate(&bound, token, Some("key-1")).await.is_ok());
    }
}

#[tokio::test]
async fn rejection_of_a_binding_keeps_its_kind_and_challenge() {
    let fixture = Fixture::new();
    for (kind, challenges) in [
        (RejectionKind::InvalidCredentials, vec![INVALID_TOKEN]),
        (RejectionKind::Unavailable, vec![]),
    ] {
        let binding = HeaderBinding { kind: Some(kind), ..HeaderBinding::default() };
        let tokens = fixture.builder().binding(binding).build().unwrap();
        let result = authenticate(&tokens, &fixture.bound_token(), Some("key-1")).await;
        let rejection = result.unwrap_err();
        assert_eq!(rejection.kind(), kind);
        let sent: Vec<_> = rejection.challenges().map(Challenge::to_header_value).collect();
        assert_eq!(sent, challenges);
    }
}

#[test]
fn ignored_confirmation_accepts_bound_token() {
    let fixture = Fixture::new();
    let tokens = fixture.builder().dangerous_ignore_confirmation().build().unwrap();
    let caller = authenticate_bearer(&tokens, &fixture.bound_token()).unwrap();
    assert!(caller.confirmation().is_none());
    assert_eq!(caller.claims::<Value>().unwrap()["cnf"]["jkt"], "key-1");
    assert!(tokens.verify(&fixture.bound_token()).now_or_never().unwrap().is_ok());

    let both = fixture.builder().dangerous_ignore_confirmation().binding(HeaderBinding::default());
    assert!(both.build().unwrap_err().to_string().contains("dangerous_ignore_confirmation"));
}

#[test]
fn confirmation_that_is_not_an_object_is_malformed() {
    let fixture = Fixture::new();
    let tokens = fixture.builder().build().unwrap();
    for cnf in [json!(null), json!("key-1"), json!(1), json!(true), json!([{ "jkt": "key-1" }])] {
        let token = fixture.token().claim("cnf", cnf).sign();
        assert_eq!(authenticate_bearer(&tokens, &token).unwrap_err(), TokenError::MalformedClaims);
    }
    let empty: JwtAuth = fixture.builder().binding(HeaderBinding::default()).build().unwrap();
    let token = fixture.token().claim("cnf", json!({})).sign();
    let result = empty.authenticate(&head(&token, Some(""))).unwrap().now_or_never().unwrap();
    assert_unconfirmed(result.into_result());
}
