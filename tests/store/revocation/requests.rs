//! Revocation through a `JwtAuth`: caches, closures, malleable signatures and lifetimes.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use tower_auth::{
    JwtAuth, Principal, RejectionKind, Scheme,
    bearer::{BearerAuth, TokenVerifier},
    clock::Clock,
    jwt::{Algorithm, Issuers, TokenCache, TokenError},
    revocation::{Revocations, RevokeError},
    test_util::{TestClock, TokenMint},
};

use super::{
    test_store::TestStore,
    tokens::{ISSUER, accepts, clock, reason, seconds},
};

struct Fixture {
    clock: TestClock,
    mint: TokenMint,
    revocations: Revocations,
}

fn fixture() -> Fixture {
    let clock = clock();
    let revocations = TestStore::new(&clock).process().build().unwrap();
    Fixture { mint: TokenMint::new(ISSUER).clock(clock.clone()), clock, revocations }
}

impl Fixture {
    fn tokens(&self) -> JwtAuth {
        let builder = self.mint.validator("orders").revocations(self.revocations.clone());
        builder.cache(TokenCache::new(1 << 20)).build().unwrap()
    }

    fn token(&self, name: &str) -> String {
        self.mint.token(name).audience("orders").claim("sid", name).sign()
    }
}

#[tokio::test]
async fn cached_token_is_rejected_at_once() {
    let fixture = fixture();
    let tokens = fixture.tokens();
    let [alice, bob] = ["alice", "bob"].map(|name| fixture.token(name));
    for _ in 0..3 {
        assert!(accepts(&tokens, &alice).await && accepts(&tokens, &bob).await);
    }
    let caller = tokens.verify(&alice).await.unwrap();
    fixture.revocations.token(&caller).await.unwrap();
    assert!(!accepts(&tokens, &alice).await);
    assert!(accepts(&tokens, &bob).await);
    fixture.revocations.session(ISSUER, "bob").await.unwrap();
    assert!(!accepts(&tokens, &bob).await);
}

/// A new login after "log out everywhere" works, and a token that is refreshed does not.
#[tokio::test]
async fn login_after_the_revocation_of_a_subject_is_accepted() {
    let fixture = fixture();
    let tokens = fixture.tokens();
    let before = fixture.token("alice");
    fixture.revocations.subject(ISSUER, "alice").await.unwrap();
    assert!(!accepts(&tokens, &before).await);
    assert!(!accepts(&tokens, &fixture.token("alice")).await, "in the same second");
    let started_at = seconds(fixture.clock.now());
    fixture.clock.advance(Duration::from_secs(1));
    assert!(accepts(&tokens, &fixture.token("alice")).await);
    let refreshed = fixture.mint.token("alice").audience("orders").claim("fst", started_at).sign();
    assert!(!accepts(&tokens, &refreshed).await);
}

/// (r, s) and (r, n - s) are both valid signatures.
#[tokio::test]
async fn other_signature_of_a_revoked_token_without_jti_is_rejected() {
    const ORDER: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc,
        0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    let fixture = fixture();
    let mint = fixture.mint.clone().algorithm(Algorithm::ES256);
    let tokens = mint.validator("orders").revocations(fixture.revocations.clone());
    let tokens = tokens.build().unwrap();
    let token = mint.token("alice").audience("orders").without("jti").sign();
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let mut borrow = 0_i16;
    for index in (0..32).rev() {
        let difference = i16::from(ORDER[index]) - i16::from(bytes[32 + index]) - borrow;
        borrow = i16::from(difference < 0);
        bytes[32 + index] = u8::try_from(difference.rem_euclid(256)).unwrap();
    }
    let other = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(bytes));
    assert_ne!(token, other);
    assert!(accepts(&tokens, &token).await && accepts(&tokens, &other).await);
    let caller = tokens.verify(&token).await.unwrap();
    fixture.revocations.token(&caller).await.unwrap();
    assert!(!accepts(&tokens, &token).await);
    assert!(!accepts(&tokens, &other).await);
}

#[tokio::test]
async fn token_without_iat_or_with_a_long_lifetime_is_rejected() {
    let fixture = fixture();
    let tokens = fixture.tokens();
    let token = || fixture.mint.token("alice").audience("orders");
    let now = seconds(fixture.clock.now());
    for (token, expected) in [
        (token().without("iat"), Some(TokenError::MissingClaim("iat".into()))),
        (token().expires_in(Duration::from_secs(3_600)), None),
        (token().expires_in(Duration::from_secs(3_601)), Some(TokenError::LifetimeTooLong)),
        (token().claim("exp", now as f64 + 3_600.5), Some(TokenError::LifetimeTooLong)),
        (token().claim("iat", now as f64 - 0.5), None),
        // The family has started before.
        (token().claim("fst", now - 3_500), Some(TokenError::LifetimeTooLong)),
    ] {
        let result = tokens.verify(&token.sign()).await;
        match expected {
            Some(expected) => assert_eq!(reason(&result.unwrap_err()), Some(expected)),
            None => assert!(result.is_ok(), "{result:?}"),
        }
    }
}

/// A service can change principals at each level. The revocation refers to the token.
/// A verifier around another one, or a handler, can add claims without `map_principal`.
#[tokio::test]
async fn builder_of_a_principal_cannot_detach_it_from_its_token() {
    let fixture = fixture();
    let tokens = fixture.mint.validator("orders").revocations(fixture.revocations.clone());
    let tokens = tokens.build().unwrap();
    let [token, other] = ["alice", "bob"].map(|user| fixture.token(user));
    let caller = tokens.verify(&token).await.unwrap();
    let claims = serde_json::json!({ "iss": ISSUER, "iat": 1, "exp": 2, "jti": "fixed" });
    let changed = caller.to_builder().claims(&claims).unwrap().build();
    let changed = changed.to_builder().claims(&claims).unwrap().scopes(["a"]).build();
    assert!(tokens.verify(&token).await.is_ok());
    fixture.revocations.token(&changed).await.unwrap();
    let rejection = tokens.verify(&token).await.unwrap_err();
    assert_eq!(reason(&rejection), Some(TokenError::Revoked));
    let rejection = fixture.revocations.check(&changed).await.unwrap_err();
    assert_eq!(reason(&rejection), Some(TokenError::Revoked));
    assert!(tokens.verify(&other).await.is_ok());
}

#[tokio::test]
async fn closures_cannot_detach_a_principal_from_its_token() {
    fn replaced(_: Principal) -> Principal {
        Principal::builder("service", Scheme::BEARER)
            .issuer("other")
            .claims(&serde_json::json!({ "iss": "other", "iat": 1, "jti": "fixed" }))
            .unwrap()
            .build()
    }
    let fixture = fixture();
    let (issuer, mint) = (ISSUER, &fixture.mint);
    let plain = || mint.validator("orders").revocations(fixture.revocations.clone());
    let in_builder = plain().map_principal(replaced).build().unwrap();
    let cached = plain().map_principal(replaced).cache(TokenCache::new(1 << 20)).build().unwrap();
    let around: BearerAuth<_> = plain().build().unwrap().map_principal(replaced);
    let twice = plain().map_principal(replaced).build().unwrap();
    let twice = twice
        .map_principal(replaced)
        .map_principal(|caller: Principal| caller.to_builder().scopes(["a"]).build());
    let verifier = TokenVerifier::map_principal(plain().build().unwrap(), replaced);
    // A principal of an earlier caller must not stand for this one.
    let earlier = plain().build().unwrap().verify(&fixture.token("mallory")).await.unwrap();
    let reused = plain().build().unwrap().map_principal(move |_| earlier.clone());
    let issuers = Issuers::new([plain().build().unwrap()]).unwrap();
    let issuers = issuers.map_principal(|caller: Principal| {
        let changed = Principal::builder("x", Scheme::BEARER).issuer(ISSUER);
        drop(caller);
        changed.build()
    });
    let verifiers: [(&str, Box<dyn TokenVerifier>); 7] = [
        ("in the builder", Box::new(in_builder)),
        ("cached", Box::new(cached)),
        ("around", Box::new(around)),
        ("twice", Box::new(twice)),
        ("verifier", Box::new(verifier)),
        ("reused", Box::new(reused)),
        ("issuers", Box::new(issuers)),
    ];
    for (name, verifier) in verifiers {
        let [token, other] = ["alice", "bob"].map(|user| fixture.token(user));
        let caller = verifier.verify(&token).await.unwrap();
        assert!(verifier.verify(&other).await.is_ok());
        fixture.revocations.token(&caller).await.unwrap();
        let rejection = verifier.verify(&token).await.unwrap_err();
        assert_eq!(reason(&rejection), Some(TokenError::Revoked), "{name}");
        assert!(verifier.verify(&other).await.is_ok(), "{name}");
    }
    let _ = issuer;
}

#[tokio::test]
async fn subject_is_revoked_by_sub_and_by_the_name_that_the_service_sees() {
    let fixture = fixture();
    for revoked in ["alice", "user-7", "mapped", "mallory"] {
        let revocations = TestStore::new(&fixture.clock).process().build().unwrap();
        let builder = fixture.mint.validator("orders").revocations(revocations.clone());
        let tokens = builder.subject_from("uid").map_principal(|caller: Principal| {
            Principal::builder("mapped", Scheme::BEARER)
                .expires_at(caller.expires_at().unwrap())
                .build()
        });
        let tokens = tokens.build().unwrap();
        let token = fixture.mint.token("alice").audience("orders").claim("uid", "user-7").sign();
        assert!(accepts(&tokens, &token).await);
        revocations.subject(ISSUER, revoked).await.unwrap();
        assert_eq!(accepts(&tokens, &token).await, revoked == "mallory", "{revoked}");
    }
}

#[tokio::test]
async fn principal_without_claims_can_neither_be_revoked_nor_checked() {
    let fixture = fixture();
    let caller = Principal::builder("alice", Scheme::BASIC).build();
    let result = fixture.revocations.token(&caller).await;
    assert!(matches!(result, Err(RevokeError::NotAToken)));
    let rejection = fixture.revocations.check(&caller).await.unwrap_err();
    assert_eq!(rejection.kind(), RejectionKind::Misconfigured);
}

#[test]
fn settings_out_of_range_are_configuration_errors() {
    let store = TestStore::new(&clock());
    let build = |life, staleness| {
        let builder = store.process().longest_token_life(Duration::from_secs(life));
        builder.staleness(Duration::from_secs(staleness)).build().map(|_| ())
    };
    let day = 24 * 3_600;
    assert!(build(400 * day, 300).is_ok());
    for (life, staleness, setting) in [
        (0, 5, "longest_token_life"),
        (400 * day + 1, 5, "longest_token_life"),
        (1, 301, "staleness"),
    ] {
        let error = build(life, staleness).unwrap_err().to_string();
        assert!(error.contains(setting) && error.contains("set it to"), "{error}");
    }
    // Milliseconds by mistake: every token would be rejected.
    let short = store.process().longest_token_life(Duration::from_millis(600)).build();
    assert!(short.unwrap_err().to_string().contains("from 1 s to 400 days"));
}
