//! Sends the black-box cases of `tests/cases` byte for byte.

use std::{fmt::Write as _, fs, path::Path};

use serde_json::Value;
use tower_auth_test_support::{
    ROOT,
    program::Program,
    raw::{self, RawResponse},
    token::{Signer, now},
};

use crate::PROGRAM;

#[test]
fn every_case_returns_the_expected_response() {
    run_cases(1, "");
}

/// The second request with an accepted token hits the token cache.
#[test]
fn every_case_returns_the_expected_response_with_a_token_cache() {
    run_cases(2, "cache = { max_bytes = 1000000, cache_hmac = true }");
}

fn run_cases(repetitions: usize, cache: &str) {
    let dir = tempfile::tempdir().unwrap();
    let config = write_config(dir.path(), cache);
    let mut server = Program::start(PROGRAM, &[config.to_str().unwrap()]);
    let address = server.address();

    let (mut count, mut failures) = (0, String::new());
    for theme in
        ["basic_header", "bearer_header", "error_responses", "jwt_claims", "jwt_signature", "scope"]
    {
        let lines = fs::read_to_string(format!("{ROOT}/tests/cases/{theme}.jsonl")).unwrap();
        for line in lines.lines() {
            let case: Value = serde_json::from_str(line).unwrap();
            let token = case.get("mint").filter(|mint| !mint.is_null()).map(mint_token);
            for _ in 0..repetitions {
                let response = send(&address, &case, token.as_deref());
                if let Err(failure) = check_response(&case, &response) {
                    writeln!(failures, "{theme} {}: {failure}\n  {response:?}", case["name"])
                        .unwrap();
                }
            }
            count += 1;
        }
    }
    assert!(failures.is_empty(), "{failures}");
    assert_eq!(count, 238, "cases are missing");
}

fn send(address: &str, case: &Value, token: Option<&str>) -> RawResponse {
    let request = &case["request"];
    let headers: Vec<(&str, String)> = request["headers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pair| {
            let value = pair[1].as_str().unwrap();
            (pair[0].as_str().unwrap(), value.replace("${token}", token.unwrap_or("")))
        })
        .collect();
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    raw::send(
        address,
        request["method"].as_str().unwrap(),
        &format!(
            "/{}{}",
            case["config"]["profile"].as_str().unwrap(),
            request["path"].as_str().unwrap()
        ),
        &headers,
        request["body"].as_str().unwrap_or(""),
    )
}

/// Checks a response. `must` and `should` cases both require the expected status, or one that the
/// case also allows.
fn check_response(case: &Value, response: &RawResponse) -> Result<(), String> {
    let expect = &case["expect"];
    let texts = |name: &str| -> Vec<&str> {
        let list = expect.get(name).and_then(Value::as_array);
        list.into_iter().flatten().map(|text| text.as_str().unwrap()).collect()
    };
    let also = expect.get("status_also_ok").and_then(Value::as_array).into_iter().flatten();
    let allowed: Vec<_> = also.chain([&expect["status"]]).filter_map(Value::as_u64).collect();
    if !allowed.contains(&response.status.into()) {
        return Err(format!("{} is not in {allowed:?}", response.status));
    }
    let challenges = response.header_values("www-authenticate").join(", ");
    if u64::from(response.status) == expect["status"] {
        for text in texts("www_authenticate_contains") {
            if !challenges.contains(text) {
                return Err(format!("{text:?} is missing"));
            }
        }
    }
    for text in texts("www_authenticate_absent") {
        if challenges.contains(text) {
            return Err(format!("{text:?} is present"));
        }
    }
    if response.status != 200 && !response.body.is_empty() {
        return Err("a rejection with a body".into());
    }
    for header in case["request"]["headers"].as_array().unwrap() {
        let is_long = |word: &&str| word.len() > 20;
        if header[1]
            .as_str()
            .unwrap()
            .split([' ', '.'])
            .filter(is_long)
            .any(|word| challenges.contains(word))
        {
            return Err("a challenge contains a credential".into());
        }
    }
    match (response.status, challenges.is_empty()) {
        (401, true) => Err("401 without a challenge".into()),
        (200, false) if response.header_values("grpc-status").is_empty() => {
            Err("200 with a challenge".into())
        }
        (500.., _) => Err("a server error".into()),
        _ => Ok(()),
    }
}

fn mint_token(mint: &Value) -> String {
    let keys: Value = serde_json::from_str(
        &fs::read_to_string(format!("{ROOT}/tests/cases/keys.private.json")).unwrap(),
    )
    .unwrap();
    assert_eq!(mint["alg"], "RS256");
    let mut claims = mint["claims"].clone();
    for (name, seconds) in mint["relative"].as_object().unwrap() {
        claims[name] = now().saturating_add_signed(seconds.as_i64().unwrap()).into();
    }
    let signer = Signer::from_rsa_jwk("RS256", &keys[mint["key"].as_str().unwrap()]);
    signer.token_with(&mint["header"], &claims)
}

/// Converts `profiles.json` to a configuration file of `forward_auth`, and returns its path.
fn write_config(dir: &Path, cache: &str) -> std::path::PathBuf {
    let read = |name: &str| fs::read_to_string(format!("{ROOT}/tests/cases/{name}")).unwrap();
    let profiles: Value = serde_json::from_str(&read("profiles.json")).unwrap();
    let secrets: Value = serde_json::from_str(&read("keys.private.json")).unwrap();
    fs::write(dir.join("jwks.json"), read("jwks.json")).unwrap();
    let secret = serde_json::json!({ "keys": [secrets["hs1"]] });
    fs::write(dir.join("secret.json"), secret.to_string()).unwrap();

    let mut config = String::from("listen = \"127.0.0.1:0\"\n");
    for (name, profile) in profiles.as_object().unwrap() {
        writeln!(config, "[profiles.{name}]\nrealm = {}", profile["realm"]).unwrap();
        if profile["scheme"] == "basic" {
            let users = &profile["credentials"];
            writeln!(config, "[profiles.{name}.basic]\nusers = {users}").unwrap();
            continue;
        }
        let jwks = if profile.get("jwks").is_some() { "jwks.json" } else { "secret.json" };
        writeln!(
            config,
            "[profiles.{name}.bearer]\nissuer = {}\naudience = [{}]\nalgorithms = {}\n\
             leeway_seconds = {}\njwks_file = \"{jwks}\"\n{cache}",
            profile["issuer"], profile["audience"], profile["algorithms"], profile["leeway_s"],
        )
        .unwrap();
        if let Some(typ) = profile.get("require_typ") {
            writeln!(config, "typ = {typ}").unwrap();
        }
        if let Some(url) = profile.get("resource_metadata") {
            writeln!(config, "resource_metadata = {url}").unwrap();
        }
        if let Some(scopes) = profile.get("required_scopes") {
            let kind = profile["scope_match"].as_str().unwrap();
            writeln!(config, "[profiles.{name}.require]\n{kind}_scopes = {scopes}").unwrap();
        }
    }
    let path = dir.join("forward_auth.toml");
    fs::write(&path, config).unwrap();
    path
}
