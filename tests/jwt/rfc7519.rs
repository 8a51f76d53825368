//! What a token has to claim (RFC 7519 §4.1, RFC 8725 §3).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use serde_json::{Value, json};
use tower_auth::{
    JwtAuth, Principal,
    jwt::{JwtAuthBuilder, Keys, TokenError},
};
use tower_auth_test_support::{
    ask::bearer,
    token::{AUDIENCE, ISSUER, Signer},
};

/// When it is, as far as these tests are concerned.
const NOW: u64 = 1_800_000_000;

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

struct Issuer {
    signer: Signer,
}

impl Issuer {
    fn new() -> Self {
        Self { signer: Signer::generate("HS256", "1") }
    }

    fn keys(&self) -> Keys {
        Keys::from_json(json!({ "keys": [self.signer.jwk()] }).to_string()).unwrap()
    }

    fn builder(&self) -> JwtAuthBuilder {
        JwtAuth::builder(self.keys()).issuer(ISSUER).audience(AUDIENCE).clock(|| at(NOW))
    }

    /// Claims that are good, but for what is put in their place. `null` takes a claim out.
    fn token(&self, changes: Value) -> String {
        let mut claims =
            json!({ "iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "exp": NOW + 600 });
        for (name, value) in changes.as_object().unwrap() {
            match value {
                Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
                value => claims[name] = value.clone(),
            }
        }
        self.signer.token(&claims)
    }

    fn ask(&self, tokens: &JwtAuth, changes: Value) -> Result<Principal, TokenError> {
        bearer(tokens, &self.token(changes))
    }
}

fn missing(name: &str) -> TokenError {
    TokenError::MissingClaim(name.into())
}

#[test]
fn a_good_token_tells_who_is_calling() {
    let issuer = Issuer::new();
    let tokens = issuer.builder().build().unwrap();
    let caller = issuer.ask(&tokens, json!({ "scope": "a b", "tenant": "acme" })).unwrap();
    assert_eq!((caller.subject(), caller.issuer()), ("alice", Some(ISSUER)));
    assert_eq!(caller.scopes().iter().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(caller.expires_at(), Some(at(NOW + 600)));

    #[derive(Deserialize)]
    struct Tenant<'a> {
        tenant: &'a str,
    }
    assert_eq!(caller.claims::<Tenant<'_>>().unwrap().tenant, "acme");
    assert_eq!(caller.claims::<Value>().unwrap()["sub"], "alice");
    assert!(caller.claims::<Vec<u8>>().is_err());
    assert!(!format!("{caller:?}").contains("acme"));
}

#[test]
fn time_is_counted_with_leeway_and_not_a_second_more() {
    let issuer = Issuer::new();
    let tokens = issuer.builder().build().unwrap();
    let exp = |exp: f64| issuer.ask(&tokens, json!({ "exp": exp })).map(drop);
    let now = NOW as f64;
    assert_eq!(exp(now - 59.0), Ok(()));
    assert_eq!(exp(now - 59.5), Ok(()));
    assert_eq!(exp(now - 60.0), Err(TokenError::Expired));
    assert_eq!(exp(0.0), Err(TokenError::Expired));
    for claim in ["nbf", "iat"] {
        let start = |start: f64| issuer.ask(&tokens, json!({ claim: start })).map(drop);
        assert_eq!(start(now + 60.0), Ok(()), "{claim}");
        assert_eq!(start(now + 60.5), Err(TokenError::NotYetValid), "{claim}");
    }

    let exact = issuer.builder().leeway(Duration::ZERO).build().unwrap();
    assert_eq!(issuer.ask(&exact, json!({ "exp": NOW })).unwrap_err(), TokenError::Expired);
    assert!(issuer.ask(&exact, json!({ "exp": NOW + 1, "nbf": NOW, "iat": NOW })).is_ok());
}

#[test]
fn a_token_ends_as_its_clock_turns() {
    use std::sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    };
    let issuer = Issuer::new();
    let now = Arc::new(AtomicU64::new(NOW));
    let hand = Arc::clone(&now);
    let tokens = issuer.builder().clock(move || at(hand.load(Ordering::Relaxed))).build().unwrap();
    let token = issuer.token(json!({}));
    assert!(bearer(&tokens, &token).is_ok());
    now.fetch_add(660, Ordering::Relaxed);
    assert_eq!(bearer(&tokens, &token).unwrap_err(), TokenError::Expired);
}

#[test]
fn a_clock_that_is_wrong_admits_nobody() {
    let issuer = Issuer::new();
    let before_1970 = || UNIX_EPOCH - Duration::from_secs(1);
    let tokens = issuer.builder().clock(before_1970).build().unwrap();
    for exp in [NOW, 1_000_000_000] {
        let refusal = issuer.ask(&tokens, json!({ "exp": exp })).unwrap_err();
        assert_eq!(refusal, TokenError::NotYetValid);
    }
}

#[test]
fn what_says_who_and_until_when_is_required() {
    let issuer = Issuer::new();
    let tokens = issuer.builder().build().unwrap();
    assert_eq!(issuer.ask(&tokens, json!({ "exp": null })).unwrap_err(), missing("exp"));
    assert_eq!(issuer.ask(&tokens, json!({ "iss": null })).unwrap_err(), missing("iss"));
    assert_eq!(issuer.ask(&tokens, json!({ "sub": null })).unwrap_err(), missing("sub"));
    assert_eq!(issuer.ask(&tokens, json!({ "sub": "" })).unwrap_err(), missing("sub"));
    assert_eq!(issuer.ask(&tokens, json!({ "aud": null })).unwrap_err(), TokenError::Audience);
    assert_eq!(issuer.ask(&tokens, json!({ "aud": [] })).unwrap_err(), TokenError::Audience);
}

#[test]
fn issuers_and_audiences_are_compared_whole() {
    let issuer = Issuer::new();
    let tokens = issuer
        .builder()
        .issuer("https://second.example")
        .audience("https://second.example")
        .build()
        .unwrap();
    let second = "https://second.example";
    assert!(issuer.ask(&tokens, json!({ "iss": second, "aud": ["x", second] })).is_ok());
    for odd in ["https://issuer.example/", "https://issuer", "HTTPS://ISSUER.EXAMPLE", ""] {
        assert_eq!(issuer.ask(&tokens, json!({ "iss": odd })).unwrap_err(), TokenError::Issuer);
    }
    for odd in ["https://api.example/", "https://api", " https://api.example", ""] {
        assert_eq!(issuer.ask(&tokens, json!({ "aud": odd })).unwrap_err(), TokenError::Audience);
    }
}

fn of_type(issuer: &Issuer, tokens: &JwtAuth, typ: Value) -> Result<(), TokenError> {
    let claims = json!({ "iss": ISSUER, "aud": AUDIENCE, "sub": "a", "exp": NOW + 1 });
    let mut header = json!({ "alg": "HS256", "kid": "1" });
    if !typ.is_null() {
        header["typ"] = typ;
    }
    bearer(tokens, &issuer.signer.token_with(&header, &claims)).map(drop)
}

#[test]
fn a_token_of_another_kind_is_no_access_token() {
    let issuer = Issuer::new();
    let tokens = issuer.builder().build().unwrap();
    for good in [Value::Null, "JWT".into(), "jwt".into(), "at+jwt".into(), "application/jwt".into()]
    {
        assert_eq!(of_type(&issuer, &tokens, good.clone()), Ok(()), "{good}");
    }
    let others = ["logout+jwt", "dpop+jwt", "token-introspection+jwt", "secevent+jwt", "JOSE", ""];
    for bad in others {
        assert_eq!(of_type(&issuer, &tokens, bad.into()), Err(TokenError::Type), "{bad}");
    }
    let own = issuer.builder().token_type("x+jwt").token_type("y+jwt").build().unwrap();
    assert_eq!(of_type(&issuer, &own, "y+jwt".into()), Ok(()));
    assert_eq!(of_type(&issuer, &own, "JWT".into()), Err(TokenError::Type));
    let any = issuer.builder().dangerous_any_token_type().build().unwrap();
    assert_eq!(of_type(&issuer, &any, "logout+jwt".into()), Ok(()));
}

#[test]
fn a_type_that_was_asked_for_is_required() {
    let issuer = Issuer::new();
    let tokens = issuer.builder().token_type("at+jwt").build().unwrap();
    let ask = |typ: Value| of_type(&issuer, &tokens, typ);
    for good in ["at+jwt", "AT+JWT", "application/at+jwt", "Application/AT+jwt"] {
        assert_eq!(ask(good.into()), Ok(()), "{good}");
    }
    for bad in ["JWT", "at+jwt2", "xat+jwt", "text/at+jwt", "application/", ""] {
        assert_eq!(ask(bad.into()), Err(TokenError::Type), "{bad}");
    }
    assert_eq!(ask(Value::Null), Err(TokenError::Type));
    assert_eq!(ask(json!(["at+jwt"])), Err(TokenError::MalformedHeader));
}

#[test]
fn more_can_be_required() {
    let issuer = Issuer::new();
    let tokens = issuer
        .builder()
        .require_claim("jti")
        .require_claim("jti")
        .check(|caller: &Principal| match caller.claims::<Value>() {
            Ok(claims) if claims["tenant"] == "acme" => Ok(()),
            _ => Err("another tenant"),
        })
        .build()
        .unwrap();
    assert!(issuer.ask(&tokens, json!({ "jti": "1", "tenant": "acme" })).is_ok());
    assert_eq!(issuer.ask(&tokens, json!({ "tenant": "acme" })).unwrap_err(), missing("jti"));
    assert_eq!(
        issuer.ask(&tokens, json!({ "jti": "1" })).unwrap_err(),
        TokenError::Check("another tenant".into())
    );
}

#[test]
fn the_subject_can_come_from_elsewhere() {
    let issuer = Issuer::new();
    let tokens = issuer.builder().subject_from(["sub", "client_id"]).build().unwrap();
    let subject = |changes: Value| issuer.ask(&tokens, changes).map(|c| c.subject().to_owned());
    assert_eq!(subject(json!({ "client_id": "app" })).unwrap(), "alice");
    assert_eq!(subject(json!({ "client_id": "app", "sub": null })).unwrap(), "app");
    assert_eq!(subject(json!({ "client_id": "app", "sub": "" })).unwrap(), "app");
    assert_eq!(subject(json!({ "sub": null })).unwrap_err(), missing("sub"));
    assert_eq!(subject(json!({ "client_id": 7 })).unwrap_err(), TokenError::MalformedClaims);

    let oid = issuer.builder().subject_from(["oid"]).build().unwrap();
    assert_eq!(issuer.ask(&oid, json!({ "oid": "7" })).unwrap().subject(), "7");
    assert_eq!(issuer.ask(&oid, json!({})).unwrap_err(), missing("oid"));

    let fault = |claims: &[&str]| {
        let builder = issuer.builder().subject_from(claims.iter().copied());
        builder.build().unwrap_err().to_string()
    };
    assert!(fault(&[]).contains("subject") && fault(&["iss"]).contains("subject"));
    assert!(fault(&["scope"]).contains("same claim"));
}

#[test]
fn scopes_can_come_from_elsewhere() {
    let issuer = Issuer::new();
    let claims = json!({
        "scope": "a", "scp": ["b", "c d"], "permissions": ["e"], "realm_access": {"roles": ["f"]},
    });
    let scopes = |tokens: &JwtAuth| {
        let caller = issuer.ask(tokens, claims.clone()).unwrap();
        caller.scopes().iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let from = |path: &[&str]| issuer.builder().scopes_from(path.iter().copied()).build().unwrap();
    assert_eq!(scopes(&issuer.builder().build().unwrap()), ["a"]);
    assert_eq!(scopes(&from(&["scp"])), ["b", "c d"]);
    assert_eq!(scopes(&from(&["permissions"])), ["e"]);
    assert_eq!(scopes(&from(&["realm_access", "roles"])), ["f"]);
    assert!(scopes(&from(&["roles"])).is_empty());
}

#[test]
fn what_leaves_the_door_open_has_to_be_said() {
    let issuer = Issuer::new();
    let bare = || JwtAuth::builder(issuer.keys()).clock(|| at(NOW));
    let fault = |builder: JwtAuthBuilder| builder.build().unwrap_err().to_string();
    assert!(fault(bare().audience("a")).contains("no issuer: call issuer"));
    assert!(fault(bare().issuer("i")).contains("no audience: call audience"));
    assert!(fault(bare().issuer("i").dangerous_any_issuer().audience("a")).contains("drop one"));
    assert!(fault(bare().issuer("").audience("a")).contains("empty"));
    assert!(fault(issuer.builder().leeway(Duration::from_secs(301))).contains("300 s"));
    assert!(fault(issuer.builder().algorithms([])).contains("empty"));
    assert!(fault(issuer.builder().token_type("")).contains("empty"));
    assert!(fault(issuer.builder().scopes_from([""; 0])).contains("empty"));
    assert!(fault(issuer.builder().scopes_from(["sub"])).contains("registered"));
    assert!(fault(issuer.builder().realm("a\nb")).contains("realm"));
    assert!(fault(issuer.builder().resource_metadata("/relative")).contains("absolute"));
    assert!(fault(JwtAuth::builder(Keys::default()).issuer("i").audience("a")).contains("no key"));

    let open = bare().dangerous_any_issuer().dangerous_any_audience().build().unwrap();
    let caller = issuer.ask(&open, json!({ "iss": null, "aud": null })).unwrap();
    assert_eq!(caller.issuer(), None);
    assert_eq!(issuer.ask(&open, json!({ "exp": null })).unwrap_err(), missing("exp"));
}
