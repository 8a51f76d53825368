//! Tokens that are sent with the scheme of a binding, and tokens of several bindings.

use std::time::Duration;

use axum::{Router, routing::get};
use http::{HeaderName, HeaderValue, Request, StatusCode, header::AUTHORIZATION, request::Parts};
use serde_json::json;
use tower_auth::{
    AuthenticateLayer, Authenticator, AuthorizeLayer, Challenge, JwtAuth, Principal, Rejection,
    RejectionKind, RequireScopes, Scheme,
    authenticate::Outcome,
    bearer::{BearerAuth, TokenVerifier, Verification},
    binding::{Binding, Cnf, Confirmation, Evidence},
    credentials::TokenLocation,
    jwt::{Issuers, TokenCache},
};
use tower_auth_test_support::api::{Api, Reply};

use crate::binding::{Fixture, HeaderBinding};

/// A binding for a scheme of its own, which confirms tokens with `jkt`.
struct ProofBinding;

impl Binding for ProofBinding {
    fn evidence(&self, head: &Parts) -> Option<Evidence> {
        let proof = head.headers.get("dpop")?.to_str().ok()?;
        Some(Evidence::of_request(head).with_proof(proof))
    }

    fn confirm(&self, _: &Cnf, evidence: Option<Evidence>, _: &str) -> Confirmation {
        let is_proven = evidence.as_ref().is_some_and(|evidence| {
            evidence.proof() == Some("proof") && evidence.scheme() == Some(Scheme::DPOP)
        });
        let result = match is_proven {
            true => Ok(()),
            false => Err(Rejection::new(RejectionKind::InvalidCredentials)),
        };
        let nonce = HeaderValue::from_static("next");
        Confirmation::ready(
            Outcome::from(result).with_header(HeaderName::from_static("dpop-nonce"), nonce),
        )
    }

    fn members(&self) -> &[&str] {
        &["jkt"]
    }

    fn challenge(&self) -> Option<Challenge> {
        Challenge::new(Scheme::DPOP).with_param("algs", "ES256").ok()
    }
}

fn head(authorization: &str, proof: Option<&str>) -> Parts {
    let mut request = Request::get("/a").header(AUTHORIZATION, authorization);
    if let Some(proof) = proof {
        request = request.header("dpop", proof);
    }
    request.body(()).unwrap().into_parts().0
}

/// Returns the caller or the challenges of the rejection, and the nonce of the response.
async fn authenticate(
    tokens: &impl Authenticator,
    authorization: &str,
    proof: Option<&str>,
) -> (Result<Principal, Vec<HeaderValue>>, Option<HeaderValue>) {
    let outcome = tokens.authenticate(&head(authorization, proof)).unwrap().await;
    let nonce = outcome.headers().map(|(_, value)| value.clone()).next();
    let challenges = |rejection: Rejection| {
        assert_eq!(rejection.kind(), RejectionKind::InvalidCredentials);
        rejection.challenges().map(Challenge::to_header_value).collect()
    };
    (outcome.into_result().map_err(challenges), nonce)
}

const BEARER: &str = r#"Bearer realm="orders", error="invalid_token""#;
const DPOP: &str = r#"DPoP realm="orders", algs="ES256", error="invalid_token""#;

#[tokio::test]
async fn bound_token_needs_the_scheme_of_its_binding() {
    let fixture = Fixture::new();
    let tokens = fixture.builder().realm("orders").binding(ProofBinding).build().unwrap();
    let (bound, plain) = (fixture.bound_token(), fixture.token().sign());
    for scheme in ["DPoP", "dpop"] {
        let (caller, nonce) =
            authenticate(&tokens, &format!("{scheme} {bound}"), Some("proof")).await;
        let caller = caller.unwrap();
        assert_eq!((caller.scheme(), nonce.unwrap().as_bytes()), (Scheme::DPOP, &b"next"[..]));
        let challenge = caller.challenge().unwrap().to_header_value();
        assert_eq!(challenge, r#"DPoP realm="orders", algs="ES256""#);
    }
    let rejected = [
        (format!("DPoP {bound}"), None, DPOP),
        (format!("DPoP {bound}"), Some("other"), DPOP),
        (format!("DPoP {plain}"), Some("proof"), DPOP),
        (format!("DPoP {bound}x"), Some("proof"), DPOP),
        (format!("Bearer {bound}"), Some("proof"), BEARER),
        (format!("Bearer {bound}"), None, BEARER),
    ];
    for (authorization, proof, challenge) in rejected {
        let (result, _) = authenticate(&tokens, &authorization, proof).await;
        assert_eq!(result.unwrap_err(), [challenge], "{authorization} {proof:?}");
    }
    let (caller, nonce) = authenticate(&tokens, &format!("Bearer {plain}"), None).await;
    assert_eq!((caller.unwrap().scheme(), nonce), (Scheme::BEARER, None));

    // Without the binding, the scheme is not known.
    let tokens = fixture.builder().build().unwrap();
    assert!(tokens.authenticate(&head(&format!("DPoP {bound}"), Some("proof"))).is_none());
}

/// The verifier inside has a scheme and a challenge of its own.
#[tokio::test]
async fn caller_of_a_nested_verifier_has_the_scheme_of_the_binding() {
    let fixture = Fixture::new();
    let issuers = Issuers::new([fixture.builder().realm("inner").build().unwrap()]).unwrap();
    let tokens = BearerAuth::new(issuers).binding(ProofBinding);
    let bound = format!("DPoP {}", fixture.bound_token());
    let caller = authenticate(&tokens, &bound, Some("proof")).await.0.unwrap();
    assert_eq!(caller.scheme(), Scheme::DPOP);
    let challenge = caller.challenge().unwrap().to_header_value();
    assert!(challenge.to_str().unwrap().starts_with("DPoP "), "{challenge:?}");
    let plain = format!("Bearer {}", fixture.token().sign());
    let caller = authenticate(&tokens, &plain, None).await.0.unwrap();
    let challenge = caller.challenge().unwrap().to_header_value();
    assert_eq!(caller.scheme(), Scheme::BEARER);
    assert_eq!(challenge, r#"Bearer realm="inner""#);
}

#[tokio::test]
async fn schemes_of_bindings_are_offered_together_with_bearer() {
    let fixture = Fixture::new();
    let offered = |tokens: &JwtAuth| {
        let head = head("Other x", None);
        let challenges = tokens.challenges(&head);
        challenges.iter().map(|challenge| challenge.scheme().as_str()).collect::<Vec<_>>()
    };
    let builder = || fixture.builder().binding(ProofBinding);
    assert_eq!(offered(&builder().build().unwrap()), ["Bearer", "DPoP"]);
    let required = builder().require_binding().build().unwrap();
    assert_eq!(offered(&required), ["DPoP"]);
    let (result, _) =
        authenticate(&required, &format!("Bearer {}", fixture.token().sign()), None).await;
    assert_eq!(result.unwrap_err(), [r#"DPoP algs="ES256", error="invalid_token""#]);
    // Tokens of the second binding are sent as Bearer.
    let both = builder().binding(CertificateOnly).require_binding().build().unwrap();
    assert_eq!(offered(&both), ["Bearer", "DPoP"]);
    // The order of the calls does not matter.
    let later = BearerAuth::new(fixture.builder().build().unwrap()).require_binding();
    let later = later.binding(ProofBinding);
    let challenge = Challenge::new(Scheme::BEARER).with_param("realm", "orders").unwrap();
    let later = later.challenge(challenge).unwrap();
    let challenges = later.challenges(&head("Other x", None));
    let challenges: Vec<_> = challenges.iter().map(Challenge::to_header_value).collect();
    assert_eq!(challenges, [r#"DPoP realm="orders", algs="ES256""#]);
}

/// Confirms `x5t#S256` if a header says so.
struct CertificateOnly;

impl Binding for CertificateOnly {
    fn evidence(&self, head: &Parts) -> Option<Evidence> {
        let certificate = head.headers.get("certificate")?;
        Some(Evidence::of_request(head).with_certificate(certificate.as_bytes()))
    }

    fn confirm(&self, _: &Cnf, evidence: Option<Evidence>, _: &str) -> Confirmation {
        let is_known = evidence.is_some_and(|evidence| evidence.certificate() == Some(b"known"));
        Confirmation::pending(async move {
            is_known.then_some(()).ok_or_else(|| Rejection::new(RejectionKind::InvalidCredentials))
        })
    }

    fn members(&self) -> &[&str] {
        &["x5t#S256"]
    }
}

/// Verifies tokens when the request is not available any more.
struct PendingVerifier(JwtAuth);

impl TokenVerifier for PendingVerifier {
    fn verify(&self, token: &str) -> Verification {
        self.0.verify(token)
    }

    fn verify_unconfirmed(&self, token: &str) -> Verification {
        Verification::pending(self.0.verify_unconfirmed(token))
    }
}

#[tokio::test]
async fn all_bindings_whose_members_a_token_has_must_confirm_it() {
    let fixture = Fixture::new();
    let tokens = fixture.builder().binding(ProofBinding).binding(CertificateOnly).build().unwrap();
    let later = BearerAuth::new(PendingVerifier(fixture.builder().build().unwrap()));
    let later = later.binding(ProofBinding).binding(CertificateOnly);
    let authenticators: [&dyn Authenticator; 2] = [&tokens, &later];
    let cases = [
        (json!({ "jkt": "k" }), [true, false, false, true]),
        (json!({ "x5t#S256": "c" }), [false, false, false, false]),
        (json!({ "jkt": "k", "x5t#S256": "c" }), [false, false, false, true]),
        (json!({ "jkt": "k", "kid": "1" }), [true, false, false, true]),
        (json!({ "kid": "1" }), [false; 4]),
        (json!({}), [false; 4]),
    ];
    for ((cnf, expected), tokens) in
        cases.iter().flat_map(|case| authenticators.map(|tokens| (case, tokens)))
    {
        let token = fixture.token().claim("cnf", cnf).sign();
        let mut admitted = [false; 4];
        let requests = [(true, false), (false, true), (false, false), (true, true)];
        for (admitted, (has_proof, has_certificate)) in admitted.iter_mut().zip(requests) {
            let mut head = head(&format!("DPoP {token}"), has_proof.then_some("proof"));
            if has_certificate {
                head.headers.insert("certificate", HeaderValue::from_static("known"));
            }
            let outcome = tokens.authenticate(&head).unwrap().await;
            // The headers of a binding are sent even if another one rejects the token.
            let has_nonce = outcome.headers().next().is_some();
            assert_eq!(has_nonce, cnf.get("jkt").is_some(), "{cnf}");
            *admitted = outcome.into_result().is_ok();
        }
        assert_eq!(admitted, *expected, "{cnf}");
    }
    // As Bearer, the certificate is enough for a token that is bound to nothing else.
    for (cnf, expected) in
        [(json!({ "x5t#S256": "c" }), true), (json!({ "jkt": "k", "x5t#S256": "c" }), false)]
    {
        let token = fixture.token().claim("cnf", &cnf).sign();
        let mut head = head(&format!("Bearer {token}"), Some("proof"));
        head.headers.insert("certificate", HeaderValue::from_static("known"));
        let outcome = tokens.authenticate(&head).unwrap().await;
        assert_eq!(outcome.into_result().is_ok(), expected, "{cnf}");
    }
}

#[tokio::test]
async fn token_from_a_cookie_or_a_header_has_no_scheme() {
    let fixture = Fixture::new();
    let tokens = fixture.builder().binding(ProofBinding);
    let tokens = tokens
        .token_from(TokenLocation::authorization())
        .token_from(TokenLocation::header("x-token"))
        .build()
        .unwrap();
    let mut head = head("DPoP", Some("proof"));
    head.headers.remove(AUTHORIZATION);
    head.headers.insert("x-token", fixture.bound_token().parse().unwrap());
    // This binding insists on the scheme.
    let outcome = tokens.authenticate(&head).unwrap().await;
    assert!(outcome.into_result().is_err());
    head.headers.insert("x-token", fixture.token().sign().parse().unwrap());
    assert!(tokens.authenticate(&head).unwrap().await.into_result().is_ok());
    // Two tokens are one too many, whatever their schemes.
    let dpop = format!("DPoP {}", fixture.bound_token());
    head.headers.insert(AUTHORIZATION, dpop.parse().unwrap());
    let outcome = tokens.authenticate(&head).unwrap().await;
    assert_eq!(outcome.into_result().unwrap_err().kind(), RejectionKind::MalformedRequest);
}

#[test]
fn required_binding_without_a_binding_is_a_config_error() {
    let error = Fixture::new().builder().require_binding().build().unwrap_err();
    assert!(error.to_string().contains("call binding"), "{error}");
}

#[test]
fn setting_that_rejects_every_token_is_a_config_error() {
    let fixture = Fixture::new();
    let cookie = || TokenLocation::cookie("__Host-token");
    for (builder, hint) in [
        (fixture.builder().binding(ProofBinding).binding(ProofBinding), "two bindings have"),
        (fixture.builder().token_from(cookie()).token_from(cookie().fallback()), "one call of"),
        (
            fixture
                .builder()
                .token_from(TokenLocation::authorization())
                .token_from(TokenLocation::header("x-token"))
                .token_from(TokenLocation::authorization()),
            "a token location is set twice",
        ),
        (fixture.builder().cache(TokenCache::new(0)), "no space for a token"),
        (fixture.builder().cache(TokenCache::new(1 << 20).ttl(Duration::ZERO)), "ttl of zero"),
    ] {
        let error = builder.build().unwrap_err().to_string();
        assert!(error.contains(hint), "{hint}: {error}");
    }
    let places = [
        cookie(),
        TokenLocation::cookie("__Host-other"),
        TokenLocation::header("x-a"),
        TokenLocation::header("x-b"),
        TokenLocation::header_with_prefix("x-a", "Token "),
    ];
    let builder = places.into_iter().fold(fixture.builder(), |it, place| it.token_from(place));
    builder.binding(ProofBinding).binding(CertificateOnly).build().unwrap();
}

#[tokio::test]
async fn bearer_auth_whose_bindings_reject_every_token_is_misconfigured() {
    let fixture = Fixture::new();
    let tokens = || BearerAuth::new(fixture.builder().build().unwrap());
    let bound = format!("DPoP {}", fixture.bound_token());
    let plain = format!("Bearer {}", fixture.token().sign());
    for (tokens, authorization, hint) in [
        (tokens().require_binding(), &plain, "call binding as well"),
        (tokens().binding(ProofBinding).binding(ProofBinding), &bound, "remove one call"),
    ] {
        let head = head(authorization, Some("proof"));
        let rejection = tokens.authenticate(&head).unwrap().await.into_result().unwrap_err();
        assert_eq!(rejection.kind(), RejectionKind::Misconfigured);
        let reason = std::error::Error::source(&rejection).unwrap().to_string();
        assert!(reason.contains(hint), "{reason}");
        // A client without a valid token learns nothing, and causes no 500.
        let invalid = self::head("Bearer a.b.c", None);
        let rejection = tokens.authenticate(&invalid).unwrap().await.into_result().unwrap_err();
        assert_eq!(rejection.kind(), RejectionKind::InvalidCredentials);
    }
    // The order of the calls does not matter.
    let tokens = tokens().require_binding().binding(ProofBinding);
    assert!(tokens.authenticate(&head(&bound, Some("proof"))).unwrap().await.into_result().is_ok());
}

#[tokio::test]
async fn bearer_auth_that_reads_a_location_twice_is_misconfigured() {
    let fixture = Fixture::new();
    let tokens = || BearerAuth::new(fixture.builder().build().unwrap());
    let plain = format!("Bearer {}", fixture.token().sign());
    let twice = tokens()
        .token_from(TokenLocation::header("x-token"))
        .token_from(TokenLocation::authorization())
        .token_from(TokenLocation::authorization());
    let rejection = twice.authenticate(&head(&plain, None)).unwrap().await.into_result();
    let rejection = rejection.unwrap_err();
    assert_eq!(rejection.kind(), RejectionKind::Misconfigured);
    let reason = std::error::Error::source(&rejection).unwrap().to_string();
    assert!(reason.contains("remove one call of token_from"), "{reason}");
    // Two tokens in two places are a fault of the client.
    let tokens = tokens()
        .token_from(TokenLocation::header("x-token"))
        .token_from(TokenLocation::authorization());
    let mut two = head(&plain, None);
    two.headers.insert("x-token", "a".parse().unwrap());
    let rejection = tokens.authenticate(&two).unwrap().await.into_result().unwrap_err();
    assert_eq!(rejection.kind(), RejectionKind::MalformedRequest);
}

#[tokio::test]
async fn required_binding_rejects_unbound_tokens_and_keeps_bound_ones() {
    let fixture = Fixture::new();
    let tokens = fixture.builder().binding(HeaderBinding::default()).require_binding();
    let tokens = tokens.build().unwrap();
    let bound = format!("Bearer {}", fixture.bound_token());
    assert!(authenticate(&tokens, &bound, Some("key-1")).await.0.is_ok());
    assert!(authenticate(&tokens, &bound, Some("key-2")).await.0.is_err());
    let plain = format!("Bearer {}", fixture.token().sign());
    let (result, _) = authenticate(&tokens, &plain, Some("key-1")).await;
    assert_eq!(result.unwrap_err(), [r#"Bearer error="invalid_token""#]);
    // Also if the tokens of several issuers are accepted.
    let issuers = Issuers::new([fixture.builder().build().unwrap()]).unwrap();
    let issuers = BearerAuth::new(issuers).binding(HeaderBinding::default()).require_binding();
    assert!(authenticate(&issuers, &bound, Some("key-1")).await.0.is_ok());
    assert!(authenticate(&issuers, &plain, Some("key-1")).await.0.is_err());
}

#[tokio::test]
async fn response_has_all_challenges_and_the_headers_of_the_binding() {
    let fixture = Fixture::new();
    let tokens = fixture.builder().realm("orders").binding(ProofBinding).build().unwrap();
    let policy = AuthorizeLayer::new(RequireScopes::all(["orders:write"]));
    let app = Router::new().route("/a", get(|| async { "ok" }));
    let app = app.layer(policy).layer(AuthenticateLayer::new(tokens));
    let api = Api::serve(app).await;
    let get = |authorization: String, proof: &'static str| {
        Reply::to(api.get("/a").header("authorization", authorization).header("dpop", proof))
    };
    let reply = api.get_anonymous("/a").await;
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    let plain = [r#"Bearer realm="orders""#, r#"DPoP realm="orders", algs="ES256""#];
    assert_eq!(reply.challenges(), plain);
    let bound = fixture.bound_token();
    let reply = get(format!("DPoP {bound}"), "other").await;
    assert_eq!(
        (reply.status, &reply.headers["dpop-nonce"]),
        (StatusCode::UNAUTHORIZED, &"next".parse().unwrap())
    );
    assert_eq!(reply.challenges(), [plain[0], DPOP]);
    let reply = get(format!("Bearer {bound}"), "proof").await;
    assert_eq!(reply.challenges(), [BEARER, plain[1]]);
    // The denial of a policy is for the scheme of the caller.
    let reply = get(format!("DPoP {bound}"), "proof").await;
    assert_eq!(
        (reply.status, &reply.headers["dpop-nonce"]),
        (StatusCode::FORBIDDEN, &"next".parse().unwrap())
    );
    let denied =
        r#"DPoP realm="orders", algs="ES256", error="insufficient_scope", scope="orders:write""#;
    assert_eq!(reply.challenges(), [denied]);
    // A malformed request.
    let reply = get("DPoP a b".to_owned(), "proof").await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    let malformed = [
        r#"Bearer realm="orders", error="invalid_request""#,
        r#"DPoP realm="orders", algs="ES256", error="invalid_request""#,
    ];
    assert_eq!(reply.challenges(), malformed);
}
