//! Tokens that are bound to a key (`cnf`, RFC 7800) are accepted only if a binding confirms them.

use std::{
    error::Error as _,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{Router, routing::get};
use futures_util::FutureExt;
use http::{Method, Request, StatusCode, header::AUTHORIZATION, request::Parts};
use serde_json::{Value, json};
use tower_auth::{
    AuthenticateLayer, Authenticator, Challenge, JwtAuth, Later, Principal, Rejection,
    RejectionKind, Scheme,
    bearer::{BearerAuth, TokenVerifier, Verification},
    binding::{Binding, Cnf, Confirmation, Evidence},
    jwt::{Algorithm, Issuers, JwtAuthBuilder, Tenants, TokenCache, TokenError},
    test_util::{TestToken, TokenMint},
};
use tower_auth_test_support::{
    api::{Api, Reply, greet},
    authenticate::authenticate_bearer,
};

pub(crate) const AUDIENCE: &str = "orders";
const INVALID_TOKEN: &str = r#"Bearer error="invalid_token""#;

/// A binding that compares the `jkt` of the token with the `DPoP` header. It is no real binding.
#[derive(Clone, Default)]
pub(crate) struct HeaderBinding {
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

pub(crate) struct Fixture(pub(crate) TokenMint);

impl Fixture {
    pub(crate) fn new() -> Self {
        Self(TokenMint::new("https://issuer.example").algorithm(Algorithm::ES256))
    }

    pub(crate) fn builder(&self) -> JwtAuthBuilder {
        self.0.validator(AUDIENCE)
    }

    pub(crate) fn token(&self) -> TestToken {
        self.0.token("alice").audience(AUDIENCE)
    }

    pub(crate) fn bound_token(&self) -> String {
        self.bound_token_of("alice")
    }

    fn bound_token_of(&self, subject: &str) -> String {
        let token = self.0.token(subject).audience(AUDIENCE);
        token.claim("cnf", json!({ "jkt": "key-1" })).sign()
    }
}

fn head(token: &str, proof: Option<&str>) -> Parts {
    let mut request = Request::get("/a").header(AUTHORIZATION, format!("Bearer {token}"));
    if let Some(proof) = proof {
        request = request.header("dpop", proof);
    }
    request.body(()).unwrap().into_parts().0
}

pub(crate) async fn authenticate(
    authenticator: &impl Authenticator,
    token: &str,
    proof: Option<&str>,
) -> Result<Principal, Rejection> {
    authenticator.authenticate(&head(token, proof)).unwrap().await.into_result()
}

pub(crate) fn assert_unconfirmed(result: Result<Principal, Rejection>) {
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
        let malformed =
            TokenError::MalformedClaim { path: "cnf".into(), expected: "a JSON object" };
        assert_eq!(authenticate_bearer(&tokens, &token).unwrap_err(), malformed);
    }
    let empty: JwtAuth = fixture.builder().binding(HeaderBinding::default()).build().unwrap();
    let token = fixture.token().claim("cnf", json!({})).sign();
    let result = empty.authenticate(&head(&token, Some(""))).unwrap().now_or_never().unwrap();
    assert_unconfirmed(result.into_result());
}

pub(crate) fn tenants(verifier: impl TokenVerifier + 'static) -> Tenants {
    let verifier: Arc<dyn TokenVerifier> = Arc::new(verifier);
    Tenants::new(Challenge::new(Scheme::BEARER), move |_| {
        std::future::ready(Ok::<_, String>(Some(Arc::clone(&verifier))))
    })
    .unwrap()
}

#[tokio::test]
async fn only_unconfirmed_verification_accepts_a_bound_token() {
    let fixture = Fixture::new();
    let tokens = fixture.builder().binding(HeaderBinding::default()).build().unwrap();
    let nested = fixture.builder().build().unwrap();
    let verifiers: [Box<dyn TokenVerifier>; 5] = [
        Box::new(Issuers::new([nested.clone()]).unwrap()),
        Box::new(tenants(nested.clone())),
        Box::new(Arc::new(nested.clone())),
        Box::new(BearerAuth::new(nested)),
        Box::new(tokens),
    ];
    let plain = fixture.token().sign();
    let expired = fixture.token().claim("cnf", json!({ "jkt": "key-1" })).expired().sign();
    for verifier in verifiers {
        let rejection = verifier.verify(&fixture.bound_token()).await.unwrap_err();
        let reason = rejection.source().and_then(|reason| reason.downcast_ref());
        assert_eq!(reason, Some(&TokenError::Unconfirmed));
        let caller = verifier.verify_unconfirmed(&fixture.bound_token()).await.unwrap();
        assert!(caller.confirmation().is_some());
        assert!(verifier.verify(&plain).await.unwrap().confirmation().is_none());
        assert!(verifier.verify_unconfirmed(&plain).await.unwrap().confirmation().is_none());
        assert_unconfirmed(verifier.verify_unconfirmed(&expired).await);
    }
}

#[tokio::test]
async fn rejected_bound_token_gets_the_challenge_of_its_issuer() {
    let other = TokenMint::new("https://other.example").algorithm(Algorithm::ES256);
    let fixture = Fixture::new();
    let issuers = Issuers::new([
        other.validator(AUDIENCE).realm("other").build().unwrap(),
        fixture.builder().realm("staff").build().unwrap(),
    ]);
    let issuers = BearerAuth::new(issuers.unwrap());
    let token = fixture.bound_token();
    for result in
        [authenticate(&issuers, &token, Some("key-1")).await, issuers.verify(&token).await]
    {
        let rejection = result.unwrap_err();
        let sent: Vec<_> = rejection.challenges().map(Challenge::to_header_value).collect();
        assert_eq!(sent, [r#"Bearer realm="staff", error="invalid_token""#]);
    }
}

#[tokio::test]
async fn bound_token_of_another_issuer_is_rejected() {
    /// Accepts every token for another issuer than its own.
    struct OfOtherIssuer([Arc<str>; 1]);

    impl TokenVerifier for OfOtherIssuer {
        fn verify(&self, _: &str) -> Verification {
            let cnf = Cnf::new(&json!({ "jkt": "key-1" })).unwrap();
            let caller = Principal::builder("root", Scheme::BEARER).issuer("https://other.example");
            Verification::ready(Ok(caller.confirmation(cnf).build()))
        }

        fn issuers(&self) -> &[Arc<str>] {
            &self.0
        }
    }
    let fixture = Fixture::new();
    let verifier = || OfOtherIssuer([fixture.0.issuer().into()]);
    let binding = HeaderBinding::default();
    let issuers = BearerAuth::new(Issuers::new([verifier()]).unwrap()).binding(binding.clone());
    let tenants = BearerAuth::new(tenants(verifier())).binding(binding.clone());
    let token = fixture.bound_token();
    assert_unconfirmed(authenticate(&issuers, &token, Some("key-1")).await);
    assert_unconfirmed(authenticate(&tenants, &token, Some("key-1")).await);
    assert_eq!(binding.confirmations.load(Ordering::Relaxed), 0);
}

/// A verifier around another one, which rejects `mallory`.
#[derive(Clone)]
struct NotRevoked(JwtAuth);

impl NotRevoked {
    fn check(result: Result<Principal, Rejection>) -> Result<Principal, Rejection> {
        let caller = result?;
        match caller.subject() {
            "mallory" => Err(Rejection::new(RejectionKind::InvalidCredentials).because("revoked")),
            _ => Ok(caller),
        }
    }
}

impl TokenVerifier for NotRevoked {
    fn verify(&self, token: &str) -> Verification {
        self.0.verify(token).map(Self::check)
    }

    fn verify_unconfirmed(&self, token: &str) -> Verification {
        self.0.verify_unconfirmed(token).map(Self::check)
    }

    fn issuers(&self) -> &[Arc<str>] {
        TokenVerifier::issuers(&self.0)
    }
}

/// Like [`NotRevoked`], but it does not implement `verify_unconfirmed`.
#[derive(Clone)]
struct OnlyVerify(NotRevoked);

impl TokenVerifier for OnlyVerify {
    fn verify(&self, token: &str) -> Verification {
        self.0.verify(token)
    }

    fn issuers(&self) -> &[Arc<str>] {
        self.0.issuers()
    }
}

async fn serve(authenticator: impl Authenticator + 'static) -> Api {
    let router = Router::new().route("/a", get(greet));
    Api::serve(router.layer(AuthenticateLayer::new(authenticator))).await
}

async fn status(api: &Api, token: &str, proof: &str) -> StatusCode {
    Reply::to(api.get("/a").bearer_auth(token).header("dpop", proof)).await.status
}

#[tokio::test]
async fn bound_token_does_not_skip_the_checks_of_a_verifier_around_another_one() {
    let fixture = Fixture::new();
    let inner = fixture.builder().cache(TokenCache::new(1 << 20)).build().unwrap();
    let both = NotRevoked(inner);
    let verifiers: [(Arc<dyn TokenVerifier>, StatusCode); 2] = [
        (Arc::new(OnlyVerify(both.clone())), StatusCode::UNAUTHORIZED),
        (Arc::new(both), StatusCode::OK),
    ];
    let plain = |subject: &str| fixture.0.token(subject).audience(AUDIENCE).sign();
    for (verifier, status_of_bound) in verifiers {
        let issuers = Issuers::new([Arc::clone(&verifier)]).unwrap();
        let tenants = tenants(Arc::clone(&verifier));
        let authenticators: [Arc<dyn Authenticator>; 3] = [
            Arc::new(BearerAuth::new(verifier).binding(HeaderBinding::default())),
            Arc::new(BearerAuth::new(issuers).binding(HeaderBinding::default())),
            Arc::new(BearerAuth::new(tenants).binding(HeaderBinding::default())),
        ];
        for authenticator in authenticators {
            let api = serve(authenticator).await;
            for _ in 0..2 {
                let (alice, mallory) = (plain("alice"), plain("mallory"));
                assert_eq!(status(&api, &alice, "").await, StatusCode::OK);
                assert_eq!(status(&api, &mallory, "").await, StatusCode::UNAUTHORIZED);
                let alice = fixture.bound_token_of("alice");
                assert_eq!(status(&api, &alice, "key-1").await, status_of_bound);
                assert_eq!(status(&api, &alice, "key-2").await, StatusCode::UNAUTHORIZED);
                let mallory = fixture.bound_token_of("mallory");
                assert_eq!(status(&api, &mallory, "key-1").await, StatusCode::UNAUTHORIZED);
            }
        }
    }
}

#[tokio::test]
async fn cached_rejection_of_a_bound_token_admits_no_token() {
    /// Returns the first rejection again for every other token.
    struct FirstRejection(JwtAuth, Mutex<Option<Rejection>>);

    impl TokenVerifier for FirstRejection {
        fn verify(&self, token: &str) -> Verification {
            let mut first = self.1.lock().unwrap();
            if let Some(rejection) = &*first {
                return Verification::ready(Err(rejection.clone()));
            }
            let result = self.0.verify(token).now_or_never().unwrap();
            *first = result.as_ref().err().cloned();
            Verification::ready(result)
        }
    }
    let fixture = Fixture::new();
    let verifier = FirstRejection(fixture.builder().build().unwrap(), Mutex::default());
    let api = serve(BearerAuth::new(verifier).binding(HeaderBinding::default())).await;
    for token in [&fixture.bound_token(), &fixture.bound_token(), "a.b.c"] {
        assert_eq!(status(&api, token, "key-1").await, StatusCode::UNAUTHORIZED);
    }
}
