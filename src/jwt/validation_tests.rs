use super::*;

/// Checks claims which need a subject in `uid`, and `sid`.
fn check(json: &str, scope_claims: &[&str]) -> Result<ValidClaims, TokenError> {
    check_with(json, scope_claims, &["sid"])
}

fn check_required(json: &str, required: &[&str]) -> Result<ValidClaims, TokenError> {
    check_with(json, &["scope"], required)
}

fn check_with(
    json: &str,
    scope_claims: &[&str],
    required: &[&str],
) -> Result<ValidClaims, TokenError> {
    let validation = Validation {
        issuers: Vec::new(),
        audiences: Vec::new(),
        audience_claims: vec!["aud".into()],
        token_types: TokenTypes::Any,
        leeway: Duration::ZERO,
        scope_claims: scope_claims.iter().map(|path| Box::from(*path)).collect(),
        merge_scopes: false,
        subject_claims: vec!["uid".into()],
        accept_numeric_subject: false,
        claim_values: Vec::new(),
        accept_future_issued_at: false,
        required_claims: required.iter().map(|name| Box::from(*name)).collect(),
        principal_maps: Vec::new(),
        custom_checks: Vec::new(),
        is_introspection: false,
        ignore_confirmation: false,
        faults: Arc::default(),
        #[cfg(feature = "revocation")]
        longest_life: None,
    };
    let claims = ClaimsSet::parse(json.into()).ok_or(TokenError::MalformedClaims)?;
    validation.check_claims(&claims, UNIX_EPOCH)
}

/// Checks claims to which the claims that are needed are added.
fn check_with_needed(json: &str, scope_claims: &[&str]) -> Result<ValidClaims, TokenError> {
    let needed = r#"{"uid": "u", "sid": "1", "exp": 1.5"#;
    let comma = if json == "{}" { "" } else { "," };
    check(&json.replacen('{', &format!("{needed}{comma}"), 1), scope_claims)
}

#[test]
fn claim_of_wrong_type_is_named() {
    for (path, invalid) in [
        ("exp", r#"{"exp": "4102444800"}"#),
        ("exp", r#"{"exp": null}"#),
        ("exp", r#"{"exp": -1}"#),
        ("exp", r#"{"exp": -0}"#),
        ("exp", r#"{"exp": 9007199254740992}"#),
        ("exp", r#"{"exp": 18446744073709551616}"#),
        ("nbf", r#"{"nbf": true}"#),
        ("nbf", r#"{"nbf": {}}"#),
        ("iat", r#"{"iat": "today"}"#),
        ("iss", r#"{"iss": ["a"]}"#),
        ("iss", r#"{"iss": null}"#),
        ("aud", r#"{"aud": null}"#),
        ("aud", r#"{"aud": [null]}"#),
        ("aud", r#"{"aud": {"a": 1}}"#),
        ("aud", r#"{"aud": 1}"#),
        ("sub", r#"{"sub": 1}"#),
        ("uid", r#"{"uid": [1]}"#),
        ("scope", r#"{"scope": 1}"#),
        ("scope", r#"{"scope": ["a", 1]}"#),
        ("scope", r#"{"scope": {}}"#),
        ("cnf", r#"{"cnf": null}"#),
        ("cnf", r#"{"cnf": "jkt"}"#),
        ("cnf", r#"{"cnf": 1}"#),
        ("cnf", r#"{"cnf": []}"#),
        ("cnf", r#"{"cnf": [{}]}"#),
    ] {
        match check(invalid, &["scope"]).map(drop).unwrap_err() {
            TokenError::MalformedClaim { path: named, .. } => {
                assert_eq!(&*named, path, "{invalid}");
            }
            other => panic!("{invalid}: {other:?}"),
        }
    }
    for invalid in [
        r#"{"exp": 1e400}"#,
        r#"{"sub": "a", "sub": "b"}"#,
        r#"{"x": {"a": 1, "a": 2}}"#,
        r#"{"cnf": {}, "cnf": {}}"#,
        r#"{"cnf": {"jkt": "a", "jkt": "b"}}"#,
        r#"{"cnf": {"jkt": "a", "\u006akt": "b"}}"#,
        "[]",
        "42",
        "null",
        "",
    ] {
        let error = check(invalid, &["scope"]).map(drop).unwrap_err();
        assert_eq!(error, TokenError::MalformedClaims, "{invalid}");
    }
    let json = r#"{"\u0069ss": "i", "aud": ["a", "b"], "nbf": 0, "iat": 0.0}"#;
    let claims = check_with_needed(json, &["scope"]).unwrap();
    assert_eq!(claims.expires_at, Some(UNIX_EPOCH + Duration::from_millis(1500)));
    assert_eq!((claims.issuer.as_deref(), &*claims.subject), (Some("i"), "u"));
}

#[test]
fn scopes_are_read_from_the_first_claim_that_is_present() {
    let scopes = |json, paths: &[&str]| {
        let scopes = check_with_needed(json, paths).unwrap().scopes;
        scopes.iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(scopes(r#"{"scope": "a b"}"#, &["scope"]), ["a", "b"]);
    assert_eq!(scopes(r#"{"scope": "a\u0020b"}"#, &["scope"]), ["a", "b"]);
    assert_eq!(scopes(r#"{"scope": "a b", "scp": ["c", "d e"]}"#, &["scp"]), ["c", "d e"]);
    let nested = r#"{"realm_access": {"x": 1, "roles": ["admin"]}, "roles": ["no"]}"#;
    assert_eq!(scopes(nested, &["/realm_access/roles"]), ["admin"]);
    assert_eq!(scopes(nested, &["x", "/realm_access/y", "/realm_access/roles"]), ["admin"]);
    assert_eq!(scopes(r#"{"a": [], "b": "c"}"#, &["a", "b"]), [""; 0]);
    assert!(scopes(nested, &["/realm_access/none"]).is_empty());
    for absent in [r#"{"r": null}"#, r#"{"r": {"roles": null}}"#, r#"{"r": {}}"#] {
        assert!(scopes(absent, &["/r/roles", "/r/roles/0"]).is_empty(), "{absent}");
    }
    assert!(scopes(nested, &["realm_access/roles"]).is_empty());
    assert!(
        scopes("{}", &["scope"]).is_empty() && scopes(r#"{"scope": ""}"#, &["scope"]).is_empty()
    );
    for invalid in [r#"{"r": "admin"}"#, r#"{"r": 1}"#, r#"{"r": ["admin"]}"#] {
        let error = check(invalid, &["/r/roles"]).map(drop).unwrap_err();
        let expected = "inside objects or arrays, as its path says";
        let malformed = TokenError::MalformedClaim { path: "/r/roles".into(), expected };
        assert_eq!(error, malformed, "{invalid}");
    }
    for invalid in [
        r#"{"r": {"roles": ["a"], "roles": []}}"#,
        r#"{"r": {"roles": ["a"], "rol\u0065s": []}}"#,
        r#"{"r": {"x": 1, "x": 2, "roles": ["a"]}}"#,
    ] {
        let error = check(invalid, &["/r/roles"]).map(drop).unwrap_err();
        assert_eq!(error, TokenError::MalformedClaims, "{invalid}");
    }
}

#[test]
fn confirmation_is_the_json_object_as_sent() {
    let confirmation = |json: &str| {
        let claims = check_with_needed(json, &["scope"]).unwrap();
        claims.confirmation.map(|cnf| cnf.0.to_string())
    };
    for (json, object) in [
        (r#"{"cnf":{"jkt":"a"},"x":1}"#, r#"{"jkt":"a"}"#),
        (
            r#"{"x": 1, "cnf" : { "jwk": {"kty": "EC", "x": "}"} } }"#,
            r#"{ "jwk": {"kty": "EC", "x": "}"} }"#,
        ),
        (r#"{"cnf": {}}"#, "{}"),
        (r#"{"c\u006ef": {"kid": "\u0061"}}"#, r#"{"kid": "\u0061"}"#),
    ] {
        assert_eq!(confirmation(json).as_deref(), Some(object), "{json}");
    }
    assert_eq!(confirmation(r#"{"x": {"cnf": {}}}"#), None);
}

#[test]
fn required_claim_that_is_missing_or_null_is_not_present() {
    let check_sid = |claim: &str| {
        let json = format!(r#"{{"uid": "u", "exp": 9{claim}}}"#);
        check(&json, &["scope"]).map(|claims| claims.subject.to_string())
    };
    for present in ["\"1\"", "1", "1.5", "[null]", "\"\"", "false"] {
        assert_eq!(check_sid(&format!(r#", "sid": {present}"#)).unwrap(), "u", "{present}");
    }
    let with_jti = |jti: &str| format!(r#"{{"uid": "u", "exp": 9, "jti": {jti}}}"#);
    let error = |jti| check_required(&with_jti(jti), &["sid", "jti"]).map(drop).unwrap_err();
    let expected = "a string";
    assert_eq!(error("1"), TokenError::MalformedClaim { path: "jti".into(), expected });
    assert_eq!(error("\"1\""), TokenError::MissingClaim("sid".into()));
    for absent in ["", r#", "sid": null"#, r#", "x": {"sid": "1"}"#, r#", "SID": "1""#] {
        let error = check_sid(absent).unwrap_err();
        assert_eq!(error, TokenError::MissingClaim("sid".into()), "{absent}");
    }
}
