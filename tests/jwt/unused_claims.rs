//! Claims that nothing reads are parsed as strictly as others. `docs/conformance.md` has the
//! reasons.

use tower_auth::{
    JwtAuth, Principal,
    jwt::{Keys, TokenError},
};
use tower_auth_test_support::{
    authenticate::authenticate_bearer,
    token::{AUDIENCE, ISSUER, Signer, encode, random},
};

/// Returns the caller of a valid token with this JSON as an additional claim.
fn admit(json: &str) -> Result<Principal, TokenError> {
    let secret = random(32);
    let tokens = JwtAuth::builder(Keys::hs256(&secret)).issuer(ISSUER).audience(AUDIENCE);
    let claims = format!(
        r#"{{"iss":"{ISSUER}","aud":"{AUDIENCE}","sub":"alice","exp":4102444800,"unused":{json}}}"#
    );
    let signer = Signer::secret("HS256", None, &secret);
    let token = signer.sign(&encode(r#"{"alg":"HS256"}"#), &encode(claims));
    authenticate_bearer(&tokens.build().unwrap(), &token)
}

#[test]
fn lone_surrogate_in_unused_claim_is_rejected() {
    let caller = admit(r#""\ud83d\ude00""#).unwrap();
    assert_eq!(caller.claim::<String>("unused").unwrap(), "\u{1f600}");
    for lone in [
        r#""\ud83d""#,
        r#""\ude00""#,
        r#""\ude00\ud83d""#,
        r#""\ud83d\u0041""#,
        r#""\ud83dA""#,
        r#"["\uD800"]"#,
        r#"{"\udfff":1}"#,
    ] {
        assert_eq!(admit(lone), Err(TokenError::MalformedClaims), "{lone}");
    }
}

#[test]
fn number_beyond_a_double_in_unused_claim_is_rejected() {
    for (json, number) in [
        ("1e308", 1e308),
        ("-1.7976931348623157e308", f64::MIN),
        ("18446744073709551616", 18_446_744_073_709_551_616.0),
        ("1e-400", 0.0),
    ] {
        assert_eq!(admit(json).unwrap().claim::<f64>("unused").unwrap(), number, "{json}");
    }
    let digits = "9".repeat(400);
    for huge in ["1e309", "1e400", "-1E400", "[1e400]", r#"{"a":{"b":1e400}}"#, &digits] {
        assert_eq!(admit(huge), Err(TokenError::MalformedClaims), "{huge}");
    }
}

#[test]
fn over_32_levels_of_nesting_in_unused_claim_are_rejected() {
    let arrays = |levels| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let objects = |levels| format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels));
    for nested in [arrays, objects] as [fn(usize) -> String; 2] {
        assert!(admit(&nested(32)).is_ok());
        for levels in [33, 40, 2000] {
            assert_eq!(admit(&nested(levels)), Err(TokenError::MalformedClaims), "{levels}");
        }
    }
}
