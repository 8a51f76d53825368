//! Closures that change principals: what they can change, and what they cannot.

use std::{
    error::Error as _,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::FutureExt;
use http::{HeaderValue, Request, header::CACHE_CONTROL, request::Parts};
use serde_json::json;
use tower_auth::{
    Authentication, Authenticator, BasicAuth, Challenge, Challenges, Later, MapPrincipal,
    Principal, RejectionKind, Scheme,
    authenticate::Outcome,
    basic::{BasicCredentials, PasswordVerifier, Users, Verdict},
    bearer::{BearerAuth, TokenVerifier, Verification},
    binding::Cnf,
    clock::Clock as _,
    credentials::TokenLocation,
    jwt::{Issuers, TokenCache, TokenError},
    test_util::{TestClock, TokenMint},
};

use crate::binding::{AUDIENCE, Fixture, HeaderBinding, assert_unconfirmed, authenticate, tenants};

/// Builds a new principal, which keeps nothing of the old one except the issuer.
fn rebuild(caller: Principal) -> Principal {
    let builder = Principal::builder("renamed", Scheme::BEARER).scopes(["added"]);
    match caller.issuer() {
        Some(issuer) => builder.issuer(issuer).build(),
        None => builder.build(),
    }
}

/// Binds the principal to another key than that of the tokens.
fn rebind(caller: Principal) -> Principal {
    let cnf = Cnf::new(&json!({ "jkt": "key-2" })).unwrap();
    caller.to_builder().confirmation(cnf).build()
}

fn jkt(caller: &Principal) -> Option<String> {
    let members = caller.confirmation()?.members::<serde_json::Value>().unwrap();
    Some(members["jkt"].as_str().unwrap().to_owned())
}

/// Passes on a verifier, and is pending before each result.
struct Pending<V>(Arc<V>);

impl<V: TokenVerifier + 'static> TokenVerifier for Pending<V> {
    fn verify(&self, token: &str) -> Verification {
        let (verifier, token) = (Arc::clone(&self.0), token.to_owned());
        Verification::pending(async move { verifier.verify(&token).await })
    }

    fn verify_unconfirmed(&self, token: &str) -> Verification {
        let (verifier, token) = (Arc::clone(&self.0), token.to_owned());
        Verification::pending(async move { verifier.verify_unconfirmed(&token).await })
    }

    fn issuers(&self) -> &[Arc<str>] {
        self.0.issuers()
    }
}

/// Every way to change the principals of tokens with `map`.
fn mapped_verifiers(
    fixture: &Fixture,
    map: fn(Principal) -> Principal,
) -> [Arc<dyn TokenVerifier>; 7] {
    let plain = || fixture.builder().build().unwrap();
    let built = || fixture.builder().map_principal(map);
    [
        Arc::new(built().build().unwrap()),
        Arc::new(built().cache(TokenCache::new(1 << 20)).build().unwrap()),
        Arc::new(plain().map_principal(map)),
        Arc::new(TokenVerifier::map_principal(plain(), map)),
        Arc::new(Pending(Arc::new(plain())).map_principal(map)),
        Arc::new(Issuers::new([plain()]).unwrap().map_principal(map)),
        Arc::new(tenants(plain()).map_principal(map)),
    ]
}

#[tokio::test]
async fn changed_principal_keeps_the_key_binding() {
    let fixture = Fixture::new();
    let token = fixture.bound_token();
    for map in [rebuild, rebind] {
        for (at, verifier) in mapped_verifiers(&fixture, map).into_iter().enumerate() {
            let unbound = BearerAuth::new(Arc::clone(&verifier));
            let bound = BearerAuth::new(Arc::clone(&verifier)).binding(HeaderBinding::default());
            for _ in 0..2 {
                assert_unconfirmed(authenticate(&unbound, &token, Some("key-1")).await);
                assert!(verifier.verify(&token).await.is_err(), "{at}");
                let unconfirmed = verifier.verify_unconfirmed(&token).await.unwrap();
                assert_eq!(jkt(&unconfirmed).as_deref(), Some("key-1"), "{at}");
                for proof in [None, Some("key-2")] {
                    assert_unconfirmed(authenticate(&bound, &token, proof).await);
                }
                let caller = authenticate(&bound, &token, Some("key-1")).await.unwrap();
                assert_eq!(jkt(&caller).as_deref(), Some("key-1"), "{at}");
            }
        }
    }
}

#[tokio::test]
async fn key_that_is_added_to_a_token_must_be_confirmed() {
    let fixture = Fixture::new();
    let token = fixture.token().sign();
    for (at, verifier) in mapped_verifiers(&fixture, rebind).into_iter().enumerate() {
        let unbound = BearerAuth::new(Arc::clone(&verifier));
        let bound = BearerAuth::new(Arc::clone(&verifier)).binding(HeaderBinding::default());
        for _ in 0..2 {
            assert_unconfirmed(authenticate(&unbound, &token, Some("key-2")).await);
            assert!(verifier.verify(&token).await.is_err(), "{at}");
            assert_unconfirmed(authenticate(&bound, &token, Some("key-1")).await);
            assert!(authenticate(&bound, &token, Some("key-2")).await.is_ok(), "{at}");
        }
    }
}

#[tokio::test]
async fn authenticator_keeps_the_confirmed_key_and_adds_none() {
    let fixture = Fixture::new();
    let tokens = fixture.builder().binding(HeaderBinding::default()).build().unwrap();
    for map in [rebuild, rebind] {
        let mapped = Authenticator::map_principal(tokens.clone(), map);
        let caller = authenticate(&mapped, &fixture.bound_token(), Some("key-1")).await.unwrap();
        assert_eq!(jkt(&caller).as_deref(), Some("key-1"));
        assert_unconfirmed(authenticate(&mapped, &fixture.bound_token(), Some("key-2")).await);
        let caller = authenticate(&mapped, &fixture.token().sign(), None).await.unwrap();
        assert_eq!(jkt(&caller), None);
    }
}

#[tokio::test]
async fn changed_principal_does_not_expire_later_than_its_token() {
    fn later(caller: Principal) -> Principal {
        let end = caller.expires_at().unwrap() + Duration::from_secs(3_600);
        caller.to_builder().expires_at(end).build()
    }
    fn earlier(caller: Principal) -> Principal {
        let end = caller.expires_at().unwrap() - Duration::from_secs(10);
        caller.to_builder().expires_at(end).build()
    }
    let fixture = Fixture::new();
    let token = fixture.token().sign();
    let own = fixture.builder().build().unwrap().verify(&token).await.unwrap();
    let own = own.expires_at().unwrap();
    for (map, expected) in [
        (later as fn(Principal) -> Principal, own),
        (rebuild, own),
        (earlier, own - Duration::from_secs(10)),
    ] {
        for verifier in mapped_verifiers(&fixture, map) {
            let caller = verifier.verify(&token).await.unwrap();
            assert_eq!(caller.expires_at(), Some(expected));
        }
    }
}

#[test]
fn cached_token_expires_with_its_exp_whatever_the_closure_sets() {
    let clock = TestClock::new();
    let mint = TokenMint::new("https://issuer.example").clock(clock.clone());
    let token = mint.token("alice").audience(AUDIENCE).expires_in(Duration::from_secs(100)).sign();
    let tokens = mint
        .validator(AUDIENCE)
        .leeway(Duration::ZERO)
        .map_principal(|caller| {
            let end = SystemTime::now() + Duration::from_secs(86_400);
            caller.to_builder().expires_at(end).build()
        })
        .cache(TokenCache::new(1 << 20))
        .build()
        .unwrap();
    let verify = || tokens.verify(&token).now_or_never().unwrap();
    assert_eq!(verify().unwrap().expires_at(), Some(clock.now() + Duration::from_secs(100)));
    clock.advance(Duration::from_secs(99));
    assert!(verify().is_ok());
    clock.advance(Duration::from_secs(1));
    let rejection = verify().unwrap_err();
    let reason = rejection.source().and_then(|reason| reason.downcast_ref());
    assert_eq!(reason, Some(&TokenError::Expired));
}

#[test]
fn cached_token_is_mapped_once_and_checked_on_every_request() {
    let fixture = Fixture::new();
    let counts: [Arc<AtomicUsize>; 2] = Default::default();
    let [maps, checks] = counts.clone();
    let tokens = fixture
        .builder()
        .check(move |caller| {
            checks.fetch_add(1, Ordering::Relaxed);
            // The check sees the result of both closures, in the order of the calls.
            match (caller.subject(), caller.scopes().contains("first, second")) {
                ("alice", true) => Ok(()),
                _ => Err("not mapped"),
            }
        })
        .map_principal(move |caller| {
            maps.fetch_add(1, Ordering::Relaxed);
            caller.to_builder().scopes(["first"]).build()
        })
        .map_principal(|caller| {
            let scopes: Vec<_> = caller.scopes().iter().chain(["second"]).collect();
            caller.to_builder().scopes([scopes.join(", ")]).build()
        })
        .cache(TokenCache::new(1 << 20))
        .build()
        .unwrap();
    let token = fixture.token().sign();
    for _ in 0..5 {
        let caller = tokens.verify(&token).now_or_never().unwrap().unwrap();
        assert!(caller.scopes().contains("first, second"));
    }
    assert_eq!(counts.map(|count| count.load(Ordering::Relaxed)), [1, 5]);
}

#[tokio::test]
async fn closure_is_not_called_for_an_invalid_token() {
    fn unexpected(caller: Principal) -> Principal {
        panic!("{caller:?}")
    }
    let fixture = Fixture::new();
    let expired = fixture.token().expired().sign();
    for verifier in mapped_verifiers(&fixture, unexpected) {
        for token in [expired.as_str(), "a.b.c", "\u{fc}"] {
            let rejection = verifier.verify(token).await.unwrap_err();
            assert_eq!(rejection.kind(), RejectionKind::InvalidCredentials);
        }
    }
}

#[tokio::test]
async fn changed_issuer_inside_issuers_or_tenants_is_rejected() {
    let fixture = Fixture::new();
    let token = fixture.token().sign();
    for (issuer, is_accepted) in
        [("https://issuer.example", true), ("https://other.example", false)]
    {
        let tokens = fixture
            .builder()
            .map_principal(move |caller| caller.to_builder().issuer(issuer).build())
            .cache(TokenCache::new(1 << 20))
            .build()
            .unwrap();
        let verifiers: [Arc<dyn TokenVerifier>; 2] =
            [Arc::new(Issuers::new([tokens.clone()]).unwrap()), Arc::new(tenants(tokens))];
        for verifier in verifiers {
            for _ in 0..2 {
                let result = verifier.verify(&token).await;
                assert_eq!(result.is_ok(), is_accepted, "{issuer}");
                let result = verifier.verify_unconfirmed(&token).await;
                assert_eq!(result.is_ok(), is_accepted, "{issuer}");
            }
        }
    }
}

#[test]
fn nested_location_or_binding_of_a_mapped_verifier_is_a_config_error() {
    let fixture = Fixture::new();
    let located = fixture.builder().token_from(TokenLocation::header("x-token")).build().unwrap();
    assert!(Issuers::new([located.clone().map_principal(rebuild)]).is_err());
    assert!(Issuers::new([TokenVerifier::map_principal(located, rebuild)]).is_err());
}

#[test]
fn mapped_bearer_auth_keeps_its_settings() {
    let fixture = Fixture::new();
    let builder = fixture.builder().realm("orders").token_from(TokenLocation::header("x-token"));
    let tokens = builder.max_token_bytes(1024).build().unwrap();
    let authenticators: [Box<dyn Authenticator>; 2] = [
        Box::new(tokens.clone().map_principal(rebuild)),
        Box::new(Authenticator::map_principal(tokens, |caller| {
            caller.to_builder().scopes(["added"]).build()
        })),
    ];
    for authenticator in authenticators {
        let send = |token: &str| {
            let request = Request::builder().header("x-token", token).body(()).unwrap();
            let mut head: Parts = request.into_parts().0;
            let result = authenticator.authenticate(&head).unwrap().now_or_never().unwrap();
            authenticator.conceal(&mut head);
            assert!(head.headers["x-token"].is_sensitive());
            let challenges: Vec<_> = authenticator.challenges(&head).iter().cloned().collect();
            assert_eq!(challenges[0].to_header_value(), r#"Bearer realm="orders""#);
            result.into_result()
        };
        let caller = send(&fixture.token().sign()).unwrap();
        assert!(caller.scopes().contains("added"));
        assert_eq!(caller.challenge().unwrap().to_header_value(), r#"Bearer realm="orders""#);
        let too_large = send(&"x".repeat(1025)).unwrap_err();
        assert_eq!(too_large.kind(), RejectionKind::CredentialsTooLarge);
        let head = Request::new(()).into_parts().0;
        assert!(authenticator.authenticate(&head).is_none());
    }
}

/// Accepts every request, now or later, with a response header.
struct WithHeader {
    is_pending: bool,
}

impl Authenticator for WithHeader {
    fn authenticate(&self, _: &Parts) -> Option<Authentication> {
        let outcome = Outcome::from(Ok(Principal::builder("alice", Scheme::BASIC).build()));
        let outcome = outcome.with_header(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Some(match self.is_pending {
            true => Later::pending(async { outcome }),
            false => Later::ready(outcome),
        })
    }

    fn challenges(&self, _: &Parts) -> Challenges {
        Challenge::new(Scheme::BASIC).into()
    }

    fn conceal(&self, head: &mut Parts) {
        head.headers.remove("x-secret");
    }
}

#[test]
fn mapped_authenticator_forwards_headers_challenges_and_conceal() {
    for is_pending in [false, true] {
        let mapped = WithHeader { is_pending }.map_principal(rebuild);
        let request = Request::builder().header("x-secret", "s").body(()).unwrap();
        let mut head = request.into_parts().0;
        let outcome = mapped.authenticate(&head).unwrap().now_or_never().unwrap();
        assert_eq!(outcome.result().unwrap().subject(), "renamed");
        let headers: Vec<_> = outcome.headers().collect();
        assert_eq!(headers, [(&CACHE_CONTROL, &HeaderValue::from_static("no-store"))]);
        assert_eq!(mapped.challenges(&head), Challenge::new(Scheme::BASIC).into());
        mapped.conceal(&mut head);
        assert!(!head.headers.contains_key("x-secret"));
    }
}

#[tokio::test]
async fn mapped_users_get_scopes_and_the_challenge_now_and_later() {
    fn with_scopes(user: Principal) -> Principal {
        match user.subject() {
            "alice" => user.to_builder().scopes(["admin"]).build(),
            _ => user,
        }
    }
    async fn accept(sent: BasicCredentials) -> Verdict {
        tokio::task::yield_now().await;
        match sent.password() {
            "secret" => Verdict::Verified(sent.to_principal().build()),
            _ => Verdict::Invalid,
        }
    }
    let users = Users::new([("alice", "secret"), ("bob", "secret")]).unwrap();
    let authenticators: [Box<dyn Authenticator>; 3] = [
        Box::new(BasicAuth::new("r", users.clone().map_principal(with_scopes)).unwrap()),
        Box::new(BasicAuth::new("r", users).unwrap().map_principal(with_scopes)),
        Box::new(BasicAuth::new("r", accept.map_principal(with_scopes)).unwrap()),
    ];
    for authenticator in authenticators {
        for (sent, expected) in
            [("alice:secret", Some(true)), ("bob:secret", Some(false)), ("alice:wrong", None)]
        {
            let value = format!("Basic {}", STANDARD.encode(sent));
            let request = Request::builder().header("authorization", value).body(()).unwrap();
            let result = authenticator.authenticate(&request.into_parts().0).unwrap();
            let result = result.await.into_result();
            let is_admin = result.as_ref().ok().map(|user| user.scopes().contains("admin"));
            assert_eq!(is_admin, expected, "{sent}");
            if let Ok(user) = result {
                let challenge = user.challenge().unwrap().to_header_value();
                assert_eq!(challenge, r#"Basic realm="r", charset="UTF-8""#);
            }
        }
    }
}

#[test]
fn mapped_verifier_is_cloneable_and_shows_its_inner_verifier() {
    let users = Users::new([("alice", "secret")]).unwrap();
    let mapped: MapPrincipal<Users, _> = users.map_principal(rebuild);
    assert_eq!(format!("{:?}", mapped.clone()), r#"MapPrincipal({"alice"}, ..)"#);
}
