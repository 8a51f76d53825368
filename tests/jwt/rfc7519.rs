//! Checks of registered claims and token types (RFC 7519 §4.1, RFC 8725 §3).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use serde_json::{Value, json};
use tower_auth::{
    JwtAuth, Principal,
    jwt::{Algorithm, JwtAuthBuilder, Keys, TokenError},
};
use tower_auth_test_support::{
    authenticate::authenticate_bearer,
    token::{AUDIENCE, ISSUER, Signer},
};

/// The time of the mock clock.
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

    /// Signs valid claims with these changes. `null` removes a claim.
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

    fn verify(&self, tokens: &JwtAuth, changes: Value) -> Result<Principal, TokenError> {
        authenticate_bearer(tokens, &self.token(changes))
    }
}

fn missing(name: &str) -> TokenError {
    TokenError::MissingClaim(name.into())
}

#[test]
fn valid_token_returns_the_principal() {
    let issuer = Issuer::new();
    let tokens = issuer.builder().build().unwrap();
    let caller = issuer.verify(&tokens, json!({ "scope": "a b", "tenant": "acme" })).unwrap();
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
fn times_are_checked_with_exact_leeway() {
    let issuer = Issuer::new();
    let tokens = issuer.builder().build().unwrap();
    let exp = |exp: f64| issuer.verify(&tokens, json!({ "exp": exp })).map(drop);
    let now = NOW as f64;
    assert_eq!(exp(now - 59.0), Ok(()));
    assert_eq!(exp(now - 59.5), Ok(()));
    assert_eq!(exp(now - 60.0), Err(TokenError::Expired));
    assert_eq!(exp(0.0), Err(TokenError::Expired));
    for claim in ["nbf", "iat"] {
        let start = |start: f64| issuer.verify(&tokens, json!({ claim: start })).map(drop);
        assert_eq!(start(now + 60.0), Ok(()), "{claim}");
        assert_eq!(start(now + 60.5), Err(TokenError::NotYetValid), "{claim}");
    }

    let exact = issuer.builder().leeway(Duration::ZERO).build().unwrap();
    assert_eq!(issuer.verify(&exact, json!({ "exp": NOW })).unwrap_err(), TokenError::Expired);
    assert!(issuer.verify(&exact, json!({ "exp": NOW + 1, "nbf": NOW, "iat": NOW })).is_ok());
}

#[test]
fn token_expires_when_the_clock_advances() {
    use std::sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    };
    let issuer = Issuer::new();
    let now = Arc::new(AtomicU64::new(NOW));
    let clock = Arc::clone(&now);
    let tokens = issuer.builder().clock(move || at(clock.load(Ordering::Relaxed))).build().unwrap();
    let token = issuer.token(json!({}));
    assert!(authenticate_bearer(&tokens, &token).is_ok());
    now.fetch_add(660, Ordering::Relaxed);
    assert_eq!(authenticate_bearer(&tokens, &token).unwrap_err(), TokenError::Expired);
}

#[test]
fn clock_before_1970_rejects_all_tokens() {
    let issuer = Issuer::new();
    let before_1970 = || UNIX_EPOCH - Duration::from_secs(1);
    let tokens = issuer.builder().clock(before_1970).build().unwrap();
    for exp in [NOW, 1_000_000_000] {
        let error = issuer.verify(&tokens, json!({ "exp": exp })).unwrap_err();
        assert_eq!(error, TokenError::NotYetValid);
    }
}

#[test]
fn missing_exp_iss_sub_or_aud_is_rejected() {
    let issuer = Issuer::new();
    let tokens = issuer.builder().build().unwrap();
    assert_eq!(issuer.verify(&tokens, json!({ "exp": null })).unwrap_err(), missing("exp"));
    assert_eq!(issuer.verify(&tokens, json!({ "iss": null })).unwrap_err(), missing("iss"));
    assert_eq!(issuer.verify(&tokens, json!({ "sub": null })).unwrap_err(), missing("sub"));
    assert_eq!(issuer.verify(&tokens, json!({ "sub": "" })).unwrap_err(), missing("sub"));
    assert_eq!(issuer.verify(&tokens, json!({ "aud": null })).unwrap_err(), TokenError::Audience);
    assert_eq!(issuer.verify(&tokens, json!({ "aud": [] })).unwrap_err(), TokenError::Audience);
}

#[test]
fn iss_and_aud_must_match_exactly() {
    let issuer = Issuer::new();
    let tokens = issuer
        .builder()
        .issuer("https://second.example")
        .audience("https://second.example")
        .build()
        .unwrap();
    let second = "https://second.example";
    assert!(issuer.verify(&tokens, json!({ "iss": second, "aud": ["x", second] })).is_ok());
    for other in ["https://issuer.example/", "https://issuer", "HTTPS://ISSUER.EXAMPLE", ""] {
        assert_eq!(
            issuer.verify(&tokens, json!({ "iss": other })).unwrap_err(),
            TokenError::Issuer
        );
    }
    for other in ["https://api.example/", "https://api", " https://api.example", ""] {
        assert_eq!(
            issuer.verify(&tokens, json!({ "aud": other })).unwrap_err(),
            TokenError::Audience
        );
    }
}

fn verify_with_type(issuer: &Issuer, tokens: &JwtAuth, typ: Value) -> Result<(), TokenError> {
    let claims = json!({ "iss": ISSUER, "aud": AUDIENCE, "sub": "a", "exp": NOW + 1 });
    let mut header = json!({ "alg": "HS256", "kid": "1" });
    if !typ.is_null() {
        header["typ"] = typ;
    }
    authenticate_bearer(tokens, &issuer.signer.token_with(&header, &claims)).map(drop)
}

#[test]
fn token_of_another_type_is_rejected() {
    let issuer = Issuer::new();
    let tokens = issuer.builder().build().unwrap();
    for typ in [Value::Null, "JWT".into(), "jwt".into(), "at+jwt".into(), "application/jwt".into()]
    {
        assert_eq!(verify_with_type(&issuer, &tokens, typ.clone()), Ok(()), "{typ}");
    }
    let others = ["logout+jwt", "dpop+jwt", "token-introspection+jwt", "secevent+jwt", "JOSE", ""];
    for typ in others {
        assert_eq!(verify_with_type(&issuer, &tokens, typ.into()), Err(TokenError::Type), "{typ}");
    }
    let custom = issuer.builder().token_type("x+jwt").token_type("y+jwt").build().unwrap();
    assert_eq!(verify_with_type(&issuer, &custom, "y+jwt".into()), Ok(()));
    assert_eq!(verify_with_type(&issuer, &custom, "JWT".into()), Err(TokenError::Type));
    let any = issuer.builder().dangerous_any_token_type().build().unwrap();
    assert_eq!(verify_with_type(&issuer, &any, "logout+jwt".into()), Ok(()));
}

#[test]
fn configured_token_type_is_required() {
    let issuer = Issuer::new();
    let tokens = issuer.builder().token_type("at+jwt").build().unwrap();
    let verify = |typ: Value| verify_with_type(&issuer, &tokens, typ);
    for typ in ["at+jwt", "AT+JWT", "application/at+jwt", "Application/AT+jwt"] {
        assert_eq!(verify(typ.into()), Ok(()), "{typ}");
    }
    for typ in ["JWT", "at+jwt2", "xat+jwt", "text/at+jwt", "application/", ""] {
        assert_eq!(verify(typ.into()), Err(TokenError::Type), "{typ}");
    }
    assert_eq!(verify(Value::Null), Err(TokenError::Type));
    assert_eq!(verify(json!(["at+jwt"])), Err(TokenError::MalformedHeader));
}

#[test]
fn required_claims_and_custom_checks_are_enforced() {
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
    assert!(issuer.verify(&tokens, json!({ "jti": "1", "tenant": "acme" })).is_ok());
    assert_eq!(issuer.verify(&tokens, json!({ "tenant": "acme" })).unwrap_err(), missing("jti"));
    assert_eq!(
        issuer.verify(&tokens, json!({ "jti": "1" })).unwrap_err(),
        TokenError::Check("another tenant".into())
    );
}

#[test]
fn subject_is_read_from_configured_claims() {
    let issuer = Issuer::new();
    let tokens = issuer.builder().subject_from(["sub", "client_id"]).build().unwrap();
    let subject = |changes: Value| issuer.verify(&tokens, changes).map(|c| c.subject().to_owned());
    assert_eq!(subject(json!({ "client_id": "app" })).unwrap(), "alice");
    assert_eq!(subject(json!({ "client_id": "app", "sub": null })).unwrap(), "app");
    assert_eq!(subject(json!({ "client_id": "app", "sub": "" })).unwrap(), "app");
    assert_eq!(subject(json!({ "sub": null })).unwrap_err(), missing("sub"));
    let malformed = TokenError::MalformedClaim { path: "client_id".into(), expected: "a string" };
    assert_eq!(subject(json!({ "client_id": 7 })).unwrap_err(), malformed);

    let oid = issuer.builder().subject_from(["oid"]).build().unwrap();
    assert_eq!(issuer.verify(&oid, json!({ "oid": "7" })).unwrap().subject(), "7");
    assert_eq!(issuer.verify(&oid, json!({})).unwrap_err(), missing("oid"));

    let config_error = |claims: &[&str]| {
        let builder = issuer.builder().subject_from(claims.iter().copied());
        builder.build().unwrap_err().to_string()
    };
    assert!(config_error(&[]).contains("subject") && config_error(&["iss"]).contains("subject"));
    assert!(config_error(&["scope"]).contains("same claim"));
}

#[test]
fn scopes_are_read_from_the_configured_path() {
    let issuer = Issuer::new();
    let claims = json!({
        "scope": "a", "scp": ["b", "c d"], "permissions": ["e"], "realm_access": {"roles": ["f"]},
    });
    let scopes = |tokens: &JwtAuth| {
        let caller = issuer.verify(tokens, claims.clone()).unwrap();
        caller.scopes().iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let from = |path: &[&str]| issuer.builder().scopes_from(path.iter().copied()).build().unwrap();
    assert_eq!(scopes(&issuer.builder().build().unwrap()), ["a"]);
    assert_eq!(scopes(&from(&["scp"])), ["b", "c d"]);
    assert_eq!(scopes(&from(&["permissions"])), ["e"]);
    assert_eq!(scopes(&from(&["/realm_access/roles"])), ["f"]);
    assert_eq!(scopes(&from(&["none", "/realm_access/none", "scp", "scope"])), ["b", "c d"]);
    assert!(scopes(&from(&["roles"])).is_empty());
}

#[test]
fn each_setting_of_names_accepts_one_or_several() {
    let issuer = Issuer::new();
    let audiences = vec![String::from("orders"), String::from("billing")];
    let tokens = JwtAuth::builder(issuer.keys())
        .issuer(["https://a.example", "https://b.example"])
        .issuer("https://c.example")
        .audience(&audiences)
        .audience("reports")
        .algorithms(Algorithm::HS256)
        .token_type(["JWT", "at+jwt"])
        .require_claim(["jti", "client_id"])
        .require_claim("nonce")
        .clock(|| at(NOW))
        .build()
        .unwrap();
    let token = |iss: &str, aud: &str| {
        json!({
            "iss": iss, "aud": aud, "jti": "1", "client_id": "2", "nonce": "3",
        })
    };
    for iss in ["https://a.example", "https://b.example", "https://c.example"] {
        for aud in ["orders", "billing", "reports"] {
            assert!(issuer.verify(&tokens, token(iss, aud)).is_ok(), "{iss} {aud}");
        }
    }
    let verify = |claims| issuer.verify(&tokens, claims).unwrap_err();
    assert_eq!(verify(token("https://d.example", "orders")), TokenError::Issuer);
    assert_eq!(verify(token("https://a.example", "other")), TokenError::Audience);
    for required in ["jti", "client_id", "nonce"] {
        let mut claims = token("https://a.example", "orders");
        claims[required] = Value::Null;
        assert_eq!(verify(claims), missing(required));
    }
}

#[test]
fn incomplete_or_contradictory_configuration_is_a_config_error() {
    let issuer = Issuer::new();
    let base = || JwtAuth::builder(issuer.keys()).clock(|| at(NOW));
    let config_error = |builder: JwtAuthBuilder| builder.build().unwrap_err().to_string();
    assert!(config_error(base().audience("a")).contains("no issuer: call issuer"));
    assert!(config_error(base().issuer("i")).contains("no audience: call audience"));
    assert!(
        config_error(base().issuer("i").dangerous_any_issuer().audience("a"))
            .contains("remove one")
    );
    assert!(config_error(base().issuer("").audience("a")).contains("empty"));
    assert!(config_error(issuer.builder().leeway(Duration::from_secs(301))).contains("300 s"));
    assert!(config_error(issuer.builder().algorithms([Algorithm::HS256; 0])).contains("empty"));
    assert!(config_error(issuer.builder().token_type("")).contains("empty"));
    assert!(config_error(issuer.builder().token_type([""; 0])).contains("empty"));
    assert!(config_error(base().issuer("i").audience([""; 0])).contains("no audience"));
    assert!(config_error(base().issuer([""; 0]).audience("a")).contains("no issuer"));
    assert!(config_error(issuer.builder().scopes_from([""; 0])).contains("empty"));
    assert!(config_error(issuer.builder().scopes_from(["sub"])).contains("registered"));
    assert!(config_error(issuer.builder().realm("a\nb")).contains("realm"));
    assert!(config_error(issuer.builder().resource_metadata("/relative")).contains("absolute"));
    assert!(
        config_error(JwtAuth::builder(Keys::default()).issuer("i").audience("a"))
            .contains("no key")
    );

    let open = base().dangerous_any_issuer().dangerous_any_audience().build().unwrap();
    let caller = issuer.verify(&open, json!({ "iss": null, "aud": null })).unwrap();
    assert_eq!(caller.issuer(), None);
    assert_eq!(issuer.verify(&open, json!({ "exp": null })).unwrap_err(), missing("exp"));
}
