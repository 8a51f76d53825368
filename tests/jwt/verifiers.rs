//! Token verifiers: `JwtAuth` without a request, custom verifiers, and verifiers behind pointers.

use std::sync::Arc;

use futures_util::FutureExt;
use http::{HeaderValue, Request, request::Parts};
use proptest::prelude::*;
use tower_auth::{
    Authenticator, BasicAuth, Challenge, JwtAuth, Later, Principal, Rejection, RejectionKind,
    Scheme, any_of,
    basic::Users,
    bearer::{BearerAuth, TokenVerifier, Verification},
    credentials::TokenLocation,
    jwt::{Algorithm, Issuers, TokenCache},
    test_util::TokenMint,
};
use tower_auth_test_support::authenticate::authenticate;

const AUDIENCE: &str = "orders";

fn mint(issuer: &str) -> TokenMint {
    TokenMint::new(issuer).algorithm(Algorithm::HS256)
}

fn validator(mint: &TokenMint) -> JwtAuth {
    mint.validator(AUDIENCE).realm(mint.issuer()).build().unwrap()
}

fn token(mint: &TokenMint) -> String {
    mint.token("alice").audience(AUDIENCE).sign()
}

fn challenges(rejection: &Rejection) -> Vec<HeaderValue> {
    rejection.challenges().map(Challenge::to_header_value).collect()
}

/// Accepts the opaque token `valid`.
#[derive(Clone)]
struct Opaque;

impl TokenVerifier for Opaque {
    fn verify(&self, token: &str) -> Verification {
        Verification::ready(match token {
            "valid" => Ok(Principal::builder("opaque", Scheme::BEARER).build()),
            "down" => Err(Rejection::new(RejectionKind::Unavailable)),
            _ => Err(Rejection::new(RejectionKind::InvalidCredentials)),
        })
    }
}

#[test]
fn token_is_verified_without_a_request() {
    let mint = mint("https://issuer.example");
    let checked = mint.validator(AUDIENCE).realm("r").cache(TokenCache::new(1 << 20).cache_hmac());
    let tokens = checked.check(|caller| match caller.subject() {
        "alice" => Ok(()),
        _ => Err("not alice"),
    });
    let tokens = tokens.build().unwrap();
    let verify = |token: &str| tokens.verify(token).now_or_never().unwrap();
    for _ in 0..2 {
        let caller = verify(&token(&mint)).unwrap();
        assert_eq!(caller.subject(), "alice");
        assert_eq!(caller.challenge().unwrap().to_header_value(), r#"Bearer realm="r""#);
        let other = mint.token("bob").audience(AUDIENCE).sign();
        let invalid = r#"Bearer realm="r", error="invalid_token""#;
        assert_eq!(challenges(&verify(&other).unwrap_err()), [invalid]);
    }
    for (token, kind) in [
        (
            mint.token("alice").audience(AUDIENCE).expired().sign(),
            RejectionKind::InvalidCredentials,
        ),
        ("a.b.c".to_owned(), RejectionKind::InvalidCredentials),
        ("ü".to_owned(), RejectionKind::InvalidCredentials),
        (String::new(), RejectionKind::MalformedRequest),
        (format!("{} x", token(&mint)), RejectionKind::MalformedRequest),
        ("x".repeat(16 * 1024 + 1), RejectionKind::CredentialsTooLarge),
    ] {
        assert_eq!(verify(&token).unwrap_err().kind(), kind, "{token:.40}");
    }
}

#[test]
fn custom_verifier_gets_scheme_challenge_and_limit() {
    let challenge = Challenge::new(Scheme::BEARER).with_param("realm", "opaque").unwrap();
    let tokens = BearerAuth::new(Opaque).challenge(challenge.clone()).unwrap();
    let caller = authenticate(&tokens, "Bearer valid").unwrap().unwrap();
    assert_eq!(caller.challenge(), Some(&challenge));
    let result = |authorization: &str| authenticate(&tokens, authorization).unwrap().unwrap_err();
    let invalid = r#"Bearer realm="opaque", error="invalid_token""#;
    assert_eq!(challenges(&result("Bearer other")), [invalid]);
    assert_eq!(result("Bearer a b").kind(), RejectionKind::MalformedRequest);
    assert_eq!(result("Bearer down").kind(), RejectionKind::Unavailable);
    assert!(challenges(&result("Bearer down")).is_empty());
    assert!(authenticate(&tokens, "Basic valid").is_none());
    let longest = format!("Bearer {}", "x".repeat(64 * 1024));
    assert_eq!(result(&longest).kind(), RejectionKind::InvalidCredentials);
    assert_eq!(result(&format!("{longest}x")).kind(), RejectionKind::CredentialsTooLarge);

    let with_error = challenge.with_param("error", "invalid_token").unwrap();
    assert!(BearerAuth::new(Opaque).challenge(with_error).is_err());
}

#[test]
fn scheme_of_the_challenge_is_the_scheme_of_authorization() {
    let api_key = Scheme::new("ApiKey");
    let tokens = BearerAuth::new(Opaque).challenge(Challenge::new(api_key)).unwrap();
    assert!(authenticate(&tokens, "Bearer valid").is_none());
    assert_eq!(authenticate(&tokens, "apikey valid").unwrap().unwrap().scheme(), api_key);
}

#[test]
fn value_that_is_not_text_is_rejected_as_malformed_or_invalid() {
    let mint = mint("https://issuer.example");
    let authenticators: [Arc<dyn Authenticator>; 3] = [
        Arc::new(validator(&mint)),
        Arc::new(BearerAuth::new(Opaque)),
        Arc::new(Issuers::new([validator(&mint)]).unwrap().otherwise(Opaque)),
    ];
    for authenticator in authenticators {
        for (value, kind) in [
            (&b"Bearer \xff"[..], RejectionKind::InvalidCredentials),
            (b"Bearer \xff a", RejectionKind::InvalidCredentials),
            (b"Bearer a \xff", RejectionKind::MalformedRequest),
            (b"Bearer a,\xff", RejectionKind::MalformedRequest),
        ] {
            let request = Request::builder().header("authorization", value).body(()).unwrap();
            let result = authenticator.authenticate(&request.into_parts().0).unwrap();
            let rejection = result.now_or_never().unwrap().into_result().unwrap_err();
            assert_eq!(rejection.kind(), kind, "{value:?}");
            let is_invalid = kind == RejectionKind::InvalidCredentials;
            assert_eq!(challenges(&rejection).len(), usize::from(is_invalid));
        }
    }
}

#[test]
fn verifiers_and_authenticators_can_be_chosen_at_run_time() {
    let mint = mint("https://issuer.example");
    let verifiers: [Box<dyn TokenVerifier>; 3] = [
        Box::new(validator(&mint)),
        Box::new(Arc::new(validator(&mint))),
        Box::new(Issuers::new([validator(&mint)]).unwrap()),
    ];
    for verifier in verifiers {
        assert_eq!(verifier.issuers(), [Arc::<str>::from("https://issuer.example")]);
        assert!(verifier.is_ready());
        let tokens = BearerAuth::new(verifier);
        let valid = format!("Bearer {}", token(&mint));
        assert!(authenticate(&tokens, &valid).unwrap().is_ok());
        let rejection = authenticate(&tokens, "Bearer a.b.c").unwrap().unwrap_err();
        let expected = r#"Bearer realm="https://issuer.example", error="invalid_token""#;
        assert_eq!(challenges(&rejection), [expected]);
    }
    let schemes: [(Arc<dyn Authenticator>, _, _); 2] = [
        (Arc::new(Some(validator(&mint))), token(&mint), "alice"),
        (Arc::new(BearerAuth::new(Opaque)), "valid".to_owned(), "opaque"),
    ];
    for (scheme, valid, subject) in schemes {
        let caller = authenticate(&scheme, &format!("Bearer {valid}")).unwrap().unwrap();
        assert_eq!(caller.subject(), subject);
        let rejection = authenticate(&scheme, "Bearer a.b.c").unwrap().unwrap_err();
        assert_eq!(rejection.kind(), RejectionKind::InvalidCredentials);
        assert!(authenticate(&scheme, "Basic YTpi").is_none());
    }
    let none: Arc<dyn Authenticator> = Arc::new(None::<JwtAuth>);
    assert!(authenticate(&none, &format!("Bearer {}", token(&mint))).is_none());
}

/// A verifier that accepts every token, for an issuer that is not its own.
struct Dishonest {
    listed: [Arc<str>; 1],
    issuer: Option<&'static str>,
    is_pending: bool,
}

impl TokenVerifier for Dishonest {
    fn verify(&self, _: &str) -> Verification {
        let builder = Principal::builder("root", Scheme::BEARER);
        let caller = match self.issuer {
            Some(issuer) => builder.issuer(issuer).build(),
            None => builder.build(),
        };
        if self.is_pending {
            Later::pending(async { Ok(caller) })
        } else {
            Later::ready(Ok(caller))
        }
    }

    fn issuers(&self) -> &[Arc<str>] {
        &self.listed
    }
}

#[test]
fn verified_issuer_must_be_the_selected_issuer() {
    let a = mint("a");
    for (issuer, is_accepted) in [(Some("a"), true), (Some("b"), false), (None, false)] {
        for is_pending in [false, true] {
            let verifier = Dishonest { listed: ["a".into()], issuer, is_pending };
            let issuers = Issuers::new([verifier]).unwrap();
            let result = authenticate(&issuers, &format!("Bearer {}", token(&a))).unwrap();
            assert_eq!(result.is_ok(), is_accepted, "{issuer:?}");
            if let Err(rejection) = result {
                assert_eq!(rejection.kind(), RejectionKind::InvalidCredentials);
                assert_eq!(challenges(&rejection), [r#"Bearer error="invalid_token""#]);
            }
        }
    }
}

#[test]
fn only_tokens_that_are_not_jwts_reach_the_other_verifier() {
    let (a, b) = (mint("a"), mint("b"));
    /// Accepts everything.
    struct Anything;

    impl TokenVerifier for Anything {
        fn verify(&self, _: &str) -> Verification {
            Verification::ready(Ok(Principal::builder("anything", Scheme::BEARER).build()))
        }
    }
    let issuers = Issuers::new([validator(&a)]).unwrap().otherwise(Anything);
    let subject = |token: &str| {
        let result = authenticate(&issuers, &format!("Bearer {token}")).unwrap();
        result.map(|caller| caller.subject().to_owned())
    };
    assert_eq!(subject(&token(&a)).unwrap(), "alice");
    for opaque in ["x", "a.b", "a.b.c", "MTIz.MTIz.MTIz"] {
        assert_eq!(subject(opaque).unwrap(), "anything", "{opaque}");
    }
    let expired = a.token("alice").audience(AUDIENCE).expired().sign();
    let without_issuer = a.token("alice").audience(AUDIENCE).without("iss").sign();
    for jwt in [token(&b), expired, without_issuer, "e30.e30.x".into(), "e30.!.!.!.!".into()] {
        let kind = subject(&jwt).unwrap_err().kind();
        assert_eq!(kind, RejectionKind::InvalidCredentials, "{jwt}");
    }
}

#[test]
fn second_verifier_of_tokens_that_are_not_jwts_is_a_misconfiguration() {
    let a = mint("a");
    let issuers = Issuers::new([validator(&a)]).unwrap().otherwise(Opaque).otherwise(Opaque);
    assert!(authenticate(&issuers, &format!("Bearer {}", token(&a))).unwrap().is_ok());
    let rejection = authenticate(&issuers, "Bearer opaque").unwrap().unwrap_err();
    assert_eq!(rejection.kind(), RejectionKind::Misconfigured);
    let reason = std::error::Error::source(&rejection).unwrap().to_string();
    assert!(reason.contains("remove one call of otherwise"), "{reason}");
}

#[test]
fn nested_location_or_binding_is_a_config_error() {
    let a = mint("a");
    let located = || a.validator(AUDIENCE).token_from(TokenLocation::authorization());
    let error = Issuers::new([located().build().unwrap()]).unwrap_err().to_string();
    assert!(error.contains("token location, binding"), "{error}");
    let boxed: Box<dyn TokenVerifier> = Box::new(located().build().unwrap());
    assert!(Issuers::new([boxed]).is_err());
}

const LOCATIONS: [&str; 5] =
    ["authorization", "x-token", "x-prefixed", "sec-websocket-protocol", "x-closure"];

fn everywhere(tokens: JwtAuth) -> BearerAuth<JwtAuth> {
    let closure = |head: &Parts| head.headers.get("x-closure")?.to_str().ok().map(str::to_owned);
    BearerAuth::new(tokens)
        .token_from(TokenLocation::authorization())
        .token_from(TokenLocation::header("x-token"))
        .token_from(TokenLocation::header_with_prefix("x-prefixed", "Token "))
        .token_from(TokenLocation::websocket_protocol_with_prefix("t."))
        .token_from(TokenLocation::from_fn(closure))
}

fn carry(location: &str, token: &str) -> String {
    match location {
        "authorization" => format!("Bearer {token}"),
        "x-prefixed" => format!("Token {token}"),
        "sec-websocket-protocol" => format!("chat, t.{token}"),
        _ => token.to_owned(),
    }
}

fn send(
    authenticator: &impl Authenticator,
    lines: &[(&str, String)],
) -> Option<Result<Principal, Rejection>> {
    let mut request = Request::builder();
    for (name, value) in lines {
        request = request.header(*name, value);
    }
    let head = request.body(()).ok()?.into_parts().0;
    Some(authenticator.authenticate(&head)?.now_or_never().unwrap().into_result())
}

#[test]
fn two_tokens_return_400_even_if_one_is_invalid() {
    let mint = mint("https://issuer.example");
    let tokens = everywhere(validator(&mint));
    for first in LOCATIONS {
        let valid = token(&mint);
        let one = send(&tokens, &[(first, carry(first, &valid))]).unwrap();
        assert_eq!(one.unwrap().subject(), "alice", "{first}");
        for second in LOCATIONS {
            for other in [valid.as_str(), "invalid"] {
                let lines = [(first, carry(first, &valid)), (second, carry(second, other))];
                let result = send(&tokens, &lines).unwrap();
                // The closure reads only the first line of its header.
                if (first, second) == ("x-closure", "x-closure") {
                    assert!(result.is_ok());
                } else {
                    assert_eq!(result.unwrap_err().kind(), RejectionKind::MalformedRequest);
                }
            }
        }
    }
}

#[test]
fn other_scheme_in_authorization_is_not_a_second_token() {
    let mint = mint("https://issuer.example");
    let basic = BasicAuth::new("r", Users::new([("alice", "secret")]).unwrap()).unwrap();
    let tokens = everywhere(validator(&mint));
    let line = [("authorization", "Basic YTpi".to_owned()), ("x-token", token(&mint))];
    assert!(send(&tokens, &line).unwrap().is_ok());
    // The first scheme with credentials decides alone.
    assert!(send(&any_of((basic, tokens)), &line).unwrap().is_err());
}

proptest! {
    /// A token in any location has the same result as its verification without a request, except
    /// that a location can reject it.
    #[test]
    fn no_location_accepts_what_verification_rejects(
        location in prop::sample::select(&LOCATIONS[..]),
        text in "[ -~]{0,40}",
        at in 0_usize..400,
        edit in prop::sample::select(&["", " ", ",", "x", ".", "\u{fc}"][..]),
        is_token: bool,
    ) {
        let mint = mint("https://issuer.example");
        let mut value = if is_token { token(&mint) } else { text };
        let at = (0..=at.min(value.len())).rev().find(|at| value.is_char_boundary(*at)).unwrap();
        value.insert_str(at, edit);
        let tokens = validator(&mint);
        let verified = tokens.verify(&value).now_or_never().unwrap();
        let located = send(&everywhere(tokens), &[(location, carry(location, &value))]);
        if let Some(Ok(caller)) = &located {
            // A space at an end, and an entry of a list behind a comma, are not part of the token.
            let stripped = value.trim().split(',').next().unwrap().trim();
            let stripped = validator(&mint).verify(stripped).now_or_never().unwrap().unwrap();
            prop_assert_eq!(caller.subject(), stripped.subject());
        }
        if verified.is_ok() {
            prop_assert!(located.unwrap().is_ok());
        }
    }
}
