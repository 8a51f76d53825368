//! Random claim sets, each checked by the crate and by an independent strict reader.

use std::{
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::json;
use tower_auth::{JwtAuth, jwt::Keys, test_util::TestClock};
use tower_auth_test_support::{
    authenticate::authenticate_bearer,
    random::Random,
    token::{AUDIENCE, ISSUER, Signer, encode},
};

use super::strict_json::Json;

const NOW: u32 = 1_800_000_000;
const LEEWAY: u32 = 60;

/// The claims that are checked, each with valid values and with values that are not.
const CLAIMS: [(&str, &[&str], &[&str]); 8] = [
    (
        "iss",
        &[
            "\"https://issuer.example\"",
            r#""https:\/\/issuer.example""#,
            r#""\u0068ttps://issuer.example""#,
        ],
        &[
            "\"https://issuer.example/\"",
            "null",
            "[\"https://issuer.example\"]",
            "\"\"",
            "1",
            "\"HTTPS://issuer.example\"",
        ],
    ),
    (
        "aud",
        &[
            "\"https://api.example\"",
            "[\"https://api.example\"]",
            "[ \"a\" , \"https:\\/\\/api.example\" ]",
        ],
        &[
            "\"https://api.example/\"",
            "[]",
            "[\"a\"]",
            "[\"https://api.example\", 1]",
            "null",
            "{}",
            "[[\"https://api.example\"]]",
            "\"https://api.example a\"",
        ],
    ),
    (
        "sub",
        &["\"alice\"", "\"\\u0061\"", "\"\\ud83d\\ude00\"", "\"ü\\n\"", "\" \""],
        &["\"\"", "1", "null", "[\"alice\"]", "true", "{\"sub\":\"alice\"}"],
    ),
    (
        "exp",
        &[
            "1800000000",
            "1799999941",
            "4102444800",
            "1.9e9",
            "1800000000.5",
            "9007199254740991",
            "19E+8",
        ],
        &[
            "1799999940",
            "0",
            "-1",
            "-0",
            "\"4102444800\"",
            "9007199254740992",
            "1e20",
            "null",
            "[4102444800]",
            "01800000001",
            "1800000001.",
            "+1900000000",
        ],
    ),
    (
        "nbf",
        &["1800000060", "0", "1799999999", "0.5", "1800000060.0"],
        &["1800000061", "1800000060.5", "-1", "\"0\"", "null", "{}", "1e300"],
    ),
    (
        "iat",
        &["1800000060", "0", "1700000000"],
        &["1800000061", "-0", "\"1700000000\"", "true", "9007199254740992"],
    ),
    (
        "scope",
        &["\"read write\"", "\"\"", "[\"read\"]", "[]"],
        &["1", "[1]", "{}", "[[\"read\"]]", "true"],
    ),
    ("cnf", &[], &["{}", "{\"jkt\":\"a\"}", "null", "\"jkt\"", "1"]),
];

/// Claims that are not checked, with any value.
const OTHERS: [(&str, &str); 10] = [
    ("name", "\"A\\\"\\\\\\/\\b\\f\\t\""),
    ("a", "{\"b\":[{\"c\":{}},[],[[0.5e-3,-1]]],\"d\":null}"),
    ("b", "[true,false,null]"),
    ("iss ", "\"https://evil.example\""),
    ("Iss", "1"),
    ("exp\\u0000", "0"),
    ("nested", "{\"iss\":\"https://evil.example\",\"exp\":0,\"sub\":1}"),
    ("twice", "{\"x\":1,\"x\":1}"),
    ("\\u00e9", "-1.5E3"),
    ("", "\"\\u00e9\""),
];

const CORRUPTIONS: &[u8] = b"\"\\{}[]:,0159-+.eE tnu/\t\n\x01\x7fz";

/// Returns the text of a claim set, most of which are valid.
fn claim_set(random: &mut Random) -> Vec<u8> {
    let mut members: Vec<(String, &str)> = Vec::new();
    for (name, valid, invalid) in CLAIMS {
        let is_required = ["iss", "aud", "sub", "exp"].contains(&name);
        let is_present = random.has(if is_required {
            98
        } else if name == "cnf" {
            3
        } else {
            40
        });
        if is_present {
            let is_invalid = valid.is_empty() || random.has(6);
            let value = random.pick(if is_invalid { invalid } else { valid });
            members.push((name.to_owned(), value));
        }
    }
    for _ in 0..random.below(4) {
        let (name, value) = random.pick(&OTHERS);
        // The object with equal names is invalid, so it is rare.
        if *name != "twice" || random.has(10) {
            members.push(((*name).to_owned(), value));
        }
    }
    if random.has(3) && !members.is_empty() {
        let again = random.pick(&members).clone();
        members.push(again);
    }
    for at in (1..members.len()).rev() {
        members.swap(at, random.below(at + 1));
    }
    let mut text = String::from("{");
    for (position, (mut name, value)) in members.into_iter().enumerate() {
        if random.has(5) && name.starts_with(|first: char| first.is_ascii_alphabetic()) {
            name = format!("\\u{:04x}{}", u32::from(name.as_bytes()[0]), &name[1..]);
        }
        text.push_str(if position == 0 { "" } else { "," });
        let space = random.pick(&["", "", "", " ", "\n", "\t\r "]);
        text.push_str(&format!("{space}\"{name}\"{space}:{space}{value}{space}"));
    }
    text.push('}');
    if random.has(2) {
        let after: &&str = random.pick(&[" ", "\n", "x", "{}", ",", "\0"]);
        text.push_str(after);
    }
    let mut text = text.into_bytes();
    if random.has(15) {
        let at = random.below(text.len());
        match random.below(3) {
            0 => text[at] = *random.pick(CORRUPTIONS),
            1 => text.insert(at, *random.pick(CORRUPTIONS)),
            _ => drop(text.remove(at)),
        }
    }
    text
}

/// Returns the subject of claims that are valid at [`NOW`] (RFC 7519 §4.1).
fn accepted_subject(claims: &[u8]) -> Option<String> {
    let claims = Json::read(str::from_utf8(claims).ok()?)?;
    let is_text = |json: &Json, text: &str| *json == Json::Text(text.to_owned());
    let date = |name: &str| match claims.get(name) {
        None => Some(None),
        Some(Json::Number { value, is_negative: false }) if *value < 2_f64.powi(53) => {
            Some(Some(*value))
        }
        Some(_) => None,
    };
    let is_list = |json: &Json| match json {
        Json::Text(_) => true,
        Json::Array(items) => items.iter().all(|item| matches!(item, Json::Text(_))),
        _ => false,
    };
    let is_for_us = match claims.get("aud")? {
        aud if !is_list(aud) => return None,
        Json::Array(names) => names.iter().any(|name| is_text(name, AUDIENCE)),
        aud => is_text(aud, AUDIENCE),
    };
    let is_from_issuer = is_text(claims.get("iss")?, ISSUER);
    let has_begun = |start: Option<f64>| start.is_none_or(|start| start <= f64::from(NOW + LEEWAY));
    let is_current = date("exp")?? > f64::from(NOW - LEEWAY)
        && has_begun(date("nbf")?)
        && has_begun(date("iat")?);
    let has_scopes = claims.get("scope").is_none_or(is_list);
    let is_bound = claims.get("cnf").is_some();
    let Json::Text(subject) = claims.get("sub")? else { return None };
    let is_valid = is_from_issuer && is_for_us && is_current && has_scopes && !is_bound;
    (is_valid && !subject.is_empty()).then(|| subject.clone())
}

#[test]
fn one_hundred_thousand_claim_sets_have_the_result_of_a_strict_reader() {
    const PER_THREAD: usize = 25_000;
    let now: SystemTime = UNIX_EPOCH + Duration::from_secs(NOW.into());
    let signer = Signer::secret("HS256", Some("1"), &[7; 32]);
    let keys = Keys::from_json(json!({ "keys": [signer.jwk()] }).to_string()).unwrap();
    let tokens = JwtAuth::builder(keys).issuer(ISSUER).audience(AUDIENCE);
    let tokens = tokens.clock(TestClock::at(now)).build().unwrap();
    let header = encode(r#"{"alg":"HS256","kid":"1"}"#);

    let compare = |seed: u64| {
        let mut random = Random::new(seed);
        let mut counts = [0; 2];
        for number in 0..PER_THREAD {
            let json = claim_set(&mut random);
            let token = signer.sign(&header, &encode(&json));
            let result = authenticate_bearer(&tokens, &token);
            let accepted = result.map(|caller| caller.subject().to_owned());
            match (accepted_subject(&json), accepted) {
                (Some(subject), Ok(caller)) if subject == caller => counts[0] += 1,
                (None, Err(_)) => counts[1] += 1,
                (expected, result) => {
                    let json = String::from_utf8_lossy(&json);
                    panic!("seed {seed}, {number}: {expected:?}, but {result:?} for {json}");
                }
            }
        }
        counts
    };
    let counts = thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|seed| scope.spawn(move || compare(seed))).collect();
        let counts = threads.into_iter().map(|thread| thread.join().unwrap());
        counts.fold([0, 0], |[a, b], [c, d]| [a + c, b + d])
    });
    assert!(counts[0] > 30_000 && counts[1] > 30_000, "{counts:?}");
}

#[test]
fn strict_reader_accepts_exactly_what_rfc_8259_allows() {
    for valid in
        ["{}", " [ ] ", "[0,-0,1.5e+10,10E-2]", r#"{"a":{"b":[null]},"c":"\ud83d\ude00"}"#, "\"\""]
    {
        assert!(Json::read(valid).is_some(), "{valid}");
    }
    for invalid in [
        "",
        " ",
        "{",
        "{}}",
        "[1,]",
        "[,1]",
        "{\"a\":1,}",
        "{a:1}",
        "{\"a\"}",
        "01",
        "1.",
        ".5",
        "+1",
        "1e",
        "nul",
        "\"\n\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\ud83d\"",
        "\"\\ude00\\ud83d\"",
        "'a'",
        "{\"a\":1,\"\\u0061\":2}",
        "[{\"a\":1,\"a\":1}]",
        "\u{a0}1",
        "1 2",
        "\u{feff}{}",
    ] {
        assert_eq!(Json::read(invalid), None, "{invalid}");
    }
    assert_eq!(Json::read(r#""\u0041\/\n""#), Some(Json::Text("A/\n".into())));
}
