//! Attacks with claims.

use serde_json::{Value, json};
use tower_auth::jwt::TokenError;
use tower_auth_test_support::{
    authenticate::authenticate_bearer,
    token::{AUDIENCE, ISSUER, claims, encode},
};

use super::Target;

#[test]
fn invalid_numeric_dates_are_rejected() {
    let target = Target::new();
    let valid = claims().to_string();
    let header = encode(r#"{"alg":"HS256","kid":"HS256"}"#);
    for claim in ["exp", "nbf", "iat"] {
        let rest = without(&valid, claim);
        for number in [
            r#""4102444800""#,
            "NaN",
            "Infinity",
            "-1",
            "-0.5",
            "-0",
            "1e400",
            "9223372036854775808",
            "18446744073709551616",
            "1e300",
            "0x10",
            "01",
            "1.",
            ".5",
            "1e",
            "true",
            "null",
            "[]",
            "{}",
            "[4102444800]",
            "9007199254740992",
        ] {
            let payload = format!(r#"{{"{claim}":{number},{rest}"#);
            let error = target.rejects(&target.secret.sign(&header, &encode(&payload)));
            let expected = "a number of seconds since 1970";
            let malformed = TokenError::MalformedClaim { path: claim.into(), expected };
            // Some of these are no JSON at all.
            let is_named = serde_json::from_str::<Value>(number).is_ok();
            let reason = if is_named { malformed } else { TokenError::MalformedClaims };
            assert_eq!(error, reason, "{claim}: {number}");
        }
    }
    for number in ["4102444800", "4102444800.5", "4.1024448e9", "4102444800.0", "9007199254740991"]
    {
        let payload = format!(r#"{{"exp":{number},{}"#, without(&valid, "exp"));
        target.accepts(&target.secret.sign(&header, &encode(&payload)));
    }
}

#[test]
fn iss_or_aud_of_wrong_type_or_value_is_rejected() {
    let target = Target::new();
    let with = |name: &str, value: Value| {
        let mut claims = claims();
        claims[name] = value;
        target.secret.token(&claims)
    };
    for malformed in [json!([ISSUER]), json!({ "iss": ISSUER }), json!(1), json!(null), json!(true)]
    {
        let error = target.rejects(&with("iss", malformed));
        let expected = "a string";
        assert_eq!(error, TokenError::MalformedClaim { path: "iss".into(), expected });
    }
    for other in [
        "",
        "https://issuer",
        "https://issuer.example/",
        "https://issuer.example.evil.example",
        "https://evil.example/https://issuer.example",
        "https://issuer.example\0",
        "https://ISSUER.example",
        "https://issuer.example#",
        "https://issuer.example?",
    ] {
        assert_eq!(target.rejects(&with("iss", other.into())), TokenError::Issuer, "{other:?}");
    }
    for malformed in [
        json!({ "aud": AUDIENCE }),
        json!([[AUDIENCE]]),
        json!([1, AUDIENCE]),
        json!(1),
        json!(null),
    ] {
        let error = target.rejects(&with("aud", malformed));
        let expected = "a string or an array of strings";
        assert_eq!(error, TokenError::MalformedClaim { path: "aud".into(), expected });
    }
    for other in [
        json!(""),
        json!([]),
        json!([""]),
        json!("https://api"),
        json!("https://api.example "),
        json!("https://api.example https://other.example"),
        json!("https://api.example,x"),
        json!("*"),
    ] {
        assert_eq!(target.rejects(&with("aud", other)), TokenError::Audience);
    }
}

#[test]
fn scope_substrings_and_lookalikes_do_not_match() {
    use tower_auth::{Policy, RequireScopes};

    let target = Target::new();
    let policy = RequireScopes::all(["admin"]);
    let head = http::Request::new(()).into_parts().0;
    let allows = |scope: Value| {
        let mut claims = claims();
        claims["scope"] = scope;
        let caller = authenticate_bearer(&target.tokens, &target.secret.token(&claims)).unwrap();
        policy.evaluate(&caller, &head).into_ready().unwrap().is_ok()
    };
    for scope in [json!("admin"), json!("a admin b"), json!(["x", "admin"])] {
        assert!(allows(scope));
    }
    for scope in [
        "admi",
        "admins",
        "xadmin",
        "admin:read",
        "ADMIN",
        "Admin",
        "аdmin",
        "ａdmin",
        "admin\u{200b}",
        "admin\u{301}",
        "admin\0",
        "x\tadmin",
        "x\nadmin",
        "x\u{a0}admin",
        "x\u{2003}admin",
        "x,admin",
        "x;admin",
        "x+admin",
        "\"admin\"",
        "*",
        "%61dmin",
        "ad min",
        "",
    ] {
        assert!(!allows(scope.into()), "{scope:?}");
    }
    for scope in [json!(["site admin"]), json!(["x admin"]), json!(["admin "]), json!([])] {
        assert!(!allows(scope.clone()), "{scope}");
    }
}

fn without(json: &str, name: &str) -> String {
    let mut value: Value = serde_json::from_str(json).unwrap();
    value.as_object_mut().unwrap().remove(name);
    value.to_string().strip_prefix('{').unwrap().to_owned()
}
